//! A site's log read again and compared with the files that were written from it, as multisets:
//! what they lack, what they hold too much of, and which of their lines are torn.
//!
//! First the files are [read](Holdings::read), each record into one small entry; then the site's
//! log is streamed past them, oldest first. The files may be in any order, rotated and compressed.

mod lines;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use confluence_audit_core::{Fingerprint, RawRecord, Runtime, Timestamp, printable};
use serde_json::Value;

use self::lines::{Lines, Next};
use crate::connect::Site;
use crate::pass::retained_from;
use crate::reader::Reader;
use crate::walk::{Log, Placed};
use crate::window::Window;
use crate::{Error, Result};

/// How much of a record is shown, in characters.
const SHOWN: usize = 160;

/// How exact the word of a site is about when it begins to forget: a day, and the day by which
/// [`retained_from`] is careful.
const RETENTION_MARGIN: Duration = Duration::from_hours(48);

/// What to compare.
#[derive(Clone, Debug)]
pub struct Verify {
    /// From here on; `None` is the time of the oldest record in the files.
    pub since: Option<Timestamp>,
    /// Up to here; `None` is the time of the newest record in the files.
    pub until: Option<Timestamp>,
    /// How many windows of the log are read at the same time.
    pub jobs: NonZeroUsize,
}

/// What a comparison came to. Texts in it are safe to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Where the compared window begins; `None` is with the first record of the site.
    pub from: Option<Timestamp>,
    /// Where it ends, itself included; `None` is with the newest record of the site.
    pub to: Option<Timestamp>,
    /// Records that the site has in the window.
    pub on_site: u64,
    /// Records that the files hold of the window.
    pub in_files: u64,
    /// Records in the files that are not of the window, and were not compared.
    pub outside: u64,
    /// Records of the window that do not tell their time in any known form, in the files and on
    /// the site: they are compared by content alone, and near the window's ends may be counted
    /// to the wrong side.
    pub untimed: u64,
    /// Records in the files that are as old as what the site forgets: it cannot say whether they
    /// are right.
    pub forgotten: u64,
    /// How many records the files lack.
    pub missing: u64,
    /// The spans in which they lack every record, oldest first; the last one may stand for all
    /// that were not listed.
    pub gaps: Vec<Gap>,
    /// How many gaps there are.
    pub gap_count: u64,
    /// How many records are in the files beyond what the site has.
    pub extra: u64,
    /// Some of them, oldest first.
    pub extras: Vec<Extra>,
    /// How many lines are no records.
    pub torn: u64,
    /// Some of them, as the files are in order.
    pub torn_lines: Vec<Torn>,
}

impl Verified {
    /// Whether the files hold exactly what the site has.
    pub fn is_exact(&self) -> bool {
        (self.missing, self.extra, self.torn) == (0, 0, 0)
    }
}

/// Records next to each other on the site, none of which is in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The time of the first.
    pub from: Timestamp,
    /// The time of the last.
    pub to: Timestamp,
    /// How many there are.
    pub records: u64,
    /// Some of them: when, and what.
    pub shown: Vec<(Timestamp, String)>,
}

/// A record that the files hold more often than the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Its time, if it tells one.
    pub time: Option<Timestamp>,
    /// How many copies are too many.
    pub copies: u32,
    /// The file of the last copy.
    pub file: String,
    /// Its line there, from 1.
    pub line: u64,
    /// What it is; `None` when the file could not be read a second time.
    pub what: Option<String>,
}

/// A line that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: String,
    /// Its line there, from 1.
    pub line: u64,
    /// The time of the last whole record before it in the file.
    pub after: Option<Timestamp>,
    /// What is wrong with it.
    pub why: String,
}

