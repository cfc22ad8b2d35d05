//! Which answers are worth another attempt, and when: the rule of Stripe's own Node.js library, and for 429 also what
//! Stripe documents (a rate limit or a lock: nothing was done yet, <https://docs.stripe.com/rate-limits>). Pure.

use std::time::Duration;

/// The least wait before the first retry.
pub const DEFAULT_INITIAL_BACKOFF: Duration = Duration::from_millis(500);
/// All attempts and waits of a call together: two attempts of the default 80 seconds, and some.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(180);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A longer `Retry-After` is not waited for: the call would seem to hang.
const MAX_RETRY_AFTER_SECONDS: u64 = 60;

/// Of an answer that is an error. `should_retry` is the header `Stripe-Should-Retry`.
pub fn is_retriable(status: u16, should_retry: Option<&str>) -> bool {
    match should_retry {
        // Stripe knows best: a saved 500 will be answered again, a 400 may have had a passing cause.
        Some("true") => true,
        Some("false") => false,
        _ => matches!(status, 409 | 429) || status >= 500,
    }
}

/// The header `Retry-After`, if it is a number of seconds worth waiting for.
pub fn parse_retry_after(header: &str) -> Option<Duration> {
    let seconds = header.trim().parse().ok()?;
    (seconds <= MAX_RETRY_AFTER_SECONDS).then_some(Duration::from_secs(seconds))
}

/// The wait before the `retry`-th retry, from 1 on: up to twice `initial`, then doubling, up to five seconds. `jitter`,
/// from 0 to 1, takes off up to a half, so that many clients do not come back at once.
pub fn backoff(initial: Duration, retry: u32, jitter: f64, retry_after: Option<Duration>) -> Duration {
    let longest = initial.saturating_mul(2u32.saturating_pow(retry)).min(MAX_BACKOFF);
    let jittered = longest.mul_f64(0.5 * (1.0 + jitter.clamp(0.0, 1.0)));
    jittered.max(retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_retried() {
        for (status, retriable) in [(400, false), (401, false), (402, false), (404, false), (409, true), (424, false)] {
            assert_eq!(is_retriable(status, None), retriable, "{status}");
        }
        for status in [429, 500, 502, 503, 504, 599] {
            assert!(is_retriable(status, None), "{status}");
        }
    }

    #[test]
    fn the_header_decides_in_both_directions() {
        assert!(is_retriable(400, Some("true")));
        assert!(!is_retriable(429, Some("false")));
        assert!(!is_retriable(500, Some("false")));
        assert!(is_retriable(500, Some("perhaps")));
        assert!(!is_retriable(400, Some("perhaps")));
    }

    #[test]
    fn back_off_doubles_between_its_bounds() {
        let initial = DEFAULT_INITIAL_BACKOFF;
        let longest: Vec<_> = (1..=5).map(|retry| backoff(initial, retry, 1.0, None).as_millis()).collect();
        assert_eq!(longest, [1000, 2000, 4000, 5000, 5000]);
        let shortest: Vec<_> = (1..=5).map(|retry| backoff(initial, retry, 0.0, None).as_millis()).collect();
        assert_eq!(shortest, [500, 1000, 2000, 2500, 2500]);
        assert_eq!(backoff(initial, u32::MAX, 1.0, None), MAX_BACKOFF);
        assert_eq!(backoff(Duration::ZERO, 3, 1.0, None), Duration::ZERO);
    }

    #[test]
    fn retry_after_is_respected_when_larger_and_bearable() {
        let after = |header| backoff(DEFAULT_INITIAL_BACKOFF, 1, 1.0, parse_retry_after(header)).as_millis();
        assert_eq!(after("7"), 7000);
        assert_eq!(after("60"), 60_000);
        for ignored in ["0", "61", "-1", "1.5", "Mon, 23 Nov 2026 06:00:00 GMT", ""] {
            assert_eq!(after(ignored), 1000, "{ignored}");
        }
    }
}
