//! Everything that only reads, on any connection: a reader's, or the writer's inside its transaction.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::columns::{self, KEY_COLUMNS, customer_columns, key_columns};
use super::error::Result;
use crate::domain::{
    AlertRule, ApiKey, CatalogVersions, Customer, CustomerId, ExportRule, KeyHash, Period, Plans, Tier, TierTable,
    TimeZone, Timestamp,
};
use crate::store::{Catalog, Counter, UsageRow, Visitor, versions};

pub fn revision(connection: &Connection) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT value FROM settings WHERE name = 'revision'")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

pub fn time_zone(connection: &Connection) -> Result<TimeZone> {
    let mut statement = connection.prepare_cached("SELECT value FROM settings WHERE name = 'time_zone'")?;
    let name: String = statement.query_row([], |row| row.get(0))?;
    Ok(name.parse()?)
}

/// `known`: versions of the catalog that were read before.
pub fn catalog(connection: &Connection, known: Option<&Arc<CatalogVersions>>) -> Result<Catalog> {
    let mut statement = connection.prepare_cached("SELECT value FROM settings WHERE name = 'export'")?;
    let export: Option<String> = statement.query_row([], |row| row.get(0)).optional()?;
    let mut statement = connection.prepare_cached(
        "SELECT id, api_requests_per_month, agent_executions_per_month, definition FROM tiers ORDER BY position",
    )?;
    let tiers = statement.query_map([], |row| {
        Ok(Tier {
            id: row.get(0)?,
            api_requests_per_month: row.get(1)?,
            agent_executions_per_month: row.get(2)?,
            definition: row.get(3)?,
        })
    })?;
    let table = TierTable::new(tiers.collect::<rusqlite::Result<_>>()?)?;
    let mut statement =
        connection.prepare_cached("SELECT version, definition FROM catalog_versions ORDER BY position")?;
    let rows = statement.query_map([], |row| {
        let name: String = row.get(0)?;
        let is_known = versions::is_known(&name, known.map(Arc::as_ref));
        Ok((name, if is_known { None } else { Some(row.get(1)?) }))
    })?;
    let versions = versions::from_rows(rows.collect::<rusqlite::Result<_>>()?, known)?;
    let export = export.as_deref().map(ExportRule::from_stored).transpose()?;
    let alerts: Option<String> = connection
        .prepare_cached("SELECT value FROM settings WHERE name = 'alerts'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let alerts = alerts.as_deref().map(AlertRule::from_stored).transpose()?;
    Ok(Catalog { tiers: Plans { table, catalog: versions }, time_zone: time_zone(connection)?, export, alerts })
}

pub fn identify(connection: &Connection, hash: &KeyHash) -> Result<Option<(ApiKey, Customer)>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        key_columns!(),
        ", ",
        customer_columns!(),
        " FROM api_keys k JOIN customers c ON c.id = k.customer_id WHERE k.hash = ?"
    ))?;
    let found = statement.query_row([&hash.0], |row| Ok((columns::key(row)?, columns::customer(row, KEY_COLUMNS)?)));
    Ok(found.optional()?)
}

pub fn key(connection: &Connection, id: &str) -> Result<Option<ApiKey>> {
    let mut statement =
        connection.prepare_cached(concat!("SELECT ", key_columns!(), " FROM api_keys k WHERE k.id = ?"))?;
    Ok(statement.query_row([id], columns::key).optional()?)
}

pub fn customer(connection: &Connection, id: &str) -> Result<Option<Customer>> {
    let mut statement =
        connection.prepare_cached(concat!("SELECT ", customer_columns!(), " FROM customers c WHERE c.id = ?"))?;
    Ok(statement.query_row([id], |row| columns::customer(row, 0)).optional()?)
}

pub fn customers(connection: &Connection, after: Option<&str>, limit: usize) -> Result<Vec<Customer>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        customer_columns!(),
        " FROM customers c WHERE c.id > ? ORDER BY c.id LIMIT ?"
    ))?;
    // No id is empty, so every id comes after the empty string.
    let rows = statement.query_map(params![after.unwrap_or_default(), limit], |row| columns::customer(row, 0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn keys(connection: &Connection, customer_id: &CustomerId) -> Result<Vec<ApiKey>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        key_columns!(),
        " FROM api_keys k WHERE k.customer_id = ? ORDER BY k.created_at, k.id"
    ))?;
    let rows = statement.query_map([customer_id.as_str()], columns::key)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn counters(connection: &Connection, customer_id: &str, period_start: Timestamp) -> Result<Vec<Counter>> {
    let mut statement = connection.prepare_cached(
        "SELECT meter, units, cost FROM period_counters WHERE customer_id = ? AND period_start = ? ORDER BY meter",
    )?;
    let rows = statement.query_map(params![customer_id, period_start.as_millis()], |row| {
        Ok(Counter { meter: columns::meter(row, 0)?, units: row.get(1)?, cost: columns::money(row, 2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn hourly_rollups(
    connection: &Connection,
    customer: Option<&CustomerId>,
    span: Period,
    visit: Visitor<'_>,
) -> Result<()> {
    let sql = "SELECT hour, customer_id, meter, nullif(endpoint, ''), events, units, cost FROM hourly_rollups
               WHERE hour >= :from AND hour < :to";
    visit_usage(connection, sql, customer, span, visit)
}

pub fn events(connection: &Connection, customer: Option<&CustomerId>, span: Period, visit: Visitor<'_>) -> Result<()> {
    let sql = "SELECT timestamp, customer_id, meter, nullif(endpoint, ''), 1, units, cost FROM events
               WHERE timestamp >= :from AND timestamp < :to";
    visit_usage(connection, sql, customer, span, visit)
}

fn visit_usage(
    connection: &Connection,
    sql: &str,
    customer: Option<&CustomerId>,
    span: Period,
    visit: Visitor<'_>,
) -> Result<()> {
    let (from, to) = (span.start.as_millis(), span.end.as_millis());
    let mut statement;
    let mut rows = match customer {
        Some(customer) => {
            statement = connection.prepare_cached(&format!("{sql} AND customer_id = :customer"))?;
            statement.query(named_params! { ":from": from, ":to": to, ":customer": customer.as_str() })?
        }
        None => {
            statement = connection.prepare_cached(sql)?;
            statement.query(named_params! { ":from": from, ":to": to })?
        }
    };
    while let Some(row) = rows.next()? {
        visit(UsageRow {
            at: columns::timestamp(row, 0)?,
            customer_id: CustomerId::from_stored(row.get(1)?),
            meter: columns::meter(row, 2)?,
            endpoint: row.get(3)?,
            events: row.get(4)?,
            units: row.get(5)?,
            cost: columns::money(row, 6)?,
        })?;
    }
    Ok(())
}

pub fn takeover_position(connection: &Connection, file: &str) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT position FROM takeovers WHERE file = ?")?;
    Ok(statement.query_row([file], |row| row.get(0)).optional()?.unwrap_or(0))
}
