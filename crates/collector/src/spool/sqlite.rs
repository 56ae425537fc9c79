//! The spool in one SQLite file of the state directory: the embedded default.
//!
//! A file that cannot be trusted is refused aloud, never replaced: starting afresh would deliver
//! everything that the site retains a second time, and without a word.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use confluence_audit_core::{Fingerprint, RawRecord, Timestamp};
use rusqlite::config::DbConfig;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};
use rustix::fs::OFlags;

use super::{
    Commit, Counts, Depth, OutputOverview, OutputState, Overview, SiteOverview, SiteState, Spool,
    Spooled,
};
use crate::local_disk::sync_directory;
use crate::output::OutputName;
use crate::{Error, ErrorKind, Result, SiteId};

pub(super) const FILE: &str = "spool.sqlite3";

/// The first bytes of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// `CAud` in ASCII: tells `file(1)`, and us, whose database it is.
const APPLICATION_ID: i32 = 0x4341_7564;

/// What leads from each version of the schema to the next; the version is how many have been
/// applied. Entries are only ever added.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE site (
        id           INTEGER PRIMARY KEY,
        name         TEXT NOT NULL UNIQUE,
        watermark    INTEGER,
        counted_from INTEGER
    ) STRICT;
    CREATE TABLE reread (
        site INTEGER NOT NULL REFERENCES site (id),
        step TEXT NOT NULL,
        done INTEGER NOT NULL,
        PRIMARY KEY (site, step)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ledger (
        site        INTEGER NOT NULL REFERENCES site (id),
        ms          INTEGER NOT NULL,
        fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 20),
        n           INTEGER NOT NULL CHECK (n > 0),
        PRIMARY KEY (site, ms, fingerprint)
    ) STRICT, WITHOUT ROWID;
    -- AUTOINCREMENT, so that a number is not used again when the records before it are swept
    -- away: an output stands behind that number and would not see the record.
    CREATE TABLE record (
        seq         INTEGER PRIMARY KEY AUTOINCREMENT,
        site        INTEGER NOT NULL REFERENCES site (id),
        ms          INTEGER NOT NULL,
        fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 20),
        ordinal     INTEGER NOT NULL CHECK (ordinal > 0),
        line        BLOB NOT NULL
    ) STRICT;
    CREATE TABLE output (
        name       TEXT PRIMARY KEY,
        seq        INTEGER NOT NULL,
        checkpoint BLOB
    ) STRICT, WITHOUT ROWID;
",
    // SQLite sees a broken page and not a wrong number in a good one. A watermark or a position
    // that is too high loses records, and a record with a lower number is never delivered, so each
    // of these rows carries a hash of itself.
    "
    ALTER TABLE site ADD COLUMN seal BLOB;
    ALTER TABLE output ADD COLUMN seal BLOB;
    ALTER TABLE record ADD COLUMN seal BLOB;
",
    // Another site's id in place of a site's own would let its outputs pass over its records.
    "
    CREATE TABLE address (
        url  TEXT PRIMARY KEY,
        site TEXT NOT NULL,
        seal BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
",
];

/// Free space inside the file above which it is given back after a sweep: one long failure of an
/// output shall not cost its disk space for ever.
const KEPT_FREE: i64 = 64 * 1024 * 1024;

/// The spool in one SQLite file of the state directory.
///
/// Its caller holds the directory's [`Lock`](crate::Lock) for as long as it lives.
#[derive(Clone, Debug)]
pub struct SqliteSpool {
    store: Arc<Mutex<Store>>,
}

/// How often a spool is looked at until it holds still.
const LOOKS: usize = 5;

/// What tells that a file was written to meanwhile.
#[derive(Debug, PartialEq, Eq)]
struct Footprint {
    has_log: bool,
    file: Option<(u64, Option<SystemTime>)>,
}

impl Footprint {
    fn of(path: &Path) -> Self {
        Self {
            has_log: beside(path, "-wal").exists(),
            file: fs::metadata(path)
                .ok()
                .map(|meta| (meta.len(), meta.modified().ok())),
        }
    }
}

#[derive(Debug)]
struct Store {
    path: PathBuf,
    connection: Connection,
    /// For one that only reads: what the files were like before it was opened.
    seen: Option<Footprint>,
    /// Writing failed in the disk's own way. What the kernel still remembers of the file may
    /// differ from what the disk holds, so this process asks no more.
    failed: bool,
}

impl SqliteSpool {
    /// Opens the spool in the state directory `dir`; creates it, for its owner alone, where there
    /// is none. Checks the whole file. Blocks meanwhile.
    ///
    /// # Errors
    ///
    /// [`State`](ErrorKind::State) when the file is damaged, of a newer version of this program,
    /// or not ours: nothing is changed, and the remedy says how to save what is in it.
    /// [`Io`](ErrorKind::Io) when it cannot be read or written.
    pub fn open(dir: &Path) -> Result<Self> {
        // SQLite refuses links anywhere in the path, but systemd itself makes the state directory
        // one (DynamicUser): only the file must be none.
        let dir = dir.canonicalize().map_err(|error| unusable(dir, error))?;
        let path = dir.join(FILE);
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(&dir, &path)?,
            Err(error) => return Err(unusable(&path, error)),
        }
        let connection =
            check_and_migrate(&path).map_err(|fault| fault.explain(&path, "opening it"))?;
        Ok(Self {
            store: Arc::new(Mutex::new(Store {
                path,
                connection,
                seen: None,
                failed: false,
            })),
        })
    }

    /// Opens the spool in the state directory `dir` for looking at it alone, also while a run
    /// holds the [`Lock`](crate::Lock) or begins; `None` where there is no spool yet. Nothing in
    /// the files is changed, and writing is refused. Not the whole file is checked, unlike with
    /// [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`State`](ErrorKind::State) for a file of an older version
    /// too, which the next run brings up to date.
    pub fn open_read_only(dir: &Path) -> Result<Option<Self>> {
        let dir = match dir.canonicalize() {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(dir, error)),
        };
        let path = dir.join(FILE);
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                refuse_log_alone(&dir, &path)?;
                return Ok(None);
            }
            Err(error) => return Err(unusable(&path, error)),
        }
        let seen = Footprint::of(&path);
        let connection =
            connect_read_only(&path).map_err(|fault| fault.explain(&path, "opening it"))?;
        Ok(Some(Self {
            store: Arc::new(Mutex::new(Store {
                path,
                connection,
                seen: Some(seen),
                failed: false,
            })),
        }))
    }

    /// Does `work` in one transaction, on a thread that may block. Dropping the future does not
    /// stop it.
    async fn transaction<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Fn(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || {
            let mut store = store
                .lock()
                .map_err(|_| Error::internal("an earlier use of the spool panicked"))?;
            store.transaction(what, work)
        });
        done.await
            .map_err(|error| Error::internal("using the spool panicked").with_source(error))?
    }
}

