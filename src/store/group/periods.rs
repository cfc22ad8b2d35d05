//! When a customer's billing periods begin, and what was used in them once that changes.

use std::collections::BTreeMap;

use super::{CounterKey, Group, Tables, Tally};
use crate::domain::{Customer, Meter, Period, TimeZone, Timestamp};

/// What was used on a meter from an instant on: within the hour, or at that instant.
pub struct Used {
    pub at: Timestamp,
    pub meter: Meter,
    pub tally: Tally,
}

impl<T: Tables> Group<T> {
    pub(super) fn period_of(&mut self, customer: &Customer, at: Timestamp) -> Period {
        let zone = self.tables.catalog().time_zone;
        if customer.billing_cycle_anchor.is_some() {
            return customer.billing_period(at, zone);
        }
        match self.month {
            Some(month) if month.contains(at) => month,
            _ => *self.month.insert(Period::month(at, zone)),
        }
    }

    /// Writes a customer whom somebody has changed, and answers what was written. Where his periods begin at other instants,
    /// what he has used is sorted into them: a change of the periods gives nobody his limit a second time, nor credit that has
    /// ended with one.
    pub(super) fn put_changed(
        &mut self,
        before: Option<&Customer>,
        mut customer: Customer,
        now: Timestamp,
    ) -> Result<Customer, T::Error> {
        if let Some(before) = before {
            customer.remember_tier(before, now);
        }
        self.tables.put_customer(&customer)?;
        self.tables.revise();
        // Another tier may have other windows, in which this one's usage was not counted.
        if before.is_some() {
            self.tables.forget_window_usage(Some(&customer.id))?;
        }
        let anchor = before.and_then(|before| before.billing_cycle_anchor);
        if anchor == customer.billing_cycle_anchor {
            return Ok(customer);
        }
        if let Some(before) = before.filter(|before| before.has_credit) {
            self.bring_books_forward(before, now)?;
        }
        self.recount(&customer)?;
        Ok(customer)
    }

    /// Hours that lie in one period are counted whole, those that a boundary cuts event by event.
    fn recount(&mut self, customer: &Customer) -> Result<(), T::Error> {
        let mut counters: BTreeMap<CounterKey, Tally> = BTreeMap::new();
        let mut cut: BTreeMap<Timestamp, Vec<Used>> = BTreeMap::new();
        let mut period = None;
        for used in self.tables.used_by_hour(&customer.id)? {
            let hour = Period::hour(used.at, TimeZone::UTC);
            let of_hour = match period {
                Some(period) if Period::contains(period, hour.start) => period,
                _ => *period.insert(self.period_of(customer, hour.start)),
            };
            if hour.end <= of_hour.end {
                count(&mut counters, customer, of_hour, &used)?;
            } else {
                cut.entry(hour.start).or_default().push(used);
            }
        }
        for (start, of_hour) in cut {
            let events = self.tables.used_within(&customer.id, Period::hour(start, TimeZone::UTC))?;
            let count_of = |used: &[Used]| used.iter().map(|used| used.tally.events).sum::<u64>();
            // Where events were dropped the hour counts as a whole.
            let is_whole = count_of(&events) == count_of(&of_hour);
            for used in if is_whole { events } else { of_hour } {
                let period = self.period_of(customer, used.at);
                count(&mut counters, customer, period, &used)?;
            }
        }
        self.tables.set_counters(&customer.id, counters)?;
        self.recount_quantities(customer)
    }
}

fn count(
    counters: &mut BTreeMap<CounterKey, Tally>,
    customer: &Customer,
    period: Period,
    used: &Used,
) -> crate::Result<()> {
    let counter = counters.entry((customer.id.clone(), period.start, used.meter)).or_default();
    *counter = counter.with(used.tally)?;
    Ok(())
}
