//! How many records each hour of the last day brought: what an operator sees at a glance.

use std::time::Duration;

use confluence_audit_core::Timestamp;

use crate::spool::Spool;
use crate::{Result, SiteId};

/// How many hours are kept.
const HOURS: usize = 24;
const DAY: i64 = 24;

const HOUR: i64 = 3_600_000;

/// Records an hour by their own time, over a day that ends with the newest of them.
///
/// ```
/// use confluence_audit_collector::metrics::HourlyCounts;
/// use confluence_audit_core::Timestamp;
///
/// let hour = |n: i64| Timestamp::from_millis(n * 3_600_000);
/// let mut hours = HourlyCounts::default();
/// hours.add(hour(1000), 3);
/// hours.add(hour(1001), 1);
/// assert_eq!(hours.until(hour(1002))[21..], [3, 1, 0]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourlyCounts {
    /// The newest hour since the epoch that is counted.
    last: i64,
    /// By the hour's remainder.
    counts: [u32; HOURS],
}

impl HourlyCounts {
    /// Counts `records` of this time. What is a day older than the newest is passed over.
    pub fn add(&mut self, time: Timestamp, records: u32) {
        let hour = time.as_millis().div_euclid(HOUR);
        self.forget_until(hour);
        if self.last.saturating_sub(hour) < DAY {
            let count = &mut self.counts[slot(hour)];
            *count = count.saturating_add(records);
        }
    }

    /// What was committed of the site over the day before `now`: counted an hour at a time, so that
    /// little of it is in memory.
    ///
    /// # Errors
    /// What the spool can fail with.
    pub async fn committed(spool: &dyn Spool, site: &SiteId, now: Timestamp) -> Result<Self> {
        let hour = Duration::from_millis(HOUR.unsigned_abs());
        let state = spool.site(site).await?;
        let mut hours = Self::default();
        let Some(watermark) = state.watermark else {
            return Ok(hours);
        };
        let day = now.saturating_sub(hour * 24);
        let mut from = day.max(state.counted_from.unwrap_or(watermark));
        while from <= watermark {
            let to = from.saturating_add(hour);
            let last = Timestamp::from_millis(to.as_millis() - 1);
            for ((time, _), count) in spool.counts(site, from, last).await? {
                hours.add(time, count);
            }
            from = to;
        }
        Ok(hours)
    }

    /// Counts all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for hour in other.hours() {
            let count = other.counts[slot(hour)];
            if count > 0 {
                self.add(Timestamp::from_millis(hour.saturating_mul(HOUR)), count);
            }
        }
    }

    /// The day up to the hour of `now`, oldest first.
    pub fn until(&self, now: Timestamp) -> [u32; HOURS] {
        let mut day = *self;
        day.forget_until(now.as_millis().div_euclid(HOUR));
        let mut counts = [0; HOURS];
        for (count, hour) in counts.iter_mut().zip(day.hours()) {
            *count = day.counts[slot(hour)];
        }
        counts
    }

    /// Makes `hour` the newest, if it is.
    fn forget_until(&mut self, hour: i64) {
        let passed = hour.saturating_sub(self.last);
        if passed <= 0 {
            return;
        }
        for new in (0..passed.min(DAY)).map(|back| hour - back) {
            self.counts[slot(new)] = 0;
        }
        self.last = hour;
    }

    fn hours(&self) -> impl Iterator<Item = i64> {
        let first = self.last.saturating_sub(DAY - 1);
        first..=self.last
    }
}

fn slot(hour: i64) -> usize {
    usize::try_from(hour.rem_euclid(DAY)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_day_is_what_counting_each_hour_apart_gives(
            records in prop::collection::vec((0_i64..100 * HOUR, 1_u32..5), 0..60),
            split in 0_usize..60,
            now in 60_i64..130,
        ) {
            let count = |records: &[(i64, u32)]| {
                let mut hours = HourlyCounts::default();
                for (time, count) in records {
                    hours.add(Timestamp::from_millis(*time), *count);
                }
                hours
            };
            let split = split.min(records.len());
            let mut merged = count(&records[..split]);
            merged.merge(&count(&records[split..]));
            let newest = records.iter().map(|(time, _)| time / HOUR).max().unwrap_or(0);
            let now = now.max(newest);
            let mut plain: BTreeMap<i64, u32> = BTreeMap::new();
            for (time, count) in &records {
                *plain.entry(time / HOUR).or_default() += count;
            }
            // What came before the day that the newest ends may be forgotten, and nothing else.
            let expected: Vec<u32> = (now - 23..=now)
                .map(|hour| plain.get(&hour).copied().unwrap_or(0))
                .collect();
            let at = Timestamp::from_millis(now * HOUR + 5);
            prop_assert_eq!(count(&records).until(at).to_vec(), expected.clone());
            prop_assert_eq!(merged.until(at).to_vec(), expected);
        }
    }
}
