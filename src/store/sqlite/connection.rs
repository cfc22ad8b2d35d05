//! Opening connections, with the settings that every one of them needs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::SqliteError;
use crate::store::Durability;
use crate::{Code, Error, Result};

/// How long to wait for another process's transaction: five seconds. Transactions take milliseconds.
///
/// SQLite's own waiting backs off to a tenth of a second at a time, and of two busy processes one then starves. Short naps
/// keep them even.
const NAP: Duration = Duration::from_micros(500);
const NAPS: i32 = 10_000;
const CACHED_STATEMENTS: usize = 64;
/// The housekeeper waits less: while it empties the log it keeps writers waiting, and it can do so the next second.
const HOUSEKEEPER_NAPS: i32 = 40;
/// A log of more pages than these is moved into the database, and of more than the second number emptied, for which
/// writers have to wait a moment. Two busy processes otherwise let it grow for ever: it can only be begun anew while
/// nobody appends to it.
const PAGES_TO_CHECKPOINT: u64 = 1_000;
const PAGES_TO_EMPTY: u64 = 16_000;
const PAGE: u64 = 4_096;

pub fn open_writer(path: &Path, durability: Durability) -> Result<Connection> {
    if let Some(dir) = path.parent() {
        make_dir(dir)?;
    }
    // What another program left in its log must stay there, even if we are the last to close its file. Whose file this
    // is, `migrate` finds out.
    let has_log = log_of(path).exists();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let opened = open(path, flags).and_then(|connection| {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)?;
        let synchronous = match durability {
            // In WAL mode this loses nothing when the process dies; a power cut may take the last moments.
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        // The housekeeper does that, so that no commit has to wait for it.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(connection)
    });
    opened.map_err(|error| {
        // SQLite says "unable to open" where the directory may not be written, and that is what a user can mend.
        let cannot_open = error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen);
        match SqliteError::from(error).at(path) {
            error if cannot_open => Error::new(
                Code::StoreReadOnly,
                format!("{}; give this process the right to write its directory", error.message),
            ),
            error => error,
        }
    })
}

pub fn open_reader(path: &Path) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| connection.pragma_update(None, "query_only", true).map(|()| connection))
        .map_err(|error| SqliteError::from(error).at(path))
}

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_handler(Some(nap))?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // Without this SQLite plans some statements anew for every value bound, which costs ten times what running them does.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn nap(naps: i32) -> bool {
    std::thread::sleep(NAP);
    naps < NAPS
}

/// The connection that keeps the log small.
pub fn open_housekeeper(path: &Path) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|mut connection| connection.busy_handler(Some(short_nap)).map(|()| connection))
        .map_err(|error| SqliteError::from(error).at(path))
}

fn short_nap(naps: i32) -> bool {
    std::thread::sleep(NAP);
    naps < HOUSEKEEPER_NAPS
}

/// Moves the log into the database where it has grown, and empties it where nobody reads what is in it.
pub fn checkpoint(connection: &Connection, path: &Path) -> Result<()> {
    let pages = std::fs::metadata(log_of(path)).map_or(0, |log| log.len() / PAGE);
    if pages < PAGES_TO_CHECKPOINT {
        return Ok(());
    }
    let run = |mode| connection.query_row(mode, [], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
    let checkpointed = run("PRAGMA wal_checkpoint(PASSIVE)").and_then(|(all, moved)| {
        if pages >= PAGES_TO_EMPTY && all == moved { run("PRAGMA wal_checkpoint(TRUNCATE)") } else { Ok((all, moved)) }
    });
    checkpointed.map(drop).map_err(|error| SqliteError::from(error).at(path))
}

/// Brings the log to the disk: what it holds is committed, and what it no longer holds was synced when it was moved.
pub fn sync(path: &Path) -> Result<()> {
    let log = log_of(path);
    let synced = std::fs::File::open(&log).and_then(|file| file.sync_data()).and_then(|()| {
        // The log may be new: its name has to be there, too.
        let directory = path.parent().filter(|_| cfg!(unix)).map(std::fs::File::open);
        directory.map_or(Ok(()), |directory| directory?.sync_all())
    });
    match synced {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::new(Code::StoreUnavailable, format!("{} cannot be synced: {error}", log.display())))
        }
        _ => Ok(()),
    }
}

fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

fn make_dir(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Code::StoreReadOnly,
            std::io::ErrorKind::StorageFull => Code::StoreFull,
            _ => Code::StoreUnavailable,
        };
        Error::new(code, format!("the directory {} cannot be made: {error}", dir.display()))
    })
}