/// Compares the site's log with what was read from the files.
///
/// Memory grows with the distinct records in the files, by some 60 to 130 bytes each, and not
/// with the site's log.
///
/// # Errors
/// [`Service`](crate::ErrorKind::Service) when the site cannot be read.
pub async fn verify(
    site: &Site,
    holdings: Holdings,
    verify: &Verify,
    runtime: &dyn Runtime,
    mut progress: impl FnMut(u64, Timestamp),
) -> Result<Verified> {
    let log = Log {
        client: site.client.clone(),
        search: None,
    };
    let now = runtime.now();
    let from = verify.since.or(holdings.oldest);
    let span = Window {
        from: from.unwrap_or(Timestamp::from_millis(0)),
        to: verify.until.or(holdings.newest),
    };
    let silent = match from {
        Some(_) => None,
        None => Some(retained_from(&log, &site.name, now).await?),
    };
    let mut comparison = Comparison::new(holdings, (from, span.to));
    let mut reader = Reader::new(log.clone(), span, now, silent, verify.jobs);
    while let Some(whole) = reader
        .next()
        .await
        .map_err(|error| Error::service(&site.name, error))?
    {
        for placed in &whole.records {
            comparison.take(placed);
        }
        if let Some(last) = whole.records.last() {
            progress(comparison.done.on_site, last.time);
        }
    }
    let retained = if comparison.has_unknown() {
        let retained = retained_from(&log, &site.name, now).await?;
        Some(retained.saturating_add(RETENTION_MARGIN))
    } else {
        None
    };
    Ok(comparison.finish(retained))
}

/// One distinct record of the files.
#[derive(Clone, Copy, Debug)]
struct Held {
    copies: u32,
    /// How many of them the site has.
    matched: u32,
    /// Where the last copy is.
    file: u32,
    line: u64,
}

/// A distinct record that tells no time, and where in time its file has it.
#[derive(Clone, Copy, Debug)]
struct Untimed {
    held: Held,
    after: Option<Timestamp>,
}

/// What the files hold.
#[derive(Debug, Default)]
pub struct Holdings {
    files: Vec<Source>,
    timed: HashMap<(Timestamp, Fingerprint), Held>,
    /// The service's pages decide where such a record is placed, and no file tells those: its
    /// content has to do, which holds whatever the record says of its time.
    untimed: HashMap<Fingerprint, Untimed>,
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    torn: u64,
    torn_lines: Vec<Torn>,
    /// How much of each kind is kept to be shown.
    show: usize,
}

#[derive(Debug)]
struct Source {
    name: String,
    /// To read it again; standard input cannot be.
    path: Option<PathBuf>,
}

impl Holdings {
    /// Reads files of the `raw` format, plain or compressed, `-` is standard input; a file that is
    /// named twice is read once. Keeps up to `show` differences of each kind to be shown. Blocks
    /// meanwhile.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be read, or has a line beyond 64 MiB.
    pub fn read(files: &[PathBuf], show: usize) -> Result<Self> {
        let mut holdings = Self {
            show,
            ..Self::default()
        };
        let mut seen = HashSet::new();
        for path in files {
            if path == Path::new("-") {
                if seen.insert((0, 0)) {
                    holdings.add(Lines::open(path)?, None)?;
                }
                continue;
            }
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| lines::unreadable(&name, error))?;
            let meta = file.metadata();
            let meta = meta.map_err(|error| lines::unreadable(&name, error))?;
            // Rotation may have renamed it since the names were collected.
            if meta.is_file() && !seen.insert((meta.dev(), meta.ino())) {
                tracing::warn!("{} is named twice; it is read once", printable(&name, 400));
                continue;
            }
            let again = meta.is_file().then(|| path.clone());
            holdings.add(Lines::of_file(name, file)?, again)?;
        }
        Ok(holdings)
    }

    fn add(&mut self, mut lines: Lines, path: Option<PathBuf>) -> Result<()> {
        let file = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push(Source {
            name: printable(lines.name(), 4096),
            path,
        });
        let mut after = None;
        loop {
            let record = match lines.next()? {
                Next::End => return Ok(()),
                Next::Damaged(error) => {
                    let why = format!("the compressed data cannot be read from here on: {error}");
                    self.torn(file, lines.number(), after, &why);
                    return Ok(());
                }
                Next::Line(line) if line.iter().all(u8::is_ascii_whitespace) => {
                    Err("it is empty".to_owned())
                }
                Next::Line(line) => RawRecord::parse(Bytes::copy_from_slice(line)).map_err(|_| {
                    let text = String::from_utf8_lossy(&line[..line.len().min(4 * SHOWN)]);
                    format!("not JSON: {}", printable(&text, SHOWN))
                }),
            };
            match record {
                Ok(record) => {
                    self.hold(&record, file, lines.number(), after);
                    after = record.time().or(after);
                }
                Err(why) => self.torn(file, lines.number(), after, &why),
            }
        }
    }

    fn hold(&mut self, record: &RawRecord, file: u32, line: u64, after: Option<Timestamp>) {
        let one = Held {
            copies: 0,
            matched: 0,
            file,
            line,
        };
        let fingerprint = record.fingerprint();
        let held = if let Some(time) = record.time() {
            self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
            self.newest = self.newest.max(Some(time));
            self.timed.entry((time, fingerprint)).or_insert(one)
        } else {
            let untimed = Untimed { held: one, after };
            &mut self.untimed.entry(fingerprint).or_insert(untimed).held
        };
        (held.file, held.line) = (file, line);
        held.copies = held.copies.saturating_add(1);
    }

    fn torn(&mut self, file: u32, line: u64, after: Option<Timestamp>, why: &str) {
        self.torn += 1;
        if self.torn_lines.len() < self.show {
            self.torn_lines.push(Torn {
                file: self.name(file),
                line,
                after,
                why: printable(why, 2 * SHOWN),
            });
        }
    }

    fn name(&self, file: u32) -> String {
        let file = self.files.get(file as usize);
        file.map(|file| file.name.clone()).unwrap_or_default()
    }
}

