//! How late records arrived: a histogram of fixed size.

use std::time::Duration;

/// The upper ends of the buckets in seconds: from what a slow index costs to the longest step of
/// reading again.
const BOUNDS: [u64; 10] = [1, 10, 60, 300, 900, 3_600, 21_600, 86_400, 259_200, 604_800];

/// How late records arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// How many fell into each bucket, and none of those before it; the last has no end.
    buckets: [u64; BOUNDS.len() + 1],
    total: Duration,
}

impl Lateness {
    /// Counts a record that was so late.
    pub fn add(&mut self, late: Duration) {
        let bucket = BOUNDS.partition_point(|bound| late > Duration::from_secs(*bound));
        self.buckets[bucket] += 1;
        self.total = self.total.saturating_add(late);
    }

    /// Counts all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += count;
        }
        self.total = self.total.saturating_add(other.total);
    }

    /// How many records there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How late all of them were together.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// For each bound, in seconds, how many were no later; `None` is without a bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = BOUNDS.iter().map(|bound| Some(*bound)).chain([None]);
        bounds.zip(self.buckets).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((bound, *sum))
        })
    }
}
