//! The audit log as times and seeds: which records exist, in which order, how many in a window.
//!
//! Nothing is stored but what was inserted. A record is an [`Entry`], its time and the key that its content is drawn
//! from; entries come from three sorted sources: the base (blocks of 1024, each made from the seed when it is asked
//! for), the bursts, and the arrivals. Counting a window and finding an offset are binary searches over them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use fastrand::Rng;

use crate::lock::lock;
use crate::random::mix;

/// Entries in a block.
const BLOCK: usize = 1024;
/// Blocks kept, at 16 KB each.
const CACHED: usize = 64;

/// Everything that determines a record: twins share both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) time: i64,
    pub(crate) key: u64,
}

/// The whole log, sorted by time. A clone is a snapshot and costs three pointers.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    base: Arc<Base>,
    bursts: Arc<Bursts>,
    inserted: Arc<Vec<Entry>>,
}

impl Log {
    /// A log of `records` over `[oldest, newest]`, and the bursts given as (time, records, share of twins).
    pub(crate) fn new(
        seed: u64,
        records: usize,
        (oldest, newest): (i64, i64),
        twins: f64,
        bursts: Vec<(i64, usize, f64)>,
    ) -> Self {
        let base = Base {
            seed,
            records,
            oldest,
            span: u128::from(newest.abs_diff(oldest)) + 1,
            twins,
            blocks: Mutex::new(VecDeque::new()),
        };
        Self {
            base: Arc::new(base),
            bursts: Arc::new(Bursts::new(seed, bursts)),
            inserted: Arc::default(),
        }
    }

    /// Whether it holds what is spread over its span and nothing else.
    pub(crate) fn is_as_made(&self) -> bool {
        self.len() == self.base.records
    }

    pub(crate) fn len(&self) -> usize {
        self.base.records + self.bursts.records + self.inserted.len()
    }

    /// How many entries are older than `time`.
    pub(crate) fn rank(&self, time: i64) -> usize {
        self.ranks(time).iter().sum()
    }

    fn ranks(&self, time: i64) -> [usize; 3] {
        [
            self.base.rank(time),
            self.bursts.rank(time),
            self.inserted.partition_point(|entry| entry.time < time),
        ]
    }

    /// Up to `count` entries from the one of that rank on, oldest first.
    pub(crate) fn slice(&self, rank: usize, count: usize) -> Vec<Entry> {
        let count = count.min(self.len().saturating_sub(rank));
        if count == 0 {
            return Vec::new();
        }
        let time = self.time_of(rank);
        let [mut base, mut bursts, mut inserted] = self.ranks(time);
        // Within the millisecond the sources stand one after the other, so the rest of the rank is skipped in turn.
        let mut skip = rank - base - bursts - inserted;
        let ends = self.ranks(time.saturating_add(1));
        for (from, end) in [&mut base, &mut bursts, &mut inserted]
            .into_iter()
            .zip(ends)
        {
            let step = skip.min(end - *from);
            *from += step;
            skip -= step;
        }
        let mut entries = self.base.range(base, count);
        entries.extend(self.bursts.range(bursts, count));
        entries.extend(self.inserted.iter().skip(inserted).take(count));
        // Stable, so the order within a millisecond is that of the sources, here as in every other slice.
        entries.sort_by_key(|entry| entry.time);
        entries.truncate(count);
        entries
    }

