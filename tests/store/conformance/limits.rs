//! Limits: every unit up to the limit, and not one more.

use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::{Meter, Refusal, Standing, UsageEvent};
use weighbridge::store::Verdict::{self, Duplicate, Recorded, Refused};
use weighbridge::store::{Change, Store};

use super::Fixture;
use crate::support::*;

fn exceeded(limit: u64, used: u64) -> Verdict {
    Refused(Refusal::LimitExceeded(Standing { limit: Some(limit), used }))
}

/// A store where `ann` may use so many API requests a month.
fn with_limit(place: &dyn Fixture, limit: u64) -> Box<dyn Store> {
    let store = place.open();
    let group = [configure_tiers(&[("tier", Some(limit))]), set_tier("ann", "tier")];
    assert!(commit(&*store, &group).iter().all(Result::is_ok));
    store
}

fn admit_units(number: u32) -> Change {
    admit(UsageEvent { units: units(number), ..event("ann") })
}

pub fn the_limit_is_admitted_exactly_within_a_group(place: &dyn Fixture) {
    let store = with_limit(place, 3);
    let verdicts = verdicts(&*store, &vec![admit_units(1); 5]);
    assert_eq!(verdicts, [Recorded, Recorded, Recorded, exceeded(3, 3), exceeded(3, 3)]);
    assert_eq!(used(&*store, "ann"), 3);
}

pub fn the_limit_is_admitted_exactly_across_groups(place: &dyn Fixture) {
    let store = with_limit(place, 3);
    let other = place.open();
    for (store, expected) in
        [(&store, Recorded), (&other, Recorded), (&store, Recorded), (&other, exceeded(3, 3)), (&store, exceeded(3, 3))]
    {
        assert_eq!(verdict(&**store, admit_units(1)), expected);
    }
}

pub fn stores_on_one_place_admit_the_limit_between_them(place: &dyn Fixture) {
    const LIMIT: u64 = 500;
    let store = with_limit(place, LIMIT);
    let stores = [place.open(), place.open()];
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let store = &*stores[thread % 2];
                let group = vec![admit_units(1); 3 + thread];
                scope.spawn(move || {
                    let groups = (0..60).map(|_| verdicts(store, &group));
                    groups.flatten().filter(|verdict| *verdict == Recorded).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that charges")).sum()
    });
    assert_eq!(admitted as u64, LIMIT);
    assert_eq!((used(&*store, "ann"), events(&*store, None, all_time()).len() as u64), (LIMIT, LIMIT));
}

pub fn several_units_are_admitted_whole_or_not_at_all(place: &dyn Fixture) {
    let store = with_limit(place, 10);
    let group = [8, 3, 2, 1].map(admit_units);
    assert_eq!(verdicts(&*store, &group), [Recorded, exceeded(10, 8), Recorded, exceeded(10, 10)]);
    assert_eq!(used(&*store, "ann"), 10);
}

pub fn what_has_happened_is_recorded_past_the_limit(place: &dyn Fixture) {
    let store = with_limit(place, 1);
    let fact = charge(&*store, record(UsageEvent { units: units(5), ..event("ann") }));
    assert_eq!((fact.verdict, fact.standing.used, fact.standing.remaining()), (Recorded, 5, Some(0)));
    assert_eq!(verdict(&*store, admit_units(1)), exceeded(1, 5));
}

pub fn a_retry_is_let_through_at_the_limit(place: &dyn Fixture) {
    let store = with_limit(place, 1);
    assert_eq!(verdict(&*store, admit(event_with_id("ann", "event-1"))), Recorded);
    assert_eq!(verdict(&*store, admit(event_with_id("ann", "event-2"))), exceeded(1, 1));
    assert_eq!(verdict(&*store, admit(event_with_id("ann", "event-1"))), Duplicate);
}

pub fn a_limit_of_zero_admits_nothing(place: &dyn Fixture) {
    let store = with_limit(place, 0);
    assert_eq!(verdict(&*store, admit_units(1)), exceeded(0, 0));
}

pub fn customers_and_meters_have_limits_of_their_own(place: &dyn Fixture) {
    let store = with_limit(place, 1);
    commit(&*store, &[set_tier("bob", "tier")]);
    let group = [
        admit_units(1),
        admit_units(1),
        admit(event("bob")),
        admit(UsageEvent { meter: Meter::DATA_ACCESS, ..event("ann") }),
    ];
    assert_eq!(verdicts(&*store, &group), [Recorded, exceeded(1, 1), Recorded, Recorded]);
}

pub fn without_a_tier_the_default_limits_apply(place: &dyn Fixture) {
    let store = place.open();
    for (meter, limit) in
        [(Meter::API_REQUEST, Some(1_000)), (Meter::AGENT_EXECUTION, Some(50)), (Meter::DATA_ACCESS, None)]
    {
        let charge = charge(&*store, admit(UsageEvent { meter, ..event("ann") }));
        assert_eq!(charge.standing.limit, limit, "{meter:?}");
    }
    let many = UsageEvent { meter: Meter::AGENT_EXECUTION, units: units(50), ..event("ann") };
    assert_eq!(verdict(&*store, admit(many)), exceeded(50, 1));
}

pub fn a_change_of_tier_changes_the_limit_at_once(place: &dyn Fixture) {
    let (store, other) = (place.open(), place.open());
    commit(&*store, &[configure_tiers(&[("small", Some(1)), ("large", None)]), set_tier("ann", "small")]);
    assert_eq!(verdicts(&*other, &[admit_units(1), admit_units(1)]), [Recorded, exceeded(1, 1)]);
    // In one group, as well as by another store.
    let outcomes = commit(&*store, &[admit_units(1), set_tier("ann", "large"), admit_units(1)]);
    let charges = [0, 2].map(|place| outcomes[place].clone().unwrap().charged().unwrap().verdict);
    assert_eq!(charges, [exceeded(1, 1), Recorded]);
    assert_eq!(verdict(&*other, admit_units(1)), Recorded);
    commit(&*store, &[configure_tiers(&[("small", Some(1)), ("large", Some(3))])]);
    assert_eq!(verdict(&*other, admit_units(1)), exceeded(3, 3));
    commit(&*store, &[upsert("ann", CustomerPatch { tier_id: Patch::Clear, ..CustomerPatch::default() })]);
    assert_eq!(charge(&*other, admit_units(1)).standing, Standing { limit: Some(1_000), used: 4 });
}

pub fn the_event_time_decides_the_month(place: &dyn Fixture) {
    let store = with_limit(place, 1);
    let instants = [
        "2026-02-28T23:59:59.999Z",
        "2026-03-01T00:00:00.000Z",
        "2026-03-31T23:59:59.999Z",
        "2026-04-01T00:00:00.000Z",
        "2026-02-01T00:00:00.000Z",
    ];
    let group = instants.map(|instant| admit(event_at("ann", instant)));
    let expected = [Recorded, Recorded, exceeded(1, 1), Recorded, exceeded(1, 1)];
    assert_eq!(verdicts(&*store, &group), expected);
    assert_eq!(verdicts(&*store, &group[1..3]), [exceeded(1, 1), exceeded(1, 1)]);
}
