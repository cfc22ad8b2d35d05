//! Reading all events of a long time, as fast as they can be read: in the order of the table, not of the time index, which
//! would look each of them up.

use rusqlite::{Connection, named_params};

use super::columns;
use super::error::Result;
use crate::domain::repricing::RecordedUsage;
use crate::domain::{CustomerId, Period};
use crate::store::{HistoryVisitor, Stretch};

/// How many numbers a stretch has: some ten milliseconds of reading.
const LENGTH: i64 = 1 << 16;

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

pub fn visit(
    connection: &Connection,
    customer: Option<&CustomerId>,
    stretch: &Stretch,
    visit: HistoryVisitor<'_>,
) -> Result<()> {
    let sql = "SELECT timestamp, customer_id, meter, endpoint, metadata, units, cost FROM events NOT INDEXED
               WHERE sequence >= :first AND sequence < :end AND timestamp >= :from AND timestamp < :to";
    let (from, to) = (stretch.span.start.as_millis(), stretch.span.end.as_millis());
    let (first, end) = (stretch.sequences.start, stretch.sequences.end);
    let mut statement;
    let mut rows = match customer {
        Some(customer) => {
            statement = connection.prepare_cached(&format!("{sql} AND customer_id = :customer"))?;
            let customer = customer.as_str();
            statement.query(
                named_params! { ":first": first, ":end": end, ":from": from, ":to": to, ":customer": customer },
            )?
        }
        None => {
            statement = connection.prepare_cached(sql)?;
            statement.query(named_params! { ":first": first, ":end": end, ":from": from, ":to": to })?
        }
    };
    while let Some(row) = rows.next()? {
        visit(&RecordedUsage {
            at: columns::timestamp(row, 0)?,
            customer_id: row.get_ref(1)?.as_str()?,
            meter: row.get_ref(2)?.as_str()?,
            endpoint: row.get_ref(3)?.as_str_or_null()?.filter(|endpoint| !endpoint.is_empty()),
            metadata: row.get_ref(4)?.as_str_or_null()?,
            events: 1,
            units: row.get(5)?,
            cost: columns::money(row, 6)?,
        })?;
    }
    Ok(())
}
