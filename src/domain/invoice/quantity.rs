//! What was used of a meter so far, for events that are rated one by one.

use std::collections::BTreeMap;

use crate::domain::Decimal;
use crate::domain::rating::Usage;

/// What a customer used of a meter in a billing period, under each price that tells its amount only by the whole of it;
/// by the ids of the prices.
pub type Quantities = BTreeMap<String, Quantity>;

/// What was used under a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantity {
    pub units: u64,
    pub events: u64,
}

impl Quantity {
    /// With one more event of so many units.
    pub fn with(self, units: u64) -> Self {
        Self { units: self.units.saturating_add(units), events: self.events + 1 }
    }
}

impl From<Quantity> for Usage {
    fn from(Quantity { units, events }: Quantity) -> Self {
        Usage { quantity: units.into(), events: Some(Decimal::from(events)) }
    }
}
