//! Counting: every event once, every sum exact.

use weighbridge::Code;
use weighbridge::domain::{Meter, Refusal, Units, UsageEvent};
use weighbridge::store::Verdict::{Duplicate, Recorded, Refused};
use weighbridge::store::{Applied, Change};

use super::Fixture;
use crate::support::*;

pub fn ten_times_a_tenth_is_one(place: &dyn Fixture) {
    let store = place.open();
    let tenth = record(UsageEvent { cost: money("0.1"), units: units(3), ..event("ann") });
    for _ in 0..5 {
        assert_eq!(verdicts(&*store, &[tenth.clone(), tenth.clone()]), [Recorded, Recorded]);
    }
    assert_eq!(counter(&*store, "ann", Meter::API_REQUEST, "2026-03-01T00:00:00Z"), (30, "1".to_owned()));
}

pub fn meters_are_counted_apart(place: &dyn Fixture) {
    let store = place.open();
    let group: Vec<Change> = Meter::BUILT_IN
        .into_iter()
        .zip(1..)
        .map(|(meter, number)| record(UsageEvent { meter, units: units(number), ..event("ann") }))
        .collect();
    commit(&*store, &group);
    let counters = store.counters(&customer_id("ann"), at("2026-03-01T00:00:00Z")).unwrap();
    let mut found: Vec<_> = counters.iter().map(|counter| (counter.meter, counter.units)).collect();
    found.sort();
    assert_eq!(found, [(Meter::AGENT_EXECUTION, 2), (Meter::API_REQUEST, 1), (Meter::DATA_ACCESS, 3)]);
    assert_eq!(store.counters(&customer_id("ann"), at("2026-02-01T00:00:00Z")).unwrap(), []);
}

