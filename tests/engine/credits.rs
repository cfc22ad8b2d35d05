//! Prepaid customers at the gate: credit out of leases, to the last digit, over all engines.

use std::sync::Arc;

use serde_json::json;
use weighbridge::domain::credit::{GrantId, GrantRequest, Shortfall, Unit};
use weighbridge::domain::customer::CustomerPatch;
use weighbridge::domain::json::Value;
use weighbridge::domain::{Decimal, Period, PriceList, Quota, Refusal, Timestamp};
use weighbridge::engine::admission::{Admitted, Passage};
use weighbridge::engine::gate::{Gate, Request, Unpriced, Wanted};
use weighbridge::engine::holds::Settlement;
use weighbridge::engine::pricing::Pricing;
use weighbridge::engine::{Engine, credits};
use weighbridge::store::{Change, Store, Verdict};

use crate::gate::{asked, decide, price, request};
use crate::support::*;
use crate::{Place, apply, ask, close, ready};

fn gate(engine: &Arc<Engine>) -> Gate {
    let prices = PriceList::new(vec![price("/paid", "0.03"), price("/tiny", "0.000000000001")]).unwrap();
    Gate::new(Arc::clone(engine), Arc::new(prices), Unpriced::Pass)
}

/// An engine with the key `key-1` of `ann`, who pays beforehand, and its gate.
fn open(place: &Place) -> (Arc<Engine>, Gate) {
    let engine = place.open();
    apply(&engine, create_key(api_key("key-1", "ann")));
    apply(&engine, upsert("ann", CustomerPatch { prepaid: Some(true), ..CustomerPatch::default() }));
    let gate = gate(&engine);
    (engine, gate)
}

fn give(grant: serde_json::Value) -> Change {
    let request = GrantRequest::read(&Value::parse("grant", &grant.to_string()).unwrap()).unwrap();
    Change::GrantCredit { customer_id: customer_id("ann"), request, now: now() }
}

fn paid() -> Request {
    request("key-1", "GET /paid")
}

fn admitted(gate: &Gate, request: Request) -> Admitted {
    match decide(gate, request).expect("a decision") {
        Passage::Admitted(admitted) => admitted,
        other => panic!("{other:?}"),
    }
}

fn verdict(gate: &Gate, request: Request) -> Verdict {
    admitted(gate, request).verdict
}

fn exhausted(left: &str, cost: &str) -> Verdict {
    let [left, cost] = [left, cost].map(|amount| Decimal::parse("amount", amount).unwrap());
    Verdict::Refused(Refusal::CreditExhausted(Shortfall { unit: Unit::Money, left, cost }))
}

/// Everything that was let through is burnt.
fn flush(engine: &Arc<Engine>) {
    ask(|reply| engine.flush(reply)).get().expect("a flushed engine");
}

/// What is set apart, in billionths.
fn set_apart(place: &Place) -> u64 {
    let leases = place.store().leases(&customer_id("ann"), Quota::Credit, Period::EVER).unwrap();
    leases.iter().map(|lease| lease.units).sum()
}

/// What is left, and what is owed.
fn left(place: &Place) -> [String; 2] {
    let store = place.store();
    let catalog = store.catalog().unwrap();
    let (_, balance) = credits::balance(&store, &catalog, &customer_id("ann"), Unit::Money, None, now()).unwrap();
    [balance.left.to_string(), balance.overage.to_string()]
}

#[test]
fn engines_on_one_file_spend_the_credit_between_them_to_the_last_digit() {
    let place = Place::new();
    let (engine, first) = open(&place);
    apply(&engine, give(json!({ "id": "first", "amount": "0.750000000001" })));
    apply(&engine, give(json!({ "id": "second", "amount": "0.25" })));
    let other = place.open();
    ready(&other).unwrap();
    let second = gate(&other);
    let passed = |gate| {
        let answers: Vec<_> = (0..20).map(|_| asked(gate, paid())).collect();
        let verdicts = answers.into_iter().map(|answer| match answer.get() {
            Ok(Passage::Admitted(admitted)) => admitted.verdict,
            other => panic!("{other:?}"),
        });
        let is_passed = |verdict: &Verdict| match verdict {
            Verdict::Recorded => true,
            Verdict::Refused(Refusal::CreditExhausted(_)) => false,
            other => panic!("{other:?}"),
        };
        verdicts.filter(is_passed).count()
    };
    let passed: usize = std::thread::scope(|scope| {
        let ask = |gate| move || (0..5).map(|_| passed(gate)).sum::<usize>();
        let threads = [scope.spawn(ask(&first)), scope.spawn(ask(&second))];
        threads.into_iter().map(|thread| thread.join().expect("a thread that asks")).sum()
    });
    assert_eq!(passed, 33);
    assert_eq!(verdict(&first, request("key-1", "GET /tiny")), Verdict::Recorded, "no lease has the last digit");
    close(&engine);
    close(&other);
    assert_eq!((used(&place.store(), "ann"), left(&place)), (34, ["0.01", "0"].map(str::to_owned)));
    assert_eq!(set_apart(&place), 0);
}

