//! What an engine that died has left in its journal: every whole line is counted once, whatever became of the others.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use weighbridge::domain::{HolderId, PriceList};
use weighbridge::engine::gate::{Gate, Unpriced};
use weighbridge::engine::replay::ReplayReport;
use weighbridge::engine::{Engine, Location, Options};
use weighbridge::store::{Change, Record, Store};

use crate::gate::{decide, price, request};
use crate::support::leases::{refill, set_aside, set_limit};
use crate::support::*;
use crate::{Place, apply, ask, close, ready};

pub const LINES: u64 = 12;
const DEAD: &str = "dead";

fn holder() -> HolderId {
    HolderId::new(DEAD).unwrap()
}

pub fn journals(place: &Place) -> PathBuf {
    place.dir.path().join("weighbridge.db.journals")
}

/// Opens an engine and closes it again; what it brought in.
fn replay(place: &Place) -> ReplayReport {
    let engine = place.open();
    let report = ask(|reply| engine.ready(reply)).get().expect("a report").replay;
    close(&engine);
    report
}

/// A journal whose owner is dead.
pub fn leave(place: &Place, segments: &[&[u8]]) {
    let directory = journals(place).join(DEAD);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("lock"), "").unwrap();
    for (index, segment) in segments.iter().enumerate() {
        std::fs::write(directory.join(format!("{}.jsonl", index + 1)), segment).unwrap();
    }
}

fn gate(engine: &Arc<Engine>) -> Gate {
    let prices = PriceList::new(vec![price("/paid", "0.1")]).unwrap();
    Gate::new(Arc::clone(engine), Arc::new(prices), Unpriced::Pass)
}

fn admit(gate: &Gate) {
    decide(gate, request("key-1", "GET /paid")).expect("an admission");
}

/// Copies what a crash at this very moment would leave behind, while the engine goes on.
pub fn crash(place: &Place) -> Place {
    let blocker = rusqlite::Connection::open(place.path()).unwrap();
    blocker.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let left = Place::new();
    for name in ["weighbridge.db", "weighbridge.db-wal"] {
        std::fs::copy(place.dir.path().join(name), left.dir.path().join(name)).unwrap();
    }
    copy(&journals(place), &journals(&left));
    blocker.execute_batch("ROLLBACK").unwrap();
    left
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A journal as an engine writes it.
pub static SEGMENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let place = Place::new();
    let engine = place.open();
    apply(&engine, create_key(api_key("key-1", "ann")));
    let gate = gate(&engine);
    (0..LINES).for_each(|_| admit(&gate));
    let holders = std::fs::read_dir(journals(&place)).unwrap().map(|entry| entry.unwrap().path());
    let segment = holders.map(|path| path.join("1.jsonl")).find(|path| path.exists()).expect("a segment");
    let bytes = std::fs::read(segment).unwrap();
    close(&engine);
    assert_eq!(lines(&bytes).len() as u64, LINES);
    bytes
});

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect()
}

#[test]
fn a_journal_is_counted_once_and_then_gone() {
    let place = Place::new();
    leave(&place, &[&SEGMENT]);
    assert_eq!(replay(&place), ReplayReport { journals: 1, events: LINES, ..ReplayReport::default() });
    assert_eq!(replay(&place), ReplayReport::default());
    assert_eq!(used(&place.store(), "ann"), LINES);
    assert!(!journals(&place).exists());
    assert_eq!(place.store().holders().unwrap(), []);
}

#[test]
fn an_heir_who_died_himself_is_succeeded_wherever_he_was() {
    for recorded in 0..=LINES {
        let place = Place::new();
        let store = place.store();
        for sequence in 1..=recorded {
            let record = Record { holder: holder(), sequence, event: event("ann"), paid: Vec::new(), now: now() };
            apply_to(&store, Change::Record(record));
        }
        leave(&place, &[&SEGMENT]);
        assert_eq!(replay(&place).events, LINES - recorded);
        assert_eq!(used(&store, "ann"), LINES, "he had recorded {recorded}");
    }
}

