//! What was burnt, from whom and in which order: so much of the past as refunds ask for.

use super::{GrantId, Rollover};
use crate::domain::Decimal;

/// Runs of units, the newest last. However many events there were, units that followed each other from the same grant are one
/// run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Burns(Vec<(Source, Decimal)>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// From an issue of a grant; 0 is none, so that what comes back has expired.
    Grant(GrantId, u64),
    /// From nobody: it was billed.
    Bill,
}

/// An issue that no grant ever has.
const NO_ISSUE: u64 = 0;

impl Burns {
    pub(super) fn push(&mut self, source: Source, units: Decimal) {
        if units.is_zero() {
            return;
        }
        match self.0.last_mut() {
            Some((last, sum)) if *last == source => *sum = &*sum + &units,
            _ => self.0.push((source, units)),
        }
    }

    pub(super) fn runs(&self) -> &[(Source, Decimal)] {
        &self.0
    }

    /// Takes off up to so many of the newest units, all of one source.
    pub(super) fn pop(&mut self, units: &Decimal) -> Option<(Source, Decimal)> {
        let (source, run) = self.0.last_mut()?;
        if *run > *units {
            *run = &*run - units;
            return Some((source.clone(), units.clone()));
        }
        self.0.pop()
    }

    /// A grant is given again. What comes back to its issues before has expired, whichever it was burnt from: they need not be
    /// told apart any more.
    pub(super) fn reissue(&mut self, grant: &GrantId) {
        for (source, units) in std::mem::take(&mut self.0) {
            match source {
                Source::Grant(id, _) if id == *grant => self.push(Source::Grant(id, NO_ISSUE), units),
                other => self.push(other, units),
            }
        }
    }

    /// A reset finds so much left of an issue. Units that come back to it later are worth what the rollover would have left
    /// of them: none where a minimum has replaced them, and none above the maximum.
    pub(super) fn roll_over(&mut self, grant: &GrantId, issue: u64, left: &Decimal, rollover: &Rollover) {
        let mut replaced = rollover.minimum().saturating_sub(left);
        let mut kept = rollover.maximum().map(|maximum| maximum.saturating_sub(&rollover.of(left)));
        let mut newest_first = Vec::with_capacity(self.0.len());
        for (source, units) in std::mem::take(&mut self.0).into_iter().rev() {
            if source != Source::Grant(grant.clone(), issue) {
                newest_first.push((source, units));
                continue;
            }
            let rest = units.saturating_sub(&replaced);
            let surplus = kept.as_ref().map_or_else(Decimal::default, |kept| rest.saturating_sub(kept));
            let (lost, held) = (&units - &rest, &rest - &surplus);
            replaced = &replaced - &lost;
            kept = kept.map(|kept| &kept - &held);
            let lapsed = || Source::Grant(grant.clone(), NO_ISSUE);
            newest_first.extend([(lapsed(), lost), (source, held), (lapsed(), surplus)]);
        }
        for (source, units) in newest_first.into_iter().rev() {
            self.push(source, units);
        }
    }
}