pub fn the_standing_tells_what_is_used_after_the_charge(place: &dyn Fixture) {
    let store = place.open();
    let mut charges = Vec::new();
    for group in [vec![admit(event("ann")); 2], vec![admit(event("ann"))]] {
        charges.extend(commit(&*store, &group).into_iter().map(|outcome| outcome.unwrap().charged().unwrap()));
    }
    assert_eq!(charges.iter().map(|charge| charge.standing.used).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(charges[2].standing.limit, Some(1_000));
    assert_eq!(charges[2].period, span("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"));
    assert_eq!(charges[2].customer.id, customer_id("ann"));
}

pub fn an_id_counts_once_within_a_group(place: &dyn Fixture) {
    let store = place.open();
    let once = admit(event_with_id("ann", "event-1"));
    assert_eq!(verdicts(&*store, &[once.clone(), once.clone(), once]), [Recorded, Duplicate, Duplicate]);
    assert_eq!(used(&*store, "ann"), 1);
}

pub fn an_id_counts_once_across_groups_stores_and_reopening(place: &dyn Fixture) {
    let once = admit(event_with_id("ann", "event-1"));
    let store = place.open();
    let other = place.open();
    assert_eq!(verdict(&*store, once.clone()), Recorded);
    assert_eq!(verdict(&*store, once.clone()), Duplicate);
    assert_eq!(verdict(&*other, once.clone()), Duplicate);
    drop((store, other));
    let store = place.open();
    let repeated = charge(&*store, once);
    assert_eq!((repeated.verdict, repeated.standing.used), (Duplicate, 1));
    assert_eq!(events(&*store, None, all_time()).len(), 1);
}

pub fn an_id_at_another_time_is_the_same_event(place: &dyn Fixture) {
    let store = place.open();
    let first = event_with_id("ann", "event-1");
    let later = UsageEvent { timestamp: at("2026-04-10T12:00:00Z"), ..first.clone() };
    assert_eq!(verdict(&*store, admit(first)), Recorded);
    assert_eq!(verdict(&*store, admit(later)), Duplicate);
    assert_eq!(events(&*store, None, all_time()).len(), 1);
}

pub fn an_id_of_another_customer_is_another_event(place: &dyn Fixture) {
    let store = place.open();
    let group = ["ann", "bob"].map(|customer| admit(event_with_id(customer, "event-1")));
    assert_eq!(verdicts(&*store, &group), [Recorded, Recorded]);
    assert_eq!((used(&*store, "ann"), used(&*store, "bob")), (1, 1));
}

pub fn an_id_with_other_contents_is_refused(place: &dyn Fixture) {
    let store = place.open();
    let first = event_with_id("ann", "event-1");
    assert_eq!(verdict(&*store, admit(first.clone())), Recorded);
    let text = || Some("other".to_owned());
    let others = [
        UsageEvent { meter: Meter::DATA_ACCESS, ..first.clone() },
        UsageEvent { units: units(2), ..first.clone() },
        UsageEvent { cost: money("0.000000000001"), ..first.clone() },
        UsageEvent { subscription_id: text(), ..first.clone() },
        UsageEvent { endpoint: text(), ..first.clone() },
        UsageEvent { agent_type: text(), ..first.clone() },
        UsageEvent { metadata: Some("{}".to_owned()), ..first },
    ];
    for other in others {
        for change in [admit(other.clone()), record(other.clone())] {
            assert_eq!(verdict(&*store, change), Refused(Refusal::IdempotencyConflict), "{other:?}");
        }
    }
    assert_eq!(events(&*store, None, all_time()).len(), 1);
}

pub fn events_without_an_id_are_all_counted(place: &dyn Fixture) {
    let store = place.open();
    let same = admit(event("ann"));
    assert_eq!(verdicts(&*store, &[same.clone(), same.clone()]), [Recorded, Recorded]);
    assert_eq!(verdict(&*store, same), Recorded);
    assert_eq!((used(&*store, "ann"), events(&*store, None, all_time()).len()), (3, 3));
}

pub fn a_sum_of_units_that_overflows_is_refused_alone(place: &dyn Fixture) {
    let store = place.open();
    let most = Units::from_number(Units::MAX as f64).unwrap();
    let group = [record(UsageEvent { units: most, ..event("ann") }), record(event("ann")), record(event("bob"))];
    let outcomes = commit(&*store, &group);
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
    assert_eq!(outcomes[1].as_ref().unwrap_err().code, Code::InvalidArgument);
    assert_eq!((used(&*store, "ann"), used(&*store, "bob")), (Units::MAX, 1));
    assert_eq!(events(&*store, Some("ann"), all_time()).len(), 1);
}

pub fn a_sum_of_money_that_overflows_is_refused_alone(place: &dyn Fixture) {
    let store = place.open();
    // Nearly as much as an amount can hold.
    let most = money("999999999999.999999999999").checked_mul(69_999).unwrap();
    let costly = record(UsageEvent { cost: most, ..event_with_id("ann", "event-1") });
    let too_much = record(UsageEvent { cost: most, ..event_with_id("ann", "event-2") });
    let outcomes = commit(&*store, &[costly, too_much.clone(), record(event("bob"))]);
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
    assert_eq!(outcomes[1].as_ref().unwrap_err().code, Code::AmountOverflow);
    // Nor was its id claimed: it is no duplicate now.
    assert_eq!(apply(&*store, too_much).unwrap_err().code, Code::AmountOverflow);
    assert_eq!(counter(&*store, "ann", Meter::API_REQUEST, "2026-03-01T00:00:00Z"), (1, most.to_string()));
}

pub fn a_refused_change_leaves_its_neighbours(place: &dyn Fixture) {
    let store = place.open();
    let group = [
        record(event("ann")),
        set_tier("ann", "no such tier"),
        record(event("ann")),
        revoke_key("no such key", now()),
        create_key(api_key("key-1", "ann")),
        create_key(api_key("key-1", "bob")),
        record(event("ann")),
    ];
    let codes: Vec<_> =
        commit(&*store, &group).iter().map(|outcome| outcome.as_ref().err().map(|error| error.code)).collect();
    let expected = [None, Some(Code::UnknownTier), None, Some(Code::UnknownKey), None, Some(Code::KeyExists), None];
    assert_eq!(codes, expected);
    assert_eq!(used(&*store, "ann"), 3);
    assert_eq!(store.keys(&customer_id("ann")).unwrap().len(), 1);
    assert_eq!(store.customer(&customer_id("bob")).unwrap(), None);
}

pub fn an_empty_group_changes_nothing(place: &dyn Fixture) {
    let store = place.open();
    let before = store.revision().unwrap();
    let committed = store.commit(&[]).unwrap();
    assert_eq!((committed.revision, committed.outcomes.len()), (before, 0));
    assert!(matches!(apply(&*store, configure_tiers(&[])), Ok(Applied::Configured)));
}
