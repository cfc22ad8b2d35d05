//! Reading all usage of a long time.

use tokio_postgres::types::Type;

use super::columns;
use super::database::{Database, Purpose, Statement};
use super::error::Result;
use super::options::Schema;
use super::partitions::{Partitioned, existing};
use crate::domain::repricing::RecordedUsage;
use crate::domain::{CustomerId, Period};
use crate::store::{HistoryVisitor, Stretch};

/// A partition each.
pub fn stretches(database: &Database, schema: &Schema, span: Period) -> Result<Vec<Stretch>> {
    let part = |month: Period| Period { start: month.start.max(span.start), end: month.end.min(span.end) };
    let parts = existing(database, schema, Partitioned::Events)?.into_iter().map(|month| part(month.period()));
    let stretch = |span| Stretch { span, sequences: 0..i64::MAX };
    Ok(parts.filter(|part| part.start < part.end).map(stretch).collect())
}

pub fn hours(
    database: &Database,
    customer: Option<&CustomerId>,
    span: Period,
    visit: HistoryVisitor<'_>,
) -> Result<()> {
    let statement = match customer {
        Some(_) => Statement::new(
            "SELECT hour, customer_id, meter, nullif(endpoint, ''), NULL::text, units, trim_scale(cost)::text, events
             FROM hourly_rollups WHERE hour >= $1 AND hour < $2 AND customer_id = $3",
        ),
        None => Statement::new(
            "SELECT hour, customer_id, meter, nullif(endpoint, ''), NULL::text, units, trim_scale(cost)::text, events
             FROM hourly_rollups WHERE hour >= $1 AND hour < $2",
        ),
    };
    each(database, statement, customer, span, visit)
}

pub fn visit(
    database: &Database,
    customer: Option<&CustomerId>,
    stretch: &Stretch,
    visit: HistoryVisitor<'_>,
) -> Result<()> {
    let statement = match customer {
        Some(_) => Statement::new(
            "SELECT timestamp, customer_id, meter, nullif(endpoint, ''), metadata, units, trim_scale(cost)::text, 1::bigint
             FROM events WHERE timestamp >= $1 AND timestamp < $2 AND customer_id = $3",
        ),
        None => Statement::new(
            "SELECT timestamp, customer_id, meter, nullif(endpoint, ''), metadata, units, trim_scale(cost)::text, 1::bigint
             FROM events WHERE timestamp >= $1 AND timestamp < $2",
        ),
    };
    each(database, statement, customer, stretch.span, visit)
}

fn each(
    database: &Database,
    statement: Statement,
    customer: Option<&CustomerId>,
    span: Period,
    visit: HistoryVisitor<'_>,
) -> Result<()> {
    let mut statement = statement
        .with(columns::instant(span.start), Type::TIMESTAMPTZ)
        .with(columns::instant(span.end), Type::TIMESTAMPTZ);
    if let Some(customer) = customer {
        statement = statement.text(customer.as_str());
    }
    let mut session = database.begin(Purpose::Report)?;
    session.visit(&statement, |row| {
        Ok(visit(&RecordedUsage {
            at: columns::timestamp(row, 0)?,
            customer_id: row.try_get(1)?,
            meter: row.try_get(2)?,
            endpoint: row.try_get(3)?,
            method: None,
            metadata: row.try_get(4)?,
            units: columns::count(row, 5)?,
            cost: columns::money(row, 6)?,
            events: columns::count(row, 7)?,
        })?)
    })?;
    session.finish(&[]).map(drop)
}
