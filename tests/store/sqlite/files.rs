//! Files that are not ours, or not any more: refused, and left as they were.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use weighbridge::store::{Durability, SqliteStore, Store};
use weighbridge::{Code, Error};

use super::SqliteFixture;
use crate::conformance::Fixture;
use crate::support::*;

/// Every file of a directory but SQLite's `-shm`, which holds nothing that lasts.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    files
        .map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap()))
        .filter(|(name, _)| !name.ends_with("-shm"))
        .collect()
}

fn open_error(place: &SqliteFixture) -> Error {
    SqliteStore::open(&place.path(), Durability::Process).err().expect("an error")
}

/// Opening is refused and changes nothing.
fn is_refused_untouched(place: &SqliteFixture, code: Code) {
    let before = contents(place.dir.path());
    let error = open_error(place);
    assert_eq!(error.code, code, "{error}");
    assert!(error.message.contains("weighbridge.db"), "{error}");
    assert!(before == contents(place.dir.path()), "the files were changed: {:?}", contents(place.dir.path()).keys());
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    for journal_mode in ["wal", "delete"] {
        let place = SqliteFixture::new();
        drop(place.open());
        let connection = Connection::open(place.path()).unwrap();
        connection.pragma_update(None, "journal_mode", journal_mode).unwrap();
        connection.pragma_update(None, "user_version", 1_000).unwrap();
        drop(connection);
        is_refused_untouched(&place, Code::StoreNewer);
    }
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    for (journal_mode, setup) in [
        ("delete", "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')"),
        ("wal", "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')"),
        ("delete", "PRAGMA application_id = 7"),
        ("delete", "PRAGMA user_version = 7"),
    ] {
        let place = SqliteFixture::new();
        let connection = Connection::open(place.path()).unwrap();
        connection.pragma_update(None, "journal_mode", journal_mode).unwrap();
        connection.execute_batch(setup).unwrap();
        drop(connection);
        is_refused_untouched(&place, Code::StoreForeign);
    }
}

#[test]
fn a_crash_of_another_program_is_not_cleaned_up_for_it() {
    let (crashed, place) = (SqliteFixture::new(), SqliteFixture::new());
    let connection = Connection::open(crashed.path()).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')").unwrap();
    // As a crash would leave them: what was written is still in the log.
    for name in ["weighbridge.db", "weighbridge.db-wal"] {
        std::fs::copy(crashed.dir.path().join(name), place.dir.path().join(name)).unwrap();
    }
    assert!(contents(place.dir.path())["weighbridge.db-wal"].len() > 4_096);
    is_refused_untouched(&place, Code::StoreForeign);
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    for text in ["a note to myself\n".to_owned(), "a long note to myself\n".repeat(1_000)] {
        let place = SqliteFixture::new();
        std::fs::write(place.path(), text).unwrap();
        is_refused_untouched(&place, Code::StoreForeign);
    }
}

#[test]
fn an_empty_file_becomes_a_store() {
    let place = SqliteFixture::new();
    std::fs::write(place.path(), "").unwrap();
    assert!(charge(&*place.open(), record(event("ann"))).standing.used == 1);
}

#[test]
fn directories_are_made() {
    let place = SqliteFixture::new();
    let path = place.dir.path().join("logs/usage/weighbridge.db");
    assert_eq!(SqliteStore::open(&path, Durability::Process).unwrap().customers(None, 10), Ok(Vec::new()));
}

#[test]
fn a_directory_that_cannot_be_made_is_told() {
    let place = SqliteFixture::new();
    let file = place.dir.path().join("file");
    std::fs::write(&file, "a note to myself").unwrap();
    let error = SqliteStore::open(&file.join("usage/weighbridge.db"), Durability::Process).err().expect("an error");
    assert_eq!(error.code, Code::StoreUnavailable, "{error}");
    assert!(error.message.contains("file/usage"), "{error}");
    assert_eq!(contents(place.dir.path()), BTreeMap::from([("file".to_owned(), b"a note to myself".to_vec())]));
}

#[test]
fn a_damaged_database_is_told_from_a_foreign_one() {
    let place = SqliteFixture::new();
    commit(&*place.open(), &[record(event("ann"))]);
    let mut bytes = std::fs::read(place.path()).unwrap();
    // The first page holds the header and the names of the tables.
    bytes[4_096..].fill(0xff);
    std::fs::write(place.path(), bytes).unwrap();
    is_refused_untouched(&place, Code::StoreCorrupt);
}

#[cfg(unix)]
#[test]
fn a_database_is_the_same_one_through_a_link() {
    let (real, linked) = (SqliteFixture::new(), SqliteFixture::new());
    real.open();
    std::os::unix::fs::symlink(real.path(), linked.path()).unwrap();
    let store = SqliteStore::open(&linked.path(), Durability::Process).unwrap();
    assert_eq!(store.path(), std::fs::canonicalize(real.path()).unwrap());
}
