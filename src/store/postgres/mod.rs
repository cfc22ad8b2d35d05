//! PostgreSQL: the store that any number of machines share.
//!
//! A group is one transaction. It locks the customers that it is about, always in the same order, reads what they have,
//! decides in memory, and writes what has changed: two round trips, however many changes. Groups of other customers go on
//! beside it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::database::{Database, Purpose};
use self::listener::Announcements;
use self::writer::Writer;
use super::versions::KnownVersions;
use super::{
    Catalog, Change, Committed, Counter, CreditRecord, HistoryVisitor, Lease, Store, Stretch, StripeEventRow, Visitor,
};
use crate::Result;
use crate::domain::credit::{CreditGrant, Unit};
use crate::domain::invoice::Quantities;
use crate::domain::{ApiKey, Customer, CustomerId, HolderId, KeyHash, Meter, Period, Quota, Timestamp};

mod alerts;
mod append;
mod columns;
mod credits;
mod database;
mod error;
mod event_ids;
mod history;
mod hosts;
mod import;
mod listener;
mod load;
mod maintenance;
mod migrate;
mod options;
mod outbox;
mod partitions;
mod quantities;
mod read;
mod stripe_events;
mod tls;
mod transaction;
mod wanted;
mod windows;
mod write;
mod writer;

pub use import::Import;
pub use options::{Address, PostgresOptions, Schema};

/// A tenth of a second apart.
const ATTEMPTS_TO_CONNECT: usize = 50;

/// A Weighbridge schema in a PostgreSQL database, version 13 or later.
pub struct PostgresStore {
    options: Arc<PostgresOptions>,
    database: Database,
    announcements: Arc<Announcements>,
    versions: KnownVersions,
    writer: Mutex<Writer>,
}

impl PostgresStore {
    /// Connects to the database, makes the schema if need be, and brings it up to date. A server that is not there yet,
    /// as when everything starts at once, is waited for some seconds.
    ///
    /// Errors: `store_unavailable`, `store_timeout`, `store_foreign`, `store_newer`, `store_read_only`. None of them
    /// changes a schema that is not ours.
    pub fn open(options: PostgresOptions) -> Result<Self> {
        let options = Arc::new(options);
        let announcements = Arc::new(Announcements::default());
        let place = options.address.place();
        let open = || -> error::Result<_> {
            let database = Database::connect(&options.address, &options.schema)?;
            await_server(&database)?;
            migrate::run(&database, &options.schema)?;
            import::refuse_unfinished(&database, &options.schema)?;
            let writer = Writer::new(&database, Arc::clone(&options), Arc::clone(&announcements))?;
            let address = options.address.clone();
            listener::start(&database, address, &options.schema, Arc::clone(&announcements))?;
            Ok((database, writer))
        };
        let (database, writer) = open().map_err(|error| error.at(&place))?;
        let versions = KnownVersions::default();
        Ok(Self { options, database, announcements, versions, writer: Mutex::new(writer) })
    }

    /// What tells this store from all others, wherever it is moved.
    pub fn id(&self) -> Result<String> {
        self.at(read::store_id(&self.database))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic while the lock was held leaves a transaction that was rolled back.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at<T>(&self, result: error::Result<T>) -> Result<T> {
        result.map_err(|error| error.at(&self.database.place))
    }
}

fn await_server(database: &Database) -> error::Result<()> {
    for _ in 0..ATTEMPTS_TO_CONNECT {
        match database.begin(Purpose::Read) {
            Err(error) if error.is_outage() => database.pause(),
            session => return session?.finish(&[]).map(drop),
        }
    }
    database.begin(Purpose::Read)?.finish(&[]).map(drop)
}

impl Store for PostgresStore {
    fn commit(&self, group: &[Change]) -> Result<Committed> {
        self.at(self.writer().commit(&self.database, group))
    }

    /// Some ten milliseconds, of which a request may wait fifty.
    fn group_size(&self) -> usize {
        512
    }

    fn revision(&self) -> Result<u64> {
        if let Some(revision) = self.announcements.latest() {
            return Ok(revision);
        }
        let known = self.announcements.known();
        let revision = self.at(read::revision(&self.database))?;
        if revision >= known {
            return Ok(self.announcements.learn(revision));
        }
        // A standby that lagged was promoted. What is changed from now on must have numbers that nobody has seen.
        tracing::error!(revision, known, "the server has lost changes that were committed");
        Ok(self.announcements.learn(self.at(read::pass_revision(&self.database, known))?))
    }

