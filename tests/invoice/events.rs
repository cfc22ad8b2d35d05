//! What events cost one by one, against what the oracle says of all that was used so far.

use num_rational::BigRational;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use weighbridge::Code;
use weighbridge::domain::invoice::{Item, PricedUsage, Quantities, Quantity, cost_of_event};
use weighbridge::domain::rating::Usage;
use weighbridge::domain::{Catalog, Decimal, Money};

use crate::oracle::{integer, millionths, millionths_text, rational};
use crate::prices::Prices;
use crate::{catalog, preview};

/// Six prices; the last two also ask how many events there were, and have bounds.
#[derive(Debug, Clone)]
struct Models {
    prices: Prices,
    percentage: Percentage,
    minimum: u64,
    maximum: u64,
}

#[derive(Debug, Clone)]
struct Percentage {
    rate: u64,
    fixed: u64,
    free_units: u64,
    free_events: u64,
    flat: u64,
}

const IDS: [&str; 6] = ["per_unit", "package", "graduated", "volume", "percentage", "bounded"];

impl Models {
    fn arbitrary() -> impl Strategy<Value = Self> {
        let amount = || 0..3_000_000_000u64;
        let percentage = (amount(), amount(), 0..40u64, 0..4u64, amount()).prop_map(
            |(rate, fixed, free_units, free_events, flat)| Percentage { rate, fixed, free_units, free_events, flat },
        );
        (Prices::arbitrary(), percentage, amount(), amount()).prop_map(|(prices, percentage, minimum, more)| Self {
            prices,
            percentage,
            minimum,
            maximum: minimum + more * 20,
        })
    }

    fn json(&self) -> Vec<Json> {
        let Percentage { rate, fixed, free_units, free_events, flat } = self.percentage;
        let percentage = json!({
            "model": "percentage",
            "rate": millionths_text(rate),
            "fixedAmount": millionths_text(fixed),
            "freeUnits": free_units,
            "freeEvents": free_events,
            "flatAmount": millionths_text(flat),
        });
        let mut bounded = percentage.clone();
        bounded["minimumAmount"] = millionths_text(self.minimum).into();
        bounded["maximumAmount"] = millionths_text(self.maximum).into();
        self.prices.json().into_iter().chain([percentage, bounded]).collect()
    }

    /// What so many whole units in so many events cost.
    fn amount(&self, index: usize, units: u64, events: u64) -> BigRational {
        let percentage = || {
            let Percentage { rate, fixed, free_units, free_events, flat } = self.percentage;
            millionths(rate) / integer(100) * integer(units.saturating_sub(free_units))
                + millionths(fixed) * integer(events.saturating_sub(free_events))
                + millionths(flat)
        };
        match index {
            4 => percentage(),
            5 => percentage().max(millionths(self.minimum)).min(millionths(self.maximum)),
            _ => self.prices.amount(index, units * crate::oracle::GRAINS_PER_UNIT),
        }
    }
}

fn with_prices(included: u64, prices: Vec<Json>, ids: &[&str]) -> Catalog {
    let entry =
        |(id, price): (&&str, Json)| json!({ "id": id, "meter": "m", "route": format!("/{id}"), "price": price });
    catalog(&json!({
        "id": "c",
        "version": "1",
        "currency": "EUR",
        "meters": ["m"],
        "tiers": [{ "id": "t", "baseAmount": "7", "included": [{ "meter": "m", "units": included, "overage": "charge" }] }],
        "prices": ids.iter().zip(prices).map(entry).collect::<Json>(),
    }))
}

