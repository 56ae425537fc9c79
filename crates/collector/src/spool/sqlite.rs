//! The spool in one SQLite file of the state directory: the embedded default.
//!
//! A file that cannot be trusted is refused aloud, never replaced: starting afresh would deliver
//! everything that the site retains a second time, and without a word.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use confluence_audit_core::{Fingerprint, Timestamp};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};
use rustix::fs::OFlags;

use super::{Commit, Counts, Depth, OutputState, SiteState, Spool, Spooled};
use crate::local_disk::sync_directory;
use crate::output::OutputName;
use crate::{Error, ErrorKind, Result, SiteId};

const FILE: &str = "spool.sqlite3";

/// `CAud` in ASCII: tells `file(1)`, and us, whose database it is.
const APPLICATION_ID: i32 = 0x4341_7564;

/// What leads from each version of the schema to the next; the version is how many have been
/// applied. Entries are only ever added.
const MIGRATIONS: &[&str] = &["
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
"];

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

#[derive(Debug)]
struct Store {
    path: PathBuf,
    connection: Connection,
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
                failed: false,
            })),
        })
    }

    /// Does `work` in one transaction, on a thread that may block. Dropping the future does not
    /// stop it.
    async fn transaction<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
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
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T> {
        if self.failed {
            return Err(Error::new(
                ErrorKind::Io,
                format!("the spool {} failed before", self.path.display()),
                "See to the disk and start again.",
            ));
        }
        let done = self
            .connection
            // At once a writer: a reader that turns into one can be refused halfway.
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Fault::from)
            .and_then(|transaction| {
                let value = work(&transaction)?;
                transaction.commit()?;
                Ok(value)
            });
        done.map_err(|fault| {
            self.failed = fault.is_of_the_disk();
            fault.explain(&self.path, what)
        })
    }
}

