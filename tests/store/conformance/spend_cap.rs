//! Spend caps: money to the last digit, and not one digit more.

use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::lease::Wish;
use weighbridge::domain::{Meter, Quota, Refusal, Spending, UsageEvent};
use weighbridge::store::Verdict::{self, Duplicate, Recorded, Refused};
use weighbridge::store::{Change, Charge, LeasePart, LeaseRequest, Store};

use super::Fixture;
use crate::support::leases::{holder, leased, march, return_leases};
use crate::support::*;

fn set_cap(cap: Option<&str>) -> Change {
    let spend_cap = cap.map_or(Patch::Clear, |cap| Patch::Set(money(cap)));
    upsert("ann", CustomerPatch { spend_cap, ..CustomerPatch::default() })
}

/// A store where `ann` may spend so much a month.
fn with_cap(place: &dyn Fixture, cap: &str) -> Box<dyn Store> {
    let store = place.open();
    assert!(commit(&*store, &[configure_tiers(&[("tier", None)]), set_cap(Some(cap))]).iter().all(Result::is_ok));
    store
}

fn costing(cost: &str) -> UsageEvent {
    UsageEvent { cost: money(cost), ..event("ann") }
}

fn exceeded(cap: &str, spent: &str, cost: &str) -> Verdict {
    let spending = Spending { cap: money(cap), spent: money(spent) };
    Refused(Refusal::SpendCapExceeded { spending, cost: money(cost) })
}

pub fn a_cap_is_spent_to_the_last_digit_within_a_group(place: &dyn Fixture) {
    let store = with_cap(place, "1");
    let said = verdicts(&*store, &vec![admit(costing("0.03")); 40]);
    assert!(said[..33].iter().all(|verdict| *verdict == Recorded));
    assert!(said[33..].iter().all(|verdict| *verdict == exceeded("1", "0.99", "0.03")));
    assert_eq!(verdict(&*store, admit(costing("0.010000000001"))), exceeded("1", "0.99", "0.010000000001"));
    assert_eq!(verdict(&*store, admit(costing("0.01"))), Recorded);
    assert_eq!(verdict(&*store, admit(costing("0.000000000001"))), exceeded("1", "1", "0.000000000001"));
    assert_eq!(verdict(&*store, admit(costing("0"))), Recorded, "what is free");
}

pub fn stores_on_one_place_spend_the_cap_between_them(place: &dyn Fixture) {
    let store = with_cap(place, "10");
    let stores = [place.open(), place.open()];
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let store = &*stores[thread % 2];
                let group = vec![admit(costing("0.03")); 2 + thread];
                scope.spawn(move || {
                    let groups = (0..40).map(|_| verdicts(store, &group));
                    groups.flatten().filter(|verdict| *verdict == Recorded).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that charges")).sum()
    });
    assert_eq!((admitted, used(&*store, "ann")), (333, 333));
}

pub fn all_meters_spend_the_same_cap(place: &dyn Fixture) {
    let store = with_cap(place, "1");
    let on = |meter| admit(UsageEvent { meter, ..costing("0.4") });
    assert_eq!(verdict(&*store, on(Meter::API_REQUEST)), Recorded);
    assert_eq!(verdict(&*store, on(Meter::AGENT_EXECUTION)), Recorded);
    assert_eq!(verdict(&*store, on(Meter::DATA_ACCESS)), exceeded("1", "0.8", "0.4"));
}

pub fn what_has_happened_passes_the_cap_and_counts(place: &dyn Fixture) {
    let store = with_cap(place, "1");
    assert_eq!(verdict(&*store, record(costing("5"))), Recorded);
    assert_eq!(verdict(&*store, admit(costing("0.01"))), exceeded("1", "5", "0.01"));
}

pub fn a_retry_passes_a_cap_that_is_spent(place: &dyn Fixture) {
    let store = with_cap(place, "1");
    let first = UsageEvent { cost: money("1"), ..event_with_id("ann", "first") };
    assert_eq!(verdict(&*store, admit(first.clone())), Recorded);
    assert_eq!(verdict(&*store, admit(first)), Duplicate);
    let refused = UsageEvent { cost: money("1"), ..event_with_id("ann", "second") };
    assert_eq!(verdict(&*store, admit(refused.clone())), exceeded("1", "1", "1"));
    // What was refused was not seen.
    commit(&*store, &[set_cap(Some("2"))]);
    assert_eq!(verdict(&*store, admit(refused)), Recorded);
}

pub fn a_cap_holds_from_the_change_that_sets_it(place: &dyn Fixture) {
    let store = with_cap(place, "1");
    let said = [
        (set_cap(None), Recorded),
        (set_cap(Some("3")), Recorded),
        (set_cap(Some("2")), exceeded("2", "2", "1")),
        (set_cap(Some("0")), exceeded("0", "2", "1")),
        (set_cap(None), Recorded),
    ];
    for (change, expected) in said {
        commit(&*store, &[change]);
        assert_eq!(verdict(&*store, admit(costing("1"))), expected);
    }
}

pub fn a_period_has_a_cap_of_its_own(place: &dyn Fixture) {
    let store = with_cap(place, "1");
    let april = UsageEvent { timestamp: days_later(30), ..costing("1") };
    assert_eq!(verdict(&*store, admit(costing("1"))), Recorded);
    assert_eq!(verdict(&*store, admit(april.clone())), Recorded);
    assert_eq!(verdict(&*store, admit(april)), exceeded("1", "1", "1"));
}

pub fn leases_of_money_leave_room_for_nobody_else(place: &dyn Fixture) {
    let store = with_cap(place, "1");
    let wish = Wish { needed: 600_000_000, wanted: 600_000_000 };
    let (holder, customer_id, quota) = (holder("one"), customer_id("ann"), Quota::Spend);
    let request = LeaseRequest {
        holder: holder.clone(),
        customer_id: customer_id.clone(),
        quota,
        now: now(),
        wish,
        urgent: true,
    };
    assert_eq!(leased(&*store, Change::Lease(request.clone())).granted, 600_000_000);
    // Of another meter, too.
    let of_tokens = UsageEvent { meter: Meter::DATA_ACCESS, ..costing("0.3") };
    assert_eq!(
        verdicts(&*store, &[admit(of_tokens), admit(costing("0.100000000001"))]),
        [Recorded, exceeded("1", "0.3", "0.100000000001")]
    );
    assert_eq!(verdict(&*store, admit(costing("0.1"))), Recorded);
    let part = LeasePart { holder, customer_id, quota, period_start: march().start, units: 250_000_000 };
    let paid = |cost: &str| {
        let charge =
            Charge { event: costing(cost), admission: Some(Default::default()), paid: vec![part.clone()], now: now() };
        verdict(&*store, Change::Charge(charge))
    };
    assert_eq!(paid("0.250000000001"), exceeded("1", "0.4", "0.250000000001"), "there is no room for the rest");
    assert_eq!(paid("0.25"), Recorded);
    assert_eq!(leased(&*store, Change::Lease(request)).granted, 0);
    assert!(apply(&*store, return_leases("one")).is_ok());
    assert_eq!(
        verdicts(&*store, &[admit(costing("0.35")), admit(costing("0.000000000001"))]),
        [Recorded, exceeded("1", "1", "0.000000000001")]
    );
}
