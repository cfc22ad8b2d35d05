//! The alerts, as processes that send them share them. They are written by the groups that count: see [`super::group`].

use crate::Result;
use crate::domain::alert::delivery::Settled;
use crate::domain::{Alert, AlertId, AlertState, CustomerId, HolderId, Timestamp};

/// What a receiver is told, and how far that is. Every call is a transaction of its own, and can be repeated where its
/// answer was lost.
pub trait Alerts {
    /// Claims alerts that are due, the longest due first. A claim lasts until an instant; then somebody else may claim it,
    /// who sends it once more.
    fn claim_alerts(&self, claim: &AlertClaim) -> Result<Vec<Alert>>;

    /// Writes what became of an alert. Answers whether it was the holder's still: else nothing is changed.
    fn settle_alert(&self, holder: &HolderId, settlement: &AlertSettlement) -> Result<bool>;

    /// One, by its id.
    fn alert(&self, id: &AlertId) -> Result<Option<Alert>>;

    /// By id, which is the order of their making.
    fn alerts(&self, query: &AlertQuery) -> Result<Vec<Alert>>;

    /// Sends one again that was given up, under the same id. Answers whether there is such a one.
    fn retry_alert(&self, id: &AlertId, now: Timestamp) -> Result<bool>;

    /// Forgets alerts that were made before an instant, at most so many; answers how many.
    fn forget_alerts(&self, made_before: Timestamp, limit: usize) -> Result<u64>;
}

/// Asks for alerts to send.
#[derive(Debug, Clone)]
pub struct AlertClaim {
    pub holder: HolderId,
    pub now: Timestamp,
    pub until: Timestamp,
    pub limit: usize,
}

/// What became of an alert.
#[derive(Debug, Clone)]
pub struct AlertSettlement {
    pub id: AlertId,
    /// Which attempt it was: a later one is not settled by this.
    pub attempts: u32,
    pub settled: Settled,
    pub reason: Option<String>,
}

/// Which alerts to read.
#[derive(Debug, Clone, Default)]
pub struct AlertQuery {
    pub state: Option<AlertState>,
    pub customer_id: Option<CustomerId>,
    /// The id after which they begin.
    pub after: Option<String>,
    pub limit: usize,
}
