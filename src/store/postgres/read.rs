//! Everything that only reads, in a transaction of its own.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::columns::{self, KEY_COLUMNS, customer_columns, key_columns};
use super::database::{Database, Purpose, Statement};
use super::error::Result;
use crate::domain::{
    AlertRule, ApiKey, CatalogVersions, Customer, CustomerId, ExportRule, HolderId, KeyHash, Period, Plans, Quota,
    Tier, TierTable, Timestamp,
};
use crate::store::{Catalog, Counter, Lease, UsageRow, Visitor, versions};

/// Of versions of the catalog that are known, only the names are read.
pub fn settings(known: Option<&Arc<CatalogVersions>>) -> Vec<Statement> {
    let known = known.into_iter().flat_map(|versions| versions.iter()).map(|catalog| catalog.version().to_owned());
    vec![
        Statement::new("SELECT value FROM settings WHERE name = 'revision'"),
        Statement::new("SELECT value FROM settings WHERE name = 'time_zone'"),
        Statement::new(
            "SELECT id, api_requests_per_month, agent_executions_per_month, definition FROM tiers ORDER BY position",
        ),
        Statement::new("SELECT value FROM settings WHERE name = 'export'"),
        Statement::new("SELECT value FROM settings WHERE name = 'alerts'"),
        Statement::new(
            "SELECT version, CASE WHEN version = ANY($1) THEN NULL ELSE definition END FROM catalog_versions
             ORDER BY position",
        )
        .texts(known.collect()),
    ]
}

/// Reads the answers to [`settings`].
pub fn catalog_of(answers: &[Vec<Row>], known: Option<&Arc<CatalogVersions>>) -> Result<(u64, Catalog)> {
    let [revision, time_zone, tiers, export, alerts, versions] = answers else { return Err(missing("the settings")) };
    let value = |rows: &[Row]| -> Result<String> { Ok(rows.first().ok_or_else(|| missing("a setting"))?.try_get(0)?) };
    let revision = value(revision)?.parse().map_err(|_| missing("the revision"))?;
    let limit = |row: &Row, column| -> Result<Option<u64>> {
        Ok(row.try_get::<_, Option<i64>>(column)?.and_then(|limit| u64::try_from(limit).ok()))
    };
    let tiers = tiers
        .iter()
        .map(|row| {
            Ok(Tier {
                id: row.try_get(0)?,
                api_requests_per_month: limit(row, 1)?,
                agent_executions_per_month: limit(row, 2)?,
                definition: row.try_get(3)?,
            })
        })
        .collect::<Result<_>>()?;
    let export =
        export.first().map(|row| Ok::<_, super::error::PostgresError>(ExportRule::from_stored(row.try_get(0)?)?));
    let alerts =
        alerts.first().map(|row| Ok::<_, super::error::PostgresError>(AlertRule::from_stored(row.try_get(0)?)?));
    let versions = versions.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_>>()?;
    let tiers = Plans { table: TierTable::new(tiers)?, catalog: versions::from_rows(versions, known)? };
    let catalog = Catalog {
        tiers,
        time_zone: value(time_zone)?.parse()?,
        export: export.transpose()?,
        alerts: alerts.transpose()?,
    };
    Ok((revision, catalog))
}

fn missing(what: &str) -> super::error::PostgresError {
    crate::Error::new(crate::Code::StoreCorrupt, format!("the database is damaged: {what} is missing")).into()
}

/// Reads in one round trip.
pub fn ask(database: &Database, statement: Statement) -> Result<Vec<Row>> {
    Ok(ask_all(database, &[statement])?.pop().unwrap_or_default())
}

/// A connection that was cut while it lay idle is found out here, so once more is tried with another one.
pub fn ask_all(database: &Database, statements: &[Statement]) -> Result<Vec<Vec<Row>>> {
    match database.begin(Purpose::Read)?.finish(statements) {
        Err(error) if error.is_disconnection() => database.begin(Purpose::Read)?.finish(statements),
        answers => answers,
    }
}

pub fn catalog(database: &Database, known: Option<&Arc<CatalogVersions>>) -> Result<(u64, Catalog)> {
    catalog_of(&ask_all(database, &settings(known))?, known)
}

pub fn revision_statement() -> Statement {
    Statement::new("SELECT value::bigint FROM settings WHERE name = 'revision'")
}

