//! Setting units aside, settling them, giving them back.
//!
//! What a group's events take out of leases is gathered and written once, and always before anybody asks what is leased.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::columns;
use super::error::Result;
use super::group::Group;
use crate::domain::lease::{Claims, grant};
use crate::domain::{Customer, CustomerId, HolderId, Meter, Period, Standing, Timestamp};
use crate::store::{Applied, Lease, LeasePart, LeaseRequest, Leased, Outcome};

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

impl Group<'_> {
    pub(super) fn lease(&mut self, request: &LeaseRequest) -> Result<Outcome> {
        let LeaseRequest { holder, customer_id, meter, now, wish, urgent } = request;
        self.settlements.write(self.connection)?;
        let known = self.memory.customer(self.connection, customer_id)?;
        let customer = known.unwrap_or_else(|| Customer::new(customer_id.clone(), *now));
        let period = self.period_of(*now);
        let used = self.memory.tallies.counter(self.connection, &(customer_id.clone(), period.start, *meter))?.units;
        let standing = Standing { limit: self.memory.catalog.tiers.limit(Some(&customer), *meter), used };

        let leases = overlapping(self.connection, customer_id, *meter, period)?;
        let others = leases.iter().filter(|lease| lease.holder != *holder).count() as u64;
        let claims = Claims { leased: leases.iter().map(|lease| lease.units).sum(), holders: others + 1 };
        let is_here = |lease: &&Lease| lease.holder == *holder && lease.period_start == period.start;
        let leased_elsewhere = claims.leased - leases.iter().filter(is_here).map(|lease| lease.units).sum::<u64>();
        let recalled = self.is_recalled(customer_id, *meter)?;
        let mut granted = match (recalled, urgent) {
            // What is recalled goes to those who wait, and no more of it than they need.
            (true, false) => 0,
            (true, true) => grant(standing, claims, crate::domain::lease::Wish { wanted: 0, ..*wish }),
            (false, _) => grant(standing, claims, *wish),
        };
        if let (Some(limit), 1..) = (standing.limit, granted) {
            let part = LeasePart {
                holder: holder.clone(),
                customer_id: customer_id.clone(),
                meter: *meter,
                period_start: period.start,
                units: granted,
            };
            if !set_aside(self.connection, &part, period.end, limit, used)? {
                granted = 0;
            }
        }
        let in_vain = granted == 0 && leased_elsewhere > 0 && standing.limit.is_some();
        if *urgent && in_vain != recalled {
            self.recall(customer_id, *meter, in_vain)?;
        }
        Ok(Ok(Applied::Leased(Leased { granted, leased_elsewhere, customer, standing, period })))
    }

    pub(super) fn release(&mut self, part: &LeasePart) -> Result<Outcome> {
        self.settlements.add(part);
        Ok(Ok(Applied::Returned))
    }

    pub(super) fn return_leases(&mut self, holder: &HolderId) -> Result<Outcome> {
        self.settlements.write(self.connection)?;
        self.connection.prepare_cached("DELETE FROM leases WHERE holder = ?")?.execute([holder.as_str()])?;
        // Where nobody holds anything any more there is nothing to recall, even if nobody asks again.
        self.connection
            .prepare_cached(
                "DELETE FROM lease_recalls WHERE NOT EXISTS (
                     SELECT 1 FROM leases
                     WHERE leases.customer_id = lease_recalls.customer_id AND leases.meter = lease_recalls.meter
                 )",
            )?
            .execute([])?;
        Ok(Ok(Applied::Returned))
    }

    /// What all holders have set aside of a limit.
    pub(super) fn leased(&mut self, customer_id: &CustomerId, meter: Meter, period: Period) -> Result<u64> {
        self.settlements.write(self.connection)?;
        Ok(overlapping(self.connection, customer_id, meter, period)?.iter().map(|lease| lease.units).sum())
    }

    fn is_recalled(&self, customer_id: &CustomerId, meter: Meter) -> Result<bool> {
        let mut statement =
            self.connection.prepare_cached("SELECT 1 FROM lease_recalls WHERE customer_id = ? AND meter = ?")?;
        Ok(statement.exists([customer_id.as_str(), meter.as_str()])?)
    }

    pub(super) fn recall(&self, customer_id: &CustomerId, meter: Meter, raise: bool) -> Result<()> {
        let sql = if raise {
            "INSERT OR IGNORE INTO lease_recalls (customer_id, meter) VALUES (?, ?)"
        } else {
            "DELETE FROM lease_recalls WHERE customer_id = ? AND meter = ?"
        };
        self.connection.prepare_cached(sql)?.execute([customer_id.as_str(), meter.as_str()])?;
        Ok(())
    }

    /// How far a holder's journal is recorded.
    pub(super) fn journal_position(&mut self, holder: &HolderId) -> Result<u64> {
        if let Some(position) = self.positions.get(holder) {
            return Ok(*position);
        }
        let mut statement = self.connection.prepare_cached("SELECT position FROM journals WHERE holder = ?")?;
        let position = statement.query_row([holder.as_str()], |row| row.get(0)).optional()?.unwrap_or(0);
        self.positions.insert(holder.clone(), position);
        Ok(position)
    }

    pub(super) fn forget_journal(&mut self, holder: &HolderId) -> Result<Outcome> {
        self.positions.remove(holder);
        self.connection.prepare_cached("DELETE FROM journals WHERE holder = ?")?.execute([holder.as_str()])?;
        Ok(Ok(Applied::Returned))
    }

    pub(super) fn write_positions(&mut self) -> Result<()> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO journals (holder, position) VALUES (?, ?)
             ON CONFLICT DO UPDATE SET position = excluded.position WHERE excluded.position > position",
        )?;
        for (holder, position) in self.positions.drain() {
            statement.execute(params![holder.as_str(), position])?;
        }
        Ok(())
    }
}

/// The one statement that makes leases larger. It does so only where the limit has room for what is used, what all
/// holders have, and this. Periods of two time zones may start together: their lease is one, and reaches as far as the
/// longer one.
fn set_aside(connection: &Connection, part: &LeasePart, period_end: Timestamp, limit: u64, used: u64) -> Result<bool> {
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

/// Those for another period that overlaps this one count too: a change of the time zone moves the periods, and what was
/// set aside before may be spent in either of two.
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