#[async_trait]
impl Spool for SqliteSpool {
    async fn site(&self, site: &SiteId) -> Result<SiteState> {
        let site = site.clone();
        self.transaction("reading a site's state", move |transaction| {
            let found: Option<(i64, Option<i64>, Option<i64>)> = transaction
                .prepare_cached("SELECT id, watermark, counted_from FROM site WHERE name = ?1")?
                .query_row([site.as_str()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .optional()?;
            let Some((id, watermark, counted_from)) = found else {
                return Ok(SiteState::default());
            };
            let rereads = transaction
                .prepare_cached("SELECT step, done FROM reread WHERE site = ?1 ORDER BY step")?
                .query_map([id], |row| Ok((row.get(0)?, time(row.get(1)?))))?
                .collect::<Result<_, _>>()?;
            Ok(SiteState {
                watermark: watermark.map(time),
                counted_from: counted_from.map(time),
                rereads,
            })
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
                    "INSERT INTO output (name, seq) VALUES (?1, 0) ON CONFLICT DO NOTHING",
                )?
                .execute([output.as_str()])?;
            let state = transaction
                .prepare_cached("SELECT seq, checkpoint FROM output WHERE name = ?1")?
                .query_row([output.as_str()], |row| {
                    Ok(OutputState {
                        seq: row.get(0)?,
                        checkpoint: row.get(1)?,
                    })
                })?;
            Ok(state)
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
            let position: i64 = transaction
                .prepare_cached("SELECT seq FROM output WHERE name = ?1")?
                .query_row([output.as_str()], |row| row.get(0))
                .optional()?
                .ok_or_else(|| Fault::Rule(format!("the output {output} is not registered")))?;
            let mut statement = transaction.prepare_cached(
                "SELECT seq, name, ms, fingerprint, ordinal, line
                 FROM record JOIN site ON site.id = record.site
                 WHERE seq > ?1 ORDER BY seq",
            )?;
            let mut rows = statement.query([position])?;
            let mut pending = Vec::new();
            let mut bytes = 0_usize;
            while pending.len() < max_records
                && let Some(row) = rows.next()?
            {
                let line: Vec<u8> = row.get(5)?;
                bytes = bytes.saturating_add(line.len());
                if bytes > max_bytes && !pending.is_empty() {
                    break;
                }
                pending.push(Spooled {
                    seq: row.get(0)?,
                    site: SiteId::new(row.get::<_, Arc<str>>(1)?),
                    time: time(row.get(2)?),
                    fingerprint: Fingerprint::from_bytes(row.get(3)?),
                    ordinal: row.get(4)?,
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
                    "UPDATE output SET seq = ?2, checkpoint = ?3
                     WHERE name = ?1 AND seq <= ?2 AND ?2 <= (
                         SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'record'
                     )",
                )?
                .execute(params![output.as_str(), seq, checkpoint])?;
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
            let depth = transaction
                .prepare_cached("SELECT count(*), coalesce(sum(length(line)), 0) FROM record")?
                .query_row([], |row| {
                    Ok(Depth {
                        records: row.get::<_, i64>(0)?.unsigned_abs(),
                        bytes: row.get::<_, i64>(1)?.unsigned_abs(),
                    })
                })?;
            Ok(depth)
        })
        .await
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
    let mut count = transaction.prepare_cached(
        "INSERT INTO ledger (site, ms, fingerprint, n) VALUES (?1, ?2, ?3, 1)
         ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n",
    )?;
    let mut keep = transaction.prepare_cached(
        "INSERT INTO record (site, ms, fingerprint, ordinal, line) VALUES (?1, ?2, ?3, ?4, ?5)",
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
        keep.execute(params![id, ms, fingerprint, n, &record.line[..]])?;
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
    let log = dir.join(format!("{FILE}-wal"));
    if log.symlink_metadata().is_ok() {
        let fault = Fault::Damaged(format!("{} is there without it", log.display()));
        return Err(fault.explain(path, "opening it"));
    }
    let fresh = dir.join(format!("{FILE}.new"));
    match fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unusable(&fresh, error)),
    }
    // SQLite would create it readable for others; its log inherits what we choose.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&fresh)
        .map_err(|error| unusable(&fresh, error))?;
    let filled = connect(&fresh).and_then(|mut connection| {
        // Has to be said before the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        migrate(&mut connection, 0)?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(())
    });
    filled.map_err(|fault| fault.explain(&fresh, "creating it"))?;
    fs::rename(&fresh, path)
        .and_then(|()| sync_directory(dir))
        .map_err(|error| unusable(path, error))
}

fn connect(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Ok(Connection::open_with_flags(path, flags)?)
}

fn check_and_migrate(path: &Path) -> Result<Connection, Fault> {
    let mut connection = connect(path)?;
    let integer = |connection: &Connection, name| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0))
    };
    if integer(&connection, "application_id")? != i64::from(APPLICATION_ID) {
        return Err(Fault::Damaged("it is empty, or not ours".to_owned()));
    }
    let found = integer(&connection, "user_version")?;
    let version = match usize::try_from(found) {
        Ok(version) if version <= MIGRATIONS.len() => version,
        _ => return Err(Fault::Newer(found)),
    };
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
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Fault::Damaged(verdict));
    }
    migrate(&mut connection, version)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, from: usize) -> Result<(), Fault> {
    if from == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in &MIGRATIONS[from..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    let version = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()?;
    Ok(())
}

/// What can go wrong inside, before it is said where.
#[derive(Debug)]
enum Fault {
    Sqlite(rusqlite::Error),
    /// The file does not hold what we left in it.
    Damaged(String),
    /// The schema has this version, which is not known here.
    Newer(i64),
    /// The caller broke a rule of the trait.
    Rule(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    /// Whether the disk failed, as opposed to being full or busy.
    fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Sqlite(error)
            if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure))
    }

    fn explain(self, path: &Path, what: &str) -> Error {
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
                     this one another state directory.",
                );
            }
            Self::Damaged(verdict) => return damaged(path).with_source(Verdict(verdict)),
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
    let shown = path.display();
    Error::new(
        ErrorKind::State,
        format!("the spool {shown} is damaged and was left as it is"),
        format!(
            "Restore the state directory from a backup, or save what can be read: \
             sqlite3 {shown} .recover | sqlite3 saved.sqlite3 (then compare `PRAGMA \
             application_id` and `user_version`). Moving {shown} and its -wal file away begins \
             anew: everything that the site retains is then read and delivered once more; \
             `confluence-audit verify` shows what the outputs hold twice."
        ),
    )
}

fn unusable(path: &Path, error: io::Error) -> Error {
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
        numbers_are_not_used_again
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
        assert_eq!(pragma("user_version"), 1);
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
            assert!(error.remedy().contains(".recover"), "{error:?}");
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
    fn a_creation_that_was_interrupted_is_begun_again() {
        let dir = Dir::new();
        fs::write(dir.0.path().join("spool.sqlite3.new"), "half").expect("a beginning");
        dir.open().expect("a fresh spool");
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
