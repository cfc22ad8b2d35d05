//! Instants: whole milliseconds since the Unix epoch, UTC.

use chrono::{DateTime, Utc};

use crate::{Error, Result};

/// An instant between 1970-01-01 and the end of the year 9999, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const EPOCH: Timestamp = Timestamp(0);
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999);

    /// `field` names the argument in the error.
    pub fn from_millis(field: &str, millis: f64) -> Result<Self> {
        if millis.fract() != 0.0 || !(0.0..=Self::MAX.0 as f64).contains(&millis) {
            return Err(Error::invalid(format!(
                "`{field}` must be a whole number of milliseconds since 1970-01-01T00:00:00Z, before the year 10000; \
                 got {millis}"
            )));
        }
        Ok(Self(millis as i64))
    }

    /// Reads an instant of ISO 8601 (RFC 3339), with `Z` or an offset, to the millisecond: `2026-01-31T00:00:00+01:00`.
    /// `place` names the argument in the error.
    pub fn parse(place: &str, text: &str) -> Result<Self> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .filter(|instant| instant.timestamp_subsec_nanos() % 1_000_000 == 0)
            .map(|instant| instant.timestamp_millis())
            .filter(|millis| (0..=Self::MAX.0).contains(millis))
            .map(Self)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "`{place}` must be an instant such as \"2026-01-31T00:00:00Z\", from 1970 to 9999 and to the \
                     millisecond, got {text:?}"
                ))
            })
    }

    /// For values that were a `Timestamp` before, such as a database column; out of range ones are clamped.
    pub fn from_stored(millis: i64) -> Self {
        Self(millis.clamp(0, Self::MAX.0))
    }

    pub fn as_millis(self) -> i64 {
        self.0
    }

    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_stored(self.0.saturating_add(millis))
    }

    pub(super) fn to_utc(self) -> DateTime<Utc> {
        // Cannot fall back: every `Timestamp` lies within chrono's range of ±262,000 years.
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }

    /// RFC 3339 with milliseconds, as JavaScript's `toISOString()` prints it.
    pub fn to_iso_string(self) -> String {
        self.to_utc().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    }
}
