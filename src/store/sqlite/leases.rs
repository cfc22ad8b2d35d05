//! Setting units aside, settling them, giving them back.
//!
//! What a group's events take out of leases is gathered and written once, and always before anybody asks what is leased.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::columns;
use super::error::Result;
use crate::domain::{CustomerId, Frame, HolderId, Period, Quota, Standing, Timestamp};
use crate::store::{Lease, LeasePart};

/// Customer, quota, start of the period, holder.
type LeaseKey = (CustomerId, Quota, Timestamp, HolderId);

/// What leaves leases in this group.
#[derive(Default)]
pub struct Settlements(HashMap<LeaseKey, u64>);

impl Settlements {
    pub fn add(&mut self, part: &LeasePart) {
        let LeasePart { holder, customer_id, quota, period_start, units } = part;
        *self.0.entry((customer_id.clone(), *quota, *period_start, holder.clone())).or_default() += units;
    }

    pub fn write(&mut self, connection: &Connection) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut lower = connection.prepare_cached(
            "UPDATE leases SET units = units - :units
             WHERE customer_id = :customer_id AND quota = :quota AND period_start = :period_start AND holder = :holder
                 AND units > :units",
        )?;
        let mut end = connection.prepare_cached(
            "DELETE FROM leases
             WHERE customer_id = ? AND quota = ? AND period_start = ? AND holder = ?
             RETURNING units",
        )?;
        for ((customer_id, quota, period_start, holder), units) in self.0.drain() {
            let (customer_id, quota, holder) = (customer_id.as_str(), quota.name(), holder.as_str());
            let period_start = period_start.as_millis();
            let is_some_left = lower.execute(named_params! {
                ":units": units,
                ":customer_id": customer_id,
                ":quota": quota,
                ":period_start": period_start,
                ":holder": holder,
            })?;
            if is_some_left == 0 {
                let key = params![customer_id, quota, period_start, holder];
                let last: Option<u64> = end.query_row(key, |row| row.get(0)).optional()?;
                if last.unwrap_or(0) < units {
                    // It has happened, so it counts; but the limit may have been passed by what is missing.
                    tracing::warn!(customer_id, %quota, holder, units, ?last, "a lease did not hold what it paid for");
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
                 WHERE leases.customer_id = lease_recalls.customer_id AND leases.quota = lease_recalls.quota
             )",
        )?
        .execute([])?;
    Ok(())
}

pub fn is_recalled(connection: &Connection, customer_id: &CustomerId, quota: Quota) -> Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM lease_recalls WHERE customer_id = ? AND quota = ?")?;
    Ok(statement.exists(params![customer_id.as_str(), quota.name()])?)
}

pub fn set_recalled(connection: &Connection, customer_id: &CustomerId, quota: Quota, recalled: bool) -> Result<()> {
    let sql = if recalled {
        "INSERT OR IGNORE INTO lease_recalls (customer_id, quota) VALUES (?, ?)"
    } else {
        "DELETE FROM lease_recalls WHERE customer_id = ? AND quota = ?"
    };
    connection.prepare_cached(sql)?.execute(params![customer_id.as_str(), quota.name()])?;
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
pub fn set_aside(connection: &Connection, part: &LeasePart, frame: Frame, standing: Standing) -> Result<bool> {
    let Some(limit) = standing.limit else { return Ok(false) };
    let mut statement = connection.prepare_cached(
        "INSERT INTO leases (customer_id, quota, period_start, holder, period_end, units)
         SELECT :customer_id, :quota, :period_start, :holder, :period_end, :units
         WHERE :used + :units + (
             SELECT coalesce(sum(units), 0) FROM leases
             WHERE customer_id = :customer_id AND quota = :quota
                 AND period_start < :span_end AND period_end > :span_start
         ) <= :limit
         ON CONFLICT DO UPDATE SET units = units + excluded.units, period_end = max(period_end, excluded.period_end)",
    )?;
    let changed = statement.execute(named_params! {
        ":customer_id": part.customer_id.as_str(),
        ":quota": part.quota.name(),
        ":period_start": part.period_start.as_millis(),
        ":holder": part.holder.as_str(),
        ":period_end": frame.period.end.as_millis(),
        ":units": part.units,
        ":used": standing.used,
        ":limit": limit,
        ":span_start": frame.span.start.as_millis(),
        ":span_end": frame.span.end.as_millis(),
    })?;
    Ok(changed > 0)
}

pub fn overlapping(
    connection: &Connection,
    customer_id: &CustomerId,
    quota: Quota,
    span: Period,
) -> Result<Vec<Lease>> {
    let mut statement = connection.prepare_cached(
        "SELECT holder, period_start, units, period_end FROM leases
         WHERE customer_id = ? AND quota = ? AND period_start < ? AND period_end > ?",
    )?;
    let rows = statement.query_map(
        params![customer_id.as_str(), quota.name(), span.end.as_millis(), span.start.as_millis()],
        |row| {
            Ok(Lease {
                holder: HolderId::from_stored(row.get(0)?),
                period_start: columns::timestamp(row, 1)?,
                period_end: columns::timestamp(row, 3)?,
                units: row.get(2)?,
            })
        },
    )?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn recalls(connection: &Connection) -> Result<Vec<(CustomerId, Quota)>> {
    let mut statement = connection.prepare_cached("SELECT customer_id, quota FROM lease_recalls")?;
    let rows = statement.query_map([], |row| Ok((CustomerId::from_stored(row.get(0)?), columns::quota(row, 1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn holders(connection: &Connection) -> Result<Vec<HolderId>> {
    let mut statement = connection.prepare_cached("SELECT holder FROM leases UNION SELECT holder FROM journals")?;
    let rows = statement.query_map([], |row| row.get(0).map(HolderId::from_stored))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
