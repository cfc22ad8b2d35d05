//! What Stripe's meters have counted: their event summaries
//! (<https://docs.stripe.com/api/billing/meter-event_summary/list>).

use std::collections::BTreeMap;

use super::{
    CallOptions, Failure, MeterTargets, Result, StripeErrorKind, StripeService, SummaryQuery, SummaryWindow,
    objects::FoundMeter,
};
use crate::Error;
use crate::domain::{Meter, Period, ReportId, Timestamp};
use crate::export::{Counted, UsageLedger};

/// The meters that were found, by ours.
pub struct StripeLedger<'a> {
    service: &'a StripeService,
    meters: BTreeMap<Meter, FoundMeter>,
}

impl<'a> StripeLedger<'a> {
    /// Finds the meters by their event names.
    ///
    /// Errors: `invalid_argument` where there is none, or one that does not add up what it is told.
    pub async fn open(service: &'a StripeService, targets: &MeterTargets) -> Result<Self> {
        let mut found = service.active_meters().await?;
        let mut meters = BTreeMap::new();
        for (meter, target) in targets {
            let name = &target.event_name;
            let Some(there) = found.remove(name) else {
                return Err(Error::invalid(format!("Stripe has no active meter with the event name {name:?}")).into());
            };
            if there.formula().is_some_and(|formula| formula != "sum") {
                let message =
                    format!("Stripe's meter {name:?} does not add up what it is told, so it cannot be compared");
                return Err(Error::invalid(message).into());
            }
            meters.insert(*meter, there);
        }
        Ok(Self { service, meters })
    }

    fn meter(&self, meter: Meter) -> Result<&FoundMeter> {
        let unknown = || Error::invalid(format!("`meters` does not name {}", meter.as_str()));
        Ok(self.meters.get(&meter).ok_or_else(unknown)?)
    }
}

impl UsageLedger for StripeLedger<'_> {
    type Failure = Failure;

    /// Of a customer whom Stripe does not know it has counted nothing.
    async fn counted(&self, stripe_customer_id: &str, meter: Meter, span: Period, by_hour: bool) -> Result<Counted> {
        let query = SummaryQuery {
            meter_id: &self.meter(meter)?.id,
            customer_id: stripe_customer_id,
            start_time: span.start.as_millis().div_euclid(1000),
            end_time: span.end.as_millis().div_euclid(1000),
            window: by_hour.then_some(SummaryWindow::Hour),
        };
        let summaries = match self.service.client.list_meter_event_summaries(&query).await {
            Err(Failure::Stripe(error)) if error.code.as_deref() == Some("resource_missing") => Vec::new(),
            summaries => summaries?,
        };
        let at = |seconds: i64| Timestamp::from_stored(seconds.saturating_mul(1000));
        Ok(summaries.into_iter().map(|summary| (at(summary.start_time), summary.aggregated_value)).collect())
    }

    /// One that was taken back before is taken back.
    async fn cancel(&self, meter: Meter, id: &ReportId) -> Result<()> {
        let options = CallOptions::with_key(format!("cancel-{id}"));
        let cancelled =
            self.service.client.cancel_meter_event(&self.meter(meter)?.event_name, id.as_str(), options).await;
        match cancelled {
            Err(Failure::Stripe(error)) if is_cancelled(error.kind, &error.message) => Ok(()),
            cancelled => cancelled.map(drop),
        }
    }
}

fn is_cancelled(kind: StripeErrorKind, message: &str) -> bool {
    kind == StripeErrorKind::InvalidRequest && message.contains("already been cancelled")
}
