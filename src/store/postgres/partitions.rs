//! The monthly partitions of what grows without end. They are made when a month is written to first, or a little before,
//! and old ones are dropped whole.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use tokio_postgres::types::Type;

use super::columns;
use super::database::{Database, Purpose, Statement};
use super::error::Result;
use super::options::Schema;
use crate::domain::{Period, Timestamp};

/// The tables that have partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partitioned {
    Events,
    EventIds,
}

impl Partitioned {
    fn name(self) -> &'static str {
        match self {
            Partitioned::Events => "events",
            Partitioned::EventIds => "event_ids",
        }
    }
}

/// A month of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    /// Its first day.
    first: NaiveDate,
}

impl Month {
    pub fn of(at: Timestamp) -> Self {
        Self::holding(columns::instant(at))
    }

    pub fn holding(at: DateTime<Utc>) -> Self {
        let date = at.date_naive();
        Self { first: date.with_day(1).unwrap_or(date) }
    }

    pub fn next(self) -> Self {
        self.plus(1)
    }

    pub fn plus(self, months: u32) -> Self {
        Self { first: self.first.checked_add_months(Months::new(months)).unwrap_or(self.first) }
    }

    pub fn minus(self, months: u32) -> Self {
        Self { first: self.first.checked_sub_months(Months::new(months)).unwrap_or(self.first) }
    }

    pub fn period(self) -> Period {
        let instant = |month: Self| Timestamp::from_stored(month.start().timestamp_millis());
        Period { start: instant(self), end: instant(self.next()) }
    }

    fn start(self) -> DateTime<Utc> {
        self.first.and_time(NaiveTime::MIN).and_utc()
    }

    fn partition(self, table: Partitioned) -> String {
        format!("{}_{:04}_{:02}", table.name(), self.first.year(), self.first.month())
    }

    /// From the name of a partition.
    fn from_partition(name: &str, table: Partitioned) -> Option<Self> {
        let (year, month) = name.strip_prefix(table.name())?.strip_prefix('_')?.split_once('_')?;
        NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1).map(|first| Self { first })
    }
}

/// What is going to be written to soon after an instant.
pub fn soon(now: DateTime<Utc>) -> impl Iterator<Item = (Partitioned, Month)> {
    let month = Month::holding(now);
    [month, month.next()].into_iter().flat_map(|month| [(Partitioned::Events, month), (Partitioned::EventIds, month)])
}

/// The partitions that are known to exist.
#[derive(Default)]
pub struct Partitions(HashSet<(Partitioned, Month)>);

impl Partitions {
    /// Makes those that are missing, in a transaction of their own.
    pub fn ensure(
        &mut self,
        database: &Database,
        schema: &Schema,
        wanted: impl IntoIterator<Item = (Partitioned, Month)>,
    ) -> Result<()> {
        let missing: BTreeSet<_> = wanted.into_iter().filter(|partition| !self.0.contains(partition)).collect();
        for (table, month) in missing {
            let exists = existing(database, schema, table)?.contains(&month);
            if !exists {
                make(database, schema, table, month)?;
            }
            self.0.insert((table, month));
        }
        Ok(())
    }

    pub fn forget(&mut self) {
        self.0.clear();
    }
}

fn make(database: &Database, schema: &Schema, table: Partitioned, month: Month) -> Result<()> {
    let (name, partition) = (table.name(), month.partition(table));
    let (from, to) = (month.first, month.next().first);
    let mut session = database.begin(Purpose::Schema)?;
    // To attach a table holds up nobody who writes, unlike making it in its place.
    session.execute(&[
        "LOCK TABLE settings IN SHARE UPDATE EXCLUSIVE MODE",
        &format!("CREATE TABLE IF NOT EXISTS {partition} (LIKE {name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"),
    ])?;
    let is_attached = !session
        .run_one(
            Statement::new(
                "SELECT 1 FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                 WHERE nspname = $1 AND relname = $2 AND relispartition",
            )
            .text(schema.as_str())
            .text(partition.clone()),
        )?
        .is_empty();
    if !is_attached {
        // chrono writes years past 9999 with a sign, which PostgreSQL does not read.
        let bound = |day: NaiveDate| format!("'{:04}-{:02}-{:02} 00:00:00+00'", day.year(), day.month(), day.day());
        let bounds = format!("FROM ({}) TO ({})", bound(from), bound(to));
        session.execute(&[&format!("ALTER TABLE {name} ATTACH PARTITION {partition} FOR VALUES {bounds}")])?;
    }
    session.finish(&[])?;
    Ok(())
}

/// The months that a table has partitions for, the oldest first.
pub fn existing(database: &Database, schema: &Schema, table: Partitioned) -> Result<Vec<Month>> {
    let mut session = database.begin(Purpose::Read)?;
    let rows = session.run_one(
        Statement::new(
            "SELECT part.relname FROM pg_inherits
             JOIN pg_class part ON part.oid = inhrelid
             JOIN pg_class parent ON parent.oid = inhparent
             JOIN pg_namespace n ON n.oid = parent.relnamespace
             WHERE n.nspname = $1 AND parent.relname = $2",
        )
        .text(schema.as_str())
        .text(table.name()),
    )?;
    session.finish(&[])?;
    let mut months = Vec::new();
    for row in rows {
        months.extend(Month::from_partition(row.try_get(0)?, table));
    }
    months.sort_unstable();
    Ok(months)
}

/// Drops what ended before a month. Somebody who reads it is not kept waiting for long: then it is tried another time.
pub fn drop_before(database: &Database, schema: &Schema, table: Partitioned, first_kept: Month) -> Result<usize> {
    let old: Vec<_> = existing(database, schema, table)?.into_iter().filter(|month| *month < first_kept).collect();
    for month in &old {
        let mut session = database.begin(Purpose::Schema)?;
        session
            .execute(&["SET LOCAL lock_timeout = '1s'", &format!("DROP TABLE IF EXISTS {}", month.partition(table))])?;
        session.finish(&[])?;
    }
    Ok(old.len())
}

/// The newest month that holds anything.
pub fn newest_written(database: &Database, schema: &Schema) -> Result<Option<Month>> {
    for month in existing(database, schema, Partitioned::EventIds)?.into_iter().rev() {
        let statement = Statement::new("SELECT 1 FROM event_ids WHERE recorded_at >= $1 AND recorded_at < $2 LIMIT 1")
            .with(month.start(), Type::TIMESTAMPTZ)
            .with(month.next().start(), Type::TIMESTAMPTZ);
        if !database.begin(Purpose::Report)?.finish(&[statement])?.concat().is_empty() {
            return Ok(Some(month));
        }
    }
    Ok(None)
}
