//! `POST /v1/billing/meter_events`: one event a call. Stripe takes one call at a time for each customer and meter, which is
//! how reports are claimed.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};

use super::{MeterTargets, attempt, event_of, once};
use crate::domain::Report;
use crate::export::{Attempt, UsageSink};
use crate::stripe::StripeClient;

pub struct MeterEventsSink {
    client: Arc<StripeClient>,
    targets: MeterTargets,
}

impl MeterEventsSink {
    pub fn new(client: Arc<StripeClient>, targets: MeterTargets) -> Self {
        Self { client, targets }
    }

    async fn send_one(&self, report: &Report) -> Attempt {
        let value = report.units.to_string();
        match event_of(&self.targets, report, &value) {
            Ok(event) => attempt(self.client.create_meter_event(&event, once(report)).await),
            Err(attempt) => attempt,
        }
    }
}

impl UsageSink for MeterEventsSink {
    fn batch_size(&self) -> usize {
        1
    }

    fn send<'a>(&'a self, reports: &'a [Report]) -> BoxFuture<'a, Vec<Attempt>> {
        join_all(reports.iter().map(|report| self.send_one(report))).boxed()
    }
}
