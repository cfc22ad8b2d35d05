//! What is used in the windows of quotas: counted for those customers whose tiers have such limits, from the first time that
//! somebody asks.

use serde_json::Value;

use super::{Group, Tables};
use crate::domain::{Customer, Period, Quota, Timestamp, UsageEvent, WindowUsage};
use crate::{Code, Error, Result};

impl<T: Tables> Group<T> {
    pub(super) fn used_in_window(&mut self, customer: &Customer, quota: Quota, span: Period) -> Step<T, u64> {
        let known = self.tables.window_usage(&customer.id, quota)?;
        if let Some(used) = known.and_then(|usage| usage.within(span)) {
            return Ok(used);
        }
        // Out of the events: also of those that are still to come by this clock, because another one wrote them.
        let zone = self.tables.catalog().time_zone;
        let mut usage = WindowUsage::unused_since(span.start);
        for used in self.tables.used_within(&customer.id, Period { start: span.start, end: Timestamp::MAX })? {
            if Some(used.meter) == quota.meter() {
                usage.add(quota.frame(customer, used.at, zone).period.start, used.tally.units);
            }
        }
        let used = usage.within(span).unwrap_or_default();
        self.tables.set_window_usage(&customer.id, quota, usage);
        Ok(used)
    }

    /// After it was written down.
    pub(super) fn count_in_windows(&mut self, event: &UsageEvent, customer: &Customer, now: Timestamp) -> Step<T, ()> {
        let catalog = self.tables.catalog();
        let zone = catalog.time_zone;
        let windows: Vec<Quota> = catalog.tiers.windows(customer, event.meter).map(|(quota, _)| quota).collect();
        for quota in windows {
            // What nobody has asked for yet is counted out of the events, this one among them.
            let Some(mut usage) = self.tables.window_usage(&customer.id, quota)? else { continue };
            usage.add(quota.frame(customer, event.timestamp, zone).period.start, event.units.get());
            // The window before the present one is kept: another clock may be a little behind.
            let present = quota.frame(customer, now, zone).span;
            usage.forget_before(quota.frame(customer, present.start.plus_millis(-1), zone).span);
            self.tables.set_window_usage(&customer.id, quota, usage);
        }
        Ok(())
    }
}

type Step<T, V> = std::result::Result<V, <T as Tables>::Error>;

/// As both stores write it: pairs of an instant in milliseconds and what is used from there on.
pub fn window_usage_to_stored(usage: &WindowUsage) -> String {
    let pairs =
        usage.by_start.iter().map(|(start, units)| Value::from(vec![start.as_millis().into(), Value::from(*units)]));
    Value::from_iter(pairs).to_string()
}

pub fn window_usage_from_stored(since: Timestamp, text: &str) -> Result<WindowUsage> {
    let pairs: Vec<(i64, u64)> = serde_json::from_str(text).map_err(|_| {
        Error::new(Code::StoreCorrupt, format!("the store holds {text:?} where usage of windows belongs"))
    })?;
    let by_start = pairs.into_iter().map(|(start, units)| (Timestamp::from_stored(start), units)).collect();
    Ok(WindowUsage { since, by_start })
}
