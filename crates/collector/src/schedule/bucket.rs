//! Token bucket: so many requests a second in the long run, and a few more at once.

use std::time::Duration;

/// A rate limit of our own, so that we do not run into the service's. Time is handed in.
///
/// ```
/// use std::time::Duration;
/// use confluence_audit_collector::schedule::Bucket;
///
/// let mut bucket = Bucket::new(10.0, 2.0);
/// let waits: Vec<_> = (0..4).map(|_| bucket.take(Duration::ZERO).as_millis()).collect();
/// assert_eq!(waits, [0, 0, 100, 200]);
/// ```
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: f64,
    burst: f64,
    /// Below zero is what was promised to those who wait.
    level: f64,
    at: Duration,
}

impl Bucket {
    /// `rate` requests a second, and `burst` at once after a quiet time.
    pub fn new(rate: f64, burst: f64) -> Self {
        let burst = burst.max(1.0);
        Self {
            rate: rate.max(0.001),
            burst,
            level: burst,
            at: Duration::ZERO,
        }
    }

    /// Takes the place of one request: how long it has to wait. Whoever comes later waits longer.
    pub fn take(&mut self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate).min(self.burst) - 1.0;
        self.at = self.at.max(now);
        let wait = Duration::try_from_secs_f64((-self.level / self.rate).max(0.0));
        wait.unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_span_of_time_sees_more_than_its_rate_and_one_burst(
            rate in 1_u32..100,
            burst in 1_u32..50,
            gaps in prop::collection::vec(0_u64..400, 1..300),
        ) {
            let mut bucket = Bucket::new(rate.into(), burst.into());
            let mut now = Duration::ZERO;
            let mut passed = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                passed.push((now + bucket.take(now)).as_secs_f64());
            }
            for (index, from) in passed.iter().enumerate() {
                for (count, to) in passed[index..].iter().enumerate() {
                    let allowed = (to - from) * f64::from(rate) + f64::from(burst) + 1.001;
                    prop_assert!((count + 1) as f64 <= allowed);
                }
            }
        }
    }
}
