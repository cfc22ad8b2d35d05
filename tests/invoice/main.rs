//! Invoices, against an oracle that calculates in rational numbers.

mod events;
#[path = "../rating/oracle.rs"]
#[expect(dead_code, reason = "the tests of prices use all of it")]
mod oracle;
mod prices;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use weighbridge::domain::invoice::{Basis, Item, PricedUsage};
use weighbridge::domain::rating::Usage;
use weighbridge::domain::{Catalog, Decimal, Invoice, Period, Proration, Rounding, Timestamp};

use oracle::{grains_text, integer, millionths, millionths_text, rational};
use prices::Prices;

fn catalog(json: &Json) -> Catalog {
    Catalog::parse(&json.to_string()).unwrap_or_else(|mistakes| panic!("{json:#}: {mistakes:#?}"))
}

fn decimal(text: &str) -> Decimal {
    Decimal::parse("amount", text).expect("a decimal")
}

fn row(meter: &str, price: Option<&str>, quantity: &str) -> PricedUsage {
    let usage = Usage { quantity: decimal(quantity), events: None };
    PricedUsage { meter: meter.to_owned(), price: price.map(str::to_owned), usage }
}

fn preview(catalog: &Catalog, usage: &[PricedUsage], credits: &[Decimal]) -> Invoice {
    let tier = &catalog.tiers()[0];
    Invoice::preview(&Basis::new(catalog, tier, None), usage, None, credits).expect("an invoice")
}

fn example() -> Json {
    json!({
        "id": "public",
        "version": "1",
        "currency": "USD",
        "meters": ["requests", "tokens"],
        "tiers": [{
            "id": "professional",
            "baseAmount": "20",
            "minimumAmount": "30",
            "included": [
                { "meter": "requests", "units": 1000, "overage": "charge" },
                { "meter": "tokens", "units": 5000, "overage": "block" },
            ],
        }],
        "prices": [
            { "id": "search", "meter": "requests", "route": "/search", "price": { "model": "per_unit", "unitAmount": "0.01" } },
            { "id": "request", "meter": "requests", "price": { "model": "package", "amount": "1", "packageSize": 100 } },
        ],
    })
}

fn lines(invoice: &Invoice) -> Vec<(String, String, String)> {
    let line = |line: &weighbridge::domain::invoice::InvoiceLine| {
        (line.line.description.clone(), line.line.units.to_string(), line.line.amount().to_string())
    };
    invoice.lines.iter().map(line).collect()
}

fn expected(lines: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    lines.iter().map(|(what, units, amount)| ((*what).into(), (*units).into(), (*amount).into())).collect()
}

#[test]
fn an_invoice_says_what_everything_costs() {
    let usage = [
        row("tokens", None, "5200"),
        row("requests", Some("request"), "700"),
        row("requests", Some("search"), "600"),
        row("requests", Some("search"), "50"),
    ];
    let invoice = preview(&catalog(&example()), &usage, &[decimal("4.5"), decimal("100")]);
    assert_eq!(
        lines(&invoice),
        expected(&[
            ("Base amount", "0", "20"),
            // 650 searches and 350 of the 700 requests.
            ("Included units", "1000", "0"),
            ("Units", "0", "0"),
            ("Packages of 100 units", "4", "4"),
            ("Included units", "5000", "0"),
            ("Units without a price", "200", "0"),
            ("Minimum amount", "0", "6"),
        ])
    );
    assert_eq!(invoice.lines[2].item, Item::Usage { meter: "requests".into(), price: "search".into() });
    assert_eq!((invoice.subtotal(), invoice.total()), (decimal("30"), decimal("0")));
    let applied: Vec<String> = invoice.credits.iter().map(|credit| credit.applied.to_string()).collect();
    assert_eq!(applied, ["4.5", "25.5"]);
}

#[test]
fn a_part_of_a_period_costs_a_part_of_the_tier() {
    let catalog = catalog(&example());
    let instant = |day: i64| Timestamp::from_stored(day * 86_400_000);
    let whole = Period { start: instant(0), end: instant(31) };
    let part = Period { start: instant(10), ..whole };
    let share = Proration::by_second(part, whole).unwrap();
    let invoice = Invoice::preview(&Basis::new(&catalog, &catalog.tiers()[0], Some(share)), &[], None, &[]).unwrap();
    // 20 × 21/31 = 13.548…, and 30 × 21/31 = 20.322….
    assert_eq!(lines(&invoice), expected(&[("Base amount", "0", "13.55"), ("Minimum amount", "0", "6.77")]));
}

