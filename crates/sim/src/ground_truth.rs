//! Ground truth: every record that the site has, the multiset that a correct collector ends with.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::generator::Generator;
use crate::log::{Entry, Log};

/// Entries taken from the log at a time.
const STRIDE: usize = 1_024;

/// All records of a span as lines of compact JSON without line breaks, oldest first.
///
/// A snapshot: what arrives later is not in it. Each line is the record with its keys in their natural order and
/// `creationDate` as a number, whatever the quirks make of it in pages. Lines are made as they are asked for.
#[derive(Clone, Debug)]
pub struct GroundTruth {
    log: Log,
    generator: Generator,
    rank: usize,
    end: usize,
    ready: VecDeque<Entry>,
}

impl GroundTruth {
    /// The records with `from <= time <= to`.
    pub(crate) fn new(log: Log, generator: Generator, from: i64, to: i64) -> Self {
        let rank = log.rank(from);
        let end = if to == i64::MAX {
            log.len()
        } else {
            log.rank(to + 1)
        };
        Self {
            log,
            generator,
            rank,
            end: end.max(rank),
            ready: VecDeque::new(),
        }
    }

    /// The lines as chunks of NDJSON.
    pub(crate) fn ndjson(mut self) -> impl Iterator<Item = Bytes> + Send {
        std::iter::from_fn(move || {
            let lines: String = self.by_ref().take(256).map(|line| line + "\n").collect();
            (!lines.is_empty()).then(|| lines.into())
        })
    }
}

impl Iterator for GroundTruth {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.ready.is_empty() {
            self.ready = self
                .log
                .slice(self.rank, STRIDE.min(self.end - self.rank))
                .into();
            self.rank += self.ready.len();
        }
        self.ready
            .pop_front()
            .map(|entry| self.generator.record(entry).line())
    }

    /// Skips without making what it skips.
    fn nth(&mut self, skipped: usize) -> Option<String> {
        let ready = skipped.min(self.ready.len());
        self.ready.drain(..ready);
        self.rank = self.rank.saturating_add(skipped - ready).min(self.end);
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.rank + self.ready.len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for GroundTruth {}
