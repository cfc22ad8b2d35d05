//! The gate: who passes, who is refused, and what is counted.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use weighbridge::domain::price::RoutingRules;
use weighbridge::domain::{ApiKey, EventId, Meter, Price, PriceList, Refusal, Secret, Standing, Units};
use weighbridge::engine::Engine;
use weighbridge::engine::admission::{Caller, Decision, Passage};
use weighbridge::engine::gate::{Gate, Request, Unpriced, Wanted};
use weighbridge::store::Verdict;
use weighbridge::{Code, Result};

use crate::support::*;
use crate::{Place, apply, close, ready};

pub fn price(route: &str, amount: &str) -> Price {
    Price::new(route, money(amount), None).expect("a price")
}

/// A request with the secret of a key.
pub fn request(key: &str, route: &str) -> Request {
    let (method, path) = route.split_once(' ').expect("a method and a path");
    Request {
        key: secret_of(key),
        method: method.to_owned(),
        path: path.to_owned(),
        rules: RoutingRules::default(),
        user_agent: None,
        digest: None,
        dimensions: BTreeMap::new(),
        id: None,
        units: Wanted::Counted(Units::ONE),
        now: now(),
    }
}

enum Said {
    Answer(Result<Passage>),
    Written(Result<()>),
}

/// Somebody who waits for what becomes of a request.
struct Asker(mpsc::Sender<Said>);

impl Caller for Asker {
    fn answer(self, answer: Result<Passage>) {
        drop(self.0.send(Said::Answer(answer)));
    }

    fn written(self, written: Result<()>) {
        drop(self.0.send(Said::Written(written)));
    }
}

/// A request that was made.
pub struct Asked(Decision, mpsc::Receiver<Said>);

pub fn asked(gate: &Gate, request: Request) -> Asked {
    let (sender, receiver) = mpsc::channel();
    Asked(gate.decide(request, Asker(sender)), receiver)
}

impl Asked {
    /// Whether it is admitted as soon as it is written, without asking the store.
    pub fn is_writing(&self) -> bool {
        matches!(self.0, Decision::Writing(_))
    }

    /// What becomes of it, once that is known and written.
    pub fn get(self) -> Result<Passage> {
        let said = || self.1.recv_timeout(Duration::from_secs(60)).expect("an answer");
        match self.0 {
            Decision::Made(answer) => answer,
            Decision::Writing(admitted) => match said() {
                Said::Written(written) => written.map(|()| Passage::Admitted(admitted)),
                Said::Answer(_) => panic!("it was answered twice"),
            },
            Decision::Later => match said() {
                Said::Answer(answer) => answer,
                Said::Written(_) => panic!("it was not answered"),
            },
        }
    }
}

pub fn decide(gate: &Gate, request: Request) -> Result<Passage> {
    asked(gate, request).get()
}

/// What is decided without asking the store, and not recorded.
fn decided_at_once(gate: &Gate, request: Request) -> Option<Passage> {
    match asked(gate, request).0 {
        Decision::Made(answer) => Some(answer.expect("a decision")),
        Decision::Writing(_) | Decision::Later => None,
    }
}

fn gate(engine: &Arc<Engine>) -> Gate {
    let vip = Price::new("/vip", money("1"), Some("high".to_owned())).expect("a price");
    let prices = PriceList::new(vec![price("/paid", "0.1"), price("POST /agents/:id", "0.25"), vip]).unwrap();
    Gate::new(Arc::clone(engine), Arc::new(prices), Unpriced::Pass)
}

/// An engine with the key `key-1` of `ann`, and its gate.
fn open(place: &Place) -> (Arc<Engine>, Gate) {
    let engine = place.open();
    apply(&engine, create_key(api_key("key-1", "ann")));
    let gate = gate(&engine);
    (engine, gate)
}

/// The verdict on a request that got as far as the store.
fn verdict(gate: &Gate, request: Request) -> Verdict {
    match decide(gate, request).expect("a decision") {
        Passage::Admitted(admitted) => admitted.verdict,
        other => panic!("{other:?}"),
    }
}

