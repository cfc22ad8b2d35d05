//! Spend caps at the gate: money to the last digit, over all engines.

use std::sync::Arc;

use weighbridge::domain::customer::{CustomerPatch, Patch};
use weighbridge::domain::{EventId, PriceList, Quota, Refusal, Spending};
use weighbridge::engine::Engine;
use weighbridge::engine::admission::{Admitted, Passage};
use weighbridge::engine::gate::{Gate, Request, Unpriced, Wanted};
use weighbridge::engine::holds::Settlement;
use weighbridge::engine::pricing::Pricing;
use weighbridge::store::{Change, Store, Verdict};

use crate::gate::{asked, decide, price, request};
use crate::support::*;
use crate::{Place, apply, close, ready};

fn gate(engine: &Arc<Engine>) -> Gate {
    let prices = PriceList::new(vec![price("/paid", "0.03"), price("/free", "0")]).unwrap();
    Gate::new(Arc::clone(engine), Arc::new(prices), Unpriced::Pass)
}

fn set_cap(cap: Option<&str>) -> Change {
    let spend_cap = cap.map_or(Patch::Clear, |cap| Patch::Set(money(cap)));
    upsert("ann", CustomerPatch { spend_cap, ..CustomerPatch::default() })
}

/// An engine with the key `key-1` of `ann`, who may spend so much, and its gate.
fn open(place: &Place, cap: &str) -> (Arc<Engine>, Gate) {
    let engine = place.open();
    apply(&engine, create_key(api_key("key-1", "ann")));
    apply(&engine, set_cap(Some(cap)));
    let gate = gate(&engine);
    (engine, gate)
}

fn paid() -> Request {
    request("key-1", "GET /paid")
}

fn exceeded(cap: &str, spent: &str) -> Verdict {
    let spending = Spending { cap: money(cap), spent: money(spent) };
    Verdict::Refused(Refusal::SpendCapExceeded { spending, cost: money("0.03") })
}

pub fn admitted(gate: &Gate, request: Request) -> Admitted {
    match decide(gate, request).expect("a decision") {
        Passage::Admitted(admitted) => admitted,
        other => panic!("{other:?}"),
    }
}

fn verdict(gate: &Gate, request: Request) -> Verdict {
    admitted(gate, request).verdict
}

/// How many of so many concurrent requests are let through. The others are refused at the cap.
fn let_through(gate: &Gate, requests: usize) -> usize {
    let answers: Vec<_> = (0..requests).map(|_| asked(gate, paid())).collect();
    let verdicts = answers.into_iter().map(|answer| match answer.get() {
        Ok(Passage::Admitted(admitted)) => admitted.verdict,
        other => panic!("{other:?}"),
    });
    verdicts
        .filter(|verdict| {
            assert!(*verdict == Verdict::Recorded || *verdict == exceeded("1", "0.99"), "{verdict:?}");
            *verdict == Verdict::Recorded
        })
        .count()
}

#[test]
fn engines_on_one_file_spend_the_cap_between_them_to_the_last_digit() {
    let place = Place::new();
    let (engine, first) = open(&place, "1.00");
    let other = place.open();
    ready(&other).unwrap();
    let second = gate(&other);
    let admitted: usize = std::thread::scope(|scope| {
        let ask = |gate| move || (0..5).map(|_| let_through(gate, 20)).sum::<usize>();
        let threads = [scope.spawn(ask(&first)), scope.spawn(ask(&second))];
        threads.into_iter().map(|thread| thread.join().expect("a thread that asks")).sum()
    });
    assert_eq!(admitted, 33);
    assert_eq!(verdict(&first, request("key-1", "GET /free")), Verdict::Recorded, "what is free");
    close(&engine);
    close(&other);
    assert_eq!(used(&place.store(), "ann"), 34);
}

#[test]
fn a_cap_that_is_raised_lowered_or_removed_holds_from_then_on() {
    let place = Place::new();
    let (engine, gate) = open(&place, "0.03");
    assert_eq!(verdict(&gate, paid()), Verdict::Recorded);
    assert_eq!(verdict(&gate, paid()), exceeded("0.03", "0.03"));
    apply(&engine, set_cap(Some("0.06")));
    assert_eq!(verdict(&gate, paid()), Verdict::Recorded);
    apply(&engine, set_cap(Some("0")));
    assert_eq!(verdict(&gate, paid()), exceeded("0", "0.06"));
    apply(&engine, set_cap(None));
    assert_eq!(verdict(&gate, paid()), Verdict::Recorded);
    close(&engine);
    assert_eq!(used(&place.store(), "ann"), 3);
}

#[test]
fn what_the_cap_refuses_takes_no_unit_of_the_limit() {
    let place = Place::new();
    let (engine, gate) = open(&place, "0.03");
    apply(&engine, configure_tiers(&[("tier", Some(3))]));
    apply(&engine, set_tier("ann", "tier"));
    assert_eq!(verdict(&gate, paid()), Verdict::Recorded);
    for _ in 0..5 {
        let refused = admitted(&gate, paid());
        assert_eq!((refused.verdict, refused.standing.used), (exceeded("0.03", "0.03"), 1));
    }
    apply(&engine, set_cap(Some("1")));
    assert_eq!([verdict(&gate, paid()), verdict(&gate, paid())], [Verdict::Recorded, Verdict::Recorded]);
    assert!(matches!(verdict(&gate, paid()), Verdict::Refused(Refusal::LimitExceeded(_))));
    close(&engine);
    assert_eq!(used(&place.store(), "ann"), 3);
}

