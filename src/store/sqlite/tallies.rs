//! The sums that events are counted into: period counters and hourly rollups.
//!
//! They are read once, kept in memory while a group lasts, and written back at its end: a thousand events of one customer
//! cost one update of his counter. The transaction holds the database's write lock from its beginning, so nobody else can
//! change them meanwhile.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::money;
use super::error::Result;
use crate::domain::{CustomerId, Meter, Money, Standing, Timestamp, UsageEvent};

pub struct Tallies<'c> {
    connection: &'c Connection,
    counters: HashMap<CounterKey, Tally>,
    rollups: HashMap<RollupKey, Tally>,
}

/// Customer, start of the billing period, meter.
pub type CounterKey = (CustomerId, Timestamp, Meter);
/// Customer, hour, meter, endpoint.
pub type RollupKey = (CustomerId, Timestamp, Meter, String);

#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub events: u64,
    pub units: u64,
    pub cost: Money,
}

impl Tally {
    pub fn plus(self, event: &UsageEvent) -> crate::Result<Self> {
        Ok(Self {
            events: self.events + 1,
            units: Standing { limit: None, used: self.units }.plus(event.units)?.used,
            cost: self.cost.checked_add(event.cost)?,
        })
    }
}

impl<'c> Tallies<'c> {
    pub fn new(connection: &'c Connection) -> Self {
        Self { connection, counters: HashMap::new(), rollups: HashMap::new() }
    }

    pub fn set_counter(&mut self, key: CounterKey, tally: Tally) {
        self.counters.insert(key, tally);
    }

    pub fn set_rollup(&mut self, key: RollupKey, tally: Tally) {
        self.rollups.insert(key, tally);
    }

    pub fn counter(&self, key: &CounterKey) -> Result<Tally> {
        if let Some(tally) = self.counters.get(key) {
            return Ok(*tally);
        }
        let (customer_id, period_start, meter) = key;
        let tally = self
            .connection
            .prepare_cached(
                "SELECT 0, units, cost FROM period_counters WHERE customer_id = ? AND period_start = ? AND meter = ?",
            )?
            .query_row(params![customer_id.as_str(), period_start.as_millis(), meter.as_str()], tally)
            .optional()?
            .unwrap_or_default();
        Ok(tally)
    }

    pub fn rollup(&self, key: &RollupKey) -> Result<Tally> {
        if let Some(tally) = self.rollups.get(key) {
            return Ok(*tally);
        }
        let (customer_id, hour, meter, endpoint) = key;
        let tally = self
            .connection
            .prepare_cached(
                "SELECT events, units, cost FROM hourly_rollups
                 WHERE customer_id = ? AND hour = ? AND meter = ? AND endpoint = ?",
            )?
            .query_row(params![customer_id.as_str(), hour.as_millis(), meter.as_str(), endpoint], tally)
            .optional()?
            .unwrap_or_default();
        Ok(tally)
    }

    pub fn write(&mut self) -> Result<()> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO period_counters (customer_id, period_start, meter, units, cost) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET units = excluded.units, cost = excluded.cost",
        )?;
        for ((customer_id, period_start, meter), tally) in self.counters.drain() {
            statement.execute(params![
                customer_id.as_str(),
                period_start.as_millis(),
                meter.as_str(),
                tally.units,
                tally.cost.to_string(),
            ])?;
        }
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO hourly_rollups (customer_id, hour, meter, endpoint, events, units, cost)
             VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET events = excluded.events, units = excluded.units, cost = excluded.cost",
        )?;
        for ((customer_id, hour, meter, endpoint), tally) in self.rollups.drain() {
            statement.execute(params![
                customer_id.as_str(),
                hour.as_millis(),
                meter.as_str(),
                endpoint,
                tally.events,
                tally.units,
                tally.cost.to_string(),
            ])?;
        }
        Ok(())
    }
}

fn tally(row: &rusqlite::Row<'_>) -> rusqlite::Result<Tally> {
    Ok(Tally { events: row.get(0)?, units: row.get(1)?, cost: money(row, 2)? })
}
