//! What is used in the windows of one quota.

use std::collections::BTreeMap;

use crate::domain::{Period, Timestamp};

/// What was counted of a customer's quota, by when the window, or the step of a sliding one, began. From `since` on it is
/// all; what was before has been forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowUsage {
    pub since: Timestamp,
    pub by_start: BTreeMap<Timestamp, u64>,
}

impl WindowUsage {
    /// Nothing was used from an instant on.
    pub fn unused_since(since: Timestamp) -> Self {
        Self { since, by_start: BTreeMap::new() }
    }

    /// What is used in a span; `None` where some of it has been forgotten.
    pub fn within(&self, span: Period) -> Option<u64> {
        let is_known = self.since <= span.start;
        is_known.then(|| {
            self.by_start.range(span.start..span.end).fold(0, |sum: u64, (_, units)| sum.saturating_add(*units))
        })
    }

    /// Counts what is used in the window that starts then.
    pub fn add(&mut self, start: Timestamp, units: u64) {
        if start >= self.since {
            let used = self.by_start.entry(start).or_default();
            *used = used.saturating_add(units);
        }
    }

    /// Forgets what nobody will ask for who looks at this span or a later one.
    pub fn forget_before(&mut self, span: Period) {
        if span.start > self.since {
            self.since = span.start;
            self.by_start = self.by_start.split_off(&span.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_stored(1_000 + millis)
    }

    fn span(start: i64, end: i64) -> Period {
        Period { start: at(start), end: at(end) }
    }

    #[test]
    fn a_span_holds_the_windows_that_start_in_it() {
        let mut usage = WindowUsage::unused_since(at(0));
        for (start, units) in [(0, 1), (10, 2), (20, 4), (10, 8)] {
            usage.add(at(start), units);
        }
        assert_eq!(usage.within(span(0, 30)), Some(15));
        assert_eq!(usage.within(span(10, 20)), Some(10));
        assert_eq!(usage.within(span(30, 40)), Some(0));
        assert_eq!(usage.within(span(-10, 40)), None);
    }

    #[test]
    fn what_is_forgotten_is_not_taken_for_nothing() {
        let mut usage = WindowUsage::unused_since(at(0));
        usage.add(at(0), 5);
        usage.add(at(10), 7);
        usage.forget_before(span(10, 20));
        assert_eq!((usage.within(span(0, 20)), usage.within(span(10, 20))), (None, Some(7)));
        usage.add(at(0), 3);
        assert_eq!(usage.by_start.len(), 1);
        usage.forget_before(span(0, 20));
        assert_eq!(usage.since, at(10));
    }
}
