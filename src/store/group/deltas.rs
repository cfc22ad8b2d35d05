//! What a group adds to the outbox.

use std::collections::BTreeMap;

use super::random;
use crate::Result;
use crate::domain::{CustomerId, ExportRule, Meter, Recipient, ReportId, Timestamp, UsageEvent};

/// Customer, meter, start of the window, and who is told of, where that is known already.
pub type DeltaKey = (CustomerId, Meter, Timestamp, Option<Recipient>);

/// What is added to the open report of a window, or opens one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    pub units: u64,
    /// When the last of its events happened.
    pub timestamp: Timestamp,
    /// The window's end.
    pub due_at: Timestamp,
    /// Of the report, where this opens one.
    pub id: ReportId,
}

#[derive(Default)]
pub struct Deltas(BTreeMap<DeltaKey, Delta>);

impl Deltas {
    pub fn add(
        &mut self,
        event: &UsageEvent,
        recipient: Option<Recipient>,
        rule: &ExportRule,
        now: Timestamp,
    ) -> Result<()> {
        let window = rule.window(event.timestamp);
        let key = (event.customer_id.clone(), event.meter, window.start, recipient);
        if let Some(delta) = self.0.get_mut(&key) {
            delta.units = delta.units.saturating_add(event.units.get());
            delta.timestamp = delta.timestamp.max(event.timestamp);
            return Ok(());
        }
        let id = ReportId::new(now, random()?);
        self.0.insert(key, Delta { units: event.units.get(), timestamp: event.timestamp, due_at: window.end, id });
        Ok(())
    }

    /// In the order in which everybody writes them.
    pub fn iter(&self) -> impl Iterator<Item = (&DeltaKey, &Delta)> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
