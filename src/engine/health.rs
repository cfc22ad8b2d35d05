//! Whether the store works, and who is told when that changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::Reached;
use crate::store::Committed;
use crate::{Code, Error, Result};

/// Something that happened by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The store has failed, or not answered in time. Leases and the journal carry on.
    Degraded(Error),
    Recovered,
    /// Lines of a journal could not be read: so many, and where they are.
    Rejected {
        lines: u64,
        file: std::path::PathBuf,
    },
    /// A customer has used up a share of something.
    Threshold(Reached),
}

/// Called from threads of the engine.
pub type Listener = Arc<dyn Fn(Notice) + Send + Sync>;

pub struct Health {
    listener: Listener,
    /// What has failed last, until that works again.
    failure: Mutex<Option<Error>>,
    is_degraded: AtomicBool,
    is_open: AtomicBool,
}

impl Health {
    pub fn new(listener: Listener) -> Self {
        Self { listener, failure: Mutex::default(), is_degraded: AtomicBool::default(), is_open: AtomicBool::default() }
    }

    pub fn notify(&self, notice: Notice) {
        (self.listener)(notice);
    }

    /// The store was opened: from now on it has to answer in time.
    pub fn opened(&self) {
        self.is_open.store(true, Ordering::Release);
        self.works();
    }

    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    pub fn is_degraded(&self) -> bool {
        self.is_degraded.load(Ordering::Acquire)
    }

    pub fn committed(&self, committed: &Result<Committed>) {
        match committed {
            Ok(_) => self.works(),
            Err(error) => self.failed(error),
        }
    }

    /// Whether an empty commit could tell that the store works again: on a full disk it could not.
    pub fn is_worth_trying(&self) -> bool {
        self.is_degraded() && self.lock().as_ref().is_some_and(|error| error.code != Code::StoreFull)
    }

    /// The journal can be written. Whether the store works too is another matter.
    pub fn journal_works(&self) {
        if self.is_degraded() && self.lock().as_ref().is_some_and(|error| error.code == Code::StoreFull) {
            self.works();
        }
    }

    pub fn works(&self) {
        if self.is_degraded() {
            let mut failure = self.lock();
            self.is_degraded.store(false, Ordering::Release);
            if failure.take().is_some() {
                self.notify(Notice::Recovered);
            }
        }
    }

    /// That something was closed is no failure.
    pub fn failed(&self, error: &Error) {
        if error.code == Code::Closed {
            return;
        }
        let mut failure = self.lock();
        self.is_degraded.store(true, Ordering::Release);
        if failure.replace(error.clone()).is_none() {
            self.notify(Notice::Degraded(error.clone()));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
