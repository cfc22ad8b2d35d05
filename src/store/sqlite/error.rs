//! What SQLite's errors mean to a user.

use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::{Code, Error};

pub type Result<T> = std::result::Result<T, SqliteError>;

/// An error that does not yet name the file it is about.
#[derive(Debug)]
pub enum SqliteError {
    Sqlite(rusqlite::Error),
    Other(Error),
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        SqliteError::Sqlite(error)
    }
}

impl From<rusqlite::types::FromSqlError> for SqliteError {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        SqliteError::Sqlite(error.into())
    }
}

impl From<Error> for SqliteError {
    fn from(error: Error) -> Self {
        SqliteError::Other(error)
    }
}

impl SqliteError {
    pub fn at(self, path: &Path) -> Error {
        let error = match self {
            SqliteError::Sqlite(error) => error,
            SqliteError::Other(error) => return error,
        };
        let path = path.display();
        // The file of shared memory cannot grow: SQLite says "I/O error".
        let no_room = error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE);
        let (code, message) = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                Code::StoreBusy,
                format!("another process held the lock of {path} for more than five seconds; try again"),
            ),
            Some(code) if no_room || code == ErrorCode::DiskFull => {
                (Code::StoreFull, format!("the disk that holds {path} is full; make room, then try again"))
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                (Code::StoreReadOnly, format!("{path} cannot be written; give this process the right to write it"))
            }
            Some(ErrorCode::NotADatabase) => (
                Code::StoreForeign,
                format!("{path} is not a Weighbridge database; choose another `dir` or move it away"),
            ),
            Some(ErrorCode::DatabaseCorrupt) => {
                (Code::StoreCorrupt, format!("{path} is damaged; restore it from a backup: {error}"))
            }
            Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
                (Code::StoreRejected, format!("{path} cannot hold this: {error}"))
            }
            _ => (Code::StoreUnavailable, format!("{path} cannot be used: {error}")),
        };
        Error::new(code, message)
    }
}
