//! Where a calculation may stop, and go on later.

use std::collections::BTreeMap;

use super::{Burns, Ending, GrantId};
use crate::domain::{Decimal, Timestamp};

/// All that is known of what was before an instant. It is a cache: whoever changes an input of the time before it must not
/// use it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub at: Timestamp,
    /// Of the grants that have taken effect.
    pub accounts: BTreeMap<GrantId, Account>,
    /// What was used and no grant has covered so far.
    pub overage: Decimal,
    /// What was owed when usage was reset, and is due by other means than credit.
    pub billed: Decimal,
    /// What refunds undo.
    pub burns: Burns,
}

impl Snapshot {
    /// Before anything was granted or used.
    pub fn empty(at: Timestamp) -> Self {
        Self {
            at,
            accounts: BTreeMap::new(),
            overage: Decimal::default(),
            billed: Decimal::default(),
            burns: Burns::default(),
        }
    }
}

/// What has become of a grant: `granted = burnt + left + expired + voided`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// With all recurrences, and what rollover has added.
    pub granted: Decimal,
    /// Less what was refunded.
    pub burnt: Decimal,
    pub left: Decimal,
    pub expired: Decimal,
    pub voided: Decimal,
    /// How often it was given.
    pub issue: u64,
    pub ended: Option<Ending>,
}

impl Account {
    /// Gives an amount; what was left before has expired.
    pub(super) fn give(&mut self, amount: &Decimal) -> Decimal {
        let forfeited = std::mem::replace(&mut self.left, amount.clone());
        self.expired = &self.expired + &forfeited;
        self.granted = &self.granted + amount;
        self.issue += 1;
        forfeited
    }

    pub(super) fn end(&mut self, ending: Ending) -> Decimal {
        let rest = std::mem::take(&mut self.left);
        self.lapse(&rest, ending);
        self.ended = Some(ending);
        rest
    }

    pub(super) fn burn(&mut self, amount: &Decimal) {
        self.left = &self.left - amount;
        self.burnt = &self.burnt + amount;
    }

    /// Takes back what was burnt of an issue.
    pub(super) fn give_back(&mut self, amount: &Decimal, issue: u64) {
        self.burnt = &self.burnt - amount;
        match self.ended {
            _ if issue != self.issue => self.lapse(amount, Ending::Expired),
            Some(ending) => self.lapse(amount, ending),
            None => self.left = &self.left + amount,
        }
    }

    /// Leaves so much, whatever is left.
    pub(super) fn roll_over(&mut self, rest: Decimal) {
        self.granted = &self.granted + &rest.saturating_sub(&self.left);
        self.expired = &self.expired + &self.left.saturating_sub(&rest);
        self.left = rest;
    }

    fn lapse(&mut self, amount: &Decimal, ending: Ending) {
        let total = match ending {
            Ending::Expired => &mut self.expired,
            Ending::Voided => &mut self.voided,
        };
        *total = &*total + amount;
    }
}
