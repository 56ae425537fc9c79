//! Recovery of a damaged spool: what can be read of it goes into a new one.
//!
//! It works on a copy. Each table that reads whole, and whose checksums hold, is kept; each that
//! does not counts as lost, and what follows from that is done and reported: the new spool stands
//! further back than the old one, since records are rather delivered twice than never.
//!
//! The damaged files are never written to, and at every instant the spool's own name leads to the
//! damaged file, to a note that is refused as one, or to the whole new file.

mod copy;
mod report;
mod tables;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use confluence_audit_core::Timestamp;
use rusqlite::Connection;

use self::copy::{Tables, copy_what_is_readable, tables};
use self::tables::keep_what_is_whole;
use super::check::contradictions;
use super::connection::{FILE, beside, connect, connect_read_only, create_at, remove_if_there};
use super::error::StoreError;
use super::schema::check_version;
use crate::fs::{self, sync_directory, unusable};
use crate::{Error, Result};

pub use self::report::{Recovered, Recovery};

/// What stands in the spool's place for the moment between the old file and the new one.
const NOTE: &str = "confluence-audit state recover was interrupted; run it again.\n";

/// Recovers the spool in the state directory `dir`, if it is damaged. `now` names the kept file.
pub(super) fn recover(dir: PathBuf, now: Timestamp) -> Result<Recovery> {
    RecoveryDir::new(dir).recover(now)
}

/// The names in the state directory that a recovery works with.
struct RecoveryDir {
    dir: PathBuf,
    spool: PathBuf,
    /// The new spool, from when it is whole and checked.
    recovered: PathBuf,
    work: PathBuf,
}

impl RecoveryDir {
    fn new(dir: PathBuf) -> Self {
        Self {
            spool: dir.join(FILE),
            recovered: dir.join(format!("{FILE}.recovered")),
            work: dir.join("recover.tmp"),
            dir,
        }
    }

    fn recover(&self, now: Timestamp) -> Result<Recovery> {
        if let Some(interrupted) = self.interrupted() {
            self.finish()?;
            return Ok(Recovery::Recovered(interrupted));
        }
        let log = beside(&self.spool, "-wal");
        if self.spool.symlink_metadata().is_err() && log.symlink_metadata().is_err() {
            return Ok(Recovery::NoSpool);
        }
        let damage = match self.damage() {
            Ok(None) => return Ok(Recovery::Sound),
            Ok(Some(damage)) => damage,
            Err(error) => return Err(error.explain(&self.spool, "recovering it")),
        };
        self.clear()?;
        DirBuilder::new()
            .mode(0o700)
            .create(&self.work)
            .map_err(|error| unusable(&self.work, error))?;
        let mut recovered = self
            .save()
            .map_err(|error| error.explain(&self.spool, "recovering it"))?;
        recovered.damage = damage;
        recovered.kept = self.keep(now)?;
        self.note(&recovered)?;
        self.finish()?;
        Ok(Recovery::Recovered(recovered))
    }

