//! Deduplication by multiset difference.
//!
//! Records have no id, and two events can be identical to the byte. So what is compared is how
//! many copies of a content the site has at a millisecond with how many were committed: twins
//! survive, late arrivals come out when they are next read, and nothing comes out twice.

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::fingerprint::Fingerprint;
use crate::read::source::Source;
use crate::read::timed::{TimedRecord, is_possible_time};
use crate::time::Timestamp;

/// How many copies of a record, per millisecond and content, have been committed.
pub type Counts = BTreeMap<(Timestamp, Fingerprint), u32>;

/// A record that was not committed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// When the site says that it happened.
    pub time: Timestamp,
    /// What identifies its content.
    pub fingerprint: Fingerprint,
    /// Which of the copies with this time and fingerprint it is: 1 for the first, 2 for its twin.
    pub ordinal: u32,
    /// The record as compact JSON, without a newline.
    pub line: Bytes,
}

/// A record with the fingerprint of its content.
#[derive(Clone, Debug)]
pub struct Fingerprinted {
    /// The record and its time.
    pub timed: TimedRecord,
    fingerprint: Fingerprint,
}

impl Fingerprinted {
    /// The record with what `source` identifies it by.
    pub fn of(source: &dyn Source, timed: TimedRecord) -> Self {
        Self {
            fingerprint: source.key(&timed.record),
            timed,
        }
    }
}

/// The records of a reading that were not committed before.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// In the order of the reading.
    pub new: Vec<NewRecord>,
    /// How many were read that had been committed.
    pub known: u64,
    /// How many of the new ones do not tell their time, or none that can be.
    pub without_time: u64,
}

/// Compares a reading of a window, oldest first, with what was committed of that window.
///
/// A record that does not tell its time is filed under its neighbour's, which can be another one at
/// the next reading: it is known where a record of its content was committed at any time of the
/// window.
pub fn difference(read: impl IntoIterator<Item = Fingerprinted>, committed: &Counts) -> Difference {
    let mut seen: HashMap<(Timestamp, Fingerprint), u32> = HashMap::new();
    let mut seen_without_time: HashMap<Fingerprint, u32> = HashMap::new();
    let committed_anywhere = LazyCell::new(|| {
        let mut contents: HashMap<Fingerprint, u32> = HashMap::new();
        for ((_, content), count) in committed {
            *contents.entry(*content).or_insert(0) += count;
        }
        contents
    });
    let mut difference = Difference::default();
    for Fingerprinted { timed, fingerprint } in read {
        let TimedRecord {
            time,
            record,
            is_own_time,
        } = timed;
        let committed_here = committed.get(&(time, fingerprint)).copied().unwrap_or(0);
        let ordinal = seen.entry((time, fingerprint)).or_insert(0);
        // The first copies are the ones that were read before; only the rest is new.
        let is_known = if is_own_time {
            *ordinal += 1;
            *ordinal <= committed_here
        } else {
            let copies = seen_without_time.entry(fingerprint).or_insert(0);
            *copies += 1;
            let is_known = *copies <= committed_anywhere.get(&fingerprint).copied().unwrap_or(0);
            if !is_known {
                *ordinal = (*ordinal).max(committed_here) + 1;
            }
            is_known
        };
        if is_known {
            difference.known += 1;
            continue;
        }
        if !is_own_time || !is_possible_time(time) {
            difference.without_time += 1;
        }
        difference.new.push(NewRecord {
            time,
            fingerprint,
            ordinal: *ordinal,
            line: record.line().clone(),
        });
    }
    difference
}

#[cfg(test)]
mod tests {
    use crate::record::RawRecord;

    use super::*;

    fn fingerprinted(time: i64, text: &str) -> Fingerprinted {
        let record = RawRecord::parse(format!(r#"{{"summary":"{text}"}}"#)).unwrap();
        Fingerprinted {
            fingerprint: record.fingerprint(),
            timed: TimedRecord {
                time: Timestamp::from_millis(time),
                record,
                is_own_time: true,
            },
        }
    }

    #[test]
    fn twins_come_out_as_often_as_the_site_has_them_and_never_again() {
        let first = difference(
            [
                fingerprinted(1, "a"),
                fingerprinted(1, "a"),
                fingerprinted(2, "a"),
            ],
            &Counts::new(),
        );
        assert_eq!(
            first.new.iter().map(|r| r.ordinal).collect::<Vec<_>>(),
            [1, 2, 1]
        );

        let mut committed = Counts::new();
        for record in &first.new {
            *committed
                .entry((record.time, record.fingerprint))
                .or_insert(0) += 1;
        }
        let again = || {
            [
                fingerprinted(1, "a"),
                fingerprinted(1, "a"),
                fingerprinted(2, "a"),
            ]
            .into_iter()
        };
        let second = difference(again(), &committed);
        assert_eq!((second.new.len(), second.known), (0, 3));

        let third = difference(
            again().chain([fingerprinted(1, "a"), fingerprinted(1, "b")]),
            &committed,
        );
        assert_eq!(
            third.new.iter().map(|r| r.ordinal).collect::<Vec<_>>(),
            [3, 1]
        );
    }

    #[test]
    fn a_copy_that_the_site_no_longer_has_takes_nothing_back() {
        let record = fingerprinted(1, "a");
        let key = (record.timed.time, record.fingerprint);
        let difference = difference([record], &Counts::from([(key, 2)]));
        assert_eq!((difference.new.len(), difference.known), (0, 1));
    }
}