/// The site's log on its way past what the files hold.
struct Comparison {
    holdings: Holdings,
    done: Verified,
    /// The gap that the last record was in.
    gap: Option<Gap>,
    /// All gaps that are not listed, in one.
    unlisted: Option<Gap>,
    /// How many missing records may still be described.
    left: usize,
}

impl Comparison {
    /// Both ends of the window are in it.
    fn new(holdings: Holdings, (from, to): (Option<Timestamp>, Option<Timestamp>)) -> Self {
        Self {
            left: holdings.show,
            holdings,
            done: Verified {
                from,
                to,
                ..Verified::default()
            },
            gap: None,
            unlisted: None,
        }
    }

    /// Takes the next record of the site, none of which is older than the one before.
    fn take(&mut self, placed: &Placed) {
        self.done.on_site += 1;
        let fingerprint = placed.record.fingerprint();
        let held = if let Some(time) = placed.record.time() {
            self.holdings.timed.get_mut(&(time, fingerprint))
        } else {
            self.done.untimed += 1;
            let untimed = self.holdings.untimed.get_mut(&fingerprint);
            untimed.map(|untimed| &mut untimed.held)
        };
        match held {
            Some(held) if held.matched < held.copies => {
                held.matched += 1;
                self.end_gap();
            }
            _ => self.lack(placed),
        }
    }

    fn lack(&mut self, placed: &Placed) {
        self.done.missing += 1;
        let gap = self.gap.get_or_insert_with(|| Gap {
            from: placed.time,
            to: placed.time,
            records: 0,
            shown: Vec::new(),
        });
        gap.records += 1;
        gap.to = placed.time;
        if self.left > 0 {
            self.left -= 1;
            gap.shown.push((placed.time, describe(&placed.record)));
        }
    }

    fn end_gap(&mut self) {
        let Some(gap) = self.gap.take() else {
            return;
        };
        self.done.gap_count += 1;
        if self.done.gaps.len() < self.holdings.show {
            self.done.gaps.push(gap);
        } else if let Some(unlisted) = &mut self.unlisted {
            unlisted.records += gap.records;
            unlisted.to = gap.to;
        } else {
            self.unlisted = Some(gap);
        }
    }

    fn is_inside(&self, time: Timestamp) -> bool {
        self.done.from.is_none_or(|from| time >= from) && self.done.to.is_none_or(|to| time <= to)
    }

    /// Whether the files hold a record of which the site has no copy at all.
    fn has_unknown(&self) -> bool {
        let mut timed = self.holdings.timed.iter();
        timed.any(|((time, _), held)| held.matched == 0 && self.is_inside(*time))
    }

