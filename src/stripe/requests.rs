//! The requests that the generated types lack: usage records are gone from them, and their meter event keeps its payload
//! in a hash map, so that the same event would be written differently each time.

use serde::Serialize;
use serde_json::Value;
use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};

use super::MeterEvent;
use crate::{Error, Result};

/// An id that becomes a part of a path. Anything but Stripe's own alphabet is refused, since it could lead elsewhere.
pub fn path_id<'a>(field: &str, id: &'a str) -> Result<&'a str> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Err(Error::invalid(format!(
            "`{field}` must be an id of Stripe's, made of letters, digits, _ and -; got {id:?}"
        )));
    }
    Ok(id)
}

/// `POST /v1/billing/meter_events`
#[derive(Debug)]
pub struct CreateMeterEvent<'a>(pub &'a MeterEvent<'a>);

impl StripeRequest for CreateMeterEvent<'_> {
    type Output = Value;

    fn build(&self) -> RequestBuilder {
        RequestBuilder::new(StripeMethod::Post, "/billing/meter_events").form(self.0)
    }
}

/// `POST /v1/subscription_items/{id}/usage_records`, before basil. It adds to what was recorded before.
#[derive(Debug, Serialize)]
pub struct CreateUsageRecord<'a> {
    #[serde(skip)]
    subscription_item: &'a str,
    quantity: u64,
    timestamp: i64,
    action: &'static str,
}

impl<'a> CreateUsageRecord<'a> {
    /// `timestamp` in seconds since the epoch.
    pub fn increment(subscription_item: &'a str, quantity: u64, timestamp: i64) -> Result<Self> {
        let subscription_item = path_id("subscription item", subscription_item)?;
        Ok(Self { subscription_item, quantity, timestamp, action: "increment" })
    }
}

impl StripeRequest for CreateUsageRecord<'_> {
    type Output = Value;

    fn build(&self) -> RequestBuilder {
        let path = format!("/subscription_items/{}/usage_records", self.subscription_item);
        RequestBuilder::new(StripeMethod::Post, path).form(self)
    }
}

/// `GET /v1/subscription_items/{id}/usage_record_summaries`, before basil.
#[derive(Debug)]
pub struct ListUsageRecordSummaries<'a> {
    subscription_item: &'a str,
}

impl<'a> ListUsageRecordSummaries<'a> {
    pub fn new(subscription_item: &'a str) -> Result<Self> {
        Ok(Self { subscription_item: path_id("subscription item", subscription_item)? })
    }
}

impl StripeRequest for ListUsageRecordSummaries<'_> {
    type Output = Value;

    fn build(&self) -> RequestBuilder {
        let path = format!("/subscription_items/{}/usage_record_summaries", self.subscription_item);
        RequestBuilder::new(StripeMethod::Get, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stripes_alphabet_gets_into_a_path() {
        assert!(path_id("subscriptionId", "sub_1Pgc6rB7WZ01zgkWNy0Cn5nw").is_ok());
        for bad in ["", "..", "../x", "sub_1/cancel", "sub_1?x=1", "sub_1#", "sub%2f1", "sub 1", "süb_1", "sub_1\r\n"]
        {
            assert!(path_id("subscriptionId", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_meter_event_is_always_written_the_same() {
        let event = MeterEvent::new("api_requests", "cus_1", "7", "id-1", 1_700_000_000);
        assert_eq!(
            CreateMeterEvent(&event).build().body.unwrap(),
            "event_name=api_requests&payload[stripe_customer_id]=cus_1&payload[value]=7&identifier=id-1\
             &timestamp=1700000000"
        );
    }
}
