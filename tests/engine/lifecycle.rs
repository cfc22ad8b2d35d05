//! Opening, asking, closing: every question is answered once, whatever happens.

use std::sync::{Arc, mpsc};

use weighbridge::domain::price::PriceList;
use weighbridge::engine::gate::{Gate, Unpriced};
use weighbridge::engine::health::Notice;
use weighbridge::engine::{Engine, Location, Options};
use weighbridge::store::Change;
use weighbridge::{Code, Result};

use crate::gate::{asked, decide, request};
use crate::support::postgres::OwnSchema;
use crate::support::{api_key, configure_tiers, create_key, customer_id, event, events, record, tiers, used};
use crate::{Answer, Place, apply, ask, close, commit, ready};

fn tier_ids(engine: &Arc<Engine>) -> Answer<Vec<String>> {
    ask(|reply| engine.read(|_, catalog| Ok(catalog.tiers.table.iter().map(|tier| tier.id.clone()).collect()), reply))
}

fn free_gate(engine: &Arc<Engine>) -> Gate {
    Gate::new(Arc::clone(engine), Arc::new(PriceList::new(Vec::new()).unwrap()), Unpriced::Pass)
}

/// What an engine answers to everything but `close`.
fn codes(engine: &Arc<Engine>) -> Vec<Option<Code>> {
    fn code<T>(answer: Result<T>) -> Option<Code> {
        answer.err().map(|error| error.code)
    }
    vec![
        code(ready(engine)),
        code(commit(engine, vec![record(event("ann"))])),
        code(ask(|reply| engine.commit_one(record(event("ann")), reply)).get()),
        code(ask(|reply| engine.read(|store, _| store.revision(), reply)).get()),
        code(ask(|reply| engine.flush(reply)).get()),
        code(decide(&free_gate(engine), request("key-1", "GET /free"))),
    ]
}

