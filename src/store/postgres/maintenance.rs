//! What is done now and then: months that begin soon get their partitions, and what is no longer kept is dropped. The
//! server's clock says what time it is, and one process on all machines does it at a time.

use chrono::{DateTime, Utc};

use super::database::{Database, Purpose, Statement};
use super::error::Result;
use super::options::PostgresOptions;
use super::partitions::{self, Month, Partitioned, Partitions};

/// An id is remembered for at least 35 days, so the month before the last one is over.
const MONTHS_OF_IDS: u32 = 2;

/// Answers whether partitions were dropped.
pub fn run(database: &Database, options: &PostgresOptions) -> Result<bool> {
    let Some(now) = claim(database)? else { return Ok(false) };
    let (schema, month) = (&options.schema, Month::holding(now));
    Partitions::default().ensure(database, schema, partitions::soon(now))?;
    // Ids are old by the clocks that wrote them, too: one that stands still or is set back makes nothing forgotten.
    let newest = partitions::newest_written(database, schema)?;
    let mut dropped = 0;
    if let Some(newest) = newest {
        let first_kept = newest.min(month).minus(MONTHS_OF_IDS);
        dropped += partitions::drop_before(database, schema, Partitioned::EventIds, first_kept)?;
    }
    if let Some(kept) = options.retention_months {
        dropped += partitions::drop_before(database, schema, Partitioned::Events, month.minus(kept))?;
    }
    Ok(dropped > 0)
}

/// The server's time, if it is this process's turn: once an hour somebody's. Writers that have been gone for a week are
/// forgotten. So are leases of theirs, whose journals nobody can read, when their periods have long been over: until then
/// they count as used, because they may have been.
fn claim(database: &Database) -> Result<Option<DateTime<Utc>>> {
    let claim = Statement::new(
        "INSERT INTO settings (name, value) VALUES ('maintained_at', now()::text)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value
         WHERE settings.value::timestamptz < now() - interval '1 hour'
         RETURNING now()",
    );
    let forget = Statement::new("DELETE FROM writers WHERE seen_at < now() - interval '7 days'");
    let expire = Statement::new(
        "DELETE FROM leases
         WHERE period_end < now() - interval '40 days' AND holder NOT IN (SELECT holder FROM writers)",
    );
    let answers = database.begin(Purpose::Write)?.finish(&[claim, forget, expire])?;
    answers.first().and_then(|rows| rows.first()).map(|row| Ok(row.try_get(0)?)).transpose()
}
