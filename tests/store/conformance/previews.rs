//! Previews of invoices: as much as the events cost.

use serde_json::json;
use weighbridge::domain::credit::GrantRequest;
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::invoice::Item;
use weighbridge::domain::json::Value;
use weighbridge::domain::{CostBasis, Decimal, Meter, PriceId, Timestamp, UsageEvent};
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
        "tiers": [{ "id": "tier", "baseAmount": "7" }, { "id": "other", "baseAmount": "31" }],
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

fn question(at: Timestamp) -> invoices::Question {
    invoices::Question { customer_id: customer_id("ann"), at, catalog: None, tier: None, held: None, credits: vec![] }
}

fn preview_at(store: &dyn Store, at: Timestamp, tier: Option<&str>, credits: &[&str]) -> Preview {
    let credits = credits.iter().map(|credit| Decimal::parse("amount", credit).unwrap()).collect();
    let question = invoices::Question { tier: tier.map(str::to_owned), credits, ..question(at) };
    invoices::preview(store, &store.catalog().unwrap(), &question).unwrap().unwrap()
}

fn preview(store: &dyn Store, tier: Option<&str>, credits: &[&str]) -> Preview {
    preview_at(store, now(), tier, credits)
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
    assert_eq!(
        (applied, said.invoice.total().to_string()),
        (["0.5", "1", "8.5"].map(String::from).to_vec(), "0".into())
    );
    // What others would pay for the same.
    assert_eq!(credited(&preview(&*store, Some("other"), &[])), []);

    // Three that credit pays for, and one that makes them cheaper.
    assert!(commit(&*store, &[give("api_request", "3")]).iter().all(Result::is_ok));
    tell(under("volume", 3));
    tell(under("volume", 1));
    let said = preview(&*store, None, &[]);
    assert_eq!((said.tally.cost.to_string(), said.invoice.subtotal().to_string()), ("2".into(), "9".into()));
}

/// The lines of one kind, by what they say.
fn lines_of(preview: &Preview, is_of_kind: impl Fn(&Item) -> bool) -> Vec<(String, String)> {
    let lines = preview.invoice.lines.iter().filter(|line| is_of_kind(&line.item));
    lines.map(|line| (line.line.description.clone(), line.line.amount().to_string())).collect()
}

fn bases(preview: &Preview) -> Vec<(String, String)> {
    lines_of(preview, |item| *item == Item::Base)
}

fn line(description: &str, amount: &str) -> (String, String) {
    (description.to_owned(), amount.to_owned())
}

pub fn each_tier_is_due_for_as_long_as_it_was_held(place: &dyn Fixture) {
    let store = open(place);
    let change = |tier, now| {
        let patch = CustomerPatch { tier_id: Patch::Set(String::from(tier)), ..CustomerPatch::default() };
        apply(&*store, Change::UpsertCustomer { id: customer_id("ann"), patch, now }).unwrap();
    };
    let at_instant = |at| preview_at(&*store, at, None, &[]);
    assert_eq!(verdict(&*store, record(under("graduated", 2))), Recorded);
    // 9.5 of 31 days have passed.
    change("other", now());
    assert_eq!(verdict(&*store, record(tokens(50))), Recorded);
    let said = at_instant(now());
    assert_eq!(bases(&said), [line("Base amount of tier", "2.15"), line("Base amount of other", "21.5")]);
    assert_eq!((said.tier.as_str(), said.invoice.subtotal().to_string()), ("other", "26.15".to_owned()));
    assert_eq!(bases(&at_instant(at("2026-02-01T00:00:00Z"))), [line("Base amount", "7")], "it was his before");
    assert_eq!(bases(&at_instant(at("2026-04-01T00:00:00Z"))), [line("Base amount", "31")]);
    // He has thought better of it at once.
    change("tier", now());
    assert_eq!(bases(&at_instant(now())), [line("Base amount of tier", "2.15"), line("Base amount of tier", "4.85")]);
    // Another customer has had one tier only.
    assert!(
        commit(&*store, &[upsert("bob", CustomerPatch::default()), set_tier("bob", "other")]).iter().all(Result::is_ok)
    );
    let catalog = store.catalog().unwrap();
    let of_bob = invoices::Question { customer_id: customer_id("bob"), ..question(now()) };
    assert_eq!(bases(&invoices::preview(&*store, &catalog, &of_bob).unwrap().unwrap()), [line("Base amount", "31")]);
}