#[test]
fn an_heir_who_died_while_he_removed_the_journal_is_succeeded() {
    let half = SEGMENT.split(|byte| *byte == b'\n').take(5).map(|line| line.len() + 1).sum::<usize>();
    let (first, second) = SEGMENT.split_at(half);
    let place = Place::new();
    let store = place.store();
    // All is recorded and the first segment is gone.
    let record = |sequence| Record { holder: holder(), sequence, event: event("ann"), paid: Vec::new(), now: now() };
    (1..=LINES).for_each(|sequence| apply_to(&store, Change::Record(record(sequence))));
    leave(&place, &[first, second]);
    std::fs::remove_file(journals(&place).join(DEAD).join("1.jsonl")).unwrap();
    assert_eq!(replay(&place), ReplayReport { journals: 1, ..ReplayReport::default() });
    assert_eq!(used(&store, "ann"), LINES);
    // Only the empty directory is left.
    leave(&place, &[]);
    assert_eq!(replay(&place), ReplayReport::default());
    assert!(!journals(&place).exists());
}

#[test]
fn segments_are_read_in_the_order_of_their_numbers() {
    let each: Vec<Vec<u8>> = lines(&SEGMENT).into_iter().map(|line| [line, b"\n"].concat()).collect();
    let segments: Vec<&[u8]> = each.iter().map(Vec::as_slice).collect();
    let place = Place::new();
    leave(&place, &segments);
    // The tenth would otherwise come before the second, whose line is then taken for one that is recorded.
    assert_eq!(replay(&place).events, LINES);
}

#[test]
fn several_heirs_at_once_count_a_journal_once() {
    let place = Place::new();
    drop(place.store());
    leave(&place, &[&SEGMENT]);
    let engines = [(); 3].map(|()| place.open());
    let report = |engine: &Arc<Engine>| ask(|reply| engine.ready(reply)).get().expect("a report").replay.events;
    assert_eq!(engines.iter().map(report).sum::<u64>(), LINES);
    engines.iter().for_each(|engine| close(engine));
    assert_eq!(used(&place.store(), "ann"), LINES);
}

#[test]
fn whatever_was_answered_before_a_crash_is_counted_and_nothing_twice() {
    let place = Place::new();
    let engine = place.open();
    apply(&engine, configure_tiers(&[("tier", Some(1_000_000))]));
    apply(&engine, create_key(api_key("key-1", "ann")));
    apply(&engine, set_tier("ann", "tier"));
    let gate = gate(&engine);
    admit(&gate);
    let (asked, answered) = (AtomicU64::new(1), AtomicU64::new(1));
    let goes_on = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while goes_on.load(Ordering::SeqCst) {
                asked.fetch_add(1, Ordering::SeqCst);
                admit(&gate);
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
        for _ in 0..8 {
            let least = answered.load(Ordering::SeqCst);
            let left = crash(&place);
            let most = asked.load(Ordering::SeqCst);
            let before = used(&left.store(), "ann");
            let brought = replay(&left).events;
            let after = used(&left.store(), "ann");
            assert_eq!(before + brought, after);
            assert!((least..=most).contains(&after), "{after} is not between {least} and {most}");
            assert_eq!(events(&left.store(), Some("ann"), all_time()).len() as u64, after);
            let month = weighbridge::domain::Period::month(now(), weighbridge::domain::TimeZone::UTC);
            let quota = weighbridge::domain::Quota::Period(weighbridge::domain::Meter::API_REQUEST);
            assert_eq!(left.store().leases(&customer_id("ann"), quota, month).unwrap(), []);
        }
        goes_on.store(false, Ordering::SeqCst);
    });
    close(&engine);
    assert_eq!(used(&place.store(), "ann"), answered.into_inner());
}

