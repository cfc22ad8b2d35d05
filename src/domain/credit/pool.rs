//! The grants of a run and what is left of them: what each thing that happens does to them.

use super::agenda::Due;
use super::burns::Source;
use super::{Account, Change, Grant, OverageAtReset, Snapshot};
use crate::domain::Decimal;
use crate::{Error, Result};

pub(super) struct Pool<'a> {
    /// In burning order.
    pub grants: Vec<&'a Grant>,
    pub snapshot: Snapshot,
}

impl Pool<'_> {
    /// What falls due happens. Whoever has let all of an instant happen lets the grants [`pay`](Self::pay).
    pub fn happen(&mut self, due: Due, at_reset: OverageAtReset) -> Vec<Change> {
        match due {
            Due::End(place) => self.end(place).into_iter().collect(),
            Due::Reset => self.reset(at_reset),
            Due::Recurrence(place) | Due::Effect(place) => vec![self.give(place)],
        }
    }

    fn give(&mut self, place: usize) -> Change {
        let grant = self.grants[place];
        self.snapshot.burns.reissue(&grant.id);
        let account = self.snapshot.accounts.entry(grant.id.clone()).or_default();
        let forfeited = account.give(&grant.amount);
        Change::Given { grant: grant.id.clone(), amount: grant.amount.clone(), forfeited }
    }

    fn end(&mut self, place: usize) -> Option<Change> {
        let grant = self.grants[place];
        let (_, ending) = grant.end()?;
        let forfeited = self.snapshot.accounts.get_mut(&grant.id)?.end(ending);
        Some(Change::Ended { grant: grant.id.clone(), ending, forfeited })
    }

    fn reset(&mut self, at_reset: OverageAtReset) -> Vec<Change> {
        let Snapshot { accounts, burns, overage, billed, .. } = &mut self.snapshot;
        let mut changes = vec![];
        for grant in &self.grants {
            let Some(rollover) = &grant.rollover else { continue };
            let Some(account) = accounts.get_mut(&grant.id).filter(|account| account.ended.is_none()) else { continue };
            let before = account.left.clone();
            burns.roll_over(&grant.id, account.issue, &before, rollover);
            account.roll_over(rollover.of(&before));
            changes.push(Change::RolledOver { grant: grant.id.clone(), before, after: account.left.clone() });
        }
        let bill = match at_reset {
            OverageAtReset::Bill => std::mem::take(overage),
            OverageAtReset::Carry => Decimal::default(),
        };
        *billed = &*billed + &bill;
        burns.push(Source::Bill, bill.clone());
        changes.push(Change::Reset { billed: bill });
        changes
    }

    /// Usage is owed, and then paid as far as there is credit.
    pub fn charge(&mut self, units: &Decimal) {
        self.snapshot.overage = &self.snapshot.overage + units;
        self.pay();
    }

    /// What is owed is burnt from the grants, in their order.
    pub fn pay(&mut self) {
        let Snapshot { accounts, burns, overage, .. } = &mut self.snapshot;
        for grant in &self.grants {
            if overage.is_zero() {
                break;
            }
            let Some(account) = accounts.get_mut(&grant.id) else { continue };
            let part = (&account.left).min(&*overage).clone();
            account.burn(&part);
            *overage = &*overage - &part;
            burns.push(Source::Grant(grant.id.clone(), account.issue), part);
        }
    }

    /// Undoes the newest usage. What is owed was used last: while it is owed, nothing is left to be burnt.
    pub fn refund(&mut self, units: &Decimal) -> Result<()> {
        let Snapshot { accounts, burns, overage, billed, .. } = &mut self.snapshot;
        let mut rest = units.saturating_sub(overage);
        *overage = overage.saturating_sub(units);
        while !rest.is_zero() {
            let Some((source, part)) = burns.pop(&rest) else {
                return Err(Error::invalid(format!(
                    "a refund of {units} gives back {rest} more than was used: correct its amount"
                )));
            };
            rest = &rest - &part;
            match source {
                Source::Bill => *billed = &*billed - &part,
                Source::Grant(grant, issue) => {
                    let account: &mut Account = accounts.entry(grant).or_default();
                    account.give_back(&part, issue);
                }
            }
        }
        Ok(())
    }
}