fn value(amount: &impl ToString) -> BigRational {
    rational(&amount.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// After each event the costs of all so far are what the oracle says of them, and what the invoice says.
    #[test]
    fn costs_add_up_to_what_the_period_comes_to(
        models in Models::arbitrary(),
        included in prop_oneof![Just(0), 0..80u64],
        events in prop::collection::vec((0..IDS.len(), 1..25u64), 1..30),
    ) {
        let catalog = with_prices(included, models.json(), &IDS);
        let tier = &catalog.tiers()[0];
        let mut used = Quantities::new();
        let mut sum = integer(0);
        for (index, units) in events {
            let price = catalog.price(IDS[index]).unwrap();
            let cost = cost_of_event(&catalog, Some(tier), price, &used, units).unwrap();
            prop_assert!(IDS[index] == "volume" || included > 0 || cost >= Money::ZERO, "{} costs {cost}", IDS[index]);
            sum += value(&cost);
            let quantity = used.entry(price.id.clone()).or_default();
            *quantity = quantity.with(units);

            let mut free = included;
            let mut expected = integer(0);
            for (index, id) in IDS.iter().enumerate() {
                let Some(quantity) = used.get(*id) else { continue };
                let covered = quantity.units.min(free);
                free -= covered;
                expected += models.amount(index, quantity.units - covered, quantity.events);
            }
            prop_assert_eq!(&sum, &expected);
        }
        let row = |(id, quantity): (&String, &_)| {
            PricedUsage { meter: "m".to_owned(), price: Some(id.clone()), usage: Usage::from(*quantity) }
        };
        let invoice = preview(&catalog, &used.iter().map(row).collect::<Vec<_>>(), &[]);
        let of_usage = invoice.lines.iter().filter(|line| matches!(line.item, Item::Usage { .. }));
        prop_assert_eq!(value(&of_usage.map(|line| line.line.amount()).sum::<Decimal>()), sum);
    }
}

fn costs(catalog: &Catalog, events: &[(&str, u64)]) -> Vec<String> {
    let mut used = Quantities::new();
    let cost = |(id, units): &(&str, u64)| {
        let price = catalog.price(id).unwrap();
        let cost = cost_of_event(catalog, catalog.tiers().first(), price, &used, *units).unwrap();
        let quantity = used.entry(price.id.clone()).or_default();
        *quantity = quantity.with(*units);
        cost.to_string()
    };
    events.iter().map(cost).collect()
}

#[test]
fn the_first_event_under_a_price_pays_what_is_due_at_once() {
    let tiers = json!([{ "upTo": "3", "unitAmount": "1", "flatAmount": "5" }, { "upTo": null, "unitAmount": "0.5", "flatAmount": "2" }]);
    let graduated = with_prices(0, vec![json!({ "model": "graduated", "tiers": tiers })], &["p"]);
    assert_eq!(costs(&graduated, &[("p", 2), ("p", 1), ("p", 1), ("p", 4)]), ["7", "1", "2.5", "2"]);
    let price = json!({ "model": "per_unit", "unitAmount": "1", "minimumAmount": "3", "maximumAmount": "5" });
    let bounded = with_prices(0, vec![price], &["p"]);
    assert_eq!(costs(&bounded, &[("p", 2), ("p", 1), ("p", 1), ("p", 4), ("p", 1)]), ["3", "0", "1", "1", "0"]);
}

#[test]
fn a_volume_price_gives_back_what_the_units_before_cost_too_much() {
    let tiers = json!([{ "upTo": "3", "unitAmount": "1" }, { "upTo": null, "unitAmount": "0.5" }]);
    let volume = with_prices(0, vec![json!({ "model": "volume", "tiers": tiers })], &["p"]);
    assert_eq!(costs(&volume, &[("p", 3), ("p", 1), ("p", 1)]), ["3", "-1", "0.5"]);
}

/// Units that a price before takes from the included ones make the other price's dearer.
#[test]
fn included_units_go_to_the_prices_in_their_order() {
    let unit = |amount: &str| json!({ "model": "per_unit", "unitAmount": amount });
    let two = with_prices(10, vec![unit("1"), unit("3")], &["first", "second"]);
    assert_eq!(costs(&two, &[("second", 8), ("first", 4), ("first", 6), ("first", 1)]), ["0", "6", "18", "1"]);
}

#[test]
fn what_was_used_under_prices_of_other_versions_has_taken_included_units() {
    let per_unit = json!({ "model": "per_unit", "unitAmount": "1" });
    let catalog = with_prices(10, vec![per_unit], &["p"]);
    let (price, tier) = (catalog.price("p").unwrap(), catalog.tiers().first());
    let used = Quantities::from([("old".to_owned(), Quantity { units: 7, events: 1 })]);
    assert_eq!(cost_of_event(&catalog, tier, price, &used, 4).unwrap().to_string(), "1");
}

#[test]
fn digits_beyond_the_twelfth_are_rounded_once() {
    let tiny = with_prices(0, vec![json!({ "model": "per_unit", "unitAmount": "0.0000000000004" })], &["p"]);
    assert_eq!(costs(&tiny, &[("p", 1), ("p", 1), ("p", 1), ("p", 7)]), ["0", "0.000000000001", "0", "0.000000000003"]);
}

#[test]
fn an_amount_that_does_not_fit_is_refused() {
    let dear = with_prices(0, vec![json!({ "model": "package", "amount": "9".repeat(20), "packageSize": 1 })], &["p"]);
    let cost = cost_of_event(&dear, None, dear.price("p").unwrap(), &Quantities::new(), 1 << 53);
    assert_eq!(cost.unwrap_err().code, Code::AmountOverflow);
}
