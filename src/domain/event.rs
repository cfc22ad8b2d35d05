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

/// Who says what an event costs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CostBasis {
    /// Whoever tells of it.
    #[default]
    Caller,
    /// A price list or a catalog, which has a price for each unit.
    UnitPrice,
    /// A price of a catalog, by what is used in the billing period. The cost is 0 until the event is counted.
    Period(PriceId),
}

/// A price in a version of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceId {
    pub version: String,
    pub id: String,
}

impl CostBasis {
    /// The id of the price by which the event is rated when it is counted.
    pub fn price(&self) -> Option<&str> {
        match self {
            CostBasis::Period(price) => Some(&price.id),
            CostBasis::Caller | CostBasis::UnitPrice => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEvent {
    pub customer_id: CustomerId,
    pub id: Option<EventId>,
    pub meter: Meter,
    pub units: Units,
    /// Below 0 only where a volume price makes all that was used before cheaper.
    pub cost: Money,
    pub cost_basis: CostBasis,
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

    /// What makes two events with one id the same event. The timestamp is left out, for a retry happens later; and the cost
    /// unless the caller has said it, for prices may have changed until then.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint_with((self.cost_basis == CostBasis::Caller).then_some(self.cost))
    }

    /// Those that the event may be remembered by. Costs were a part of all of them before they were left out.
    pub fn fingerprints(&self) -> impl Iterator<Item = [u8; 32]> {
        let with_cost = (self.cost_basis != CostBasis::Caller).then(|| self.fingerprint_with(Some(self.cost)));
        std::iter::once(self.fingerprint()).chain(with_cost)
    }

    fn fingerprint_with(&self, cost: Option<Money>) -> [u8; 32] {
        let mut hash = Sha256::new();
        let units = self.units.get().to_string();
        let cost = cost.map(|cost| cost.to_string());
        let fields = [
            Some(self.meter.as_str()),
            Some(&units),
            cost.as_deref(),
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
