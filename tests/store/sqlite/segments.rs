//! How SQLite keeps the callers' ids: what is old goes, and what is damaged is made anew.

use rusqlite::Connection;
use weighbridge::store::Store;
use weighbridge::store::Verdict::{Duplicate, Recorded};

use super::SqliteFixture;
use crate::conformance::Fixture;
use crate::support::*;

/// One id each other day, each in a segment of its own.
const LAST_DAY: i64 = 20;

fn record_on(store: &dyn Store, day: i64) -> weighbridge::store::Verdict {
    verdict(store, record_at(event_with_id("ann", &format!("day-{day}")), days_later(day)))
}

fn record_days(store: &dyn Store, days: impl Iterator<Item = i64>) {
    for day in days {
        assert_eq!(record_on(store, day), Recorded, "{day}");
    }
}

fn filters(connection: &Connection) -> Vec<Option<Vec<u8>>> {
    let mut statement = connection.prepare("SELECT filter FROM event_id_segments ORDER BY number").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn count(connection: &Connection, table: &str) -> i64 {
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn what_is_past_the_window_is_forgotten_and_its_rows_go() {
    let place = SqliteFixture::new();
    let (store, other) = (place.open(), place.open());
    record_days(&*store, (0..=200).step_by(2));
    let connection = Connection::open(place.path()).unwrap();
    // 40 days hold 20 of them, but 48 sealed segments are always kept; some more wait for the last one to be sealed.
    for table in ["event_ids", "event_id_segments"] {
        let rows = count(&connection, table);
        assert!((48..=53).contains(&rows), "{rows} in {table}");
    }
    for store in [store, other] {
        for day in [166, 200] {
            let again = record_at(event_with_id("ann", &format!("day-{day}")), days_later(200));
            assert_eq!(verdict(&*store, again), Duplicate, "{day}");
        }
    }
    let store = place.open();
    assert_eq!(verdict(&*store, record_at(event_with_id("ann", "day-0"), days_later(200))), Recorded);
    assert_eq!(events(&*store, None, all_time()).len(), 102);
}

#[test]
fn another_store_forgets_what_one_has_dropped() {
    let place = SqliteFixture::new();
    let (store, other) = (place.open(), place.open());
    record_days(&*other, (0..6).step_by(2));
    record_days(&*store, (6..=100).step_by(2));
    assert_eq!(verdict(&*other, record_at(event_with_id("ann", "day-0"), days_later(100))), Recorded);
    assert_eq!(verdict(&*store, record_at(event_with_id("ann", "day-0"), days_later(100))), Duplicate);
}

#[test]
fn damaged_filters_are_made_anew_from_the_rows() {
    let damages = ["x''", "x'00'", "NULL", "zeroblob(length(filter))", "substr(filter, 1, 320)"];
    for damage in damages {
        for damaged in ["number = 1", "number = 4", "number IN (2, 3, 9)", "filter IS NOT NULL"] {
            let place = SqliteFixture::new();
            let store = place.open();
            record_days(&*store, (0..=LAST_DAY).step_by(2));
            let connection = Connection::open(place.path()).unwrap();
            let sound = filters(&connection);
            assert!(sound.len() == 11 && sound.iter().filter(|filter| filter.is_none()).count() == 1, "{sound:?}");
            let update = format!("UPDATE event_id_segments SET filter = {damage} WHERE {damaged}");
            assert!(connection.execute(&update, []).unwrap() > 0);
            assert_ne!(filters(&connection), sound);

            // One that knew them, and one that does not.
            for store in [store, place.open()] {
                for day in (0..=LAST_DAY).step_by(2) {
                    assert_eq!(record_on(&*store, day), Duplicate, "{day} after {update}");
                }
            }
            assert_eq!(filters(&connection), sound, "{update}");
            record_days(&*place.open(), [LAST_DAY + 2, LAST_DAY + 4].into_iter());
        }
    }
}
