//! Who decides and when.
//!
//! An [`Engine`] owns the threads that touch the store: the [`recorder`] writes, in groups, and the [`readers`] read.
//! Nothing here blocks its caller: every operation takes a [`Reply`], called once, from one of those threads. The
//! [`gate`] decides about requests; what it can tell from the [`key_cache`] it says at once.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use self::key_cache::KeyCache;
use self::readers::Readers;
use self::recorder::{Recorder, closed, guarded};
use self::takeover::TakeoverReport;
use crate::domain::{TierTable, TimeZone};
use crate::store::{Applied, Catalog, Change, Outcome, SqliteStore, Store};
use crate::{Code, Error, Result};

pub mod gate;
mod key_cache;
mod readers;
mod recorder;
pub mod takeover;
pub mod usage;

/// Called exactly once, from a thread of the engine.
pub type Reply<T> = Box<dyn FnOnce(Result<T>) + Send>;

/// How to open an [`Engine`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The SQLite file.
    pub path: PathBuf,
    /// Where the seed's code may have left files to take over.
    pub legacy_dir: PathBuf,
    /// `None`: what the store has, or the default tiers where it has none.
    pub tiers: Option<TierTable>,
    pub default_tiers: TierTable,
    /// `None`: what the store has; a new store has UTC.
    pub time_zone: Option<TimeZone>,
    /// What the system clock says, for the records of a takeover.
    pub now: crate::domain::Timestamp,
}

/// A running engine. Dropping it lets its threads finish what they were given; [`Engine::close`] waits for that.
pub struct Engine {
    shared: Arc<Shared>,
    recorder: Recorder,
    readers: Readers,
    closed: AtomicBool,
}

/// What the threads and the gates of an engine know together.
pub(crate) struct Shared {
    pub keys: KeyCache,
    catalog: RwLock<Arc<Catalog>>,
}

impl Shared {
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The catalog first: whoever sees the new revision must not see the old catalog.
    fn observe(&self, store: &dyn Store, revision: u64) -> Result<()> {
        if revision != self.keys.revision() {
            let catalog = Arc::new(store.catalog()?);
            *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
            self.keys.advance(revision);
        }
        Ok(())
    }
}

impl Engine {
    /// Returns at once; the store is opened in the background, and everything asked for meanwhile waits. Where it cannot
    /// be opened, everything is answered with that error.
    pub fn open(options: Options) -> Result<Arc<Self>> {
        let catalog = Catalog {
            tiers: options.tiers.clone().unwrap_or_else(|| options.default_tiers.clone()),
            time_zone: options.time_zone.unwrap_or(TimeZone::UTC),
        };
        let shared = Arc::new(Shared { keys: KeyCache::default(), catalog: RwLock::new(Arc::new(catalog)) });
        let readers = Readers::default();
        let recorder = Recorder::start(Arc::clone(&shared), readers.clone(), move || open_store(&options))?;
        Ok(Arc::new(Self { shared, recorder, readers, closed: AtomicBool::new(false) }))
    }

    /// Answers when the store is open, with what was taken over from the seed's files.
    pub fn ready(&self, reply: Reply<TakeoverReport>) {
        if self.is_closed() { reply(Err(closed())) } else { self.recorder.ready(reply) }
    }

    /// Applies changes in one transaction, together with what others wait to write.
    pub fn commit(&self, changes: Vec<Change>, reply: Reply<Vec<Outcome>>) {
        if self.is_closed() { reply(Err(closed())) } else { self.recorder.commit(changes, reply) }
    }

    /// Applies one change.
    pub fn commit_one(&self, change: Change, reply: Reply<Applied>) {
        self.commit(vec![change], Box::new(|outcomes| reply(outcomes.and_then(single))));
    }

    pub fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store, &Catalog) -> Result<T> + Send + 'static,
        reply: Reply<T>,
    ) {
        let shared = Arc::clone(&self.shared);
        self.readers.submit(Box::new(move |store| {
            reply(store.and_then(|store| guarded(|| read(store, &shared.catalog()))));
        }));
    }

    /// Answers when everything that was asked for before is done and committed.
    pub fn flush(&self, reply: Reply<()>) {
        self.commit(Vec::new(), Box::new(|outcomes| reply(outcomes.map(|_| ()))));
    }

    /// Finishes what was asked for before, refuses everything after (`closed`), and closes the store. Asked for again, it
    /// answers then too.
    pub fn close(&self, reply: Reply<()>) {
        self.closed.store(true, Ordering::Release);
        self.recorder.close(reply);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// The outcome of a group of one.
fn single(mut outcomes: Vec<Outcome>) -> Result<Applied> {
    outcomes.pop().unwrap_or_else(|| Err(Error::new(Code::Internal, "the store gave no answer")))
}

fn open_store(options: &Options) -> Result<(Arc<dyn Store>, TakeoverReport)> {
    let store = SqliteStore::open(&options.path, crate::store::Durability::Process)?;
    let tiers = match &options.tiers {
        Some(tiers) => Some(tiers.clone()),
        None if store.catalog()?.tiers.iter().next().is_none() => Some(options.default_tiers.clone()),
        None => None,
    };
    let configure = Change::Configure { tiers, time_zone: options.time_zone };
    store.commit(&[configure])?.outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    let report = takeover::run(&store, &options.legacy_dir, options.now)?;
    Ok((Arc::new(store), report))
}
