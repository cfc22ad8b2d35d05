//! A store that is being moved to another one. Nobody else writes to it meanwhile.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use super::event_ids::EventIds;
use super::{alerts, connection, credits, error, migrate, outbox, read, stripe_events};
use crate::domain::{Customer, Subscription};
use crate::store::migration::position::{
    CounterPosition, EntryPosition, GrantPosition, QuantityPosition, ReportPosition, RollupPosition, Stamp,
};
use crate::store::migration::rows::{
    Counted, MovedAlert, MovedEntry, MovedEvent, MovedGrant, MovedKey, MovedRefund, MovedReport, Rollup, TakenOver,
    UnderPrice,
};
use crate::store::migration::totals::Totals;
use crate::store::{Catalog, Durability, StripeEventRow};
use crate::{Code, Error, Result};

mod rows;
mod sums;

/// A SQLite store of which a transaction keeps all others from writing, as long as this exists.
pub struct Export {
    path: PathBuf,
    connection: Connection,
    event_ids: EventIds,
}

/// Where a store was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The id of the store that it was moved to.
    pub store: String,
    /// For people: where that is, without a password.
    pub place: String,
}

impl Export {
    /// Opens a store that is there, and brings its schema up to date.
    ///
    /// Errors: those of [`super::SqliteStore::open`].
    pub fn open(path: &Path) -> Result<Self> {
        let mut connection = connection::open_writer(path, Durability::Power)?;
        let open = |connection: &mut Connection| {
            migrate::run(connection, path)?;
            connection.execute(
                "INSERT OR IGNORE INTO settings (name, value) VALUES ('store_id', lower(hex(randomblob(16))))",
                [],
            )?;
            let event_ids = EventIds::learn(connection)?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(event_ids)
        };
        let event_ids = open(&mut connection).map_err(|error: error::SqliteError| error.at(path))?;
        Ok(Self { path: path.to_owned(), connection, event_ids })
    }

    /// Opens a store that is there, to look at. Others may write to it.
    pub fn look(path: &Path) -> Result<Self> {
        let mut connection = connection::open_reader(path)?;
        let check = |connection: &mut Connection| {
            migrate::check(connection, path)?;
            // One moment for all that is read.
            Ok(connection.execute_batch("BEGIN")?)
        };
        check(&mut connection).map_err(|error: error::SqliteError| error.at(path))?;
        Ok(Self { path: path.to_owned(), connection, event_ids: EventIds::default() })
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> error::Result<T>) -> Result<T> {
        read(&self.connection).map_err(|error| error.at(&self.path))
    }

    /// What tells this store from all others, wherever its file lies. `None`: nobody has asked for it so far.
    pub fn known_id(&self) -> Result<Option<String>> {
        self.read(|connection| setting(connection, "store_id"))
    }

    pub fn id(&self) -> Result<String> {
        self.known_id()?.ok_or_else(|| Error::new(Code::StoreCorrupt, "the store has no id"))
    }

    /// Where it was moved, if it was.
    pub fn mark(&self) -> Result<Option<Mark>> {
        self.read(mark)
    }

    /// What it must be like for nothing to have changed. The seed's files are those of `home`.
    pub fn stamp(&self, home: &str) -> Result<Stamp> {
        self.read(|connection| {
            let number = |sql| connection.query_row(sql, [], |row| row.get(0));
            Ok(Stamp {
                revision: read::revision(connection)?,
                events: number("SELECT coalesce(max(sequence), 0) FROM events")?,
                customers: number("SELECT count(*) FROM customers")?,
                stripe_events: [
                    number("SELECT count(*) FROM stripe_events")?,
                    number("SELECT count(*) FROM stripe_events WHERE state <> 'claimed'")?,
                    number("SELECT coalesce(max(changed_at), 0) FROM stripe_events")?,
                ],
                outbox: rows::outbox_stamp(connection)?,
                credits: [
                    number("SELECT coalesce(sum(length(definition)), 0) FROM credit_grants")?,
                    number("SELECT count(*) FROM credit_refunds")?,
                ],
                alerts: [
                    number("SELECT count(*) FROM alerts")?,
                    number("SELECT coalesce(sum(attempts), 0) FROM alerts")?,
                ],
                taken_over: number("SELECT coalesce(sum(position), 0) FROM takeovers")?,
                home: home.to_owned(),
            })
        })
    }

    /// Whether units are set aside, or journals are recorded in part: then processes use the store.
    pub fn has_holders(&self) -> Result<bool> {
        Ok(!self.read(super::leases::holders)?.is_empty())
    }

    /// How many rows there are; units and cost are left out.
    pub fn sizes(&self) -> Result<Totals> {
        self.read(rows::sizes)
    }

    /// What all that use it agree on.
    pub fn catalog(&self) -> Result<Catalog> {
        self.read(|connection| read::catalog(connection, None))
    }

    /// By id, beginning after one.
    pub fn customers(&self, after: &str, limit: usize) -> Result<Vec<Customer>> {
        self.read(|connection| read::customers(connection, Some(after), limit))
    }