    /// What is left in the files. From `retained` on the site has kept everything.
    fn finish(mut self, retained: Option<Timestamp>) -> Verified {
        self.end_gap();
        self.done.gaps.extend(self.unlisted.take());
        let mut extras = Vec::new();
        for ((time, fingerprint), held) in &self.holdings.timed {
            if !self.is_inside(*time) {
                self.done.outside += u64::from(held.copies);
                continue;
            }
            self.done.in_files += u64::from(held.copies);
            if held.matched == 0 && retained.is_some_and(|retained| *time < retained) {
                self.done.forgotten += u64::from(held.copies);
            } else if held.matched < held.copies {
                extras.push((Some(*time), *fingerprint, *held));
            }
        }
        for (fingerprint, Untimed { held, after }) in &self.holdings.untimed {
            if held.matched == 0 && after.is_some_and(|after| !self.is_inside(after)) {
                self.done.outside += u64::from(held.copies);
                continue;
            }
            self.done.in_files += u64::from(held.copies);
            self.done.untimed += u64::from(held.copies);
            if held.matched < held.copies {
                extras.push((None, *fingerprint, *held));
            }
        }
        let too_many = |held: &Held| held.copies - held.matched;
        let all = extras.iter().map(|(_, _, held)| u64::from(too_many(held)));
        self.done.extra = all.sum();
        extras.sort_unstable_by_key(|(time, fingerprint, _)| (*time, *fingerprint));
        extras.truncate(self.holdings.show);
        let wanted = extras.iter().map(|(_, _, held)| (held.file, held.line));
        let mut described = self.describe_lines(&wanted.collect());
        self.done.extras = extras
            .iter()
            .map(|(time, _, held)| Extra {
                time: *time,
                copies: too_many(held),
                file: self.holdings.name(held.file),
                line: held.line,
                what: described.remove(&(held.file, held.line)),
            })
            .collect();
        self.done.torn = self.holdings.torn;
        self.done.torn_lines = std::mem::take(&mut self.holdings.torn_lines);
        self.done
    }

    /// Reads these lines a second time: to keep what each record says for the few that will be
    /// shown would cost too much. A file that was rotated away since goes without.
    fn describe_lines(&self, wanted: &HashSet<(u32, u64)>) -> HashMap<(u32, u64), String> {
        let mut last: HashMap<u32, u64> = HashMap::new();
        for (file, line) in wanted {
            let last = last.entry(*file).or_insert(0);
            *last = (*last).max(*line);
        }
        let mut described = HashMap::new();
        for (file, last) in last {
            let path = self.holdings.files.get(file as usize);
            let Some(path) = path.and_then(|source| source.path.as_deref()) else {
                continue;
            };
            let Ok(mut lines) = Lines::open(path) else {
                continue;
            };
            while lines.number() < last
                && let Ok(Next::Line(line)) = lines.next()
            {
                let line = Bytes::copy_from_slice(line);
                if wanted.contains(&(file, lines.number()))
                    && let Ok(record) = RawRecord::parse(line)
                    && self.is_held_at(&record, file, lines.number())
                {
                    described.insert((file, lines.number()), describe(&record));
                }
            }
        }
        described
    }

    /// Whether this is still the record that was read there the first time.
    fn is_held_at(&self, record: &RawRecord, file: u32, line: u64) -> bool {
        let fingerprint = record.fingerprint();
        let held = match record.time() {
            Some(time) => self.holdings.timed.get(&(time, fingerprint)).copied(),
            None => self.holdings.untimed.get(&fingerprint).map(|it| it.held),
        };
        held.is_some_and(|held| (held.file, held.line) == (file, line))
    }
}

