//! A schema into which another store is being moved. No engine opens it before that is complete.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::database::{Database, Purpose, Statement};
use super::error::Result as PostgresResult;
use super::options::{Address, Schema};
use super::partitions::{Month, Partitioned, Partitions};
use super::{alerts, columns, credits, migrate, outbox, quantities, read, stripe_events, write};
use crate::domain::invoice::Quantities;
use crate::domain::{Customer, Subscription};
use crate::store::migration::position::{
    CounterPosition, EntryPosition, GrantPosition, Position, QuantityPosition, ReportPosition, RollupPosition,
};
use crate::store::migration::rows::{
    Counted, MovedAlert, MovedEntry, MovedEvent, MovedGrant, MovedKey, MovedRefund, MovedReport, Rollup, TakenOver,
    UnderPrice, without_nul,
};
use crate::store::sqlite::Mark;
use crate::store::{Catalog, StripeEventRow};
use crate::{Code, Error, Result};

mod claim;
mod rows;
mod sums;

pub use claim::refuse_unfinished;
pub use sums::Months;

/// A PostgreSQL store that takes what another one holds.
pub struct Import {
    schema: Schema,
    database: Database,
    partitions: Partitions,
}

impl Import {
    /// Connects to the database, makes the schema if need be, and brings it up to date.
    ///
    /// Errors: those of [`super::PostgresStore::open`].
    pub fn open(address: &Address, schema: &Schema) -> Result<Self> {
        let import = Self::connect(address, schema)?;
        import.at(migrate::run(&import.database, schema))?;
        Ok(import)
    }

    /// Connects to the database, and changes nothing. `None`: there is no such schema yet, or an empty one.
    pub fn look(address: &Address, schema: &Schema) -> Result<Option<Self>> {
        let import = Self::connect(address, schema)?;
        let is_there = import.at(migrate::is_there(&import.database, schema))?;
        Ok(is_there.then_some(import))
    }

    fn connect(address: &Address, schema: &Schema) -> Result<Self> {
        let place = address.place();
        let database = Database::connect(address, schema).map_err(|error| error.at(&place))?;
        Ok(Self { schema: schema.clone(), database, partitions: Partitions::default() })
    }

    fn at<T>(&self, result: PostgresResult<T>) -> Result<T> {
        result.map_err(|error| error.at(&self.database.place))
    }

    /// Begins a migration, or goes on with it.
    ///
    /// Errors: `store_not_empty`, `store_in_use`.
    pub fn claim(&self, start: &Position) -> Result<Position> {
        self.at(claim::claim(&self.database, &self.place(), start))
    }

    /// What [`Import::claim`] would say, without beginning anything. `source` has no id before it is moved first.
    pub fn may_claim(&self, source: Option<&str>) -> Result<Option<Position>> {
        self.at(claim::look(&self.database, &self.place(), source))
    }

    /// What the other store says of where it was moved.
    pub fn mark(&self) -> Result<Mark> {
        Ok(Mark { store: self.at(read::store_id(&self.database))?, place: self.place() })
    }

    fn place(&self) -> String {
        format!("{}, schema {:?}", self.database.place, self.schema.as_str())
    }

    /// Copies events, with the ids that are remembered.
    pub fn write_events(&mut self, events: &[MovedEvent], position: &Position, next: &Position) -> Result<()> {
        let months = events.iter().flat_map(|moved| {
            let ids = moved.fingerprint.map(|_| (Partitioned::EventIds, Month::of(moved.recorded_at)));
            [(Partitioned::Events, Month::of(moved.event.timestamp))].into_iter().chain(ids)
        });
        let made = self.partitions.ensure(&self.database, &self.schema, months);
        self.at(made)?;
        self.advance(position, next, &rows::event_statements(events))
    }

    /// Copies customers.
    pub fn write_customers(&self, customers: &[Customer], position: &Position, next: &Position) -> Result<()> {
        let customers = self.at(write::customer_statement(customers.iter()))?;
        self.advance(position, next, &Vec::from_iter(customers))
    }

    /// Copies API keys.
    pub fn write_keys(&self, keys: &[MovedKey], position: &Position, next: &Position) -> Result<()> {
        self.advance(position, next, &Vec::from_iter(rows::key_statement(keys)))
    }

    /// Copies what was used in billing periods.
    pub fn write_counters(&self, counters: Vec<Counted>, position: &Position, next: &Position) -> Result<()> {
        self.advance(position, next, &Vec::from_iter(write::counter_statement(&counters.into_iter().collect())))
    }