/// What a disk or a crash does to a file.
#[derive(Debug, Clone)]
enum Damage {
    Flip(usize),
    Truncate(usize),
    /// Blocks that never reached the disk read as zeros.
    Zero(usize, usize),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len().max(1);
        match *self {
            _ if bytes.is_empty() => {}
            Damage::Flip(bit) => bytes[bit / 8 % length] ^= 1 << (bit % 8),
            Damage::Truncate(at) => bytes.truncate(at % length),
            Damage::Zero(from, count) => {
                let from = from % length;
                bytes[from..(from + count).min(length)].fill(0);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => any::<usize>().prop_map(Damage::Flip),
        1 => any::<usize>().prop_map(Damage::Truncate),
        1 => (any::<usize>(), 1usize..600).prop_map(|(from, count)| Damage::Zero(from, count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_a_damaged_journal_every_whole_line_is_counted(damages in prop::collection::vec(damage(), 0..6)) {
        let mut bytes = SEGMENT.clone();
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        let whole: HashSet<&[u8]> = lines(&SEGMENT).into_iter().collect();
        let (counted, rejected): (Vec<_>, Vec<_>) = lines(&bytes).into_iter().partition(|line| whole.contains(line));
        let place = Place::new();
        leave(&place, &[&bytes]);
        let report = replay(&place);
        prop_assert_eq!((report.events, report.rejected), (counted.len() as u64, rejected.len() as u64));
        prop_assert_eq!(used(&place.store(), "ann"), counted.len() as u64);
        prop_assert_eq!(report.rejected_file.is_some(), !rejected.is_empty());
        if let Some(file) = report.rejected_file {
            prop_assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), rejected.len());
        }
        prop_assert_eq!(replay(&place), ReplayReport::default());
        prop_assert_eq!(used(&place.store(), "ann"), counted.len() as u64);
    }
}

fn apply_to(store: &dyn Store, change: Change) {
    store.commit(&[change]).unwrap().outcomes.remove(0).unwrap();
}

#[test]
fn engines_that_come_and_go_do_not_trip_over_each_other() {
    let place = Place::new();
    drop(place.store());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let engine = place.open();
                    ready(&engine).expect("an open engine");
                    close(&engine);
                }
            });
        }
    });
    assert!(!journals(&place).exists());
}

#[test]
fn a_journal_that_cannot_be_read_keeps_nobody_from_opening_and_no_other_from_being_brought_in() {
    let place = Place::new();
    let broken = journals(&place).join("a-broken-one");
    std::fs::create_dir_all(broken.join("1.jsonl")).unwrap();
    std::fs::write(broken.join("lock"), "").unwrap();
    let engine = place.open();
    let report = ask(|reply| engine.ready(reply)).get().unwrap();
    assert_eq!(report.replay.unreadable, [std::fs::canonicalize(&broken).unwrap()]);
    apply(&engine, record(event("ann")));
    close(&engine);
    assert!(broken.exists());
}

#[cfg(unix)]
#[test]
fn an_engine_that_came_through_a_link_leaves_the_leases_of_the_others_alone() {
    let place = Place::new();
    set_limit(&place.store(), Some(100));
    let engine = place.open();
    ready(&engine).unwrap();
    set_limit(&place.store(), Some(100));
    place.store().commit(&[refill("somebody-else", 10)]).unwrap();
    let journal = journals(&place).join("somebody-else");
    std::fs::create_dir_all(&journal).unwrap();
    let lock = std::fs::File::create(journal.join("lock")).unwrap();
    lock.lock().unwrap();
    let link = place.dir.path().join("link.db");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    let other = Engine::open(Options { location: Location::Sqlite(link), ..place.options() }).unwrap();
    ready(&other).unwrap();
    assert_eq!(set_aside(&place.store()), 10);
    close(&other);
    assert_eq!(set_aside(&place.store()), 10);
    close(&engine);
}
