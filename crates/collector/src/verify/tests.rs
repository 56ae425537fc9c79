//! The promises of the comparison: what is missing, extra or torn is found, and nothing else.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use confluence_audit_core::RawRecord;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::lines::Lines;
use super::*;
use confluence_audit_core::read::TimedRecord;

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
        let placed = |(time, line): &(i64, &str)| TimedRecord {
            time: at(*time),
            record: record(line),
            is_own_time: true,
        };
        compare(&self.1, site.iter().map(placed).collect(), 20, None)
    }
}

fn compare(
    files: &[PathBuf],
    site: Vec<TimedRecord>,
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
            .map(|(time, line)| TimedRecord {
                time: at(*time),
                record: record(line),
                is_own_time: true,
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
    let site = [2, 3, 4].map(|time| TimedRecord {
        time: at(time),
        record: record(&line(time, "a")),
        is_own_time: true,
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
    comparison.take(&TimedRecord {
        time: at(2),
        record: record(&line(2, "kept")),
        is_own_time: true,
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

#[test]
fn what_files_hold_is_counted_twins_and_records_without_a_time_too() {
    let now = 1_700_000_000_000;
    let lines = [
        line(now, "twins"),
        line(now, "twins"),
        r#"{"summary":"without"}"#.to_owned(),
        line(now + 1, "last"),
        line(5, "of 1970"),
        r#"{"creationDate":17000"#.to_owned(),
    ];
    let dir = Dir::new().with("a", gzip(lines.join("\n").as_bytes()));
    let holdings = Holdings::read(&dir.1, 0).unwrap();
    let count = |time, index: usize| {
        let key = (at(time), record(&lines[index]).fingerprint());
        holdings.counts().get(&key).copied()
    };
    assert_eq!(count(now, 0), Some(2));
    assert_eq!(count(now + 1, 2), Some(1));
    assert_eq!(count(now + 1, 3), Some(1));
    assert_eq!(count(now + 1, 4), Some(1));
    assert_eq!(holdings.counts().len(), 4);
    assert_eq!(holdings.oldest(), Some(at(now)));
    assert_eq!((holdings.untimed_count(), holdings.torn_count()), (2, 1));
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
        let site: Vec<TimedRecord> = records
            .iter()
            .map(|(time, content, ..)| TimedRecord {
                time: at(*time),
                record: record(&text(*time, *content)), is_own_time: true })
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