fn refusal(passage: Passage) -> Option<Refusal> {
    match passage {
        Passage::Refused(refusal) => Some(refusal),
        Passage::Admitted(admitted) => match admitted.verdict {
            Verdict::Refused(refusal) => Some(refusal),
            Verdict::Recorded | Verdict::Duplicate => None,
        },
        Passage::Unpriced(_) => None,
    }
}

fn refused(gate: &Gate, request: Request) -> Option<Refusal> {
    refusal(decide(gate, request).expect("a decision"))
}

#[test]
fn a_mistyped_key_is_refused_at_once_even_without_a_store() {
    let place = Place::new();
    std::fs::write(place.path(), "a note to myself").unwrap();
    let gate = gate(&place.open());
    let mut mistyped = Secret::generate([7; 22]).expose().to_owned();
    mistyped.replace_range(10..11, if mistyped.as_bytes()[10] == b'x' { "y" } else { "x" });
    for key in [mistyped, String::new(), "x".repeat(256)] {
        let passage = decided_at_once(&gate, Request { key, ..request("", "GET /paid") });
        assert_eq!(passage.and_then(refusal), Some(Refusal::InvalidKey));
    }
}

#[test]
fn an_unknown_key_is_refused_and_remembered_until_it_is_made() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    assert!(decided_at_once(&gate, request("key-2", "GET /free")).is_none());
    for route in ["GET /paid", "GET /free"] {
        assert_eq!(refused(&gate, request("key-2", route)), Some(Refusal::InvalidKey), "{route}");
    }
    let again = decided_at_once(&gate, request("key-2", "GET /free"));
    assert_eq!(again.and_then(refusal), Some(Refusal::InvalidKey));
    apply(&engine, create_key(api_key("key-2", "bob")));
    assert_eq!(verdict(&gate, request("key-2", "GET /paid")), Verdict::Recorded);
}

#[test]
fn a_priced_request_is_counted_with_a_cold_and_with_a_warm_key() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    let agent = Some("é".repeat(400));
    let three = Request { units: Wanted::Counted(units(3)), user_agent: agent, ..request("key-1", "POST /agents/7?") };
    let three = Request { path: "/Agents/7/".to_owned(), ..three };
    for request in [request("key-1", "GET /paid"), request("key-1", "HEAD /paid"), three] {
        assert_eq!(verdict(&gate, request), Verdict::Recorded);
    }
    close(&engine);
    let store = place.store();
    let rows = events(&store, Some("ann"), all_time()).into_iter();
    let rows: Vec<_> =
        rows.map(|row| (row.endpoint.unwrap(), row.meter, row.units, row.cost.to_string(), row.at)).collect();
    let paid = ("/paid".to_owned(), Meter::API_REQUEST, 1, "0.1".to_owned(), now());
    assert_eq!(rows, [paid.clone(), paid, ("/agents/:id".to_owned(), Meter::API_REQUEST, 3, "0.75".to_owned(), now())]);
}

#[test]
fn a_route_without_a_price_passes_or_is_refused() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    for passage in
        [decide(&gate, request("key-1", "GET /free")).ok(), decided_at_once(&gate, request("key-1", "GET /free"))]
    {
        assert!(matches!(passage, Some(Passage::Unpriced(customer)) if customer.id == customer_id("ann")));
    }
    let strict = Gate::new(Arc::clone(&engine), Arc::new(PriceList::new(Vec::new()).unwrap()), Unpriced::Refuse);
    assert_eq!(decided_at_once(&strict, request("key-1", "GET /paid")).and_then(refusal), Some(Refusal::Unpriced));
    // The key is judged first.
    assert_eq!(refused(&strict, request("key-2", "GET /paid")), Some(Refusal::InvalidKey));
    assert_eq!(used(&place.store(), "ann"), 0);
}