    /// Copies what was used under prices.
    pub fn write_quantities(&self, rows: &[UnderPrice], position: &Position, next: &Position) -> Result<()> {
        let mut by_meter: BTreeMap<_, Quantities> = BTreeMap::new();
        for (key, price, quantity) in rows {
            by_meter.entry(key.clone()).or_default().insert(price.clone(), *quantity);
        }
        self.advance(position, next, &Vec::from_iter(quantities::put_statement(&by_meter)))
    }

    /// Copies what was used in hours.
    pub fn write_rollups(&self, rollups: Vec<Rollup>, position: &Position, next: &Position) -> Result<()> {
        let storable =
            |((customer, hour, meter, endpoint), tally)| ((customer, hour, meter, without_nul(endpoint)), tally);
        let rollups = rollups.into_iter().map(storable).collect();
        self.advance(position, next, &Vec::from_iter(write::rollup_statement(&rollups)))
    }

    /// Copies what Stripe has told of subscriptions.
    pub fn write_subscriptions(&self, rows: &[Subscription], position: &Position, next: &Position) -> Result<()> {
        self.advance(position, next, &[self.at(stripe_events::put_subscriptions(rows))?])
    }

    /// Copies which events Stripe has delivered.
    pub fn write_stripe_events(&self, rows: &[StripeEventRow], position: &Position, next: &Position) -> Result<()> {
        self.advance(position, next, &[stripe_events::put_events(rows)])
    }

    /// Copies the outbox.
    pub fn write_reports(&self, reports: &[MovedReport], position: &Position, next: &Position) -> Result<()> {
        self.advance(position, next, &Vec::from_iter(outbox::moved_statement(reports)))
    }

    /// Copies the grants of credit.
    pub fn write_grants(&self, grants: &[MovedGrant], position: &Position, next: &Position) -> Result<()> {
        self.advance(position, next, &[credits::put_grants(grants)])
    }

    /// Copies the entries of the books of credits.
    pub fn write_credit_entries(&self, entries: &[MovedEntry], position: &Position, next: &Position) -> Result<()> {
        self.advance(position, next, &Vec::from_iter(self.at(credits::entry_statement(entries))?))
    }

    /// Copies the refunds of credit.
    pub fn write_credit_refunds(&self, refunds: &[MovedRefund], position: &Position, next: &Position) -> Result<()> {
        self.advance(position, next, &[credits::put_refunds(refunds)])
    }

    /// Copies the alerts.
    pub fn write_alerts(&self, alerts: &[MovedAlert], position: &Position, next: &Position) -> Result<()> {
        self.advance(position, next, &[alerts::put_statement(alerts)])
    }

    /// Copies the catalog, and how far the seed's files were taken over.
    pub fn write_settings(
        &self,
        catalog: &Catalog,
        takeovers: &[TakenOver],
        position: &Position,
        next: &Position,
    ) -> Result<()> {
        let statements = self.at(rows::settings_statements(catalog, takeovers, position.events))?;
        self.advance(position, next, &statements)
    }

    /// Goes on to the next stage. After the last one engines open the schema.
    pub fn move_on(&self, position: &Position, next: &Position) -> Result<()> {
        self.advance(position, next, &[])
    }

    /// Moves the position and what it tells of, both or neither.
    fn advance(&self, position: &Position, next: &Position, statements: &[Statement]) -> Result<()> {
        self.at(self.advance_from(position, next, statements))
    }

    fn advance_from(&self, position: &Position, next: &Position, statements: &[Statement]) -> PostgresResult<()> {
        let mut session = self.database.begin(Purpose::Move)?;
        let moved = session.run_one(
            Statement::new("UPDATE settings SET value = $2 WHERE name = 'migration' AND value = $1 RETURNING 1")
                .text(claim::to_text(position)?)
                .text(claim::to_text(next)?),
        )?;
        if moved.is_empty() {
            let message = format!("another run moves a store into {}; let only one of them run", self.place());
            return Err(Error::new(Code::StoreBusy, message).into());
        }
        session.finish(statements).map(drop)
    }

    /// The catalog that was copied.
    pub fn catalog(&self) -> Result<Catalog> {
        Ok(self.at(read::catalog(&self.database, None))?.1)
    }

    /// By id, beginning after one.
    pub fn customers(&self, after: &str, limit: usize) -> Result<Vec<Customer>> {
        self.at(read::customers(&self.database, Some(after), limit))
    }

