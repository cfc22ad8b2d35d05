//! The books of a customer's credit in one unit: the calculation as it goes on from event to event.
//!
//! What happened is written down as entries, one for each instant at which something was used, refunded or reset. With the
//! grants they say all; a snapshot that an entry carries only spares the way from the first one. So what is known of any
//! instant of the past is what was enforced then. The books never go back: what comes late happens at the instant at which
//! they stand, and what changes grants counts from there on.

use super::{Activity, Balance, CreditGrant, Grant, GrantRequest, OverageAtReset, Snapshot, Terms, balance_at, run};
use crate::domain::{Decimal, Timestamp};
use crate::{Error, Result};

/// Each so many entries one keeps its snapshot: a balance is calculated from no more of them.
const ENTRIES_BETWEEN_SNAPSHOTS: u64 = 256;

/// What happened at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub at: Timestamp,
    /// In its books, from 0.
    pub number: u64,
    pub used: Decimal,
    pub refunded: Decimal,
    /// A billing period began.
    pub is_reset: bool,
    /// All that was before it. The first entry has it, the last one, and some between.
    pub snapshot: Option<Snapshot>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Books {
    /// Those that have not ended.
    grants: Vec<Grant>,
    /// Of the instant at which the books stand.
    snapshot: Snapshot,
    number: u64,
    used: Decimal,
    refunded: Decimal,
    is_reset: bool,
    is_written: bool,
    is_changed: bool,
    /// Of the past, and not written yet.
    closed: Vec<Entry>,
}

impl Books {
    pub fn begin(at: Timestamp) -> Self {
        Self {
            grants: vec![],
            snapshot: Snapshot::empty(at),
            number: 0,
            used: Decimal::default(),
            refunded: Decimal::default(),
            is_reset: false,
            is_written: false,
            is_changed: true,
            closed: vec![],
        }
    }

    /// Opens them again. `None` where the entry has no snapshot: it is not the last one.
    pub fn from_last(entry: Entry, grants: Vec<Grant>) -> Option<Self> {
        let Entry { number, used, refunded, is_reset, snapshot, .. } = entry;
        let snapshot = snapshot?;
        let mut books = Self {
            grants,
            snapshot,
            number,
            used,
            refunded,
            is_reset,
            is_written: true,
            is_changed: false,
            closed: vec![],
        };
        books.forget_ended();
        Some(books)
    }

    /// The instant at which they stand.
    pub fn at(&self) -> Timestamp {
        self.snapshot.at
    }

    /// Goes on to an instant, unless they stand there or later. By itself that changes nothing that has to be written.
    /// `next_reset`: when usage is reset first after an instant.
    pub fn turn_to(&mut self, at: Timestamp, next_reset: impl Fn(Timestamp) -> Timestamp) -> Result<()> {
        while self.at() < at {
            let reset = next_reset(self.at());
            let next = if reset > self.at() { at.min(reset) } else { at };
            self.step(next, next == reset)?;
        }
        Ok(())
    }

    /// Goes on to an instant, and writes that down: from there on usage may be reset at other times.
    pub fn keep_until(&mut self, at: Timestamp, next_reset: impl Fn(Timestamp) -> Timestamp) -> Result<()> {
        if self.at() < at {
            self.turn_to(at, next_reset)?;
            self.is_changed = true;
        }
        Ok(())
    }

    /// The first instant after this one at which time changes what is left.
    pub fn next_change(&self, next_reset: impl Fn(Timestamp) -> Timestamp) -> Timestamp {
        let at = self.at();
        let of_grant = |grant: &Grant| {
            let end = grant.end().map(|(end, _)| end);
            let recurrence = grant.recurrence.as_ref().and_then(|recurrence| recurrence.after(at));
            [Some(grant.effective_at), end, recurrence]
        };
        let changes = self.grants.iter().flat_map(of_grant).flatten().chain([next_reset(at)]);
        changes.filter(|change| *change > at).min().unwrap_or(Timestamp::MAX)
    }

    /// What is left at this instant.
    pub fn left(&self) -> Result<Decimal> {
        let after = self.run(self.at().plus_millis(1))?;
        Ok(after.accounts.into_values().map(|account| account.left).sum())
    }

    pub fn burn(&mut self, amount: &Decimal) {
        if !amount.is_zero() {
            self.used = &self.used + amount;
            self.is_changed = true;
        }
    }

    /// Gives back what was used last. Where more is given back than was used, nothing is, and that is an error.
    pub fn refund(&mut self, amount: &Decimal) -> Result<()> {
        let after = &self.refunded + amount;
        let before = std::mem::replace(&mut self.refunded, after);
        if let Err(error) = self.left() {
            self.refunded = before;
            return Err(error);
        }
        self.is_changed = true;
        // What is used later is used after it.
        self.leave()
    }

