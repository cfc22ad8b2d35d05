//! What is done with a report before an attempt, and after it. Pure.
//!
//! The bounds are Stripe's (<https://docs.stripe.com/api/billing/meter-event/create>,
//! <https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage>); each keeps a distance from them, for a clock
//! that is not quite right and for the time on the way.

use super::{Report, State};
use crate::domain::Timestamp;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// An identifier is known to be taken once within 24 hours of its first attempt.
const IDENTIFIER_WINDOW: i64 = 23 * HOUR;
/// Usage is taken from the past 35 days.
pub const LONGEST_PAST: i64 = 35 * DAY - HOUR;
/// And from the next five minutes.
pub const LONGEST_FUTURE: i64 = 4 * MINUTE;
/// A value has at most 15 digits before the point. After it 12 are taken, of which whole units need none.
const MOST_UNITS: u64 = 999_999_999_999_999;

/// What becomes of a report that was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Send,
    Settle(Settled),
}

/// The state after an attempt, or instead of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    pub state: State,
    /// The next attempt, where there is to be one.
    pub due_at: Timestamp,
    pub in_doubt: bool,
    /// Where we, and not the other side, have decided so.
    pub reason: Option<&'static str>,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was taken, now or in an attempt before.
    Accepted,
    /// It will never be taken.
    Refused,
    /// It was certainly not taken, and may be later: too many requests, or a key that was revoked.
    NotNow,
    /// It may have been taken or not: no answer came, or one that does not tell.
    Unknown,
}

/// Whether to send a report that was claimed now.
pub fn before_attempt(report: &Report, now: Timestamp) -> Step {
    let settle = |state, due_at, reason| {
        Step::Settle(Settled { state, due_at, in_doubt: report.in_doubt, reason: Some(reason) })
    };
    if report.in_doubt && is_past_identifier_window(report, now) {
        let reason = "it is not known whether it arrived, and its identifier is no longer remembered";
        return settle(State::Uncertain, now, reason);
    }
    if report.timestamp < now.plus_millis(-LONGEST_PAST) {
        // One in doubt was at most sent in time, so it stays to be reconciled.
        let state = if report.in_doubt { State::Uncertain } else { State::Frozen };
        return settle(state, now, "its usage is more than 35 days old");
    }
    if report.units > MOST_UNITS {
        return settle(State::Dead, now, "its value has more than 15 digits");
    }
    if report.timestamp > now.plus_millis(LONGEST_FUTURE) {
        let due_at = report.timestamp.plus_millis(-LONGEST_FUTURE);
        return settle(State::Pending, due_at, "its usage is in the future");
    }
    Step::Send
}

/// What becomes of a report after an attempt. The next one, where there is one, is made `pause` milliseconds from now.
pub fn after_attempt(report: &Report, answer: Answer, now: Timestamp, pause: i64) -> Settled {
    let in_doubt = match answer {
        Answer::Accepted => false,
        // This attempt was refused; one before may have arrived all the same.
        Answer::Refused | Answer::NotNow => report.in_doubt,
        Answer::Unknown => true,
    };
    let state = match answer {
        Answer::Accepted => State::Sent,
        Answer::Refused if in_doubt => State::Uncertain,
        Answer::Refused => State::Dead,
        Answer::NotNow | Answer::Unknown => State::Pending,
    };
    let due_at = if state == State::Pending { now.plus_millis(pause.max(0)) } else { now };
    Settled { state, due_at, in_doubt, reason: None }
}

fn is_past_identifier_window(report: &Report, now: Timestamp) -> bool {
    report.first_attempt_at.is_some_and(|first| now > first.plus_millis(IDENTIFIER_WINDOW))
}

#[cfg(test)]
mod tests;
