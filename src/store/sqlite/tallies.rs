//! The sums that events are counted into, as far as they are known.
//!
//! What was read or written once stays known, so a thousand events of one customer cost one update of his counter, and the
//! next group need not read it again. The owner forgets everything as soon as anybody else has written.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::money;
use super::error::Result;
use crate::store::group::{CounterKey, RollupKey, Tally};

#[derive(Default)]
pub struct Tallies {
    counters: HashMap<CounterKey, Tally>,
    rollups: HashMap<RollupKey, Tally>,
    changed_counters: HashSet<CounterKey>,
    changed_rollups: HashSet<RollupKey>,
}

impl Tallies {
    pub fn len(&self) -> usize {
        self.counters.len() + self.rollups.len()
    }

    pub fn forget_counters(&mut self) {
        self.counters.clear();
        self.changed_counters.clear();
    }

    pub fn set_counter(&mut self, key: CounterKey, tally: Tally) {
        self.changed_counters.insert(key.clone());
        self.counters.insert(key, tally);
    }

    pub fn set_rollup(&mut self, key: RollupKey, tally: Tally) {
        self.changed_rollups.insert(key.clone());
        self.rollups.insert(key, tally);
    }

    pub fn counter(&mut self, connection: &Connection, key: &CounterKey) -> Result<Tally> {
        if let Some(tally) = self.counters.get(key) {
            return Ok(*tally);
        }
        let (customer_id, period_start, meter) = key;
        let tally = connection
            .prepare_cached(
                "SELECT 0, units, cost FROM period_counters WHERE customer_id = ? AND period_start = ? AND meter = ?",
            )?
            .query_row(params![customer_id.as_str(), period_start.as_millis(), meter.as_str()], tally)
            .optional()?
            .unwrap_or_default();
        self.counters.insert(key.clone(), tally);
        Ok(tally)
    }

    pub fn rollup(&mut self, connection: &Connection, key: &RollupKey) -> Result<Tally> {
        if let Some(tally) = self.rollups.get(key) {
            return Ok(*tally);
        }
        let (customer_id, hour, meter, endpoint) = key;
        let tally = connection
            .prepare_cached(
                "SELECT events, units, cost FROM hourly_rollups
                 WHERE customer_id = ? AND hour = ? AND meter = ? AND endpoint = ?",
            )?
            .query_row(params![customer_id.as_str(), hour.as_millis(), meter.as_str(), endpoint], tally)
            .optional()?
            .unwrap_or_default();
        self.rollups.insert(key.clone(), tally);
        Ok(tally)
    }

    /// Writes what has changed.
    pub fn write(&mut self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO period_counters (customer_id, period_start, meter, units, cost) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET units = excluded.units, cost = excluded.cost",
        )?;
        for key in self.changed_counters.drain() {
            let Some(tally) = self.counters.get(&key) else { continue };
            let (customer_id, period_start, meter) = key;
            statement.execute(params![
                customer_id.as_str(),
                period_start.as_millis(),
                meter.as_str(),
                tally.units,
                tally.cost.to_string(),
            ])?;
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO hourly_rollups (customer_id, hour, meter, endpoint, events, units, cost)
             VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET events = excluded.events, units = excluded.units, cost = excluded.cost",
        )?;
        for key in self.changed_rollups.drain() {
            let Some(tally) = self.rollups.get(&key) else { continue };
            let (customer_id, hour, meter, endpoint) = key;
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
