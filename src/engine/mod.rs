//! Who decides and when.
//!
//! An [`Engine`] admits from what the [`ledger`] says that the store has set aside for it, writes what it admits into the
//! [`journal`], and lets the [`recorder`] bring that into the store, in groups. The [`readers`] read, the [`ticker`] keeps
//! deadlines, the [`housekeeper`] tidies up, and [`replay`] brings in what engines that died have left. Nothing here
//! blocks its caller: every operation takes a [`Reply`], called once, from one of those threads. The [`gate`] decides
//! about requests; what can be told from memory it says at once.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;

use self::claim::quotas;
use self::health::{Health, Listener, Notice};
use self::holds::Holds;
use self::journal::Journal;
use self::key_cache::KeyCache;
use self::ledger::{AccountKey, Ledger};
use self::readers::Readers;
use self::recorder::{Journaled, Recorder, guarded};
use self::replay::ReplayReport;
use self::takeover::TakeoverReport;
use self::ticker::Ticker;
use crate::domain::customer::Patch;
use crate::domain::{
    CatalogVersions, ExportRule, HolderId, Plans, Quota, Reached, Thresholds, TierTable, TimeZone, Timestamp,
};
use crate::store::postgres::PostgresOptions;
use crate::store::{Applied, Catalog, Change, Durability, Outcome, SqliteStore, Store, paid_of};
use crate::{Code, Error, Result};

pub mod access_log;
pub mod admission;
mod claim;
pub mod credits;
pub mod explain;
pub mod gate;
pub mod health;
mod history;
pub mod holds;
pub mod home;
mod housekeeper;
pub mod invoices;
mod isolation;
mod journal;
mod key_cache;
mod ledger;
mod mailbox;
pub mod means;
pub mod migration;
mod opening;
mod owed;
pub mod pricing;
mod rating;
mod readers;
mod recorder;
mod rejected;
pub mod replay;
pub mod simulation;
pub mod takeover;
mod ticker;
pub mod usage;

pub use self::recorder::closed;

/// In ticks of ten milliseconds.
const TICKS_BETWEEN_RECALLS: u64 = 2;
const TICKS_BETWEEN_SWEEPS: u64 = 100;

/// Called exactly once, from a thread of the engine.
pub type Reply<T> = Box<dyn FnOnce(Result<T>) + Send>;

/// How to open an [`Engine`].
#[derive(Clone)]
pub struct Options {
    pub location: Location,
    /// Where the seed's code may have left files to take over.
    pub legacy_dir: PathBuf,
    /// In the place of tiers; `None`: what the store has.
    pub catalog: Option<Arc<CatalogVersions>>,
    /// `None`: what the store has, or the default tiers where it has none.
    pub tiers: Option<TierTable>,
    pub default_tiers: TierTable,
    /// `None`: what the store has; a new store has UTC.
    pub time_zone: Option<TimeZone>,
    /// What of the usage is reported to another service; what the store has where it is kept.
    pub export: Patch<ExportRule>,
    /// What the system clock says, for the records of a takeover.
    pub now: Timestamp,
    pub durability: Durability,
    /// How long a request waits for the store, once that is open.
    pub deadline: Duration,
    /// Of which shares to tell; what the store has, or else what is usual, where nothing is said.
    pub thresholds: Option<Thresholds>,
    /// Whether there is a receiver of alerts, which this process or another one sends; what the store has where nothing is said.
    pub sends_alerts: Option<bool>,
    /// Unlike every other engine's, now and ever.
    pub holder: HolderId,
    /// Is told what happens by itself.
    pub listener: Listener,
}

/// Where the store is.
#[derive(Clone)]
pub enum Location {
    /// In this file.
    Sqlite(PathBuf),
    /// In a database, with the journals of this machine below a directory.
    Postgres { options: Box<PostgresOptions>, directory: PathBuf },
}

/// What was found at the opening.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub takeover: TakeoverReport,
    pub replay: ReplayReport,
}

/// A running engine. Dropping it closes it; [`Engine::close`] tells when that is done.
pub struct Engine {
    shared: Arc<Shared>,
    journal: Journal,
    recorder: Recorder,
    readers: Readers,
    ticker: Ticker,
    holds: Holds,
    deadline: Duration,
    holder: HolderId,
    /// A question for recalls is on its way.
    is_asking_recalls: AtomicBool,
}

