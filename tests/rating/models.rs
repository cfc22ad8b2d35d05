//! Every model against the oracle, and what all quotes have in common.

use num_rational::BigRational;
use proptest::prelude::*;
use serde_json::json;
use weighbridge::domain::rating::Quote;

use crate::oracle::{Tiers, grains, grains_text, integer, millionths, millionths_text, packages, rational};
use crate::{amount, quote, quote_events};

fn value(quote: &Quote) -> BigRational {
    rational(&quote.amount().to_string())
}

fn units(quote: &Quote) -> BigRational {
    quote.lines.iter().map(|line| rational(&line.units.to_string())).fold(integer(0), |sum, units| sum + units)
}

/// The lines are the amount, and each line is what it says.
fn adds_up(quote: &Quote) {
    let mut sum = integer(0);
    for line in &quote.lines {
        let [units, unit_amount, flat, amount] = [&line.units, &line.unit_amount, &line.flat_amount, &line.amount()]
            .map(|value| rational(&value.to_string()));
        assert_eq!(units * unit_amount + flat, amount, "{line:?}");
        sum += amount;
    }
    assert_eq!(sum, value(quote));
    assert!(!quote.lines.is_empty());
}

fn any_amount() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..3_000_000u64, 0..u64::MAX / 1_000_000]
}

proptest! {
    #[test]
    fn per_unit(unit_amount in any_amount(), flat in any_amount(), free in 0u64..100, quantity in 0u64..300) {
        let price = json!({
            "model": "per_unit",
            "unitAmount": millionths_text(unit_amount),
            "flatAmount": millionths_text(flat),
            "freeUnits": grains_text(free),
        });
        let quote = quote(&price, &grains_text(quantity));
        let mut expected = millionths(flat);
        for _ in free..quantity {
            expected += millionths(unit_amount) * grains(1);
        }
        prop_assert_eq!(value(&quote), expected);
        prop_assert_eq!(units(&quote), grains(quantity));
        adds_up(&quote);
    }

    #[test]
    fn package(
        package_amount in any_amount(), flat in any_amount(), size in 1u64..60, free in 0u64..100, quantity in 0u64..600,
    ) {
        let price = json!({
            "model": "package",
            "amount": millionths_text(package_amount),
            "packageSize": grains_text(size),
            "freeUnits": grains_text(free),
            "flatAmount": millionths_text(flat),
        });
        let quote = quote(&price, &grains_text(quantity));
        let bought = packages(quantity, free, size);
        prop_assert_eq!(value(&quote), millionths(package_amount) * integer(bought) + millionths(flat));
        adds_up(&quote);
    }

    #[test]
    fn graduated(tiers in Tiers::arbitrary(), quantity in 0u64..400) {
        let price = json!({ "model": "graduated", "tiers": tiers.json("unitAmount") });
        let quote = quote(&price, &grains_text(quantity));
        prop_assert_eq!(value(&quote), tiers.graduated(quantity));
        prop_assert_eq!(units(&quote), grains(quantity));
        adds_up(&quote);
    }

    #[test]
    fn graduated_of_any_quantity(tiers in Tiers::arbitrary(), quantity in "[0-9]{1,40}(\\.[0-9]{1,40})?") {
        let price = json!({ "model": "graduated", "tiers": tiers.json("unitAmount") });
        let quote = quote(&price, &quantity);
        prop_assert_eq!(value(&quote), tiers.graduated_by_changes(&rational(&quantity)));
        prop_assert_eq!(units(&quote), rational(&quantity));
        adds_up(&quote);
    }

    #[test]
    fn volume(tiers in Tiers::arbitrary(), quantity in 0u64..400) {
        let price = json!({ "model": "volume", "tiers": tiers.json("unitAmount") });
        let quote = quote(&price, &grains_text(quantity));
        prop_assert_eq!(value(&quote), tiers.volume(quantity));
        prop_assert_eq!(units(&quote), grains(quantity));
        prop_assert_eq!(quote.lines.len(), 1);
        adds_up(&quote);
    }

    /// Payment by payment.
    #[test]
    fn percentage(
        rate in 0u64..500_000_000, fixed in 1u64..3_000_000, flat in any_amount(),
        free in 0u64..500, free_events in 0u64..5, payments in prop::collection::vec(0u64..300, 0..12),
    ) {
        let price = json!({
            "model": "percentage",
            "rate": millionths_text(rate),
            "fixedAmount": millionths_text(fixed),
            "freeUnits": grains_text(free),
            "freeEvents": free_events,
            "flatAmount": millionths_text(flat),
        });
        let mut expected = millionths(flat);
        let (mut free_left, mut quantity) = (free, 0);
        for (index, payment) in payments.iter().enumerate() {
            let charged = payment - free_left.min(*payment);
            free_left -= payment - charged;
            expected += grains(charged) * millionths(rate) / integer(100);
            if index as u64 >= free_events {
                expected += millionths(fixed);
            }
            quantity += payment;
        }
        let quote = quote_events(&price, &grains_text(quantity), Some(payments.len() as u64));
        prop_assert_eq!(value(&quote), expected);
        adds_up(&quote);
        let uncounted = quote_events(&price, &grains_text(quantity), None);
        let fixed_part = integer((payments.len() as u64).saturating_sub(free_events)) * millionths(fixed);
        prop_assert_eq!(value(&uncounted), value(&quote) - fixed_part);
        adds_up(&uncounted);
    }

    #[test]
    fn graduated_percentage(tiers in Tiers::arbitrary(), quantity in 0u64..400) {
        let price = json!({ "model": "graduated_percentage", "tiers": tiers.json("rate") });
        let quote = quote(&price, &grains_text(quantity));
        let as_units = Tiers(tiers.0.iter().map(|(bound, rate, flat)| (*bound, *rate, flat * 100)).collect());
        prop_assert_eq!(value(&quote), as_units.graduated(quantity) / integer(100));
        adds_up(&quote);
    }

    #[test]
    fn bounds(unit_amount in 0u64..100, quantity in 0u64..100, minimum in 0u64..5_000, width in 0u64..5_000) {
        let price = json!({
            "model": "per_unit",
            "unitAmount": unit_amount,
            "minimumAmount": minimum,
            "maximumAmount": minimum + width,
        });
        let quote = quote(&price, &quantity.to_string());
        prop_assert_eq!(value(&quote), integer((unit_amount * quantity).clamp(minimum, minimum + width)));
        adds_up(&quote);
    }

    /// Nobody pays less for more, unless a volume tier says so.
    #[test]
    fn a_graduated_price_never_falls(tiers in Tiers::arbitrary(), quantity in 0u64..400, more in 0u64..100) {
        let price = json!({ "model": "graduated", "tiers": tiers.json("unitAmount") });
        let cost = |quantity| value(&quote(&price, &grains_text(quantity)));
        prop_assert!(cost(quantity) <= cost(quantity + more));
    }
}

