//! What an event costs, said in the very transaction that counts it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{CounterKey, Group, Tables};
use crate::domain::invoice::Quantities;
use crate::domain::{CostBasis, Customer, Meter, Period, Timestamp, UsageEvent};

/// An event that was rated when it was counted.
pub struct RatedEvent {
    pub at: Timestamp,
    pub meter: Meter,
    /// The price's id.
    pub price: String,
    pub units: u64,
}

impl<T: Tables> Group<T> {
    /// The event with its cost. The inner error is its own: no amount has so many digits.
    pub(super) fn rate<'e>(
        &mut self,
        event: &'e UsageEvent,
        customer: &Customer,
        period: Period,
    ) -> Result<crate::Result<Cow<'e, UsageEvent>>, T::Error> {
        let CostBasis::Period(price) = &event.cost_basis else { return Ok(Ok(Cow::Borrowed(event))) };
        let used = self.tables.quantities(&counter_key(event, period))?;
        let cost = self.tables.catalog().tiers.cost_of_event(customer, price, &used, event.units.get());
        Ok(cost.map(|cost| Cow::Owned(UsageEvent { cost, ..event.clone() })))
    }

    /// Remembers a rated event that was counted, for those that follow it.
    pub(super) fn add_quantity(&mut self, event: &UsageEvent, period: Period) -> Result<(), T::Error> {
        let Some(price) = event.cost_basis.price() else { return Ok(()) };
        let key = counter_key(event, period);
        let used = self.tables.quantities(&key)?.get(price).copied().unwrap_or_default();
        self.tables.set_quantity(&key, price, used.with(event.units.get()))
    }

    /// Sorts what a customer has used under his prices into other periods. What it has cost stays what it was.
    pub(super) fn recount_quantities(&mut self, customer: &Customer) -> Result<(), T::Error> {
        let mut quantities: BTreeMap<CounterKey, Quantities> = BTreeMap::new();
        for event in self.tables.rated_events(&customer.id)? {
            let period = self.period_of(customer, event.at);
            let of_meter = quantities.entry((customer.id.clone(), period.start, event.meter)).or_default();
            let quantity = of_meter.entry(event.price).or_default();
            *quantity = quantity.with(event.units);
        }
        self.tables.set_quantities(&customer.id, quantities)
    }
}

fn counter_key(event: &UsageEvent, period: Period) -> CounterKey {
    (event.customer_id.clone(), period.start, event.meter)
}
