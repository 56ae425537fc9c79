//! The promises of the spool, those of every spool and those of this one's file.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use bytes::Bytes;
use rusqlite::Connection;

use super::connection::PAGE;
use super::*;
use crate::ErrorKind;
use crate::spool::conformance::{self, Store as Reopens};
use confluence_audit_core::Fingerprint;
use confluence_audit_core::read::NewRecord;

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

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
    what_every_output_has_is_gone
    a_forgotten_output_holds_nothing_back
    what_an_output_waits_for_is_counted_by_site
    an_address_leads_to_its_site
    numbers_are_not_used_again
    the_overview_shows_what_is_there
    rewinding_keeps_counts_and_records
    rewinding_beyond_the_counts_knows_what_is_spooled
    counting_anew_begins_where_it_is_told_and_knows_what_is_spooled
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
    assert!(good.len() > 3 * PAGE);

    // The second page is SQLite's own map of pages; the third is that of the first table.
    let mut holes = good.clone();
    holes[2 * PAGE..3 * PAGE].fill(0xA5);
    let cut = &good[..PAGE + 5_000];
    for bad in [
        &holes[..],
        cut,
        b"",
        b"not a database at all, but long enough to look",
    ] {
        fs::write(dir.file(), bad).expect("the damage");
        let error = dir.refusal();
        assert!(error.remedy().contains("state recover"), "{error:?}");
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
        run("INSERT INTO site (name, checksum) VALUES ('a', x''); DELETE FROM site");
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

#[test]
fn a_spool_of_a_development_version_is_refused_and_says_what_to_do() {
    let dir = Dir::new();
    let connection = Connection::open(dir.file()).expect("a file");
    connection
        .execute_batch(
            "CREATE TABLE site (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
             PRAGMA application_id = 0x43417564; PRAGMA user_version = 6",
        )
        .expect("its tables");
    drop(connection);
    let before = fs::read(dir.file()).expect("its bytes");
    let lock = Lock::acquire(dir.0.path()).expect("the lock");
    let recovered = SqliteSpool::recover(&lock, Timestamp::from_millis(0));
    let refused = [
        dir.refusal(),
        SqliteSpool::open_read_only(dir.0.path()).expect_err("it is no other"),
        recovered.expect_err("nor is it damaged"),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::State);
        assert!(error.to_string().contains("development"), "{error}");
        assert!(error.remedy().contains("--from-files"), "{error:?}");
    }
    assert_eq!(fs::read(dir.file()).expect("its bytes"), before);
}

#[tokio::test]
async fn a_count_that_grew_by_itself_is_missed() {
    let dir = Dir::new();
    let site = SiteId::new("a");
    let spool = dir.open().expect("a fresh spool");
    let twins = |count| {
        let copies = (1..=count).map(|ordinal| NewRecord {
            time: time(1),
            fingerprint: Fingerprint::from_bytes([1; 20]),
            ordinal,
            line: Bytes::from_static(b"{}"),
        });
        Commit {
            largest_page: None,
            from: time(0),
            records: copies.collect(),
            watermark: time(1),
            forget_before: time(0),
            rereads: Vec::new(),
        }
    };
    spool.commit(&site, twins(2)).await.expect("committed");
    drop(spool);
    let connection = Connection::open(dir.file()).expect("the file");
    let grown = connection.execute("UPDATE ledger SET n = 3", []);
    assert_eq!(grown.expect("another number"), 1);
    drop(connection);
    let spool = dir.open().expect("SQLite sees nothing wrong");
    let counts = spool.counts(&site, time(0), time(9)).await;
    let error = counts.expect_err("a third twin would be lost");
    assert_eq!(error.kind(), ErrorKind::State, "{error:?}");
    let found = spool.inspect().await.expect("a look");
    assert!(
        found.iter().any(|wrong| wrong.contains("count")),
        "{found:?}"
    );
}