const TIERS: &str = r#"[
    { "upTo": "10", "unitAmount": "1", "flatAmount": "5" },
    { "upTo": "20", "unitAmount": "0.5", "flatAmount": "3" },
    { "upTo": null, "unitAmount": "0.1", "flatAmount": "2" }
]"#;

fn tiered(model: &str) -> serde_json::Value {
    let tiers: serde_json::Value = serde_json::from_str(TIERS).unwrap();
    json!({ "model": model, "tiers": tiers })
}

#[test]
fn at_and_between_the_bounds_of_tiers() {
    for (quantity, graduated, volume) in [
        ("0", "5", "5"),
        ("0.5", "5.5", "5.5"),
        ("9.999", "14.999", "14.999"),
        ("10", "15", "15"),
        // Above the bound by ever so little: the second tier.
        ("10.000000000000000000001", "18.0000000000000000000005", "8.0000000000000000000005"),
        ("10.5", "18.25", "8.25"),
        ("11", "18.5", "8.5"),
        ("20", "23", "13"),
        ("21", "25.1", "4.1"),
        ("1000000000000000000000000000000", "100000000000000000000000000023", "100000000000000000000000000002"),
    ] {
        assert_eq!(amount(&tiered("graduated"), quantity), graduated, "graduated {quantity}");
        assert_eq!(amount(&tiered("volume"), quantity), volume, "volume {quantity}");
    }
}

