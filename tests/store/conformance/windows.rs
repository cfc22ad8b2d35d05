//! Limits a day, an hour and within some seconds: exact, whoever asks and whenever the counting began.

use serde_json::json;
use weighbridge::domain::catalog::LimitWindow;
use weighbridge::domain::lease::Wish;
use weighbridge::domain::{Meter, Quota, Refusal, Standing, Timestamp, UsageEvent, Window};
use weighbridge::store::Verdict::{self, Recorded, Refused};
use weighbridge::store::{Change, Charge, LeasePart, LeaseRequest, Record, Store};

use super::Fixture;
use crate::support::leases::{holder, leased, recorded, return_leases};
use crate::support::*;

const DAY: Quota = Quota::Window(Meter::API_REQUEST, LimitWindow::Calendar(Window::Day));
const MINUTE: Quota = Quota::Window(Meter::API_REQUEST, LimitWindow::Sliding { seconds: 60 });

fn with_limits(place: &dyn Fixture, limits: &[(serde_json::Value, u64)]) -> Box<dyn Store> {
    let store = place.open();
    let outcomes = commit(&*store, &[offer(&[windowed(limits)]), set_tier("ann", "windowed")]);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    store
}

fn ask_at(instant: &str) -> Change {
    let event = event_at("ann", instant);
    let now = event.timestamp;
    Change::Charge(Charge { event, admission: Some(Default::default()), paid: Vec::new(), now })
}

fn full(limit: u64) -> Verdict {
    Refused(Refusal::LimitExceeded(Standing { limit: Some(limit), used: limit }))
}

fn request(quota: Quota, units: u64, now: Timestamp) -> Change {
    let wish = Wish { needed: units, wanted: units };
    Change::Lease(LeaseRequest {
        holder: holder("one"),
        customer_id: customer_id("ann"),
        quota,
        now,
        wish,
        urgent: false,
    })
}

pub fn each_window_has_its_own_units(place: &dyn Fixture) {
    let store = with_limits(place, &[(json!("day"), 3), (json!("hour"), 2)]);
    let at_noon = [ask_at("2026-03-10T12:00:00Z"), ask_at("2026-03-10T12:59:59.999Z"), ask_at("2026-03-10T12:30:00Z")];
    assert_eq!(verdicts(&*store, &at_noon), [Recorded, Recorded, full(2)]);
    assert_eq!(
        verdicts(&*store, &[ask_at("2026-03-10T13:00:00Z"), ask_at("2026-03-10T14:00:00Z")]),
        [Recorded, full(3)]
    );
    let refused = charge(&*store, ask_at("2026-03-10T23:59:59.999Z"));
    assert_eq!(refused.period.end, at("2026-03-11T00:00:00Z"), "when there is room again");
    assert_eq!(verdict(&*store, ask_at("2026-03-11T00:00:00Z")), Recorded);
    // A clock that is behind finds the day as it was left.
    assert_eq!(verdict(&*store, ask_at("2026-03-10T15:00:00Z")), full(3));
    assert_eq!(used(&*store, "ann"), 4);
}

pub fn a_sliding_window_never_holds_more_than_its_limit(place: &dyn Fixture) {
    let store = with_limits(place, &[(json!({ "slidingSeconds": 60 }), 5)]);
    let start = at("2026-03-10T12:00:00Z");
    let mut admitted: Vec<Timestamp> = Vec::new();
    // More than one a second, for three minutes.
    for number in 0..300 {
        let now = start.plus_millis(number * 613);
        let event = UsageEvent { timestamp: now, ..event("ann") };
        let change = Change::Charge(Charge { event, admission: Some(Default::default()), paid: Vec::new(), now });
        if verdict(&*store, change) == Recorded {
            admitted.push(now);
        }
    }
    for last in &admitted {
        let since = last.plus_millis(-60_000);
        let within = admitted.iter().filter(|at| **at > since && *at <= last).count();
        assert!(within <= 5, "{within} within a minute");
    }
    // One step is a fiftieth of a minute; requests come twice a second.
    assert!(admitted.len() >= 15 && admitted.windows(6).all(|six| six[5].as_millis() - six[0].as_millis() < 62_500));
}

pub fn what_was_used_before_there_was_a_limit_counts(place: &dyn Fixture) {
    let store = with_limits(place, &[(json!("day"), 3)]);
    assert!(apply(&*store, set_tier("ann", "free")).is_ok());
    assert_eq!(verdicts(&*store, &vec![admit(event("ann")); 2]), [Recorded, Recorded]);
    assert!(apply(&*store, set_tier("ann", "windowed")).is_ok());
    assert_eq!(verdicts(&*store, &vec![admit(event("ann")); 2]), [Recorded, full(3)]);
    // In between, units are used that nobody counts against the day.
    let away_and_back =
        [set_tier("ann", "free"), record(event("ann")), set_tier("ann", "windowed"), admit(event("ann"))];
    let said = commit(&*store, &away_and_back).pop().unwrap().and_then(weighbridge::store::Applied::charged).unwrap();
    assert_eq!(said.verdict, Refused(Refusal::LimitExceeded(Standing { limit: Some(3), used: 4 })));
}

