//! Bringing the schema up to date. To change it, add a file with the next number and list it here.
//!
//! SQLite's own header carries the two numbers that this needs: `application_id` says whose file it is, `user_version`
//! how many migrations it has had. All missing ones run in one transaction, so two processes may start at once.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::Result;
use super::event_ids;
use crate::{Code, Error};

/// What SQL cannot say is done by a function after it.
const MIGRATIONS: &[(&str, Step)] = &[
    (include_str!("migrations/0001_foundation.sql"), sql_only),
    (include_str!("migrations/0002_event_ids.sql"), event_ids::migration::run),
    (include_str!("migrations/0003_leases.sql"), sql_only),
    (include_str!("migrations/0004_stripe_events.sql"), sql_only),
    (include_str!("migrations/0005_outbox.sql"), sql_only),
    (include_str!("migrations/0006_catalog.sql"), sql_only),
    (include_str!("migrations/0007_spend_cap.sql"), sql_only),
    (include_str!("migrations/0008_window_usage.sql"), sql_only),
    (include_str!("migrations/0009_quantities.sql"), sql_only),
    (include_str!("migrations/0010_credits.sql"), sql_only),
    (include_str!("migrations/0011_former_tiers.sql"), sql_only),
    (include_str!("migrations/0012_alerts.sql"), sql_only),
];

type Step = fn(&Connection) -> Result<()>;

fn sql_only(_: &Connection) -> Result<()> {
    Ok(())
}

/// "WBRG".
const APPLICATION_ID: i64 = 0x5742_5247;

pub fn run(connection: &mut Connection, path: &Path) -> Result<()> {
    known_version(&connection.transaction()?, path)?;
    // It is ours: see `connection::open_writer`.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;

    enter_wal_mode(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = known_version(&transaction, path)?;
    for (sql, step) in &MIGRATIONS[version..] {
        transaction.execute_batch(sql)?;
        step(&transaction)?;
    }
    if version < MIGRATIONS.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    }
    Ok(transaction.commit()?)
}

/// Refuses a file that is not ours, and one that has never had a migration or not all of them.
pub fn check(connection: &mut Connection, path: &Path) -> Result<()> {
    let version = known_version(&connection.transaction()?, path)?;
    if version == MIGRATIONS.len() {
        return Ok(());
    }
    let message = format!("{} is of an older Weighbridge; open it once with this one", path.display());
    Err(Error::invalid(message).into())
}

/// How many migrations the file has had. Only an empty file, or one of ours that is not newer than we are, may be written
/// to, not even to enter WAL mode.
///
/// It takes a transaction, because another process may be making the very same file.
fn known_version(transaction: &Transaction<'_>, path: &Path) -> Result<usize> {
    let application_id: i64 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let objects: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let path = path.display();
    match usize::try_from(version) {
        Ok(version) if application_id == APPLICATION_ID && version <= MIGRATIONS.len() => Ok(version),
        Ok(0) if application_id == 0 && objects == 0 => Ok(0),
        _ if application_id == APPLICATION_ID => {
            let message = format!(
                "{path} was written by a newer Weighbridge (schema {version}, this one knows {}); upgrade this one",
                MIGRATIONS.len()
            );
            Err(Error::new(Code::StoreNewer, message).into())
        }
        _ => {
            let message = format!("{path} is the database of another program; choose another `dir` or move it away");
            Err(Error::new(Code::StoreForeign, message).into())
        }
    }
}

/// Changing the journal mode needs the file to itself for a moment and does not wait for it on its own.
fn enter_wal_mode(connection: &Connection) -> Result<()> {
    const ATTEMPTS: u32 = 100;
    for attempt in 1.. {
        let mode: rusqlite::Result<String> =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
        match mode {
            Err(error) if is_busy(&error) && attempt < ATTEMPTS => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            Err(error) => return Err(error.into()),
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => break,
            Ok(mode) => {
                let message = format!(
                    "SQLite cannot use its write-ahead log here (it stays in mode {mode:?}), most likely because the \
                     database lies on a network file system; choose a `dir` on a local disk"
                );
                return Err(Error::new(Code::StoreUnavailable, message).into());
            }
        }
    }
    Ok(())
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}
