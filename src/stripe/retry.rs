//! Which answers are worth another attempt, and when: the rule of Stripe's own Node.js library, and for 429 also what
//! Stripe documents (a rate limit or a lock: nothing was done yet). Pure.

use std::time::Duration;

/// The wait before the first retry, and the least before any other.
pub const DEFAULT_INITIAL_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A longer `Retry-After` is not waited for: the call would seem to hang.
const MAX_RETRY_AFTER_SECONDS: u64 = 60;

/// What decides of an answer that is an error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    pub status: u16,
    /// The header `Stripe-Should-Retry`.
    pub should_retry: Option<&'a str>,
    /// Whether there is a header `Stripe-Rate-Limited-Reason`.
    pub is_rate_limited: bool,
    /// The error's `code`.
    pub code: Option<&'a str>,
}

impl Answer<'_> {
    pub fn is_retriable(self) -> bool {
        match (self.should_retry, self.status) {
            // Stripe knows best: a saved 500 will be answered again, a 400 may have had a passing cause.
            (Some("true"), _) => true,
            (Some("false"), _) => false,
            (_, 429) => self.is_rate_limited || self.code == Some("lock_timeout"),
            (_, status) => status == 409 || status >= 500,
        }
    }
}

/// The header `Retry-After`, if it is a number of seconds worth waiting for.
pub fn parse_retry_after(header: &str) -> Option<Duration> {
    let seconds = header.trim().parse().ok()?;
    (seconds <= MAX_RETRY_AFTER_SECONDS).then_some(Duration::from_secs(seconds))
}

/// The wait before the `retry`-th retry, from 1 on: it doubles, up to five seconds. `jitter`, from 0 to 1, takes off up
/// to a half, so that many clients do not come back at once.
pub fn backoff(initial: Duration, retry: u32, jitter: f64, retry_after: Option<Duration>) -> Duration {
    let doubled = initial.saturating_mul(2u32.saturating_pow(retry.saturating_sub(1))).min(MAX_BACKOFF);
    let jittered = doubled.mul_f64(0.5 * (1.0 + jitter.clamp(0.0, 1.0)));
    jittered.max(initial).max(retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_retried() {
        let answer = Answer::default();
        for (status, retriable) in [(400, false), (401, false), (402, false), (404, false), (409, true), (424, false)] {
            assert_eq!(Answer { status, ..answer }.is_retriable(), retriable, "{status}");
        }
        for status in [500, 502, 503, 504, 599] {
            assert!(Answer { status, ..answer }.is_retriable(), "{status}");
        }
    }

    #[test]
    fn too_many_requests_are_retried_if_nothing_was_done() {
        let answer = Answer { status: 429, ..Answer::default() };
        assert!(!answer.is_retriable());
        assert!(!Answer { code: Some("rate_limit"), ..answer }.is_retriable());
        assert!(Answer { code: Some("lock_timeout"), ..answer }.is_retriable());
        assert!(Answer { is_rate_limited: true, ..answer }.is_retriable());
        assert!(Answer { should_retry: Some("true"), ..answer }.is_retriable());
        assert!(!Answer { should_retry: Some("false"), is_rate_limited: true, ..answer }.is_retriable());
    }

    #[test]
    fn the_header_decides_in_both_directions() {
        assert!(Answer { status: 400, should_retry: Some("true"), ..Answer::default() }.is_retriable());
        assert!(!Answer { status: 500, should_retry: Some("false"), ..Answer::default() }.is_retriable());
        assert!(Answer { status: 500, should_retry: Some("perhaps"), ..Answer::default() }.is_retriable());
    }

    #[test]
    fn back_off_doubles_between_its_bounds() {
        let initial = DEFAULT_INITIAL_BACKOFF;
        let longest: Vec<_> = (1..=6).map(|retry| backoff(initial, retry, 1.0, None).as_millis()).collect();
        assert_eq!(longest, [500, 1000, 2000, 4000, 5000, 5000]);
        let shortest: Vec<_> = (1..=6).map(|retry| backoff(initial, retry, 0.0, None).as_millis()).collect();
        assert_eq!(shortest, [500, 500, 1000, 2000, 2500, 2500]);
        assert_eq!(backoff(initial, u32::MAX, 1.0, None), MAX_BACKOFF);
        assert_eq!(backoff(Duration::ZERO, 3, 1.0, None), Duration::ZERO);
    }

    #[test]
    fn retry_after_is_respected_when_larger_and_bearable() {
        let after = |header| backoff(DEFAULT_INITIAL_BACKOFF, 1, 1.0, parse_retry_after(header)).as_millis();
        assert_eq!(after("7"), 7000);
        assert_eq!(after("60"), 60_000);
        for ignored in ["0", "61", "-1", "1.5", "Mon, 23 Nov 2026 06:00:00 GMT", ""] {
            assert_eq!(after(ignored), 500, "{ignored}");
        }
    }
}
