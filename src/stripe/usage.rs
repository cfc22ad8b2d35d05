//! What a sender of usage asks of Stripe: meter events one by one (v1) or as a stream (v2), adjustments, summaries, and
//! the usage records of old API versions.
//!
//! A sender has its own pauses and its own memory of what it sent, so each call takes [`CallOptions`]: give
//! `max_network_retries: Some(0)` to see every failure, and an idempotency key that the sender has stored. What a failure
//! means is in the [`StripeError`](super::StripeError):
//!
//! | failure                                   | meaning                                                          |
//! |-------------------------------------------|------------------------------------------------------------------|
//! | `is_duplicate_meter_event()`              | delivered before                                                 |
//! | kind `TemporarySessionExpired`            | make a new session and send again                                |
//! | `is_retriable`, perhaps with `retry_after`| may succeed later, with the same identifier; whether it did already is unknown where `status_code` is `None` or 500 and above |
//! | else                                      | refused for good: the message says why                           |

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use stripe_billing::{
    BillingMeterEventAdjustmentType,
    billing_meter::RetrieveBillingMeter,
    billing_meter_event_adjustment::{CreateBillingMeterEventAdjustment, CreateBillingMeterEventAdjustmentCancel},
    billing_meter_event_summary::{ListIdBillingMeterEventSummary, ListIdBillingMeterEventSummaryValueGroupingWindow},
};

use super::{
    CallOptions, DEFAULT_API_VERSION, Meter, Response, Result, StripeClient,
    call::Call,
    objects::List,
    requests::{CreateMeterEvent, CreateUsageRecord, path_id},
};
use crate::domain::{Decimal, Timestamp};

/// As many summaries as Stripe puts on a page.
const PAGE: i64 = 100;

/// One event of a meter. It serializes as the form of version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeterEvent<'a> {
    pub event_name: &'a str,
    /// The customer and the value under the meter's keys.
    pub payload: BTreeMap<&'a str, &'a str>,
    /// At most 100 characters. Stripe takes one event with it in at least 24 hours.
    pub identifier: &'a str,
    /// Seconds since the epoch: at most 35 days ago and 5 minutes ahead.
    pub timestamp: i64,
}

impl<'a> MeterEvent<'a> {
    /// An event of a meter with Stripe's default keys. The value is a decimal of at most 15 digits and 12 decimal places.
    pub fn new(event_name: &'a str, customer_id: &'a str, value: &'a str, identifier: &'a str, timestamp: i64) -> Self {
        let payload = BTreeMap::from([(Meter::CUSTOMER_KEY, customer_id), (Meter::VALUE_KEY, value)]);
        Self { event_name, payload, identifier, timestamp }
    }

    /// An event of this meter, with its own keys.
    pub fn of(meter: &'a Meter, customer_id: &'a str, value: &'a str, identifier: &'a str, timestamp: i64) -> Self {
        let payload = BTreeMap::from([(meter.customer_key(), customer_id), (meter.value_key(), value)]);
        Self { event_name: &meter.event_name, payload, identifier, timestamp }
    }
}

/// Lets the holder send events for fifteen minutes. `Debug` does not show the token.
#[derive(Debug, Clone, Deserialize)]
pub struct MeterEventSession {
    pub id: String,
    authentication_token: SecretString,
    /// RFC 3339.
    pub expires_at: String,
}

/// What a meter counted for a customer in a window: at or after its start, before its end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MeterEventSummary {
    pub id: String,
    #[serde(deserialize_with = "exact")]
    pub aggregated_value: Decimal,
    /// Seconds since the epoch.
    pub start_time: i64,
    /// Seconds since the epoch.
    pub end_time: i64,
}

/// What to ask of a meter's summaries. Times are seconds since the epoch, on whole minutes, or on whole hours or UTC days
/// where the window is one.
#[derive(Debug, Clone)]
pub struct SummaryQuery<'a> {
    pub meter_id: &'a str,
    pub customer_id: &'a str,
    pub start_time: i64,
    pub end_time: i64,
    /// `None`: one summary of the whole time.
    pub window: Option<SummaryWindow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SummaryWindow {
    Hour,
    Day,
}

impl StripeClient {
    pub async fn retrieve_meter(&self, meter_id: &str) -> Result<Meter> {
        self.send(&RetrieveBillingMeter::new(path_id("meter", meter_id)?)).await?.read("a meter")
    }

    /// `POST /v1/billing/meter_events`. Stripe answers before it has processed the event, so success is not yet billed.
    /// At most one call at a time for each customer and meter.
    pub async fn create_meter_event(&self, event: &MeterEvent<'_>, options: CallOptions) -> Result<Response> {
        self.call(Call::new(&CreateMeterEvent(event)).with(options)).await
    }

