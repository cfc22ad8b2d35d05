//! `POST /v1/subscription_items/{id}/usage_records`, on API versions before 2025-03-31.basil, for metered prices without a
//! meter. A record adds to those before it, and only its idempotency key keeps it from doing so twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use stripe_billing::subscription::RetrieveSubscription;
use tokio::sync::Mutex;

use super::{attempt, not_configured, once, seconds};
use crate::domain::outbox::delivery::Answer;
use crate::domain::{Meter, Report};
use crate::export::{Attempt, UsageSink};
use crate::stripe::StripeClient;
use crate::stripe::objects::{Metering, Subscription};
use crate::stripe::requests::path_id;

/// The price that bills a meter; `None`: the subscription's only metered one.
pub type PriceTargets = BTreeMap<Meter, Option<String>>;

pub struct UsageRecordsSink {
    client: Arc<StripeClient>,
    prices: PriceTargets,
    /// The items found so far, by subscription.
    items: Mutex<HashMap<(String, Meter), String>>,
}

impl UsageRecordsSink {
    pub fn new(client: Arc<StripeClient>, prices: PriceTargets) -> Self {
        Self { client, prices, items: Mutex::default() }
    }

    async fn send_one(&self, report: &Report) -> Attempt {
        match self.item(report).await {
            Ok(item) => {
                let sent = self.client.create_usage_record(&item, report.units, seconds(report), once(report)).await;
                attempt(sent)
            }
            Err(attempt) => attempt,
        }
    }

    async fn item(&self, report: &Report) -> std::result::Result<String, Attempt> {
        let Some(price) = self.prices.get(&report.meter) else { return Err(not_configured(report)) };
        let Some(subscription) = &report.recipient.subscription_id else {
            let reason = "the customer had no `subscriptionId` when this was counted, so there is no item to bill";
            return Err(Attempt::failed(Answer::Refused, reason));
        };
        let key = (subscription.clone(), report.meter);
        if let Some(item) = self.items.lock().await.get(&key) {
            return Ok(item.clone());
        }
        let item = self.find(subscription, price.as_deref()).await?;
        self.items.lock().await.insert(key, item.clone());
        Ok(item)
    }

    async fn find(&self, subscription_id: &str, price: Option<&str>) -> std::result::Result<String, Attempt> {
        // To look is not to record: whatever went wrong, nothing was.
        let not_recorded = |found: Attempt| Attempt {
            answer: if found.answer == Answer::Unknown { Answer::NotNow } else { found.answer },
            ..found
        };
        let refused = |reason: String| Attempt::failed(Answer::Refused, reason);
        let id = path_id("subscriptionId", subscription_id).map_err(|error| refused(error.message))?;
        let response = self.client.send(&RetrieveSubscription::new(id)).await;
        let read = response.and_then(|response| response.read::<Subscription>("a subscription"));
        let subscription = match read {
            Ok(subscription) => subscription,
            Err(error) => return Err(not_recorded(attempt::<()>(Err(error)))),
        };
        let mut wanted = subscription.items().data.iter().filter(|item| match price {
            Some(price) => item.price_id() == Some(price),
            None => item.metering() != Metering::Licensed,
        });
        let Some(item) = wanted.next() else {
            return Err(refused(format!("subscription {subscription_id} has no item that takes this usage")));
        };
        match item.metering() {
            Metering::UsageRecords if wanted.next().is_none() => Ok(item.id.clone()),
            Metering::UsageRecords => Err(refused(format!(
                "subscription {subscription_id} has several metered items: say with `priceId` which one is billed"
            ))),
            Metering::Meter(meter) => Err(refused(format!(
                "the price of {} has the meter {meter}: report to it with `via: \"meter_events\"`",
                item.id
            ))),
            Metering::Licensed => Err(refused(format!("the price of {} takes no usage", item.id))),
        }
    }
}

impl UsageSink for UsageRecordsSink {
    fn batch_size(&self) -> usize {
        1
    }

    fn send<'a>(&'a self, reports: &'a [Report]) -> BoxFuture<'a, Vec<Attempt>> {
        join_all(reports.iter().map(|report| self.send_one(report))).boxed()
    }
}
