//! Events that cost what they add to a period's amount, rated in the transaction that counts them.

use std::sync::{Arc, Barrier};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::invoice::{Basis, Item, PricedUsage};
use weighbridge::domain::rating::Usage;
use weighbridge::domain::{
    Catalog, CatalogVersions, CostBasis, Decimal, Invoice, Meter, PriceId, Refusal, Spending, UsageEvent,
};
use weighbridge::store::RecordStatus::{Counted, Duplicate as Repeated, Replayed};
use weighbridge::store::Verdict::{Duplicate, Recorded, Refused};
use weighbridge::store::{Change, Store};

use super::Fixture;
use crate::support::leases::{journaled_at, statuses};
use crate::support::*;

/// `included` units of the meter `tokens` are free to the tier `plus`; `free` includes none.
fn version(name: &str, included: u64) -> Catalog {
    let graduated =
        json!([{ "upTo": 3, "unitAmount": "1" }, { "upTo": null, "unitAmount": "0.25", "flatAmount": "0.5" }]);
    let volume = json!([{ "upTo": 3, "unitAmount": "1" }, { "upTo": null, "unitAmount": "0.5" }]);
    let price =
        |id: &str, meter: &str, price| json!({ "id": id, "meter": meter, "route": format!("/{id}"), "price": price });
    let catalog = json!({
        "id": "public", "version": name, "currency": "USD", "meters": ["api_request", "tokens"],
        "tiers": [
            { "id": "free" },
            { "id": "plus", "included": [{ "meter": "tokens", "units": included, "overage": "charge" }] },
        ],
        "prices": [
            price("graduated", "api_request", json!({ "model": "graduated", "tiers": graduated })),
            price("package", "api_request", json!({ "model": "package", "amount": "5", "packageSize": 100 })),
            price("volume", "api_request", json!({ "model": "volume", "tiers": volume })),
            price("share", "tokens", json!({ "model": "percentage", "rate": "10", "fixedAmount": "0.3", "freeEvents": 1 })),
            price("token", "tokens", json!({ "model": "per_unit", "unitAmount": "0.01" })),
        ],
    });
    Catalog::parse(&catalog.to_string()).unwrap()
}

fn offer(catalogs: Vec<Catalog>) -> Change {
    Change::Offer(Arc::new(CatalogVersions::new(catalogs).unwrap()))
}

/// A store with a catalog whose tier `plus` includes ten tokens; `ann` and `bob` have it.
fn rating(place: &dyn Fixture) -> Box<dyn Store> {
    let store = place.open();
    let setup = [offer(vec![version("1", 10)]), set_tier("ann", "plus"), set_tier("bob", "plus")];
    assert!(commit(&*store, &setup).iter().all(Result::is_ok));
    store
}

fn under(price: &str, number: u32) -> UsageEvent {
    let meter = if matches!(price, "share" | "token") { "tokens" } else { "api_request" };
    let price = PriceId { version: "1".to_owned(), id: price.to_owned() };
    UsageEvent {
        meter: Meter::declared(meter).unwrap(),
        units: units(number),
        cost_basis: CostBasis::Period(price),
        ..event("ann")
    }
}

/// In the order in which they happened, which must be that of recording.
fn costs(store: &dyn Store, customer: &str) -> Vec<String> {
    let mut rows = events(store, Some(customer), all_time());
    rows.sort_by_key(|row| row.at);
    rows.iter().map(|row| row.cost.to_string()).collect()
}

/// What events of so many units cost, one after the other; a few milliseconds apart, each in a group of its own.
fn cost_each(store: &dyn Store, events: &[UsageEvent]) -> Vec<String> {
    let before = costs(store, "ann").len();
    for (place, event) in (before as i64..).zip(events) {
        let event = UsageEvent { timestamp: event.timestamp.plus_millis(place), ..event.clone() };
        assert_eq!(verdict(store, record(event)), Recorded);
    }
    costs(store, "ann").split_off(before)
}

fn spent(store: &dyn Store, customer: &str, meter: &str, period_start: &str) -> String {
    counter(store, customer, Meter::declared(meter).unwrap(), period_start).1
}

const MARCH: &str = "2026-03-01T00:00:00Z";

fn anchored(at_instant: Option<&str>) -> Change {
    let billing_cycle_anchor = at_instant.map_or(Patch::Clear, |instant| Patch::Set(at(instant)));
    upsert("ann", CustomerPatch { billing_cycle_anchor, ..CustomerPatch::default() })
}

