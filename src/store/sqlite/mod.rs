//! SQLite: the embedded store. One file in WAL mode, one writing connection, reading connections beside it.
//!
//! Any number of processes may share the file: a group is one `BEGIN IMMEDIATE` transaction, so checking a limit and
//! counting against it is one step for all of them.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

use self::memory::Memory;
use self::transaction::Transaction;
use super::group::Group;
use super::versions::KnownVersions;
use super::{
    Catalog, Change, Committed, Counter, CreditRecord, Durability, HistoryVisitor, Lease, Store, Stretch,
    StripeEventRow, Visitor,
};
use crate::Result;
use crate::domain::credit::{CreditGrant, Unit};
use crate::domain::invoice::Quantities;
use crate::domain::{ApiKey, Customer, CustomerId, HolderId, KeyHash, Meter, Period, Quota, Timestamp};

mod alerts;
mod columns;
mod connection;
mod credits;
mod error;
mod event_ids;
mod export;
mod history;
mod leases;
mod memory;
mod migrate;
mod outbox;
mod quantities;
mod read;
mod stripe_events;
mod tallies;
mod transaction;
mod windows;

pub use export::{Export, Mark};

/// A Weighbridge database in one file.
pub struct SqliteStore {
    path: PathBuf,
    writer: Mutex<Writer>,
    readers: Mutex<Vec<Connection>>,
    versions: KnownVersions,
    /// Opened when it is needed first.
    housekeeper: Mutex<Option<Connection>>,
}

/// The writing connection, and what it remembers of the last transaction, if that was committed.
struct Writer {
    connection: Connection,
    memory: Option<Memory>,
}

impl SqliteStore {
    /// Opens the database, making it and its directory if need be, and brings its schema up to date.
    ///
    /// Errors: `store_foreign`, `store_newer`, `store_read_only`, `store_full`, `store_busy`, `store_corrupt`,
    /// `store_unavailable`. None of them changes a file that is not ours.
    pub fn open(path: &Path, durability: Durability) -> Result<Self> {
        let mut connection = connection::open_writer(path, durability)?;
        migrate::run(&mut connection, path).map_err(|error| error.at(path))?;
        export::refuse_moved(&connection, path)?;
        // SQLite looks through symbolic links, and keeps its log beside the file itself.
        let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        // Also the first look at the tables: a damaged file is told now and not with the first request.
        let memory = Memory::recall(&connection, None).map_err(|error| error.at(path))?;
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(Writer { connection, memory: Some(memory) }),
            readers: Mutex::default(),
            versions: KnownVersions::default(),
            housekeeper: Mutex::default(),
        })
    }

    /// The file itself, whatever links lead to it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> error::Result<T>) -> Result<T> {
        let idle = lock(&self.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connection::open_reader(&self.path)?,
        };
        let result = read(&connection);
        lock(&self.readers).push(connection);
        result.map_err(|error| error.at(&self.path))
    }
}

/// A panic while the lock was held leaves a connection whose transaction was rolled back: it can be used again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    fn commit(&mut self, changes: &[Change]) -> error::Result<Committed> {
        // After a failure: reading takes time, in which nobody else should wait for the lock.
        if self.memory.is_none() {
            self.memory = Some(Memory::recall(&self.connection, None)?);
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut group = Group::begin(Transaction::begin(&transaction, self.memory.take())?);
        let outcomes = changes.iter().map(|change| group.apply(change)).collect::<error::Result<_>>()?;
        let watches = group.take_watches()?;
        let (memory, reached) = group.tables.finish(&watches)?;
        transaction.commit()?;
        let revision = memory.revision;
        self.memory = Some(memory);
        Ok(Committed { revision, outcomes, reached })
    }
}

impl Store for SqliteStore {
    fn commit(&self, group: &[Change]) -> Result<Committed> {
        lock(&self.writer).commit(group).map_err(|error| error.at(&self.path))
    }

    /// Some ten milliseconds.
    fn group_size(&self) -> usize {
        4_096
    }

