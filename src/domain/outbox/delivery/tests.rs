//! The bounds one by one, and then whole lives of reports against a service that remembers what it took.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::{Recipient, ReportId};
use super::*;
use crate::domain::{CustomerId, Meter};

const NOW: i64 = 1_790_000_000_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_stored(millis)
}

fn report() -> Report {
    Report {
        id: ReportId::new(at(NOW), [1; 10]),
        customer_id: CustomerId::new("ann").unwrap(),
        meter: Meter::API_REQUEST,
        window_start: at(NOW),
        recipient: Recipient { stripe_customer_id: "cus_1".to_owned(), subscription_id: None },
        units: 7,
        timestamp: at(NOW),
        state: State::Sending,
        attempts: 1,
        first_attempt_at: Some(at(NOW)),
        in_doubt: false,
        due_at: at(NOW),
        reason: None,
    }
}

fn state_before(report: &Report, now: i64) -> Option<State> {
    match before_attempt(report, at(now)) {
        Step::Send => None,
        Step::Settle(settled) => Some(settled.state),
    }
}

#[test]
fn usage_is_taken_from_35_days_back_to_four_minutes_ahead() {
    let report = report();
    let oldest = NOW + 35 * DAY - HOUR;
    assert_eq!(state_before(&report, oldest), None);
    assert_eq!(state_before(&report, oldest + 1), Some(State::Frozen));
    assert_eq!(state_before(&report, NOW - 4 * MINUTE), None);
    let Step::Settle(early) = before_attempt(&report, at(NOW - HOUR)) else { panic!("it was sent") };
    assert_eq!((early.state, early.due_at), (State::Pending, at(NOW - 4 * MINUTE)));
}

#[test]
fn what_may_have_arrived_is_not_sent_again_after_a_day() {
    let doubtful = Report { in_doubt: true, ..report() };
    assert_eq!(state_before(&doubtful, NOW + 23 * HOUR), None);
    assert_eq!(state_before(&doubtful, NOW + 23 * HOUR + 1), Some(State::Uncertain));
    // What certainly did not arrive is.
    assert_eq!(state_before(&report(), NOW + 10 * DAY), None);
}

#[test]
fn a_value_has_at_most_15_digits() {
    assert_eq!(state_before(&Report { units: 999_999_999_999_999, ..report() }, NOW), None);
    assert_eq!(state_before(&Report { units: 1_000_000_000_000_000, ..report() }, NOW), Some(State::Dead));
}

#[test]
fn answers_lead_to_states() {
    for (in_doubt, answer, state, doubt_after) in [
        (false, Answer::Accepted, State::Sent, false),
        (true, Answer::Accepted, State::Sent, false),
        (false, Answer::Refused, State::Dead, false),
        (true, Answer::Refused, State::Uncertain, true),
        (false, Answer::NotNow, State::Pending, false),
        (true, Answer::NotNow, State::Pending, true),
        (false, Answer::Unknown, State::Pending, true),
    ] {
        let settled = after_attempt(&Report { in_doubt, ..report() }, answer, at(NOW), 500);
        assert_eq!((settled.state, settled.in_doubt), (state, doubt_after), "{in_doubt} {answer:?}");
        let due_at = if state == State::Pending { NOW + 500 } else { NOW };
        assert_eq!(settled.due_at, at(due_at));
    }
}

/// What one attempt meets on its way.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered,
    Limited,
    LostBefore,
    LostAfter,
    /// The sender dies when it has sent; whoever claims the report next finds that its claim has run out.
    Killed,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Answered),
        Just(Fate::Limited),
        Just(Fate::LostBefore),
        Just(Fate::LostAfter),
        Just(Fate::Killed)
    ]
}

/// Takes each identifier once, and forgets it exactly a day later.
#[derive(Default)]
struct Service {
    seen: HashMap<ReportId, i64>,
    units: u64,
}

impl Service {
    fn take(&mut self, report: &Report, now: i64) {
        let is_remembered = self.seen.get(&report.id).is_some_and(|seen| now - seen < DAY);
        if !is_remembered {
            self.units += report.units;
            self.seen.insert(report.id.clone(), now);
        }
    }
}

proptest! {
    /// Whatever happens to the attempts, and however long lies between them.
    #[test]
    fn a_report_counts_once_or_is_said_to_be_uncertain(
        attempts in prop::collection::vec((fate(), 0..3 * DAY), 1..20)
    ) {
        let (mut service, mut now) = (Service::default(), NOW);
        let mut report = Report { first_attempt_at: None, attempts: 0, state: State::Pending, ..report() };
        for (fate, pause) in attempts {
            // As a store claims it.
            report.in_doubt |= report.state == State::Sending;
            report.state = State::Sending;
            report.first_attempt_at.get_or_insert(at(now));
            let settled = match before_attempt(&report, at(now)) {
                Step::Settle(settled) => Some(settled),
                Step::Send => {
                    if !matches!(fate, Fate::Limited | Fate::LostBefore) {
                        service.take(&report, now);
                    }
                    let answer = match fate {
                        Fate::Answered => Some(Answer::Accepted),
                        Fate::Limited => Some(Answer::NotNow),
                        Fate::LostBefore | Fate::LostAfter => Some(Answer::Unknown),
                        Fate::Killed => None,
                    };
                    answer.map(|answer| after_attempt(&report, answer, at(now), 0))
                }
            };
            if let Some(settled) = settled {
                (report.state, report.in_doubt) = (settled.state, settled.in_doubt);
            }
            if !report.state.is_open_ended() {
                break;
            }
            now += pause;
        }
        prop_assert!(service.units <= report.units, "counted twice: {}", service.units);
        match report.state {
            State::Sent => prop_assert_eq!(service.units, report.units),
            State::Dead | State::Frozen => prop_assert_eq!(service.units, 0),
            _ => {}
        }
    }
}
