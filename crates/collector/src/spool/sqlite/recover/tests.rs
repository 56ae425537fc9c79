//! The promises of the recovery: whatever was damaged, nothing is lost without a word.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use confluence_audit_core::{Fingerprint, RawRecord};
use proptest::prelude::*;
use tokio::runtime::Builder;

use super::*;
use crate::output::OutputName;
use crate::spool::sqlite::SqliteSpool;
use crate::spool::sqlite::connection::PAGE;
use crate::spool::{Commit, SiteState, Spool, Spooled};
use crate::state::Lock;
use crate::{ErrorKind, SiteId};
use confluence_audit_core::read::NewRecord;

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
                    largest_page: None,
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
        assert!(closed.0[0].1.len() > 20 * PAGE);
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
                held.pending.push(pending.records);
            }
            Ok(held)
        })
    }

    /// No count is higher than it was: a twin of that record would not be delivered.
    fn counts_no_more_than(&self, before: &Self) {
        for ((_, now), (_, was)) in self.sites.iter().zip(&before.sites) {
            for (record, n) in was {
                let now = now.get(record).copied().unwrap_or(0);
                assert!(now <= *n, "{record:?}: {now}, and {n} were committed");
            }
        }
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

/// Opens, recovers and opens again what is in `files`; says whether it opened at first.
fn try_everything(files: &Files, before: &Held) -> Option<Recovery> {
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
            held.counts_no_more_than(before);
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
    let recovered = match SqliteSpool::recover(&lock, NOW) {
        Ok(recovered) => recovered,
        Err(error) => {
            // A flipped bit in its version makes a file one of a newer program's.
            assert!(error.to_string().contains("schema version"), "{error:?}");
            return None;
        }
    };
    let Recovery::Recovered(report) = &recovered else {
        panic!("{recovered:?}");
    };
    assert!(report.kept.exists() || beside(&report.kept, "-wal").exists());
    assert!(!dir.path().join("recover.tmp").exists());
    let spool = SqliteSpool::open(dir.path()).unwrap();
    assert_eq!(block_on(spool.inspect()).unwrap(), Vec::<String>::new());
    let held = Held::of(&spool).unwrap();
    held.loses_nothing_of(before);
    held.counts_no_more_than(before);
    if held.essence() != before.essence() {
        assert!(!report.lost.is_empty(), "{report:?}");
    }
    drop(spool);
    assert_eq!(SqliteSpool::recover(&lock, NOW).unwrap(), Recovery::Sound);
    Some(recovered)
}

#[test]
fn a_sound_spool_is_left_alone() {
    for (files, held) in templates() {
        assert_eq!(try_everything(files, held), None);
        let dir = tempfile::tempdir().unwrap();
        files.put(dir.path());
        let lock = Lock::acquire(dir.path()).unwrap();
        assert_eq!(SqliteSpool::recover(&lock, NOW).unwrap(), Recovery::Sound);
        assert_eq!(
            Files::of(dir.path()).without("-shm"),
            files.clone().without("-shm")
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let lock = Lock::acquire(dir.path()).unwrap();
    assert_eq!(SqliteSpool::recover(&lock, NOW).unwrap(), Recovery::NoSpool);
    assert!(!dir.path().join(FILE).exists());
}

#[test]
fn any_page_may_be_zeroed() {
    let (files, held) = &templates()[0];
    let pages = files.0[0].1.len() / PAGE;
    let (mut recovered, mut with_sites) = (0, 0);
    for page in 0..pages {
        let mut files = files.clone();
        files.file("")[page * PAGE..(page + 1) * PAGE].fill(0);
        if let Some(Recovery::Recovered(report)) = try_everything(&files, held) {
            recovered += 1;
            with_sites += usize::from(report.sites == 2 && report.outputs == 2);
        }
    }
    // Nearly all pages are those of counts and records: the loss of one takes no other table.
    assert!(
        2 * with_sites > recovered && recovered > pages / 2,
        "{with_sites} of {recovered} of {pages}"
    );
}

/// Damages one table of a spool that was closed, and recovers the rest.
fn without(table: &str) -> (Recovered, Held) {
    let (files, before) = &templates()[0];
    let dir = tempfile::tempdir().unwrap();
    files.put(dir.path());
    let page: u32 = Connection::open(dir.path().join(FILE))
        .unwrap()
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?1",
            [table],
            |row| row.get(0),
        )
        .unwrap();
    let page = page as usize;
    let mut damaged = files.clone();
    damaged.file("")[(page - 1) * PAGE..page * PAGE].fill(0xA5);
    damaged.put(dir.path());
    let lock = Lock::acquire(dir.path()).unwrap();
    let Recovery::Recovered(report) = SqliteSpool::recover(&lock, NOW).unwrap() else {
        panic!("it is damaged");
    };
    let spool = SqliteSpool::open(dir.path()).unwrap();
    let held = Held::of(&spool).unwrap();
    held.loses_nothing_of(before);
    (report, held)
}

#[test]
fn a_table_that_is_lost_takes_no_other() {
    let before = &templates()[0].1;
    let (report, held) = without("address");
    assert_eq!((report.lost.len(), &held.address), (0, &None));
    assert_eq!(held.sites, before.sites);
    assert_eq!(held.pending, before.pending);

    let (report, held) = without("reread");
    assert_eq!(report.lost, Vec::<String>::new());
    assert_eq!(held.essence(), before.essence());

    let (report, held) = without("ledger");
    assert_eq!((report.lost.len(), report.counts), (1, 0));
    assert_eq!(held.essence(), before.essence());

    let (report, held) = without("output");
    assert_eq!((report.lost.len(), report.outputs), (1, 0));
    // What one of them had not got is there for both.
    assert_eq!(held.pending[0], before.pending[1]);
    assert_eq!(held.pending[1], before.pending[1]);

    let (report, held) = without("chunk");
    assert_eq!((report.lost.len(), report.records), (2, 0));
    assert!(report.lost[0].contains("records"), "{report:?}");
    let oldest = before.pending.iter().flatten().map(|record| record.time);
    let oldest = oldest.min().unwrap();
    for (state, _) in &held.sites {
        // Not from the beginning, and from before all that waited.
        assert!(state.watermark.is_some_and(|read| read <= oldest));
        assert!(state.watermark > Some(at(0)));
    }
    assert_eq!(held.pending, [[], []]);

    let (report, held) = without("site");
    assert!(report.lost[0].contains("sites"), "{report:?}");
    assert_eq!((report.sites, report.outputs), (0, 2));
    assert!(
        held.sites
            .iter()
            .all(|(state, _)| state.watermark.is_none())
    );
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
    assert!(error.remedy().contains("state recover"));
    SqliteSpool::open_read_only(dir.path()).unwrap_err();
    let Recovery::Recovered(report) = SqliteSpool::recover(&lock, NOW).unwrap() else {
        panic!("it is damaged");
    };
    assert!(report.damage.contains("-wal"), "{report:?}");
    SqliteSpool::open(dir.path()).unwrap();
}

#[test]
fn a_log_without_its_file_is_no_fresh_start() {
    let (files, held) = &templates()[1];
    let recovered = try_everything(&files.clone().without(""), held);
    let Some(Recovery::Recovered(report)) = recovered else {
        panic!("{recovered:?}");
    };
    assert!(report.lost[0].contains("everything"), "{report:?}");
}

#[test]
fn an_interrupted_recovery_goes_on_from_wherever_it_was() {
    let (files, held) = &templates()[1];
    let mut files = files.clone();
    files.file("")[..PAGE].fill(0);
    files.file("-wal")[..64].fill(0);
    let dir = tempfile::tempdir().unwrap();
    files.put(dir.path());
    let lock = Lock::acquire(dir.path()).unwrap();
    let place = RecoveryDir::new(dir.path().canonicalize().unwrap());
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
        SqliteSpool::recover(&lock, NOW).unwrap(),
        Recovery::Recovered(saved)
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
    let error = SqliteSpool::recover(&lock, NOW).unwrap_err();
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
