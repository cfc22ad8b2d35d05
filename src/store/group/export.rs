//! What is counted is to be reported: into the outbox, in the same transaction.

use super::{Group, Step, Tables};
use crate::domain::{Customer, ExportRule, Recipient, Timestamp, UsageEvent};
use crate::store::Applied;

impl<T: Tables> Group<T> {
    /// A customer of whom the other service knows nothing is not reported.
    pub(super) fn enqueue(&mut self, event: &UsageEvent, customer: &Customer, now: Timestamp) -> Result<(), T::Error> {
        let Some(rule) = self.tables.catalog().export.clone() else { return Ok(()) };
        let Some(stripe_customer_id) = customer.stripe_customer_id.clone() else { return Ok(()) };
        if !rule.covers(event.meter) {
            return Ok(());
        }
        let subscription_id = customer.subscription_id.clone();
        self.tables.enqueue(event, Recipient { stripe_customer_id, subscription_id }, &rule, now)
    }

    pub(super) fn set_export(&mut self, rule: Option<ExportRule>) -> Step<T> {
        if rule != self.tables.catalog().export {
            self.tables.set_export(rule)?;
            self.tables.revise();
        }
        Ok(Ok(Applied::Configured))
    }
}
