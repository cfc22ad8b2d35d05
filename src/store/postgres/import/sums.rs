//! Adding all events up anew, past the counters.

use chrono::{DateTime, Utc};

use tokio_postgres::types::Type;

use super::super::database::{Database, Statement};
use super::super::error::Result;
use super::super::{columns, read};
use super::ask;
use crate::domain::{Period, TimeZone, Timestamp, billing_period};
use crate::store::migration::rows::Counted;

/// When the calendar months begin, from the first event to the last.
pub struct Months {
    time_zone: TimeZone,
    starts: Vec<DateTime<Utc>>,
}

/// They are computed here: the server's own table of time zones may be another one.
pub fn months(database: &Database) -> Result<Months> {
    let time_zone = read::catalog(database, None)?.1.time_zone;
    let rows = ask(database, Statement::new("SELECT min(timestamp), max(timestamp) FROM events"))?;
    let mut starts = Vec::new();
    if let Some(row) = rows.first()
        && let Some(first) = columns::optional_timestamp(row, 0)?
    {
        let months = periods(None, first, columns::timestamp(row, 1)?, time_zone);
        starts.extend(months.map(|month| columns::instant(month.start)));
    }
    Ok(Months { time_zone, starts })
}

/// Those from one instant to another.
fn periods(
    anchor: Option<Timestamp>,
    first: Timestamp,
    last: Timestamp,
    time_zone: TimeZone,
) -> impl Iterator<Item = Period> {
    let containing = move |at| billing_period(anchor, at, time_zone);
    std::iter::successors(Some(containing(first)), move |period| {
        (period.end <= last && period.start < period.end).then(|| containing(period.end))
    })
}

/// The billing periods of customers who have an anchor.
#[derive(Default)]
struct Anchored {
    customers: Vec<String>,
    starts: Vec<DateTime<Utc>>,
    ends: Vec<DateTime<Utc>>,
}

fn anchored(database: &Database, time_zone: TimeZone, after: &str, last: Option<&str>) -> Result<Anchored> {
    let find = Statement::new(
        "SELECT c.id, c.billing_cycle_anchor, min(e.timestamp), max(e.timestamp)
         FROM customers c JOIN events e ON e.customer_id = c.id
         WHERE c.billing_cycle_anchor IS NOT NULL AND c.id > $1 AND ($2::text IS NULL OR c.id <= $2)
         GROUP BY c.id",
    )
    .text(after)
    .with(last.map(str::to_owned), Type::TEXT);
    let mut anchored = Anchored::default();
    for row in ask(database, find)? {
        let (first, last) = (columns::timestamp(&row, 2)?, columns::timestamp(&row, 3)?);
        for period in periods(columns::optional_timestamp(&row, 1)?, first, last, time_zone) {
            anchored.customers.push(row.try_get(0)?);
            anchored.starts.push(columns::instant(period.start));
            anchored.ends.push(columns::instant(period.end));
        }
    }
    Ok(anchored)
}

pub fn run(database: &Database, months: &Months, after: &str, last: Option<&str>) -> Result<Vec<Counted>> {
    let Anchored { customers, starts, ends } = anchored(database, months.time_zone, after, last)?;
    let sum = Statement::new(
        "SELECT e.customer_id, coalesce(p.starts_at, $3[width_bucket(e.timestamp, $3)]) AS period_start, e.meter, count(*),
             sum(e.units)::bigint, trim_scale(sum(e.cost))::text
         FROM events e
         LEFT JOIN unnest($4, $5, $6) AS p(customer_id, starts_at, ends_at)
             ON p.customer_id = e.customer_id AND e.timestamp >= p.starts_at AND e.timestamp < p.ends_at
         WHERE e.customer_id > $1 AND ($2::text IS NULL OR e.customer_id <= $2)
         GROUP BY 1, 2, 3 ORDER BY 1, 2, e.meter COLLATE \"C\"",
    )
    .text(after)
    .with(last.map(str::to_owned), Type::TEXT)
    .with(months.starts.clone(), Type::TIMESTAMPTZ_ARRAY)
    .texts(customers)
    .with(starts, Type::TIMESTAMPTZ_ARRAY)
    .with(ends, Type::TIMESTAMPTZ_ARRAY);
    ask(database, sum)?.iter().map(super::rows::counted).collect()
}
