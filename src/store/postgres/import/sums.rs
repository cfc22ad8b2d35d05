//! Adding all events up anew, past the counters.

use chrono::{DateTime, Utc};

use tokio_postgres::types::Type;

use super::super::database::{Database, Statement};
use super::super::error::Result;
use super::super::{columns, read};
use super::ask;
use crate::domain::Period;
use crate::store::migration::rows::Counted;

/// When the billing periods begin, from the first event to the last.
pub struct Periods(Vec<DateTime<Utc>>);

/// They are computed here: the server's own table of time zones may be another one.
pub fn periods(database: &Database) -> Result<Periods> {
    let time_zone = read::catalog(database, None)?.1.time_zone;
    let rows = ask(database, Statement::new("SELECT min(timestamp), max(timestamp) FROM events"))?;
    let mut starts = Vec::new();
    if let Some(row) = rows.first()
        && row.try_get::<_, Option<DateTime<Utc>>>(0)?.is_some()
    {
        let last = columns::timestamp(row, 1)?;
        let mut period = Period::month(columns::timestamp(row, 0)?, time_zone);
        starts.push(columns::instant(period.start));
        while period.end <= last && period.start < period.end {
            period = Period::month(period.end, time_zone);
            starts.push(columns::instant(period.start));
        }
    }
    Ok(Periods(starts))
}

pub fn run(database: &Database, periods: &Periods, after: &str, last: Option<&str>) -> Result<Vec<Counted>> {
    let sum = match last {
        Some(_) => Statement::new(
            "SELECT customer_id, $2[width_bucket(timestamp, $2)] AS period_start, meter, count(*), sum(units)::bigint,
                 trim_scale(sum(cost))::text
             FROM events WHERE customer_id > $1 AND customer_id <= $3
             GROUP BY 1, 2, 3 ORDER BY customer_id, period_start, meter COLLATE \"C\"",
        ),
        None => Statement::new(
            "SELECT customer_id, $2[width_bucket(timestamp, $2)] AS period_start, meter, count(*), sum(units)::bigint,
                 trim_scale(sum(cost))::text
             FROM events WHERE customer_id > $1
             GROUP BY 1, 2, 3 ORDER BY customer_id, period_start, meter COLLATE \"C\"",
        ),
    };
    let sum = sum.text(after).with(periods.0.clone(), Type::TIMESTAMPTZ_ARRAY);
    let sum = match last {
        Some(last) => sum.text(last),
        None => sum,
    };
    ask(database, sum)?.iter().map(super::rows::counted).collect()
}