pub fn revision(database: &Database) -> Result<u64> {
    let rows = ask(database, revision_statement())?;
    rows.first().map_or(Ok(0), |row| columns::count(row, 0))
}

/// Raises the revision past one that was seen and is not there any more.
pub fn pass_revision(database: &Database, seen: u64) -> Result<u64> {
    let raise =
        Statement::new("UPDATE settings SET value = ($1 + 1)::text WHERE name = 'revision' AND value::bigint <= $1")
            .with(columns::bigint(seen), Type::INT8);
    database.begin(Purpose::Write)?.finish(&[raise])?;
    revision(database)
}

pub fn identify(database: &Database, hash: &KeyHash) -> Result<Option<(ApiKey, Customer)>> {
    let statement = Statement::new(concat!(
        "SELECT ",
        key_columns!(),
        ", ",
        customer_columns!(),
        " FROM api_keys k JOIN customers c ON c.id = k.customer_id WHERE k.hash = $1"
    ))
    .with(hash.0.to_vec(), Type::BYTEA);
    let rows = ask(database, statement)?;
    rows.first().map(|row| Ok((columns::key(row)?, columns::customer(row, KEY_COLUMNS)?))).transpose()
}

pub fn customer(database: &Database, id: &CustomerId) -> Result<Option<Customer>> {
    let statement = Statement::new(concat!("SELECT ", customer_columns!(), " FROM customers c WHERE c.id = $1"));
    let rows = ask(database, statement.text(id.as_str()))?;
    rows.first().map(|row| columns::customer(row, 0)).transpose()
}

pub fn customers(database: &Database, after: Option<&str>, limit: usize) -> Result<Vec<Customer>> {
    let statement = Statement::new(concat!(
        "SELECT ",
        customer_columns!(),
        " FROM customers c WHERE c.id > $1 ORDER BY c.id LIMIT $2"
    ))
    // No id is empty, so every id comes after the empty string.
    .text(after.unwrap_or_default())
    .with(i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8);
    ask(database, statement)?.iter().map(|row| columns::customer(row, 0)).collect()
}

pub fn keys(database: &Database, customer_id: &CustomerId) -> Result<Vec<ApiKey>> {
    let statement = Statement::new(concat!(
        "SELECT ",
        key_columns!(),
        " FROM api_keys k WHERE k.customer_id = $1 ORDER BY k.created_at, k.id"
    ));
    ask(database, statement.text(customer_id.as_str()))?.iter().map(columns::key).collect()
}

pub fn counters(database: &Database, customer_id: &CustomerId, period_start: Timestamp) -> Result<Vec<Counter>> {
    let statement = Statement::new(
        "SELECT meter, units, trim_scale(cost)::text FROM period_counters
         WHERE customer_id = $1 AND period_start = $2 ORDER BY meter COLLATE \"C\"",
    )
    .text(customer_id.as_str())
    .with(columns::instant(period_start), Type::TIMESTAMPTZ);
    let counter = |row: &Row| {
        Ok(Counter { meter: columns::meter(row, 0)?, units: columns::count(row, 1)?, cost: columns::money(row, 2)? })
    };
    ask(database, statement)?.iter().map(counter).collect()
}

pub fn hourly_rollups(
    database: &Database,
    customer: Option<&CustomerId>,
    span: Period,
    visit: Visitor<'_>,
) -> Result<()> {
    let statement = match customer {
        Some(_) => Statement::new(
            "SELECT hour, customer_id, meter, nullif(endpoint, ''), events, units, trim_scale(cost)::text
             FROM hourly_rollups WHERE hour >= $1 AND hour < $2 AND customer_id = $3",
        ),
        None => Statement::new(
            "SELECT hour, customer_id, meter, nullif(endpoint, ''), events, units, trim_scale(cost)::text
             FROM hourly_rollups WHERE hour >= $1 AND hour < $2",
        ),
    };
    visit_usage(database, statement, customer, span, visit)
}

pub fn events(database: &Database, customer: Option<&CustomerId>, span: Period, visit: Visitor<'_>) -> Result<()> {
    let statement = match customer {
        Some(_) => Statement::new(
            "SELECT timestamp, customer_id, meter, nullif(endpoint, ''), 1::bigint, units, trim_scale(cost)::text
             FROM events WHERE timestamp >= $1 AND timestamp < $2 AND customer_id = $3",
        ),
        None => Statement::new(
            "SELECT timestamp, customer_id, meter, nullif(endpoint, ''), 1::bigint, units, trim_scale(cost)::text
             FROM events WHERE timestamp >= $1 AND timestamp < $2",
        ),
    };
    visit_usage(database, statement, customer, span, visit)
}

