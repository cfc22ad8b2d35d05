//! Credits: grants, the entries of their books, refunds.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{self, unreadable};
use super::error::Result;
use crate::domain::credit::{CreditGrant, Entry, GrantId, Snapshot, Unit};
use crate::domain::{CustomerId, Decimal, Timestamp};
use crate::store::group::Credit;
use crate::store::migration::position::{EntryPosition, GrantPosition};
use crate::store::migration::rows::{MovedEntry, MovedGrant, MovedRefund};
use crate::store::{CreditRecord, CreditRefund};

/// The columns that [`entry`] reads, in its order.
macro_rules! entry_columns {
    () => {
        "at, number, used, refunded, is_reset, snapshot"
    };
}

pub fn credit(connection: &Connection, customer_id: &CustomerId) -> Result<Credit> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        entry_columns!(),
        " FROM credit_entries WHERE customer_id = ? AND unit = ? ORDER BY at DESC LIMIT 1"
    ))?;
    let grants = grants(connection, customer_id)?;
    let units: BTreeSet<Unit> = grants.iter().map(|given| given.request.unit).collect();
    let mut last = Vec::new();
    for unit in units {
        let found = statement.query_row([customer_id.as_str(), unit.as_str()], entry).optional()?;
        last.extend(found.map(|entry| (unit, entry)));
    }
    Ok(Credit::open(grants, last)?)
}

pub fn grants(connection: &Connection, customer_id: &CustomerId) -> Result<Vec<CreditGrant>> {
    let mut statement =
        connection.prepare_cached("SELECT definition FROM credit_grants WHERE customer_id = ? ORDER BY id")?;
    let grants = statement.query_map([customer_id.as_str()], grant)?;
    Ok(grants.collect::<rusqlite::Result<_>>()?)
}

/// `None`: the record of the last instant that there is.
pub fn record(
    connection: &Connection,
    customer_id: &CustomerId,
    unit: Unit,
    at: Option<Timestamp>,
) -> Result<CreditRecord> {
    // Both in one view of the database.
    let connection = connection.unchecked_transaction()?;
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        entry_columns!(),
        " FROM credit_entries
         WHERE customer_id = ?1 AND unit = ?2
             AND at >= (SELECT at FROM credit_entries
                        WHERE customer_id = ?1 AND unit = ?2 AND at <= ?3 AND snapshot NOT NULL
                        ORDER BY at DESC LIMIT 1)
             AND at <= coalesce((SELECT min(at) FROM credit_entries WHERE customer_id = ?1 AND unit = ?2 AND at > ?3), ?3)
         ORDER BY at"
    ))?;
    let at = at.map_or(i64::MAX, Timestamp::as_millis);
    let entries = statement.query_map(params![customer_id.as_str(), unit.as_str(), at], entry)?;
    let entries = entries.collect::<rusqlite::Result<_>>()?;
    let mut grants = grants(&connection, customer_id)?;
    grants.retain(|given| given.request.unit == unit);
    Ok(CreditRecord { grants, entries })
}

pub fn put_grant(connection: &Connection, customer_id: &CustomerId, given: &CreditGrant) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO credit_grants (customer_id, id, unit, definition) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET definition = excluded.definition",
        )?
        .execute(params![
            customer_id.as_str(),
            given.request.id.as_str(),
            given.request.unit.as_str(),
            given.to_stored()
        ])?;
    Ok(())
}

pub fn put_entries(connection: &Connection, customer_id: &CustomerId, credit: &mut Credit) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO credit_entries (customer_id, unit, at, number, used, refunded, is_reset, snapshot)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET used = excluded.used, refunded = excluded.refunded, is_reset = excluded.is_reset,
             snapshot = excluded.snapshot",
    )?;
    for (unit, entry) in credit.take_changes() {
        statement.execute(params![
            customer_id.as_str(),
            unit.as_str(),
            entry.at.as_millis(),
            entry.number,
            entry.used.to_string(),
            entry.refunded.to_string(),
            entry.is_reset,
            entry.snapshot.as_ref().map(Snapshot::to_stored).transpose()?,
        ])?;
    }
    Ok(())
}

