//! What time itself does to grants, and in which order.

use std::collections::BTreeSet;

use super::{Grant, Snapshot};
use crate::domain::Timestamp;

/// What falls due at an instant, in the order in which it happens. Grants are named by their places in the burning order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    End(usize),
    Reset,
    Recurrence(usize),
    Effect(usize),
}

/// All that is still to come. Of the recurrences it holds only the next one of each grant.
pub(super) struct Agenda(BTreeSet<(Timestamp, Due)>);

impl Agenda {
    /// From the snapshot's instant on.
    pub fn new(grants: &[&Grant], resets: &[Timestamp], snapshot: &Snapshot) -> Self {
        let resets = resets.iter().filter(|at| **at >= snapshot.at).map(|at| (*at, Due::Reset));
        let mut agenda = Self(resets.collect());
        for (place, grant) in grants.iter().enumerate() {
            match snapshot.accounts.get(&grant.id) {
                Some(account) if account.ended.is_some() => {}
                // What falls on the snapshot's own instant it does not know.
                Some(_) => agenda.follow(place, grant, snapshot.at.plus_millis(-1)),
                None if grant.ever_counts() => drop(agenda.0.insert((grant.effective_at, Due::Effect(place)))),
                None => {}
            }
        }
        agenda
    }

    /// The first of what is due before an instant.
    pub fn take_before(&mut self, end: Timestamp) -> Option<(Timestamp, Due)> {
        if self.0.first()?.0 < end { self.0.pop_first() } else { None }
    }

    /// The first of what is due up to an instant or at it.
    pub fn take_until(&mut self, at: Timestamp) -> Option<(Timestamp, Due)> {
        if self.0.first()?.0 <= at { self.0.pop_first() } else { None }
    }

    /// Notes what becomes of a grant after an instant at which it counts.
    pub fn follow(&mut self, place: usize, grant: &Grant, after: Timestamp) {
        if let Some((end, _)) = grant.end() {
            self.0.insert((end, Due::End(place)));
        }
        self.recur(place, grant, after);
    }

    pub fn recur(&mut self, place: usize, grant: &Grant, after: Timestamp) {
        if let Some(next) = grant.recurrence.as_ref().and_then(|recurrence| recurrence.after(after))
            && grant.end().is_none_or(|(end, _)| next < end)
        {
            self.0.insert((next, Due::Recurrence(place)));
        }
    }
}
