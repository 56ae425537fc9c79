//! What is left of a damaged spool, saved into a new one.
//!
//! SQLite reads row by row what its trees still reach, on a copy; where a page is broken, the span
//! of keys behind it is halved again and again until the rows on its far side are reached. What a
//! row says is believed only if its seal or its fingerprint agrees. Where something is lost, the
//! new spool stands further back than the old one: records are rather delivered twice than never.
//!
//! The damaged files are never written to, and at every instant the spool's own name leads to the
//! damaged file, to a note that is refused as one, or to the whole new file.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use confluence_audit_core::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::SqliteSpool;
use super::sqlite::{
    FILE, Fault, MIGRATIONS, RecordRow, address_seal, beside, check_schema, connect,
    connect_read_only, contradictions, create_at, line_problem, output_seal, record_seal,
    remove_if_there, schema_version, seal_all, seal_site, site_seal, unusable,
};
use crate::local_disk::sync_directory;
use crate::reread::{Reread, longest};
use crate::{Error, Lock, Result};

/// SQLite's own default, which is never changed here.
const PAGE: usize = 4096;

/// How often a broken page may be run into until the rest of a table is given up.
const PROBES: u32 = 20_000;

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
    /// [`State`](crate::ErrorKind::State) when the file is of a newer version of this program or belongs
    /// to another one, and [`Io`](crate::ErrorKind::Io) when the disk fails or is full: what was there
    /// before is there still.
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
            Err(fault) => return Err(fault.explain(&self.spool, "repairing it")),
        };
        self.clear()?;
        DirBuilder::new()
            .mode(0o700)
            .create(&self.work)
            .map_err(|error| unusable(&self.work, error))?;
        let mut repaired = self
            .save()
            .map_err(|fault| fault.explain(&self.spool, "repairing it"))?;
        repaired.damage = damage;
        repaired.kept = self.keep(now)?;
        self.note(&repaired)?;
        self.finish()?;
        Ok(Repair::Repaired(repaired))
    }

    /// What is wrong with the spool, if anything.
    fn damage(&self) -> Result<Option<String>, Fault> {
        let found = connect_read_only(&self.spool).and_then(|connection| {
            let found = contradictions(&connection)?;
            Ok(found.into_iter().next())
        });
        match found {
            Err(Fault::Damaged(damage)) => Ok(Some(damage)),
            Err(Fault::File(error)) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Some("it is gone, and its log is there".to_owned()))
            }
            Err(Fault::Sqlite(error)) => Ok(Some(error.to_string())),
            // Whether it really is, its tables tell.
            Err(Fault::Newer(version)) => Ok(Some(format!("it claims schema version {version}"))),
            Err(Fault::Older(_)) => {
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
    fn save(&self) -> Result<Repaired, Fault> {
        let copy = self.work.join(FILE);
        let target = self.work.join("new.sqlite3");
        create_at(&target).map_err(|error| Fault::Rule(error.to_string()))?;
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
            return Err(Fault::Rule(format!(
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
    fn source(&self, copy: &Path, graft: &[u8; PAGE]) -> Result<Option<Connection>, Fault> {
        for (grafted, with_log) in [(false, true), (true, true), (true, false)] {
            for suffix in ["", "-wal", "-shm"] {
                let file = beside(copy, suffix);
                remove_if_there(&file).map_err(|error| Fault::Rule(error.to_string()))?;
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
                Ok((_, Tables::Foreign)) if !grafted => return Err(Fault::Foreign),
                Ok((connection, Tables::Unknown)) if !grafted => {
                    if let Err(Fault::Newer(version)) = schema_version(&connection) {
                        return Err(Fault::Newer(version));
                    }
                }
                Ok(_) | Err(Fault::Sqlite(_)) => {}
                Err(fault) => return Err(fault),
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

/// Copies `from`, if it is there, with zeros for what the disk does not give.
fn copy_what_is_readable(from: &Path, to: &Path) -> Result<(), Fault> {
    let source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        source => source?,
    };
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    let len = source.metadata()?.len();
    let mut offset = 0;
    let mut block = [0; PAGE];
    while offset < len {
        let wanted = usize::try_from(len - offset).map_or(PAGE, |rest| rest.min(PAGE));
        let block = &mut block[..wanted];
        if source.read_exact_at(block, offset).is_err() {
            block.fill(0);
        }
        target.write_all(block)?;
        offset += wanted as u64;
    }
    Ok(())
}

fn first_page(path: &Path) -> Result<[u8; PAGE], Fault> {
    let mut page = [0; PAGE];
    File::open(path)?.read_exact_at(&mut page, 0)?;
    Ok(page)
}

/// Makes the file whole pages, the first of them `page`.
fn put_first_page(path: &Path, page: &[u8; PAGE]) -> Result<(), Fault> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let pages = file.metadata()?.len().div_ceil(PAGE as u64).max(1);
    file.set_len(pages * PAGE as u64)?;
    let mut page = *page;
    // The size in pages, and no free pages: see "The Database Header" in SQLite's file format.
    let pages = u32::try_from(pages).unwrap_or(u32::MAX);
    page[28..32].copy_from_slice(&pages.to_be_bytes());
    page[32..40].fill(0);
    file.write_all_at(&page, 0)?;
    Ok(())
}

/// Whose tables a database holds.
enum Tables {
    /// Ours, of this version.
    Ours,
    /// Some of ours, or none at all.
    Unknown,
    /// Others.
    Foreign,
}

fn tables(path: &Path) -> Result<(Connection, Tables), Fault> {
    let connection = connect(path)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    let names: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let is_ours = |name: &String| {
        [
            "site",
            "reread",
            "ledger",
            "record",
            "output",
            "address",
            "sqlite_sequence",
        ]
        .contains(&name.as_str())
    };
    let version = schema_version(&connection).unwrap_or(MIGRATIONS.len());
    let tables = match check_schema(&connection, version) {
        Ok(()) => Tables::Ours,
        Err(Fault::Damaged(_)) if names.is_empty() || names.iter().any(is_ours) => Tables::Unknown,
        Err(Fault::Damaged(_)) => Tables::Foreign,
        Err(fault) => return Err(fault),
    };
    Ok((connection, tables))
}

/// One table read as far as it can be.
struct Reading {
    /// Nothing was in the way.
    complete: bool,
}

/// Hands each row that `sql` finds with a key from `?1` to `?2` to `take`, with its key, the first
/// column. `take` says whether the row was good.
///
/// Wider spans are tried before narrower ones, so that a limit on the tries costs little.
fn read_span(
    source: &Connection,
    sql: &str,
    (low, high): (i64, i64),
    take: &mut dyn FnMut(i64, &Row<'_>) -> Result<bool, Fault>,
) -> Result<Reading, Fault> {
    let mut complete = true;
    let mut probes = PROBES;
    let mut spans = VecDeque::from([(low, high)]);
    while let Some((low, high)) = spans.pop_front() {
        let mut reached = low;
        let broken = match source.prepare_cached(sql) {
            Err(_) => true,
            Ok(mut statement) => {
                let mut rows = statement.query(params![low, high])?;
                loop {
                    match rows.next() {
                        Ok(None) => break false,
                        Err(_) => break true,
                        Ok(Some(row)) => match row.get(0) {
                            // A tree that leads back is broken too, and would never end.
                            Ok(key) if (reached..=high).contains(&key) => {
                                reached = key;
                                complete &= take(key, row)?;
                            }
                            _ => break true,
                        },
                    }
                }
            }
        };
        if !broken {
            continue;
        }
        complete = false;
        probes = probes.saturating_sub(1);
        // What was read up to here is not read again.
        let next = reached.saturating_add(i64::from(reached > low));
        if next >= high || probes == 0 {
            continue;
        }
        let middle = i64::try_from(i128::midpoint(next.into(), high.into())).unwrap_or(next);
        spans.push_back((middle.saturating_add(1), high));
        spans.push_back((next, middle));
    }
    Ok(Reading { complete })
}

/// Hands each row that `sql` finds to `take`, once in its order and once in the opposite one: by
/// name there is nothing to halve, and this reaches all but the broken middle. `take` says whether
/// the row was good, and may get it twice.
fn read_from_both_ends(
    source: &Connection,
    sql: &str,
    take: &mut dyn FnMut(&Row<'_>) -> Result<bool, Fault>,
) -> Result<Reading, Fault> {
    let mut complete = true;
    for order in ["ASC", "DESC"] {
        let Ok(mut statement) = source.prepare(&format!("{sql} {order}")) else {
            complete = false;
            continue;
        };
        let mut rows = statement.query([])?;
        // A tree that leads back never ends.
        let mut left = PROBES;
        loop {
            match rows.next() {
                Ok(None) => break,
                Ok(Some(row)) if left > 0 => complete &= take(row)?,
                _ => {
                    complete = false;
                    break;
                }
            }
            left -= 1;
        }
    }
    Ok(Reading { complete })
}

/// A site as the damaged spool had it.
#[derive(Clone, Debug, Default)]
struct Site {
    name: String,
    /// `None` when its row cannot be believed.
    state: Option<(Option<i64>, Option<i64>)>,
}

/// From a damaged database into an empty one.
struct Salvage<'a> {
    source: &'a Connection,
    target: &'a Connection,
    /// Whether rows are sealed: they are since version 2.
    sealed: bool,
    done: Repaired,
}

impl<'a> Salvage<'a> {
    fn new(source: &'a Connection, target: &'a Connection) -> Result<Self, Fault> {
        let sealed: i64 = source.query_row(
            "SELECT count(*) FROM pragma_table_info('site') WHERE name = 'seal'",
            [],
            |row| row.get(0),
        )?;
        Ok(Self {
            source,
            target,
            sealed: sealed == 1 || MIGRATIONS.len() < 2,
            done: Repaired::default(),
        })
    }

    fn lost(&mut self, text: impl Into<String>) {
        self.done.lost.push(text.into());
    }

    fn run(mut self) -> Result<Repaired, Fault> {
        let sites = self.sites()?;
        self.rereads(&sites)?;
        self.addresses()?;
        let outputs = self.outputs()?;
        let last = self
            .source
            .query_row(
                "SELECT max(seq) FROM sqlite_sequence WHERE name = 'record'",
                [],
                |row| row.get::<_, Option<i64>>(0),
            )
            .ok()
            .map(|last| last.unwrap_or(0))
            .filter(|last| *last >= 0);
        let counts_complete = self.counts(&sites)?;
        let records = self.records(&sites, last.or(outputs.last))?;
        if !counts_complete {
            self.lost(
                "a part of the counts: what is read again and is not counted is delivered again",
            );
        }
        let end = last
            .unwrap_or(0)
            .max(outputs.last.unwrap_or(0))
            .max(records.last.unwrap_or(0));
        self.target
            .execute("DELETE FROM sqlite_sequence WHERE name = 'record'", [])?;
        self.target.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('record', ?1)",
            [end],
        )?;
        self.read_again(&sites, &outputs, &records, last)?;
        seal_all(self.target)?;
        // What is spooled was committed and must not come twice.
        self.target.execute(
            "INSERT INTO ledger (site, ms, fingerprint, n)
             SELECT site, ms, fingerprint, max(ordinal) FROM record
             JOIN site ON site.id = record.site
             WHERE site.counted_from IS NULL OR ms >= site.counted_from
             GROUP BY site, ms, fingerprint
             ON CONFLICT DO UPDATE SET n = max(n, excluded.n)",
            [],
        )?;
        Ok(self.done)
    }

    fn sites(&mut self) -> Result<BTreeMap<i64, Site>, Fault> {
        let mut sites: BTreeMap<i64, Site> = BTreeMap::new();
        // The index holds names and numbers a second time, on a page of its own.
        let names = "SELECT id, name FROM site INDEXED BY sqlite_autoindex_site_1
                     WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
        let span = (i64::MIN, i64::MAX);
        let mut complete = read_span(self.source, names, span, &mut |id, row| {
            let Ok(name) = row.get(1) else {
                return Ok(false);
            };
            sites.insert(id, Site { name, state: None });
            Ok(true)
        })?
        .complete;
        let sealed = self.sealed;
        let rows = if sealed {
            "SELECT id, name, watermark, counted_from, seal FROM site NOT INDEXED
             WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
        } else {
            "SELECT id, name, watermark, counted_from FROM site NOT INDEXED
             WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
        };
        complete &= read_span(self.source, rows, span, &mut |id, row| {
            let Ok(name) = row.get::<_, String>(1) else {
                return Ok(false);
            };
            let (Ok(watermark), Ok(counted_from)) = (row.get(2), row.get(3)) else {
                sites.entry(id).or_insert(Site { name, state: None });
                return Ok(false);
            };
            let seal = site_seal(id, &name, watermark, counted_from);
            let good = !sealed || row.get::<_, Vec<u8>>(4).is_ok_and(|found| found == seal);
            if good {
                let state = Some((watermark, counted_from));
                sites.insert(id, Site { name, state });
            } else {
                sites.entry(id).or_insert(Site { name, state: None });
            }
            Ok(good)
        })?
        .complete;
        let mut names = BTreeSet::new();
        sites.retain(|_, site| names.insert(site.name.clone()));
        for (id, site) in &sites {
            let (watermark, counted_from) = site.state.unwrap_or_default();
            self.target.execute(
                "INSERT INTO site (id, name, watermark, counted_from) VALUES (?1, ?2, ?3, ?4)",
                params![id, site.name, watermark, counted_from],
            )?;
            seal_site(self.target, *id)?;
            if site.state.is_some() {
                self.done.sites += 1;
            } else {
                self.lost(format!(
                    "the watermark of the site {}: its next run begins with the first record \
                     that it retains, and delivers again what is not counted",
                    site.name
                ));
            }
        }
        if !complete && sites.values().all(|site| site.state.is_some()) {
            self.lost(
                "perhaps sites: one that `state show` does not name begins with the first record \
                 that it retains, and delivers all of it again",
            );
        }
        Ok(sites)
    }

    fn rereads(&mut self, sites: &BTreeMap<i64, Site>) -> Result<(), Fault> {
        let sql = "SELECT site, step, done FROM reread WHERE site BETWEEN ?1 AND ?2 ORDER BY site";
        let target = self.target;
        // A step whose time is lost is taken once more, which delivers nothing twice.
        read_span(self.source, sql, (0, i64::MAX), &mut |site, row| {
            if let (true, Ok(step), Ok(done)) = (
                sites.contains_key(&site),
                row.get::<_, String>(1),
                row.get::<_, i64>(2),
            ) {
                target.execute(
                    "INSERT OR IGNORE INTO reread (site, step, done) VALUES (?1, ?2, ?3)",
                    params![site, step, done],
                )?;
            }
            Ok(true)
        })?;
        Ok(())
    }

    /// One that is lost is looked up again.
    fn addresses(&mut self) -> Result<(), Fault> {
        let rows = "SELECT url, site, seal FROM address ORDER BY url";
        let target = self.target;
        read_from_both_ends(self.source, rows, &mut |row| {
            let (Ok(url), Ok(site), Ok(seal)) = (
                row.get::<_, String>(0),
                row.get::<_, String>(1),
                row.get::<_, Vec<u8>>(2),
            ) else {
                return Ok(false);
            };
            let good = seal == address_seal(&url, &site);
            if good {
                target.execute(
                    "INSERT OR IGNORE INTO address (url, site, seal) VALUES (?1, ?2, ?3)",
                    params![url, site, seal],
                )?;
            }
            Ok(good)
        })?;
        Ok(())
    }

    fn outputs(&mut self) -> Result<Outputs, Fault> {
        let sealed = if self.sealed { ", seal" } else { "" };
        let mut found: BTreeMap<String, (i64, Option<Vec<u8>>)> = BTreeMap::new();
        let mut unsure = BTreeSet::new();
        let rows = format!("SELECT name, seq, checkpoint{sealed} FROM output ORDER BY name");
        let sealed = self.sealed;
        let complete = read_from_both_ends(self.source, &rows, &mut |row| {
            let (Ok(name), Ok(seq), Ok(checkpoint)) = (
                row.get::<_, String>(0),
                row.get::<_, i64>(1),
                row.get::<_, Option<Vec<u8>>>(2),
            ) else {
                return Ok(false);
            };
            let seal = output_seal(&name, seq, checkpoint.as_deref());
            let good = sealed && row.get::<_, Vec<u8>>(3).is_ok_and(|found| found == seal);
            if good || !sealed && seq >= 0 {
                found.insert(name, (seq, checkpoint));
            } else {
                unsure.insert(name);
            }
            Ok(true)
        })?
        .complete;
        for (name, (seq, checkpoint)) in &found {
            self.target.execute(
                "INSERT INTO output (name, seq, checkpoint, seal) VALUES (?1, ?2, ?3, ?4)",
                params![
                    name,
                    seq,
                    checkpoint,
                    output_seal(name, *seq, checkpoint.as_deref())
                ],
            )?;
            self.done.outputs += 1;
        }
        unsure.retain(|name| !found.contains_key(name));
        let names: Vec<String> = unsure.into_iter().collect();
        let complete = complete && names.is_empty();
        if !complete {
            let which = if names.is_empty() {
                "perhaps of an output that `state show` does not name".to_owned()
            } else {
                names.join(", ")
            };
            self.lost(format!(
                "a position ({which}): that output gets again everything that is still spooled"
            ));
        }
        let positions = || found.values().map(|(seq, _)| *seq);
        Ok(Outputs {
            complete,
            first: positions().min(),
            last: positions().max(),
        })
    }

    fn counts(&mut self, sites: &BTreeMap<i64, Site>) -> Result<bool, Fault> {
        let mut complete = true;
        for id in sites.keys() {
            let sql = format!(
                "SELECT ms, fingerprint, n FROM ledger
                 WHERE site = {id} AND ms BETWEEN ?1 AND ?2 ORDER BY ms"
            );
            let (target, done) = (self.target, &mut self.done);
            complete &= read_span(self.source, &sql, (i64::MIN, i64::MAX), &mut |ms, row| {
                let (Ok(fingerprint), Ok(n)) = (row.get::<_, [u8; 20]>(1), row.get::<_, i64>(2))
                else {
                    return Ok(false);
                };
                if n <= 0 {
                    return Ok(false);
                }
                let mut insert = target.prepare_cached(
                    "INSERT OR IGNORE INTO ledger (site, ms, fingerprint, n)
                     VALUES (?1, ?2, ?3, ?4)",
                )?;
                done.counts += insert.execute(params![id, ms, fingerprint, n])? as u64;
                Ok(true)
            })?
            .complete;
        }
        Ok(complete)
    }

    fn records(
        &mut self,
        sites: &BTreeMap<i64, Site>,
        last: Option<i64>,
    ) -> Result<Records, Fault> {
        let sealed = self.sealed;
        let sql = format!(
            "SELECT seq, site, ms, fingerprint, ordinal, line{} FROM record NOT INDEXED
             WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq",
            if sealed { ", seal" } else { "" }
        );
        let sql = sql.as_str();
        let mut times: BTreeMap<i64, i64> = BTreeMap::new();
        let (target, done) = (self.target, &mut self.done);
        let mut take = |seq: i64, row: &Row<'_>| {
            let (Ok(site), Ok(ms), Ok(fingerprint), Ok(ordinal), Ok(line)) = (
                row.get::<_, i64>(1),
                row.get::<_, i64>(2),
                row.get::<_, [u8; 20]>(3),
                row.get::<_, u32>(4),
                row.get::<_, Vec<u8>>(5),
            ) else {
                return Ok(false);
            };
            let line = Bytes::from(line);
            let seal = record_seal(&RecordRow {
                seq,
                site,
                ms,
                fingerprint: &fingerprint,
                ordinal,
                line: &line,
            });
            let good = !sealed || row.get::<_, Vec<u8>>(6).is_ok_and(|found| found == seal);
            let whole = good && line_problem(ms, fingerprint, &line).is_none();
            if !whole || !sites.contains_key(&site) || ordinal == 0 {
                return Ok(false);
            }
            let mut insert = target.prepare_cached(
                "INSERT OR IGNORE INTO record (seq, site, ms, fingerprint, ordinal, line, seal)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            let line = &line[..];
            let inserted =
                insert.execute(params![seq, site, ms, fingerprint, ordinal, line, seal])?;
            done.records += inserted as u64;
            times.insert(seq, ms);
            Ok(true)
        };
        // Numbers are given out one after the other, so a generous end does no harm.
        let end = last.unwrap_or(0).saturating_add(1 << 24);
        let mut complete = read_span(self.source, sql, (1, end), &mut take)?.complete;
        complete &= read_span(
            self.source,
            sql,
            (end.saturating_add(1), i64::MAX),
            &mut take,
        )?
        .complete;
        Ok(Records {
            complete,
            last: times.keys().next_back().copied(),
            times,
        })
    }

    /// Where records are lost that some output had not got, takes every site back to before
    /// them, and forgets the counts that would keep them from being delivered.
    fn read_again(
        &mut self,
        sites: &BTreeMap<i64, Site>,
        outputs: &Outputs,
        records: &Records,
        last: Option<i64>,
    ) -> Result<(), Fault> {
        let end = last.or(records.last.max(outputs.last)).unwrap_or(0);
        // Up to here every output has everything.
        let first = records.times.keys().next().copied();
        let everywhere = match (outputs.first, first) {
            (Some(first), _) if outputs.complete => first,
            (_, Some(first)) => first.saturating_sub(1),
            // All were swept away.
            (_, None) if records.complete => end,
            (_, None) => 0,
        };
        let waiting = records.times.range(everywhere.saturating_add(1)..);
        let saved = i64::try_from(waiting.clone().count()).unwrap_or(i64::MAX);
        // Numbers have no gaps. A page that has forgotten a part of itself is read without a word,
        // so it is they that tell, not only whether the reading failed.
        let missing = end.saturating_sub(everywhere).saturating_sub(saved).max(0);
        let unsure = !records.complete && (last.is_none() || !outputs.complete);
        if missing == 0 && !unsure {
            return Ok(());
        }
        // The neighbours of what is missing tell about when it was.
        let mut before: Option<i64> = records
            .times
            .range(..=everywhere)
            .next_back()
            .map(|(_, ms)| *ms);
        let mut expected = everywhere.saturating_add(1);
        let mut oldest: Option<i64> = None;
        for (seq, ms) in waiting {
            if *seq != expected {
                oldest = [oldest, before, Some(*ms)].into_iter().flatten().min();
            }
            (before, expected) = (Some(*ms), seq.saturating_add(1));
        }
        if expected <= end || unsure {
            oldest = [oldest, before].into_iter().flatten().min();
        }
        // A record that came late has newer neighbours.
        let late = longest(&Reread::default_schedule());
        let to = oldest.map(|ms| Timestamp::from_millis(ms).saturating_sub(late));
        self.lost(match (missing, to) {
            (0, _) => "perhaps records that some output had not got".to_owned(),
            (missing, _) => format!("up to {missing} records that some output had not got"),
        });
        self.lost(match to {
            Some(to) => format!(
                "therefore all sites are read again from {to} on, and what outputs have of that \
                 time is delivered a second time"
            ),
            None => "therefore all sites are read again from their first record on, and what \
                     outputs have is delivered a second time"
                .to_owned(),
        });
        let from = to.map_or(i64::MIN, Timestamp::as_millis);
        self.target
            .execute("DELETE FROM ledger WHERE ms >= ?1", [from])?;
        // Of copies of one record perhaps only the second was saved: it must not stand for both.
        self.target.execute(
            "UPDATE record SET ordinal = copy.number, seal = NULL FROM (
                 SELECT seq, row_number() OVER (
                     PARTITION BY site, ms, fingerprint ORDER BY seq
                 ) AS number FROM record WHERE ms >= ?1
             ) AS copy WHERE copy.seq = record.seq",
            [from],
        )?;
        for id in sites.keys() {
            // Without a watermark the next run is a first one.
            self.target.execute(
                "UPDATE site SET watermark = iif(?2 IS NULL, NULL, min(watermark, ?2)),
                                 counted_from = iif(?2 IS NULL, NULL, min(counted_from, ?2))
                 WHERE id = ?1",
                params![id, to.map(Timestamp::as_millis)],
            )?;
            seal_site(self.target, *id)?;
        }
        Ok(())
    }
}

/// What was found of the outputs.
struct Outputs {
    complete: bool,
    /// The position of the one that is furthest back.
    first: Option<i64>,
    /// And of the one that is furthest ahead.
    last: Option<i64>,
}

/// What was found of the records.
struct Records {
    complete: bool,
    last: Option<i64>,
    /// Each one's time by its number.
    times: BTreeMap<i64, i64>,
}

#[cfg(test)]
mod tests {
    use confluence_audit_core::{Fingerprint, RawRecord};
    use proptest::prelude::*;
    use tokio::runtime::Builder;

    use super::super::{Commit, NewRecord, SiteState, Spool, Spooled};
    use super::*;
    use crate::output::OutputName;
    use crate::{ErrorKind, SiteId};

    const NOW: Timestamp = Timestamp::from_millis(1_774_540_800_123);
    const HOUR: i64 = 3_600_000;
    const URL: &str = "https://a.example";

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn sites() -> [SiteId; 2] {
        ["a", "b"].map(SiteId::new)
    }

    fn outputs() -> [OutputName; 2] {
        ["fast", "slow"].map(OutputName::new)
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    fn record(ms: i64, ordinal: u32, length: usize) -> NewRecord {
        let line = format!(
            r#"{{"creationDate":{ms},"summary":"{}"}}"#,
            "x".repeat(length)
        );
        let record = RawRecord::parse(line).unwrap();
        NewRecord {
            time: at(ms),
            fingerprint: record.fingerprint(),
            ordinal,
            line: record.line().clone(),
        }
    }

    /// A spool with two sites and two outputs, one of them far behind; with records of every
    /// length, some of them on pages of their own.
    fn fill(dir: &Path) -> SqliteSpool {
        let spool = SqliteSpool::open(dir).unwrap();
        block_on(async {
            for output in &outputs() {
                spool.register(output).await.unwrap();
            }
            for slice in 0..12_i64 {
                for site in &sites() {
                    let mut records = Vec::new();
                    for n in 0..25 {
                        let ms = NOW.as_millis() + slice * 30 * 24 * HOUR + n * 1000;
                        let length = usize::try_from(n * n).unwrap() * if n == 24 { 20 } else { 1 };
                        records.push(record(ms, 1, length));
                        if n % 7 == 0 {
                            records.push(record(ms, 2, length));
                        }
                    }
                    let watermark = records.last().unwrap().time;
                    let commit = Commit {
                        from: NOW,
                        records,
                        watermark,
                        forget_before: at(watermark.as_millis() - 100 * 24 * HOUR),
                        rereads: vec![("24h".to_owned(), watermark)],
                    };
                    spool.commit(site, commit).await.unwrap();
                }
            }
            let [fast, slow] = &outputs();
            spool.confirm(fast, 500, b"{}").await.unwrap();
            spool.confirm(slow, 100, b"{}").await.unwrap();
            spool.set_site_at(URL, Some(&sites()[0])).await.unwrap();
            spool.sweep(&outputs()).await.unwrap();
        });
        spool
    }

    /// The files of a spool.
    #[derive(Clone, Debug, PartialEq)]
    struct Files(Vec<(&'static str, Vec<u8>)>);

    impl Files {
        fn of(dir: &Path) -> Self {
            let read = |suffix| Some((suffix, fs::read(beside(&dir.join(FILE), suffix)).ok()?));
            Self(["", "-wal", "-shm"].into_iter().filter_map(read).collect())
        }

        fn put(&self, dir: &Path) {
            for (suffix, bytes) in &self.0 {
                fs::write(beside(&dir.join(FILE), suffix), bytes).unwrap();
            }
        }

        fn file(&mut self, suffix: &str) -> &mut Vec<u8> {
            let found = self.0.iter_mut().find(|(found, _)| *found == suffix);
            &mut found.unwrap().1
        }

        fn without(mut self, suffix: &str) -> Self {
            self.0.retain(|(found, _)| *found != suffix);
            self
        }
    }

    /// A spool that was closed, and one whose process was killed.
    fn templates() -> &'static [(Files, Held); 2] {
        static TEMPLATES: std::sync::OnceLock<[(Files, Held); 2]> = std::sync::OnceLock::new();
        TEMPLATES.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let spool = fill(dir.path());
            let held = Held::of(&spool).unwrap();
            let killed = Files::of(dir.path());
            assert_eq!(killed.0.len(), 3);
            drop(spool);
            let closed = Files::of(dir.path());
            assert_eq!(closed.0.len(), 1);
            assert!(closed.0[0].1.len() > 50 * PAGE);
            [(closed, held.clone()), (killed, held)]
        })
    }

    type Counts = BTreeMap<(Timestamp, Fingerprint), u32>;

    /// What a spool holds.
    #[derive(Clone, Debug, PartialEq)]
    struct Held {
        sites: Vec<(SiteState, Counts)>,
        pending: Vec<Vec<Spooled>>,
        address: Option<SiteId>,
    }

    impl Held {
        fn of(spool: &SqliteSpool) -> Result<Self> {
            block_on(async {
                let mut held = Self {
                    sites: Vec::new(),
                    pending: Vec::new(),
                    address: spool.site_at(URL).await?,
                };
                for site in &sites() {
                    let counts = spool.counts(site, at(i64::MIN), at(i64::MAX)).await?;
                    held.sites.push((spool.site(site).await?, counts));
                }
                for output in &outputs() {
                    spool.register(output).await?;
                    let pending = spool.pending(output, usize::MAX, usize::MAX).await?;
                    held.pending.push(pending);
                }
                Ok(held)
            })
        }

        /// What must not be wrong: from the rest records are at worst delivered twice.
        fn essence(&self) -> (Vec<Option<Timestamp>>, &[Vec<Spooled>]) {
            let watermarks = self.sites.iter().map(|(state, _)| state.watermark);
            (watermarks.collect(), &self.pending)
        }

        /// Every record that was waiting waits, or will be read again and taken for new.
        fn loses_nothing_of(&self, before: &Self) {
            assert!(self.address.is_none() || self.address == before.address);
            for (index, site) in sites().iter().enumerate() {
                let (old, new) = (&before.sites[index].0, &self.sites[index].0);
                assert!(new.watermark <= old.watermark, "{new:?} {old:?}");
                assert!(new.counted_from <= old.counted_from);
                for (now, was) in self.pending.iter().zip(&before.pending) {
                    for record in was.iter().filter(|record| record.site == *site) {
                        let waits = now.iter().any(|now| {
                            (now.site.clone(), now.time, now.line.clone(), now.ordinal)
                                == (
                                    record.site.clone(),
                                    record.time,
                                    record.line.clone(),
                                    record.ordinal,
                                )
                        });
                        let key = (record.time, record.fingerprint);
                        let counted = self.sites[index].1.get(&key).copied().unwrap_or(0);
                        let comes_again = new
                            .watermark
                            .is_none_or(|watermark| watermark <= record.time)
                            && counted < record.ordinal;
                        assert!(waits || comes_again, "{record:?} is lost: {new:?}");
                    }
                }
            }
        }
    }

    /// Opens, repairs and opens again what is in `files`; says whether it opened at first.
    fn try_everything(files: &Files, before: &Held) -> Option<Repair> {
        let dir = tempfile::tempdir().unwrap();
        files.put(dir.path());
        let untouched = Files::of(dir.path());
        let lock = Lock::acquire(dir.path()).unwrap();
        let opened = SqliteSpool::open(dir.path()).and_then(|spool| {
            let held = Held::of(&spool)?;
            Ok((spool, held))
        });
        match opened {
            Ok((_, held)) => {
                assert_eq!(held.essence(), before.essence());
                return None;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::State, "{error:?}");
                // Opening may have moved the log into the file.
                if untouched.0.len() == 1 && error.remedy().contains("newer") {
                    assert_eq!(Files::of(dir.path()), untouched);
                }
            }
        }
        let repaired = match SqliteSpool::repair(&lock, NOW) {
            Ok(repaired) => repaired,
            Err(error) => {
                // A flipped bit in its version makes a file one of a newer program's.
                assert!(error.to_string().contains("schema version"), "{error:?}");
                return None;
            }
        };
        let Repair::Repaired(report) = &repaired else {
            panic!("{repaired:?}");
        };
        assert!(report.kept.exists() || beside(&report.kept, "-wal").exists());
        assert!(!dir.path().join("repair.tmp").exists());
        let spool = SqliteSpool::open(dir.path()).unwrap();
        assert_eq!(block_on(spool.inspect()).unwrap(), Vec::<String>::new());
        let held = Held::of(&spool).unwrap();
        held.loses_nothing_of(before);
        if held.essence() != before.essence() {
            assert!(!report.lost.is_empty(), "{report:?}");
        }
        drop(spool);
        assert_eq!(SqliteSpool::repair(&lock, NOW).unwrap(), Repair::Sound);
        Some(repaired)
    }

    #[test]
    fn a_sound_spool_is_left_alone() {
        for (files, held) in templates() {
            assert_eq!(try_everything(files, held), None);
            let dir = tempfile::tempdir().unwrap();
            files.put(dir.path());
            let lock = Lock::acquire(dir.path()).unwrap();
            assert_eq!(SqliteSpool::repair(&lock, NOW).unwrap(), Repair::Sound);
            assert_eq!(
                Files::of(dir.path()).without("-shm"),
                files.clone().without("-shm")
            );
        }
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::acquire(dir.path()).unwrap();
        assert_eq!(SqliteSpool::repair(&lock, NOW).unwrap(), Repair::NoSpool);
        assert!(!dir.path().join(FILE).exists());
    }

    #[test]
    fn any_page_may_be_zeroed() {
        let (files, held) = &templates()[0];
        let pages = files.0[0].1.len() / PAGE;
        let mut saved = 0;
        for page in 0..pages {
            let mut files = files.clone();
            files.file("")[page * PAGE..(page + 1) * PAGE].fill(0);
            if let Some(Repair::Repaired(report)) = try_everything(&files, held) {
                saved += usize::from(report.records > 100);
            }
        }
        assert!(saved > pages / 2, "{saved} of {pages}");
    }

    #[test]
    fn the_file_may_end_anywhere() {
        for (files, held) in templates() {
            let len = files.0[0].1.len();
            for cut in [
                0,
                1,
                99,
                512,
                4095,
                PAGE,
                2 * PAGE,
                5 * PAGE + 7,
                len / 2,
                len - PAGE,
                len - 1,
            ] {
                let mut files = files.clone();
                files.file("").truncate(cut);
                try_everything(&files, held);
            }
        }
    }

    #[test]
    fn a_log_that_was_removed_is_missed() {
        let (files, _) = &templates()[1];
        let dir = tempfile::tempdir().unwrap();
        files.clone().without("-wal").put(dir.path());
        let lock = Lock::acquire(dir.path()).unwrap();
        let error = SqliteSpool::open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State);
        assert!(error.remedy().contains("state repair"));
        SqliteSpool::open_read_only(dir.path()).unwrap_err();
        let Repair::Repaired(report) = SqliteSpool::repair(&lock, NOW).unwrap() else {
            panic!("it is damaged");
        };
        assert!(report.damage.contains("-wal"), "{report:?}");
        SqliteSpool::open(dir.path()).unwrap();
    }

    #[test]
    fn a_log_without_its_file_is_read_for_what_it_holds() {
        let (files, held) = &templates()[1];
        let repaired = try_everything(&files.clone().without(""), held);
        assert!(
            matches!(repaired, Some(Repair::Repaired(_))),
            "{repaired:?}"
        );
    }

    #[test]
    fn an_interrupted_repair_goes_on_from_wherever_it_was() {
        let (files, held) = &templates()[1];
        let mut files = files.clone();
        files.file("")[..PAGE].fill(0);
        files.file("-wal")[..64].fill(0);
        let dir = tempfile::tempdir().unwrap();
        files.put(dir.path());
        let lock = Lock::acquire(dir.path()).unwrap();
        let place = Place::new(dir.path().canonicalize().unwrap());
        fs::create_dir(&place.work).unwrap();
        let saved = place.save().unwrap();
        // Interrupted before the note: it begins again.
        SqliteSpool::open(dir.path()).unwrap_err();
        place.keep(NOW).unwrap();
        SqliteSpool::open(dir.path()).unwrap_err();
        place.note(&saved).unwrap();
        // Behind the note the old log is still there and must not pass for the note's.
        SqliteSpool::open(dir.path()).unwrap_err();
        SqliteSpool::open_read_only(dir.path()).unwrap_err();
        assert_eq!(
            SqliteSpool::repair(&lock, NOW).unwrap(),
            Repair::Repaired(saved)
        );
        let spool = SqliteSpool::open(dir.path()).unwrap();
        Held::of(&spool).unwrap().loses_nothing_of(held);
    }

    #[test]
    fn a_database_of_somebody_else_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join(FILE)).unwrap();
        connection
            .execute_batch("CREATE TABLE photos (name TEXT)")
            .unwrap();
        drop(connection);
        let before = Files::of(dir.path());
        let lock = Lock::acquire(dir.path()).unwrap();
        let error = SqliteSpool::repair(&lock, NOW).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State);
        assert_eq!(Files::of(dir.path()), before);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn any_bytes_may_be_flipped(
            page in any::<prop::sample::Index>(),
            flips in prop::collection::vec((0..PAGE, 1..=255_u8), 1..6),
        ) {
            let (files, held) = &templates()[0];
            let mut files = files.clone();
            let file = files.file("");
            let page = page.index(file.len() / PAGE);
            for (offset, bits) in flips {
                file[page * PAGE + offset] ^= bits;
            }
            try_everything(&files, held);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// SQLite ends a log where it does not agree with itself: what it shows then is an
        /// earlier state, from which records come twice and none is lost.
        #[test]
        fn a_damaged_log_takes_the_state_back_and_never_ahead(
            at in any::<prop::sample::Index>(), bits in 1..=255_u8, cut in any::<bool>(),
        ) {
            let (files, before) = &templates()[1];
            let mut files = files.clone();
            let log = files.file("-wal");
            let at = at.index(log.len());
            if cut {
                log.truncate(at);
            } else {
                log[at] ^= bits;
            }
            let dir = tempfile::tempdir().unwrap();
            files.without("-shm").put(dir.path());
            if let Ok(spool) = SqliteSpool::open(dir.path()) {
                let held = Held::of(&spool).unwrap();
                for ((new, _), (old, _)) in held.sites.iter().zip(&before.sites) {
                    prop_assert!(new.watermark <= old.watermark);
                }
            }
        }
    }
}
