//! Setting units aside, settling them, giving them back.
//!
//! What a group's events take out of leases is gathered and written once, and always before anybody asks what is leased.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::columns;
use super::error::Result;
use crate::domain::{CustomerId, HolderId, Meter, Period, Timestamp};
use crate::store::{Lease, LeasePart};

/// Customer, meter, start of the period, holder.
type LeaseKey = (CustomerId, Meter, Timestamp, HolderId);

/// What leaves leases in this group.
#[derive(Default)]
pub struct Settlements(HashMap<LeaseKey, u64>);

impl Settlements {
    pub fn add(&mut self, part: &LeasePart) {
        let LeasePart { holder, customer_id, meter, period_start, units } = part;
        *self.0.entry((customer_id.clone(), *meter, *period_start, holder.clone())).or_default() += units;
    }

    pub fn write(&mut self, connection: &Connection) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut lower = connection.prepare_cached(
            "UPDATE leases SET units = units - :units
             WHERE customer_id = :customer_id AND meter = :meter AND period_start = :period_start AND holder = :holder
                 AND units > :units",
        )?;
        let mut end = connection.prepare_cached(
            "DELETE FROM leases
             WHERE customer_id = ? AND meter = ? AND period_start = ? AND holder = ?
             RETURNING units",
        )?;
        for ((customer_id, meter, period_start, holder), units) in self.0.drain() {
            let (customer_id, meter, holder) = (customer_id.as_str(), meter.as_str(), holder.as_str());
            let period_start = period_start.as_millis();
            let is_some_left = lower.execute(named_params! {
                ":units": units,
                ":customer_id": customer_id,
                ":meter": meter,
                ":period_start": period_start,
                ":holder": holder,
            })?;
            if is_some_left == 0 {
                let key = params![customer_id, meter, period_start, holder];
                let last: Option<u64> = end.query_row(key, |row| row.get(0)).optional()?;
                if last.unwrap_or(0) < units {
                    // It has happened, so it counts; but the limit may have been passed by what is missing.
                    tracing::warn!(customer_id, meter, holder, units, ?last, "a lease did not hold what it paid for");
                }
            }
        }
        Ok(())
    }
}

/// Ends all of a holder's leases.
pub fn end_all(connection: &Connection, holder: &HolderId) -> Result<()> {
    connection.prepare_cached("DELETE FROM leases WHERE holder = ?")?.execute([holder.as_str()])?;
    // Where nobody holds anything any more there is nothing to recall, even if nobody asks again.
    connection
        .prepare_cached(
            "DELETE FROM lease_recalls WHERE NOT EXISTS (
                 SELECT 1 FROM leases
                 WHERE leases.customer_id = lease_recalls.customer_id AND leases.meter = lease_recalls.meter
             )",
        )?
        .execute([])?;
    Ok(())
}

pub fn is_recalled(connection: &Connection, customer_id: &CustomerId, meter: Meter) -> Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM lease_recalls WHERE customer_id = ? AND meter = ?")?;
    Ok(statement.exists([customer_id.as_str(), meter.as_str()])?)
}

pub fn set_recalled(connection: &Connection, customer_id: &CustomerId, meter: Meter, recalled: bool) -> Result<()> {
    let sql = if recalled {
        "INSERT OR IGNORE INTO lease_recalls (customer_id, meter) VALUES (?, ?)"
    } else {
        "DELETE FROM lease_recalls WHERE customer_id = ? AND meter = ?"
    };
    connection.prepare_cached(sql)?.execute([customer_id.as_str(), meter.as_str()])?;
    Ok(())
}

/// How far a holder's journal is recorded.
pub fn journal_position(connection: &Connection, holder: &HolderId) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT position FROM journals WHERE holder = ?")?;
    Ok(statement.query_row([holder.as_str()], |row| row.get(0)).optional()?.unwrap_or(0))
}

pub fn write_positions(connection: &Connection, positions: &mut HashMap<HolderId, u64>) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO journals (holder, position) VALUES (?, ?)
         ON CONFLICT DO UPDATE SET position = excluded.position WHERE excluded.position > position",
    )?;
    for (holder, position) in positions.drain() {
        statement.execute(params![holder.as_str(), position])?;
    }
    Ok(())
}

/// The one statement that makes leases larger.
pub fn set_aside(
    connection: &Connection,
    part: &LeasePart,
    period_end: Timestamp,
    limit: u64,
    used: u64,
) -> Result<bool> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO leases (customer_id, meter, period_start, holder, period_end, units)
         SELECT :customer_id, :meter, :period_start, :holder, :period_end, :units
         WHERE :used + :units + (
             SELECT coalesce(sum(units), 0) FROM leases
             WHERE customer_id = :customer_id AND meter = :meter
                 AND period_start < :period_end AND period_end > :period_start
         ) <= :limit
         ON CONFLICT DO UPDATE SET units = units + excluded.units, period_end = max(period_end, excluded.period_end)",
    )?;
    let changed = statement.execute(named_params! {
        ":customer_id": part.customer_id.as_str(),
        ":meter": part.meter.as_str(),
        ":period_start": part.period_start.as_millis(),
        ":holder": part.holder.as_str(),
        ":period_end": period_end.as_millis(),
        ":units": part.units,
        ":used": used,
        ":limit": limit,
    })?;
    Ok(changed > 0)
}

pub fn overlapping(
    connection: &Connection,
    customer_id: &CustomerId,
    meter: Meter,
    period: Period,
) -> Result<Vec<Lease>> {
    let mut statement = connection.prepare_cached(
        "SELECT holder, period_start, units FROM leases
         WHERE customer_id = ? AND meter = ? AND period_start < ? AND period_end > ?",
    )?;
    let rows = statement.query_map(
        params![customer_id.as_str(), meter.as_str(), period.end.as_millis(), period.start.as_millis()],
        |row| {
            Ok(Lease {
                holder: HolderId::from_stored(row.get(0)?),
                period_start: columns::timestamp(row, 1)?,
                units: row.get(2)?,
            })
        },
    )?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn recalls(connection: &Connection) -> Result<Vec<(CustomerId, Meter)>> {
    let mut statement = connection.prepare_cached("SELECT customer_id, meter FROM lease_recalls")?;
    let rows = statement.query_map([], |row| Ok((CustomerId::from_stored(row.get(0)?), columns::meter(row, 1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn holders(connection: &Connection) -> Result<Vec<HolderId>> {
    let mut statement = connection.prepare_cached("SELECT holder FROM leases UNION SELECT holder FROM journals")?;
    let rows = statement.query_map([], |row| row.get(0).map(HolderId::from_stored))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