impl Store {
    fn transaction<T>(
        &mut self,
        what: &str,
        work: impl Fn(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T> {
        if self.failed {
            return Err(Error::new(
                ErrorKind::Io,
                format!("the spool {} failed before", self.path.display()),
                "See to the disk and start again.",
            ));
        }
        if self.seen.is_some() {
            return self.look(what, work);
        }
        // At once a writer: a reader that turns into one can be refused halfway.
        let done = run(&mut self.connection, TransactionBehavior::Immediate, &work);
        done.map_err(|fault| {
            self.failed = fault.is_of_the_disk();
            fault.explain(&self.path, what)
        })
    }

    /// Without a log the file is read as one that nobody changes. A run may have begun meanwhile,
    /// and what was read then may be anything.
    fn look<T>(
        &mut self,
        what: &str,
        work: impl Fn(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T> {
        for _ in 0..LOOKS {
            let done = run(&mut self.connection, TransactionBehavior::Deferred, &work);
            let now = Footprint::of(&self.path);
            match &self.seen {
                Some(seen) if !seen.has_log && *seen != now => {}
                _ => return done.map_err(|fault| fault.explain(&self.path, what)),
            }
            self.seen = Some(now);
            self.connection = connect_read_only(&self.path)
                .map_err(|fault| fault.explain(&self.path, "opening it"))?;
        }
        Err(Error::new(
            ErrorKind::Locked,
            format!(
                "the spool {} changed each time it was looked at",
                self.path.display()
            ),
            "Try again in a moment.",
        ))
    }
}

fn run<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    work: impl Fn(&Transaction<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let transaction = connection.transaction_with_behavior(behavior)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

#[async_trait]
impl Spool for SqliteSpool {
    async fn site(&self, site: &SiteId) -> Result<SiteState> {
        let site = site.clone();
        self.transaction("reading a site's state", move |transaction| {
            Ok(site_row(transaction, &site)?.map_or_else(SiteState::default, |(_, state)| state))
        })
        .await
    }

    async fn counts(&self, site: &SiteId, from: Timestamp, to: Timestamp) -> Result<Counts> {
        let site = site.clone();
        self.transaction("reading a site's counts", move |transaction| {
            let counts = transaction
                .prepare_cached(
                    "SELECT ms, fingerprint, n FROM ledger
                     WHERE site = (SELECT id FROM site WHERE name = ?1) AND ms BETWEEN ?2 AND ?3",
                )?
                .query_map(
                    params![site.as_str(), from.as_millis(), to.as_millis()],
                    |row| {
                        let fingerprint = Fingerprint::from_bytes(row.get(1)?);
                        Ok(((time(row.get(0)?), fingerprint), row.get(2)?))
                    },
                )?
                .collect::<Result<_, _>>()?;
            Ok(counts)
        })
        .await
    }

    async fn commit(&self, site: &SiteId, commit: Commit) -> Result<()> {
        let site = site.clone();
        self.transaction("committing records", move |transaction| {
            write_commit(transaction, &site, &commit)
        })
        .await
    }

    async fn register(&self, output: &OutputName) -> Result<OutputState> {
        let output = output.clone();
        self.transaction("registering an output", move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO output (name, seq, seal) VALUES (?1, 0, ?2)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    output.as_str(),
                    output_seal(output.as_str(), 0, None)
                ])?;
            output_row(transaction, &output)?
                .ok_or_else(|| Fault::Damaged(format!("it does not keep the output {output}")))
        })
        .await
    }

    async fn pending(
        &self,
        output: &OutputName,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Spooled>> {
        let output = output.clone();
        self.transaction("reading what is pending", move |transaction| {
            let position = output_row(transaction, &output)?
                .ok_or_else(|| Fault::Rule(format!("the output {output} is not registered")))?
                .seq;
            let mut statement = transaction.prepare_cached(
                "SELECT seq, record.site, ms, fingerprint, ordinal, line, record.seal, name
                 FROM record JOIN site ON site.id = record.site
                 WHERE seq > ?1 ORDER BY seq",
            )?;
            let mut rows = statement.query([position])?;
            let mut pending = Vec::new();
            let mut bytes = 0_usize;
            while pending.len() < max_records
                && let Some(row) = rows.next()?
            {
                let (seq, line): (_, Vec<u8>) = (row.get(0)?, row.get(5)?);
                bytes = bytes.saturating_add(line.len());
                if bytes > max_bytes && !pending.is_empty() {
                    break;
                }
                let (ms, fingerprint, ordinal) = (row.get(2)?, row.get(3)?, row.get(4)?);
                let expected = record_seal(&RecordRow {
                    seq,
                    site: row.get(1)?,
                    ms,
                    fingerprint: &fingerprint,
                    ordinal,
                    line: &line,
                });
                if row.get::<_, Option<Vec<u8>>>(6)?.as_deref() != Some(&expected[..]) {
                    return Err(Fault::Damaged(format!(
                        "record {seq} is not what was written"
                    )));
                }
                pending.push(Spooled {
                    seq,
                    site: SiteId::new(row.get::<_, Arc<str>>(7)?),
                    time: time(ms),
                    fingerprint: Fingerprint::from_bytes(fingerprint),
                    ordinal,
                    line: Bytes::from(line),
                });
            }
            Ok(pending)
        })
        .await
    }

    async fn confirm(&self, output: &OutputName, seq: i64, checkpoint: &[u8]) -> Result<()> {
        let output = output.clone();
        let checkpoint = checkpoint.to_vec();
        self.transaction("confirming a delivery", move |transaction| {
            let changed = transaction
                .prepare_cached(
                    "UPDATE output SET seq = ?2, checkpoint = ?3, seal = ?4
                     WHERE name = ?1 AND seq <= ?2 AND ?2 <= (
                         SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'record'
                     )",
                )?
                .execute(params![
                    output.as_str(),
                    seq,
                    checkpoint,
                    output_seal(output.as_str(), seq, Some(&checkpoint))
                ])?;
            if changed == 1 {
                return Ok(());
            }
            Err(Fault::Rule(format!(
                "the output {output} is not registered, or cannot have confirmed record {seq} now"
            )))
        })
        .await
    }

    async fn sweep(&self, outputs: &[OutputName]) -> Result<()> {
        let outputs = outputs.to_vec();
        self.transaction("sweeping what is delivered", move |transaction| {
            let mut known = transaction.prepare_cached("SELECT name, seq FROM output")?;
            let known: Vec<(OutputName, i64)> = known
                .query_map([], |row| {
                    Ok((OutputName::new(row.get::<_, Arc<str>>(0)?), row.get(1)?))
                })?
                .collect::<Result<_, _>>()?;
            for (name, _) in known.iter().filter(|(name, _)| !outputs.contains(name)) {
                transaction
                    .prepare_cached("DELETE FROM output WHERE name = ?1")?
                    .execute([name.as_str()])?;
            }
            let position = |output: &OutputName| {
                let known = known.iter().find(|(name, _)| name == output);
                known.map_or(0, |(_, seq)| *seq)
            };
            let everywhere = outputs.iter().map(position).min().unwrap_or(0);
            transaction
                .prepare_cached("DELETE FROM record WHERE seq <= ?1")?
                .execute([everywhere])?;
            give_back_space(transaction)
        })
        .await
    }

    async fn depth(&self) -> Result<Depth> {
        self.transaction("measuring it", |transaction| {
            depth_behind(transaction, i64::MIN, None)
        })
        .await
    }

    async fn waiting(&self, output: &OutputName, site: Option<&SiteId>) -> Result<Depth> {
        let (output, site) = (output.clone(), site.cloned());
        self.transaction("measuring what waits", move |transaction| {
            let position = output_row(transaction, &output)?.map_or(0, |state| state.seq);
            depth_behind(transaction, position, site.as_ref())
        })
        .await
    }

    async fn site_at(&self, address: &str) -> Result<Option<SiteId>> {
        let address = address.to_owned();
        self.transaction("reading a site's address", move |transaction| {
            address_row(transaction, &address)
        })
        .await
    }

    async fn set_site_at(&self, address: &str, site: Option<&SiteId>) -> Result<()> {
        let (address, site) = (address.to_owned(), site.cloned());
        self.transaction("noting a site's address", move |transaction| {
            let Some(site) = &site else {
                transaction.execute("DELETE FROM address WHERE url = ?1", [&address])?;
                return Ok(());
            };
            transaction.execute(
                "INSERT INTO address (url, site, seal) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET site = excluded.site, seal = excluded.seal",
                params![
                    address,
                    site.as_str(),
                    address_seal(&address, site.as_str())
                ],
            )?;
            Ok(())
        })
        .await
    }

    async fn overview(&self) -> Result<Overview> {
        let mut overview = self.transaction("looking at it", overview).await?;
        let store = Arc::clone(&self.store);
        let path = match store.lock() {
            Ok(store) => store.path.clone(),
            Err(_) => return Err(Error::internal("an earlier use of the spool panicked")),
        };
        overview.size = [path.clone(), beside(&path, "-wal"), beside(&path, "-shm")]
            .iter()
            .filter_map(|file| fs::metadata(file).ok())
            .map(|meta| meta.len())
            .sum();
        Ok(overview)
    }

    async fn rewind(&self, site: &SiteId, to: Timestamp) -> Result<SiteState> {
        let site = site.clone();
        self.transaction("rewinding a site", move |transaction| {
            let unknown = || Fault::Rule(format!("the site {site} was never committed"));
            let (id, state) = site_row(transaction, &site)?.ok_or_else(unknown)?;
            rewind(transaction, id, &site, &state, to)?;
            Ok(site_row(transaction, &site)?.ok_or_else(unknown)?.1)
        })
        .await
    }

    async fn inspect(&self) -> Result<Vec<String>> {
        self.transaction("inspecting it", |transaction| contradictions(transaction))
            .await
    }
}

/// A site's number and state, if it was ever committed.
fn site_row(transaction: &Connection, site: &SiteId) -> Result<Option<(i64, SiteState)>, Fault> {
    let found = transaction
        .prepare_cached("SELECT id, watermark, counted_from, seal FROM site WHERE name = ?1")?
        .query_row([site.as_str()], |row| {
            let (id, watermark, counted_from) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let seal: Option<Vec<u8>> = row.get(3)?;
            let expected = site_seal(id, site.as_str(), watermark, counted_from);
            let good = seal.as_deref() == Some(&expected[..]);
            Ok((id, watermark, counted_from, good))
        })
        .optional()?;
    let Some((id, watermark, counted_from, good)) = found else {
        return Ok(None);
    };
    if !good {
        return Err(Fault::Damaged(format!(
            "what it keeps of the site {site} is not what was written"
        )));
    }
    let rereads = transaction
        .prepare_cached("SELECT step, done FROM reread WHERE site = ?1 ORDER BY step")?
        .query_map([id], |row| Ok((row.get(0)?, time(row.get(1)?))))?
        .collect::<Result<_, _>>()?;
    let state = SiteState {
        watermark: watermark.map(time),
        counted_from: counted_from.map(time),
        rereads,
    };
    Ok(Some((id, state)))
}

/// An output's state, if it is registered.
fn output_row(transaction: &Connection, output: &OutputName) -> Result<Option<OutputState>, Fault> {
    let found = transaction
        .prepare_cached("SELECT seq, checkpoint, seal FROM output WHERE name = ?1")?
        .query_row([output.as_str()], |row| {
            let (seq, checkpoint): (_, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
            let seal: Option<Vec<u8>> = row.get(2)?;
            let expected = output_seal(output.as_str(), seq, checkpoint.as_deref());
            let good = seal.as_deref() == Some(&expected[..]);
            Ok((OutputState { seq, checkpoint }, good))
        })
        .optional()?;
    match found {
        Some((_, false)) => Err(Fault::Damaged(format!(
            "what it keeps of the output {output} is not what was written"
        ))),
        Some((state, true)) => Ok(Some(state)),
        None => Ok(None),
    }
}

/// The site that was last found at this address.
fn address_row(transaction: &Connection, address: &str) -> Result<Option<SiteId>, Fault> {
    let found = transaction
        .prepare_cached("SELECT site, seal FROM address WHERE url = ?1")?
        .query_row([address], |row| {
            let (site, seal): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let good = seal == address_seal(address, &site);
            Ok((SiteId::new(site), good))
        })
        .optional()?;
    match found {
        Some((_, false)) => Err(Fault::Damaged(format!(
            "what it keeps of the address {address} is not what was written"
        ))),
        Some((site, true)) => Ok(Some(site)),
        None => Ok(None),
    }
}

/// Where a site was found.
fn addresses(transaction: &Connection, site: &SiteId) -> Result<Vec<String>, Fault> {
    let urls = transaction
        .prepare_cached("SELECT url FROM address WHERE site = ?1 ORDER BY url")?
        .query_map([site.as_str()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(urls)
}

/// What tells that an address's row is as it was written.
pub(super) fn address_seal(address: &str, site: &str) -> [u8; 8] {
    seal(&[address.as_bytes(), site.as_bytes()])
}

/// What tells that a site's row is as it was written.
pub(super) fn site_seal(
    id: i64,
    name: &str,
    watermark: Option<i64>,
    counted_from: Option<i64>,
) -> [u8; 8] {
    let number = |number: Option<i64>| number.map(i64::to_le_bytes).unwrap_or_default();
    seal(&[
        &id.to_le_bytes(),
        name.as_bytes(),
        &[
            u8::from(watermark.is_some()),
            u8::from(counted_from.is_some()),
        ],
        &number(watermark),
        &number(counted_from),
    ])
}

/// What tells that a record's row is as it was written.
pub(super) fn record_seal(record: &RecordRow<'_>) -> [u8; 8] {
    seal(&[
        &record.seq.to_le_bytes(),
        &record.site.to_le_bytes(),
        &record.ms.to_le_bytes(),
        record.fingerprint,
        &record.ordinal.to_le_bytes(),
        record.line,
    ])
}

/// A row of the table of records.
pub(super) struct RecordRow<'a> {
    pub(super) seq: i64,
    pub(super) site: i64,
    pub(super) ms: i64,
    pub(super) fingerprint: &'a [u8; Fingerprint::LEN],
    pub(super) ordinal: u32,
    pub(super) line: &'a [u8],
}

/// What tells that an output's row is as it was written.
pub(super) fn output_seal(name: &str, seq: i64, checkpoint: Option<&[u8]>) -> [u8; 8] {
    seal(&[
        name.as_bytes(),
        &seq.to_le_bytes(),
        &[u8::from(checkpoint.is_some())],
        checkpoint.unwrap_or_default(),
    ])
}

fn seal(parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut seal = [0; 8];
    seal.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    seal
}

/// Seals a site's row, after each change of it.
pub(super) fn seal_site(transaction: &Connection, id: i64) -> Result<(), Fault> {
    let (name, watermark, counted_from): (String, _, _) = transaction
        .prepare_cached("SELECT name, watermark, counted_from FROM site WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    transaction
        .prepare_cached("UPDATE site SET seal = ?2 WHERE id = ?1")?
        .execute(params![id, site_seal(id, &name, watermark, counted_from)])?;
    Ok(())
}

fn seal_output(transaction: &Connection, name: &str) -> Result<(), Fault> {
    let (seq, checkpoint): (i64, Option<Vec<u8>>) = transaction
        .prepare_cached("SELECT seq, checkpoint FROM output WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    transaction
        .prepare_cached("UPDATE output SET seal = ?2 WHERE name = ?1")?
        .execute(params![name, output_seal(name, seq, checkpoint.as_deref())])?;
    Ok(())
}

fn site_names(transaction: &Connection) -> Result<Vec<SiteId>, Fault> {
    let names = transaction
        .prepare_cached("SELECT name FROM site ORDER BY name")?
        .query_map([], |row| Ok(SiteId::new(row.get::<_, Arc<str>>(0)?)))?
        .collect::<Result<_, _>>()?;
    Ok(names)
}

fn output_names(transaction: &Connection) -> Result<Vec<OutputName>, Fault> {
    let names = transaction
        .prepare_cached("SELECT name FROM output ORDER BY name")?
        .query_map([], |row| Ok(OutputName::new(row.get::<_, Arc<str>>(0)?)))?
        .collect::<Result<_, _>>()?;
    Ok(names)
}

/// What has a higher number than `seq`, of one site or of all.
fn depth_behind(transaction: &Connection, seq: i64, site: Option<&SiteId>) -> Result<Depth, Fault> {
    let depth = transaction
        .prepare_cached(
            "SELECT count(*), coalesce(sum(length(line)), 0) FROM record
             WHERE seq > ?1 AND (?2 IS NULL OR site = (SELECT id FROM site WHERE name = ?2))",
        )?
        .query_row(params![seq, site.map(SiteId::as_str)], |row| {
            Ok(Depth {
                records: row.get::<_, i64>(0)?.unsigned_abs(),
                bytes: row.get::<_, i64>(1)?.unsigned_abs(),
            })
        })?;
    Ok(depth)
}

/// Everything but the size, which only the file system knows.
fn overview(transaction: &Transaction<'_>) -> Result<Overview, Fault> {
    let mut overview = Overview {
        schema_version: transaction.pragma_query_value(None, "user_version", |row| row.get(0))?,
        size: 0,
        depth: depth_behind(transaction, i64::MIN, None)?,
        ..Overview::default()
    };
    for id in site_names(transaction)? {
        let Some((number, state)) = site_row(transaction, &id)? else {
            continue;
        };
        let counts: i64 = transaction
            .prepare_cached("SELECT count(*) FROM ledger WHERE site = ?1")?
            .query_row([number], |row| row.get(0))?;
        let counts = counts.unsigned_abs();
        let addresses = addresses(transaction, &id)?;
        overview.sites.push(SiteOverview {
            id,
            addresses,
            state,
            counts,
        });
    }
    for name in output_names(transaction)? {
        let Some(OutputState { seq, .. }) = output_row(transaction, &name)? else {
            continue;
        };
        let waiting = depth_behind(transaction, seq, None)?;
        overview.outputs.push(OutputOverview { name, seq, waiting });
    }
    Ok(overview)
}

fn rewind(
    transaction: &Transaction<'_>,
    id: i64,
    site: &SiteId,
    state: &SiteState,
    to: Timestamp,
) -> Result<(), Fault> {
    let Some(watermark) = state.watermark else {
        return Err(Fault::Rule(format!("the site {site} has no watermark")));
    };
    if to >= watermark {
        return Ok(());
    }
    let counted_from = state.counted_from.unwrap_or(watermark);
    // What is spooled was committed, however old it is: it must not come a second time.
    transaction.execute(
        "INSERT INTO ledger (site, ms, fingerprint, n)
         SELECT site, ms, fingerprint, max(ordinal) FROM record
         WHERE site = ?1 AND ms >= ?2 AND ms < ?3 GROUP BY site, ms, fingerprint
         ON CONFLICT DO UPDATE SET n = max(n, excluded.n)",
        params![id, to.as_millis(), counted_from.as_millis()],
    )?;
    transaction.execute(
        "UPDATE site SET watermark = ?2, counted_from = ?3 WHERE id = ?1",
        params![id, to.as_millis(), to.min(counted_from).as_millis()],
    )?;
    seal_site(transaction, id)
}

/// How many contradictions are worth naming.
const NAMED: usize = 100;

/// What SQLite finds broken, and what our own rules do.
pub(super) fn contradictions(transaction: &Connection) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    {
        let mut check = transaction.prepare("PRAGMA integrity_check(100)")?;
        let mut rows = check.query([])?;
        while let Some(row) = rows.next()? {
            let verdict: String = row.get(0)?;
            if verdict != "ok" {
                found.push(verdict);
            }
        }
    }
    if !found.is_empty() {
        // What is said about the rows of a broken file would be noise.
        return Ok(found);
    }
    {
        let mut check = transaction.prepare("PRAGMA foreign_key_check")?;
        let mut rows = check.query([])?;
        while found.len() < NAMED
            && let Some(row) = rows.next()?
        {
            let table: String = row.get(0)?;
            found.push(format!(
                "a row of {table} belongs to a site that is not there"
            ));
        }
    }
    check_sealed_rows(transaction, &mut found)?;
    check_positions(transaction, &mut found)?;
    check_records(transaction, &mut found)?;
    found.truncate(NAMED);
    Ok(found)
}

/// The rows from which a wrong number would lose records.
fn check_sealed_rows(transaction: &Connection, found: &mut Vec<String>) -> Result<(), Fault> {
    let mut note = |fault: Fault| match fault {
        Fault::Damaged(verdict) => {
            found.push(verdict);
            Ok(())
        }
        other => Err(other),
    };
    for site in site_names(transaction)? {
        match site_row(transaction, &site) {
            Ok(Some((_, state))) if state.watermark.is_some() != state.counted_from.is_some() => {
                note(Fault::Damaged(format!(
                    "the site {site} has one of watermark and beginning of counts"
                )))?;
            }
            Ok(_) => {}
            Err(fault) => note(fault)?,
        }
    }
    for output in output_names(transaction)? {
        if let Err(fault) = output_row(transaction, &output) {
            note(fault)?;
        }
    }
    let addresses: Vec<String> = transaction
        .prepare_cached("SELECT url FROM address ORDER BY url")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for address in addresses {
        if let Err(fault) = address_row(transaction, &address) {
            note(fault)?;
        }
    }
    Ok(())
}

/// The last number that was given out.
fn last_seq(transaction: &Connection) -> Result<i64, Fault> {
    let last = transaction
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'record'")?
        .query_row([], |row| row.get(0))?;
    Ok(last)
}

/// A number that is given out again would be behind an output that stands there already.
fn check_positions(transaction: &Connection, found: &mut Vec<String>) -> Result<(), Fault> {
    let last = last_seq(transaction)?;
    let mut check = transaction.prepare(
        "SELECT 'the output ' || name, seq FROM output WHERE seq > ?1 OR seq < 0
         UNION ALL SELECT 'a record', max(seq) FROM record HAVING max(seq) > ?1",
    )?;
    let mut rows = check.query([last])?;
    while let Some(row) = rows.next()? {
        let (what, seq): (String, i64) = (row.get(0)?, row.get(1)?);
        found.push(format!(
            "{what} stands at {seq}, and the last number given out is {last}"
        ));
    }
    Ok(())
}

fn check_records(transaction: &Connection, found: &mut Vec<String>) -> Result<(), Fault> {
    let mut check = transaction.prepare(
        "SELECT seq, record.ms, record.fingerprint, line, ordinal, ledger.n, site.counted_from,
                record.site, record.seal
         FROM record JOIN site ON site.id = record.site
         LEFT JOIN ledger ON ledger.site = record.site AND ledger.ms = record.ms
                         AND ledger.fingerprint = record.fingerprint
         ORDER BY seq",
    )?;
    let mut rows = check.query([])?;
    while found.len() < NAMED
        && let Some(row) = rows.next()?
    {
        let (seq, ms): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (fingerprint, line): (_, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let (ordinal, n): (u32, Option<u32>) = (row.get(4)?, row.get(5)?);
        let expected = record_seal(&RecordRow {
            seq,
            site: row.get(7)?,
            ms,
            fingerprint: &fingerprint,
            ordinal,
            line: &line,
        });
        if row.get::<_, Option<Vec<u8>>>(8)?.as_deref() != Some(&expected[..]) {
            found.push(format!(
                "record {seq} of {} is not what was written",
                time(ms)
            ));
        } else if let Some(problem) = line_problem(ms, fingerprint, &Bytes::from(line)) {
            found.push(format!("record {seq} of {}: {problem}", time(ms)));
        }
        let counted_from: Option<i64> = row.get(6)?;
        let counted = counted_from.is_some_and(|from| ms >= from);
        if counted && n.unwrap_or(0) < ordinal {
            found.push(format!(
                "record {seq} of {} is copy {ordinal}, and {} were counted",
                time(ms),
                n.unwrap_or(0)
            ));
        }
    }
    Ok(())
}

/// Why a record's line cannot be what was committed under this time and fingerprint.
pub(super) fn line_problem(
    ms: i64,
    fingerprint: [u8; Fingerprint::LEN],
    line: &Bytes,
) -> Option<&'static str> {
    let Ok(record) = RawRecord::parse(line.clone()) else {
        return Some("its line is not JSON");
    };
    if record.fingerprint() != Fingerprint::from_bytes(fingerprint) {
        return Some("its line has another fingerprint");
    }
    match record.time() {
        Some(told) if told != time(ms) => Some("its line tells another time"),
        _ => None,
    }
}

fn write_commit(
    transaction: &Transaction<'_>,
    site: &SiteId,
    commit: &Commit,
) -> Result<(), Fault> {
    transaction
        .prepare_cached("INSERT INTO site (name) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([site.as_str()])?;
    let id: i64 = transaction
        .prepare_cached(
            "UPDATE site SET watermark = max(coalesce(watermark, ?2), ?2),
                             counted_from = max(coalesce(counted_from, ?3), ?4)
             WHERE name = ?1 RETURNING id",
        )?
        .query_row(
            params![
                site.as_str(),
                commit.watermark.as_millis(),
                commit.from.as_millis(),
                commit.forget_before.as_millis()
            ],
            |row| row.get(0),
        )?;
    seal_site(transaction, id)?;
    let mut count = transaction.prepare_cached(
        "INSERT INTO ledger (site, ms, fingerprint, n) VALUES (?1, ?2, ?3, 1)
         ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n",
    )?;
    let mut seq = last_seq(transaction)?;
    let mut keep = transaction.prepare_cached(
        "INSERT INTO record (seq, site, ms, fingerprint, ordinal, line, seal)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for record in &commit.records {
        let ms = record.time.as_millis();
        let fingerprint = record.fingerprint.as_bytes();
        let n: u32 = count.query_row(params![id, ms, fingerprint], |row| row.get(0))?;
        if n != record.ordinal {
            return Err(Fault::Rule(format!(
                "record {} of {} is number {n} of its kind, and was taken for number {}",
                record.fingerprint, record.time, record.ordinal
            )));
        }
        seq += 1;
        let row = RecordRow {
            seq,
            site: id,
            ms,
            fingerprint,
            ordinal: n,
            line: &record.line,
        };
        let seal = record_seal(&row);
        keep.execute(params![seq, id, ms, fingerprint, n, row.line, seal])?;
    }
    transaction
        .prepare_cached("DELETE FROM ledger WHERE site = ?1 AND ms < ?2")?
        .execute(params![id, commit.forget_before.as_millis()])?;
    let mut done = transaction.prepare_cached(
        "INSERT INTO reread (site, step, done) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET done = excluded.done",
    )?;
    for (step, time) in &commit.rereads {
        done.execute(params![id, step, time.as_millis()])?;
    }
    Ok(())
}

fn give_back_space(transaction: &Transaction<'_>) -> Result<(), Fault> {
    let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if pragma("freelist_count")?.saturating_mul(pragma("page_size")?) > KEPT_FREE {
        // One page a step, and a row of nothing for each.
        let mut vacuum = transaction.prepare("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
    }
    Ok(())
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Makes an empty spool beside its place and moves it there whole, so that a file that is empty
/// or without tables is always a damaged one.
fn create(dir: &Path, path: &Path) -> Result<()> {
    refuse_log_alone(dir, path)?;
    let fresh = dir.join(format!("{FILE}.new"));
    create_at(&fresh)?;
    fs::rename(&fresh, path)
        .and_then(|()| sync_directory(dir))
        .map_err(|error| unusable(path, error))
}

/// A log without its database is what is left of one, and no reason to begin anew.
fn refuse_log_alone(dir: &Path, path: &Path) -> Result<()> {
    let log = dir.join(format!("{FILE}-wal"));
    if log.symlink_metadata().is_ok() {
        let fault = Fault::Damaged(format!("{} is there without it", log.display()));
        return Err(fault.explain(path, "opening it"));
    }
    Ok(())
}

/// Makes an empty spool at `fresh`, in place of what an interrupted attempt left there.
pub(super) fn create_at(fresh: &Path) -> Result<()> {
    for left in [
        fresh.to_owned(),
        beside(fresh, "-journal"),
        beside(fresh, "-wal"),
    ] {
        remove_if_there(&left)?;
    }
    // SQLite would create it readable for others; its log inherits what we choose.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(fresh)
        .map_err(|error| unusable(fresh, error))?;
    let filled = connect(fresh).and_then(|mut connection| {
        // Has to be said before the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        migrate(&mut connection, 0)?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(())
    });
    filled.map_err(|fault| fault.explain(fresh, "creating it"))
}

pub(super) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(path, error)),
        _ => Ok(()),
    }
}

/// The file that SQLite keeps beside a database under the same name and `suffix`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn connect(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Ok(Connection::open_with_flags(path, flags)?)
}

/// A connection that reads alone and leaves no trace.
pub(super) fn connect_read_only(path: &Path) -> Result<Connection, Fault> {
    check_files(path)?;
    let mut flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = if beside(path, "-wal").exists() {
        Connection::open_with_flags(path, flags)?
    } else {
        // Nobody has it open. Without this word SQLite would create a log for its own reading.
        flags |= OpenFlags::SQLITE_OPEN_URI;
        let mut uri = url::Url::from_file_path(path)
            .map_err(|()| Fault::Rule("its path is not absolute".to_owned()))?;
        uri.set_query(Some("immutable=1"));
        Connection::open_with_flags(uri.as_str(), flags)?
    };
    // The last one to close a database moves its log into it, if it is not told otherwise.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    let version = schema_version(&connection)?;
    check_schema(&connection, version)?;
    if version < MIGRATIONS.len() {
        return Err(Fault::Older(version));
    }
    Ok(connection)
}

/// What can be seen of the files before SQLite is asked, which makes the best of what it finds.
fn check_files(path: &Path) -> Result<(), Fault> {
    let mut magic = [0; MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(Fault::File(error));
        }
        _ if magic == *MAGIC => {}
        _ => {
            return Err(Fault::Damaged(
                "it does not begin as a database does".to_owned(),
            ));
        }
    }
    // A process that dies leaves both, one that ends well leaves none, and the log is made first
    // and deleted last. Only a disk that refused to delete the index alone leaves it behind.
    let (log, index) = (beside(path, "-wal"), beside(path, "-shm"));
    if index.exists() && !log.exists() && !log_is_copied_back(&index)? {
        return Err(Fault::Damaged(format!(
            "{} is gone, and what it held with it",
            log.display()
        )));
    }
    Ok(())
}

/// Whether the database itself has all that the log had, by the index's word: as many frames are
/// copied back as are valid. The places are those of <https://www.sqlite.org/walformat.html>.
fn log_is_copied_back(index: &Path) -> Result<bool, Fault> {
    let mut head = [0; 100];
    match File::open(index).and_then(|mut file| file.read_exact(&mut head)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let is_complete = head[12] == 1 && head[..48] == head[48..96];
    Ok(is_complete && head[16..20] == head[96..100])
}

/// The version of the schema, if the database is ours and not newer than this program.
pub(super) fn schema_version(connection: &Connection) -> Result<usize, Fault> {
    let integer = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if integer("application_id")? != i64::from(APPLICATION_ID) {
        return Err(Fault::Damaged("it is empty, or not ours".to_owned()));
    }
    let found = integer("user_version")?;
    match usize::try_from(found) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(Fault::Newer(found)),
    }
}

/// The tables are kept as the text that made them: a wrong letter there is a table of another
/// name, and for SQLite nothing is wrong with it.
pub(super) fn check_schema(connection: &Connection, version: usize) -> Result<(), Fault> {
    let fresh = Connection::open_in_memory()?;
    for migration in &MIGRATIONS[..version.min(MIGRATIONS.len())] {
        fresh.execute_batch(migration)?;
    }
    if schema(connection)? == schema(&fresh)? {
        Ok(())
    } else {
        let verdict = format!("its tables are not those of schema version {version}");
        Err(Fault::Damaged(verdict))
    }
}

fn schema(connection: &Connection) -> Result<Vec<[Option<String>; 4]>, Fault> {
    let rows = connection
        .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")?
        .query_map([], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

fn check_and_migrate(path: &Path) -> Result<Connection, Fault> {
    check_files(path)?;
    let mut connection = connect(path)?;
    let version = schema_version(&connection)?;
    check_schema(&connection, version)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Damaged(format!("its journal stays in mode {mode}")));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Otherwise the log keeps the size of the largest commit for ever.
    connection.pragma_update_and_check(None, "journal_size_limit", KEPT_FREE, |_| Ok(()))?;
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Fault::Damaged(verdict));
    }
    migrate(&mut connection, version)?;
    let mut wrong = Vec::new();
    check_sealed_rows(&connection, &mut wrong)?;
    check_positions(&connection, &mut wrong)?;
    match wrong.into_iter().next() {
        Some(wrong) => Err(Fault::Damaged(wrong)),
        None => Ok(connection),
    }
}

fn migrate(connection: &mut Connection, from: usize) -> Result<(), Fault> {
    if from == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in &MIGRATIONS[from..] {
        transaction.execute_batch(migration)?;
    }
    seal_all(&transaction)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    let version = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()?;
    Ok(())
}

/// Seals what an earlier version wrote.
pub(super) fn seal_all(transaction: &Connection) -> Result<(), Fault> {
    let ids: Vec<i64> = transaction
        .prepare("SELECT id FROM site WHERE seal IS NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        seal_site(transaction, id)?;
    }
    let names: Vec<String> = transaction
        .prepare("SELECT name FROM output WHERE seal IS NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        seal_output(transaction, &name)?;
    }
    let mut unsealed = transaction.prepare(
        "SELECT seq, site, ms, fingerprint, ordinal, line FROM record
         WHERE seal IS NULL AND seq > ?1 ORDER BY seq LIMIT 1",
    )?;
    let mut seal = transaction.prepare("UPDATE record SET seal = ?2 WHERE seq = ?1")?;
    let mut last = i64::MIN;
    loop {
        let next = unsealed.query_row([last], |row| {
            let row = RecordRow {
                seq: row.get(0)?,
                site: row.get(1)?,
                ms: row.get(2)?,
                fingerprint: &row.get(3)?,
                ordinal: row.get(4)?,
                line: &row.get::<_, Vec<u8>>(5)?,
            };
            Ok((row.seq, record_seal(&row)))
        });
        let Some((seq, sealed)) = next.optional()? else {
            return Ok(());
        };
        seal.execute(params![seq, sealed])?;
        last = seq;
    }
}

/// What can go wrong inside, before it is said where.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    File(io::Error),
    /// The file does not hold what we left in it.
    Damaged(String),
    /// The schema has this version, which is not known here.
    Newer(i64),
    /// The schema has this version, which nothing may be changed about now.
    Older(usize),
    /// A good database, of another program.
    Foreign,
    /// The caller broke a rule of the trait.
    Rule(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl Fault {
    /// Whether the disk failed, as opposed to being full or busy.
    fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Sqlite(error)
            if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure))
    }

    pub(super) fn explain(self, path: &Path, what: &str) -> Error {
        let shown = path.display();
        let error = match self {
            Self::Rule(rule) => return Error::internal(format!("the spool {shown}: {rule}")),
            Self::Newer(version) => {
                return Error::new(
                    ErrorKind::State,
                    format!(
                        "the spool {shown} has schema version {version}; this program knows \
                         versions up to {}",
                        MIGRATIONS.len()
                    ),
                    "A newer confluence-audit has used it. Install that version again, or give \
                     this one another state directory. If there never was a newer one, the file \
                     is damaged: run `confluence-audit state repair`.",
                );
            }
            Self::Older(version) => {
                return Error::new(
                    ErrorKind::State,
                    format!("the spool {shown} has schema version {version}, of an older program"),
                    "The next run of `confluence-audit fetch` brings it up to date.",
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
            // A value of another kind than we write.
            Self::Sqlite(
                error @ (rusqlite::Error::Utf8Error(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)),
            ) => return damaged(path).with_source(error),
            Self::Sqlite(error) => error,
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(path),
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

fn damaged(path: &Path) -> Error {
    let dir = path.parent().unwrap_or(path).display();
    Error::new(
        ErrorKind::State,
        format!(
            "the spool {} is damaged and was left as it is",
            path.display()
        ),
        format!(
            "Run `confluence-audit state repair --state-dir {dir}`: it saves what can be read, \
             says what cannot, and keeps the damaged file. Restoring the state directory from a \
             backup delivers once more what came after it."
        ),
    )
}

pub(super) fn unusable(path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("{} cannot be used", path.display()),
        "Make the state directory readable and writable for the user that collects.",
    )
    .with_source(error)
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

#[cfg(test)]
mod tests {
    use super::super::conformance::{self, Store as Reopens};
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a temporary directory"))
        }

        fn file(&self) -> PathBuf {
            self.0.path().join(FILE)
        }

        fn open(&self) -> Result<SqliteSpool> {
            SqliteSpool::open(self.0.path())
        }

        fn refusal(&self) -> Error {
            let error = self.open().expect_err("it must be refused");
            assert_eq!(error.kind(), ErrorKind::State, "{error:?}");
            error
        }
    }

    #[async_trait]
    impl Reopens for Dir {
        async fn open(&self) -> Box<dyn Spool> {
            Box::new(self.open().expect("a good spool"))
        }
    }

    macro_rules! conforms {
        ($($case:ident)*) => {$(
            #[tokio::test]
            async fn $case() {
                conformance::$case(&Dir::new()).await;
            }
        )*};
    }

    conforms! {
        a_commit_is_there_whole
        a_refused_commit_leaves_nothing
        twins_are_counted
        the_watermark_never_moves_back
        sites_are_kept_apart
        reopening_keeps_everything
        counts_include_both_ends
        what_is_older_than_forget_before_is_forgotten
        pending_is_in_order_and_bounded
        outputs_have_positions_of_their_own
        a_new_output_gets_what_is_still_spooled
        a_confirmation_never_moves_back_nor_ahead
        sweeping_takes_what_every_output_has
        what_an_output_waits_for_is_counted_by_site
        an_address_leads_to_its_site
        numbers_are_not_used_again
        the_overview_shows_what_is_there
        rewinding_keeps_counts_and_records
        rewinding_beyond_the_counts_knows_what_is_spooled
    }

    #[test]
    fn the_files_are_for_their_owner_alone() {
        let dir = Dir::new();
        let _spool = dir.open().expect("a fresh spool");
        let mut files = 0;
        for entry in fs::read_dir(dir.0.path()).expect("the directory") {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("its mode").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
            files += 1;
        }
        assert_eq!(files, 3, "the database, its log and its index");
    }

    #[test]
    fn every_commit_is_on_disk_before_it_returns() {
        let dir = Dir::new();
        let spool = dir.open().expect("a fresh spool");
        let store = spool.store.lock().expect("the store");
        let pragma = |name| {
            store
                .connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .expect("a number")
        };
        assert_eq!(pragma("synchronous"), 2, "FULL");
        assert_eq!(pragma("foreign_keys"), 1);
        assert_eq!(pragma("auto_vacuum"), 2, "INCREMENTAL");
        assert_eq!(pragma("user_version"), 3);
    }

    #[test]
    fn damage_is_loud_and_left_as_it_is() {
        let dir = Dir::new();
        drop(dir.open().expect("a fresh spool"));
        let good = fs::read(dir.file()).expect("its bytes");
        assert!(good.len() > 8_192);

        let mut holes = good.clone();
        holes[4_096..8_192].fill(0xA5);
        let cut = &good[..5_000];
        for bad in [
            &holes[..],
            cut,
            b"",
            b"not a database at all, but long enough to look",
        ] {
            fs::write(dir.file(), bad).expect("the damage");
            let error = dir.refusal();
            assert!(error.remedy().contains("state repair"), "{error:?}");
            assert_eq!(fs::read(dir.file()).expect("its bytes"), bad);
        }
    }

    #[test]
    fn a_log_without_its_database_is_no_fresh_start() {
        let dir = Dir::new();
        fs::write(dir.0.path().join("spool.sqlite3-wal"), "records").expect("a log");
        dir.refusal();
        assert!(!dir.file().exists());
    }

    #[test]
    fn an_index_without_its_log_is_damage_unless_the_log_was_copied_back() {
        let dir = Dir::new();
        let index = beside(&dir.file(), "-shm");
        let spool = dir.open().expect("a fresh spool");
        let (unfinished, finished) = {
            let store = spool.store.lock().expect("the connection");
            let run = |sql| store.connection.execute_batch(sql).expect(sql);
            run("INSERT INTO site (name) VALUES ('a'); DELETE FROM site");
            let unfinished = fs::read(&index).expect("the index");
            run("PRAGMA wal_checkpoint");
            (unfinished, fs::read(&index).expect("the index"))
        };
        drop(spool);
        for damaged in [&unfinished[..], &finished[..50], b""] {
            fs::write(&index, damaged).expect("an index");
            dir.refusal();
        }
        fs::write(&index, finished).expect("an index");
        SqliteSpool::open_read_only(dir.0.path()).expect("a look");
        dir.open().expect("the spool as it was");
    }

    #[test]
    fn a_creation_that_was_interrupted_is_begun_again() {
        let dir = Dir::new();
        fs::write(dir.0.path().join("spool.sqlite3.new"), "half").expect("a beginning");
        dir.open().expect("a fresh spool");
    }

    /// A spool as an earlier version left it, with a record that waits.
    fn of_version(version: usize, dir: &Dir) {
        let line = br#"{"creationDate":5}"#;
        let record = RawRecord::parse(Bytes::from_static(line)).expect("JSON");
        let fingerprint = record.fingerprint();
        let connection = Connection::open(dir.file()).expect("a file");
        for migration in &MIGRATIONS[..version] {
            connection.execute_batch(migration).expect("its tables");
        }
        connection
            .execute_batch(
                "INSERT INTO site (id, name, watermark, counted_from) VALUES (1, 'a', 9, 0);
                 INSERT INTO output (name, seq, checkpoint) VALUES ('file', 0, x'01');",
            )
            .expect("its rows");
        let row = params![5, fingerprint.as_bytes(), line];
        for sql in [
            "INSERT INTO record (site, ms, fingerprint, ordinal, line) VALUES (1, ?1, ?2, 1, ?3)",
            "INSERT INTO ledger (site, ms, fingerprint, n) VALUES (1, ?1, ?2, length(?3) > 0)",
        ] {
            connection.execute(sql, row).expect("its rows");
        }
        if version >= 2 {
            seal_all(&connection).expect("its seals");
        }
        let pragma = |name, value: i64| {
            let done = connection.pragma_update(None, name, value);
            done.expect("a number");
        };
        pragma("application_id", APPLICATION_ID.into());
        pragma("user_version", version.try_into().expect("small"));
    }

    #[tokio::test]
    async fn an_older_spool_is_brought_up_to_date_with_all_that_it_holds() {
        for version in 1..MIGRATIONS.len() {
            let dir = Dir::new();
            of_version(version, &dir);
            let error = SqliteSpool::open_read_only(dir.0.path()).expect_err("it is older");
            assert!(error.remedy().contains("up to date"), "{error:?}");
            for _ in 0..2 {
                let spool = dir.open().expect("an older spool");
                assert_eq!(spool.inspect().await.expect("a look"), Vec::<String>::new());
                let state = spool.site(&SiteId::new("a")).await.expect("its state");
                assert_eq!(state.watermark, Some(time(9)));
                let output = OutputName::new("file");
                let state = spool.register(&output).await.expect("its position");
                assert_eq!((state.seq, state.checkpoint), (0, Some(vec![1])));
                let pending = spool.pending(&output, 9, 99).await.expect("what waits");
                assert_eq!(pending.len(), 1);
                assert_eq!(&pending[0].line[..], br#"{"creationDate":5}"#);
                let site = SiteId::new("a");
                let noted = spool.set_site_at("https://a.example", Some(&site)).await;
                noted.expect("a new table");
            }
        }
    }

    #[tokio::test]
    async fn a_look_stays_right_while_runs_begin_and_end() {
        let dir = Dir::new();
        drop(dir.open().expect("a fresh spool"));
        let look = SqliteSpool::open_read_only(dir.0.path());
        let look = look.expect("a good spool").expect("a spool");
        let before = Footprint::of(&dir.file());
        let sites = async || look.overview().await.expect("a look").sites.len();
        assert_eq!(sites().await, 0);
        for run in 1..4 {
            let spool = dir.open().expect("a run");
            let commit = Commit {
                from: time(0),
                records: Vec::new(),
                watermark: time(1),
                forget_before: time(0),
                rereads: Vec::new(),
            };
            let site = SiteId::new(format!("site {run}"));
            spool.commit(&site, commit).await.expect("a commit");
            assert_eq!(sites().await, run, "while it goes on");
            drop(spool);
            assert_eq!(sites().await, run, "after it");
        }
        assert!(before != Footprint::of(&dir.file()), "the files changed");
        let noted = look.set_site_at("https://a.example", None).await;
        noted.expect_err("it is for looking alone");
    }

    #[test]
    fn a_newer_schema_is_refused_by_its_number() {
        let dir = Dir::new();
        drop(dir.open().expect("a fresh spool"));
        let connection = Connection::open(dir.file()).expect("the file");
        connection
            .pragma_update(None, "user_version", 99)
            .expect("a new version");
        drop(connection);
        assert!(dir.refusal().to_string().contains("version 99"));
    }

    #[test]
    fn a_database_of_somebody_else_is_refused() {
        let dir = Dir::new();
        let connection = Connection::open(dir.file()).expect("a file");
        connection
            .execute_batch("CREATE TABLE photos (name TEXT)")
            .expect("a table");
        drop(connection);
        dir.refusal();
    }

    #[test]
    fn the_directory_may_be_a_link_and_the_file_may_not() {
        let dir = Dir::new();
        let real = dir.0.path().join("private");
        fs::create_dir(&real).expect("a directory");
        let link = dir.0.path().join("state");
        symlink(&real, &link).expect("a link");
        drop(SqliteSpool::open(&link).expect("as systemd does it"));
        let elsewhere = dir.0.path().join("elsewhere");
        fs::rename(real.join(FILE), &elsewhere).expect("moved");
        symlink(&elsewhere, real.join(FILE)).expect("a link");
        SqliteSpool::open(&link).expect_err("the file is a link");
    }

    #[tokio::test]
    async fn a_failed_disk_is_asked_no_more_while_a_full_one_is() {
        let dir = Dir::new();
        let spool = dir.open().expect("a fresh spool");
        let failing = |code: i32| {
            spool.transaction::<()>("trying it", move |_| {
                let error = rusqlite::ffi::Error::new(code);
                Err(Fault::Sqlite(rusqlite::Error::SqliteFailure(error, None)))
            })
        };
        let full = failing(rusqlite::ffi::SQLITE_FULL).await.expect_err("full");
        assert_eq!(full.kind(), ErrorKind::Io);
        let damaged = failing(rusqlite::ffi::SQLITE_CORRUPT)
            .await
            .expect_err("damage");
        assert_eq!(damaged.kind(), ErrorKind::State);
        spool.depth().await.expect("room may come back");
        failing(rusqlite::ffi::SQLITE_IOERR_FSYNC)
            .await
            .expect_err("a bad disk");
        let after = spool
            .depth()
            .await
            .expect_err("a second fsync proves nothing");
        assert_eq!(after.kind(), ErrorKind::Io);
    }

    #[tokio::test]
    async fn space_is_given_back_after_a_long_wait() {
        let dir = Dir::new();
        let spool = dir.open().expect("a fresh spool");
        let output = OutputName::new("file");
        spool.register(&output).await.expect("registered");
        let record = super::super::NewRecord {
            time: time(1),
            fingerprint: Fingerprint::from_bytes([1; 20]),
            ordinal: 1,
            line: Bytes::from(vec![b'x'; 80 * 1024 * 1024]),
        };
        let commit = Commit {
            from: time(0),
            records: vec![record],
            watermark: time(1),
            forget_before: time(0),
            rereads: Vec::new(),
        };
        spool
            .commit(&SiteId::new("a"), commit)
            .await
            .expect("committed");
        spool.confirm(&output, 1, b"").await.expect("confirmed");
        spool.sweep(&[output]).await.expect("swept");
        drop(spool);
        let len = fs::metadata(dir.file()).expect("the file").len();
        assert!(len < 1024 * 1024, "{len}");
    }
}
