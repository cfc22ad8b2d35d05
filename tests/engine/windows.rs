//! Limits a day, an hour and within some seconds at the gate: out of leases, over all engines.

use std::sync::Arc;

use serde_json::json;
use weighbridge::domain::catalog::LimitWindow;
use weighbridge::domain::{Meter, Quota, Refusal, Timestamp};
use weighbridge::engine::Engine;
use weighbridge::engine::admission::{Admitted, Passage};
use weighbridge::engine::gate::{Gate, Request, Unpriced, Wanted};
use weighbridge::engine::holds::Settlement;
use weighbridge::engine::pricing::Pricing;
use weighbridge::store::Verdict;

use crate::gate::{asked, decide, request};
use crate::support::*;
use crate::{Place, apply, ask, close, ready};

fn gate(engine: &Arc<Engine>) -> Gate {
    let nothing = Arc::new(weighbridge::domain::PriceList::new(Vec::new()).unwrap());
    Gate::new(Arc::clone(engine), Pricing::CatalogOr(nothing), Unpriced::Pass)
}

/// An engine with the key `key-1` of `ann`, who has these limits, and its gate.
fn open(place: &Place, limits: &[(serde_json::Value, u64)]) -> (Arc<Engine>, Gate) {
    let engine = place.open();
    let mut catalog = windowed(limits);
    catalog["prices"] =
        json!([{ "id": "requests", "meter": "api_request", "price": { "model": "per_unit", "unitAmount": "0.01" } }]);
    apply(&engine, offer(&[catalog]));
    apply(&engine, set_tier("ann", "windowed"));
    apply(&engine, create_key(api_key("key-1", "ann")));
    let gate = gate(&engine);
    (engine, gate)
}

fn at_instant(now: Timestamp) -> Request {
    Request { now, ..request("key-1", "GET /paid") }
}

fn admitted(gate: &Gate, request: Request) -> Admitted {
    match decide(gate, request).expect("a decision") {
        Passage::Admitted(admitted) => admitted,
        other => panic!("{other:?}"),
    }
}

fn passes(gate: &Gate, request: Request) -> bool {
    match admitted(gate, request).verdict {
        Verdict::Recorded => true,
        Verdict::Refused(Refusal::LimitExceeded(_)) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn engines_on_one_file_share_each_window_to_the_last_unit() {
    let place = Place::new();
    let (engine, first) =
        open(&place, &[(json!("day"), 120), (json!("hour"), 100), (json!({ "slidingSeconds": 600 }), 70)]);
    let other = place.open();
    ready(&other).unwrap();
    let second = gate(&other);
    let all = |instant: Timestamp| -> usize {
        std::thread::scope(|scope| {
            let ask = |gate| {
                move || {
                    let answers: Vec<_> = (0..100).map(|_| asked(gate, at_instant(instant))).collect();
                    let passes = |answer: crate::gate::Asked| match answer.get() {
                        Ok(Passage::Admitted(admitted)) => admitted.verdict == Verdict::Recorded,
                        other => panic!("{other:?}"),
                    };
                    answers.into_iter().map(passes).filter(|passes| *passes).count()
                }
            };
            let threads = [scope.spawn(ask(&first)), scope.spawn(ask(&second))];
            threads.into_iter().map(|thread| thread.join().expect("a thread that asks")).sum()
        })
    };
    // Ten minutes hold 70, an hour 100, a day 120.
    assert_eq!(all(now()), 70);
    assert_eq!(all(now().plus_millis(720_000)), 30);
    assert_eq!(all(now().plus_millis(3_600_000)), 20);
    assert_eq!(all(now().plus_millis(7_200_000)), 0);
    assert_eq!(all(now().plus_millis(86_400_000)), 70);
    close(&engine);
    close(&other);
    assert_eq!(used(&place.store(), "ann"), 190);
}

#[test]
fn what_a_window_refuses_takes_nothing_of_the_others() {
    let place = Place::new();
    let (engine, gate) = open(&place, &[(json!("month"), 5), (json!("hour"), 2)]);
    let hours = |hours: i64| now().plus_millis(hours * 3_600_000);
    for _ in 0..3 {
        passes(&gate, at_instant(now()));
    }
    let refused = admitted(&gate, at_instant(now()));
    assert_eq!((refused.standing.limit, refused.period.end), (Some(2), at("2026-03-10T13:00:00Z")));
    assert!(passes(&gate, at_instant(hours(1))) && passes(&gate, at_instant(hours(1))));
    assert!(!passes(&gate, at_instant(hours(1))));
    // The month has room for one more.
    assert!(passes(&gate, at_instant(hours(2))));
    let refused = admitted(&gate, at_instant(hours(2)));
    assert_eq!((refused.standing.limit, refused.standing.used), (Some(5), 5));
    close(&engine);
    assert_eq!(used(&place.store(), "ann"), 5);
}

#[test]
fn an_id_that_is_sent_again_passes_a_window_that_is_full() {
    let place = Place::new();
    let (engine, gate) = open(&place, &[(json!("hour"), 1)]);
    let with_id = |id: &str| Request { id: weighbridge::domain::EventId::new(id).ok(), ..at_instant(now()) };
    assert_eq!(admitted(&gate, with_id("first")).verdict, Verdict::Recorded);
    assert_eq!(admitted(&gate, with_id("first")).verdict, Verdict::Duplicate);
    assert!(!passes(&gate, with_id("second")));
    close(&engine);
}

#[test]
fn a_hold_holds_of_every_window_and_gives_back_what_it_does_not_take() {
    let place = Place::new();
    let (engine, gate) = open(&place, &[(json!("hour"), 10), (json!({ "slidingSeconds": 60 }), 10)]);
    let held = |units| admitted(&gate, Request { units: Wanted::Held(units), ..at_instant(now()) }).hold;
    let hold = held(8).expect("a hold");
    assert_eq!(held(3), None);
    let settlement = Settlement { units: Some(4), cost: None, metadata: None, now: now() };
    assert!(ask(|reply| engine.settle(&[hold], settlement, reply)).get().unwrap());
    let hold = held(6).expect("what was not taken");
    assert_eq!(held(1), None);
    assert!(engine.void(&[hold]));
    assert_eq!((0..9).filter(|_| passes(&gate, at_instant(now()))).count(), 6);
    close(&engine);
    let store = place.store();
    assert_eq!(used(&store, "ann"), 10);
    let window = Quota::Window(Meter::API_REQUEST, LimitWindow::Sliding { seconds: 60 });
    assert_eq!(weighbridge::store::Store::leases(&store, &customer_id("ann"), window, all_time()).unwrap(), []);
}