pub fn a_time_without_a_tier_is_due_to_nobody(place: &dyn Fixture) {
    let store = open(place);
    let change = |tier_id, now| {
        let patch = CustomerPatch { tier_id, ..CustomerPatch::default() };
        apply(&*store, Change::UpsertCustomer { id: customer_id("ann"), patch, now }).unwrap();
    };
    assert_eq!(verdict(&*store, record(under("graduated", 2))), Recorded);
    // After 9.5 of 31 days.
    change(Patch::Clear, now());
    let said = preview_at(&*store, now(), None, &[]);
    assert_eq!((said.tier.as_str(), bases(&said)), ("tier", vec![line("Base amount", "2.15")]));
    assert_eq!(said.invoice.subtotal().to_string(), "4.15");
    // He comes back for the last day.
    change(Patch::Set("tier".to_owned()), at("2026-03-31T00:00:00Z"));
    let said = preview_at(&*store, now(), None, &[]);
    assert_eq!(bases(&said), [line("Base amount of tier", "2.15"), line("Base amount of tier", "0.23")]);
}

pub fn a_bill_is_what_its_events_cost_whoever_said_so(place: &dyn Fixture) {
    let store = open(place);
    let named = UsageEvent { cost: money("0.123456789012"), cost_basis: CostBasis::Caller, ..tokens(1) };
    for event in [under("graduated", 2), named] {
        assert_eq!(verdict(&*store, record(event)), Recorded);
    }
    let said = preview(&*store, None, &[]);
    let differing = lines_of(&said, |item| matches!(item, Item::Recorded { .. }));
    assert_eq!(differing, [line("Recorded at other prices", "0.113456789012")]);
    assert_eq!(said.invoice.subtotal().to_string(), "9.123456789012");
    // By another tier it is what the catalog says.
    assert_eq!(preview(&*store, Some("other"), &[]).invoice.subtotal().to_string(), "33.01");
}

pub fn credit_pays_what_it_has_paid_and_no_base_amount(place: &dyn Fixture) {
    let store = open(place);
    assert!(commit(&*store, &[give("money", "1.5")]).iter().all(Result::is_ok));
    assert_eq!(verdict(&*store, record(under("graduated", 2))), Recorded);
    let said = preview(&*store, None, &["0.25"]);
    let credits = said.invoice.credits.iter();
    let credits: Vec<_> = credits.map(|line| (line.grant.as_deref(), line.applied.to_string())).collect();
    assert_eq!(credits, [(Some("money-1.5"), "1.5".to_owned()), (None, "0.25".to_owned())]);
    assert_eq!(said.invoice.total().to_string(), "7.25");
    // In the next period nothing was used; what a new grant pays is owed from this one.
    let later = at("2026-04-02T00:00:00Z");
    let request = GrantRequest::read(&Value::parse("grant", r#"{ "id": "later", "amount": "10" }"#).unwrap()).unwrap();
    apply(&*store, Change::GrantCredit { customer_id: customer_id("ann"), request, now: later }).unwrap();
    let said = preview_at(&*store, later, None, &[]);
    assert_eq!(said.invoice.total().to_string(), "7");
}

pub fn credit_that_is_burnt_late_pays_where_it_is_burnt(place: &dyn Fixture) {
    let store = open(place);
    assert!(commit(&*store, &[give("money", "10")]).iter().all(Result::is_ok));
    let told = |cost: &str, happened: &str, counted: &str| {
        let event = UsageEvent { cost: money(cost), ..event_at("ann", happened) };
        assert_eq!(verdict(&*store, record_at(event, at(counted))), Recorded);
    };
    told("1", "2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z");
    told("4", "2026-03-31T23:59:00Z", "2026-04-01T00:00:01Z");
    let total = |instant: &str| {
        let question = invoices::Question {
            customer_id: customer_id("ann"),
            at: at(instant),
            catalog: None,
            tier: None,
            held: None,
            credits: Vec::new(),
        };
        invoices::preview(&*store, &store.catalog().unwrap(), &question).unwrap().unwrap().invoice.total().to_string()
    };
    // 7 a month, and five for what was used, of which credit has paid all.
    assert_eq!([total("2026-03-15T00:00:00Z"), total("2026-04-15T00:00:00Z")], ["11", "3"]);
}
