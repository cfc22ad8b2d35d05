//! What an engine has leased: never more than the limit has room for, and given back when it is wanted or not needed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use weighbridge::domain::{Meter, Period, PriceList, Quota, Refusal, TimeZone, Timestamp, Units};
use weighbridge::engine::admission::{Admitted, Candidate, Intent, Passage};
use weighbridge::engine::gate::{Gate, Request, Unpriced, Wanted};
use weighbridge::engine::health::Notice;
use weighbridge::engine::holds::{HoldId, Settlement};
use weighbridge::engine::{Engine, Options};
use weighbridge::store::{Admission, Store, Verdict};
use weighbridge::{Code, Result};

use crate::gate::{decide, price, request};
use crate::support::*;
use crate::{Place, apply, ask, close};

fn month() -> Period {
    Period::month(now(), TimeZone::UTC)
}

/// What all engines have set aside for a customer.
fn leased(store: &dyn Store, customer: &str) -> u64 {
    store
        .leases(&customer_id(customer), Quota::Period(Meter::API_REQUEST), month())
        .unwrap()
        .iter()
        .map(|lease| lease.units)
        .sum()
}

/// An engine on whose store `ann` has a tier with so many requests.
fn open(place: &Place, limit: u64) -> Arc<Engine> {
    let engine = place.open();
    apply(&engine, configure_tiers(&[("tier", Some(limit))]));
    apply(&engine, set_tier("ann", "tier"));
    engine
}

fn candidate(units: u32, intent: Intent, at: Timestamp) -> Candidate {
    let mut event = event("ann");
    event.units = crate::support::units(units);
    event.timestamp = at;
    Candidate {
        event,
        conditions: Admission::default(),
        terms: None,
        intent,
        now: at,
        deadline: None,
        is_new: false,
        known_cost: None,
    }
}

fn consume_at(engine: &Arc<Engine>, units: u32, at: Timestamp) -> Result<Admitted> {
    let passage = ask(|reply| engine.consume(candidate(units, Intent::Record, at), reply)).get()?;
    match passage {
        Passage::Admitted(admitted) => Ok(admitted),
        other => panic!("{other:?}"),
    }
}

fn consume(engine: &Arc<Engine>, units: u32) -> bool {
    consume_at(engine, units, now()).expect("a decision").verdict == Verdict::Recorded
}

/// `None`: it does not fit.
fn hold(engine: &Arc<Engine>, units: u64) -> Option<HoldId> {
    let intent = Intent::Hold { units, unit_price: money("0.1") };
    match ask(|reply| engine.consume(candidate(1, intent, now()), reply)).get().expect("a decision") {
        Passage::Admitted(admitted) => admitted.hold,
        other => panic!("{other:?}"),
    }
}

fn settle(engine: &Arc<Engine>, holds: &[HoldId], units: Option<u64>) -> Result<bool> {
    let settlement = Settlement { units, cost: None, metadata: None, now: now() };
    ask(|reply| engine.settle(holds, settlement, reply)).get()
}

fn flush(engine: &Arc<Engine>) {
    ask(|reply| engine.flush(reply)).get().expect("a flushed engine");
}

fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "it never holds");
    }
}

#[test]
fn what_is_used_and_what_is_leased_never_pass_the_limit() {
    let place = Place::new();
    let engines = [open(&place, 400), place.open(), place.open()];
    let store = place.store();
    let goes_on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut looks = 0_u64;
            while goes_on.load(Ordering::SeqCst) {
                // What is used first: that only grows, so the sum is never taken for more than it was.
                let used = used(&store, "ann");
                let leased = leased(&store, "ann");
                assert!(used + leased <= 400, "{used} are used and {leased} leased");
                looks += 1;
            }
            looks
        });
        let ask = |engine| move || (0..250).filter(|number| consume(engine, number % 3 + 1)).count();
        let threads = engines.each_ref().map(|engine| scope.spawn(ask(engine)));
        assert!(threads.map(|thread| thread.join().expect("a thread that asks")).iter().sum::<usize>() > 0);
        goes_on.store(false, Ordering::SeqCst);
        assert!(watch.join().expect("a thread that looks") > 0);
    });
    engines.iter().for_each(|engine| close(engine));
    assert_eq!(used(&store, "ann"), 400);
}

#[test]
fn closing_gives_everything_back_and_so_does_dropping() {
    let place = Place::new();
    let store = place.store();
    for drops in [false, true] {
        // A deadline that is still to come keeps the engine.
        let engine = Engine::open(Options { deadline: Duration::from_secs(2), ..place.options() }).unwrap();
        apply(&engine, configure_tiers(&[("tier", Some(1_000))]));
        apply(&engine, set_tier("ann", "tier"));
        assert!(consume(&engine, 1));
        assert!(hold(&engine, 5).is_some());
        assert!(leased(&store, "ann") > 0);
        if drops {
            drop(engine)
        } else {
            close(&engine)
        }
        until(|| leased(&store, "ann") == 0 && store.holders().unwrap().is_empty());
    }
    assert_eq!(used(&store, "ann"), 2);
}

#[test]
fn what_one_engine_does_not_use_another_one_gets() {
    let place = Place::new();
    let (one, other) = (open(&place, 100), place.open());
    assert!(consume(&one, 1));
    assert!(consume(&other, 99));
    assert!(!consume(&other, 1));
    assert!(!consume(&one, 1));
}