    /// What is wrong with the spool, if anything.
    fn damage(&self) -> Result<Option<String>, StoreError> {
        let found = connect_read_only(&self.spool).and_then(|connection| {
            let found = contradictions(&connection)?;
            Ok(found.into_iter().next())
        });
        match found {
            Err(StoreError::Damaged(damage)) => Ok(Some(damage)),
            Err(StoreError::File(error)) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Some("it is gone, and its log is there".to_owned()))
            }
            Err(StoreError::Sqlite(error)) => Ok(Some(error.to_string())),
            // Whether it really is, its tables tell.
            Err(StoreError::Newer { found, .. }) => {
                Ok(Some(format!("it claims schema version {found}")))
            }
            other => other,
        }
    }

    /// What an interrupted recovery had found out, if it had come as far as the note.
    fn interrupted(&self) -> Option<Recovered> {
        let text = std::fs::read_to_string(&self.spool).ok()?;
        let report = text.strip_prefix(NOTE)?;
        if !self.recovered.exists() {
            return None;
        }
        serde_json::from_str(report).ok()
    }

    /// Copies what is there, reads the copy, and leaves a new spool at `recovered`.
    fn save(&self) -> Result<Recovered, StoreError> {
        let target = self.work.join("new.sqlite3");
        create_at(&target).map_err(|error| StoreError::Rule(error.to_string()))?;
        let source = self.source()?;
        let mut new = connect(&target)?;
        new.pragma_update(None, "foreign_keys", true)?;
        new.pragma_update(None, "synchronous", "FULL")?;
        let transaction = new.transaction()?;
        let recovered = match &source {
            Some(source) => keep_what_is_whole(source, &transaction)?,
            None => Recovered {
                lost: vec![
                    "everything: nothing of the file could be understood. The next run begins \
                     with the first record that the site retains, and delivers again what was \
                     delivered"
                        .to_owned(),
                ],
                ..Recovered::default()
            },
        };
        if let Some(problem) = contradictions(&transaction)?.into_iter().next() {
            return Err(StoreError::Rule(format!(
                "the new one would be wrong: {problem}"
            )));
        }
        transaction.commit()?;
        drop(source);
        new.close().map_err(|(_, error)| error)?;
        File::open(&target).and_then(|file| file.sync_all())?;
        fs::rename(&target, &self.recovered)?;
        Ok(recovered)
    }

    /// A connection to a copy of the damaged file, if it has our tables.
    fn source(&self) -> Result<Option<Connection>, StoreError> {
        let copy = self.work.join(FILE);
        for suffix in ["", "-wal"] {
            copy_what_is_readable(&beside(&self.spool, suffix), &beside(&copy, suffix))?;
        }
        // Only a log is left.
        if !copy.exists() {
            return Ok(None);
        }
        match tables(&copy) {
            Ok((connection, Tables::Ours)) => Ok(Some(connection)),
            Ok((_, Tables::Foreign)) => Err(StoreError::Foreign),
            Ok((connection, Tables::Unknown)) => match check_version(&connection) {
                Err(error @ (StoreError::Newer { .. } | StoreError::Development)) => Err(error),
                _ => Ok(None),
            },
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the damaged files a second name, and says which.
    fn keep(&self, now: Timestamp) -> Result<PathBuf> {
        let stamp: String = now
            .to_string()
            .chars()
            .take_while(|char| *char != '.')
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let name = |count: u32| {
            let more = if count == 1 {
                String::new()
            } else {
                format!("-{count}")
            };
            self.dir.join(format!("{FILE}.damaged-{stamp}Z{more}"))
        };
        let mut count = 1;
        while name(count).symlink_metadata().is_ok()
            || beside(&name(count), "-wal").symlink_metadata().is_ok()
        {
            count += 1;
        }
        let kept = name(count);
        for suffix in ["", "-wal"] {
            let (from, to) = (beside(&self.spool, suffix), beside(&kept, suffix));
            if from.exists() {
                // A file system without hard links takes a copy.
                std::fs::hard_link(&from, &to)
                    .or_else(|_| {
                        std::fs::copy(&from, &to)?;
                        File::open(&to)?.sync_all()
                    })
                    .map_err(|error| unusable(&to, error))?;
            }
        }
        sync_directory(&self.dir).map_err(|error| unusable(&self.dir, error))?;
        Ok(kept)
    }

    /// Puts the note into the spool's place: from here on the old log may go, which would pass
    /// for the new file's.
    fn note(&self, recovered: &Recovered) -> Result<()> {
        let report = serde_json::to_string(recovered)
            .map_err(|error| Error::internal("a report is not JSON").with_source(error))?;
        let note = format!("{NOTE}{report}");
        fs::replace(&self.spool, 0o600, note.as_bytes())
            .map_err(|error| unusable(&self.spool, error))
    }

    /// From the note to the new file.
    fn finish(&self) -> Result<()> {
        for suffix in ["-wal", "-shm"] {
            remove_if_there(&beside(&self.spool, suffix))?;
        }
        sync_directory(&self.dir)
            .and_then(|()| fs::rename(&self.recovered, &self.spool))
            .map_err(|error| unusable(&self.spool, error))?;
        self.clear()
    }

    fn clear(&self) -> Result<()> {
        remove_if_there(&self.recovered)?;
        match std::fs::remove_dir_all(&self.work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(unusable(&self.work, error))
            }
            _ => Ok(()),
        }
    }
}
