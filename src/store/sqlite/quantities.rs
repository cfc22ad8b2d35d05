//! What was used under prices, as far as it is known: like the sums of `tallies`, it is read once and written at the end of
//! a group.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::columns;
use super::error::Result;
use crate::domain::invoice::{Quantities, Quantity};
use crate::domain::{CustomerId, Timestamp};
use crate::store::group::{CounterKey, RatedEvent};

#[derive(Default)]
pub struct KnownQuantities {
    by_meter: HashMap<CounterKey, Quantities>,
    changed: HashSet<(CounterKey, String)>,
}

impl KnownQuantities {
    pub fn len(&self) -> usize {
        self.by_meter.len()
    }

    pub fn get(&mut self, connection: &Connection, key: &CounterKey) -> Result<&mut Quantities> {
        if !self.by_meter.contains_key(key) {
            let (customer_id, period_start, meter) = key;
            let quantities = read(connection, customer_id, *period_start, meter.as_str())?;
            self.by_meter.insert(key.clone(), quantities);
        }
        Ok(self.by_meter.entry(key.clone()).or_default())
    }

    pub fn set(&mut self, connection: &Connection, key: &CounterKey, price: &str, quantity: Quantity) -> Result<()> {
        self.get(connection, key)?.insert(price.to_owned(), quantity);
        self.changed.insert((key.clone(), price.to_owned()));
        Ok(())
    }

    /// For others are going to be written.
    pub fn forget(&mut self) {
        self.by_meter.clear();
        self.changed.clear();
    }

    /// Writes what has changed.
    pub fn write(&mut self, connection: &Connection) -> Result<()> {
        for (key, price) in self.changed.drain() {
            let Some(quantity) = self.by_meter.get(&key).and_then(|quantities| quantities.get(&price)) else {
                continue;
            };
            put(connection, &key, &price, *quantity)?;
        }
        Ok(())
    }
}

pub fn put(connection: &Connection, key: &CounterKey, price: &str, quantity: Quantity) -> Result<()> {
    let (customer_id, period_start, meter) = key;
    let (start, Quantity { units, events }) = (period_start.as_millis(), quantity);
    connection
        .prepare_cached(
            "INSERT INTO period_quantities (customer_id, period_start, meter, price, units, events)
             VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET units = excluded.units, events = excluded.events",
        )?
        .execute(params![customer_id.as_str(), start, meter.as_str(), price, units, events])?;
    Ok(())
}

pub fn read(
    connection: &Connection,
    customer_id: &CustomerId,
    period_start: Timestamp,
    meter: &str,
) -> Result<Quantities> {
    let mut statement = connection.prepare_cached(
        "SELECT price, units, events FROM period_quantities WHERE customer_id = ? AND period_start = ? AND meter = ?",
    )?;
    let rows = statement.query_map(params![customer_id.as_str(), period_start.as_millis(), meter], |row| {
        Ok((row.get(0)?, Quantity { units: row.get(1)?, events: row.get(2)? }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn delete(connection: &Connection, customer_id: &CustomerId) -> Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM period_quantities WHERE customer_id = ?")?;
    statement.execute([customer_id.as_str()])?;
    Ok(())
}

pub fn rated_events(connection: &Connection, customer_id: &CustomerId) -> Result<Vec<RatedEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT timestamp, meter, price, units FROM events WHERE customer_id = ? AND price IS NOT NULL",
    )?;
    let rows = statement.query_map([customer_id.as_str()], |row| {
        let (at, meter) = (columns::timestamp(row, 0)?, columns::meter(row, 1)?);
        Ok(RatedEvent { at, meter, price: row.get(2)?, units: row.get(3)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