pub fn an_event_pays_the_tiers_that_it_lies_in(place: &dyn Fixture) {
    let store = rating(place);
    let said = cost_each(&*store, &[2, 1, 1, 1].map(|number| under("graduated", number)));
    assert_eq!(said, ["2", "1", "0.75", "0.25"]);
    // One that crosses the boundary: a unit of the first tier, and two of the next one with its flat amount.
    let other = UsageEvent { customer_id: customer_id("bob"), ..under("graduated", 2) };
    let crossing = UsageEvent { units: units(3), timestamp: now().plus_millis(1), ..other.clone() };
    assert_eq!(verdicts(&*store, &[record(other), record(crossing)]), [Recorded, Recorded]);
    assert_eq!(costs(&*store, "bob"), ["2", "2"]);
    assert_eq!(spent(&*store, "ann", "api_request", MARCH), "4");
    let hour: Vec<String> =
        hourly_rollups(&*store, Some("ann"), all_time()).iter().map(|row| row.cost.to_string()).collect();
    assert_eq!(hour, ["4"]);
}

pub fn the_event_that_begins_a_package_pays_it(place: &dyn Fixture) {
    let store = rating(place);
    assert_eq!(cost_each(&*store, &[1, 99, 1, 250].map(|number| under("package", number))), ["5", "0", "5", "10"]);
}

pub fn a_volume_price_may_give_something_back(place: &dyn Fixture) {
    let store = rating(place);
    assert_eq!(cost_each(&*store, &[3, 1, 1].map(|number| under("volume", number))), ["3", "-1", "0.5"]);
    assert_eq!(spent(&*store, "ann", "api_request", MARCH), "2.5");
}

pub fn included_units_are_free_and_shared_by_the_prices_of_a_meter(place: &dyn Fixture) {
    let store = rating(place);
    // Ten are included, and "share" comes first in the catalog: what it takes makes tokens that were free cost something.
    let all = [under("token", 8), under("share", 2), under("share", 5), under("token", 1)];
    assert_eq!(cost_each(&*store, &all), ["0", "0", "0.35", "0.01"]);
    // Without included units each price is alone, and each event after the first has its fixed amount.
    commit(&*store, &[set_tier("ann", "free")]);
    assert_eq!(cost_each(&*store, &[under("share", 10), under("token", 1)]), ["1.3", "0.01"]);
}

pub fn prices_of_one_meter_are_rated_apart(place: &dyn Fixture) {
    let store = rating(place);
    let all = [under("graduated", 3), under("package", 1), under("graduated", 1), under("package", 99)];
    assert_eq!(cost_each(&*store, &all), ["3", "5", "0.75", "0"]);
    assert_eq!(spent(&*store, "ann", "api_request", MARCH), "8.75");
}

pub fn customers_and_periods_are_rated_apart(place: &dyn Fixture) {
    let store = rating(place);
    let april = UsageEvent { timestamp: days_later(30), ..under("graduated", 3) };
    let bob = UsageEvent { customer_id: customer_id("bob"), ..under("graduated", 3) };
    assert_eq!(cost_each(&*store, &[under("graduated", 3), april]), ["3", "3"]);
    assert_eq!(verdict(&*store, record(bob)), Recorded);
    assert_eq!(costs(&*store, "bob"), ["3"]);
    // One that comes late counts in its own period.
    let late = UsageEvent { timestamp: now().plus_millis(-1), ..under("graduated", 1) };
    assert_eq!(verdict(&*store, record(late)), Recorded);
    assert_eq!(costs(&*store, "ann"), ["0.75", "3", "3"]);
}

pub fn what_is_not_counted_is_not_rated(place: &dyn Fixture) {
    let store = rating(place);
    let with_id = |number| UsageEvent { id: event_with_id("ann", "one").id, ..under("graduated", number) };
    let twice = [record(with_id(2)), record(with_id(2)), admit(with_id(3))];
    let said = verdicts(&*store, &twice);
    assert_eq!(said[..2], [Recorded, Duplicate]);
    assert_eq!(said[2], Refused(Refusal::IdempotencyConflict));
    assert_eq!(verdict(&*place.open(), record(with_id(2))), Duplicate);
    commit(&*store, &[suspend("ann")]);
    assert_eq!(verdict(&*store, admit(under("graduated", 1))), Refused(Refusal::Suspended));
    assert_eq!(cost_each(&*store, &[under("graduated", 2)]), ["1.75"]);
}

