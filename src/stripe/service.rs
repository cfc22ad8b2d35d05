//! What the Node.js class offers: customers, subscriptions and usage, on old and new API versions alike, and any request
//! besides. Changing a tier and the catalog have files of their own.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;
use serde_json::{Value, value::RawValue};
use stripe_billing::{
    billing_meter_event_summary::ListIdBillingMeterEventSummary,
    subscription::{
        CreateSubscription, CreateSubscriptionItems, CreateSubscriptionPaymentBehavior,
        CreateSubscriptionPaymentSettings, CreateSubscriptionPaymentSettingsSaveDefaultPaymentMethod,
        RetrieveSubscription,
    },
};
use stripe_core::customer::CreateCustomer;
use uuid::Uuid;

use super::{
    ApiVersion, Call, CallOptions, ClientOptions, MeterEvent, Response, Result, StripeClient,
    objects::{Metering, RawList, Subscription},
    requests::{ListUsageRecordSummaries, path_id},
    runtime::LazyRuntime,
};
use crate::{
    Code, Error,
    domain::{Timestamp, customer::validate_id},
};

/// A client with a thread of its own. Answers are Stripe's own JSON text.
#[derive(Debug)]
pub struct StripeService {
    pub(super) client: StripeClient,
    runtime: LazyRuntime,
}

impl StripeService {
    /// Opens no connection and starts no thread; fails as [`StripeClient::new`] does.
    pub fn new(options: ClientOptions) -> crate::Result<Self> {
        Ok(Self { client: StripeClient::new(options)?, runtime: LazyRuntime::default() })
    }

    /// Runs a call on the service's own thread, which the first call starts. `done` is called exactly once, on that
    /// thread, also if the call panics ([`Code::Internal`]). A call goes on if all others let go of the service.
    pub fn spawn<T, F>(
        self: &Arc<Self>,
        call: impl FnOnce(Arc<Self>) -> F,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        // `done` keeps the service, and so the thread that it runs on, until it has run.
        let service = self.clone();
        self.runtime.spawn(call(self.clone()), move |result| {
            done(result);
            drop(service);
        });
    }

    pub fn client(&self) -> &StripeClient {
        &self.client
    }

    pub fn api_version(&self) -> &ApiVersion {
        self.client.api_version()
    }

    /// Any request: see [`Call::raw`].
    pub async fn request(&self, method: &str, path: &str, params: &Value, options: CallOptions) -> Result<String> {
        Ok(self.client.call(Call::raw(method, path, params)?.with(options)).await?.into_json())
    }

    /// Creates a customer. Without a name, it is what stands before the `@`.
    pub async fn create_customer(
        &self,
        email: &str,
        name: Option<&str>,
        now: Timestamp,
        options: CallOptions,
    ) -> Result<String> {
        if email.is_empty() {
            return Err(Error::invalid("`email` must not be empty").into());
        }
        let before_at = email.split('@').next().unwrap_or(email);
        let name = name.filter(|name| !name.is_empty()).unwrap_or(before_at);
        let metadata = HashMap::from([
            ("created_by".to_owned(), "UBOS_API".to_owned()),
            ("timestamp".to_owned(), now.to_iso_string()),
        ]);
        let request = CreateCustomer::new().email(email).name(name).metadata(metadata);
        Ok(self.client.call(Call::new(&request).with(options)).await?.into_json())
    }

    /// Starts a subscription that becomes active with its first payment. The answer's `latest_invoice` holds what the
    /// browser needs to pay: a `payment_intent` before basil, a `confirmation_secret` since.
    pub async fn create_subscription(&self, customer_id: &str, price_id: &str, options: CallOptions) -> Result<String> {
        validate_id("customerId", customer_id)?;
        validate_id("priceId", price_id)?;
        let mut item = CreateSubscriptionItems::new();
        item.price = Some(price_id.to_owned());
        let mut payment_settings = CreateSubscriptionPaymentSettings::new();
        payment_settings.save_default_payment_method =
            Some(CreateSubscriptionPaymentSettingsSaveDefaultPaymentMethod::OnSubscription);
        let api_version = options.api_version.clone().map(ApiVersion::new).transpose()?;
        let payment = if api_version.as_ref().unwrap_or(self.api_version()).is_before_basil() {
            "latest_invoice.payment_intent"
        } else {
            "latest_invoice.confirmation_secret"
        };
        let request = CreateSubscription::new()
            .customer(customer_id)
            .items(vec![item])
            .payment_behavior(CreateSubscriptionPaymentBehavior::DefaultIncomplete)
            .payment_settings(payment_settings)
            .expand(vec![payment.to_owned()]);
        Ok(self.client.call(Call::new(&request).with(options)).await?.into_json())
    }