fn visit_usage(
    database: &Database,
    statement: Statement,
    customer: Option<&CustomerId>,
    span: Period,
    visit: Visitor<'_>,
) -> Result<()> {
    let (from, to): (DateTime<Utc>, DateTime<Utc>) = (columns::instant(span.start), columns::instant(span.end));
    let mut statement = statement.with(from, Type::TIMESTAMPTZ).with(to, Type::TIMESTAMPTZ);
    if let Some(customer) = customer {
        statement = statement.text(customer.as_str());
    }
    let mut session = database.begin(Purpose::Report)?;
    session.visit(&statement, |row| {
        Ok(visit(UsageRow {
            at: columns::timestamp(row, 0)?,
            customer_id: CustomerId::from_stored(row.try_get(1)?),
            meter: columns::meter(row, 2)?,
            endpoint: row.try_get(3)?,
            events: columns::count(row, 4)?,
            units: columns::count(row, 5)?,
            cost: columns::money(row, 6)?,
        })?)
    })?;
    session.finish(&[]).map(drop)
}

pub fn takeover_position(file: &str) -> Statement {
    Statement::new("SELECT position FROM takeovers WHERE file = $1").text(file)
}

pub fn takeover_position_of(database: &Database, file: &str) -> Result<u64> {
    ask(database, takeover_position(file))?.first().map_or(Ok(0), |row| columns::count(row, 0))
}

/// The server's clock.
pub fn now(database: &Database) -> Result<DateTime<Utc>> {
    let rows = ask(database, Statement::new("SELECT now()"))?;
    Ok(rows.first().ok_or_else(|| missing("the time"))?.try_get(0)?)
}

pub fn store_id(database: &Database) -> Result<String> {
    let rows = ask(database, Statement::new("SELECT value FROM settings WHERE name = 'store_id'"))?;
    Ok(rows.first().ok_or_else(|| missing("the store's id"))?.try_get(0)?)
}

pub fn leases(database: &Database, customer_id: &CustomerId, quota: Quota, period: Period) -> Result<Vec<Lease>> {
    let statement = Statement::new(
        "SELECT holder, period_start, units, period_end FROM leases
         WHERE customer_id = $1 AND quota = $2 AND period_start < $3 AND period_end > $4",
    )
    .text(customer_id.as_str())
    .text(quota.name())
    .with(columns::instant(period.end), Type::TIMESTAMPTZ)
    .with(columns::instant(period.start), Type::TIMESTAMPTZ);
    let lease = |row: &Row| {
        Ok(Lease {
            holder: HolderId::from_stored(row.try_get(0)?),
            period_start: columns::timestamp(row, 1)?,
            period_end: columns::timestamp(row, 3)?,
            units: columns::count(row, 2)?,
        })
    };
    ask(database, statement)?.iter().map(lease).collect()
}

pub fn recalls(database: &Database) -> Result<Vec<(CustomerId, Quota)>> {
    let rows = ask(database, Statement::new("SELECT customer_id, quota FROM lease_recalls"))?;
    rows.iter().map(|row| Ok((CustomerId::from_stored(row.try_get(0)?), columns::quota(row, 1)?))).collect()
}

/// Those of this home whom their own process has not kept alive lately. He who asks is kept alive by that.
pub fn holders(database: &Database, home: &str, writer: &HolderId) -> Result<Vec<HolderId>> {
    let alive = Statement::new(
        "UPDATE writers SET seen_at = now() WHERE holder = $1 AND seen_at < now() - interval '10 seconds'",
    )
    .text(writer.as_str());
    let silent = Statement::new(
        "SELECT holder FROM journals
         WHERE starts_with(holder, $1)
             AND (position > 0 OR EXISTS (SELECT 1 FROM leases WHERE leases.holder = journals.holder))
             AND NOT EXISTS (
                 SELECT 1 FROM writers
                 WHERE writers.holder = journals.holder AND seen_at > now() - interval '60 seconds'
             )",
    )
    .text(home);
    let answers = database.begin(Purpose::Write)?.finish(&[alive, silent])?;
    let rows = answers.into_iter().next_back().unwrap_or_default();
    rows.iter().map(|row| Ok(HolderId::from_stored(row.try_get(0)?))).collect()
}
