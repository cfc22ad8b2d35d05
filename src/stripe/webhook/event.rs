//! The envelope of an event. Snapshot events of any API version carry an object, thin events of `/v2` only name one.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::Timestamp;
use crate::domain::customer::validate_id;
use crate::{Code, Error, Result};

/// An event, as far as it is the same in all versions. What it carries stays the text that Stripe sent.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: String,
    /// Such as `customer.subscription.updated`.
    pub kind: String,
    /// When it happened; Stripe tells it to the second in snapshot events.
    pub created: Timestamp,
    pub object: Object,
}

/// What an event is about.
#[derive(Debug, Clone)]
pub enum Object {
    /// As it was then.
    Snapshot(Box<RawValue>),
    /// It has to be asked for.
    Related {
        kind: String,
        id: String,
    },
    None,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: Created,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    related_object: Option<Related>,
}

/// Seconds since the epoch in snapshot events, RFC 3339 in thin ones.
#[derive(Deserialize)]
#[serde(untagged)]
enum Created {
    Seconds(i64),
    Text(String),
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Related {
    id: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Event {
    /// Reads a payload whose signature was verified.
    ///
    /// Errors: `webhook_payload_invalid`.
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let envelope: Envelope<'_> = serde_json::from_slice(payload).map_err(|error| {
            invalid(format!("the body is no event of Stripe's, with an `id`, a `type` and `created`: {error}"))
        })?;
        for (field, value) in [("id", &envelope.id), ("type", &envelope.kind)] {
            validate_id(field, value).map_err(|error| invalid(error.message))?;
        }
        // A thin event's data are its own, and have no object.
        let data = envelope.data.and_then(|data| serde_json::from_str::<Data<'_>>(data.get()).ok());
        let object = match (data.and_then(|data| data.object), envelope.related_object) {
            (Some(object), _) => Object::Snapshot(object.to_owned()),
            (None, Some(Related { kind, id })) => Object::Related { kind, id },
            (None, None) => Object::None,
        };
        Ok(Self { id: envelope.id, kind: envelope.kind, created: envelope.created.into_domain()?, object })
    }
}

impl Created {
    fn into_domain(self) -> Result<Timestamp> {
        let millis = match self {
            Created::Seconds(seconds) => seconds.checked_mul(1000),
            Created::Text(text) => {
                chrono::DateTime::parse_from_rfc3339(&text).ok().map(|instant| instant.timestamp_millis())
            }
        };
        let millis = millis.ok_or_else(|| invalid("the `created` of the event is no instant".to_owned()))?;
        Timestamp::from_millis("created", millis as f64).map_err(|error| invalid(error.message))
    }
}

fn invalid(message: String) -> Error {
    Error::new(Code::WebhookPayloadInvalid, message)
}
