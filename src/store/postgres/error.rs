//! What PostgreSQL's errors mean to a user.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use crate::{Code, Error};

pub type Result<T> = std::result::Result<T, PostgresError>;

/// Classes of errors that lie in what was to be written: data, constraints, limits. See
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const REJECTIONS: [&str; 3] = ["22", "23", "54"];

/// An error that does not yet name the database it is about.
#[derive(Debug)]
pub enum PostgresError {
    Postgres(tokio_postgres::Error),
    /// The server did not answer in time; whether it did what it was asked is not known.
    Timeout,
    /// The group was decided upon what has changed meanwhile.
    Outdated,
    Other(Error),
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        PostgresError::Postgres(error)
    }
}

impl From<Error> for PostgresError {
    fn from(error: Error) -> Self {
        PostgresError::Other(error)
    }
}

impl PostgresError {
    fn state(&self) -> Option<&SqlState> {
        match self {
            PostgresError::Postgres(error) => error.code(),
            _ => None,
        }
    }

    /// The statement met an error of a statement before it: that one is the cause.
    pub fn is_consequence(&self) -> bool {
        self.state() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
    }

    /// The transaction lost against others, or was decided upon what has changed: the next time it may pass.
    pub fn is_worth_repeating(&self) -> bool {
        let states = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
        matches!(self, PostgresError::Outdated) || self.state().is_some_and(|state| states.contains(state))
    }

    /// A statement has checked what must be so, and it is not.
    pub fn is_refused(&self) -> bool {
        let states = [SqlState::DIVISION_BY_ZERO, SqlState::CHECK_VIOLATION];
        self.state().is_some_and(|state| states.contains(state))
    }

    /// The connection is gone, or leads to a server that can do nothing for us now; another one may help.
    pub fn is_disconnection(&self) -> bool {
        let PostgresError::Postgres(error) = self else { return matches!(self, PostgresError::Timeout) };
        let Some(state) = error.code() else { return true };
        let states = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ];
        state.code().starts_with("08") || states.contains(state)
    }

    /// The server cannot be reached, as was found out before.
    pub fn is_outage(&self) -> bool {
        matches!(self, PostgresError::Other(error) if error.code.is_outage())
    }

    /// `place` names the database, without a password.
    pub fn at(self, place: &str) -> Error {
        let error = match self {
            PostgresError::Postgres(error) => error,
            PostgresError::Timeout => {
                let message = format!("{place} has not answered in time; it is tried again");
                return Error::new(Code::StoreTimeout, message);
            }
            PostgresError::Outdated => {
                let message = format!("others were always faster on {place}; try again");
                return Error::new(Code::StoreBusy, message);
            }
            PostgresError::Other(error) => return error,
        };
        let reason = reason(&error);
        if let Some(state) = error.code()
            && REJECTIONS.contains(&&state.code()[..2])
        {
            return Error::new(Code::StoreRejected, format!("{place} cannot hold this: {reason}"));
        }
        let (code, advice) = match error.code() {
            Some(state) if *state == SqlState::DISK_FULL => (Code::StoreFull, "make room on its disk"),
            Some(state) if *state == SqlState::READ_ONLY_SQL_TRANSACTION => {
                (Code::StoreReadOnly, "connect to the primary server")
            }
            Some(state) if *state == SqlState::INSUFFICIENT_PRIVILEGE => {
                (Code::StoreReadOnly, "grant the role the rights that the README lists")
            }
            Some(state) if *state == SqlState::LOCK_NOT_AVAILABLE || *state == SqlState::T_R_DEADLOCK_DETECTED => {
                (Code::StoreBusy, "others hold its locks; try again")
            }
            Some(state) if *state == SqlState::QUERY_CANCELED => (Code::StoreTimeout, "try again"),
            Some(state) if *state == SqlState::DATA_CORRUPTED || *state == SqlState::INDEX_CORRUPTED => {
                (Code::StoreCorrupt, "restore it from a backup")
            }
            _ => (Code::StoreUnavailable, "see that it runs and that the URL is right"),
        };
        Error::new(code, format!("{place} cannot be used: {reason}; {advice}"))
    }
}

/// The server's own words, or what kept us from reaching it. None of them holds a password.
fn reason(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
