//! Several processes on one file, and processes that die.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::ChildStderr;
use std::sync::Barrier;

use weighbridge::domain::UsageEvent;
use weighbridge::store::{Change, Durability, SqliteStore, Store, Verdict};

use super::SqliteFixture;
use crate::conformance::Fixture;
use crate::support::*;

#[test]
fn ten_openers_of_the_same_new_file_all_succeed() {
    for _ in 0..20 {
        let place = SqliteFixture::new();
        let barrier = Barrier::new(10);
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    barrier.wait();
                    let store = SqliteStore::open(&place.path(), Durability::Process).expect("a store");
                    commit(&store, &[record(event("ann"))]);
                });
            }
        });
        assert_eq!(used(&*place.open(), "ann"), 10);
    }
}

#[test]
fn a_file_that_stays_locked_is_busy_and_nothing_of_the_group_happens() {
    let place = SqliteFixture::new();
    let store = place.open();
    let other_process = rusqlite::Connection::open(place.path()).unwrap();
    other_process.execute_batch("BEGIN IMMEDIATE").unwrap();
    // It waits for as long as it says it does.
    let error = store.commit(&[record(event("ann"))]).unwrap_err();
    assert_eq!(error.code, weighbridge::Code::StoreBusy, "{error}");
    // Reading goes on meanwhile.
    assert_eq!(used(&*store, "ann"), 0);
    other_process.execute_batch("ROLLBACK").unwrap();
    assert_eq!(charge(&*store, record(event("ann"))).standing.used, 1);
}

const GROUP: usize = 5;

/// A group of events whose endpoints are their ids.
fn group(child: &str, number: usize) -> Vec<Change> {
    let id = |place| format!("{child}-{number}-{place}");
    let event =
        |place| UsageEvent { endpoint: Some(id(place)), cost: money("0.1"), ..event_with_id("ann", &id(place)) };
    (0..GROUP).map(|place| record(event(place))).collect()
}

/// Commits groups for ever, and says after each that it is done.
fn commit_until_killed(store: &dyn Store, child: &str) -> ! {
    for number in 0.. {
        commit(store, &group(child, number));
        writeln!(std::io::stderr(), "done {child} {number}").expect("a parent that listens");
    }
    unreachable!("nobody counts that far")
}

/// The groups that a child says are done.
fn acknowledged(reader: impl Iterator<Item = String>) -> impl Iterator<Item = (String, usize)> {
    reader.filter_map(|line| {
        let (child, number) = line.strip_prefix("done ")?.split_once(' ')?;
        Some((child.to_owned(), number.parse().ok()?))
    })
}

#[test]
fn what_was_acknowledged_survives_a_kill_and_counts_once() {
    if let Some(dir) = child::dir() {
        let store = SqliteStore::open(&dir.join("weighbridge.db"), Durability::Process).unwrap();
        commit_until_killed(&store, &std::process::id().to_string());
    }
    let place = SqliteFixture::new();
    let mut done = BTreeSet::new();
    for patience in [1, 7, 40] {
        let spawn = || {
            let test = "sqlite::processes::what_was_acknowledged_survives_a_kill_and_counts_once";
            child::command(&[], test, place.dir.path().as_os_str()).spawn().unwrap()
        };
        let mut children = [spawn(), spawn()];
        let outputs: Vec<BufReader<ChildStderr>> =
            children.iter_mut().map(|child| BufReader::new(child.stderr.take().unwrap())).collect();
        let mut lines: Vec<_> =
            outputs.into_iter().map(|output| acknowledged(output.lines().map_while(Result::ok))).collect();
        for lines in &mut lines {
            done.extend(lines.take(patience));
        }
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // What they said before they died.
        done.extend(lines.into_iter().flatten());
    }
    assert!(done.len() >= 2 * (1 + 7 + 40), "{done:?}");

    let store = place.open();
    let mut recorded: BTreeMap<(String, usize), usize> = BTreeMap::new();
    let mut endpoints = BTreeSet::new();
    for row in events(&*store, None, all_time()) {
        let endpoint = row.endpoint.unwrap();
        let mut parts = endpoint.split('-');
        let group = (parts.next().unwrap().to_owned(), parts.next().unwrap().parse().unwrap());
        *recorded.entry(group).or_default() += 1;
        assert!(endpoints.insert(endpoint.clone()), "{endpoint} was counted twice");
    }
    assert!(recorded.values().all(|events| *events == GROUP), "half a group: {recorded:?}");
    assert!(done.iter().all(|group| recorded.contains_key(group)), "an acknowledged group is missing");
    // Of each child's groups, at most the last one was committed and not acknowledged any more.
    assert!(recorded.len() <= done.len() + 6, "{} of {}", recorded.len(), done.len());
    assert_eq!(used(&*store, "ann") as usize, endpoints.len());
    assert_eq!(hourly_rollups(&*store, None, all_time()).len(), endpoints.len());

    for (child, number) in recorded.into_keys() {
        assert_eq!(verdicts(&*store, &group(&child, number)), vec![Verdict::Duplicate; GROUP]);
    }
    assert_eq!(used(&*store, "ann") as usize, endpoints.len());
}
