//! Somebody is to be told when what is counted reaches a threshold: what that is held against. It is looked at when all of the
//! group is counted.

use std::collections::BTreeMap;

use super::{CounterKey, Group, Step, Tables};
use crate::domain::alert::{AlertRule, Bound, Watch, Watches};
use crate::domain::{Decimal, Period, Timestamp, UsageEvent};
use crate::store::Applied;

/// Which counters of customers a group has added to, in which period, and when last.
pub type Grown = BTreeMap<CounterKey, (Period, Timestamp)>;

impl<T: Tables> Group<T> {
    /// An event was counted, and may have reached something.
    pub(super) fn watch(&mut self, event: &UsageEvent, period: Period, now: Timestamp) {
        if self.tables.catalog().alerts.as_ref().is_some_and(|rule| !rule.thresholds.is_empty()) {
            self.grown.insert((event.customer_id.clone(), period.start, event.meter), (period, now));
        }
    }

    /// All that what was counted is held against.
    pub fn take_watches(&mut self) -> Result<Watches, T::Error> {
        let mut watches = Watches::default();
        for ((customer_id, _, meter), (period, now)) in std::mem::take(&mut self.grown) {
            let Some(customer) = self.tables.customer(&customer_id)? else { continue };
            watches.add_bounds(&self.tables.catalog().tiers, &customer, meter, period, now);
            if !customer.has_credit {
                continue;
            }
            let credit = self.tables.credit(&customer_id)?;
            for (unit, books) in &credit.books {
                let of_unit = credit.grants.values().filter(|given| given.request.unit == *unit);
                let given: Decimal = of_unit.map(|given| given.grant.amount.clone()).sum();
                let bound = Bound::Credit { unit: *unit, left: books.left()?, given };
                watches.add(&customer_id, Watch { period, bound, now });
            }
        }
        Ok(watches)
    }

    pub(super) fn set_alerts(&mut self, rule: &AlertRule) -> Step<T> {
        if self.tables.catalog().alerts.as_ref() != Some(rule) {
            self.tables.set_alerts(rule.clone())?;
            self.tables.revise();
        }
        Ok(Ok(Applied::Configured))
    }
}
