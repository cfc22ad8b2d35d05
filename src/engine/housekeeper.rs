//! The thread that tidies up, about once a second: it syncs the journal, deletes what of it is safe in the store, takes
//! over the journals of the dead, and keeps the store's files small.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::health::Notice;
use super::journal::directory::lock;
use super::recorder::{guarded, spawn};
use super::{Shared, replay};
use crate::Result;
use crate::domain::HolderId;
use crate::store::Store;

const INTERVAL: Duration = Duration::from_secs(1);
/// Whoever has locked this keeps the store's files small.
const ELECTION: &str = "housekeeper.lock";

pub struct Housekeeper {
    pub store: Weak<dyn Store>,
    pub shared: Arc<Shared>,
    pub journals: PathBuf,
    pub holder: HolderId,
    /// Journals that cannot be read, as was told already.
    pub unreadable: RefCell<HashSet<PathBuf>>,
    pub files: Arc<super::journal::Files>,
}

impl Housekeeper {
    /// Works until `ended` is disconnected; answers whether it was elected.
    pub fn start(self, ended: Receiver<()>) -> Result<JoinHandle<Option<Election>>> {
        spawn("weighbridge-housekeeper".to_owned(), move || {
            let mut election = None;
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let Some(store) = self.store.upgrade() else { break };
                for chore in [Self::sync_journal, Self::replay] {
                    if let Err(error) = guarded(|| chore(&self, store.as_ref())) {
                        self.shared.health.failed(&error);
                    }
                }
                if election.is_none() {
                    election = elect(&self.journals);
                }
                if election.is_some()
                    && let Err(error) = guarded(|| store.maintain())
                {
                    tracing::warn!(%error, "the store's files could not be made smaller; it is tried again");
                }
            }
            election
        })
    }

    fn sync_journal(&self, store: &dyn Store) -> Result<()> {
        self.files.sync()?;
        let position = self.shared.position();
        if self.files.has_recorded(position) {
            store.sync()?;
            self.files.delete_recorded(position)?;
        }
        Ok(())
    }

    fn replay(&self, store: &dyn Store) -> Result<()> {
        let witness = |reached| self.shared.tell(reached);
        let report = replay::run(store, &self.journals, Some(&self.holder), &witness)?;
        for journal in report.unreadable {
            if self.unreadable.borrow_mut().insert(journal.clone()) {
                self.shared.health.notify(Notice::Rejected { lines: 0, file: journal });
            }
        }
        if let Some(file) = report.rejected_file {
            self.shared.health.notify(Notice::Rejected { lines: report.rejected, file });
        }
        Ok(())
    }
}

/// Held by the one who keeps the store's files small.
pub struct Election {
    path: PathBuf,
    _lock: File,
}

impl Election {
    /// Nobody has to be elected any more, as far as we know. If somebody is, he is already.
    pub fn end(self) {
        drop(std::fs::remove_file(&self.path));
    }
}

/// Becomes the one, unless somebody is.
pub fn elect(journals: &Path) -> Option<Election> {
    let path = journals.join(ELECTION);
    // Where there can be none, nobody is elected.
    let lock = lock(&path, OpenOptions::new().write(true).create(true)).ok()??;
    Some(Election { path, _lock: lock })
}
