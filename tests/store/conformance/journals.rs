//! Journals: what a holder has admitted is counted once, and what he has not used comes back.

use weighbridge::Code;
use weighbridge::domain::{Units, UsageEvent};
use weighbridge::store::RecordStatus::{Conflict, Counted, Duplicate, Replayed};
use weighbridge::store::{Change, Recorded, Store, Verdict};

use super::Fixture;
use crate::support::leases::*;
use crate::support::*;

/// Where `one` has leased so many units of a limit of 100.
fn leasing(place: &dyn Fixture, units: u64) -> Box<dyn Store> {
    let store = place.open();
    set_limit(&*store, Some(100));
    assert_eq!(granted(&*store, urgent("one", units)), units);
    store
}

pub fn an_event_of_a_journal_is_counted_and_leaves_the_lease(place: &dyn Fixture) {
    let store = leasing(place, 10);
    let counted = recorded(&*store, record_paid("one", 1, UsageEvent { cost: money("0.1"), ..event_of(4) }));
    assert_eq!(counted, Recorded { status: Counted, used: 4 });
    assert_eq!(spoken_for(&*store), (4, 6));
    assert_eq!(events(&*store, Some("ann"), all_time()).len(), 1);
    assert_eq!(hourly_rollups(&*store, Some("ann"), all_time())[0].units, 4);
    assert!(store.customer(&customer_id("ann")).unwrap().is_some());
}

pub fn an_event_of_a_journal_is_not_judged(place: &dyn Fixture) {
    let store = leasing(place, 100);
    commit(&*store, &[suspend("ann")]);
    set_limit(&*store, Some(0));
    assert_eq!(
        statuses(&*store, &[record_paid("one", 1, event_of(100)), journaled_at("one", 2, event("bob"), None)]),
        [Counted, Counted]
    );
    assert_eq!((used(&*store, "ann"), used(&*store, "bob")), (100, 1));
    assert!(store.customer(&customer_id("bob")).unwrap().is_some());
}

pub fn a_journal_that_is_replayed_changes_nothing(place: &dyn Fixture) {
    let store = leasing(place, 10);
    let journal: Vec<Change> = (1..=3).map(|sequence| record_paid("one", sequence, event_of(1))).collect();
    assert_eq!(statuses(&*store, &journal), [Counted; 3]);
    assert_eq!(statuses(&*store, &journal), [Replayed; 3]);
    drop(store);
    let heir = place.open();
    let longer = [&journal[1..], &[record_paid("one", 4, event_of(2))]].concat();
    assert_eq!(statuses(&*heir, &longer), [Replayed, Replayed, Counted]);
    // Within a group too.
    let twice = [record_paid("one", 5, event_of(1)), record_paid("one", 5, event_of(1))];
    assert_eq!(statuses(&*heir, &twice), [Counted, Replayed]);
    assert_eq!(recorded(&*heir, journal[0].clone()), Recorded { status: Replayed, used: 6 });
    assert_eq!(spoken_for(&*heir), (6, 4));
    assert_eq!(events(&*heir, None, all_time()).len(), 5);
}

pub fn every_holder_has_a_journal_of_his_own(place: &dyn Fixture) {
    let store = leasing(place, 10);
    let other = place.open();
    assert_eq!(granted(&*other, urgent("two", 10)), 10);
    let group = [record_paid("one", 1, event_of(1)), record_paid("two", 1, event_of(1))];
    assert_eq!(statuses(&*store, &group), [Counted, Counted]);
    assert_eq!(recorded(&*other, record_paid("two", 2, event_of(2))).status, Counted);
    assert_eq!(recorded(&*store, record_paid("one", 2, event_of(1))).status, Counted);
    assert_eq!(leases_of(&*store, march()), [("one".to_owned(), 8), ("two".to_owned(), 7)]);
    assert_eq!(used(&*store, "ann"), 5);
}

pub fn a_repeated_id_settles_the_lease_and_does_not_count(place: &dyn Fixture) {
    let store = leasing(place, 10);
    let event = |number| UsageEvent { units: units(number), ..event_with_id("ann", "event-1") };
    let group = [record_paid("one", 1, event(2)), record_paid("one", 2, event(2)), record_paid("one", 3, event(3))];
    assert_eq!(statuses(&*store, &group), [Counted, Duplicate, Conflict]);
    assert_eq!(spoken_for(&*store), (2, 3));
    assert_eq!(recorded(&*store, record_paid("one", 4, event(2))), Recorded { status: Duplicate, used: 2 });
    assert_eq!(statuses(&*store, &group), [Replayed; 3]);
    assert_eq!(spoken_for(&*store), (2, 1));
    // The id is claimed for charges too.
    assert_eq!(verdict(&*store, admit(event(2))), Verdict::Duplicate);
    assert_eq!(events(&*store, None, all_time()).len(), 1);
}

