//! What can go wrong in the spool's file, and the error with its remedy that is made of it.

use std::fmt;
use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::fs::unusable;
use crate::{Error, ErrorKind};

/// What can go wrong inside, before it is said where.
#[derive(Debug)]
pub(super) enum StoreError {
    Sqlite(rusqlite::Error),
    File(io::Error),
    /// The file does not hold what we left in it.
    Damaged(String),
    /// The schema has a version that is not known here.
    Newer {
        found: i64,
        known: i64,
    },
    /// It is of a development version before the first release.
    Development,
    /// A good database, of another program.
    Foreign,
    /// The caller broke a rule of the trait.
    Rule(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl StoreError {
    /// Whether the disk failed, as opposed to being full or busy.
    pub(super) fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Sqlite(error)
            if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure))
    }

    /// Whether the file holds something else than what was written.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Sqlite(error) => is_damage(error),
            _ => false,
        }
    }

    pub(super) fn explain(self, path: &Path, what: &str) -> Error {
        let shown = path.display();
        let error = match self {
            Self::Rule(rule) => return Error::internal(format!("the spool {shown}: {rule}")),
            Self::Newer { found, known } => {
                return Error::new(
                    ErrorKind::State,
                    format!(
                        "the spool {shown} has schema version {found}; this program knows \
                         versions up to {known}"
                    ),
                    "A newer confluence-audit has used it. Install that version again, or give \
                     this one another state directory. If there never was a newer one, the file \
                     is damaged: run `confluence-audit state recover`.",
                );
            }
            Self::Development => {
                return Error::new(
                    ErrorKind::State,
                    format!(
                        "the spool {shown} was made by a development version, before the first \
                         release, and was left as it is"
                    ),
                    "Move it away. The next run then reads and delivers all that the site \
                     retains; after `confluence-audit state recover --from-files FILE…` only \
                     what these raw files lack.",
                );
            }
            Self::Foreign => {
                return Error::new(
                    ErrorKind::State,
                    format!("{shown} is the database of another program, and was left as it is"),
                    "Find out what put it there, or choose another state directory.",
                );
            }
            Self::Damaged(verdict) => return damaged(path).with_source(Verdict(verdict)),
            Self::File(error) => return unusable(path, error),
            Self::Sqlite(error) => error,
        };
        if is_damage(&error) {
            return damaged(path).with_source(error);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::new(
                ErrorKind::Locked,
                format!("the spool {shown} is in use by another program ({what})"),
                "Close what has the file open, perhaps an sqlite3 shell or a backup, and try again.",
            ),
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied,
            ) => Error::new(
                ErrorKind::Io,
                format!("the spool {shown}: {what} failed"),
                "See to the disk (free space, health, permissions) and start again. Nothing is \
                 lost: what was not committed is read from the site again.",
            ),
            _ => Error::internal(format!("the spool {shown}: {what} failed")),
        }
        .with_source(error)
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        // A value of another kind than we write.
        rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => true,
        error => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        ),
    }
}

fn damaged(path: &Path) -> Error {
    let dir = path.parent().unwrap_or(path).display();
    Error::new(
        ErrorKind::State,
        format!(
            "the spool {} is damaged and was left as it is",
            path.display()
        ),
        format!(
            "Run `confluence-audit state recover --state-dir {dir}`: it saves what can be read, \
             says what cannot, and keeps the damaged file. With `--from-files` it also takes from \
             your raw files what was delivered. Restoring the state directory from a backup \
             delivers once more what came after it."
        ),
    )
}

/// What a check of the file said, as the cause of an error.
#[derive(Debug)]
struct Verdict(String);

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Verdict {}
