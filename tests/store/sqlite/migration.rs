//! Databases of earlier versions, made by the SQL of their time.

use rusqlite::{Connection, params};
use weighbridge::domain::{Refusal, UsageEvent};
use weighbridge::store::Verdict::{Duplicate, Recorded, Refused};
use weighbridge::store::{Durability, SqliteStore};

use super::SqliteFixture;
use crate::conformance::Fixture;
use crate::support::*;

/// More than two segments hold.
const IDS: usize = 70_000;

fn old_event(number: usize) -> UsageEvent {
    let customer = ["ann", "bob", "cat"][number % 3];
    UsageEvent { units: units(1 + number as u32 % 5), ..event_with_id(customer, &format!("event-{number}")) }
}

/// A database of version 1. Its ids were recorded within five days, not in the order of the ids.
fn version_1(ids: usize) -> SqliteFixture {
    let place = SqliteFixture::new();
    let mut connection = Connection::open(place.path()).unwrap();
    let transaction = connection.transaction().unwrap();
    transaction.execute_batch(include_str!("../../../src/store/sqlite/migrations/0001_foundation.sql")).unwrap();
    transaction.pragma_update(None, "application_id", 0x5742_5247).unwrap();
    transaction.pragma_update(None, "user_version", 1).unwrap();
    let mut insert = transaction
        .prepare("INSERT INTO event_ids (customer_id, id, fingerprint, recorded_at) VALUES (?, ?, ?, ?)")
        .unwrap();
    for number in 0..ids {
        let event = old_event(number);
        let id = event.id.as_ref().unwrap().as_str();
        let recorded_at = days_later(number as i64 * 7 % 5).as_millis();
        insert.execute(params![event.customer_id.as_str(), id, event.fingerprint(), recorded_at]).unwrap();
    }
    drop(insert);
    transaction.commit().unwrap();
    place
}

#[test]
fn the_ids_of_version_1_stay_remembered() {
    let place = version_1(IDS);
    let stores = [place.open(), place.open()];
    for store in &stores {
        let all: Vec<_> = (0..IDS).map(|number| record(old_event(number))).collect();
        assert!(verdicts(&**store, &all).iter().all(|verdict| *verdict == Duplicate));
    }
    let altered = UsageEvent { units: units(9), ..old_event(4_711) };
    let new = UsageEvent { customer_id: customer_id("dan"), ..old_event(4_711) };
    let group = [altered, new.clone(), new].map(record);
    let conflict = Refused(Refusal::IdempotencyConflict);
    assert_eq!(verdicts(&*stores[0], &group), [conflict, Recorded, Duplicate]);
    drop(stores);

    let connection = Connection::open(place.path()).unwrap();
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'event_ids_by_customer'";
    assert_eq!(connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    assert_eq!(connection.query_row("SELECT count(*) FROM event_ids", [], |row| row.get(0)), Ok(IDS as i64 + 1));
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn the_ids_of_version_1_are_forgotten_in_the_end_and_not_before_35_days() {
    let place = version_1(1_000);
    let store = place.open();
    // Of the first day of the five, after 35 days; and the days between, on which there is tidying up.
    let tick = |day| {
        let event = event_with_id("dan", &format!("day-{day}"));
        assert_eq!(verdict(&*store, record_at(event, days_later(day))), Recorded);
    };
    (5..=35).for_each(tick);
    assert_eq!(verdict(&*store, record_at(old_event(0), days_later(35))), Duplicate);
    // More segments than are always kept.
    (36..200).step_by(2).for_each(tick);
    assert_eq!(verdict(&*store, record_at(old_event(0), days_later(200))), Recorded);
}

#[test]
fn several_openers_bring_version_1_up_to_date_together() {
    let place = version_1(5_000);
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                let store = SqliteStore::open(&place.path(), Durability::Process).expect("a store");
                assert_eq!(verdict(&store, record(old_event(1))), Duplicate);
            });
        }
    });
}

#[test]
fn a_database_of_version_1_without_ids_is_brought_up_to_date() {
    let place = version_1(0);
    let store = place.open();
    assert_eq!(verdict(&*store, record(old_event(1))), Recorded);
    assert_eq!(verdict(&*place.open(), record(old_event(1))), Duplicate);
}