pub fn a_day_is_a_day_of_the_time_zone(place: &dyn Fixture) {
    let store = with_limits(place, &[(json!("day"), 1)]);
    assert_eq!(verdict(&*store, ask_at("2026-03-10T17:00:00Z")), Recorded);
    assert!(apply(&*store, configure_time_zone("Asia/Kolkata")).is_ok());
    // Midnight there is at 18:30 in UTC.
    assert_eq!(verdict(&*store, ask_at("2026-03-10T18:29:59Z")), full(1));
    assert_eq!(verdict(&*store, ask_at("2026-03-10T18:30:00Z")), Recorded);
    assert_eq!(verdict(&*store, ask_at("2026-03-10T23:30:00Z")), full(1));
}

pub fn leases_of_a_window_leave_room_for_nobody_else(place: &dyn Fixture) {
    let store = with_limits(place, &[(json!("day"), 10)]);
    let granted = leased(&*store, request(DAY, 4, now()));
    assert_eq!((granted.granted, granted.standing), (4, Standing { limit: Some(10), used: 0 }));
    assert_eq!(
        verdicts(&*store, &vec![admit(event("ann")); 7])[5..],
        [Recorded, Refused(Refusal::LimitExceeded(Standing { limit: Some(10), used: 6 }))]
    );
    let part = LeasePart {
        holder: holder("one"),
        customer_id: customer_id("ann"),
        quota: DAY,
        period_start: granted.period.start,
        units: 1,
    };
    let paid = Record { holder: holder("one"), sequence: 1, event: event("ann"), paid: vec![part.clone()], now: now() };
    assert_eq!(recorded(&*store, Change::Record(paid.clone())).used, 7);
    // Once more, as after a crash.
    assert_eq!(recorded(&*store, Change::Record(paid)).used, 7);
    let charge = Charge { event: event("ann"), admission: Some(Default::default()), paid: vec![part], now: now() };
    assert_eq!(verdict(&*store, Change::Charge(charge)), Recorded, "it is paid for");
    assert_eq!(
        verdict(&*store, admit(event("ann"))),
        Refused(Refusal::LimitExceeded(Standing { limit: Some(10), used: 8 }))
    );
    assert!(apply(&*store, return_leases("one")).is_ok());
    assert_eq!(verdicts(&*store, &vec![admit(event("ann")); 3]), [Recorded, Recorded, full(10)]);
}

pub fn leases_of_past_steps_count_while_the_window_does(place: &dyn Fixture) {
    let store = with_limits(place, &[(json!({ "slidingSeconds": 60 }), 10)]);
    let start = at("2026-03-10T12:00:00Z");
    assert_eq!(leased(&*store, request(MINUTE, 5, start)).granted, 5);
    let later = |seconds: i64| leased(&*store, request(MINUTE, 6, start.plus_millis(seconds * 1_000))).granted;
    // They may still be recorded as used then.
    assert_eq!((later(30), later(59)), (0, 0));
    assert_eq!(later(62), 6);
}

pub fn a_clock_that_is_behind_finds_the_units_of_those_ahead(place: &dyn Fixture) {
    let store = with_limits(place, &[(json!({ "slidingSeconds": 60 }), 5)]);
    let ahead = "2026-03-10T12:00:02Z";
    assert_eq!(verdicts(&*store, &vec![ask_at(ahead); 3]), vec![Recorded; 3]);
    let behind = "2026-03-10T12:00:00Z";
    assert_eq!(verdicts(&*store, &vec![ask_at(behind); 3]), [Recorded, Recorded, full(5)]);
    // What is set aside there counts too.
    let other = place.open();
    assert_eq!(leased(&*other, request(MINUTE, 5, at("2026-03-10T12:01:30Z"))).granted, 5);
    assert_eq!(leased(&*store, request(MINUTE, 1, at("2026-03-10T12:01:28Z"))).granted, 0);
    assert_eq!(verdict(&*store, ask_at("2026-03-10T12:00:25Z")), full(5));
}

pub fn stores_on_one_place_share_a_window(place: &dyn Fixture) {
    let store = with_limits(place, &[(json!("hour"), 50), (json!({ "slidingSeconds": 3_600 }), 40)]);
    let stores = [place.open(), place.open()];
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = stores
            .iter()
            .map(|store| {
                scope.spawn(move || {
                    let groups = (0..20).map(|_| verdicts(&**store, &vec![admit(event("ann")); 3]));
                    groups.flatten().filter(|verdict| *verdict == Recorded).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that charges")).sum()
    });
    assert_eq!((admitted, used(&*store, "ann")), (40, 40));
}