/// What the threads and the gates of an engine know together.
pub(crate) struct Shared {
    pub keys: KeyCache,
    pub health: Health,
    catalog: RwLock<Arc<Catalog>>,
    ledger: Mutex<Ledger>,
    /// How far the journal is recorded.
    position: AtomicU64,
    /// Events on their way through the journal into the store.
    unrecorded: AtomicUsize,
    opened_at: Instant,
    closed: AtomicBool,
    /// Once it is open.
    store: Mutex<Weak<dyn Store>>,
    /// The directory of all journals, once it is known.
    journals: OnceLock<PathBuf>,
}

impl Shared {
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the ledger, which knows no clock.
    pub fn moment(&self) -> ledger::Moment {
        u64::try_from(self.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The store is open. It may be that it is to be closed already.
    fn opened(&self, store: &Arc<dyn Store>) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(store);
        if self.is_closed() {
            store.hurry();
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(store) = store {
            store.hurry();
        }
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

    /// The store has recorded what the journal holds.
    fn recorded(&self, entries: impl Iterator<Item = (Journaled, Outcome)>) {
        let (mut position, mut count, mut refused) = (0, 0, Vec::new());
        for (Journaled { record, period_start }, outcome) in entries {
            position = record.sequence;
            count += 1;
            let key = (record.event.customer_id.clone(), Quota::Period(record.event.meter));
            let units = record.event.units.get();
            match outcome.and_then(Applied::recorded) {
                Ok(recorded) => {
                    let mut ledger = self.ledger();
                    ledger.settled(&key, period_start, units, recorded.used);
                    ledger.settled_further(&record.event, &record.paid, recorded.status.is_counted());
                }
                Err(error) => {
                    tracing::error!(%error, customer = %key.0, "an admitted event could not be counted");
                    refused.extend(rejected::refused(&record, &error));
                    // Where the store has refused it nothing was done: what a lease pays for it is there still.
                    let is_leased = error.code == Code::StoreRejected;
                    let leased = if is_leased { paid_of(&record.paid, key.1) } else { 0 };
                    let mut ledger = self.ledger();
                    ledger.unspend(&key, period_start, units, leased);
                    ledger.unspend_further(&record.event, &record.paid, is_leased);
                }
            }
        }
        self.set_aside(&refused);
        self.position.fetch_max(position, Ordering::AcqRel);
        self.unrecorded.fetch_sub(count, Ordering::AcqRel);
    }

    /// A group has reached these, and was committed.
    fn tell(&self, reached: Vec<Reached>) {
        reached.into_iter().for_each(|reached| self.health.notify(Notice::Threshold(reached)));
    }

    /// Their segment will be gone, so this is all that is left of them.
    fn set_aside(&self, lines: &[String]) {
        let (false, Some(journals)) = (lines.is_empty(), self.journals.get()) else { return };
        match rejected::set_aside(journals, lines) {
            Ok(file) => self.health.notify(Notice::Rejected { lines: lines.len() as u64, file }),
            Err(error) => tracing::error!(%error, ?lines, "what could not be counted could not be set aside"),
        }
    }

    /// The journal could not take these: their units are free again.
    fn not_journaled(&self, entries: &[Journaled]) {
        let mut ledger = self.ledger();
        for Journaled { record, period_start } in entries {
            let key = (record.event.customer_id.clone(), Quota::Period(record.event.meter));
            let units = record.event.units.get();
            ledger.unspend(&key, *period_start, units, paid_of(&record.paid, key.1));
            ledger.unspend_further(&record.event, &record.paid, true);
        }
        self.unrecorded.fetch_sub(entries.len(), Ordering::AcqRel);
    }
}

impl Engine {
    /// Returns at once; the store is opened in the background, and everything asked for meanwhile waits. Where it cannot
    /// be opened, everything is answered with that error.
    pub fn open(options: Options) -> Result<Arc<Self>> {
        let catalog = Catalog {
            tiers: Plans {
                table: options.tiers.clone().unwrap_or_else(|| options.default_tiers.clone()),
                catalog: options.catalog.clone(),
            },
            time_zone: options.time_zone.unwrap_or(TimeZone::UTC),
            export: None,
            alerts: None,
        };
        let holder = options.holder.clone();
        let shared = Arc::new(Shared {
            keys: KeyCache::default(),
            health: Health::new(Arc::clone(&options.listener)),
            catalog: RwLock::new(Arc::new(catalog)),
            ledger: Mutex::new(Ledger::new(holder.clone())),
            position: AtomicU64::new(0),
            unrecorded: AtomicUsize::new(0),
            opened_at: Instant::now(),
            closed: AtomicBool::new(false),
            store: Mutex::new(Weak::<SqliteStore>::new()),
            journals: OnceLock::new(),
        });
        let (readers, recorder) = (Readers::default(), Recorder::new());
        let (directory_sender, directory) = unbounded();
        let journal =
            Journal::start(holder.clone(), options.durability, Arc::clone(&shared), recorder.clone(), directory)?;
        let engine = Arc::new(Self {
            shared: Arc::clone(&shared),
            journal,
            recorder: recorder.clone(),
            readers: readers.clone(),
            ticker: Ticker::new(),
            holds: Holds::default(),
            deadline: options.deadline,
            holder,
            is_asking_recalls: AtomicBool::new(false),
        });
        engine.ticker.start(Arc::downgrade(&engine))?;
        let files = engine.journal.files();
        let drain = engine.journal.drainer();
        recorder.start(Arc::clone(&shared), readers, move || {
            opening::open(&options, &shared, &files, &directory_sender, &drain)
        })?;
        Ok(engine)
    }

    /// Answers when the store is open, with what was taken over from the seed's files and brought in from journals.
    pub fn ready(&self, reply: Reply<Report>) {
        if self.is_closed() { reply(Err(closed())) } else { self.recorder.ready(reply) }
    }

    /// Applies changes in one transaction, together with what others wait to write.
    pub fn commit(self: &Arc<Self>, changes: Vec<Change>, reply: Reply<Vec<Outcome>>) {
        if self.is_closed() {
            return reply(Err(closed()));
        }
        // Only facts change what the ledger knows.
        let facts: Vec<Option<AccountKey>> = changes.iter().map(fact).collect();
        let engine = Arc::clone(self);
        self.recorder.commit(
            changes,
            Box::new(move |outcomes| {
                if let Ok(outcomes) = &outcomes {
                    engine.learn_facts(&facts, outcomes);
                }
                reply(outcomes);
            }),
        );
    }

    fn learn_facts(self: &Arc<Self>, facts: &[Option<AccountKey>], outcomes: &[Outcome]) {
        let mut ledger = self.shared.ledger();
        for (fact, outcome) in facts.iter().zip(outcomes) {
            if let (Some(key), Ok(Applied::Charged(charged))) = (fact, outcome) {
                ledger.recorded(key, charged.period.start, charged.standing.used);
                // Of other quotas only the store knows what it took, and what is left.
                let plans = &self.shared.catalog().tiers;
                let all = key.1.meter().map(|meter| quotas(plans, &charged.customer, meter)).unwrap_or_default();
                let further = all.into_iter().filter(|quota| *quota != key.1);
                further.for_each(|quota| ledger.give_back(&(key.0.clone(), quota)));
            }
        }
        drop(ledger);
        self.give_back();
    }

    /// Applies one change.
    pub fn commit_one(self: &Arc<Self>, change: Change, reply: Reply<Applied>) {
        self.commit(vec![change], Box::new(|outcomes| reply(outcomes.and_then(single))));
    }

    /// Reads what is recorded, including all that this engine admitted before.
    pub fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&dyn Store, &Catalog) -> Result<T> + Send + 'static,
        reply: Reply<T>,
    ) {
        let engine = Arc::clone(self);
        self.when_recorded(move |flushed| match flushed {
            Ok(()) => engine.peek(read, reply),
            Err(error) => reply(Err(error)),
        });
    }

    /// Reads something short that a request waits for: no report holds it up.
    pub(super) fn read_first<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&dyn Store, &Catalog) -> Result<T> + Send + 'static,
        reply: Reply<T>,
    ) {
        let engine = Arc::clone(self);
        self.when_recorded(move |flushed| match flushed {
            Ok(()) => engine.peek_first(read, reply),
            Err(error) => reply(Err(error)),
        });
    }

    /// Goes on when all that is on its way to the store is there.
    fn when_recorded(self: &Arc<Self>, then: impl FnOnce(Result<()>) + Send + 'static) {
        if self.shared.unrecorded.load(Ordering::Acquire) == 0 {
            return then(Ok(()));
        }
        let recorder = self.recorder.clone();
        self.journal.drain(Box::new(move || recorder.flush(Box::new(then))));
    }

    /// Reads what is recorded, without what is on its way there.
    pub fn peek<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store, &Catalog) -> Result<T> + Send + 'static,
        reply: Reply<T>,
    ) {
        self.readers.submit(self.job(read, reply));
    }

    /// The same for something short that somebody waits for.
    pub(super) fn peek_first<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store, &Catalog) -> Result<T> + Send + 'static,
        reply: Reply<T>,
    ) {
        self.readers.submit_first(self.job(read, reply));
    }

    fn job<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store, &Catalog) -> Result<T> + Send + 'static,
        reply: Reply<T>,
    ) -> readers::Job {
        let shared = Arc::clone(&self.shared);
        Box::new(move |store| reply(store.and_then(|store| guarded(|| read(store, &shared.catalog())))))
    }

    /// Works on the outbox, on a thread of its own.
    pub fn work_on_outbox(&self, job: readers::Job) {
        self.readers.submit_outbox(job);
    }

    /// Who this engine is to the store.
    pub fn holder(&self) -> &HolderId {
        &self.holder
    }

    /// Answers when everything that was asked for before is done and committed.
    pub fn flush(&self, reply: Reply<()>) {
        if self.is_closed() {
            return reply(Err(closed()));
        }
        let recorder = self.recorder.clone();
        self.journal.drain(Box::new(move || recorder.flush(reply)));
    }

    /// Finishes what was asked for before, refuses everything after (`closed`), gives back what was leased, and closes the
    /// store. Asked for again, it answers then too.
    pub fn close(&self, reply: Reply<()>) {
        self.shared.close();
        let (recorder, end_journal, end_ticker) = (self.recorder.clone(), self.journal.end(), self.ticker.end());
        let closed = Box::new(move |result| {
            end_journal();
            end_ticker();
            reply(result);
        });
        self.journal.drain(Box::new(move || recorder.close(closed)));
    }

    /// What the ticker does. Answers whether there will be more to do.
    fn tick(self: &Arc<Self>, ticks: u64) -> bool {
        self.hand_over();
        if self.is_closed() {
            // Everything goes back with the end.
            return false;
        }
        let moment = self.shared.moment();
        let mut ledger = self.shared.ledger();
        let requests = ledger.retries(moment);
        if ticks.is_multiple_of(TICKS_BETWEEN_SWEEPS) {
            ledger.sweep(moment);
        }
        let is_busy = ledger.is_busy();
        drop(ledger);
        for request in requests {
            self.ask(request);
        }
        if ticks.is_multiple_of(TICKS_BETWEEN_SWEEPS) {
            self.sweep_holds();
        }
        self.give_back();
        if is_busy && ticks.is_multiple_of(TICKS_BETWEEN_RECALLS) {
            self.heed_recalls();
        }
        is_busy
    }

    /// Gives back at once what others ask for in vain.
    fn heed_recalls(self: &Arc<Self>) {
        if self.is_asking_recalls.swap(true, Ordering::AcqRel) {
            return;
        }
        let engine = Arc::clone(self);
        self.readers.submit_first(Box::new(move |store| {
            let recalls = store.and_then(|store| match store.may_be_recalling() {
                true => guarded(|| store.recalls()),
                false => Ok(Vec::new()),
            });
            engine.is_asking_recalls.store(false, Ordering::Release);
            let mut ledger = engine.shared.ledger();
            for key in recalls.unwrap_or_default() {
                ledger.give_back(&key);
            }
            drop(ledger);
            engine.give_back();
        }));
    }

    pub fn is_degraded(&self) -> bool {
        self.shared.health.is_degraded()
    }

    fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }
}

/// Nobody can ask for anything any more, so it closes by itself.
impl Drop for Engine {
    fn drop(&mut self) {
        self.close(Box::new(|_| ()));
    }
}

/// Whose counter an event without conditions raises.
fn fact(change: &Change) -> Option<AccountKey> {
    match change {
        Change::Charge(charge) if charge.admission.is_none() => {
            Some((charge.event.customer_id.clone(), Quota::Period(charge.event.meter)))
        }
        _ => None,
    }
}

/// The outcome of a group of one.
fn single(mut outcomes: Vec<Outcome>) -> Result<Applied> {
    outcomes.pop().unwrap_or_else(|| Err(Error::new(Code::Internal, "the store gave no answer")))
}