pub fn a_journal_that_is_replayed_is_rated_once(place: &dyn Fixture) {
    let store = rating(place);
    let at_place = |place: i64| UsageEvent { timestamp: now().plus_millis(place), ..under("graduated", 2) };
    let journal: Vec<Change> = (1..=2).map(|place| journaled_at("one", place as u64, at_place(place), None)).collect();
    assert_eq!(statuses(&*store, &journal), [Counted, Counted]);
    assert_eq!(statuses(&*place.open(), &journal), [Replayed, Replayed]);
    let known = UsageEvent { id: event_with_id("ann", "one").id, ..at_place(3) };
    let again = [journaled_at("one", 3, known.clone(), None), journaled_at("two", 1, known, None)];
    assert_eq!(statuses(&*store, &again), [Counted, Repeated]);
    assert_eq!(costs(&*store, "ann"), ["2", "1.75", "0.5"]);
}

pub fn an_id_is_the_same_event_at_another_price(place: &dyn Fixture) {
    let store = rating(place);
    let with_id = |id: &str, cost: &str, cost_basis: &CostBasis| UsageEvent {
        cost: money(cost),
        cost_basis: cost_basis.clone(),
        ..event_with_id("ann", id)
    };
    let by_list = CostBasis::UnitPrice;
    let by_period = under("graduated", 1).cost_basis;
    let by_caller = CostBasis::Caller;
    assert_eq!(verdict(&*store, record(with_id("a", "0.1", &by_list))), Recorded);
    assert_eq!(verdict(&*store, record(with_id("a", "0.2", &by_list))), Duplicate);
    assert_eq!(verdict(&*place.open(), record(with_id("a", "0", &by_period))), Duplicate);
    assert_eq!(verdict(&*store, record(with_id("b", "0.1", &by_caller))), Recorded);
    assert_eq!(verdict(&*store, record(with_id("b", "0.2", &by_caller))), Refused(Refusal::IdempotencyConflict));
    // As it was remembered when costs were a part of every fingerprint.
    assert_eq!(verdict(&*store, record(with_id("b", "0.1", &by_list))), Duplicate);
}

pub fn a_cap_is_exact_within_tiers(place: &dyn Fixture) {
    let store = rating(place);
    let cap =
        |cap: &str| upsert("ann", CustomerPatch { spend_cap: Patch::Set(money(cap)), ..CustomerPatch::default() });
    commit(&*store, &[cap("4.25")]);
    // 1, 1, 1, then 0.75 for the first of the second tier, and 0.25 for each that follows: six of them are 4.25.
    let said = verdicts(&*store, &vec![admit(under("graduated", 1)); 9]);
    assert_eq!(said[..6], vec![Recorded; 6]);
    let spending = |cap, spent| Spending { cap: money(cap), spent: money(spent) };
    let refused =
        |cap, spent, cost| Refused(Refusal::SpendCapExceeded { spending: spending(cap, spent), cost: money(cost) });
    assert_eq!(said[6..], vec![refused("4.25", "4.25", "0.25"); 3]);
    commit(&*store, &[cap("5")]);
    assert_eq!(verdict(&*store, admit(under("graduated", 4))), refused("5", "4.25", "1"));
    assert_eq!(verdict(&*store, admit(under("graduated", 3))), Recorded);
    assert_eq!(verdict(&*store, admit(under("token", 10))), Recorded, "they are included");
    assert_eq!(verdict(&*store, admit(under("token", 1))), refused("5", "5", "0.01"));
    assert_eq!(spent(&*store, "ann", "api_request", MARCH), "5");
}

pub fn meters_of_the_catalog_spend_the_cap(place: &dyn Fixture) {
    let store = rating(place);
    let cap = upsert("ann", CustomerPatch { spend_cap: Patch::Set(money("0.02")), ..CustomerPatch::default() });
    commit(&*store, &[cap]);
    assert_eq!(verdict(&*store, record(under("token", 12))), Recorded);
    assert!(matches!(verdict(&*store, admit(under("graduated", 1))), Refused(Refusal::SpendCapExceeded { .. })));
}

pub fn stores_on_one_place_rate_one_after_the_other(place: &dyn Fixture) {
    rating(place);
    let barrier = Barrier::new(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let store = place.open();
                barrier.wait();
                for _ in 0..20 {
                    commit(&*store, &[record(under("package", 7)), record(under("graduated", 1))]);
                }
            });
        }
    });
    // 420 units are five packages; 60 are three at 1 and 57 at 0.25, with 0.5.
    assert_eq!(spent(&*place.open(), "ann", "api_request", MARCH), "42.75");
}

