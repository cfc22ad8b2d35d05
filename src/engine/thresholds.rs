//! Telling that a customer has used a share of his limit.
//!
//! A counter grows by one event after the other, whichever process records them. So exactly one event reaches a
//! threshold, and the process that has it recorded tells.

use std::cell::RefCell;
use std::collections::HashMap;

use super::Shared;
use super::health::Notice;
use crate::Result;
use crate::domain::{CustomerId, Meter, Period, UsageEvent};
use crate::store::{Applied, Change, Charged, Outcome, Record, Recorded, Store, Verdict};

impl Shared {
    /// An event was counted, and `used` is what the counter says after it.
    pub(super) fn counted(&self, event: &UsageEvent, limit: Option<u64>, used: u64) {
        let Some(limit) = limit else { return };
        let before = used.saturating_sub(event.units.get());
        for percent in self.thresholds.reached(limit, before, used) {
            self.health.notify(Notice::Threshold {
                customer_id: event.customer_id.clone(),
                meter: event.meter,
                percent,
                limit,
                used,
                period: Period::month(event.timestamp, self.catalog().time_zone),
            });
        }
    }

    /// These changes were committed. (What the journal held is looked at apart: its events are admitted by what the ledger
    /// knows.)
    pub(super) fn charged(&self, changes: &[Change], outcomes: &[Outcome]) {
        for (change, outcome) in changes.iter().zip(outcomes) {
            if let (Change::Charge(charge), Ok(Applied::Charged(Charged { verdict, standing, .. }))) = (change, outcome)
                && *verdict == Verdict::Recorded
            {
                self.counted(&charge.event, standing.limit, standing.used);
            }
        }
    }
}

/// Looks at the events out of the journals of processes that have died.
pub(super) struct Inheritance<'a> {
    pub shared: &'a Shared,
    pub store: &'a dyn Store,
    /// As they were asked for.
    pub limits: RefCell<HashMap<(CustomerId, Meter), Option<u64>>>,
}

impl<'a> Inheritance<'a> {
    pub fn new(shared: &'a Shared, store: &'a dyn Store) -> Self {
        Self { shared, store, limits: RefCell::default() }
    }

    pub fn recorded(&self, record: &Record, recorded: &Recorded) -> Result<()> {
        let Record { event, .. } = record;
        if !recorded.status.is_counted() || self.shared.thresholds.is_empty() {
            return Ok(());
        }
        let key = (event.customer_id.clone(), event.meter);
        let known = self.limits.borrow().get(&key).copied();
        let limit = match known {
            Some(limit) => limit,
            None => {
                let customer = self.store.customer(&event.customer_id)?;
                let limit = self.shared.catalog().tiers.limit(customer.as_ref(), event.meter);
                self.limits.borrow_mut().insert(key, limit);
                limit
            }
        };
        self.shared.counted(event, limit, recorded.used);
        Ok(())
    }
}
