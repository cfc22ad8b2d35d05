//! Previews of invoices: as much as the events cost.

use serde_json::json;
use weighbridge::domain::credit::GrantRequest;
use weighbridge::domain::invoice::Item;
use weighbridge::domain::json::Value;
use weighbridge::domain::{CostBasis, Meter, PriceId, UsageEvent};
use weighbridge::engine::invoices::{self, Preview};
use weighbridge::store::Verdict::Recorded;
use weighbridge::store::{Change, Store};

use super::Fixture;
use crate::support::*;

/// A store with a catalog, in whose tier `tier` is `ann`.
fn open(place: &dyn Fixture) -> Box<dyn Store> {
    let store = place.open();
    let graduated =
        json!([{ "upTo": 3, "unitAmount": "1" }, { "upTo": null, "unitAmount": "0.25", "flatAmount": "0.5" }]);
    let volume = json!([{ "upTo": 3, "unitAmount": "1" }, { "upTo": null, "unitAmount": "0.5" }]);
    let catalog = json!({
        "id": "public", "version": "1", "currency": "USD", "meters": ["api_request", "tokens"],
        "tiers": [{ "id": "tier", "baseAmount": "7" }, { "id": "other" }],
        "prices": [
            { "id": "graduated", "meter": "api_request", "price": { "model": "graduated", "tiers": graduated } },
            { "id": "volume", "meter": "api_request", "route": "/volume", "price": { "model": "volume", "tiers": volume } },
            { "id": "token", "meter": "tokens", "price": { "model": "per_unit", "unitAmount": "0.01" } },
        ],
    });
    let setup = [offer(&[catalog]), set_tier("ann", "tier")];
    assert!(commit(&*store, &setup).iter().all(Result::is_ok));
    store
}

fn give(unit: &str, amount: &str) -> Change {
    let request = json!({ "id": format!("{unit}-{amount}"), "unit": unit, "amount": amount }).to_string();
    let request = GrantRequest::read(&Value::parse("grant", &request).unwrap()).unwrap();
    Change::GrantCredit { customer_id: customer_id("ann"), request, now: now() }
}

fn under(price: &str, number: u32) -> UsageEvent {
    let price = PriceId { version: "1".to_owned(), id: price.to_owned() };
    let endpoint = (price.id == "volume").then(|| "/volume".to_owned());
    UsageEvent { units: units(number), cost_basis: CostBasis::Period(price), endpoint, ..event("ann") }
}

fn tokens(number: u32) -> UsageEvent {
    let cost = money("0.01").checked_mul(number.into()).unwrap();
    let meter = Meter::declared("tokens").unwrap();
    UsageEvent { meter, units: units(number), cost, cost_basis: CostBasis::UnitPrice, ..event("ann") }
}

fn preview(store: &dyn Store, tier: Option<&str>, credits: &[&str]) -> Preview {
    let question = invoices::Question {
        customer_id: customer_id("ann"),
        at: now(),
        catalog: None,
        tier: tier.map(str::to_owned),
        held: None,
        credits: credits.iter().map(|credit| weighbridge::domain::Decimal::parse("amount", credit).unwrap()).collect(),
    };
    invoices::preview(store, &store.catalog().unwrap(), &question).unwrap().unwrap()
}

/// The lines of what credit for units has paid, by meter.
fn credited(preview: &Preview) -> Vec<(&str, String)> {
    let lines = preview.invoice.lines.iter();
    let credited = lines.filter_map(|line| match &line.item {
        Item::Credited { meter } => Some((meter.as_str(), line.line.amount().to_string())),
        _ => None,
    });
    credited.collect()
}

pub fn credit_for_units_is_taken_off_as_it_was_burnt(place: &dyn Fixture) {
    let store = open(place);
    let tell = |event| assert_eq!(verdict(&*store, record(event)), Recorded);
    tell(under("graduated", 2));
    tell(tokens(50));
    assert_eq!(credited(&preview(&*store, None, &[])), []);
    assert!(commit(&*store, &[give("api_request", "4"), give("money", "100")]).iter().all(Result::is_ok));
    assert_eq!(credited(&preview(&*store, None, &[])), [], "nothing of it was burnt");
    // Of the 1.75 that these three cost nothing is left; of the next three, which cost 0.75, two thirds are.
    tell(under("graduated", 3));
    tell(under("graduated", 3));
    let said = preview(&*store, None, &["1", "100"]);
    assert_eq!(credited(&said), [("api_request", "-2.25".to_owned())]);
    // 7 a month, 2 and 0.5 for requests, 0.5 for tokens.
    assert_eq!((said.tally.cost.to_string(), said.invoice.subtotal().to_string()), ("3".into(), "10".into()));
    let applied: Vec<String> = said.invoice.credits.iter().map(|credit| credit.applied.to_string()).collect();
    assert_eq!((applied, said.invoice.total().to_string()), (vec!["1".into(), "9".into()], "0".into()));
    // What others would pay for the same.
    assert_eq!(credited(&preview(&*store, Some("other"), &[])), []);

    // Three that credit pays for, and one that makes them cheaper.
    assert!(commit(&*store, &[give("api_request", "3")]).iter().all(Result::is_ok));
    tell(under("volume", 3));
    tell(under("volume", 1));
    let said = preview(&*store, None, &[]);
    assert_eq!((said.tally.cost.to_string(), said.invoice.subtotal().to_string()), ("2".into(), "9".into()));
}