#[test]
fn whoever_has_credit_set_apart_is_admitted_without_the_store() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    apply(&engine, give(json!({ "id": "first", "amount": "100" })));
    assert_eq!(verdict(&gate, paid()), Verdict::Recorded);
    let again = asked(&gate, paid());
    assert!(again.is_writing());
    assert!(again.get().is_ok());
    assert!(set_apart(&place) > 0);
    close(&engine);
    assert_eq!(left(&place), ["99.94", "0"]);
}

#[test]
fn what_is_set_apart_of_a_grant_ends_with_it() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    apply(&engine, give(json!({ "id": "soon", "amount": "10", "expiresAt": "2026-03-10T13:00:00Z" })));
    apply(&engine, give(json!({ "id": "last", "amount": "0.05" })));
    let at_instant = |now| Request { now, ..paid() };
    let end = at("2026-03-10T13:00:00Z");
    assert_eq!(verdict(&gate, at_instant(now())), Verdict::Recorded);
    assert_eq!(verdict(&gate, at_instant(Timestamp::from_stored(end.as_millis() - 1))), Verdict::Recorded);
    flush(&engine);
    assert_eq!(verdict(&gate, at_instant(end)), Verdict::Recorded);
    flush(&engine);
    assert_eq!(verdict(&gate, at_instant(end)), exhausted("0.02", "0.03"));
    close(&engine);
    assert_eq!(left(&place), ["0.02", "0"]);
}

#[test]
fn what_is_set_apart_of_a_grant_goes_back_when_it_is_void() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    apply(&engine, give(json!({ "id": "first", "amount": "10" })));
    assert_eq!(verdict(&gate, paid()), Verdict::Recorded);
    flush(&engine);
    assert!(set_apart(&place) > 0);
    let id = GrantId::parse("id", "first").unwrap();
    apply(&engine, Change::VoidGrant { customer_id: customer_id("ann"), id, at: now(), now: now() });
    assert_eq!(verdict(&gate, paid()), exhausted("0", "0.03"));
    apply(&engine, give(json!({ "id": "second", "amount": "0.03" })));
    assert_eq!(verdict(&gate, paid()), Verdict::Recorded);
    flush(&engine);
    assert_eq!(verdict(&gate, paid()), exhausted("0", "0.03"));
    close(&engine);
    assert_eq!(left(&place), ["0", "0"]);
}

#[test]
fn holds_hold_credit() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    apply(&engine, give(json!({ "id": "first", "amount": "0.07" })));
    let held = || Request { units: Wanted::Held(1), ..paid() };
    let holds: Vec<_> = (0..2).map(|_| admitted(&gate, held()).hold.expect("a hold")).collect();
    assert_eq!(verdict(&gate, held()), exhausted("0.07", "0.03"), "nothing is burnt yet");
    assert!(engine.void(&holds[..1]));
    let third = admitted(&gate, held()).hold.expect("a hold");
    let (sender, receiver) = std::sync::mpsc::channel();
    let settlement = Settlement { units: None, cost: None, metadata: None, now: now() };
    engine.settle(&[holds[1], third], settlement, Box::new(move |settled| drop(sender.send(settled))));
    assert!(receiver.recv().expect("an answer").expect("a settlement"));
    assert!(matches!(verdict(&gate, held()), Verdict::Refused(Refusal::CreditExhausted(_))));
    close(&engine);
    assert_eq!(left(&place), ["0.01", "0"]);
}

#[test]
fn what_the_period_prices_finds_the_credit_that_is_set_apart() {
    let place = Place::new();
    let engine = place.open();
    let catalog = json!({
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
    apply(&engine, upsert("ann", CustomerPatch { prepaid: Some(true), ..CustomerPatch::default() }));
    apply(&engine, create_key(api_key("key-1", "ann")));
    apply(&engine, give(json!({ "id": "first", "amount": "0.99" })));
    let nothing = Arc::new(PriceList::new(Vec::new()).unwrap());
    let gate = Gate::new(Arc::clone(&engine), Pricing::CatalogOr(nothing), Unpriced::Pass);
    let package = || request("key-1", "GET /package");
    assert_eq!(verdict(&gate, paid()), Verdict::Recorded);
    assert!(set_apart(&place) > 90_000_000);
    assert_eq!([verdict(&gate, package()), verdict(&gate, package())], [Verdict::Recorded, Verdict::Recorded]);
    assert_eq!(verdict(&gate, paid()), Verdict::Recorded);
    assert_eq!(verdict(&gate, paid()), Verdict::Recorded);
    flush(&engine);
    assert_eq!(verdict(&gate, paid()), exhausted("0", "0.03"));
    close(&engine);
    assert_eq!(left(&place), ["0", "0"]);
}

#[test]
fn credit_for_units_is_the_stores_to_judge() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    apply(&engine, give(json!({ "id": "money", "amount": "0.04" })));
    apply(&engine, give(json!({ "id": "units", "unit": "api_request", "amount": 2 })));
    let said: Vec<_> = (0..4).map(|_| verdict(&gate, paid())).collect();
    assert_eq!(said[..3], [Verdict::Recorded, Verdict::Recorded, Verdict::Recorded]);
    assert_eq!(said[3], exhausted("0.01", "0.03"));
    assert_eq!(set_apart(&place), 0);
    close(&engine);
    assert_eq!(left(&place), ["0.01", "0"]);
}
