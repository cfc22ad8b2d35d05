//! Stripe as a class. Each method takes a ticket and returns at once.

use std::sync::Arc;
use std::time::Duration;

use napi::Either;
use napi::bindgen_prelude::Error as JsError;
use napi_derive::napi;
use serde_json::Value;

use super::deliveries::{Deliver, Deliveries};
use super::engine::NativeEngine;
use super::error::Result;
use super::sender::{MeterTargetInput, store_access, targets};
use crate::domain::{CustomerId, Period, Timestamp};
use crate::export::{Task, reconcile};
use crate::stripe::{CallOptions, Catalog, ClientOptions, Failure, StripeError, StripeLedger, StripeService};
use crate::{Code, Error};

#[napi(object, object_to_js = false)]
pub struct StripeOptions {
    pub secret_key: String,
    pub base_url: Option<String>,
    pub meter_events_base_url: Option<String>,
    pub api_version: Option<String>,
    pub timeout_ms: Option<f64>,
    pub max_network_retries: Option<f64>,
}

#[napi(object, object_to_js = false)]
pub struct StripeCallOptions {
    pub idempotency_key: Option<String>,
    pub api_version: Option<String>,
    pub stripe_account: Option<String>,
    pub timeout: Option<f64>,
    pub max_network_retries: Option<f64>,
}

impl TryFrom<StripeCallOptions> for CallOptions {
    type Error = Error;

    fn try_from(options: StripeCallOptions) -> crate::Result<Self> {
        Ok(Self {
            idempotency_key: options.idempotency_key,
            api_version: options.api_version,
            stripe_account: options.stripe_account,
            timeout: options.timeout.map(|timeout| millis("timeout", timeout)).transpose()?,
            max_network_retries: options.max_network_retries.map(retries).transpose()?,
        })
    }
}

/// What Stripe refused, or why it could not be asked.
#[napi(object, object_from_js = false)]
pub struct StripeFailure {
    #[napi(js_name = "type")]
    pub kind: String,
    pub message: String,
    pub code: Option<String>,
    pub param: Option<String>,
    pub decline_code: Option<String>,
    pub status_code: Option<u32>,
    pub request_id: Option<String>,
}

impl From<StripeError> for StripeFailure {
    fn from(error: StripeError) -> Self {
        Self {
            kind: error.kind.as_str().to_owned(),
            message: error.message,
            code: error.code,
            param: error.param,
            decline_code: error.decline_code,
            status_code: error.status_code.map(u32::from),
            request_id: error.request_id,
        }
    }
}

#[napi(object, object_to_js = false)]
pub struct ReconcileInput {
    pub from: f64,
    pub to: f64,
    pub customer_id: Option<String>,
    pub repair: bool,
    pub meters: Vec<MeterTargetInput>,
}

#[napi]
pub struct NativeStripe {
    service: Arc<StripeService>,
    deliveries: Deliveries,
}

/// Each method answers with Stripe's JSON as text, or with a [`StripeFailure`].
#[napi]
impl NativeStripe {
    #[napi(constructor, catch_unwind)]
    pub fn new(
        options: StripeOptions,
        #[napi(ts_arg_type = "(written: number[], batch: unknown[]) => void")] deliver: Deliver<'_>,
    ) -> Result<Self> {
        let service = Arc::new(StripeService::new(client_options(options)?)?);
        let deliveries =
            Deliveries::new(&deliver).map_err(|error| JsError::new(Code::Internal, error.reason.clone()))?;
        Ok(Self { service, deliveries })
    }

