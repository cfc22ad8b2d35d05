//! A run: from a snapshot through a time to the next one.

use super::agenda::{Agenda, Due};
use super::history::History;
use super::pool::Pool;
use super::{Grant, Segment, Snapshot};
use crate::domain::{Decimal, Timestamp};
use crate::{Error, Result};

/// What was agreed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// In any order. Those that ended before the snapshot may be left out.
    pub grants: &'a [Grant],
    /// When usage begins anew, such as with each billing period; in any order, also outside of the run.
    pub resets: &'a [Timestamp],
    pub at_reset: OverageAtReset,
}

/// What a reset does with what is still owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverageAtReset {
    /// It is billed, and the new period owes nothing.
    #[default]
    Bill,
    /// The new period owes it: it is burnt from what the reset has left (OpenMeter's `preserveOverage`).
    Carry,
}

/// Something that a customer did or got back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    Usage { at: Timestamp, amount: Decimal },
    Refund { at: Timestamp, amount: Decimal },
}

impl Activity {
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Usage { at, .. } | Self::Refund { at, .. } => *at,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub snapshot: Snapshot,
    /// Without gap from the first snapshot to the second.
    pub history: Vec<Segment>,
}

/// Burns grants over `[snapshot.at, to)`. The activity comes in order of time and lies in that period; there may be any amount
/// of it, since none of it is kept.
///
/// `invalid_argument` where it does not, where more is refunded than was used, and where the snapshot cannot be that of these
/// grants.
pub fn run(
    snapshot: &Snapshot,
    terms: &Terms<'_>,
    activity: impl IntoIterator<Item = Activity>,
    to: Timestamp,
) -> Result<Outcome> {
    let mut run = Run::new(snapshot, terms)?;
    if to < snapshot.at {
        return Err(Error::invalid(format!(
            "a run cannot end at {}, before its snapshot at {}",
            to.to_iso_string(),
            snapshot.at.to_iso_string()
        )));
    }
    for activity in activity {
        let at = activity.at();
        if at < run.now || at >= to {
            return Err(out_of_order(at, run.now, to));
        }
        run.turn_to(at)?;
        match activity {
            Activity::Usage { amount, .. } => run.used = &run.used + &amount,
            Activity::Refund { amount, .. } => run.refunded = &run.refunded + &amount,
        }
    }
    run.finish(to)
}

/// The snapshot that has the grants of its own instant too.
pub(super) fn with_changes_of_its_instant(snapshot: &Snapshot, terms: &Terms<'_>) -> Result<Snapshot> {
    let mut run = Run::new(snapshot, terms)?;
    run.turn_to(snapshot.at)?;
    Ok(run.pool.snapshot)
}

/// The grants in the order in which they are burnt.
pub(super) fn in_burning_order(grants: &[Grant]) -> Vec<&Grant> {
    let mut grants: Vec<&Grant> = grants.iter().collect();
    grants.sort_by(|one, other| one.burning_order(other));
    grants
}

struct Run<'a> {
    pool: Pool<'a>,
    agenda: Agenda,
    at_reset: OverageAtReset,
    history: History,
    now: Timestamp,
    /// What was not burnt yet, because nothing has happened since that would make a difference.
    used: Decimal,
    /// What was refunded at this instant, at which there may still be usage.
    refunded: Decimal,
}

impl<'a> Run<'a> {
    fn new(snapshot: &Snapshot, terms: &Terms<'a>) -> Result<Self> {
        let grants = in_burning_order(terms.grants);
        check(snapshot, &grants)?;
        Ok(Self {
            agenda: Agenda::new(&grants, terms.resets, snapshot),
            pool: Pool { grants, snapshot: snapshot.clone() },
            at_reset: terms.at_reset,
            history: History::new(snapshot),
            now: snapshot.at,
            used: Decimal::default(),
            refunded: Decimal::default(),
        })
    }

    /// All that falls due up to an instant and at it.
    fn turn_to(&mut self, at: Timestamp) -> Result<()> {
        if at > self.now && !self.refunded.is_zero() {
            self.settle()?;
        }
        self.pass(|agenda| agenda.take_until(at))?;
        self.now = at;
        Ok(())
    }

    fn finish(mut self, to: Timestamp) -> Result<Outcome> {
        self.pass(|agenda| agenda.take_before(to))?;
        self.settle()?;
        if to > self.history.start() {
            self.history.cut(to, &self.pool.snapshot);
        }
        Ok(Outcome { snapshot: Snapshot { at: to, ..self.pool.snapshot }, history: self.history.into_segments() })
    }

    fn pass(&mut self, mut next: impl FnMut(&mut Agenda) -> Option<(Timestamp, Due)>) -> Result<()> {
        let mut has_changed = false;
        while let Some((at, due)) = next(&mut self.agenda) {
            if !has_changed {
                self.settle()?;
                has_changed = true;
            }
            if at > self.history.start() {
                self.pool.pay();
                self.history.cut(at, &self.pool.snapshot);
            }
            let changes = self.pool.happen(due, self.at_reset);
            self.history.note(changes);
            match due {
                Due::Effect(place) => self.agenda.follow(place, self.pool.grants[place], at),
                Due::Recurrence(place) => self.agenda.recur(place, self.pool.grants[place], at),
                Due::End(_) | Due::Reset => {}
            }
        }
        if has_changed {
            self.pool.pay();
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        let (used, refunded) = (std::mem::take(&mut self.used), std::mem::take(&mut self.refunded));
        self.history.count(&used, &refunded);
        self.pool.charge(&used);
        self.pool.refund(&refunded)
    }
}

/// A snapshot that these grants cannot have led to would give a wrong balance without a word.
fn check(snapshot: &Snapshot, grants: &[&Grant]) -> Result<()> {
    let stale = |why: String| {
        Err(Error::invalid(format!(
            "the snapshot at {} is not one of these grants: {why}. Begin with an earlier one",
            snapshot.at.to_iso_string()
        )))
    };
    let mut ids: Vec<_> = grants.iter().map(|grant| &grant.id).collect();
    ids.sort();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid(format!("two grants have the id {:?}: give each its own", twice[0].as_str())));
    }
    for grant in grants {
        let id = grant.id.as_str();
        match snapshot.accounts.get(&grant.id) {
            None if grant.effective_at < snapshot.at && grant.ever_counts() => {
                return stale(format!("{id:?} took effect before it and is not in it"));
            }
            Some(account) if account.ended.is_none() && grant.end().is_some_and(|(end, _)| end < snapshot.at) => {
                return stale(format!("{id:?} ended before it and counts in it"));
            }
            _ => {}
        }
    }
    let counting = snapshot.accounts.iter().filter(|(_, account)| account.ended.is_none());
    for (id, _) in counting {
        if ids.binary_search(&id).is_err() {
            return stale(format!("{:?} counts in it and is not given", id.as_str()));
        }
    }
    Ok(())
}

fn out_of_order(at: Timestamp, now: Timestamp, to: Timestamp) -> Error {
    let [at, now, to] = [at, now, to].map(Timestamp::to_iso_string);
    Error::invalid(format!(
        "usage and refunds must come in order of time and before the end of the run: {at} is not in [{now}, {to})"
    ))
}
