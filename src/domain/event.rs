//! Usage events: what happened, once, to be counted and priced.

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::customer::validate_id;
use super::{CustomerId, Meter, Money, Timestamp, Units};
use crate::{Code, Error, Result};

/// The most JSON that an event's metadata may be.
pub const MAX_METADATA_BYTES: usize = 16 * 1024;
/// The longest endpoint. It is a part of keys: PostgreSQL's may be 2,704 bytes long.
pub const MAX_TEXT_BYTES: usize = 2048;

/// The caller's name for an event: two events of one customer with one id are one event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventId(String);

impl EventId {
    pub fn new(id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        validate_id("id", &id)?;
        Ok(Self(id))
    }

    /// For ids that the store gave back.
    pub fn from_stored(id: String) -> Self {
        Self(id)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEvent {
    pub customer_id: CustomerId,
    pub id: Option<EventId>,
    pub meter: Meter,
    pub units: Units,
    pub cost: Money,
    /// When it happened: this decides the period that it counts in.
    pub timestamp: Timestamp,
    pub subscription_id: Option<String>,
    pub endpoint: Option<String>,
    pub agent_type: Option<String>,
    /// A JSON object.
    pub metadata: Option<String>,
}

impl UsageEvent {
    pub fn validate(&self) -> Result<()> {
        if let Some(subscription_id) = &self.subscription_id {
            validate_id("subscriptionId", subscription_id)?;
        }
        for (field, text) in [("endpoint", &self.endpoint), ("agentType", &self.agent_type)] {
            if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT_BYTES) {
                return Err(Error::invalid(format!("`{field}` must be at most {MAX_TEXT_BYTES} bytes long")));
            }
            // PostgreSQL cannot hold it.
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                return Err(Error::invalid(format!("`{field}` must not hold the character U+0000")));
            }
        }
        let Some(metadata) = &self.metadata else { return Ok(()) };
        if metadata.len() > MAX_METADATA_BYTES {
            return Err(Error::new(
                Code::MetadataTooLarge,
                format!("`metadata` must be at most {MAX_METADATA_BYTES} bytes of JSON, got {}", metadata.len()),
            ));
        }
        let is_object = serde_json::from_str::<&RawValue>(metadata).is_ok_and(|json| json.get().starts_with('{'));
        if is_object { Ok(()) } else { Err(Error::invalid("`metadata` must be an object that JSON can hold")) }
    }

    /// What makes two events with one id the same event. The timestamp is left out: a retry happens later.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let units = self.units.get().to_string();
        let cost = self.cost.to_string();
        let fields = [
            Some(self.meter.as_str()),
            Some(&units),
            Some(&cost),
            self.subscription_id.as_deref(),
            self.endpoint.as_deref(),
            self.agent_type.as_deref(),
            self.metadata.as_deref(),
        ];
        for field in fields {
            // A length before each field, so that no two lists of fields give the same bytes.
            hash.update(field.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            hash.update(field.unwrap_or_default());
        }
        hash.finalize().into()
    }
}
