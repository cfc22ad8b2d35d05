//! Which tiers a customer has had: what they ask for a billing period is due for as long as he had each.

use serde::{Deserialize, Serialize};

use super::{Period, Timestamp};
use crate::{Code, Error, Result};

/// A tier that a customer has, or has had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldTier {
    pub tier_id: Option<String>,
    /// As in [`super::Customer::catalog_version`].
    pub catalog_version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FormerTier {
    #[serde(flatten)]
    tier: HeldTier,
    /// Milliseconds since the epoch.
    until: i64,
}

/// The tiers that a customer has no more, the oldest first. The first tier that he had counts from ever on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TierHistory(Vec<FormerTier>);

/// Changes that lie further back are forgotten.
const MOST: usize = 100;

impl TierHistory {
    /// He had a tier until this instant. One that he had for no time at all is none.
    pub(super) fn add(&mut self, tier: HeldTier, until: Timestamp) {
        let until = until.as_millis();
        if self.0.last().is_some_and(|last| last.until >= until) {
            return;
        }
        self.0.push(FormerTier { tier, until });
        if self.0.len() > MOST {
            self.0.remove(0);
        }
    }

    /// What was held when, within a period, by somebody who has this tier now.
    pub(super) fn within(&self, period: Period, current: HeldTier) -> Vec<(Period, HeldTier)> {
        let mut held = Vec::new();
        let mut start = period.start;
        for FormerTier { tier, until } in &self.0 {
            let end = Timestamp::from_stored(*until).min(period.end);
            if start < end {
                held.push((Period { start, end }, tier.clone()));
                start = end;
            }
        }
        if start < period.end {
            held.push((Period { start, ..period }, current));
        }
        held
    }

    /// The text that the store keeps; `None` where there is nothing to keep.
    pub fn to_stored(&self) -> Result<Option<String>> {
        let unwritable = |error| Error::new(Code::Internal, format!("former tiers cannot be written: {error}"));
        (!self.0.is_empty()).then(|| serde_json::to_string(&self.0).map_err(unwritable)).transpose()
    }

    pub fn from_stored(text: Option<&str>) -> Result<Self> {
        let damaged = |error| Error::new(Code::StoreCorrupt, format!("former tiers in the store are damaged: {error}"));
        text.map_or_else(|| Ok(Self::default()), |text| serde_json::from_str(text).map(Self).map_err(damaged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(id: &str) -> HeldTier {
        HeldTier { tier_id: Some(id.to_owned()), catalog_version: None }
    }

    fn period(start: i64, end: i64) -> Period {
        Period { start: Timestamp::from_stored(start), end: Timestamp::from_stored(end) }
    }

    fn history(former: &[(&str, i64)]) -> TierHistory {
        let mut history = TierHistory::default();
        for (id, until) in former {
            history.add(tier(id), Timestamp::from_stored(*until));
        }
        history
    }

    fn within(history: &TierHistory, start: i64, end: i64) -> Vec<(i64, i64, String)> {
        let held = history.within(period(start, end), tier("now")).into_iter();
        held.map(|(span, tier)| (span.start.as_millis(), span.end.as_millis(), tier.tier_id.unwrap())).collect()
    }

    #[test]
    fn the_parts_of_a_period_follow_each_other() {
        let history = history(&[("one", 10), ("two", 20), ("three", 40)]);
        let held = |start, end, id: &str| (start, end, id.to_owned());
        assert_eq!(within(&history, 0, 5), [held(0, 5, "one")]);
        assert_eq!(within(&history, 10, 20), [held(10, 20, "two")]);
        assert_eq!(
            within(&history, 5, 50),
            [held(5, 10, "one"), held(10, 20, "two"), held(20, 40, "three"), held(40, 50, "now")]
        );
        assert_eq!(within(&history, 40, 50), [held(40, 50, "now")]);
        assert_eq!(within(&TierHistory::default(), 0, 5), [held(0, 5, "now")]);
    }

    #[test]
    fn what_was_held_for_no_time_is_not_kept() {
        let history = history(&[("one", 10), ("moment", 10), ("before", 9)]);
        assert_eq!(within(&history, 0, 20), [(0, 10, "one".to_owned()), (10, 20, "now".to_owned())]);
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let history = history(&[("one", 10), ("two", 20)]);
        assert_eq!(TierHistory::from_stored(history.to_stored().unwrap().as_deref()), Ok(history));
        assert_eq!(TierHistory::default().to_stored(), Ok(None));
        assert_eq!(TierHistory::from_stored(Some("[{}]")).unwrap_err().code, Code::StoreCorrupt);
    }

    #[test]
    fn only_the_last_changes_are_kept() {
        let mut history = TierHistory::default();
        (0..300).for_each(|until| history.add(tier("old"), Timestamp::from_stored(until)));
        assert_eq!(history.0.len(), MOST);
        assert_eq!(history.0.first().map(|former| former.until), Some(200));
    }
}
