//! Committing a group of which the store may refuse something for what it is: the others must not wait for that for ever.

use super::recorder::guarded;
use crate::domain::Reached;
use crate::store::{Change, Outcome, Store};
use crate::{Code, Error};

/// How far a group was committed.
#[derive(Default)]
pub struct Progress {
    /// As of the last commit.
    pub revision: Option<u64>,
    /// Of the changes from the first one on. What the store refuses has its error.
    pub outcomes: Vec<Outcome>,
    pub reached: Vec<Reached>,
    /// Why there are no more of them.
    pub failure: Option<Error>,
}

/// Commits a group in one transaction; where something in it is refused, in as many as it takes to find that out.
pub fn commit(store: &dyn Store, group: &[Change]) -> Progress {
    let mut progress = Progress::default();
    go_on(store, group, &mut progress);
    progress
}

fn go_on(store: &dyn Store, group: &[Change], progress: &mut Progress) {
    if progress.failure.is_some() {
        return;
    }
    match guarded(|| store.commit(group)) {
        Ok(committed) => {
            progress.revision = Some(committed.revision);
            progress.outcomes.extend(committed.outcomes);
            progress.reached.extend(committed.reached);
        }
        Err(error) if error.code == Code::StoreRejected && group.len() == 1 => progress.outcomes.push(Err(error)),
        Err(error) if error.code == Code::StoreRejected && !group.is_empty() => {
            let (first, second) = group.split_at(group.len() / 2);
            go_on(store, first, progress);
            go_on(store, second, progress);
        }
        Err(error) => progress.failure = Some(error),
    }
}
