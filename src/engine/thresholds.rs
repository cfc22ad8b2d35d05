//! Telling that a customer has used a share of his limit.
//!
//! A counter grows by one event after the other, whichever process records them. So exactly one event reaches a
//! threshold, and the process that has it recorded tells.

use std::cell::RefCell;
use std::collections::HashMap;

use super::Shared;
use super::health::Notice;
use crate::Result;
use crate::domain::{Customer, CustomerId, Period, UsageEvent};
use crate::store::{Applied, Change, Charge, Charged, Outcome, Record, Recorded, Store, Verdict};

impl Shared {
    /// An event was counted, and `used` is what the counter says after it.
    pub(super) fn counted(&self, event: &UsageEvent, (limit, period): (u64, Period), used: u64) {
        self.reached(event, (limit, period), used, false);
    }

    /// The same against the customer's soft limit, if he has one.
    fn counted_softly(&self, customer: &Customer, event: &UsageEvent, used: u64) {
        let catalog = self.catalog();
        if let Some(limit) = catalog.tiers.soft_limit(customer, event.meter) {
            let period = customer.billing_period(event.timestamp, catalog.time_zone);
            self.reached(event, (limit, period), used, true);
        }
    }

    fn reached(&self, event: &UsageEvent, (limit, period): (u64, Period), used: u64, soft: bool) {
        let before = used.saturating_sub(event.units.get());
        for percent in self.thresholds.reached(limit, before, used) {
            self.health.notify(Notice::Threshold {
                customer_id: event.customer_id.clone(),
                meter: event.meter,
                percent,
                limit,
                soft,
                used,
                period,
            });
        }
    }

    /// These changes were committed. (What the journal held is looked at apart: its events are admitted by what the ledger
    /// knows.)
    pub(super) fn charged(&self, changes: &[Change], outcomes: &[Outcome]) {
        for (change, outcome) in changes.iter().zip(outcomes) {
            if let (Change::Charge(charge), Ok(Applied::Charged(Charged { verdict, standing, period, .. }))) =
                (change, outcome)
                && *verdict == Verdict::Recorded
                && let Some(limit) = standing.limit
            {
                self.counted(&charge.event, (limit, *period), standing.used);
            }
        }
    }
}

impl Shared {
    /// Soft limits admit nobody, so what is counted against them is looked at when it is committed, whatever admitted it.
    pub(super) fn committed(&self, store: &dyn Store, changes: &[Change], outcomes: &[Outcome]) -> Result<()> {
        if self.thresholds.is_empty() || !self.catalog().tiers.has_soft_limits() {
            return Ok(());
        }
        let inheritance = Inheritance::new(self, store);
        for (change, outcome) in changes.iter().zip(outcomes) {
            match (change, outcome) {
                (Change::Charge(Charge { event, .. }), Ok(Applied::Charged(charged)))
                    if charged.verdict == Verdict::Recorded =>
                {
                    self.counted_softly(&charged.customer, event, charged.standing.used);
                }
                (Change::Record(Record { event, .. }), Ok(Applied::Recorded(recorded)))
                    if recorded.status.is_counted() =>
                {
                    inheritance.with_customer(event, |customer| self.counted_softly(customer, event, recorded.used))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Looks at the events out of the journals of processes that have died.
pub(super) struct Inheritance<'a> {
    pub shared: &'a Shared,
    pub store: &'a dyn Store,
    /// As they were asked for.
    pub customers: RefCell<HashMap<CustomerId, Option<Customer>>>,
}

impl<'a> Inheritance<'a> {
    pub fn new(shared: &'a Shared, store: &'a dyn Store) -> Self {
        Self { shared, store, customers: RefCell::default() }
    }

    pub fn recorded(&self, record: &Record, recorded: &Recorded) -> Result<()> {
        let Record { event, .. } = record;
        if !recorded.status.is_counted() || self.shared.thresholds.is_empty() {
            return Ok(());
        }
        let catalog = self.shared.catalog();
        self.with_customer(event, |customer| {
            if let Some(limit) = catalog.tiers.limit(Some(customer), event.meter) {
                let period = customer.billing_period(event.timestamp, catalog.time_zone);
                self.shared.counted(event, (limit, period), recorded.used);
            }
            self.shared.counted_softly(customer, event, recorded.used);
        })
    }

    fn with_customer(&self, event: &UsageEvent, look: impl FnMut(&Customer)) -> Result<()> {
        let mut customers = self.customers.borrow_mut();
        if !customers.contains_key(&event.customer_id) {
            customers.insert(event.customer_id.clone(), self.store.customer(&event.customer_id)?);
        }
        customers.get(&event.customer_id).and_then(Option::as_ref).into_iter().for_each(look);
        Ok(())
    }
}
