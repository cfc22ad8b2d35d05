//! The callers' event ids: remembered for 35 days at least, whatever else happens meanwhile.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use weighbridge::domain::{Refusal, Timestamp, UsageEvent};
use weighbridge::store::Verdict::{Duplicate, Recorded, Refused};
use weighbridge::store::{Change, Takeover, Verdict};

use super::Fixture;
use crate::support::*;

const CONFLICT: Verdict = Refused(Refusal::IdempotencyConflict);
const DAY: i64 = 24 * 3_600_000;

/// More than any store will keep in one piece.
const MANY: u32 = 70_000;

fn numbered(number: u32) -> UsageEvent {
    event_with_id("ann", &format!("event-{number}"))
}

/// The same id with other contents.
fn altered(event: UsageEvent) -> UsageEvent {
    UsageEvent { units: units(7), ..event }
}

pub fn an_id_is_remembered_for_35_days(place: &dyn Fixture) {
    let stores = [place.open(), place.open()];
    for (day, store) in (0..36).zip(stores.iter().cycle()) {
        let group = [event_with_id("ann", &format!("day-{day}")), event_with_id("bob", &format!("day-{day}"))];
        assert_eq!(verdicts(&**store, &group.map(|event| record_at(event, days_later(day)))), [Recorded, Recorded]);
    }
    let reopened = place.open();
    for store in stores.iter().chain([&reopened]) {
        for day in 0..36 {
            let event = event_with_id("ann", &format!("day-{day}"));
            let group = [record_at(event.clone(), days_later(35)), record_at(altered(event), days_later(35))];
            assert_eq!(verdicts(&**store, &group), [Duplicate, CONFLICT], "{day}");
        }
    }
    assert_eq!(events(&*reopened, Some("ann"), all_time()).len(), 36);
}

pub fn a_clock_that_leaps_ahead_for_a_moment_makes_nothing_forgotten(place: &dyn Fixture) {
    let store = place.open();
    let step = |number, day| verdict(&*store, record_at(numbered(number), days_later(day)));
    // A day lies between them, in which a store may tidy up.
    for (number, day) in [(0, 0), (1, 2), (2, 4_000), (3, 4), (4, 6)] {
        assert_eq!(step(number, day), Recorded, "{number}");
    }
    for number in 0..5 {
        assert_eq!(step(number, 35), Duplicate, "{number}");
    }
}

pub fn a_clock_that_is_set_back_makes_nothing_forgotten(place: &dyn Fixture) {
    let store = place.open();
    let step = |number, day| verdict(&*store, record_at(numbered(number), days_later(day)));
    let days = [0, 2, -400, -398, -396];
    for (number, day) in (0..).zip(days) {
        assert_eq!(step(number, day), Recorded, "{number}");
    }
    for (number, day) in (0..).zip(days) {
        assert_eq!(step(number, day.max(-365)), Duplicate, "{number}");
    }
}

pub fn the_ids_of_a_huge_group_count_once(place: &dyn Fixture) {
    let stores = [place.open(), place.open()];
    // Every id twice, far apart.
    let group: Vec<Change> = (0..MANY).chain(0..MANY).map(|number| record(numbered(number))).collect();
    let expected = [Recorded, Duplicate].map(|verdict| vec![verdict; MANY as usize]).concat();
    assert!(verdicts(&*stores[0], &group) == expected);
    assert_eq!(used(&*stores[0], "ann"), u64::from(MANY));
    let again: Vec<Change> = (0..=MANY).step_by(1_000).map(|number| record(altered(numbered(number)))).collect();
    let mut expected = vec![CONFLICT; again.len()];
    expected[again.len() - 1] = Recorded;
    assert_eq!(verdicts(&*stores[1], &again), expected);
}