#[test]
fn an_engine_commits_reads_and_flushes() {
    let place = Place::new();
    let engine = place.open();
    // Nothing of it waits for the store to be open.
    let charges: Vec<_> = (0..3).map(|_| ask(|reply| engine.commit_one(record(event("ann")), reply))).collect();
    assert!(ask(|reply| engine.flush(reply)).get().is_ok());
    assert_eq!(used(&place.store(), "ann"), 3);
    let standings = charges.into_iter().map(|charge| charge.get().unwrap().charged().unwrap().standing.used);
    assert_eq!(standings.collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(codes(&engine), [None; 6]);
    let customer = ask(|reply| engine.read(|store, _| store.customer(&customer_id("ann")), reply)).get().unwrap();
    assert_eq!(customer.map(|customer| customer.id), Some(customer_id("ann")));
    close(&engine);
}

#[test]
fn default_tiers_are_for_a_store_without_any_and_given_tiers_for_all() {
    let place = Place::new();
    let open = |given: Option<&str>, default: &str| {
        let table = |id: &str| tiers(&[(id, None)]);
        let options = Options { tiers: given.map(table), default_tiers: table(default), ..place.options() };
        let engine = Engine::open(options).unwrap();
        let ids = tier_ids(&engine).get().unwrap();
        close(&engine);
        ids
    };
    assert_eq!(open(None, "first"), ["first"]);
    assert_eq!(open(None, "second"), ["first"]);
    assert_eq!(open(Some("third"), "second"), ["third"]);
    assert_eq!(open(None, "second"), ["third"]);
}

#[test]
fn everything_asked_before_closing_is_answered_and_done() {
    let place = Place::new();
    let engine = place.open();
    apply(&engine, create_key(api_key("key-1", "bob")));
    let prices = PriceList::new(vec![crate::gate::price("/paid", "0.1")]).unwrap();
    let gate = Gate::new(Arc::clone(&engine), Arc::new(prices), Unpriced::Pass);
    let charges: Vec<_> = (0..100).map(|_| ask(|reply| engine.commit_one(record(event("ann")), reply))).collect();
    // With a key that is still to be looked up.
    let passages: Vec<_> = (0..100).map(|_| asked(&gate, request("key-1", "GET /paid"))).collect();
    let reads: Vec<_> = (0..100).map(|_| tier_ids(&engine)).collect();
    let flushed = ask(|reply| engine.flush(reply));
    let closed = ask(|reply| engine.close(reply));

    assert!(closed.get().is_ok());
    assert!(charges.into_iter().all(|charge| charge.get().is_ok()));
    assert!(passages.into_iter().all(|passage| passage.get().is_ok()));
    assert!(reads.into_iter().all(|read| read.get().is_ok()));
    assert!(flushed.get().is_ok());
    let store = place.store();
    assert_eq!((used(&store, "ann"), used(&store, "bob")), (100, 100));
}

#[test]
fn everything_asked_after_closing_is_refused() {
    let place = Place::new();
    let engine = place.open();
    apply(&engine, create_key(api_key("key-1", "ann")));
    let prices = Arc::new(PriceList::new(vec![crate::gate::price("/paid", "0.1")]).unwrap());
    let gate = Gate::new(Arc::clone(&engine), prices, Unpriced::Pass);
    assert!(decide(&gate, request("key-1", "GET /paid")).is_ok());
    close(&engine);
    for path in ["GET /paid", "GET /free"] {
        for key in ["key-1", "key-2"] {
            let answer = decide(&gate, request(key, path));
            assert_eq!(answer.map_err(|error| error.code).unwrap_err(), Code::Closed, "{key} {path}");
        }
    }
    assert_eq!(codes(&engine), [Some(Code::Closed); 6]);
    assert_eq!(used(&place.store(), "ann"), 1);
}

#[test]
fn closing_again_waits_for_the_same_end() {
    let place = Place::new();
    let engine = place.open();
    let (sender, answers) = mpsc::channel();
    let charges: Vec<Change> = (0..500).map(|_| record(event("ann"))).collect();
    let reply = sender.clone();
    engine.commit(charges, Box::new(move |outcomes| drop(reply.send(outcomes.map(|_| "committed")))));
    for _ in 0..2 {
        let reply = sender.clone();
        engine.close(Box::new(move |closed| drop(reply.send(closed.map(|()| "closed")))));
    }
    let answers: Result<Vec<_>> = answers.iter().take(3).collect();
    assert_eq!(answers.unwrap(), ["committed", "closed", "closed"]);
    close(&engine);
}

#[test]
fn questions_that_race_with_closing_are_done_or_refused() {
    /// Asks without a pause until it is refused. Returns how many questions were done.
    fn ask_until_closed(engine: &Arc<Engine>) -> u64 {
        let mut done = 0;
        loop {
            let answers: Vec<_> =
                (0..20).map(|_| ask(|reply| engine.commit_one(record(event("ann")), reply))).collect();
            let answers: Vec<_> = answers.into_iter().map(|answer| answer.get().map_err(|error| error.code)).collect();
            done += answers.iter().filter(|answer| answer.is_ok()).count() as u64;
            if let Some(code) = answers.into_iter().find_map(|answer| answer.err()) {
                assert_eq!(code, Code::Closed);
                return done;
            }
        }
    }
    for _ in 0..20 {
        let place = Place::new();
        let engine = place.open();
        ready(&engine).unwrap();
        let done: u64 = std::thread::scope(|scope| {
            let threads = [(); 3].map(|()| scope.spawn(|| ask_until_closed(&engine)));
            apply(&engine, record(event("bob")));
            close(&engine);
            threads.into_iter().map(|thread| thread.join().expect("a thread that asks")).sum()
        });
        assert_eq!(used(&place.store(), "ann"), done);
    }
}

#[test]
fn an_engine_that_cannot_open_says_why_to_everyone() {
    let place = Place::new();
    std::fs::write(place.path(), "a note to myself").unwrap();
    let engine = place.open();
    assert_eq!(codes(&engine), [Some(Code::StoreForeign); 6]);
    assert_eq!(codes(&engine), [Some(Code::StoreForeign); 6]);
    close(&engine);
    let refused = codes(&engine);
    assert_eq!(refused[..3], [Some(Code::Closed); 3]);
    assert_eq!(std::fs::read(place.path()).unwrap(), b"a note to myself");
}

#[test]
fn an_engine_that_cannot_open_for_now_tries_again_by_itself() {
    let place = Place::new();
    // No database can be made below a file.
    let blocker = place.dir.path().join("blocked");
    std::fs::write(&blocker, "a note to myself").unwrap();
    let (sender, notices) = std::sync::mpsc::channel();
    let options = Options {
        location: Location::Sqlite(blocker.join("weighbridge.db")),
        listener: Arc::new(move |notice| drop(sender.send(notice))),
        ..place.options()
    };
    let engine = Engine::open(options).unwrap();
    assert_eq!(codes(&engine), [Some(Code::StoreUnavailable); 6]);
    let patience = std::time::Duration::from_secs(60);
    assert!(
        matches!(notices.recv_timeout(patience).unwrap(), Notice::Degraded(error) if error.code == Code::StoreUnavailable)
    );
    std::fs::remove_file(&blocker).unwrap();
    assert_eq!(notices.recv_timeout(patience).unwrap(), Notice::Recovered);
    ready(&engine).unwrap();
    assert_eq!(codes(&engine), [None; 6]);
    close(&engine);
}

#[test]
fn an_engine_that_never_opened_is_closed_at_once() {
    let place = Place::new();
    let blocker = place.dir.path().join("blocked");
    std::fs::write(&blocker, "a note to myself").unwrap();
    let options = Options { location: Location::Sqlite(blocker.join("weighbridge.db")), ..place.options() };
    let engine = Engine::open(options).unwrap();
    assert_eq!(ready(&engine).unwrap_err().code, Code::StoreUnavailable);
    close(&engine);
    assert_eq!(codes(&engine)[..3], [Some(Code::Closed); 3]);
}

#[test]
fn an_engine_that_is_dropped_does_what_it_was_given() {
    let place = Place::new();
    let engine = place.open();
    let charges: Vec<_> = (0..100).map(|_| ask(|reply| engine.commit_one(record(event("ann")), reply))).collect();
    drop(engine);
    assert!(charges.into_iter().all(|charge| charge.get().is_ok()));
    assert_eq!(used(&place.store(), "ann"), 100);
}

#[test]
fn a_read_that_panics_is_answered_and_takes_nobody_with_it() {
    let place = Place::new();
    let engine = place.open();
    for _ in 0..5 {
        let answer = ask(|reply| engine.read::<()>(|_, _| panic!("a bug on purpose"), reply)).get();
        assert_eq!(answer.unwrap_err().code, Code::Internal);
    }
    assert_eq!(codes(&engine), [None; 6]);
    close(&engine);
}

#[test]
fn too_many_waiting_changes_are_refused_and_the_others_are_done() {
    let place = Place::new();
    let engine = place.open();
    ready(&engine).unwrap();
    let blocker = rusqlite::Connection::open(place.path()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let nothing = Change::Configure { tiers: None, time_zone: None };
    let waiting = [(); 2].map(|()| ask(|reply| engine.commit(vec![nothing.clone(); 131_072], reply)));
    let refused = commit(&engine, vec![record(event("ann"))]);
    assert_eq!(refused.unwrap_err().code, Code::Overloaded);
    blocker.execute_batch("ROLLBACK").unwrap();
    for outcomes in waiting {
        assert_eq!(outcomes.get().unwrap().len(), 131_072);
    }
    assert!(commit(&engine, vec![record(event("ann"))]).is_ok());
    assert_eq!(events(&place.store(), None, crate::support::all_time()).len(), 1);
}

#[test]
fn an_engine_learns_what_another_one_changed() {
    let place = Place::new();
    let (engine, other) = (place.open(), place.open());
    for engine in [&engine, &other] {
        ready(engine).unwrap();
    }
    apply(&other, configure_tiers(&[("new", None)]));
    // With its next commit.
    apply(&engine, record(event("ann")));
    assert_eq!(tier_ids(&engine).get().unwrap(), ["new"]);
    // And without one, before long.
    apply(&other, configure_tiers(&[("newer", None)]));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while tier_ids(&engine).get().unwrap() != ["newer"] {
        assert!(std::time::Instant::now() < deadline, "it never asks");
    }
}

/// As while another one changes the time zone, which sorts all events.
#[test]
fn an_engine_that_changes_nothing_opens_while_the_settings_are_locked() {
    let (place, schema) = (Place::new(), OwnSchema::new());
    let open = || {
        let postgres = schema.options("");
        let (holder, directory) = (postgres.writer.clone(), place.dir.path().to_owned());
        let location = Location::Postgres { options: Box::new(postgres), directory };
        let (tiers, time_zone) = (Some(tiers(&[("a", Some(7))])), Some("Europe/Berlin".parse().unwrap()));
        let engine = Engine::open(Options { location, holder, tiers, time_zone, ..place.options() }).unwrap();
        let opened = ready(&engine);
        close(&engine);
        opened
    };
    open().unwrap();
    schema.during("LOCK TABLE settings IN EXCLUSIVE MODE", || open().unwrap());
}
