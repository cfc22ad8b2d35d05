//! Reading all usage of a long time, as fast as it can be read: in the order of a table, not of its time index, which would
//! look up each row.

use rusqlite::{CachedStatement, Connection, ToSql, named_params};

use super::columns;
use super::error::Result;
use crate::domain::repricing::RecordedUsage;
use crate::domain::{CustomerId, Period};
use crate::store::{HistoryVisitor, Stretch};

/// How many numbers a stretch has: some ten milliseconds of reading.
const LENGTH: i64 = 1 << 16;
/// A time of which this part is asked for is read in the order of the table.
const PART: i64 = 16;

/// Events of a span mostly follow each other; where some were recorded late, others are passed over between them.
pub fn stretches(connection: &Connection, span: Period) -> Result<Vec<Stretch>> {
    let mut statement = connection.prepare_cached(
        "SELECT min(sequence), max(sequence) FROM events WHERE timestamp >= :from AND timestamp < :to",
    )?;
    let parameters = named_params! { ":from": span.start.as_millis(), ":to": span.end.as_millis() };
    let bounds: (Option<i64>, Option<i64>) = statement.query_row(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(first), Some(last)) = bounds else { return Ok(Vec::new()) };
    let stretch = |first: i64| Stretch { span, sequences: first..last.min(first + LENGTH - 1) + 1 };
    Ok((0..=(last - first) / LENGTH).map(|number| stretch(first + number * LENGTH)).collect())
}

pub fn hours(
    connection: &Connection,
    customer: Option<&CustomerId>,
    span: Period,
    visit: HistoryVisitor<'_>,
) -> Result<()> {
    const COLUMNS: &str = "SELECT hour, customer_id, meter, endpoint, NULL, units, cost, events FROM hourly_rollups";
    let (from, to) = (span.start.as_millis(), span.end.as_millis());
    let span = "WHERE hour >= :from AND hour < :to";
    if let Some(customer) = customer {
        let mut statement = connection.prepare_cached(&format!("{COLUMNS} {span} AND customer_id = :customer"))?;
        let customer = customer.as_str();
        return each(&mut statement, named_params! { ":from": from, ":to": to, ":customer": customer }, visit);
    }
    // SQLite takes no index by an expression. (`NOT INDEXED` means nothing to a table without a rowid.)
    let span = if is_long(connection, from, to)? { "WHERE +hour >= :from AND +hour < :to" } else { span };
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} {span}"))?;
    each(&mut statement, named_params! { ":from": from, ":to": to }, visit)
}

fn is_long(connection: &Connection, from: i64, to: i64) -> Result<bool> {
    let bound = |sql| -> Result<Option<i64>> { Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?) };
    // In one statement SQLite would not find them by the index.
    let bounds = (bound("SELECT min(hour) FROM hourly_rollups")?, bound("SELECT max(hour) FROM hourly_rollups")?);
    let (Some(first), Some(last)) = bounds else { return Ok(false) };
    Ok((to.min(last) - from.max(first)).max(0) >= (last - first) / PART)
}

pub fn visit(
    connection: &Connection,
    customer: Option<&CustomerId>,
    stretch: &Stretch,
    visit: HistoryVisitor<'_>,
) -> Result<()> {
    const COLUMNS: &str = "SELECT timestamp, customer_id, meter, endpoint, metadata, units, cost, 1 FROM events";
    let sql = format!(
        "{COLUMNS} NOT INDEXED WHERE sequence >= :first AND sequence < :end AND timestamp >= :from AND timestamp < :to"
    );
    let (from, to) = (stretch.span.start.as_millis(), stretch.span.end.as_millis());
    let (first, end) = (stretch.sequences.start, stretch.sequences.end);
    match customer {
        Some(customer) => {
            let mut statement = connection.prepare_cached(&format!("{sql} AND customer_id = :customer"))?;
            let customer = customer.as_str();
            let parameters =
                named_params! { ":first": first, ":end": end, ":from": from, ":to": to, ":customer": customer };
            each(&mut statement, parameters, visit)
        }
        None => {
            let mut statement = connection.prepare_cached(&sql)?;
            each(&mut statement, named_params! { ":first": first, ":end": end, ":from": from, ":to": to }, visit)
        }
    }
}

/// Nothing of a row is copied.
fn each(
    statement: &mut CachedStatement<'_>,
    parameters: &[(&str, &dyn ToSql)],
    visit: HistoryVisitor<'_>,
) -> Result<()> {
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        visit(&RecordedUsage {
            at: columns::timestamp(row, 0)?,
            customer_id: row.get_ref(1)?.as_str()?,
            meter: row.get_ref(2)?.as_str()?,
            endpoint: row.get_ref(3)?.as_str_or_null()?.filter(|endpoint| !endpoint.is_empty()),
            method: None,
            metadata: row.get_ref(4)?.as_str_or_null()?,
            units: row.get(5)?,
            cost: columns::money(row, 6)?,
            events: row.get(7)?,
        })?;
    }
    Ok(())
}
