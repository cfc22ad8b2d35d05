//! What is left at an instant.

use super::run::{in_burning_order, with_changes_of_its_instant};
use super::{Account, Activity, GrantId, Snapshot, Terms, run};
use crate::Result;
use crate::domain::{Decimal, Timestamp};

/// With the grants of its instant, and with the usage before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    pub left: Decimal,
    pub overage: Decimal,
    pub billed: Decimal,
    /// Those that have taken effect so far, in burning order.
    pub grants: Vec<(GrantId, Account)>,
}

impl Balance {
    pub fn of(snapshot: &Snapshot, terms: &Terms<'_>) -> Result<Self> {
        let mut snapshot = with_changes_of_its_instant(snapshot, terms)?;
        let grants = in_burning_order(terms.grants).into_iter();
        let grants: Vec<_> = grants.filter_map(|grant| snapshot.accounts.remove_entry(&grant.id)).collect();
        let left = grants.iter().map(|(_, account)| account.left.clone()).sum();
        Ok(Self { left, overage: snapshot.overage, billed: snapshot.billed, grants })
    }
}

/// The balance at any instant from the snapshot's on. The activity comes in order of time; what is not before the instant is
/// left aside.
pub fn balance_at(
    snapshot: &Snapshot,
    terms: &Terms<'_>,
    activity: impl IntoIterator<Item = Activity>,
    at: Timestamp,
) -> Result<Balance> {
    let before = activity.into_iter().take_while(|activity| activity.at() < at);
    Balance::of(&run(snapshot, terms, before, at)?.snapshot, terms)
}