    /// By id, beginning after one.
    pub fn keys(&self, after: &str, limit: usize) -> Result<Vec<MovedKey>> {
        self.at(rows::keys(&self.database, after, limit))
    }

    /// By customer, period and meter, beginning after one.
    pub fn counters(&self, after: &CounterPosition, limit: usize) -> Result<Vec<Counted>> {
        self.at(rows::counters(&self.database, after, limit))
    }

    /// Those of the customers after one, to another one.
    pub fn counters_of(&self, after: &str, last: &str) -> Result<Vec<Counted>> {
        self.at(rows::counters_of(&self.database, after, last))
    }

    /// By customer, period, meter and price, beginning after one.
    pub fn quantities(&self, after: &QuantityPosition, limit: usize) -> Result<Vec<UnderPrice>> {
        self.at(rows::quantities(&self.database, after, limit))
    }

    /// By customer, hour, meter and endpoint, beginning after one.
    pub fn rollups(&self, after: &RollupPosition, limit: usize) -> Result<Vec<Rollup>> {
        self.at(rows::rollups(&self.database, after, limit))
    }

    /// By id, beginning after one.
    pub fn subscriptions(&self, after: &str, limit: usize) -> Result<Vec<Subscription>> {
        let rows = self.at(ask(&self.database, stripe_events::subscriptions(after, rows::page(limit))))?;
        self.at(rows.iter().map(columns::subscription).collect())
    }

    /// By id, beginning after one.
    pub fn stripe_events(&self, after: &str, limit: usize) -> Result<Vec<StripeEventRow>> {
        let rows = self.at(ask(&self.database, stripe_events::events(after, rows::page(limit))))?;
        self.at(rows.iter().map(columns::stripe_event).collect())
    }

    /// By customer and id, beginning after one.
    pub fn reports(&self, after: &ReportPosition, limit: usize) -> Result<Vec<MovedReport>> {
        let rows = ask(&self.database, outbox::moved_after(after, limit));
        self.at(rows.and_then(|rows| rows.iter().map(outbox::moved).collect()))
    }

    /// By id, beginning after one.
    pub fn alerts(&self, after: &str, limit: usize) -> Result<Vec<MovedAlert>> {
        let rows = ask(&self.database, alerts::moved_statement(after, rows::page(limit)));
        self.at(rows.and_then(|rows| rows.iter().map(alerts::moved).collect()))
    }

    /// By customer and id, beginning after one.
    pub fn grants(&self, after: &GrantPosition, limit: usize) -> Result<Vec<MovedGrant>> {
        let rows = ask(&self.database, credits::moved_grants_statement(after, rows::page(limit)));
        self.at(rows.and_then(|rows| rows.iter().map(credits::moved_grant).collect()))
    }

    /// By customer, unit and instant, beginning after one.
    pub fn credit_entries(&self, after: &EntryPosition, limit: usize) -> Result<Vec<MovedEntry>> {
        let rows = ask(&self.database, credits::moved_entries_statement(after, rows::page(limit)));
        self.at(rows.and_then(|rows| rows.iter().map(credits::moved_entry).collect()))
    }

    /// By customer and id, beginning after one.
    pub fn credit_refunds(&self, after: &GrantPosition, limit: usize) -> Result<Vec<MovedRefund>> {
        let rows = ask(&self.database, credits::moved_refunds_statement(after, rows::page(limit)));
        self.at(rows.and_then(|rows| rows.iter().map(credits::moved_refund).collect()))
    }

    /// How far the seed's files were taken over.
    pub fn takeovers(&self) -> Result<Vec<TakenOver>> {
        self.at(rows::takeovers(&self.database))
    }

    /// How many ids of events are remembered, each customer's by themselves.
    pub fn event_ids(&self) -> Result<u64> {
        self.at(rows::event_ids(&self.database))
    }

    /// The calendar months in which there are events.
    pub fn months(&self) -> Result<Months> {
        self.at(sums::months(&self.database))
    }

    /// Adds up the events of the customers after one, to another one or to the last, by customer, period and meter.
    pub fn sums(&self, months: &Months, after: &str, last: Option<&str>) -> Result<Vec<Counted>> {
        self.at(sums::run(&self.database, months, after, last))
    }
}

fn ask(database: &Database, statement: Statement) -> PostgresResult<Vec<Row>> {
    Ok(database.begin(Purpose::Report)?.finish(&[statement])?.pop().unwrap_or_default())
}
