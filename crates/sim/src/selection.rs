//! The records that a request selects, before they are ordered and cut into pages.

use crate::generator::Generator;
use crate::log::{Entry, Log};
use crate::query::Query;
use crate::quirks::Quirks;

/// How many entries a search looks through at a time.
const STRIDE: usize = 4_096;

/// A snapshot: what arrives later does not change it.
pub(crate) enum Selection {
    /// All between two ranks.
    Window { log: Log, from: usize, to: usize },
    /// Those that a search found.
    Found(Vec<Entry>),
}

impl Selection {
    pub(crate) fn new(log: Log, generator: &Generator, query: &Query, quirks: &Quirks) -> Self {
        let from = query.from.map_or(0, |time| {
            log.rank(if quirks.start_inclusive {
                time
            } else {
                time.saturating_add(1)
            })
        });
        let to = query.to.map_or(log.len(), |time| {
            log.rank(if quirks.end_inclusive {
                time.saturating_add(1)
            } else {
                time
            })
        });
        let window = Self::Window {
            log,
            from,
            to: to.max(from),
        };
        match &query.search {
            None => window,
            Some(text) => Self::Found(
                window
                    .chunks(STRIDE)
                    .flatten()
                    .filter(|entry| generator.record(*entry).mentions(text))
                    .collect(),
            ),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Window { from, to, .. } => to - from,
            Self::Found(entries) => entries.len(),
        }
    }

    /// Entries `from..to` of the selection, oldest first.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Vec<Entry> {
        let to = to.min(self.len());
        let from = from.min(to);
        match self {
            Self::Window {
                log, from: first, ..
            } => log.slice(first + from, to - from),
            Self::Found(entries) => entries[from..to].to_vec(),
        }
    }

    /// All of it, so many entries at a time, oldest first.
    pub(crate) fn chunks(&self, size: usize) -> impl Iterator<Item = Vec<Entry>> {
        (0..self.len())
            .step_by(size)
            .map(move |at| self.slice(at, at + size))
    }
}
