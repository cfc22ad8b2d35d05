//! When a grant is given again.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::domain::json::Value;
use crate::domain::{TimeZone, Timestamp, Window};
use crate::{Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recurrence {
    /// With each hour, day or month of a zone's calendar that begins.
    Every(Window, TimeZone),
    /// At instants that the caller knows, such as the beginnings of a subscription's periods.
    At(BTreeSet<Timestamp>),
}

impl Recurrence {
    /// Reads `{ "every": "month", "timeZone": "Europe/Berlin" }` or `{ "at": ["2026-02-15T00:00:00Z"] }`.
    pub fn read(value: &Value<'_>) -> Result<Self> {
        let object = value.object()?;
        if let Some(instants) = object.optional("at") {
            object.only(&["at"])?;
            let instants = instants.array()?.iter().map(Value::timestamp).collect::<Result<_>>()?;
            return Ok(Self::At(instants));
        }
        object.only(&["every", "timeZone", "at"])?;
        let every = object.required("every")?;
        let window = every.string()?.parse().map_err(|_| every.must_be("\"hour\", \"day\" or \"month\""))?;
        let zone = object.optional("timeZone").map_or(Ok(TimeZone::UTC), |zone| {
            zone.string()?.parse().map_err(|error: Error| Error::invalid(format!("`{}`: {error}", zone.place())))
        })?;
        Ok(Self::Every(window, zone))
    }

    /// The first one after an instant.
    pub fn after(&self, instant: Timestamp) -> Option<Timestamp> {
        match self {
            // The last window of time does not end.
            Self::Every(window, zone) => Some(window.containing(instant, *zone).end).filter(|end| *end > instant),
            Self::At(instants) => instants.range((Bound::Excluded(instant), Bound::Unbounded)).next().copied(),
        }
    }
}