#[test]
fn what_cannot_be_on_an_invoice_is_refused() {
    let catalog = catalog(&example());
    let tier = &catalog.tiers()[0];
    let negative = PricedUsage { usage: Usage { quantity: decimal("-1"), events: None }, ..row("tokens", None, "0") };
    for (usage, says) in [
        (row("token", None, "1"), "`usage[0]`: there is no meter \"token\"; did you mean \"tokens\"?"),
        (row("tokens", Some("search"), "1"), "`usage[0]`: no price \"search\" of the meter \"tokens\" applies"),
        (row("requests", Some("x"), "1"), "`usage[0]`: no price \"x\" of the meter \"requests\" applies"),
        (negative, "`usage[0]`: the quantity must not be negative, got -1"),
    ] {
        let error = Invoice::preview(&Basis::new(&catalog, tier, None), &[usage], None, &[]).unwrap_err();
        assert!(error.message.starts_with(says), "{error}");
    }
    let error =
        Invoice::preview(&Basis::new(&catalog, tier, None), &[], None, &[decimal("1"), decimal("-1")]).unwrap_err();
    assert_eq!(error.message, "`credits[1]` must not be negative, got -1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Base, usage above what is included, minimum, credits: all that the oracle calculates from the same numbers. Neither
    /// the order of the usage nor how it is broken down changes it.
    #[test]
    fn invoices_agree_with_rational_numbers(
        prices in Prices::arbitrary(),
        base in 0..50_000_000_000u64,
        minimum in 0..500_000_000_000u64,
        included in 0..100u64,
        usage in prop::collection::vec((0..4usize, 0..100u64), 0..12),
        credits in prop::collection::vec(0..50_000_000_000u64, 0..4),
    ) {
        let ids = ["a", "b", "c", "d"];
        let entry = |(id, price): (&&str, Json)| json!({ "id": id, "meter": "m", "route": format!("/{id}"), "price": price });
        let catalog = catalog(&json!({
            "id": "c",
            "version": "1",
            "currency": "EUR",
            "meters": ["m"],
            "tiers": [{
                "id": "t",
                "baseAmount": millionths_text(base),
                "minimumAmount": millionths_text(minimum),
                "included": [{ "meter": "m", "units": included, "overage": "charge" }],
            }],
            "prices": ids.iter().zip(prices.json()).map(entry).collect::<Json>(),
        }));
        let rows: Vec<PricedUsage> =
            usage.iter().map(|(price, quantity)| row("m", Some(ids[*price]), &grains_text(*quantity))).collect();
        let given: Vec<Decimal> = credits.iter().map(|credit| decimal(&millionths_text(*credit))).collect();
        let invoice = preview(&catalog, &rows, &given);

        let mut free = included * oracle::GRAINS_PER_UNIT;
        let mut subtotal = millionths(base);
        for index in 0..4 {
            let quantities: Vec<u64> = usage.iter().filter(|(price, _)| *price == index).map(|(_, q)| *q).collect();
            if quantities.is_empty() {
                continue;
            }
            let quantity: u64 = quantities.iter().sum();
            let covered = quantity.min(free);
            free -= covered;
            subtotal += prices.amount(index, quantity - covered);
        }
        let subtotal = subtotal.max(millionths(minimum));
        let credit = credits.iter().fold(integer(0), |sum, credit| sum + millionths(*credit));
        let total = (&subtotal - credit).max(integer(0));

        let value = |decimal: &Decimal| rational(&decimal.to_string());
        prop_assert_eq!(value(&invoice.subtotal()), subtotal);
        prop_assert_eq!(value(&invoice.total()), total.clone());

        // The parts are the whole, to the last digit.
        let lines = invoice.lines.iter().fold(integer(0), |sum, line| sum + value(&line.line.amount()));
        let applied = invoice.credits.iter().fold(integer(0), |sum, credit| sum + value(&credit.applied));
        prop_assert_eq!(lines - applied, value(&invoice.total()));
        prop_assert_eq!(invoice.credits.len(), credits.len());
        for credit in &invoice.credits {
            prop_assert!(!credit.applied.is_negative() && credit.applied <= credit.amount);
        }
        let cent = value(&invoice.payable(Rounding::HalfEven)) - &total;
        prop_assert!(cent.clone() * integer(200) <= integer(1) && cent * integer(200) >= -integer(1));

        let reversed: Vec<PricedUsage> = rows.iter().rev().cloned().collect();
        prop_assert_eq!(&preview(&catalog, &reversed, &given), &invoice);
        let sum = |index: usize| usage.iter().filter(|(price, _)| *price == index).map(|(_, quantity)| quantity).sum();
        let used = |index: &usize| usage.iter().any(|(price, _)| price == index);
        let added_up: Vec<PricedUsage> =
            (0..4).filter(used).map(|index| row("m", Some(ids[index]), &grains_text(sum(index)))).collect();
        prop_assert_eq!(&preview(&catalog, &added_up, &given), &invoice);
    }
}