/// What a record is about, in a few words that are safe to look at.
fn describe(record: &RawRecord) -> String {
    let value: Value = record.decode().unwrap_or_default();
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let summary = text("/summary");
    let (name, kind) = (
        text("/affectedObject/name"),
        text("/affectedObject/objectType"),
    );
    let described = match (summary, name) {
        ("", "") => record.as_str().to_owned(),
        (summary, "") => summary.to_owned(),
        (summary, name) => format!("{summary}: {name} ({kind})"),
    };
    printable(&described, SHOWN)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::symlink;

    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn record(line: &str) -> RawRecord {
        RawRecord::parse(line.to_owned()).unwrap()
    }

    fn line(time: i64, summary: &str) -> String {
        format!(r#"{{"creationDate":{time},"summary":"{summary}"}}"#)
    }

    /// Several files in a directory of their own.
    struct Dir(tempfile::TempDir, Vec<PathBuf>);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap(), Vec::new())
        }

        fn with(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
            let path = self.0.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            self.1.push(path);
            self
        }

        fn compared(&self, site: &[(i64, &str)]) -> Verified {
            let placed = |(time, line): &(i64, &str)| Placed {
                time: at(*time),
                record: record(line),
            };
            compare(&self.1, site.iter().map(placed).collect(), 20, None)
        }
    }

    fn compare(
        files: &[PathBuf],
        site: Vec<Placed>,
        show: usize,
        window: Option<(i64, i64)>,
    ) -> Verified {
        let holdings = Holdings::read(files, show).unwrap();
        let window = match window {
            Some((from, to)) => (Some(at(from)), Some(at(to))),
            None => (holdings.oldest, holdings.newest),
        };
        let mut comparison = Comparison::new(holdings, window);
        for placed in site {
            comparison.take(&placed);
        }
        comparison.finish(None)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    #[test]
    fn what_is_missing_is_told_by_when_it_happened() {
        let all: Vec<String> = (1..=9).map(|n| line(n, "Page moved")).collect();
        let kept: Vec<&str> = [0, 1, 4, 6, 8].map(|n| all[n].as_str()).to_vec();
        let dir = Dir::new().with("a", kept.join("\n"));
        let site: Vec<(i64, &str)> = (1..).zip(all.iter().map(String::as_str)).collect();
        let done = dir.compared(&site);
        assert_eq!((done.on_site, done.in_files, done.missing), (9, 5, 4));
        let gaps: Vec<_> = done
            .gaps
            .iter()
            .map(|gap| (gap.from.as_millis(), gap.to.as_millis(), gap.records))
            .collect();
        assert_eq!(gaps, [(3, 4, 2), (6, 6, 1), (8, 8, 1)]);
        assert_eq!(done.gaps[0].shown[0], (at(3), "Page moved".to_owned()));
        assert!(!done.is_exact());

        let few = compare(
            &dir.1,
            site.iter()
                .map(|(time, line)| Placed {
                    time: at(*time),
                    record: record(line),
                })
                .collect(),
            1,
            None,
        );
        assert_eq!((few.missing, few.gap_count, few.gaps.len()), (4, 3, 2));
        let rest = &few.gaps[1];
        assert_eq!((rest.from, rest.to, rest.records), (at(6), at(8), 2));
        assert_eq!(few.gaps[0].shown.len(), 1);
    }

    #[test]
    fn torn_lines_and_extra_records_are_told_by_file_and_line() {
        let (one, two) = (line(1, "one"), line(2, "two"));
        let dir = Dir::new()
            .with("a", format!("{one}\n{{\"creationDate\":2,\"su\n{two}"))
            .with(
                "b",
                format!("\n{two}\n{}\n\u{1b}[31m\n", line(2, "x\\u001b[2J")),
            );
        let done = dir.compared(&[(1, &one), (2, &two)]);
        assert_eq!((done.missing, done.extra, done.torn), (0, 2, 3));
        let torn: Vec<_> = done
            .torn_lines
            .iter()
            .map(|it| (it.line, it.after))
            .collect();
        assert_eq!(torn, [(2, Some(at(1))), (1, None), (4, Some(at(2)))]);
        assert!(done.torn_lines[0].file.ends_with("/a"));
        let shown = format!("{done:?}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        let extra: Vec<_> = done.extras.iter().map(|it| (it.line, it.copies)).collect();
        assert!(
            extra.contains(&(2, 1)) && extra.contains(&(3, 1)),
            "{extra:?}"
        );
        assert!(
            done.extras
                .iter()
                .all(|it| it.file.ends_with("/b") && it.what.is_some())
        );
    }

    #[test]
    fn spelling_and_what_the_account_is_called_make_no_difference() {
        let site = r#"{"author":{"displayName":"Ana"},"creationDate":"5","summary":"caf\u00e9"}"#;
        let file = r#" {"summary":"café","creationDate":5,"author":{"displayName":"Bo"}}"#;
        let done = Dir::new()
            .with("a", format!("{file}\r\n"))
            .compared(&[(5, site)]);
        assert!(done.is_exact(), "{done:?}");
    }

    #[test]
    fn a_record_without_a_time_is_compared_by_its_content() {
        let (odd, one, nine) = (r#"{"summary":"odd"}"#, line(1, "a"), line(9, "b"));
        let dir = Dir::new().with("a", format!("{one}\n{odd}\n{nine}\n"));
        let done = dir.compared(&[(1, &one), (9, odd), (9, &nine)]);
        assert!(done.is_exact(), "{done:?}");
        assert_eq!(done.untimed, 2);
        let done = dir.compared(&[(1, &one), (9, odd), (9, odd), (9, &nine)]);
        assert_eq!(done.missing, 1);
        let done = dir.compared(&[(1, &one), (9, &nine)]);
        assert_eq!(
            (done.extra, done.extras[0].time, done.extras[0].line),
            (1, None, 2)
        );
    }

    #[test]
    fn only_the_window_is_compared() {
        let lines: Vec<String> = (1..=5).map(|time| line(time, "a")).collect();
        let dir = Dir::new().with("a", lines.join("\n"));
        let site = [2, 3, 4].map(|time| Placed {
            time: at(time),
            record: record(&line(time, "a")),
        });
        let done = compare(&dir.1, site.to_vec(), 9, Some((2, 4)));
        assert!(done.is_exact(), "{done:?}");
        assert_eq!((done.in_files, done.outside), (3, 2));
    }

    #[test]
    fn what_the_site_has_forgotten_is_not_held_against_the_files() {
        let twice = format!("{}\n{}\n{0}\n", line(1, "old"), line(2, "kept"));
        let dir = Dir::new().with("a", format!("{twice}{}\n", line(2, "kept")));
        let holdings = Holdings::read(&dir.1, 9).unwrap();
        let mut comparison = Comparison::new(holdings, (Some(at(0)), None));
        comparison.take(&Placed {
            time: at(2),
            record: record(&line(2, "kept")),
        });
        assert!(comparison.has_unknown());
        let done = comparison.finish(Some(at(50)));
        assert_eq!((done.forgotten, done.extra), (2, 1));
    }

    #[test]
    fn a_file_under_two_names_is_read_once() {
        let dir = Dir::new().with("a", line(1, "a"));
        let other = dir.0.path().join("b");
        symlink(&dir.1[0], &other).unwrap();
        let files = [dir.1[0].clone(), other];
        assert_eq!(Holdings::read(&files, 9).unwrap().files.len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_says_what_to_do() {
        let dir = Dir::new();
        for path in [dir.0.path().to_owned(), dir.0.path().join("missing")] {
            let error = Holdings::read(std::slice::from_ref(&path), 9).unwrap_err();
            assert_eq!(error.exit_code(), 74);
            assert!(error.to_string().contains(path.to_str().unwrap()));
            assert!(error.remedy().len() > 20);
        }
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let endless = std::io::repeat(b'x').take((65 << 20) + 7);
        let mut lines = Lines::read("it".to_owned(), endless).unwrap();
        let Err(error) = lines.next().map(|_| ()) else {
            panic!("it is too long");
        };
        assert!(error.to_string().contains("64 MiB"), "{error}");
    }

    #[test]
    fn damage_in_compressed_data_is_torn_and_what_came_before_it_counts() {
        let all: Vec<String> = (1..=20_000).map(|n| line(n, "a")).collect();
        let text = all.join("\n") + "\n";
        for packed in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
            let cut = &packed[..packed.len() - packed.len() / 4];
            let dir = Dir::new().with("a", cut);
            let holdings = Holdings::read(&dir.1, 9).unwrap();
            assert_eq!(holdings.torn, 1);
            assert!(holdings.timed.len() > 5_000, "{}", holdings.timed.len());
            let torn = &holdings.torn_lines[0];
            assert_eq!(torn.line, holdings.timed.len() as u64 + 1);
            assert!(torn.why.contains("compressed"), "{torn:?}");
        }
    }

    /// How a file is stored.
    #[derive(Clone, Copy, Debug)]
    enum Stored {
        Plain,
        Gzip,
        Zstd,
        /// Two members or frames, as `cat` joins them.
        Joined,
    }

    /// What is done to a record's line.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Done {
        Kept,
        Removed,
        Doubled,
        TornOff,
    }

    fn stored() -> impl Strategy<Value = Stored> {
        prop_oneof![
            Just(Stored::Plain),
            Just(Stored::Gzip),
            Just(Stored::Zstd),
            Just(Stored::Joined)
        ]
    }

    fn done() -> impl Strategy<Value = Done> {
        prop_oneof![
            12 => Just(Done::Kept),
            1 => Just(Done::Removed),
            1 => Just(Done::Doubled),
            1 => Just(Done::TornOff)
        ]
    }

    proptest! {
        /// Few milliseconds and few contents, so that there are twins of every kind.
        #[test]
        fn exactly_what_was_done_to_the_files_is_reported(
            records in prop::collection::vec((0..12_i64, 0..3_u8, done(), 5..30_usize), 1..80),
            files in prop::collection::vec((stored(), any::<prop::sample::Index>()), 1..5),
            ends_in_newline in any::<bool>(),
        ) {
            let mut records = records;
            records.sort_by_key(|(time, ..)| *time);
            let text = |time: i64, content: u8| line(time, &format!("{content}-{}", "y".repeat(40)));
            let site: Vec<Placed> = records
                .iter()
                .map(|(time, content, ..)| Placed {
                    time: at(*time),
                    record: record(&text(*time, *content)),
                })
                .collect();
            let mut lines = Vec::new();
            let (mut missing, mut extra, mut torn) = (0, 0, 0);
            for (time, content, done, cut) in &records {
                let text = text(*time, *content);
                match done {
                    Done::Kept => lines.push(text),
                    Done::Removed => missing += 1,
                    Done::Doubled => {
                        extra += 1;
                        lines.extend([text.clone(), text]);
                    }
                    Done::TornOff => {
                        missing += 1;
                        torn += 1;
                        lines.push(text[..*cut].to_owned());
                    }
                }
            }
            // A copy that was removed and one that was doubled are the same files as before.
            let mut balance: BTreeMap<(i64, u8), i64> = BTreeMap::new();
            for (time, content, done, _) in &records {
                *balance.entry((*time, *content)).or_insert(0) += match done {
                    Done::Kept => 0,
                    Done::Removed | Done::TornOff => -1,
                    Done::Doubled => 1,
                };
            }
            let both: i64 = records.len().try_into().unwrap();
            let lacking: i64 = balance.values().map(|n| (-n).max(0)).sum();
            let beyond: i64 = balance.values().map(|n| (*n).max(0)).sum();
            prop_assert_eq!(missing - lacking, extra - beyond);

            let mut dir = Dir::new();
            let mut cuts: Vec<usize> = files.iter().map(|(_, at)| at.index(lines.len() + 1)).collect();
            cuts.sort_unstable();
            *cuts.last_mut().unwrap() = lines.len();
            let mut begin = 0;
            for (number, ((stored, at), end)) in files.iter().zip(cuts).enumerate() {
                let mut text = lines[begin..end].join("\n");
                if !text.is_empty() && ends_in_newline {
                    text.push('\n');
                }
                begin = end;
                let bytes = text.as_bytes();
                let bytes = match stored {
                    Stored::Plain => bytes.to_vec(),
                    Stored::Gzip => gzip(bytes),
                    Stored::Zstd => zstd(bytes),
                    Stored::Joined => {
                        let (a, b) = bytes.split_at(at.index(bytes.len() + 1));
                        // A skippable frame is in between, which `pzstd` writes.
                        let skip = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
                        if number % 2 == 0 {
                            [gzip(a), gzip(b)].concat()
                        } else {
                            [zstd(a), skip.to_vec(), zstd(b)].concat()
                        }
                    }
                };
                dir = dir.with(&format!("flattened.json.{number}"), bytes);
            }
            dir.1.reverse();
            let done = compare(&dir.1, site, 200, Some((0, 12)));
            prop_assert_eq!(i64::try_from(done.missing).unwrap(), lacking);
            prop_assert_eq!(i64::try_from(done.extra).unwrap(), beyond);
            prop_assert_eq!(done.torn, torn);
            prop_assert_eq!(i64::try_from(done.on_site).unwrap(), both);
            prop_assert_eq!(i64::try_from(done.in_files).unwrap(), both - lacking + beyond);
            prop_assert_eq!(done.gaps.iter().map(|gap| gap.records).sum::<u64>(), done.missing);
            let mut told: BTreeMap<i64, i64> = BTreeMap::new();
            for (time, _) in done.gaps.iter().flat_map(|gap| &gap.shown) {
                *told.entry(time.as_millis()).or_insert(0) += 1;
            }
            let mut expected: BTreeMap<i64, i64> = BTreeMap::new();
            for ((time, _), n) in balance.iter().filter(|(_, n)| **n < 0) {
                *expected.entry(*time).or_insert(0) -= n;
            }
            prop_assert_eq!(told, expected);
        }
    }
}