#[test]
fn packages_at_their_ends() {
    let price = json!({ "model": "package", "amount": "5", "packageSize": "100", "freeUnits": "50" });
    for (quantity, expected) in
        [("0", "0"), ("50", "0"), ("50.0001", "5"), ("150", "5"), ("150.0001", "10"), ("250", "10")]
    {
        assert_eq!(amount(&price, quantity), expected, "{quantity}");
    }
    // A third is no decimal; the number of packages is exact all the same.
    let thirds = json!({ "model": "package", "amount": "1", "packageSize": "0.3" });
    for (quantity, expected) in [("0.3", "1"), ("0.9", "3"), ("0.91", "4"), ("1", "4")] {
        assert_eq!(amount(&thirds, quantity), expected, "{quantity}");
    }
}

#[test]
fn a_product_of_any_length_is_exact() {
    let ones = "1".repeat(200);
    let price = json!({ "model": "per_unit", "unitAmount": format!("0.{ones}") });
    let expected = rational(&ones) * rational(&format!("0.{ones}"));
    assert_eq!(value(&quote(&price, &ones)), expected);
    // What 28 digits would round.
    let price = json!({ "model": "per_unit", "unitAmount": "0.123456789012" });
    assert_eq!(amount(&price, "123456789012.123456789013"), "15241578753.168725514897276940725156");
}

#[test]
fn a_minimum_is_due_for_nothing_and_a_maximum_is_never_passed() {
    let price = json!({ "model": "per_unit", "unitAmount": "1", "minimumAmount": "10", "maximumAmount": "20" });
    for (quantity, expected, lines) in
        [("0", "10", 2), ("9", "10", 2), ("10", "10", 1), ("15", "15", 1), ("20", "20", 1), ("21", "20", 2)]
    {
        let quote = quote(&price, quantity);
        assert_eq!((quote.amount().to_string().as_str(), quote.lines.len()), (expected, lines), "{quantity}");
        adds_up(&quote);
    }
    assert_eq!(quote(&price, "21").lines[1].flat_amount.to_string(), "-1");
    let free = json!({ "model": "per_unit", "unitAmount": "1", "maximumAmount": 0 });
    assert_eq!(amount(&free, "7"), "0");
}

#[test]
fn lines_say_what_they_are() {
    let said = |price: &serde_json::Value, quantity, events| {
        let quote = quote_events(price, quantity, events);
        quote
            .lines
            .iter()
            .map(|line| {
                let [amount, flat, unit_amount, units] =
                    [line.amount(), line.flat_amount.clone(), line.unit_amount.clone(), line.units.clone()];
                format!("{}: {units} × {unit_amount} + {flat} = {amount}", line.description)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        said(&tiered("graduated"), "25", None),
        [
            "Units up to 10: 10 × 1 + 5 = 15",
            "Units above 10 up to 20: 10 × 0.5 + 3 = 8",
            "Units above 20: 5 × 0.1 + 2 = 2.5"
        ]
    );
    assert_eq!(said(&tiered("volume"), "15", None), ["All units, at the tier above 10 up to 20: 15 × 0.5 + 3 = 10.5"]);
    let alone = json!({ "model": "volume", "tiers": [{ "upTo": null, "unitAmount": 2 }] });
    assert_eq!(said(&alone, "15", None), ["All units: 15 × 2 + 0 = 30"]);
    let package = json!({ "model": "package", "amount": "5", "packageSize": "100", "freeUnits": "50" });
    assert_eq!(said(&package, "151", None), ["Free units: 50 × 0 + 0 = 0", "Packages of 100 units: 2 × 5 + 0 = 10"]);
    let percentage = json!({ "model": "percentage", "rate": "2.9", "fixedAmount": "0.30", "freeEvents": 1 });
    assert_eq!(
        said(&percentage, "200", Some(3)),
        ["Units: 200 × 0.029 + 0 = 5.8", "Free events: 1 × 0 + 0 = 0", "Events: 2 × 0.3 + 0 = 0.6"]
    );
    assert_eq!(
        said(&percentage, "200", None),
        ["Units: 200 × 0.029 + 0 = 5.8", "Events (their number was not given): 0 × 0.3 + 0 = 0"]
    );
}