pub fn other_periods_sort_what_was_used_under_prices(place: &dyn Fixture) {
    let store = rating(place);
    let early = UsageEvent { timestamp: at("2026-03-01T00:00:00.250Z"), ..under("graduated", 2) };
    assert_eq!(cost_each(&*store, &[early, under("graduated", 2)]), ["2", "1.75"]);
    // From the 5th on two units were used; what they cost stays.
    commit(&*store, &[anchored(Some("2026-01-05T00:00:00Z"))]);
    assert_eq!(spent(&*store, "ann", "api_request", "2026-03-05T00:00:00Z"), "1.75");
    assert_eq!(cost_each(&*store, &[under("graduated", 1), under("graduated", 1)]), ["1", "0.75"]);
    commit(&*store, &[anchored(None)]);
    assert_eq!(cost_each(&*store, &[under("graduated", 1)]), ["0.25"]);
    // In New York March begins at five in the morning, so that the first event was in February.
    commit(&*store, &[configure_time_zone("America/New_York")]);
    let february = UsageEvent { timestamp: at("2026-03-01T04:00:00Z"), ..under("graduated", 1) };
    assert_eq!(verdict(&*store, record(february)), Recorded);
    assert_eq!(costs(&*store, "ann")[1], "1");
    assert_eq!(
        store.quantities(&customer_id("ann"), at("2026-03-01T05:00:00Z"), Meter::API_REQUEST).unwrap()["graduated"]
            .units,
        5
    );
}

pub fn a_price_of_an_older_version_rates_by_that_version(place: &dyn Fixture) {
    let store = rating(place);
    commit(&*store, &[offer(vec![version("1", 10), version("2", 0)])]);
    assert_eq!(cost_each(&*store, &[under("token", 11)]), ["0.01"]);
    let unknown = CostBasis::Period(PriceId { version: "1".to_owned(), id: "no such price".to_owned() });
    let outcome = apply(&*store, record(UsageEvent { cost_basis: unknown, ..event("ann") }));
    assert_eq!(outcome.unwrap_err().code, weighbridge::Code::InvalidCatalog);
    assert_eq!(used(&*store, "ann"), 0);
}

/// Whatever is used, in whichever groups and stores: the sum of the events is what the invoice says.
pub fn the_sum_of_the_events_is_the_invoice<F: Fixture>(_: &F) {
    let event = (prop::sample::select(vec!["graduated", "package", "volume", "share", "token"]), 1..40u32);
    let groups = prop::collection::vec(prop::collection::vec(event, 1..8), 1..8);
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    let run = |groups: Vec<Vec<(&str, u32)>>| {
        let place = F::new();
        let stores = [rating(&place), place.open()];
        for (group, store) in groups.iter().zip(stores.iter().cycle()) {
            let changes: Vec<_> = group.iter().map(|(price, number)| record(under(price, *number))).collect();
            verdicts(&**store, &changes);
        }
        let catalog = version("1", 10);
        let row = |(price, number): &(&str, u32)| {
            let UsageEvent { meter, .. } = under(price, *number);
            let usage = Usage { quantity: Decimal::from(u64::from(*number)), events: Some(Decimal::from(1)) };
            PricedUsage { meter: meter.as_str().to_owned(), price: Some((*price).to_owned()), usage }
        };
        let usage: Vec<_> = groups.iter().flatten().map(row).collect();
        let invoice =
            Invoice::preview(&Basis::new(&catalog, catalog.tier("plus").unwrap(), None), &usage, None, &[]).unwrap();
        let of_usage = invoice.lines.iter().filter(|line| matches!(line.item, Item::Usage { .. }));
        let expected: Decimal = of_usage.map(|line| line.line.amount()).sum();
        let counters = stores[0].counters(&customer_id("ann"), at(MARCH)).unwrap();
        let decimal = |text: String| Decimal::parse("cost", &text).unwrap();
        let counted: Decimal = counters.iter().map(|counter| decimal(counter.cost.to_string())).sum();
        let recorded: Decimal = costs(&*stores[1], "ann").into_iter().map(decimal).sum();
        prop_assert_eq!((&counted, &recorded), (&expected, &expected));
        Ok(())
    };
    TestRunner::new(config).run(&groups, run).unwrap();
}