#[test]
fn a_route_that_needs_a_tier_refuses_lower_ones() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    let too_low = Some(Refusal::TierTooLow { required: "high".to_owned() });
    apply(&engine, configure_tiers(&[("low", None), ("high", None)]));
    assert_eq!(refused(&gate, request("key-1", "GET /vip")), too_low);
    apply(&engine, set_tier("ann", "low"));
    assert_eq!(refused(&gate, request("key-1", "GET /vip")), too_low);
    assert_eq!(decided_at_once(&gate, request("key-1", "GET /vip")).and_then(refusal), too_low);
    apply(&engine, set_tier("ann", "high"));
    assert_eq!(verdict(&gate, request("key-1", "GET /vip")), Verdict::Recorded);
}

#[test]
fn a_suspended_customer_is_refused_everywhere() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    assert_eq!(verdict(&gate, request("key-1", "GET /paid")), Verdict::Recorded);
    apply(&engine, suspend("ann"));
    for route in ["GET /paid", "GET /free"] {
        assert_eq!(refused(&gate, request("key-1", route)), Some(Refusal::Suspended), "{route}");
    }
    close(&engine);
    assert_eq!(used(&place.store(), "ann"), 1);
}

#[test]
fn a_key_revoked_by_another_engine_is_soon_refused() {
    let place = Place::new();
    let (_engine, gate) = open(&place);
    let other = place.open();
    for key in ["key-2", "key-3", "key-4"] {
        apply(&other, create_key(api_key(key, "ann")));
        assert_eq!(verdict(&gate, request(key, "GET /paid")), Verdict::Recorded);
        apply(&other, revoke_key(key, now()));
        until(|| refused(&gate, request(key, "GET /paid")) == Some(Refusal::InvalidKey));
        assert_eq!(refused(&gate, request(key, "GET /free")), Some(Refusal::InvalidKey));
    }
}

/// Tries again until it holds.
fn until(holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "it never holds");
    }
}

#[test]
fn a_key_revoked_by_another_engine_is_soon_refused_without_a_price_too() {
    let place = Place::new();
    let (_engine, gate) = open(&place);
    let other = place.open();
    assert_eq!(refused(&gate, request("key-1", "GET /free")), None);
    apply(&other, revoke_key("key-1", now()));
    until(|| refused(&gate, request("key-1", "GET /free")) == Some(Refusal::InvalidKey));
}

#[test]
fn a_key_expires_while_it_is_remembered() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    let expires_at = now().plus_millis(1_000);
    apply(&engine, create_key(ApiKey { expires_at: Some(expires_at), ..api_key("key-2", "ann") }));
    let at = |millis, route| Request { now: now().plus_millis(millis), ..request("key-2", route) };
    for route in ["GET /paid", "GET /free"] {
        assert_eq!(refused(&gate, at(999, route)), None, "{route}");
        assert_eq!(decided_at_once(&gate, at(1_000, route)).and_then(refusal), Some(Refusal::InvalidKey), "{route}");
    }
}

#[test]
fn a_retried_request_counts_once_and_another_one_with_its_id_is_refused() {
    let place = Place::new();
    let (_engine, gate) = open(&place);
    let with_id = |route| Request { id: Some(EventId::new("retry-1").unwrap()), ..request("key-1", route) };
    assert_eq!(verdict(&gate, with_id("GET /paid")), Verdict::Recorded);
    let retry = Request { now: now().plus_millis(5_000), ..with_id("GET /paid") };
    assert_eq!(verdict(&gate, retry), Verdict::Duplicate);
    assert_eq!(refused(&gate, with_id("POST /agents/7")), Some(Refusal::IdempotencyConflict));
    assert_eq!(used(&place.store(), "ann"), 1);
}

