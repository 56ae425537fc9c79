//! `[state]`: what is kept between runs.

use std::path::PathBuf;

use crate::table::{Table, Text};

/// What is kept between runs, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The directory, where the file names one. A relative path is relative to the working
    /// directory, as in a flag.
    pub dir: Option<PathBuf>,
    /// How many bytes of records may wait for outputs before collecting waits too.
    pub spool_limit: u64,
}

impl Default for State {
    /// 1 GiB: a day of the largest sites, and a month of most.
    fn default() -> Self {
        Self {
            dir: None,
            spool_limit: 1 << 30,
        }
    }
}

impl State {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let default = Self::default();
        table.text(
            "url",
            "a database, in a later version",
            |url| -> Result<(), _> {
                Err(url.mistake(
                    "a state in a database ([state] url) is not supported in this version",
                    "Use `dir`, a directory on a local disk.",
                ))
            },
        );
        Self {
            dir: table.text(
                "dir",
                "the directory of the state, on a local disk",
                Text::path,
            ),
            spool_limit: table
                .text(
                    "spool_limit",
                    "how many bytes of records may wait for outputs before collecting waits too",
                    Text::size,
                )
                .unwrap_or(default.spool_limit),
        }
    }
}