    /// Gives a grant, which counts from the instant on that was asked for, but not before this one.
    pub fn grant(&mut self, request: GrantRequest, now: Timestamp) -> Result<CreditGrant> {
        let effective_at = request.effective_at.unwrap_or(now);
        if effective_at <= self.at() {
            self.leave()?;
        }
        let effective_at = effective_at.max(self.at());
        if let Some(expires_at) = request.expires_at.filter(|expires_at| *expires_at <= effective_at) {
            return Err(Error::invalid(format!(
                "`expiresAt` is {}, and the grant would count from {} on: it must expire later",
                expires_at.to_iso_string(),
                effective_at.to_iso_string()
            ))
            .at("expiresAt"));
        }
        let given = CreditGrant::new(request, effective_at, now);
        self.grants.push(given.grant.clone());
        self.is_changed = true;
        Ok(given)
    }

    /// Ends a grant at an instant, but not before this one. One that ends earlier stays as it is.
    pub fn void(&mut self, grant: &mut Grant, at: Timestamp) -> Result<()> {
        if grant.end().is_some_and(|(end, _)| end <= self.at().max(at)) {
            return Ok(());
        }
        if at <= self.at() {
            self.leave()?;
        }
        grant.voided_at = Some(at.max(self.at()));
        self.grants.retain(|known| known.id != grant.id);
        self.grants.push(grant.clone());
        self.is_changed = true;
        Ok(())
    }

    /// The entries that were added or changed, the last one with its snapshot.
    pub fn take_changes(&mut self) -> Vec<Entry> {
        if !std::mem::take(&mut self.is_changed) {
            return vec![];
        }
        self.is_written = true;
        let mut entries = std::mem::take(&mut self.closed);
        entries.push(Entry { snapshot: Some(self.snapshot.clone()), ..self.entry() });
        entries
    }

    /// Goes on to the next instant where something has happened at this one: what is changed now must not change that.
    fn leave(&mut self) -> Result<()> {
        let is_untouched = self.used.is_zero() && self.refunded.is_zero();
        if is_untouched { Ok(()) } else { self.step(self.at().plus_millis(1), false) }
    }

    fn step(&mut self, to: Timestamp, is_reset: bool) -> Result<()> {
        let after = self.run(to)?;
        let is_empty = self.used.is_zero() && self.refunded.is_zero() && !self.is_reset;
        if self.is_written || self.number == 0 || !is_empty {
            self.closed.push(self.entry());
            self.number += 1;
        }
        self.snapshot = after;
        (self.used, self.refunded) = (Decimal::default(), Decimal::default());
        self.is_reset = is_reset;
        self.is_written = false;
        self.forget_ended();
        Ok(())
    }

    fn run(&self, to: Timestamp) -> Result<Snapshot> {
        let at = self.at();
        let activity =
            [Activity::Usage { at, amount: self.used.clone() }, Activity::Refund { at, amount: self.refunded.clone() }];
        let resets = if self.is_reset { vec![at] } else { vec![] };
        let terms = Terms { grants: &self.grants, resets: &resets, at_reset: OverageAtReset::Bill };
        Ok(run(&self.snapshot, &terms, activity, to)?.snapshot)
    }

    fn entry(&self) -> Entry {
        let keeps_snapshot = self.number.is_multiple_of(ENTRIES_BETWEEN_SNAPSHOTS);
        Entry {
            at: self.at(),
            number: self.number,
            used: self.used.clone(),
            refunded: self.refunded.clone(),
            is_reset: self.is_reset,
            snapshot: keeps_snapshot.then(|| self.snapshot.clone()),
        }
    }

    fn forget_ended(&mut self) {
        let accounts = &self.snapshot.accounts;
        self.grants.retain(|grant| accounts.get(&grant.id).is_none_or(|account| account.ended.is_none()));
    }
}

/// The balance at an instant. The entries begin with one that has a snapshot and is not after the instant, and reach up to the
/// first one after it, if there is one. After the last entry usage is reset as `next_reset` says.
pub fn balance(
    grants: &[Grant],
    entries: &[Entry],
    at: Timestamp,
    next_reset: impl Fn(Timestamp) -> Timestamp,
) -> Result<Option<Balance>> {
    let Some(snapshot) = entries.first().and_then(|first| first.snapshot.as_ref()) else { return Ok(None) };
    let mut resets: Vec<_> = entries.iter().filter(|entry| entry.is_reset).map(|entry| entry.at).collect();
    if let Some(last) = entries.last().filter(|last| last.at <= at) {
        let mut from = last.at;
        let following = std::iter::from_fn(|| {
            let reset = next_reset(from);
            (reset > from && reset <= at).then(|| {
                from = reset;
                reset
            })
        });
        resets.extend(following);
    }
    let terms = Terms { grants, resets: &resets, at_reset: OverageAtReset::Bill };
    let activity = entries.iter().flat_map(|Entry { at, used, refunded, .. }| {
        [Activity::Usage { at: *at, amount: used.clone() }, Activity::Refund { at: *at, amount: refunded.clone() }]
    });
    balance_at(snapshot, &terms, activity, at).map(Some)
}