    /// `POST /v1/billing/meter_event_adjustments`: takes back the event with this identifier, within 24 hours of its
    /// delivery.
    pub async fn cancel_meter_event(
        &self,
        event_name: &str,
        identifier: &str,
        options: CallOptions,
    ) -> Result<Response> {
        let cancel = CreateBillingMeterEventAdjustmentCancel { identifier: Some(identifier.to_owned()) };
        let request = CreateBillingMeterEventAdjustment::new(event_name, BillingMeterEventAdjustmentType::Cancel);
        self.call(Call::new(&request.cancel(cancel)).with(options)).await
    }

    /// `POST /v2/billing/meter_event_session`.
    pub async fn create_meter_event_session(&self, options: CallOptions) -> Result<MeterEventSession> {
        let call = Call::json("/v2/billing/meter_event_session", &BTreeMap::<(), ()>::new())?;
        self.call(call.with(at_version_2(options))).await?.read("a meter event session")
    }

    /// `POST /v2/billing/meter_event_stream` at the host of meter events: up to 100 events, for any customers.
    pub async fn stream_meter_events(
        &self,
        session: &MeterEventSession,
        events: &[MeterEvent<'_>],
        options: CallOptions,
    ) -> Result<()> {
        let events = events.iter().map(StreamedEvent::from).collect();
        let call = Call::json("/v2/billing/meter_event_stream", &Batch { events })?;
        let call = call.with(at_version_2(options)).at_meter_events(session.authentication_token.clone());
        self.call(call).await.map(drop)
    }

    /// `GET /v1/billing/meters/{id}/event_summaries`, all pages of it. Events arrive in it some time after they were taken.
    pub async fn list_meter_event_summaries(&self, query: &SummaryQuery<'_>) -> Result<Vec<MeterEventSummary>> {
        let meter_id = path_id("meter", query.meter_id)?;
        let mut summaries: Vec<MeterEventSummary> = Vec::new();
        loop {
            let (start, end) = (query.start_time, query.end_time);
            let mut request = ListIdBillingMeterEventSummary::new(meter_id, query.customer_id, end, start).limit(PAGE);
            if let Some(window) = query.window {
                request = request.value_grouping_window(match window {
                    SummaryWindow::Hour => ListIdBillingMeterEventSummaryValueGroupingWindow::Hour,
                    SummaryWindow::Day => ListIdBillingMeterEventSummaryValueGroupingWindow::Day,
                });
            }
            if let Some(last) = summaries.last() {
                request = request.starting_after(&last.id);
            }
            let page: List<MeterEventSummary> = self.send(&request).await?.read("a list of meter event summaries")?;
            let is_last = !page.has_more || page.data.is_empty();
            summaries.extend(page.data);
            if is_last {
                return Ok(summaries);
            }
        }
    }

    /// `POST /v1/subscription_items/{id}/usage_records`, on API versions up to
    /// [`LAST_VERSION_WITH_USAGE_RECORDS`](super::LAST_VERSION_WITH_USAGE_RECORDS): adds to what was recorded before. Only
    /// the idempotency key, which Stripe keeps for at least 24 hours, prevents that it adds twice.
    pub async fn create_usage_record(
        &self,
        subscription_item: &str,
        quantity: u64,
        timestamp: i64,
        options: CallOptions,
    ) -> Result<Response> {
        let request = CreateUsageRecord::increment(subscription_item, quantity, timestamp)?;
        self.call(Call::new(&request).with(options)).await
    }
}

/// Version 2 is younger than the API versions that somebody may have pinned, and what it answers is read here alone.
fn at_version_2(mut options: CallOptions) -> CallOptions {
    options.api_version.get_or_insert_with(|| DEFAULT_API_VERSION.to_owned());
    options
}

#[derive(Serialize)]
struct Batch<'a> {
    events: Vec<StreamedEvent<'a>>,
}

/// An event as version 2 wants it.
#[derive(Serialize)]
struct StreamedEvent<'a> {
    event_name: &'a str,
    payload: &'a BTreeMap<&'a str, &'a str>,
    identifier: &'a str,
    timestamp: String,
}

impl<'a> From<&'a MeterEvent<'a>> for StreamedEvent<'a> {
    fn from(event: &'a MeterEvent<'a>) -> Self {
        let MeterEvent { event_name, payload, identifier, timestamp } = event;
        let timestamp = Timestamp::from_stored(timestamp.saturating_mul(1000)).to_iso_string();
        Self { event_name, payload, identifier, timestamp }
    }
}

/// Stripe writes the value as a number, which may have more digits than a float.
fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Decimal, D::Error> {
    let number = Box::<RawValue>::deserialize(deserializer)?;
    Decimal::from_number("aggregated_value", number.get()).map_err(serde::de::Error::custom)
}