    fn revision(&self) -> Result<u64> {
        self.read(read::revision)
    }

    fn catalog(&self) -> Result<Catalog> {
        let known = self.versions.get();
        let catalog = self.read(|connection| read::catalog(connection, known.as_ref()))?;
        self.versions.learn(catalog.tiers.catalog.as_ref());
        Ok(catalog)
    }

    fn identify(&self, hash: &KeyHash) -> Result<Option<(ApiKey, Customer)>> {
        self.read(|connection| read::identify(connection, hash))
    }

    fn customer(&self, id: &CustomerId) -> Result<Option<Customer>> {
        self.read(|connection| read::customer(connection, id.as_str()))
    }

    fn customers(&self, after: Option<&str>, limit: usize) -> Result<Vec<Customer>> {
        self.read(|connection| read::customers(connection, after, limit))
    }

    fn keys(&self, customer_id: &CustomerId) -> Result<Vec<ApiKey>> {
        self.read(|connection| read::keys(connection, customer_id))
    }

    fn counters(&self, customer_id: &CustomerId, period_start: Timestamp) -> Result<Vec<Counter>> {
        self.read(|connection| read::counters(connection, customer_id.as_str(), period_start))
    }

    fn quantities(&self, customer_id: &CustomerId, period_start: Timestamp, meter: Meter) -> Result<Quantities> {
        self.read(|connection| quantities::read(connection, customer_id, period_start, meter.as_str()))
    }

    fn credit_grants(&self, customer_id: &CustomerId) -> Result<Vec<CreditGrant>> {
        self.read(|connection| credits::grants(connection, customer_id))
    }

    fn credit_record(&self, customer_id: &CustomerId, unit: Unit, at: Option<Timestamp>) -> Result<CreditRecord> {
        self.read(|connection| credits::record(connection, customer_id, unit, at))
    }

    fn hourly_rollups(&self, customer: Option<&CustomerId>, span: Period, visit: Visitor<'_>) -> Result<()> {
        self.read(|connection| read::hourly_rollups(connection, customer, span, visit))
    }

    fn events(&self, customer: Option<&CustomerId>, span: Period, visit: Visitor<'_>) -> Result<()> {
        self.read(|connection| read::events(connection, customer, span, visit))
    }

    fn stretches(&self, span: Period) -> Result<Vec<Stretch>> {
        self.read(|connection| history::stretches(connection, span))
    }

    fn recorded_hours(&self, customer: Option<&CustomerId>, span: Period, visit: HistoryVisitor<'_>) -> Result<()> {
        self.read(|connection| history::hours(connection, customer, span, visit))
    }

    fn history(&self, customer: Option<&CustomerId>, stretch: &Stretch, visit: HistoryVisitor<'_>) -> Result<()> {
        self.read(|connection| history::visit(connection, customer, stretch, visit))
    }

    fn stripe_event(&self, id: &str) -> Result<Option<StripeEventRow>> {
        self.read(|connection| stripe_events::event(connection, id))
    }

    fn takeover_position(&self, file: &str) -> Result<u64> {
        self.read(|connection| read::takeover_position(connection, file))
    }

    fn leases(&self, customer_id: &CustomerId, quota: Quota, period: Period) -> Result<Vec<Lease>> {
        self.read(|connection| leases::overlapping(connection, customer_id, quota, period))
    }

    fn recalls(&self) -> Result<Vec<(CustomerId, Quota)>> {
        self.read(leases::recalls)
    }

    fn holders(&self) -> Result<Vec<HolderId>> {
        self.read(leases::holders)
    }

    fn sync(&self) -> Result<()> {
        connection::sync(&self.path)
    }

    fn maintain(&self) -> Result<()> {
        let mut housekeeper = lock(&self.housekeeper);
        let connection = match housekeeper.take() {
            Some(connection) => connection,
            None => connection::open_housekeeper(&self.path)?,
        };
        let checkpointed = connection::checkpoint(&connection, &self.path);
        *housekeeper = Some(connection);
        checkpointed
    }
}
