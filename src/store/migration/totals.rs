//! What a store holds, in sums.

use super::rows::Counted;
use crate::Result;
use crate::domain::Money;

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub customers: u64,
    pub keys: u64,
    pub events: u64,
    pub units: u64,
    pub cost: Money,
    /// What customers used in billing periods, by meter: how many sums.
    pub counters: u64,
    /// What customers used in billing periods, by price: how many sums.
    pub quantities: u64,
    /// What customers used in hours, by meter and endpoint: how many sums.
    pub rollups: u64,
    /// Reports of usage in the outbox.
    pub reports: u64,
    /// Grants of credit, entries of their books, and refunds.
    pub credits: u64,
    pub alerts: u64,
    /// Ids of events that are remembered.
    pub event_ids: u64,
    /// Those that Stripe has told of.
    pub subscriptions: u64,
    /// Those that Stripe has delivered and that are remembered.
    pub stripe_events: u64,
}

/// What two stores hold, each added up by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Comparison {
    /// What was moved.
    pub source: Totals,
    /// What has come of it.
    pub target: Totals,
}

impl Totals {
    pub(super) fn add(&mut self, sums: &[Counted]) -> Result<()> {
        for (_, tally) in sums {
            self.events += tally.events;
            self.units = self.units.saturating_add(tally.units);
            self.cost = self.cost.checked_add(tally.cost)?;
        }
        Ok(())
    }
}
