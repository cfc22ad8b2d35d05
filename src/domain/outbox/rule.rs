//! Which usage is reported, and how finely.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{Meter, Period, Timestamp};
use crate::{Code, Error, Result};

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600_000;
/// A minute.
pub const DEFAULT_WINDOW_MILLIS: i64 = 60 * SECOND;

/// Which meters are reported, and in windows of which length. All processes on one store agree on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRule {
    window_millis: i64,
    covered: Arc<BTreeSet<Meter>>,
}

/// As the store keeps it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    window_millis: i64,
    meters: Vec<String>,
}

impl ExportRule {
    /// Windows begin at whole multiples of their length since the epoch. It is whole seconds, from one to an hour: a
    /// service that bills by the hour must not find usage of two of them in one report.
    pub fn new(window_millis: i64, meters: impl IntoIterator<Item = Meter>) -> Result<Self> {
        let covered: BTreeSet<Meter> = meters.into_iter().collect();
        if !(SECOND..=HOUR).contains(&window_millis) || HOUR % window_millis != 0 || window_millis % SECOND != 0 {
            return Err(Error::invalid(format!(
                "`windowMs` must be whole seconds that divide an hour, from 1000 to 3600000, got {window_millis}"
            )));
        }
        if covered.is_empty() {
            return Err(Error::invalid("`meters` must name at least one meter to report"));
        }
        Ok(Self { window_millis, covered: Arc::new(covered) })
    }

    pub fn covers(&self, meter: Meter) -> bool {
        self.covered.contains(&meter)
    }

    pub fn window(&self, at: Timestamp) -> Period {
        let start = at.as_millis() / self.window_millis * self.window_millis;
        Period { start: Timestamp::from_stored(start), end: Timestamp::from_stored(start + self.window_millis) }
    }

    /// The text that the store keeps.
    pub fn to_stored(&self) -> Result<String> {
        let meters = self.covered.iter().map(|meter| meter.as_str().to_owned()).collect();
        let stored = Stored { window_millis: self.window_millis, meters };
        serde_json::to_string(&stored).map_err(|error| Error::new(Code::Internal, error.to_string()))
    }

    pub fn from_stored(text: &str) -> Result<Self> {
        let damaged = |error| Error::new(Code::StoreCorrupt, format!("the rule of what is reported: {error}"));
        let Stored { window_millis, meters } = serde_json::from_str(text).map_err(damaged)?;
        Self::new(window_millis, meters.iter().map(|meter| Meter::declared(meter)).collect::<Result<Vec<_>>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_half_open_and_begin_at_multiples() {
        let rule = ExportRule::new(60_000, [Meter::API_REQUEST]).unwrap();
        let window = |millis| {
            let Period { start, end } = rule.window(Timestamp::from_stored(millis));
            (start.as_millis(), end.as_millis())
        };
        assert_eq!(window(0), (0, 60_000));
        assert_eq!(window(59_999), (0, 60_000));
        assert_eq!(window(60_000), (60_000, 120_000));
    }

    #[test]
    fn a_window_divides_an_hour() {
        for good in [1_000, 5_000, 60_000, 900_000, 3_600_000] {
            assert!(ExportRule::new(good, Meter::BUILT_IN).is_ok(), "{good}");
        }
        for bad in [-1, 0, 500, 1_500, 7_000, 7_200_000, i64::MAX] {
            assert!(ExportRule::new(bad, Meter::BUILT_IN).is_err(), "{bad}");
        }
        assert!(ExportRule::new(60_000, []).is_err());
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let rule = ExportRule::new(5_000, [Meter::DATA_ACCESS, Meter::API_REQUEST]).unwrap();
        assert_eq!(ExportRule::from_stored(&rule.to_stored().unwrap()), Ok(rule));
        assert_eq!(ExportRule::from_stored("{}").unwrap_err().code, Code::StoreCorrupt);
    }
}