    fn catalog(&self) -> Result<Catalog> {
        let known = self.versions.get();
        let (_, catalog) = self.at(read::catalog(&self.database, known.as_ref()))?;
        self.versions.learn(catalog.tiers.catalog.as_ref());
        Ok(catalog)
    }

    fn identify(&self, hash: &KeyHash) -> Result<Option<(ApiKey, Customer)>> {
        self.at(read::identify(&self.database, hash))
    }

    fn customer(&self, id: &CustomerId) -> Result<Option<Customer>> {
        self.at(read::customer(&self.database, id))
    }

    fn customers(&self, after: Option<&str>, limit: usize) -> Result<Vec<Customer>> {
        self.at(read::customers(&self.database, after, limit))
    }

    fn keys(&self, customer_id: &CustomerId) -> Result<Vec<ApiKey>> {
        self.at(read::keys(&self.database, customer_id))
    }

    fn counters(&self, customer_id: &CustomerId, period_start: Timestamp) -> Result<Vec<Counter>> {
        self.at(read::counters(&self.database, customer_id, period_start))
    }

    fn quantities(&self, customer_id: &CustomerId, period_start: Timestamp, meter: Meter) -> Result<Quantities> {
        let wanted = BTreeSet::from([(customer_id.clone(), period_start, meter)]);
        let rows = self.at(read::ask(&self.database, quantities::find_statement(&wanted)))?;
        let quantity = |row| self.at(quantities::found(row)).map(|(_, price, quantity)| (price, quantity));
        rows.iter().map(quantity).collect()
    }

    fn credit_grants(&self, customer_id: &CustomerId) -> Result<Vec<CreditGrant>> {
        self.at(credits::grants(&self.database, customer_id))
    }

    fn credit_record(&self, customer_id: &CustomerId, unit: Unit, at: Option<Timestamp>) -> Result<CreditRecord> {
        self.at(credits::record(&self.database, customer_id, unit, at))
    }

    fn hourly_rollups(&self, customer: Option<&CustomerId>, span: Period, visit: Visitor<'_>) -> Result<()> {
        self.at(read::hourly_rollups(&self.database, customer, span, visit))
    }

    fn events(&self, customer: Option<&CustomerId>, span: Period, visit: Visitor<'_>) -> Result<()> {
        self.at(read::events(&self.database, customer, span, visit))
    }

    fn stretches(&self, span: Period) -> Result<Vec<Stretch>> {
        self.at(history::stretches(&self.database, &self.options.schema, span))
    }

    fn recorded_hours(&self, customer: Option<&CustomerId>, span: Period, visit: HistoryVisitor<'_>) -> Result<()> {
        self.at(history::hours(&self.database, customer, span, visit))
    }

    fn history(&self, customer: Option<&CustomerId>, stretch: &Stretch, visit: HistoryVisitor<'_>) -> Result<()> {
        self.at(history::visit(&self.database, customer, stretch, visit))
    }

    fn stripe_event(&self, id: &str) -> Result<Option<StripeEventRow>> {
        let rows = self.at(read::ask(&self.database, stripe_events::event(id)))?;
        rows.first().map(|row| self.at(columns::stripe_event(row))).transpose()
    }

    fn takeover_position(&self, file: &str) -> Result<u64> {
        self.at(read::takeover_position_of(&self.database, file))
    }

    fn leases(&self, customer_id: &CustomerId, quota: Quota, period: Period) -> Result<Vec<Lease>> {
        self.at(read::leases(&self.database, customer_id, quota, period))
    }

    fn recalls(&self) -> Result<Vec<(CustomerId, Quota)>> {
        let recalls = self.at(read::recalls(&self.database))?;
        self.announcements.learn_recalls(!recalls.is_empty());
        Ok(recalls)
    }

    fn may_be_recalling(&self) -> bool {
        self.announcements.may_be_recalling()
    }

    fn holders(&self) -> Result<Vec<HolderId>> {
        self.at(read::holders(&self.database, &self.options.home, &self.options.writer))
    }

    fn fence(&self, holder: &HolderId) -> Result<()> {
        self.at(writer::fence(&self.database, holder))
    }

    fn hurry(&self) {
        self.database.hurry();
    }

    /// Nothing to do: a commit is on the server's disk before it is answered, unless the server was told otherwise.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn maintain(&self) -> Result<()> {
        let changed = self.at(maintenance::run(&self.database, &self.options))?;
        if changed {
            self.writer().forget_partitions();
        }
        Ok(())
    }
}
