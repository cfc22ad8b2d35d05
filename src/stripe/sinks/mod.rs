//! Where usage is brought at Stripe: implementations of [`UsageSink`](crate::export::UsageSink).
//!
//! | file                 | what it is                                                                             |
//! |----------------------|----------------------------------------------------------------------------------------|
//! | `meter_events`       | one event a call, under its identifier and the idempotency key of the same name         |
//! | `meter_event_stream` | up to a hundred events a call, in sessions: for volume                                  |
//! | `usage_records`      | what API versions before 2025-03-31.basil have for prices without a meter               |
//!
//! All of them make single attempts, and tell by [`attempt`] what those came to.

use std::collections::BTreeMap;

use super::{CallOptions, Failure, MeterEvent, Result, StripeErrorKind};
use crate::domain::outbox::delivery::Answer;
use crate::domain::{Meter, Report};
use crate::export::Attempt;
use crate::{Code, Error};

mod meter_event_stream;
mod meter_events;
mod usage_records;

pub use meter_event_stream::MeterEventStreamSink;
pub use meter_events::MeterEventsSink;
pub use usage_records::{PriceTargets, UsageRecordsSink};

const MAX_EVENT_NAME: usize = 100;

/// Which of Stripe's meters takes the events of one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterTarget {
    /// The meter's `event_name`: at most 100 characters.
    pub event_name: String,
    /// Its `customer_mapping.event_payload_key`.
    pub customer_key: String,
    /// Its `value_settings.event_payload_key`.
    pub value_key: String,
}

impl MeterTarget {
    pub fn validate(&self) -> crate::Result<()> {
        let fields =
            [("eventName", &self.event_name), ("customerKey", &self.customer_key), ("valueKey", &self.value_key)];
        for (field, text) in fields {
            if text.is_empty() || text.chars().count() > MAX_EVENT_NAME {
                return Err(Error::invalid(format!("`{field}` must have 1 to {MAX_EVENT_NAME} characters")));
            }
        }
        if self.customer_key == self.value_key {
            return Err(Error::invalid("`customerKey` and `valueKey` must differ"));
        }
        Ok(())
    }
}

/// Which of Stripe's meters takes what.
pub type MeterTargets = BTreeMap<Meter, MeterTarget>;

/// Calls `send` with the event that a report becomes. `value` is its units.
fn event_of<'a>(
    targets: &'a MeterTargets,
    report: &'a Report,
    value: &'a str,
) -> std::result::Result<MeterEvent<'a>, Attempt> {
    let Some(MeterTarget { event_name, customer_key, value_key }) = targets.get(&report.meter) else {
        return Err(not_configured(report));
    };
    let customer_id = report.recipient.stripe_customer_id.as_str();
    Ok(MeterEvent {
        event_name,
        payload: BTreeMap::from([(customer_key.as_str(), customer_id), (value_key.as_str(), value)]),
        identifier: report.id.as_str(),
        timestamp: seconds(report),
    })
}

fn seconds(report: &Report) -> i64 {
    report.timestamp.as_millis().div_euclid(1000)
}

/// The process that counted it knew where it goes; this one does not. Another one may be the one to send it.
fn not_configured(report: &Report) -> Attempt {
    let meter = report.meter.as_str();
    Attempt::failed(Answer::NotNow, format!("`exportUsage.meters` of this process does not name {meter}"))
}

/// One attempt, under the report's id.
fn once(report: &Report) -> CallOptions {
    CallOptions { max_network_retries: Some(0), ..CallOptions::with_key(report.id.as_str()) }
}

/// What a call came to.
///
/// A 429 was not carried out (<https://docs.stripe.com/rate-limits>). A wrong or restricted key is no fault of the report.
/// Where no answer came, or the server failed, it may have been.
fn attempt<T>(result: Result<T>) -> Attempt {
    let error = match result {
        Ok(_) => return Attempt::accepted(),
        Err(Failure::Stripe(error)) => error,
        Err(Failure::Weighbridge(error)) if error.code == Code::InvalidArgument => {
            return Attempt::failed(Answer::Refused, error.message);
        }
        Err(Failure::Weighbridge(error)) => return Attempt::failed(Answer::NotNow, error.message),
    };
    if error.is_duplicate_meter_event() {
        return Attempt::accepted();
    }
    use StripeErrorKind::*;
    let answer = match (error.kind, error.status_code) {
        (RateLimit | Authentication | Permission | TemporarySessionExpired, _) => Answer::NotNow,
        // Another attempt with the same key is still under way.
        (_, Some(409)) => Answer::Unknown,
        (_, Some(400..=499)) => Answer::Refused,
        _ => Answer::Unknown,
    };
    let code = error.code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default();
    Attempt { answer, reason: Some(format!("{code}{}", error.message)), retry_after: error.retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stripe::StripeError;

    fn answered(status: u16, body: &str) -> Attempt {
        attempt::<()>(Err(StripeError::from_answer(status, None, body.as_bytes()).into()))
    }

    #[test]
    fn answers_tell_whether_it_arrived() {
        for (status, body, answer) in [
            (400, r#"{"error":{"message":"An event already exists with identifier 1."}}"#, Answer::Accepted),
            (400, r#"{"error":{"message":"Unknown meter"}}"#, Answer::Refused),
            (404, r#"{"error":{"code":"resource_missing"}}"#, Answer::Refused),
            (400, r#"{"error":{"type":"idempotency_error"}}"#, Answer::Refused),
            (401, "{}", Answer::NotNow),
            (403, "{}", Answer::NotNow),
            (429, "{}", Answer::NotNow),
            (409, "{}", Answer::Unknown),
            (500, "{}", Answer::Unknown),
            (502, "<html>", Answer::Unknown),
            (302, "", Answer::Unknown),
        ] {
            assert_eq!(answered(status, body).answer, answer, "{status} {body}");
        }
        assert_eq!(attempt::<()>(Err(StripeError::connection("cut").into())).answer, Answer::Unknown);
        assert_eq!(attempt(Ok(())), Attempt::accepted());
        assert_eq!(answered(404, r#"{"error":{"code":"gone","message":"No"}}"#).reason.as_deref(), Some("gone: No"));
    }
}
