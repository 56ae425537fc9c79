//! What is left of a damaged spool, saved into a new one.
//!
//! SQLite reads row by row what its trees still reach, on a copy; where a page is broken, the span
//! of keys behind it is halved again and again until the rows on its far side are reached. What a
//! row says is believed only if its checksum or its fingerprint agrees. Where something is lost, the
//! new spool stands further back than the old one: records are rather delivered twice than never.
//!
//! The damaged files are never written to, and at every instant the spool's own name leads to the
//! damaged file, to a note that is refused as one, or to the whole new file.

mod copy;
mod read;
mod tables;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use confluence_audit_core::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use self::copy::{Tables, copy_what_is_readable, first_page, put_first_page, tables};
use self::tables::Salvage;
use super::SqliteSpool;
use super::check::contradictions;
use super::connection::{
    FILE, PAGE, beside, connect, connect_read_only, create_at, remove_if_there,
};
use super::error::StoreError;
use super::schema::schema_version;
use crate::fs::{sync_directory, unusable};
use crate::state::Lock;
use crate::{Error, Result};

/// What stands in the spool's place for the moment between the old file and the new one.
const NOTE: &str = "confluence-audit state repair was interrupted; run it again.\n";

/// What a repair came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repair {
    /// There is no spool.
    NoSpool,
    /// It is not damaged, and was left alone.
    Sound,
    /// It was damaged, and there is a new one.
    Repaired(Repaired),
}

/// What was saved of a damaged spool, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Repaired {
    /// What was wrong with it.
    pub damage: String,
    /// Where the damaged file is kept.
    pub kept: PathBuf,
    /// Sites whose watermark was saved.
    pub sites: u64,
    /// Outputs whose position was saved.
    pub outputs: u64,
    /// Counts that were saved.
    pub counts: u64,
    /// Records that were saved.
    pub records: u64,
    /// What could not be saved, and what follows from it, as sentences.
    pub lost: Vec<String>,
}

impl SqliteSpool {
    /// Puts what can be read of a damaged spool into a new one, which takes its place; the damaged
    /// one is kept beside it. A spool that is not damaged is left alone. Blocks meanwhile.
    ///
    /// `now` names the kept file.
    ///
    /// # Errors
    ///
    /// [`State`](crate::ErrorKind::State) when the file is of a newer version of this program or
    /// belongs to another one, and [`Io`](crate::ErrorKind::Io) when the disk fails or is full:
    /// what was there before is there still.
    pub fn repair(lock: &Lock, now: Timestamp) -> Result<Repair> {
        let dir = lock.dir();
        let dir = dir.canonicalize().map_err(|error| unusable(dir, error))?;
        Place::new(dir).repair(now)
    }
}

/// The names in the state directory that a repair works with.
struct Place {
    dir: PathBuf,
    spool: PathBuf,
    /// The new spool, from when it is whole and checked.
    repaired: PathBuf,
    work: PathBuf,
}

impl Place {
    fn new(dir: PathBuf) -> Self {
        Self {
            spool: dir.join(FILE),
            repaired: dir.join(format!("{FILE}.repaired")),
            work: dir.join("repair.tmp"),
            dir,
        }
    }

