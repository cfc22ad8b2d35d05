//! Customers whose billing periods begin at an anchor.

use std::collections::BTreeMap;
use std::sync::Barrier;

use jiff::ToSpan;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::lease::Wish;
use weighbridge::domain::{Meter, Quota, Timestamp, UsageEvent};
use weighbridge::store::{Applied, Change, LeaseRequest, Leased, Store, Verdict};

use crate::conformance::Fixture;
use crate::support::leases::holder;
use crate::support::{
    admit, all_time, apply, at, charge, commit, configure_tiers, configure_time_zone, counter, customer_id, event,
    event_at, events, record, set_tier, trillionths, upsert, verdict, verdicts,
};

/// `None`: calendar months.
fn anchor(customer: &str, anchor: Option<&str>) -> Change {
    let billing_cycle_anchor = anchor.map_or(Patch::Clear, |anchor| Patch::Set(at(anchor)));
    upsert(customer, CustomerPatch { billing_cycle_anchor, ..CustomerPatch::default() })
}

fn requests(store: &dyn Store, period_start: &str) -> u64 {
    counter(store, "ann", Meter::API_REQUEST, period_start).0
}

fn lease(store: &dyn Store, name: &str, now: &str, wanted: u64) -> Leased {
    let request = LeaseRequest {
        holder: holder(name),
        customer_id: customer_id("ann"),
        quota: Quota::Period(Meter::API_REQUEST),
        now: at(now),
        wish: Wish { needed: 1, wanted },
        urgent: true,
    };
    apply(store, Change::Lease(request)).and_then(Applied::leased).expect("a lease")
}

pub fn limits_are_for_a_month_from_the_anchor(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[configure_tiers(&[("two", Some(2))]), set_tier("ann", "two")]);
    commit(&*store, &[anchor("ann", Some("2026-01-31T10:00:00Z"))]);
    let ask = |instant| verdict(&*store, admit(event_at("ann", instant)));
    // The 31st is the 28th in February.
    assert_eq!(ask("2026-02-28T09:59:59.999Z"), Verdict::Recorded);
    assert_eq!(ask("2026-01-31T10:00:00Z"), Verdict::Recorded);
    assert_ne!(ask("2026-02-15T00:00:00Z"), Verdict::Recorded);
    assert_eq!(ask("2026-02-28T10:00:00Z"), Verdict::Recorded);
    assert_eq!(ask("2026-03-31T09:59:59.999Z"), Verdict::Recorded);
    assert_ne!(ask("2026-03-15T00:00:00Z"), Verdict::Recorded);
    assert_eq!(ask("2026-03-31T10:00:00Z"), Verdict::Recorded);
    assert_eq!([requests(&*store, "2026-01-31T10:00:00Z"), requests(&*store, "2026-02-28T10:00:00Z")], [2, 2]);
    let period = charge(&*store, record(event_at("ann", "2026-03-15T00:00:00Z"))).period;
    assert_eq!((period.start, period.end), (at("2026-02-28T10:00:00Z"), at("2026-03-31T10:00:00Z")));
}

pub fn an_anchor_sorts_what_was_used_before(place: &dyn Fixture) {
    let store = place.open();
    let cost =
        |instant: &str, endpoint: &str| UsageEvent { endpoint: Some(endpoint.into()), ..event_at("ann", instant) };
    let instants = ["2026-03-01T00:00:00Z", "2026-03-10T12:29:59.999Z", "2026-03-10T12:30:00Z", "2026-03-31T23:00:00Z"];
    let used: Vec<_> = instants.iter().flat_map(|instant| [cost(instant, "/a"), cost(instant, "/b")]).collect();
    commit(&*store, &used.into_iter().map(record).collect::<Vec<_>>());
    commit(&*store, &[record(event("bob"))]);
    assert_eq!(requests(&*store, "2026-03-01T00:00:00Z"), 8);
    // It cuts an hour.
    commit(&*store, &[anchor("ann", Some("2026-01-10T12:30:00Z"))]);
    let found = ["2026-02-10T12:30:00Z", "2026-03-10T12:30:00Z", "2026-03-01T00:00:00Z"];
    assert_eq!(found.map(|start| requests(&*store, start)), [4, 4, 0]);
    commit(&*store, &[anchor("ann", None)]);
    assert_eq!(found.map(|start| requests(&*store, start)), [0, 0, 8]);
    assert_eq!(counter(&*store, "bob", Meter::API_REQUEST, "2026-03-01T00:00:00Z").0, 1);
}

pub fn another_time_zone_leaves_anchored_periods(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[anchor("ann", Some("2026-03-05T00:00:00Z"))]);
    commit(
        &*store,
        &[record(event_at("ann", "2026-03-31T23:30:00Z")), record(event_at("bob", "2026-03-31T23:30:00Z"))],
    );
    commit(&*store, &[configure_time_zone("Europe/Berlin")]);
    commit(
        &*store,
        &[record(event_at("ann", "2026-03-31T23:30:00Z")), record(event_at("bob", "2026-03-31T23:30:00Z"))],
    );
    assert_eq!(requests(&*store, "2026-03-05T00:00:00Z"), 2);
    assert_eq!(counter(&*store, "bob", Meter::API_REQUEST, "2026-03-31T22:00:00Z").0, 2);
}

pub fn an_anchor_decides_within_its_own_group(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[configure_tiers(&[("one", Some(1))]), set_tier("ann", "one")]);
    let ask = || admit(event_at("ann", "2026-03-10T12:00:00Z"));
    let group = [ask(), anchor("ann", Some("2026-03-10T12:00:00Z")), ask(), anchor("ann", None), ask()];
    let outcomes = commit(&*store, &group);
    let verdicts: Vec<_> =
        [0, 2, 4].map(|place| outcomes[place].clone().and_then(Applied::charged).unwrap().verdict).into();
    // The request before it lies in the new period too, since it was made at its first instant.
    assert_eq!(verdicts[0], Verdict::Recorded);
    assert!(matches!(verdicts[1..], [Verdict::Refused(_), Verdict::Refused(_)]));
}