pub fn a_group_that_fails_claims_none_of_its_ids(place: &dyn Fixture) {
    let stores = [place.open(), place.open()];
    assert_eq!(verdict(&*stores[0], record(numbered(MANY))), Recorded);
    let most = money("999999999999.999999999999").checked_mul(69_999).unwrap();
    let costly = |id: &str| UsageEvent { cost: most, ..event_with_id("ann", id) };
    let mut events: Vec<UsageEvent> = (0..MANY).map(numbered).collect();
    events.extend([costly("costly"), costly("too costly")]);
    let takeover = |events| Takeover { file: "file".to_owned(), from: 0, to: 1, events, customers: vec![], now: now() };
    let failed = stores[0].commit(&[Change::TakeOver(takeover(events))]);
    assert!(failed.is_err() || failed.is_ok_and(|committed| committed.outcomes[0].is_err()));

    let sample: Vec<Change> = (0..=MANY).step_by(500).map(|number| record(numbered(number))).collect();
    let mut expected = vec![Recorded; sample.len()];
    expected[sample.len() - 1] = Duplicate;
    assert_eq!(verdicts(&*stores[0], &sample), expected);
    for store in &stores {
        assert_eq!(verdicts(&**store, &sample), vec![Duplicate; sample.len()]);
    }
    assert_eq!(used(&*stores[1], "ann") as usize, sample.len());
}

pub fn stores_on_one_place_count_each_id_once_between_them(place: &dyn Fixture) {
    let stores = [place.open(), place.open(), place.open()];
    let total = 45_000;
    let recorded: Vec<usize> = std::thread::scope(|scope| {
        let threads = stores.each_ref().map(|store| {
            scope.spawn(|| {
                // All of them send the same ids, so mostly at about the same time.
                let ids: Vec<u32> = (0..total).collect();
                let groups =
                    ids.chunks(1_500).map(|ids| ids.iter().map(|id| record(numbered(*id))).collect::<Vec<_>>());
                let verdicts = groups.flat_map(|group| verdicts(&**store, &group));
                verdicts.filter(|verdict| *verdict == Recorded).count()
            })
        });
        threads.into_iter().map(|thread| thread.join().expect("a thread that records")).collect()
    });
    assert_eq!(recorded.iter().sum::<usize>(), total as usize, "{recorded:?}");
    assert_eq!(used(&*stores[0], "ann"), u64::from(total));
}

#[derive(Debug, Clone)]
struct Step {
    id: u32,
    altered: bool,
    store: usize,
    /// How far the time goes on, in hours, and how far the clock of whoever records is off.
    hours: i64,
    skew: i64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hours = prop_oneof![5 => 0..30i64, 1 => 30..24 * 12i64];
    let step = (0..60u32, prop::bool::weighted(0.1), 0..3usize, hours, -48..=48i64);
    let step = step.prop_map(|(id, altered, store, hours, skew)| Step { id, altered, store, hours, skew });
    prop::collection::vec(step, 1..150)
}

/// Each run begins in a place of its own.
pub fn what_is_remembered_agrees_with_an_independent_memory<F: Fixture>(_: &F) {
    let config = ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config).run(&steps(), |steps| run(&F::new(), &steps)).unwrap();
}

/// What is younger than 35 days must be remembered. What is older may be.
fn run(place: &dyn Fixture, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut stores = [place.open(), place.open(), place.open()];
    let mut memory: HashMap<u32, (Timestamp, bool)> = HashMap::new();
    let mut time = now();
    for (count, step) in steps.iter().enumerate() {
        if count % 40 == 39 {
            stores[step.store] = place.open();
        }
        time = time.plus_millis(step.hours * 3_600_000);
        let clock = time.plus_millis(step.skew * 3_600_000);
        let event = if step.altered { altered(numbered(step.id)) } else { numbered(step.id) };
        let verdict = verdict(&*stores[step.store], record_at(event, clock));
        let known = memory.get(&step.id).copied();
        let expected = match known {
            Some((_, altered)) if altered == step.altered => Duplicate,
            Some(_) => CONFLICT,
            None => Recorded,
        };
        let may_be_forgotten =
            known.is_some_and(|(recorded_at, _)| clock.as_millis() - recorded_at.as_millis() > 35 * DAY);
        prop_assert!(verdict == expected || (may_be_forgotten && verdict == Recorded), "{step:?}: {verdict:?}");
        if verdict == Recorded {
            memory.insert(step.id, (clock, step.altered));
        }
    }
    Ok(())
}
