//! What becomes of an alert after an attempt. Pure.
//!
//! The rules are those of Standard Webhooks (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>):
//! an answer of 2xx has taken it, 410 wants no more of it, and anything else is tried again, for about three days.

use super::{Alert, AlertState};
use crate::domain::Timestamp;

const DAY: i64 = 24 * 3_600_000;
/// From the first attempt to the last one.
const DELIVERED_WITHIN: i64 = 3 * DAY;

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    /// Nobody wants it any more.
    Gone,
    /// It was not taken, or nobody knows whether it was: receivers know what they have by its id.
    Failed,
}

/// The state after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    pub state: AlertState,
    /// The next attempt, where there is to be one.
    pub due_at: Timestamp,
}

/// The next attempt, where there is one, is made `pause` milliseconds from now; the last one where the time is over.
pub fn after_attempt(alert: &Alert, answer: Answer, now: Timestamp, pause: i64) -> Settled {
    let last = alert.first_attempt_at.unwrap_or(now).plus_millis(DELIVERED_WITHIN);
    match answer {
        Answer::Accepted => Settled { state: AlertState::Delivered, due_at: now },
        Answer::Failed if now < last => {
            Settled { state: AlertState::Pending, due_at: now.plus_millis(pause.max(0)).min(last) }
        }
        Answer::Failed | Answer::Gone => Settled { state: AlertState::Failed, due_at: now },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AlertId, Kind, Measure, Reached};
    use super::*;
    use crate::domain::credit::Unit;
    use crate::domain::{CustomerId, Period};

    fn settled(first: i64, answer: Answer, now: i64, pause: i64) -> (AlertState, i64) {
        let at = Timestamp::from_stored;
        let measure = Measure { kind: Kind::SpendCap, unit: Unit::Money, whole: 10.into(), used: 8.into() };
        let period = Period { start: at(0), end: at(1) };
        let reached = Reached { customer_id: CustomerId::new("ann").unwrap(), period, percent: 80, measure };
        let alert = Alert {
            id: AlertId::new(at(0)).unwrap(),
            reached,
            created_at: at(0),
            state: AlertState::Sending,
            attempts: 1,
            first_attempt_at: Some(at(first)),
            due_at: at(0),
            reason: None,
        };
        let Settled { state, due_at } = after_attempt(&alert, answer, at(now), pause);
        (state, due_at.as_millis())
    }

    #[test]
    fn an_answer_decides() {
        assert_eq!(settled(5, Answer::Accepted, 10, 7).0, AlertState::Delivered);
        assert_eq!(settled(5, Answer::Gone, 10, 7).0, AlertState::Failed);
        assert_eq!(settled(5, Answer::Failed, 10, 7), (AlertState::Pending, 17));
    }

    #[test]
    fn the_last_attempt_is_made_after_three_days() {
        let first = 1_000;
        let last = first + 3 * DAY;
        assert_eq!(settled(first, Answer::Failed, last - 1, DAY), (AlertState::Pending, last));
        assert_eq!(settled(first, Answer::Failed, last, DAY).0, AlertState::Failed);
        assert_eq!(settled(first, Answer::Accepted, last + DAY, DAY).0, AlertState::Delivered);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_end_it() {
        assert_eq!(settled(5 * DAY, Answer::Failed, DAY, 7), (AlertState::Pending, DAY + 7));
    }
}