    /// By id, beginning after one.
    pub fn keys(&self, after: &str, limit: usize) -> Result<Vec<MovedKey>> {
        self.read(|connection| rows::keys(connection, after, limit))
    }

    /// In the order of recording, beginning after one.
    pub fn events(&mut self, after: u64, limit: usize) -> Result<Vec<MovedEvent>> {
        rows::events(&self.connection, &mut self.event_ids, after, limit).map_err(|error| error.at(&self.path))
    }

    /// By customer, period and meter, beginning after one.
    pub fn counters(&self, after: &CounterPosition, limit: usize) -> Result<Vec<Counted>> {
        self.read(|connection| rows::counters(connection, after, limit))
    }

    /// By customer, period, meter and price, beginning after one.
    pub fn quantities(&self, after: &QuantityPosition, limit: usize) -> Result<Vec<UnderPrice>> {
        self.read(|connection| rows::quantities(connection, after, limit))
    }

    /// By customer, hour, meter and endpoint, beginning after one.
    pub fn rollups(&self, after: &RollupPosition, limit: usize) -> Result<Vec<Rollup>> {
        self.read(|connection| rows::rollups(connection, after, limit))
    }

    /// By id, beginning after one.
    pub fn subscriptions(&self, after: &str, limit: usize) -> Result<Vec<Subscription>> {
        self.read(|connection| stripe_events::subscriptions(connection, after, limit))
    }

    /// By id, beginning after one.
    pub fn stripe_events(&self, after: &str, limit: usize) -> Result<Vec<StripeEventRow>> {
        self.read(|connection| stripe_events::events(connection, after, limit))
    }

    /// By customer and id, beginning after one.
    pub fn reports(&self, after: &ReportPosition, limit: usize) -> Result<Vec<MovedReport>> {
        self.read(|connection| outbox::moved(connection, after, limit))
    }

    /// By id, beginning after one.
    pub fn alerts(&self, after: &str, limit: usize) -> Result<Vec<MovedAlert>> {
        self.read(|connection| alerts::moved(connection, after, limit))
    }

    /// By customer and id, beginning after one.
    pub fn grants(&self, after: &GrantPosition, limit: usize) -> Result<Vec<MovedGrant>> {
        self.read(|connection| credits::moved_grants(connection, after, limit))
    }

    /// By customer, unit and instant, beginning after one.
    pub fn credit_entries(&self, after: &EntryPosition, limit: usize) -> Result<Vec<MovedEntry>> {
        self.read(|connection| credits::moved_entries(connection, after, limit))
    }

    /// By customer and id, beginning after one.
    pub fn credit_refunds(&self, after: &GrantPosition, limit: usize) -> Result<Vec<MovedRefund>> {
        self.read(|connection| credits::moved_refunds(connection, after, limit))
    }

    /// Under the names that they have on a store that several machines share, with a home for each.
    pub fn takeovers(&self, home: &str) -> Result<Vec<TakenOver>> {
        self.read(|connection| rows::takeovers(connection, home))
    }

    /// How many ids of events are remembered.
    pub fn event_ids(&self) -> Result<u64> {
        self.read(rows::event_ids)
    }

    /// Adds all events up, by customer, period and meter; visits the sums of some customers at a time, in their order.
    pub fn sums(&self, at_least: usize, visit: impl FnMut(Vec<Counted>) -> Result<()>) -> Result<()> {
        self.read(|connection| sums::run(connection, at_least, visit))
    }

    /// Nobody opens it any more from now on. Whoever waited to write goes on, and finds that out when he opens it again.
    pub fn mark_moved(&self, moved: &Mark) -> Result<()> {
        let text = serde_json::to_string(moved)
            .map_err(|error| Error::new(Code::Internal, format!("a mark cannot be written: {error}")))?;
        self.read(|connection| {
            connection.execute(
                "INSERT INTO settings (name, value) VALUES ('moved_to', ?)
                 ON CONFLICT DO UPDATE SET value = excluded.value",
                [text],
            )?;
            Ok(connection.execute_batch("COMMIT")?)
        })
    }
}

/// A store that was moved takes no events any more: they would be counted nowhere.
pub fn refuse_moved(connection: &Connection, path: &Path) -> Result<()> {
    let Some(Mark { place, .. }) = mark(connection).map_err(|error| error.at(path))? else { return Ok(()) };
    let message = format!(
        "{} was moved to {place}; open that one with `store`, or call `weighbridge migrate-store` again where that has \
         not finished",
        path.display()
    );
    Err(Error::new(Code::StoreMoved, message))
}

fn mark(connection: &Connection) -> error::Result<Option<Mark>> {
    let Some(text) = setting(connection, "moved_to")? else { return Ok(None) };
    let mark = serde_json::from_str(&text);
    Ok(Some(mark.map_err(|_| Error::new(Code::StoreCorrupt, "the mark of a moved store cannot be read"))?))
}

fn setting(connection: &Connection, name: &str) -> error::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT value FROM settings WHERE name = ?")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}
