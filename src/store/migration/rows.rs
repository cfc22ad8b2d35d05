//! What is moved, as rows.

use super::position::{EntryPosition, GrantPosition, ReportPosition};
use crate::domain::credit::{CreditGrant, Entry, Unit};
use crate::domain::invoice::Quantity;
use crate::domain::{Alert, ApiKey, CustomerId, KeyHash, Report, Timestamp, UsageEvent};
use crate::store::CreditRefund;
use crate::store::group::{CounterKey, RollupKey, Tally};

/// An event as it was recorded.
#[derive(Debug, Clone)]
pub struct MovedEvent {
    /// In the order of recording.
    pub sequence: u64,
    /// With the subscription that it was recorded under.
    pub event: UsageEvent,
    pub recorded_at: Timestamp,
    /// Of what the caller said, if its id is still remembered. It cannot be made from the event: where the caller named no
    /// subscription, the event has the customer's.
    pub fingerprint: Option<[u8; 16]>,
    /// The id of the price by which it was rated.
    pub price: Option<String>,
}

/// An API key, and the hash of its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedKey {
    pub key: ApiKey,
    pub hash: KeyHash,
}

/// A report, and what only the outbox itself looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedReport {
    pub report: Report,
    pub is_open: bool,
    pub holder: Option<String>,
    pub settled_at: Option<Timestamp>,
}

impl MovedReport {
    pub fn position(&self) -> ReportPosition {
        (self.report.customer_id.as_str().to_owned(), self.report.id.as_str().to_owned())
    }
}

/// What a customer used of a meter in a billing period. A counter does not say how many events it counts: none.
pub type Counted = (CounterKey, Tally);
/// What a customer used of a meter in a billing period under the price with this id.
pub type UnderPrice = (CounterKey, String, Quantity);
/// What a customer used of a meter on an endpoint in an hour.
pub type Rollup = (RollupKey, Tally);

/// Credit that was given, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedGrant {
    pub customer_id: CustomerId,
    pub given: CreditGrant,
}

impl MovedGrant {
    pub fn position(&self) -> GrantPosition {
        (self.customer_id.as_str().to_owned(), self.given.request.id.as_str().to_owned())
    }
}

/// An entry of the books of a customer's credit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedEntry {
    pub customer_id: CustomerId,
    pub unit: Unit,
    pub entry: Entry,
}

impl MovedEntry {
    pub fn position(&self) -> EntryPosition {
        (self.customer_id.as_str().to_owned(), self.unit.to_string(), self.entry.at.as_millis())
    }
}

/// Something that was given back, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedRefund {
    pub customer_id: CustomerId,
    pub refund: CreditRefund,
}

impl MovedRefund {
    pub fn position(&self) -> GrantPosition {
        (self.customer_id.as_str().to_owned(), self.refund.id.as_str().to_owned())
    }
}

/// An alert. Who claimed it is not moved: nobody uses the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedAlert {
    pub alert: Alert,
    /// Of another one it is told again.
    pub basis: String,
}

/// How far a file that the seed's code left behind was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    pub file: String,
    pub position: u64,
}

/// PostgreSQL's texts hold no NUL. Where one is refused when it comes in there is none; elsewhere it becomes U+FFFD.
pub fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
