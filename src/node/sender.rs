//! The sender of usage as a class.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use napi::bindgen_prelude::Error as JsError;
use napi_derive::napi;

use super::deliveries::{Deliver, Deliveries};
use super::engine::NativeEngine;
use super::error::Result;
use super::stripe::{StripeOptions, client_options, millis};
use crate::domain::{Meter, Timestamp};
use crate::engine::closed;
use crate::export::{Sender, SenderOptions, StoreAccess, UsageSink};
use crate::stripe::{MeterEventStreamSink, MeterEventsSink, MeterTarget, StripeClient, UsageRecordsSink};
use crate::{Code, Error};

/// A call of a sink may be several: a session or a subscription comes first, and what is refused is sent in parts.
const REQUESTS_IN_A_CALL: u32 = 4;

#[napi(object, object_to_js = false)]
pub struct SenderInput {
    pub stripe: StripeOptions,
    /// `meter_events`, `meter_event_stream` or `usage_records`; by default what the API version has.
    pub via: Option<String>,
    pub meters: Vec<MeterTargetInput>,
    pub calls_per_second: f64,
}

#[napi(object, object_to_js = false)]
pub struct MeterTargetInput {
    pub event_type: String,
    pub event_name: String,
    pub customer_key: String,
    pub value_key: String,
    pub price_id: Option<String>,
}

#[napi]
pub struct NativeSender {
    sink: Arc<dyn UsageSink>,
    calls_per_second: u32,
    call_timeout: Duration,
    deliveries: Deliveries,
    /// Once it has started.
    sender: OnceLock<Sender>,
}

#[napi]
impl NativeSender {
    /// Looks at everything, and starts nothing.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        input: SenderInput,
        #[napi(ts_arg_type = "(written: number[], batch: unknown[]) => void")] deliver: Deliver<'_>,
    ) -> Result<Self> {
        let calls_per_second = rate(input.calls_per_second)?;
        let client_options = client_options(input.stripe)?;
        let call_timeout = client_options.timeout * REQUESTS_IN_A_CALL;
        let client = Arc::new(StripeClient::new(client_options)?);
        let sink = sink(client, input.via.as_deref(), input.meters)?;
        let deliveries =
            Deliveries::new(&deliver).map_err(|error| JsError::new(Code::Internal, error.reason.clone()))?;
        Ok(Self { sink, calls_per_second, call_timeout, deliveries, sender: OnceLock::new() })
    }

    /// Begins to send what this engine's store has. It does not keep the engine alive.
    #[napi(catch_unwind)]
    pub fn start(&self, engine: &NativeEngine, now: f64) -> Result<()> {
        let (holder, store) = (engine.engine.holder().clone(), store_access(engine));
        let sender = Sender::start(SenderOptions {
            holder,
            sink: Arc::clone(&self.sink),
            store,
            calls_per_second: self.calls_per_second,
            call_timeout: self.call_timeout,
            now: Timestamp::from_millis("clock.now()", now)?,
        })?;
        // One that was started before goes on.
        drop(self.sender.set(sender));
        Ok(())
    }

    /// To be called now and then.
    #[napi(catch_unwind)]
    pub fn tell(&self, now: f64) -> Result<()> {
        self.sender()?.tell(Timestamp::from_millis("clock.now()", now)?);
        Ok(())
    }

    /// Answers when nothing is left to be sent now.
    #[napi(catch_unwind)]
    pub fn flush(&self, ticket: f64, timeout_ms: f64) -> Result<()> {
        self.sender()?.flush(millis("timeoutMs", timeout_ms)?, self.deliveries.reply(ticket, |()| ()));
        Ok(())
    }

    /// Answers when what is under way is settled.
    #[napi(catch_unwind)]
    pub fn close(&self, ticket: f64) -> Result<()> {
        self.sender()?.close(self.deliveries.reply(ticket, |()| ()));
        Ok(())
    }

    fn sender(&self) -> crate::Result<&Sender> {
        self.sender.get().ok_or_else(|| Error::new(Code::Internal, "the sender has not started"))
    }
}

/// It does not keep the engine alive.
pub(super) fn store_access(engine: &NativeEngine) -> StoreAccess {
    let weak = Arc::downgrade(&engine.engine);
    Arc::new(move |job| match weak.upgrade() {
        Some(engine) => engine.work_on_outbox(job),
        None => job(Err(closed())),
    })
}

fn rate(calls_per_second: f64) -> crate::Result<u32> {
    if calls_per_second.fract() == 0.0 && (1.0..=10_000.0).contains(&calls_per_second) {
        Ok(calls_per_second as u32)
    } else {
        let message = format!("`callsPerSecond` must be a whole number from 1 to 10000, got {calls_per_second}");
        Err(Error::invalid(message))
    }
}

fn sink(
    client: Arc<StripeClient>,
    via: Option<&str>,
    meters: Vec<MeterTargetInput>,
) -> crate::Result<Arc<dyn UsageSink>> {
    let has_usage_records = client.api_version().is_before_basil();
    let via = via.unwrap_or(if has_usage_records { "usage_records" } else { "meter_events" });
    match via {
        "meter_events" => Ok(Arc::new(MeterEventsSink::new(client, targets(meters)?))),
        "meter_event_stream" => Ok(Arc::new(MeterEventStreamSink::new(client, targets(meters)?))),
        "usage_records" if has_usage_records => {
            let prices = meters.into_iter().map(|meter| Ok((meter.event_type.parse::<Meter>()?, meter.price_id)));
            Ok(Arc::new(UsageRecordsSink::new(client, prices.collect::<crate::Result<_>>()?)))
        }
        "usage_records" => Err(Error::invalid(format!(
            "Stripe's API version {} has no usage records: export via \"meter_events\", or choose an `apiVersion` up to \
             \"2025-02-24.acacia\"",
            client.api_version()
        ))),
        _ => Err(Error::invalid(format!(
            "`via` must be \"meter_events\", \"meter_event_stream\" or \"usage_records\", got {via:?}"
        ))),
    }
}

pub(super) fn targets(meters: Vec<MeterTargetInput>) -> crate::Result<std::collections::BTreeMap<Meter, MeterTarget>> {
    let target = |meter: MeterTargetInput| {
        let MeterTargetInput { event_type, event_name, customer_key, value_key, .. } = meter;
        let target = MeterTarget { event_name, customer_key, value_key };
        target.validate()?;
        Ok((event_type.parse()?, target))
    };
    meters.into_iter().map(target).collect()
}
