//! Bringing the schema up to date. To change it, add a file with the next number and list it here.
//!
//! All missing migrations run in one transaction, which holds a lock: any number of processes may start at once. The role
//! needs no more than the right to make a schema in its database, or one that is its own.

use super::database::{Database, Purpose, Statement};
use super::error::Result;
use super::options::Schema;
use crate::{Code, Error};

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_foundation.sql"),
    include_str!("migrations/0002_stripe_events.sql"),
    include_str!("migrations/0003_outbox.sql"),
    include_str!("migrations/0004_catalog.sql"),
    include_str!("migrations/0005_spend_cap.sql"),
    include_str!("migrations/0006_window_usage.sql"),
    include_str!("migrations/0007_quantities.sql"),
    include_str!("migrations/0008_credits.sql"),
    include_str!("migrations/0009_former_tiers.sql"),
    include_str!("migrations/0010_alerts.sql"),
];

/// Says that a schema is ours, and how many migrations it has had.
const MARK: &str = "weighbridge schema ";

pub fn run(database: &Database, schema: &Schema) -> Result<()> {
    // Most often nothing is missing, and then nobody has to wait for the lock.
    let mut session = database.begin(Purpose::Read)?;
    let version = known_version(&mut session, schema, &database.place)?;
    session.finish(&[])?;
    if version == Some(MIGRATIONS.len()) {
        return Ok(());
    }
    let mut session = database.begin(Purpose::Schema)?;
    let name = schema.as_str().to_owned();
    session.run_one(
        Statement::new("SELECT pg_advisory_xact_lock(hashtextextended('weighbridge ' || $1, 0))").text(name),
    )?;
    let version = known_version(&mut session, schema, &database.place)?;
    let quoted = schema.quoted();
    if version.is_none() {
        session.execute(&[&format!("CREATE SCHEMA IF NOT EXISTS {quoted}")])?;
    }
    for sql in &MIGRATIONS[version.unwrap_or(0)..] {
        session.execute(&[sql])?;
    }
    session.execute(&[&format!("COMMENT ON SCHEMA {quoted} IS '{MARK}{}'", MIGRATIONS.len())])?;
    session.finish(&[])?;
    Ok(())
}

/// Whether there is a schema of ours. One of an older Weighbridge is brought up to date when it is opened.
pub fn is_there(database: &Database, schema: &Schema) -> Result<bool> {
    let mut session = database.begin(Purpose::Read)?;
    let version = known_version(&mut session, schema, &database.place)?;
    session.finish(&[])?;
    Ok(version.is_some())
}

/// How many migrations the schema has had; `None` where it is empty or not there. Anything else in it must not be touched.
fn known_version(session: &mut super::database::Session<'_>, schema: &Schema, place: &str) -> Result<Option<usize>> {
    let found = session.run_one(
        Statement::new(
            "SELECT obj_description(oid, 'pg_namespace'),
                    EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = pg_namespace.oid)
             FROM pg_namespace WHERE nspname = $1",
        )
        .text(schema.as_str()),
    )?;
    let Some(row) = found.first() else { return Ok(None) };
    let (mark, has_tables): (Option<String>, bool) = (row.try_get(0)?, row.try_get(1)?);
    let version = mark.as_deref().and_then(|mark| mark.strip_prefix(MARK)?.parse::<usize>().ok());
    let name = schema.as_str();
    match version {
        Some(version) if version <= MIGRATIONS.len() => Ok(Some(version)),
        Some(version) => {
            let message = format!(
                "the schema {name:?} of {place} was written by a newer Weighbridge (schema {version}, this one knows \
                 {}); upgrade this one",
                MIGRATIONS.len()
            );
            Err(Error::new(Code::StoreNewer, message).into())
        }
        None if has_tables => {
            let message =
                format!("the schema {name:?} of {place} belongs to another program; choose another one with `schema`");
            Err(Error::new(Code::StoreForeign, message).into())
        }
        None => Ok(None),
    }
}
