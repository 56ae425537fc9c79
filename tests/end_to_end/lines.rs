//! Lines of records as multisets: what is missing, and what is too much.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// What makes two lines the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Same {
    /// Every byte.
    Bytes,
    /// What they mean: the order of keys and the spelling of dates do not count.
    Meaning,
    /// The same, without what the service looks up about the author when it is asked.
    LastingMeaning,
}

/// The line that `raw` makes of a line of the truth, which serde writes like jq but for DEL.
pub(crate) fn raw(truth: &str) -> String {
    truth.replace('\u{7f}', "\\u007f")
}

/// Asserts that both hold the same lines equally often, in whatever order.
#[track_caller]
pub(crate) fn assert_same<'a>(
    context: &str,
    expected: impl IntoIterator<Item = String>,
    found: impl IntoIterator<Item = &'a str>,
    same: Same,
) {
    let expected: Vec<String> = expected.into_iter().map(|line| key(line, same)).collect();
    let found: Vec<String> = found
        .into_iter()
        .map(|line| key(line.to_owned(), same))
        .collect();
    let (expected, found) = (sorted(expected), sorted(found));
    if expected == found {
        return;
    }
    let (wanted, got) = (expected.len(), found.len());
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for (lines, by) in [(expected, -1), (found, 1)] {
        for line in lines {
            *counts.entry(line).or_default() += by;
        }
    }
    let mut report = format!("{context}: {got} records of {wanted}");
    for (what, sign) in [("missing", -1), ("too many", 1)] {
        let off = counts.iter().filter(|(_, count)| count.signum() == sign);
        let mut off: Vec<_> = off
            .map(|(line, count)| (time(line), count.abs(), line))
            .collect();
        off.sort();
        let copies: i64 = off.iter().map(|(_, count, _)| count).sum();
        write!(report, "\n{copies} {what}").unwrap();
        for (time, count, line) in off.into_iter().take(3) {
            let line: String = line.chars().take(400).collect();
            write!(report, "\n  {count} x at {time}: {line}").unwrap();
        }
    }
    panic!("{report}");
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

fn key(line: String, same: Same) -> String {
    if same == Same::Bytes {
        return line;
    }
    let mut record: Value = serde_json::from_str(&line).unwrap();
    if let Some(date) = record["creationDate"].as_str() {
        record["creationDate"] = date.parse::<i64>().unwrap().into();
    }
    if same == Same::LastingMeaning {
        let author = record["author"].as_object_mut().unwrap();
        for name in ["displayName", "publicName", "operations", "accountType"] {
            author.remove(name);
        }
    }
    record.sort_all_objects();
    record.to_string()
}

/// When the record of this line happened.
pub(crate) fn time(line: &str) -> i64 {
    let record: Value = serde_json::from_str(line).unwrap();
    let date = &record["creationDate"];
    let text = date.as_str().and_then(|date| date.parse().ok());
    text.or_else(|| date.as_i64()).unwrap()
}