    /// `{ "subscription": …, "usage": […] }`, the usage being that of the first item: a summary of its meter's events in
    /// the current period, or its usage record summaries. Where Stripe has neither, `usage` is empty.
    pub async fn get_usage(&self, subscription_id: &str, now: Timestamp) -> Result<String> {
        let response = self.retrieve_subscription(subscription_id, CallOptions::default()).await?;
        let subscription: Subscription = response.read("a subscription")?;
        let list = self.list_usage(&subscription, now).await?;
        let list = list.as_ref().map(|list| list.read::<RawList>("a list of usage")).transpose()?;
        let usage = Usage { subscription: &response.body, usage: list.unwrap_or_default().data };
        serde_json::to_string(&usage).map_err(|error| Error::new(Code::Internal, error.to_string()).into())
    }

    /// Adds usage to the subscription's first item, as its price wants it: an event of the price's meter, or a usage
    /// record where the API version has them. `timestamp_seconds` since the epoch, `now` without one. An idempotency key is
    /// also the meter event's identifier.
    ///
    /// Fails with [`Code::StripePriceNotMetered`] if the item takes neither.
    pub async fn record_usage(
        &self,
        subscription_id: &str,
        quantity: u64,
        timestamp_seconds: Option<i64>,
        now: Timestamp,
        idempotency_key: Option<String>,
    ) -> Result<String> {
        let timestamp = timestamp_seconds.unwrap_or(now.as_millis().div_euclid(1000));
        if timestamp < 0 {
            return Err(Error::invalid(format!("`timestamp` must be seconds since 1970, got {timestamp}")).into());
        }
        let response = self.retrieve_subscription(subscription_id, CallOptions::default()).await?;
        let subscription: Subscription = response.read("a subscription")?;
        let Some(item) = subscription.first_item() else {
            return Err(not_metered(format!("Subscription {subscription_id} has no items. Add a metered price to it")));
        };
        match item.metering() {
            Metering::Meter(meter_id) => {
                let identifier = idempotency_key.unwrap_or_else(|| Uuid::new_v4().to_string());
                let meter = self.client.retrieve_meter(meter_id).await?;
                let (customer_id, quantity) = (subscription.customer_id(), quantity.to_string());
                let event = MeterEvent::of(&meter, customer_id, &quantity, &identifier, timestamp);
                Ok(self.client.create_meter_event(&event, CallOptions::with_key(&identifier)).await?.into_json())
            }
            Metering::UsageRecords if self.api_version().is_before_basil() => {
                let options = CallOptions { idempotency_key, ..CallOptions::default() };
                Ok(self.client.create_usage_record(&item.id, quantity, timestamp, options).await?.into_json())
            }
            Metering::UsageRecords => Err(not_metered(format!(
                "The price of subscription {subscription_id}'s first item has no meter, and Stripe's API version {} has \
                 no usage records. Use a price with a meter, or an API version before 2025-03-31.basil",
                self.api_version()
            ))),
            Metering::Licensed => Err(not_metered(format!(
                "The price of subscription {subscription_id}'s first item is paid for by quantity (`usage_type: \
                 'licensed'`) and takes no usage. Use a metered price",
            ))),
        }
    }

    pub(super) async fn retrieve_subscription(&self, subscription_id: &str, options: CallOptions) -> Result<Response> {
        let request = RetrieveSubscription::new(path_id("subscriptionId", subscription_id)?);
        self.client.call(Call::new(&request).with(options)).await
    }

    async fn list_usage(&self, subscription: &Subscription, now: Timestamp) -> Result<Option<Response>> {
        let Some(item) = subscription.first_item() else { return Ok(None) };
        if let Metering::Meter(meter_id) = item.metering() {
            let (start, end) = subscription.elapsed_minutes(item, now);
            let meter_id = path_id("meter", meter_id)?;
            let request = ListIdBillingMeterEventSummary::new(meter_id, subscription.customer_id(), end, start);
            return Ok(Some(self.client.send(&request).await?));
        }
        if !self.api_version().is_before_basil() {
            return Ok(None);
        }
        Ok(Some(self.client.send(&ListUsageRecordSummaries::new(&item.id)?).await?))
    }
}

#[derive(Serialize)]
struct Usage<'a> {
    subscription: &'a RawValue,
    usage: Vec<&'a RawValue>,
}

fn not_metered(message: String) -> super::Failure {
    Error::new(Code::StripePriceNotMetered, message).into()
}