pub fn refund(connection: &Connection, customer_id: &CustomerId, id: &GrantId) -> Result<Option<CreditRefund>> {
    let mut statement =
        connection.prepare_cached("SELECT unit, amount, at FROM credit_refunds WHERE customer_id = ? AND id = ?")?;
    let refund = statement.query_row([customer_id.as_str(), id.as_str()], |row| {
        let (unit, amount) = (unit(row, 0)?, decimal(row, 1)?);
        Ok(CreditRefund { id: id.clone(), unit, amount, at: columns::timestamp(row, 2)? })
    });
    Ok(refund.optional()?)
}

pub fn put_refund(connection: &Connection, customer_id: &CustomerId, refund: &CreditRefund) -> Result<()> {
    let CreditRefund { id, unit, amount, at } = refund;
    connection
        .prepare_cached("INSERT INTO credit_refunds (customer_id, id, unit, amount, at) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![customer_id.as_str(), id.as_str(), unit.as_str(), amount.to_string(), at.as_millis()])?;
    Ok(())
}

pub fn moved_grants(connection: &Connection, after: &GrantPosition, limit: usize) -> Result<Vec<MovedGrant>> {
    let mut statement = connection.prepare_cached(
        "SELECT definition, customer_id FROM credit_grants WHERE (customer_id, id) > (?, ?)
         ORDER BY customer_id, id LIMIT ?",
    )?;
    let rows = statement.query_map(params![after.0, after.1, limit], |row| {
        Ok(MovedGrant { customer_id: CustomerId::from_stored(row.get(1)?), given: grant(row)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn moved_entries(connection: &Connection, after: &EntryPosition, limit: usize) -> Result<Vec<MovedEntry>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        entry_columns!(),
        ", unit, customer_id FROM credit_entries WHERE (customer_id, unit, at) > (?, ?, ?)
         ORDER BY customer_id, unit, at LIMIT ?"
    ))?;
    let rows = statement.query_map(params![after.0, after.1, after.2, limit], |row| {
        Ok(MovedEntry { customer_id: CustomerId::from_stored(row.get(7)?), unit: unit(row, 6)?, entry: entry(row)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn moved_refunds(connection: &Connection, after: &GrantPosition, limit: usize) -> Result<Vec<MovedRefund>> {
    let mut statement = connection.prepare_cached(
        "SELECT unit, amount, at, id, customer_id FROM credit_refunds WHERE (customer_id, id) > (?, ?)
         ORDER BY customer_id, id LIMIT ?",
    )?;
    let rows = statement.query_map(params![after.0, after.1, limit], |row| {
        let id = GrantId::from_stored(row.get(3)?);
        let refund =
            CreditRefund { id, unit: unit(row, 0)?, amount: decimal(row, 1)?, at: columns::timestamp(row, 2)? };
        Ok(MovedRefund { customer_id: CustomerId::from_stored(row.get(4)?), refund })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let snapshot: Option<String> = row.get(5)?;
    let snapshot = snapshot.as_deref().map(Snapshot::from_stored).transpose();
    Ok(Entry {
        at: columns::timestamp(row, 0)?,
        number: row.get(1)?,
        used: decimal(row, 2)?,
        refunded: decimal(row, 3)?,
        is_reset: row.get(4)?,
        snapshot: snapshot.map_err(|error| unreadable(5, error))?,
    })
}

fn grant(row: &Row<'_>) -> rusqlite::Result<CreditGrant> {
    CreditGrant::from_stored(row.get_ref(0)?.as_str()?).map_err(|error| unreadable(0, error))
}

fn unit(row: &Row<'_>, column: usize) -> rusqlite::Result<Unit> {
    Unit::from_stored(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}

fn decimal(row: &Row<'_>, column: usize) -> rusqlite::Result<Decimal> {
    Decimal::parse("amount", row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))
}