    /// `params` is the JSON of an object.
    #[napi(catch_unwind)]
    pub fn request(
        &self,
        ticket: f64,
        method: String,
        path: String,
        params: String,
        options: StripeCallOptions,
    ) -> Result<()> {
        let options = CallOptions::try_from(options)?;
        let params: Value =
            serde_json::from_str(&params).map_err(|error| Error::invalid(format!("`params` is no JSON: {error}")))?;
        self.service.spawn(
            move |service| async move { service.request(&method, &path, &params, options).await },
            self.reply(ticket),
        );
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn create_customer(
        &self,
        ticket: f64,
        now: f64,
        email: String,
        name: Option<String>,
        options: StripeCallOptions,
    ) -> Result<()> {
        let now = Timestamp::from_millis("clock.now()", now)?;
        let options = CallOptions::try_from(options)?;
        self.service.spawn(
            move |service| async move { service.create_customer(&email, name.as_deref(), now, options).await },
            self.reply(ticket),
        );
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn create_subscription(
        &self,
        ticket: f64,
        customer_id: String,
        price_id: String,
        options: StripeCallOptions,
    ) -> Result<()> {
        let options = CallOptions::try_from(options)?;
        self.service.spawn(
            move |service| async move { service.create_subscription(&customer_id, &price_id, options).await },
            self.reply(ticket),
        );
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn change_tier(
        &self,
        ticket: f64,
        subscription_id: String,
        price_id: String,
        tier_prices: Vec<String>,
        proration_behavior: Option<String>,
        options: StripeCallOptions,
    ) -> Result<()> {
        let options = CallOptions::try_from(options)?;
        self.service.spawn(
            move |service| async move {
                let proration_behavior = proration_behavior.as_deref();
                service.change_tier(&subscription_id, &price_id, &tier_prices, proration_behavior, options).await
            },
            self.reply(ticket),
        );
        Ok(())
    }

    /// `catalog` is what [`Catalog::read`] takes.
    #[napi(catch_unwind)]
    pub fn sync_catalog(&self, ticket: f64, catalog: String, is_dry_run: bool) -> Result<()> {
        let catalog = Catalog::read(&catalog)?;
        self.service
            .spawn(move |service| async move { service.sync_catalog(&catalog, is_dry_run).await }, self.reply(ticket));
        Ok(())
    }

    /// Answers with a [`Reconciliation`](crate::export::Reconciliation).
    #[napi(catch_unwind)]
    pub fn reconcile(&self, ticket: f64, now: f64, engine: &NativeEngine, input: ReconcileInput) -> Result<()> {
        let targets = targets(input.meters)?;
        let task = Task {
            span: Period {
                start: Timestamp::from_millis("from", input.from)?,
                end: Timestamp::from_millis("to", input.to)?,
            },
            customer: input.customer_id.map(CustomerId::new).transpose()?,
            meters: targets.keys().copied().collect(),
            repair: input.repair,
            now: Timestamp::from_millis("clock.now()", now)?,
        };
        let store = store_access(engine);
        self.service.spawn(
            move |service| async move {
                let ledger = StripeLedger::open(&service, &targets).await?;
                let reconciled = reconcile(&store, &ledger, &task).await?;
                serde_json::to_string(&reconciled).map_err(|error| Error::new(Code::Internal, error.to_string()).into())
            },
            self.reply(ticket),
        );
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn get_usage(&self, ticket: f64, now: f64, subscription_id: String) -> Result<()> {
        let now = Timestamp::from_millis("clock.now()", now)?;
        self.service
            .spawn(move |service| async move { service.get_usage(&subscription_id, now).await }, self.reply(ticket));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn record_usage(
        &self,
        ticket: f64,
        now: f64,
        subscription_id: String,
        quantity: f64,
        timestamp_seconds: Option<f64>,
        idempotency_key: Option<String>,
    ) -> Result<()> {
        let now = Timestamp::from_millis("clock.now()", now)?;
        let quantity = whole("quantity", quantity)?;
        let seconds = timestamp_seconds.map(|seconds| whole("timestamp", seconds)).transpose()?;
        // Below 2^53, so it fits.
        let seconds = seconds.map(|seconds| seconds as i64);
        self.service.spawn(
            move |service| async move {
                service.record_usage(&subscription_id, quantity, seconds, now, idempotency_key).await
            },
            self.reply(ticket),
        );
        Ok(())
    }

    fn reply(&self, ticket: f64) -> impl FnOnce(crate::stripe::Result<String>) + Send + 'static {
        let reply = self.deliveries.reply(ticket, |answer: Either<String, StripeFailure>| answer);
        move |result| {
            reply(match result {
                Ok(json) => Ok(Either::A(json)),
                Err(Failure::Stripe(error)) => Ok(Either::B((*error).into())),
                Err(Failure::Weighbridge(error)) => Err(error),
            });
        }
    }
}

pub(super) fn client_options(options: StripeOptions) -> crate::Result<ClientOptions> {
    let mut client = ClientOptions::new(options.secret_key);
    if let Some(base_url) = options.base_url {
        client.base_url = base_url;
    }
    if let Some(meter_events_base_url) = options.meter_events_base_url {
        client.meter_events_base_url = meter_events_base_url;
    }
    if let Some(api_version) = options.api_version {
        client.api_version = api_version;
    }
    if let Some(timeout_ms) = options.timeout_ms {
        client.timeout = millis("timeoutMs", timeout_ms)?;
    }
    if let Some(max_network_retries) = options.max_network_retries {
        client.max_network_retries = retries(max_network_retries)?;
    }
    Ok(client)
}

pub(super) fn millis(field: &str, number: f64) -> crate::Result<Duration> {
    Ok(Duration::from_millis(whole(field, number)?))
}

fn retries(number: f64) -> crate::Result<u32> {
    u32::try_from(whole("maxNetworkRetries", number)?).map_err(|_| Error::invalid("`maxNetworkRetries` is too large"))
}

fn whole(field: &str, number: f64) -> crate::Result<u64> {
    let max = crate::domain::Units::MAX;
    if number.fract() != 0.0 || !(0.0..=max as f64).contains(&number) {
        return Err(Error::invalid(format!("`{field}` must be a whole number from 0, got {number}")));
    }
    Ok(number as u64)
}
