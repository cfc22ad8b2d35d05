//! Bringing the schema up to date. To change it, add a file with the next number and list it here.
//!
//! SQLite's own header carries the two numbers that this needs: `application_id` says whose file it is, `user_version`
//! how many migrations it has had. All missing ones run in one transaction, so two processes may start at once.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::error::Result;
use crate::{Code, Error};

const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_foundation.sql")];

/// "WBRG".
const APPLICATION_ID: i64 = 0x5742_5247;

pub fn run(connection: &mut Connection, path: &Path) -> Result<()> {
    refuse_foreign(connection, path)?;
    enter_wal_mode(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: usize = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > MIGRATIONS.len() {
        let message = format!(
            "{} was written by a newer Weighbridge (schema {version}, this one knows {}); upgrade this one",
            path.display(),
            MIGRATIONS.len()
        );
        return Err(Error::new(Code::StoreNewer, message).into());
    }
    for migration in &MIGRATIONS[version..] {
        transaction.execute_batch(migration)?;
    }
    if version < MIGRATIONS.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    }
    Ok(transaction.commit()?)
}

/// Only an empty file or one of ours may be written to, not even to enter WAL mode.
fn refuse_foreign(connection: &Connection, path: &Path) -> Result<()> {
    let application_id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application_id == APPLICATION_ID || (application_id == 0 && objects == 0) {
        return Ok(());
    }
    let message =
        format!("{} is the database of another program; choose another `dir` or move it away", path.display());
    Err(Error::new(Code::StoreForeign, message).into())
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
            other => {
                other?;
                break;
            }
        }
    }
    Ok(())
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}
