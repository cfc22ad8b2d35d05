//! Opening connections, with the settings that every one of them needs.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::SqliteError;
use crate::{Code, Error, Result};

/// How long to wait for another process's transaction. Transactions take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const CACHED_STATEMENTS: usize = 64;

pub fn open_writer(path: &Path) -> Result<Connection> {
    if let Some(dir) = path.parent() {
        make_dir(dir)?;
    }
    // What another program left in its log must stay there, even if we are the last to close its file. Whose file this
    // is, `migrate` finds out.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = Path::new(&log).exists();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let opened = open(path, flags).and_then(|connection| {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)?;
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
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // Without this SQLite plans some statements anew for every value bound, which costs ten times what running them does.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // In WAL mode NORMAL loses nothing when the process dies; a power cut may take the last moments.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(connection)
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