#[tokio::test]
async fn counts_are_met_where_they_are_read_and_from_then_on_checked_at_each_start() {
    let dir = Dir::new();
    let site = SiteId::new("a");
    let spool = dir.open().expect("a fresh spool");
    let commit = Commit {
        largest_page: None,
        from: time(0),
        records: Vec::new(),
        watermark: time(1),
        forget_before: time(0),
        rereads: Vec::new(),
    };
    spool.commit(&site, commit).await.expect("committed");
    drop(spool);
    let connection = Connection::open(dir.file()).expect("the file");
    let root: u32 = connection
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'ledger'",
            [],
            |row| row.get(0),
        )
        .expect("a page");
    drop(connection);
    let root = root as usize;
    let mut bytes = fs::read(dir.file()).expect("its bytes");
    bytes[(root - 1) * PAGE..root * PAGE].fill(0xA5);
    fs::write(dir.file(), &bytes).expect("the damage");

    let spool = dir.open().expect("it was closed well");
    let counts = spool.counts(&site, time(0), time(9)).await;
    let error = counts.expect_err("it is met");
    assert_eq!(error.kind(), ErrorKind::State, "{error:?}");
    drop(spool);
    // The log that was left behind has the whole file looked at, however often it is refused.
    for _ in 0..2 {
        assert!(beside(&dir.file(), "-wal").exists());
        dir.refusal();
    }
}

#[tokio::test]
async fn a_record_whose_number_fell_behind_the_outputs_is_missed() {
    let dir = Dir::new();
    let spool = dir.open().expect("a fresh spool");
    let output = OutputName::new("file");
    spool.register(&output).await.expect("registered");
    let commit = |ms| Commit {
        largest_page: None,
        from: time(0),
        records: vec![NewRecord {
            time: time(ms),
            fingerprint: Fingerprint::from_bytes([1; 20]),
            ordinal: 1,
            line: Bytes::from_static(b"{}"),
        }],
        watermark: time(ms),
        forget_before: time(0),
        rereads: Vec::new(),
    };
    let site = SiteId::new("a");
    spool.commit(&site, commit(1)).await.expect("committed");
    spool.confirm(&output, 1, b"").await.expect("confirmed");
    spool.commit(&site, commit(2)).await.expect("committed");
    drop(spool);
    drop(dir.open().expect("a good spool"));
    let connection = Connection::open(dir.file()).expect("the file");
    let moved = connection.execute("UPDATE chunk SET last = 1, first = 1", []);
    assert_eq!(moved.expect("another number"), 1);
    drop(connection);
    dir.refusal();
}

#[tokio::test]
async fn a_record_whose_site_is_not_there_is_missed() {
    let dir = Dir::new();
    let spool = dir.open().expect("a fresh spool");
    let output = OutputName::new("file");
    spool.register(&output).await.expect("registered");
    let commit = Commit {
        largest_page: None,
        from: time(0),
        records: vec![NewRecord {
            time: time(1),
            fingerprint: Fingerprint::from_bytes([1; 20]),
            ordinal: 1,
            line: Bytes::from_static(b"{}"),
        }],
        watermark: time(1),
        forget_before: time(0),
        rereads: Vec::new(),
    };
    let site = SiteId::new("a");
    spool.commit(&site, commit).await.expect("committed");
    drop(spool);
    let connection = Connection::open(dir.file()).expect("the file");
    let moved = connection.execute_batch("PRAGMA foreign_keys = OFF; UPDATE chunk SET site = 7");
    moved.expect("another site");
    drop(connection);
    let spool = dir.open().expect("SQLite sees nothing wrong");
    let pending = spool.pending(&output, 9, 99).await;
    let error = pending.expect_err("it must not go unseen");
    assert_eq!(error.kind(), ErrorKind::State, "{error:?}");
    assert!(!spool.inspect().await.expect("a look").is_empty());
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
            largest_page: None,
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
            Err(StoreError::Sqlite(rusqlite::Error::SqliteFailure(
                error, None,
            )))
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
    let record = NewRecord {
        time: time(1),
        fingerprint: Fingerprint::from_bytes([1; 20]),
        ordinal: 1,
        line: Bytes::from(vec![b'x'; 80 * 1024 * 1024]),
    };
    let commit = Commit {
        largest_page: None,
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
    drop(spool);
    let len = fs::metadata(dir.file()).expect("the file").len();
    assert!(len < 1024 * 1024, "{len}");
}