#[test]
fn what_is_held_is_not_given_to_others_until_it_is_void() {
    let place = Place::new();
    let impatient = Options { deadline: Duration::from_millis(100), ..place.options() };
    let (one, other) = (open(&place, 10), Engine::open(impatient).unwrap());
    let held = hold(&one, 8).expect("a hold");
    // A busy machine may need more than a moment to answer at all.
    until(|| consume_at(&other, 2, now()).is_ok_and(|admitted| admitted.verdict == Verdict::Recorded));
    until(|| {
        let refused = consume_at(&other, 1, now());
        refused.is_ok_and(|admitted| matches!(admitted.verdict, Verdict::Refused(Refusal::LimitExceeded(_))))
    });
    assert!(one.void(&[held]));
    assert!(!one.void(&[held]));
    until(|| consume_at(&other, 8, now()).is_ok_and(|admitted| admitted.verdict == Verdict::Recorded));
}

#[test]
fn holds_end_once_and_as_one_event() {
    let place = Place::new();
    let engine = open(&place, 100);
    let holds = [hold(&engine, 3).expect("a hold"), hold(&engine, 4).expect("a hold")];
    assert!(!settle(&engine, &[], None).unwrap());
    assert!(settle(&engine, &holds, None).unwrap());
    assert!(!settle(&engine, &holds, None).unwrap());
    assert!(!engine.void(&holds));
    flush(&engine);
    let rows = events(&place.store(), Some("ann"), all_time());
    assert_eq!(rows.iter().map(|row| (row.units, row.cost.to_string())).collect::<Vec<_>>(), [(7, "0.7".to_owned())]);
}

#[test]
fn a_settlement_that_is_refused_leaves_the_hold_as_it_was() {
    let place = Place::new();
    let engine = open(&place, 100);
    let holds = [hold(&engine, 3).expect("a hold"), hold(&engine, 4).expect("a hold")];
    let metadata = Some(format!("{{\"text\":{:?}}}", "x".repeat(20_000)));
    let settlement = Settlement { units: None, cost: None, metadata, now: now() };
    let refused = ask(|reply| engine.settle(&holds, settlement, reply)).get();
    assert_eq!(refused.unwrap_err().code, Code::MetadataTooLarge);
    // All of it is still held.
    assert!(!consume(&engine, 94));
    assert!(settle(&engine, &holds, Some(2)).unwrap());
    assert!(consume(&engine, 98));
    assert!(!consume(&engine, 1));
}

#[test]
fn what_is_settled_past_the_limit_is_counted_and_nothing_more_is_admitted() {
    let place = Place::new();
    let engine = open(&place, 10);
    let held = hold(&engine, 2).expect("a hold");
    assert!(settle(&engine, &[held], Some(12)).unwrap());
    for _ in 0..20 {
        assert!(!consume(&engine, 1));
    }
    flush(&engine);
    assert!(!consume(&engine, 1));
    close(&engine);
    assert_eq!(used(&place.store(), "ann"), 12);
}

#[test]
fn units_of_a_month_are_spent_in_it() {
    let place = Place::new();
    let (one, other) = (open(&place, 50), place.open());
    let april = at("2026-04-01T00:00:00Z");
    let recorded = |engine, units, at| consume_at(engine, units, at).unwrap().verdict == Verdict::Recorded;
    // Both have leases of March.
    assert!(recorded(&one, 1, now()) && recorded(&other, 1, now()));
    assert!(recorded(&one, 30, april) && recorded(&other, 20, april));
    assert!(!recorded(&one, 1, april) && !recorded(&other, 1, april));
    assert!(recorded(&one, 48, now()));
    assert!(!recorded(&other, 1, now()));
    [&one, &other].into_iter().for_each(|engine| close(engine));
    let used = |start| counter(&place.store(), "ann", Meter::API_REQUEST, start).0;
    assert_eq!((used("2026-03-01T00:00:00Z"), used("2026-04-01T00:00:00Z")), (50, 50));
}

#[test]
fn a_lower_limit_takes_back_what_was_leased_under_the_higher_one() {
    let place = Place::new();
    let (one, other) = (open(&place, 1_000), place.open());
    assert!(consume(&one, 5));
    apply(&other, configure_tiers(&[("tier", Some(5))]));
    until(|| !consume(&one, 1));
    until(|| leased(&place.store(), "ann") == 0);
    assert!(!consume(&other, 1));
}

#[test]
fn a_store_that_does_not_answer_is_told_once_and_again_when_it_does() {
    let place = Place::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let options = Options {
        deadline: Duration::from_millis(50),
        listener: Arc::new(move |notice| {
            hearing.lock().unwrap().push(match notice {
                Notice::Degraded(error) => error.code.as_str(),
                Notice::Recovered => "recovered",
                Notice::Rejected { .. } => "rejected",
                Notice::Threshold { .. } => "threshold",
            });
        }),
        ..place.options()
    };
    let engine = Engine::open(options).unwrap();
    apply(&engine, create_key(api_key("key-1", "ann")));
    apply(&engine, configure_tiers(&[("tier", Some(100))]));
    apply(&engine, set_tier("ann", "tier"));
    let prices = Arc::new(PriceList::new(vec![price("/paid", "0.1")]).unwrap());
    let gate = Gate::new(Arc::clone(&engine), prices, Unpriced::Pass);
    let blocker = rusqlite::Connection::open(place.path()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    for units in [1, 2] {
        let wanted = Wanted::Counted(Units::from_number(f64::from(units)).unwrap());
        let answer = decide(&gate, Request { units: wanted, ..request("key-1", "GET /paid") });
        assert_eq!(answer.unwrap_err().code, Code::StoreTimeout);
    }
    assert!(engine.is_degraded());
    blocker.execute_batch("ROLLBACK").unwrap();
    until(|| heard.lock().unwrap().len() > 1);
    assert_eq!(*heard.lock().unwrap(), ["store_timeout", "recovered"]);
    assert!(!engine.is_degraded());
    close(&engine);
    assert_eq!(used(&place.store(), "ann"), 0);
}
