//! The sums that events are counted into: period counters and hourly rollups.

use crate::Result;
use crate::domain::{CustomerId, Meter, Money, Standing, Timestamp, UsageEvent};

const HOUR: i64 = 3_600_000;

/// Customer, start of the billing period, meter.
pub type CounterKey = (CustomerId, Timestamp, Meter);
/// Customer, hour, meter, endpoint.
pub type RollupKey = (CustomerId, Timestamp, Meter, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub events: u64,
    pub units: u64,
    pub cost: Money,
}

impl Tally {
    /// With an event that costs so much.
    pub fn plus(self, event: &UsageEvent, cost: Money) -> Result<Self> {
        Ok(Self {
            events: self.events + 1,
            units: Standing { limit: None, used: self.units }.plus(event.units)?.used,
            cost: self.cost.checked_add(cost)?,
        })
    }
}

impl Tally {
    pub fn with(self, other: Self) -> Result<Self> {
        Ok(Self {
            events: self.events + other.events,
            units: self.units + other.units,
            cost: self.cost.checked_add(other.cost)?,
        })
    }
}

/// Which rollup an event is counted into.
pub fn rollup_key(event: &UsageEvent) -> RollupKey {
    let hour = Timestamp::from_stored(event.timestamp.as_millis() / HOUR * HOUR);
    (event.customer_id.clone(), hour, event.meter, event.endpoint.clone().unwrap_or_default())
}