pub fn what_was_not_paid_for_leaves_the_lease_alone(place: &dyn Fixture) {
    let store = leasing(place, 10);
    assert_eq!(recorded(&*store, journaled_at("one", 1, event_of(4), None)).used, 4);
    assert_eq!(spoken_for(&*store), (4, 10));
}

pub fn an_event_whose_sum_overflows_is_settled_and_not_counted(place: &dyn Fixture) {
    let store = leasing(place, 10);
    let most = UsageEvent { units: Units::from_number(Units::MAX as f64).unwrap(), ..event("ann") };
    let too_much = record_paid("one", 2, event_of(3));
    let group = [journaled_at("one", 1, most, None), too_much.clone(), journaled_at("one", 3, event("bob"), None)];
    let outcomes = commit(&*store, &group);
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
    assert_eq!(outcomes[1].as_ref().unwrap_err().code, Code::InvalidArgument);
    assert_eq!(recorded(&*store, too_much).status, Replayed);
    assert_eq!(spoken_for(&*store), (Units::MAX, 7));
    assert_eq!(used(&*store, "bob"), 1);
}

pub fn what_is_returned_is_exactly_what_is_not_used(place: &dyn Fixture) {
    let store = leasing(place, 60);
    assert_eq!(granted(&*store, urgent("two", 40)), 40);
    assert_eq!(granted(&*store, urgent_at("one", 5, at("2026-04-01T00:00:00Z"))), 5);
    let group = [record_paid("one", 1, event_of(25)), return_leases("one")];
    assert!(commit(&*store, &group).iter().all(Result::is_ok));
    assert_eq!(spoken_for(&*store), (25, 40));
    assert_eq!(leases_of(&*store, all_time()), [("two".to_owned(), 40)]);
    let heir = place.open();
    assert_eq!(granted(&*heir, urgent("three", 36)), 0);
    assert_eq!(granted(&*heir, urgent("three", 35)), 35);
    // To return what was returned does no harm, even where somebody has leased since.
    assert_eq!(commit(&*heir, &[return_leases("one"), return_leases("nobody")]).len(), 2);
    assert_eq!(spoken_for(&*heir), (25, 75));
}

pub fn a_taken_over_journal_gives_back_the_rest(place: &dyn Fixture) {
    let store = leasing(place, 50);
    let journal: Vec<Change> = (1..=20).map(|sequence| record_paid("one", sequence, event_of(1))).collect();
    commit(&*store, &journal[..7]);
    drop(store);
    // Two heirs, of whom the first dies half way.
    commit(&*place.open(), &journal[..12]);
    let heir = place.open();
    assert_eq!(statuses(&*heir, &journal)[11..13], [Replayed, Counted]);
    commit(&*heir, &[return_leases("one")]);
    assert_eq!(statuses(&*heir, &journal), [Replayed; 20], "the journal is forgotten last");
    assert_eq!(spoken_for(&*heir), (20, 0));
    commit(&*heir, &[forget_journal("one")]);
    assert_eq!(holders(&*heir), [""; 0]);
}

pub fn a_forgotten_journal_begins_anew(place: &dyn Fixture) {
    let store = leasing(place, 10);
    commit(&*store, &[record_paid("one", 1, event_of(1)), record_paid("two", 1, event_of(1))]);
    let group = [record_paid("one", 2, event_of(1)), forget_journal("one"), record_paid("one", 1, event_of(1))];
    let outcomes = commit(&*store, &group);
    assert_eq!(outcomes[2].clone().unwrap().recorded().unwrap(), Recorded { status: Counted, used: 4 });
    assert_eq!(recorded(&*store, record_paid("two", 1, event_of(1))).status, Replayed);
    // It is the journal that is forgotten, and not the lease.
    assert_eq!(leases_of(&*store, march()), [("one".to_owned(), 7)]);
}

pub fn holders_are_those_with_a_lease_or_a_journal(place: &dyn Fixture) {
    let store = leasing(place, 10);
    let other = place.open();
    assert_eq!(granted(&*store, urgent("in-vain", 1_000)), 0);
    assert_eq!(holders(&*other), ["one"]);
    commit(&*store, &[journaled_at("two", 1, event_of(1), None)]);
    assert_eq!(holders(&*other), ["one", "two"]);
    commit(&*store, &[record_paid("one", 1, event_of(1)), return_leases("one"), return_leases("two")]);
    assert_eq!(holders(&*other), ["one", "two"]);
    commit(&*store, &[forget_journal("one"), forget_journal("two"), forget_journal("nobody")]);
    assert_eq!(holders(&*other), [""; 0]);
}

pub fn neither_leases_nor_journals_move_the_revision(place: &dyn Fixture) {
    let store = leasing(place, 10);
    let before = store.revision().unwrap();
    commit(&*store, &[record_paid("one", 1, event_of(1)), release("one", 2), urgent("two", 100), refill("two", 9)]);
    commit(&*store, &[return_leases("one"), forget_journal("one")]);
    assert_eq!(store.revision().unwrap(), before);
}