#[test]
fn a_sum_that_overflows_is_told_to_whoever_gave_an_id() {
    let place = Place::new();
    let (engine, _) = open(&place);
    apply(&engine, configure_tiers(&[("tier", None)]));
    apply(&engine, set_tier("ann", "tier"));
    let prices = PriceList::new(vec![price("/paid", "999999999999.999999999999"), price("/free", "0")]).unwrap();
    let gate = Gate::new(Arc::clone(&engine), Arc::new(prices), Unpriced::Pass);
    let with_id = |id| Request {
        id: Some(EventId::new(id).unwrap()),
        units: Wanted::Counted(units(69_999)),
        ..request("key-1", "GET /paid")
    };
    assert_eq!(verdict(&gate, with_id("first")), Verdict::Recorded);
    // Nearly all that an amount can hold is taken: to an engine that asks for each event, and to one that need not.
    assert_eq!(decide(&gate, with_id("second")).unwrap_err().code, Code::AmountOverflow);
    assert_eq!(verdict(&gate, request("key-1", "GET /free")), Verdict::Recorded);
    assert_eq!(decide(&gate, with_id("second")).unwrap_err().code, Code::AmountOverflow);
    close(&engine);
    assert_eq!(used(&place.store(), "ann"), 70_000);
}

#[test]
fn a_price_that_overflows_is_an_error_and_counts_nothing() {
    let place = Place::new();
    let (engine, _) = open(&place);
    let prices = PriceList::new(vec![price("/paid", "999999999999.999999999999")]).unwrap();
    let gate = Gate::new(Arc::clone(&engine), Arc::new(prices), Unpriced::Pass);
    let most = Units::from_number(Units::MAX as f64).unwrap();
    for _ in ["cold", "warm"] {
        let answer = decide(&gate, Request { units: Wanted::Counted(most), ..request("key-1", "GET /paid") });
        assert_eq!(answer.unwrap_err().code, Code::AmountOverflow);
    }
    assert_eq!(used(&place.store(), "ann"), 0);
}

/// How many of so many concurrent requests are let through. The others are refused at the limit.
fn let_through(gate: &Gate, requests: usize, limit: u64) -> usize {
    let answers: Vec<_> = (0..requests).map(|_| asked(gate, request("key-1", "GET /paid"))).collect();
    let refusals = answers.into_iter().map(|answer| refusal(answer.get().expect("a decision")));
    let full = Refusal::LimitExceeded(Standing { limit: Some(limit), used: limit });
    refusals.filter(|refusal| refusal.as_ref().inspect(|refusal| assert_eq!(**refusal, full)).is_none()).count()
}

#[test]
fn of_three_thousand_concurrent_requests_a_limit_of_a_thousand_admits_a_thousand() {
    let place = Place::new();
    let (engine, gate) = open(&place);
    let admitted: usize = std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(|| let_through(&gate, 1_000, 1_000)));
        threads.into_iter().map(|thread| thread.join().expect("a thread that asks")).sum()
    });
    assert_eq!(admitted, 1_000);
    close(&engine);
    assert_eq!(used(&place.store(), "ann"), 1_000);
}

#[test]
fn two_engines_on_one_file_admit_the_limit_between_them() {
    let place = Place::new();
    let (engine, first) = open(&place);
    apply(&engine, configure_tiers(&[("tier", Some(700))]));
    apply(&engine, set_tier("ann", "tier"));
    let other = place.open();
    ready(&other).unwrap();
    let second = gate(&other);
    let admitted: usize = std::thread::scope(|scope| {
        // Ten rounds each, so that their groups take turns.
        let ask = |gate| move || (0..10).map(|_| let_through(gate, 100, 700)).sum::<usize>();
        let threads = [scope.spawn(ask(&first)), scope.spawn(ask(&second))];
        threads.into_iter().map(|thread| thread.join().expect("a thread that asks")).sum()
    });
    assert_eq!(admitted, 700);
    close(&engine);
    close(&other);
    assert_eq!(used(&place.store(), "ann"), 700);
    assert_eq!(events(&place.store(), Some("ann"), all_time()).len(), 700);
}