#[test]
fn a_retry_passes_a_cap_that_is_spent() {
    let place = Place::new();
    let (engine, gate) = open(&place, "0.03");
    let with_id = |id: &str| Request { id: EventId::new(id).ok(), ..paid() };
    assert_eq!(verdict(&gate, with_id("first")), Verdict::Recorded);
    assert_eq!(verdict(&gate, with_id("first")), Verdict::Duplicate);
    assert_eq!(verdict(&gate, with_id("second")), exceeded("0.03", "0.03"));
    close(&engine);
}

#[test]
fn a_hold_is_refused_where_the_cap_has_no_room_for_it() {
    let place = Place::new();
    let (engine, gate) = open(&place, "0.06");
    let held = || Request { units: Wanted::Held(1), ..paid() };
    for _ in 0..2 {
        let hold = admitted(&gate, held()).hold.expect("a hold");
        let settlement = Settlement { units: None, cost: None, metadata: None, now: now() };
        let (sender, receiver) = std::sync::mpsc::channel();
        engine.settle(&[hold], settlement, Box::new(move |settled| drop(sender.send(settled))));
        assert!(receiver.recv().expect("an answer").expect("a settlement"));
    }
    // What was settled last may still be on its way through the journal.
    let refused = admitted(&gate, held());
    assert_eq!((refused.verdict, refused.hold, refused.standing.used), (exceeded("0.06", "0.06"), None, 2));
    assert_eq!(admitted(&gate, Request { units: Wanted::Held(0), ..paid() }).standing.used, 2);
    close(&engine);
    assert_eq!(used(&place.store(), "ann"), 2);
}

/// An engine whose catalog has a price a unit, and packages of 100 for 0.9.
pub fn with_packages(place: &Place, cap: &str) -> (Arc<Engine>, Gate) {
    let engine = place.open();
    let catalog = serde_json::json!({
        "id": "public", "version": "1", "currency": "USD", "meters": ["api_request"], "tiers": [{ "id": "tier" }],
        "prices": [
            { "id": "one", "meter": "api_request", "price": { "model": "per_unit", "unitAmount": "0.03" } },
            {
                "id": "package", "meter": "api_request", "route": "/package",
                "price": { "model": "package", "amount": "0.9", "packageSize": "100" },
            },
        ],
    });
    apply(&engine, offer(&[catalog]));
    apply(&engine, set_tier("ann", "tier"));
    apply(&engine, create_key(api_key("key-1", "ann")));
    apply(&engine, set_cap(Some(cap)));
    let gate = by_catalog(&engine);
    (engine, gate)
}

fn by_catalog(engine: &Arc<Engine>) -> Gate {
    let nothing = Arc::new(PriceList::new(Vec::new()).unwrap());
    Gate::new(Arc::clone(engine), Pricing::CatalogOr(nothing), Unpriced::Pass)
}

#[test]
fn what_the_period_prices_finds_the_money_that_others_hold() {
    let place = Place::new();
    let (engine, first) = with_packages(&place, "1");
    let other = place.open();
    ready(&other).unwrap();
    assert_eq!(verdict(&first, paid()), Verdict::Recorded);
    let leases = || place.store().leases(&customer_id("ann"), Quota::Spend, all_time()).unwrap();
    assert!(leases().iter().map(|lease| lease.units).sum::<u64>() > 80_000_000, "{:?}", leases());
    let package = || request("key-1", "GET /package");
    assert_eq!(verdict(&by_catalog(&other), package()), Verdict::Recorded);
    assert_eq!(verdict(&by_catalog(&other), package()), Verdict::Recorded, "it is in the package");
    let spending = Spending { cap: money("1"), spent: money("0.99") };
    // 0.03, 0.9 and twice 0.03 are spent.
    assert_eq!([verdict(&first, paid()), verdict(&first, paid())], [Verdict::Recorded, Verdict::Recorded]);
    let refused = Refusal::SpendCapExceeded { spending, cost: money("0.03") };
    assert_eq!(verdict(&first, paid()), Verdict::Refused(refused));
    close(&engine);
    close(&other);
    assert_eq!(used(&place.store(), "ann"), 5);
}

#[test]
fn a_hold_of_what_the_period_prices_holds_what_it_would_cost_now() {
    let place = Place::new();
    let (engine, gate) = with_packages(&place, "0.95");
    let held = |route| Request { units: Wanted::Held(1), ..request("key-1", route) };
    let hold = admitted(&gate, held("GET /package")).hold.expect("a hold");
    let cost = money("0.9");
    let refused = |gate| match verdict(gate, held("GET /package")) {
        Verdict::Refused(Refusal::SpendCapExceeded { cost, .. }) => cost,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&gate), cost);
    assert!(admitted(&gate, held("GET /one")).hold.is_some());
    assert!(engine.void(&[hold]));
    assert!(admitted(&gate, held("GET /package")).hold.is_some());
    close(&engine);
}