pub fn what_is_leased_for_other_periods_is_spoken_for(place: &dyn Fixture) {
    let store = place.open();
    commit(&*store, &[configure_tiers(&[("ten", Some(10))]), set_tier("ann", "ten")]);
    let before = lease(&*store, "one", "2026-03-10T12:00:00Z", 4);
    commit(&*store, &[anchor("ann", Some("2026-03-05T00:00:00Z"))]);
    let after = lease(&*store, "two", "2026-03-10T12:00:00Z", 10);
    assert_eq!(after.period.start, at("2026-03-05T00:00:00Z"));
    assert!(after.granted + before.granted <= 10);
    let mut left = 10 - before.granted - after.granted;
    while left > 0 {
        let more = lease(&*store, "two", "2026-03-10T12:00:00Z", 10).granted;
        assert!((1..=left).contains(&more));
        left -= more;
    }
    assert_eq!(lease(&*store, "two", "2026-03-10T12:00:00Z", 10).granted, 0);
}

/// Where a period begins, by another calendar.
fn period_start(anchor: Option<Timestamp>, instant: Timestamp) -> i64 {
    let zoned = |at: Timestamp| {
        jiff::Timestamp::from_millisecond(at.as_millis()).expect("an instant").to_zoned(jiff::tz::TimeZone::UTC)
    };
    let start = match anchor {
        None => zoned(instant).first_of_month().and_then(|first| first.start_of_day()).expect("a month"),
        Some(anchor) => {
            let months = (-40..40).rev();
            let starts = months.map(|months| zoned(anchor).checked_add(months.months()).expect("a date"));
            starts.into_iter().find(|start| *start <= zoned(instant)).expect("a period")
        }
    };
    start.timestamp().as_millisecond()
}

/// That the counters of these customers are what their events come to.
fn agrees(store: &dyn Store, anchors: &[(&str, Option<Timestamp>)]) -> Result<(), TestCaseError> {
    for (customer, anchor) in anchors {
        let mut expected = BTreeMap::<i64, (u64, i128)>::new();
        for event in events(store, Some(customer), all_time()) {
            let sum = expected.entry(period_start(*anchor, event.at)).or_default();
            *sum = (sum.0 + event.units, sum.1 + trillionths(event.cost));
        }
        for (start, expected) in expected {
            let counters = store.counters(&customer_id(customer), Timestamp::from_stored(start)).unwrap();
            let found = counters.first().map(|counter| (counter.units, trillionths(counter.cost)));
            prop_assert_eq!(found, Some(expected), "{} from {:?} in {}", customer, anchor, start);
        }
    }
    Ok(())
}

/// Usage of one of the customers each, then a customer's new anchor.
type Step = (Vec<(usize, Timestamp)>, usize, Option<Timestamp>);

/// Each run begins in a place of its own; every other group is another store's.
pub fn counters_equal_an_independent_count_whatever_the_anchors<F: Fixture>(_: &F) {
    let year = at("2026-01-01T00:00:00Z").as_millis();
    // Quarters of an hour, so that many lie on both sides of a boundary.
    let instant = move |range: std::ops::Range<i64>| {
        range.prop_map(move |quarter| Timestamp::from_stored(year + quarter * 900_000))
    };
    let facts = prop::collection::vec((0..2usize, instant(0..4_000)), 0..20);
    let steps = prop::collection::vec((facts, 0..2usize, prop::option::of(instant(0..4_000))), 1..6);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let run = |steps: Vec<Step>| {
        let place = F::new();
        let stores = [place.open(), place.open()];
        let names = ["ann", "bob"];
        let mut anchors = names.map(|name| (name, None));
        for ((facts, whose, anchor), store) in steps.into_iter().zip(stores.iter().cycle()) {
            let facts: Vec<_> = facts
                .into_iter()
                .map(|(whose, timestamp)| record(UsageEvent { timestamp, ..event(names[whose]) }))
                .collect();
            verdicts(&**store, &facts);
            let billing_cycle_anchor = anchor.map_or(Patch::Clear, Patch::Set);
            commit(
                &**store,
                &[upsert(names[whose], CustomerPatch { billing_cycle_anchor, ..CustomerPatch::default() })],
            );
            anchors[whose].1 = anchor;
            agrees(&**store, &anchors)?;
        }
        Ok(())
    };
    TestRunner::new(config).run(&steps, run).unwrap();
}

/// Some only count, as fast as they can, while another one moves the periods.
pub fn nothing_is_counted_into_periods_that_are_over<F: Fixture>(place: &F) {
    let anchors = [None, Some("2026-02-28T00:00:00Z"), Some("2026-03-10T12:00:00.500Z")];
    let moves = 33;
    place.open();
    let barrier = Barrier::new(3);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let store = place.open();
                barrier.wait();
                for number in 0..60 {
                    let millis = number * 37 % 1_000;
                    let timestamp = at("2026-03-10T12:00:00Z").plus_millis(millis);
                    commit(&*store, &[record(UsageEvent { timestamp, ..event("ann") })]);
                }
            });
        }
        let store = place.open();
        barrier.wait();
        for number in 0..moves {
            commit(&*store, &[anchor("ann", anchors[number % 3])]);
        }
    });
    let last = anchors[(moves - 1) % 3].map(at);
    agrees(&*place.open(), &[("ann", last)]).unwrap();
}