    /// The time of the entry of that rank, which must exist.
    fn time_of(&self, rank: usize) -> i64 {
        let (mut low, mut high) = self.ends();
        while low < high {
            // Overflows for no two times; `i64::midpoint` rounds towards zero, which would not end for negative ones.
            let middle = low + (high - low) / 2;
            if self.rank(middle + 1) > rank {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// The oldest and the newest time.
    fn ends(&self) -> (i64, i64) {
        let base = (self.base.records > 0)
            .then(|| (self.base.oldest, self.base.time_at(self.base.records) - 1));
        let bursts = self
            .bursts
            .list
            .first()
            .zip(self.bursts.list.last())
            .map(|(a, b)| (a.time, b.time));
        let inserted = self
            .inserted
            .first()
            .zip(self.inserted.last())
            .map(|(a, b)| (a.time, b.time));
        [base, bursts, inserted]
            .into_iter()
            .flatten()
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            .unwrap_or((0, 0))
    }

    /// Adds an entry behind all that stand in its millisecond.
    pub(crate) fn insert(&mut self, entry: Entry) {
        let inserted = Arc::make_mut(&mut self.inserted);
        let at = inserted.partition_point(|other| other.time <= entry.time);
        inserted.insert(at, entry);
    }
}

/// The records that the site starts with, spread evenly over its span, in clusters as people and jobs make them.
#[derive(Debug)]
struct Base {
    seed: u64,
    records: usize,
    oldest: i64,
    span: u128,
    twins: f64,
    blocks: Mutex<VecDeque<(usize, Arc<[Entry]>)>>,
}

impl Base {
    /// Where the share of the span begins that belongs to the records from `index` on.
    fn time_at(&self, index: usize) -> i64 {
        let offset = self.span * index as u128 / self.records.max(1) as u128;
        self.oldest
            .saturating_add(i64::try_from(offset).unwrap_or(i64::MAX))
    }

    /// The first and the last millisecond that a block's records can have.
    fn bounds(&self, block: usize) -> (i64, i64) {
        let from = self.time_at(block * BLOCK);
        let to = self.time_at(((block + 1) * BLOCK).min(self.records)) - 1;
        (from, to.max(from))
    }

    fn rank(&self, time: i64) -> usize {
        // The first block that may hold something at `time` or later: all before it are older, and bounds never fall.
        let (mut low, mut high) = (0, self.records.div_ceil(BLOCK));
        let blocks = high;
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.bounds(middle).1 >= time {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        if low == blocks {
            return self.records;
        }
        low * BLOCK + self.block(low).partition_point(|entry| entry.time < time)
    }

    fn range(&self, from: usize, count: usize) -> Vec<Entry> {
        let end = from.saturating_add(count).min(self.records);
        let mut entries = Vec::with_capacity(end.saturating_sub(from));
        let mut at = from;
        while at < end {
            let block = self.block(at / BLOCK);
            let stop = (at - at % BLOCK + BLOCK).min(end);
            entries.extend_from_slice(&block[at % BLOCK..][..stop - at]);
            at = stop;
        }
        entries
    }

    fn block(&self, index: usize) -> Arc<[Entry]> {
        let mut blocks = lock(&self.blocks);
        let found = blocks.iter().position(|(other, _)| *other == index);
        let block = match found.and_then(|at| blocks.remove(at)) {
            Some((_, block)) => block,
            None => self.make(index),
        };
        blocks.truncate(CACHED - 1);
        blocks.push_front((index, Arc::clone(&block)));
        block
    }

    fn make(&self, index: usize) -> Arc<[Entry]> {
        let count = BLOCK.min(self.records - index * BLOCK);
        let (from, to) = self.bounds(index);
        let mut rng = Rng::with_seed(mix(self.seed, index as u64));
        let mut entries: Vec<Entry> = (0..count)
            .map(|_| Entry {
                time: rng.i64(from..=to),
                key: rng.u64(..),
            })
            .collect();
        entries.sort_unstable_by_key(|entry| entry.time);
        for at in 1..count {
            let before = entries[at - 1];
            // A bulk operation writes records milliseconds apart. Times only ever move back towards a neighbour, which
            // keeps the block sorted and within its bounds.
            if rng.f64() < 0.15 {
                entries[at].time = entries[at].time.min(before.time + rng.i64(0..25));
            }
            if rng.f64() < self.twins {
                entries[at] = before;
            }
        }
        // The log begins and ends exactly where the configuration says.
        if index == 0 {
            entries[0].time = from;
        }
        if index * BLOCK + count == self.records {
            entries[count - 1].time = to;
        }
        entries.into()
    }
}

/// Milliseconds that hold many records.
#[derive(Debug)]
struct Bursts {
    list: Vec<Burst>,
    records: usize,
}

#[derive(Debug)]
struct Burst {
    time: i64,
    first: usize,
    records: usize,
    twins: f64,
    seed: u64,
}

impl Bursts {
    fn new(seed: u64, mut bursts: Vec<(i64, usize, f64)>) -> Self {
        bursts.sort_by_key(|(time, ..)| *time);
        let mut first = 0;
        let list = bursts
            .into_iter()
            .map(|(time, records, twins)| {
                let burst = Burst {
                    time,
                    first,
                    records,
                    twins,
                    seed: mix(mix(seed, u64::MAX), first as u64),
                };
                first += records;
                burst
            })
            .collect();
        Self {
            list,
            records: first,
        }
    }

    fn rank(&self, time: i64) -> usize {
        let at = self.list.partition_point(|burst| burst.time < time);
        self.list.get(at).map_or(self.records, |burst| burst.first)
    }

    fn range(&self, from: usize, count: usize) -> Vec<Entry> {
        let end = from.saturating_add(count).min(self.records);
        let mut entries = Vec::with_capacity(end.saturating_sub(from));
        let at = self
            .list
            .partition_point(|burst| burst.first + burst.records <= from);
        for burst in &self.list[at..] {
            let stop = end.saturating_sub(burst.first).min(burst.records);
            let start = from.saturating_sub(burst.first);
            entries.extend((start..stop).map(|index| Entry {
                time: burst.time,
                key: burst.key(index),
            }));
        }
        entries
    }
}

impl Burst {
    /// The key of the burst's record, which is that of the record before it where it is a twin.
    fn key(&self, mut index: usize) -> u64 {
        loop {
            let draw = mix(self.seed, index as u64);
            if index == 0 || Rng::with_seed(draw).f64() >= self.twins {
                return draw;
            }
            index -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        let mut log = Log::new(
            7,
            5_000,
            (1_000, 400_000),
            0.1,
            vec![(200_000, 700, 0.5), (1_000, 3, 0.0)],
        );
        for time in [200_000, 5, 900_000, 200_000, 123_456] {
            log.insert(Entry {
                time,
                key: time.unsigned_abs(),
            });
        }
        log
    }

    #[test]
    fn every_slice_is_a_part_of_the_whole() {
        let log = log();
        let all = log.slice(0, usize::MAX);
        assert_eq!(all.len(), 5_000 + 703 + 5);
        assert!(all.is_sorted_by_key(|entry| entry.time));
        for from in (0..=all.len()).step_by(97) {
            let end = (from + 250).min(all.len());
            assert_eq!(log.slice(from, 250), all[from..end], "from {from}");
        }
    }

    #[test]
    fn rank_counts_what_is_older() {
        let log = log();
        let all = log.slice(0, usize::MAX);
        for time in [
            i64::MIN,
            0,
            5,
            6,
            1_000,
            1_001,
            123_456,
            200_000,
            200_001,
            400_000,
            400_001,
            i64::MAX,
        ] {
            assert_eq!(
                log.rank(time),
                all.iter().filter(|entry| entry.time < time).count(),
                "{time}"
            );
        }
    }

    #[test]
    fn crowded_and_tiny_logs_hold_together() {
        for (records, span) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3_000, 1),
            (3_000, 10),
            (1_024, 5_000),
            (1_025, 5_000),
        ] {
            let log = Log::new(3, records, (50, 50 + span - 1), 0.0, Vec::new());
            let all = log.slice(0, usize::MAX);
            assert_eq!(all.len(), records);
            assert!(all.is_sorted_by_key(|entry| entry.time));
            if let Some(last) = all.last() {
                assert_eq!(last.time, 50 + span - 1);
            }
            for rank in (0..records).step_by(311) {
                assert_eq!(log.slice(rank, 1), all[rank..=rank]);
            }
        }
    }
}
