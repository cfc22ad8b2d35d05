//! Somebody is to be told when what is counted reaches a threshold: what that is held against. Where it stands is known when all
//! of the group is counted.

use super::{Group, Step, Tables};
use crate::domain::alert::{AlertRule, Bound, Watch, Watches};
use crate::domain::{Customer, Decimal, Period, Timestamp, UsageEvent};
use crate::store::Applied;

impl<T: Tables> Group<T> {
    /// An event was counted, and may have reached something.
    pub(super) fn watch(&mut self, event: &UsageEvent, customer: &Customer, period: Period, now: Timestamp) {
        let catalog = self.tables.catalog();
        if catalog.alerts.as_ref().is_none_or(|rule| rule.thresholds.is_empty()) {
            return;
        }
        for bound in Bound::of(&catalog.tiers, customer, event.meter) {
            self.watches.add(&customer.id, Watch { period, bound, now });
        }
        if customer.has_credit {
            self.credited.insert((customer.id.clone(), period.start), (period, now));
        }
    }

    /// All that has to be looked at, once everything is counted.
    pub fn take_watches(&mut self) -> Result<Watches, T::Error> {
        let mut watches = std::mem::take(&mut self.watches);
        for ((customer_id, _), (period, now)) in std::mem::take(&mut self.credited) {
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