    fn repair(&self, now: Timestamp) -> Result<Repair> {
        if let Some(interrupted) = self.interrupted() {
            self.finish()?;
            return Ok(Repair::Repaired(interrupted));
        }
        let log = beside(&self.spool, "-wal");
        if self.spool.symlink_metadata().is_err() && log.symlink_metadata().is_err() {
            return Ok(Repair::NoSpool);
        }
        let damage = match self.damage() {
            Ok(None) => return Ok(Repair::Sound),
            Ok(Some(damage)) => damage,
            Err(error) => return Err(error.explain(&self.spool, "repairing it")),
        };
        self.clear()?;
        DirBuilder::new()
            .mode(0o700)
            .create(&self.work)
            .map_err(|error| unusable(&self.work, error))?;
        let mut repaired = self
            .save()
            .map_err(|error| error.explain(&self.spool, "repairing it"))?;
        repaired.damage = damage;
        repaired.kept = self.keep(now)?;
        self.note(&repaired)?;
        self.finish()?;
        Ok(Repair::Repaired(repaired))
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
            Err(StoreError::Newer(version)) => {
                Ok(Some(format!("it claims schema version {version}")))
            }
            Err(StoreError::Older(_)) => {
                let connection = connect(&self.spool)?;
                let verdict: String = connection
                    .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
                    .unwrap_or_else(|error| error.to_string());
                Ok((verdict != "ok").then_some(verdict))
            }
            other => other,
        }
    }

    /// What an interrupted repair had found out, if it had come as far as the note.
    fn interrupted(&self) -> Option<Repaired> {
        let text = fs::read_to_string(&self.spool).ok()?;
        let report = text.strip_prefix(NOTE)?;
        if !self.repaired.exists() {
            return None;
        }
        serde_json::from_str(report).ok()
    }

    /// Copies what is there, reads the copy, and leaves a new spool at `repaired`.
    fn save(&self) -> Result<Repaired, StoreError> {
        let copy = self.work.join(FILE);
        let target = self.work.join("new.sqlite3");
        create_at(&target).map_err(|error| StoreError::Rule(error.to_string()))?;
        let graft = first_page(&target)?;
        let source = self.source(&copy, &graft)?;
        let mut new = connect(&target)?;
        new.pragma_update(None, "foreign_keys", true)?;
        new.pragma_update(None, "synchronous", "FULL")?;
        let transaction = new.transaction()?;
        let repaired = match &source {
            Some(source) => Salvage::new(source, &transaction)?.run()?,
            None => Repaired {
                lost: vec![
                    "everything: nothing of the file could be understood. The next run begins \
                     with the first record that the site retains, and delivers again what was \
                     delivered"
                        .to_owned(),
                ],
                ..Repaired::default()
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
        fs::rename(&target, &self.repaired)?;
        sync_directory(&self.dir)?;
        Ok(repaired)
    }

    /// A connection to a copy in which our tables are to be found: the file as it is; with the
    /// first page of a new spool, which is the same in every spool but for a few numbers that
    /// reading does not need; or that without the log.
    fn source(&self, copy: &Path, graft: &[u8; PAGE]) -> Result<Option<Connection>, StoreError> {
        for (grafted, with_log) in [(false, true), (true, true), (true, false)] {
            for suffix in ["", "-wal", "-shm"] {
                let file = beside(copy, suffix);
                remove_if_there(&file).map_err(|error| StoreError::Rule(error.to_string()))?;
            }
            copy_what_is_readable(&self.spool, copy)?;
            if with_log {
                copy_what_is_readable(&beside(&self.spool, "-wal"), &beside(copy, "-wal"))?;
            }
            if grafted {
                put_first_page(copy, graft)?;
            }
            match tables(copy) {
                Ok((connection, Tables::Ours)) => return Ok(Some(connection)),
                Ok((_, Tables::Foreign)) if !grafted => return Err(StoreError::Foreign),
                Ok((connection, Tables::Unknown)) if !grafted => {
                    if let Err(StoreError::Newer(version)) = schema_version(&connection) {
                        return Err(StoreError::Newer(version));
                    }
                }
                Ok(_) | Err(StoreError::Sqlite(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
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
                fs::hard_link(&from, &to)
                    .or_else(|_| {
                        fs::copy(&from, &to)?;
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
    fn note(&self, repaired: &Repaired) -> Result<()> {
        let report = serde_json::to_string(repaired)
            .map_err(|error| Error::internal("a report is not JSON").with_source(error))?;
        let path = self.work.join("note");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(NOTE.as_bytes())?;
            file.write_all(report.as_bytes())?;
            file.sync_all()?;
            fs::rename(&path, &self.spool)?;
            sync_directory(&self.dir)
        };
        write().map_err(|error| unusable(&self.spool, error))
    }

    /// From the note to the new file.
    fn finish(&self) -> Result<()> {
        for suffix in ["-wal", "-shm"] {
            remove_if_there(&beside(&self.spool, suffix))?;
        }
        sync_directory(&self.dir)
            .and_then(|()| fs::rename(&self.repaired, &self.spool))
            .and_then(|()| sync_directory(&self.dir))
            .map_err(|error| unusable(&self.spool, error))?;
        self.clear()
    }

    fn clear(&self) -> Result<()> {
        remove_if_there(&self.repaired)?;
        match fs::remove_dir_all(&self.work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(unusable(&self.work, error))
            }
            _ => Ok(()),
        }
    }
}
