//! What a store says of credits.

use crate::domain::credit::{CreditGrant, Entry, GrantId, Unit};
use crate::domain::{Decimal, Timestamp};

/// Something that was given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditRefund {
    /// The caller's own name for it.
    pub id: GrantId,
    pub unit: Unit,
    pub amount: Decimal,
    /// When it counts.
    pub at: Timestamp,
}

/// What tells the balance of a customer's credit in one unit, at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreditRecord {
    /// All of this unit.
    pub grants: Vec<CreditGrant>,
    /// From the last one with a snapshot that is not after the instant, up to the first one after it. None where there was no
    /// credit yet.
    pub entries: Vec<Entry>,
}
