//! What becomes of an alert after an attempt. Pure.
//!
//! The rules, and the pauses, are those of Standard Webhooks
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>): an answer of 2xx has taken
//! it, 410 wants no more of it, and anything else is tried again, for about three days.

use super::AlertState;
use crate::domain::Timestamp;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// After the first attempt, the second one, and so on.
const PAUSES: [i64; 9] =
    [5_000, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    /// Nobody wants it any more.
    Gone,
    /// It was not taken, or nobody knows whether it was: receivers know what they have by its id.
    Failed,
    /// Whoever sent it was closed meanwhile: somebody else sends it, and the attempt does not count.
    Interrupted,
}

/// The state after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    pub state: AlertState,
    /// The next attempt, where there is to be one.
    pub due_at: Timestamp,
    /// Those that count.
    pub attempts: u32,
}

/// `attempts` counts this one. A pause is by up to a tenth longer, by this share of it from 0 to 1: so those who failed together
/// do not come back together.
pub fn after_attempt(attempts: u32, answer: Answer, now: Timestamp, jitter: f64) -> Settled {
    let pause = usize::try_from(attempts).ok().and_then(|attempts| PAUSES.get(attempts.checked_sub(1)?));
    let settled = |state, due_at| Settled { state, due_at, attempts };
    match (answer, pause) {
        (Answer::Accepted, _) => settled(AlertState::Delivered, now),
        (Answer::Interrupted, _) => {
            Settled { attempts: attempts.saturating_sub(1), ..settled(AlertState::Pending, now) }
        }
        (Answer::Failed, Some(pause)) => {
            // No money, and no matter if it is a millisecond more.
            let longer = (*pause as f64 * 0.1 * jitter.clamp(0.0, 1.0)) as i64;
            settled(AlertState::Pending, now.plus_millis(pause + longer))
        }
        (Answer::Failed | Answer::Gone, _) => settled(AlertState::Failed, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(attempts: u32, answer: Answer, jitter: f64) -> (AlertState, i64) {
        let Settled { state, due_at, .. } = after_attempt(attempts, answer, Timestamp::from_stored(0), jitter);
        (state, due_at.as_millis())
    }

    #[test]
    fn an_answer_decides() {
        assert_eq!(settled(1, Answer::Accepted, 0.0).0, AlertState::Delivered);
        assert_eq!(settled(1, Answer::Gone, 0.0).0, AlertState::Failed);
        assert_eq!(settled(1, Answer::Failed, 0.0), (AlertState::Pending, 5_000));
        assert_eq!(settled(2, Answer::Failed, 0.0), (AlertState::Pending, 300_000));
        assert_eq!(settled(2, Answer::Failed, 1.0), (AlertState::Pending, 330_000));
    }

    #[test]
    fn an_attempt_that_was_interrupted_does_not_count() {
        let settled = after_attempt(10, Answer::Interrupted, Timestamp::from_stored(0), 0.0);
        assert_eq!((settled.state, settled.due_at.as_millis(), settled.attempts), (AlertState::Pending, 0, 9));
    }

    #[test]
    fn it_is_given_up_after_three_days() {
        let pauses: i64 = (1..=9).map(|attempts| settled(attempts, Answer::Failed, 0.0).1).sum();
        assert!((3 * 24 * HOUR..4 * 24 * HOUR).contains(&pauses), "{pauses}");
        assert_eq!(settled(10, Answer::Failed, 0.0).0, AlertState::Failed);
        assert_eq!(settled(10, Answer::Accepted, 0.0).0, AlertState::Delivered);
        assert_eq!(settled(u32::MAX, Answer::Failed, 0.0).0, AlertState::Failed);
    }
}
