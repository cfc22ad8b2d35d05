//! Disks that are full or cannot be written: real ones, mounted in a namespace where that needs no rights.
//!
//! Where the system has no such namespaces (other than Linux, some containers) these tests say so and do nothing.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use weighbridge::Code;
use weighbridge::domain::UsageEvent;
use weighbridge::store::{Change, Durability, SqliteStore, Store};

use crate::support::*;

const SIZE: &str = "size=1m";

/// Runs `body` in a child for which a directory is a disk of 1 MiB. `test` is the calling test's full name.
fn on_a_small_disk(test: &str, body: impl FnOnce(&Path)) {
    if let Some(dir) = child::dir() {
        body(&dir);
        return eprintln!("the body of {test} has run");
    }
    let namespace = ["unshare", "--map-root-user", "--mount"];
    let possible = Command::new(namespace[0]).args(&namespace[1..]).arg("true").output();
    if !possible.is_ok_and(|output| output.status.success()) {
        return eprintln!("NOT TESTED: {test} needs `unshare --map-root-user --mount`");
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o {SIZE} tmpfs '{}' && exec \"$0\" \"$@\"", dir.path().display());
    let launcher = [namespace.as_slice(), &["sh", "-c", &mount]].concat();
    let output = child::command(&launcher, test, dir.path().as_os_str()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("has run"), "{text}");
}

/// Leaves so many bytes free.
fn fill(dir: &Path, free: usize) {
    let mut file = File::create(dir.join("filler")).unwrap();
    let written = (0..).take_while(|_| file.write_all(&[1; 4_096]).is_ok()).count();
    assert!(written > 0);
    file.set_len((written * 4_096 - free) as u64).unwrap();
}

fn make_room(dir: &Path) {
    std::fs::remove_file(dir.join("filler")).unwrap();
}

/// Five events, with ids of their own and some kilobytes each.
fn group(number: usize) -> Vec<Change> {
    let metadata = format!(r#"{{"text":"{}"}}"#, "x".repeat(3_000));
    let event = |place| UsageEvent {
        metadata: Some(metadata.clone()),
        ..event_with_id("ann", &format!("event-{number}-{place}"))
    };
    (0..5).map(|place| record(event(place))).collect()
}

/// How many events there are, which is what the counters and the rollups say too.
fn recorded(store: &dyn Store) -> usize {
    let events = events(store, None, all_time()).len();
    let rollups: u64 = hourly_rollups(store, None, all_time()).iter().map(|row| row.events).sum();
    assert_eq!((used(store, "ann"), rollups), (events as u64, events as u64));
    events
}

#[test]
fn a_full_disk_records_nothing_by_halves_and_all_is_well_when_there_is_room() {
    on_a_small_disk("sqlite::disks::a_full_disk_records_nothing_by_halves_and_all_is_well_when_there_is_room", |dir| {
        let path = dir.join("weighbridge.db");
        let store = SqliteStore::open(&path, Durability::Process).unwrap();
        commit(&store, &group(0));
        fill(dir, 200_000);
        let full = (1..).find_map(|number| store.commit(&group(number)).err().map(|error| (number, error)));
        let (number, error) = full.unwrap();
        assert!(number > 1, "there was room for some");
        for error in [error, store.commit(&group(number)).unwrap_err()] {
            assert_eq!(error.code, Code::StoreFull, "{error}");
        }
        assert_eq!(recorded(&store), number * 5);

        make_room(dir);
        let verdicts = verdicts(&store, &group(number));
        assert!(verdicts.iter().all(|verdict| *verdict == weighbridge::store::Verdict::Recorded), "{verdicts:?}");
        assert_eq!(recorded(&store), number * 5 + 5);
        drop(store);
        assert_eq!(recorded(&SqliteStore::open(&path, Durability::Process).unwrap()), number * 5 + 5);
    });
}

#[test]
fn a_store_is_not_opened_on_a_full_disk_but_later() {
    on_a_small_disk("sqlite::disks::a_store_is_not_opened_on_a_full_disk_but_later", |dir| {
        // At whichever step of the opening the room runs out.
        for pages in 0..40 {
            let path = dir.join(format!("{pages}/weighbridge.db"));
            fill(dir, pages * 4_096);
            let opened = SqliteStore::open(&path, Durability::Process);
            assert!(opened.is_err() || pages > 0);
            if let Err(error) = opened {
                assert_eq!(error.code, Code::StoreFull, "{error} with {pages} pages");
            }
            make_room(dir);
            assert_eq!(
                charge(&SqliteStore::open(&path, Durability::Process).unwrap(), record(event("ann"))).standing.used,
                1
            );
            std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        }
    });
}

#[test]
fn a_read_only_disk_is_told() {
    on_a_small_disk("sqlite::disks::a_read_only_disk_is_told", |dir| {
        let path = dir.join("weighbridge.db");
        commit(&SqliteStore::open(&path, Durability::Process).unwrap(), &[record(event("ann"))]);
        let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(dir).status().unwrap();
        assert!(remounted.success());
        for path in [path, dir.join("another.db"), dir.join("new/weighbridge.db")] {
            let error = SqliteStore::open(&path, Durability::Process).err().expect("an error");
            assert_eq!(error.code, Code::StoreReadOnly, "{error}");
        }
    });
}
