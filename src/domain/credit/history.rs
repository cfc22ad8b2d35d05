//! The history of a run: the burn-down, cut wherever time has changed the grants.

use std::collections::BTreeMap;

use super::{Ending, GrantId, Snapshot};
use crate::domain::{Decimal, Period, Timestamp};

/// What time has done to grants or to what is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A grant took effect, or recurred. What was left of it before has expired.
    Given { grant: GrantId, amount: Decimal, forfeited: Decimal },
    /// A grant ended, with what was left of it.
    Ended { grant: GrantId, ending: Ending, forfeited: Decimal },
    /// A reset left of a grant what its rollover says.
    RolledOver { grant: GrantId, before: Decimal, after: Decimal },
    /// Usage was reset: so much was owed and is on the bill now.
    Reset { billed: Decimal },
}

/// A time in which nothing but usage and refunds has changed the grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub period: Period,
    /// What happened when it began, in this order. None at the beginning of a run, unless something fell on it.
    pub changes: Vec<Change>,
    pub used: Decimal,
    pub refunded: Decimal,
    /// From which grants was burnt what, less what came back to them. Overage that was paid is in it.
    pub burnt: BTreeMap<GrantId, Decimal>,
    /// What was left at the end, of the grants that count.
    pub left: BTreeMap<GrantId, Decimal>,
    /// What was owed at the end.
    pub overage: Decimal,
}

/// The segments of a run, the last of them still open.
pub(super) struct History {
    segments: Vec<Segment>,
    start: Timestamp,
    changes: Vec<Change>,
    used: Decimal,
    refunded: Decimal,
    burnt_before: BTreeMap<GrantId, Decimal>,
}

impl History {
    pub fn new(snapshot: &Snapshot) -> Self {
        Self {
            segments: vec![],
            start: snapshot.at,
            changes: vec![],
            used: Decimal::default(),
            refunded: Decimal::default(),
            burnt_before: burnt(snapshot),
        }
    }

    /// When the open segment begins.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    pub fn note(&mut self, changes: Vec<Change>) {
        self.changes.extend(changes);
    }

    pub fn count(&mut self, used: &Decimal, refunded: &Decimal) {
        self.used = &self.used + used;
        self.refunded = &self.refunded + refunded;
    }

    /// Closes the open segment at an instant and begins the next one.
    pub fn cut(&mut self, at: Timestamp, now: &Snapshot) {
        let burnt_now = burnt(now);
        let before = std::mem::replace(&mut self.burnt_before, burnt_now.clone());
        let zero = Decimal::default();
        let difference = |(id, burnt): (GrantId, Decimal)| {
            let burnt = &burnt - before.get(&id).unwrap_or(&zero);
            (!burnt.is_zero()).then_some((id, burnt))
        };
        let counting = now.accounts.iter().filter(|(_, account)| account.ended.is_none());
        self.segments.push(Segment {
            period: Period { start: self.start, end: at },
            changes: std::mem::take(&mut self.changes),
            used: std::mem::take(&mut self.used),
            refunded: std::mem::take(&mut self.refunded),
            burnt: burnt_now.into_iter().filter_map(difference).collect(),
            left: counting.map(|(id, account)| (id.clone(), account.left.clone())).collect(),
            overage: now.overage.clone(),
        });
        self.start = at;
    }

    pub fn into_segments(self) -> Vec<Segment> {
        self.segments
    }
}

fn burnt(snapshot: &Snapshot) -> BTreeMap<GrantId, Decimal> {
    snapshot.accounts.iter().map(|(id, account)| (id.clone(), account.burnt.clone())).collect()
}
