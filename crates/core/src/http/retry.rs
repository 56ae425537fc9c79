//! The retry policy: exponential backoff with jitter, a pure function without a clock.

use std::time::Duration;

/// How often and how long a request that failed for a passing reason is tried again.
///
/// The defaults follow Atlassian's advice: 2 seconds, doubling to 30, four retries, each wait
/// varied by a factor from 0.7 to 1.3; what the service asks for is the least. All waits of one
/// request together stay within a budget of five minutes: what would exceed it is given up at once.
///
/// ```
/// use std::time::Duration;
/// use confluence_audit_core::RetryPolicy;
///
/// let policy = RetryPolicy::default();
/// // After the first attempt, with the middle of the jitter.
/// assert_eq!(policy.wait(1, Duration::ZERO, None, 0.5), Some(Duration::from_secs(2)));
/// // The service asks for an hour: not within the budget.
/// let hour = Some(Duration::from_secs(3600));
/// assert_eq!(policy.wait(1, Duration::ZERO, hour, 0.5), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a request is made at most, the first time included.
    pub attempts: u32,
    /// The wait before the first retry.
    pub base: Duration,
    /// The longest wait that the policy chooses by itself.
    pub cap: Duration,
    /// The most that one request may wait in all.
    pub budget: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_secs(2),
            cap: Duration::from_secs(30),
            budget: Duration::from_mins(5),
        }
    }
}

impl RetryPolicy {
    /// One attempt and no more.
    pub const NEVER: Self = Self {
        attempts: 1,
        base: Duration::ZERO,
        cap: Duration::ZERO,
        budget: Duration::ZERO,
    };

    /// How long to wait after `attempts` attempts, the last of which failed for a passing reason;
    /// `None` means to give up.
    ///
    /// `waited` is what this request has waited already, `asked` what the service asked for,
    /// `random` a number from 0 to 1.
    pub fn wait(
        &self,
        attempts: u32,
        waited: Duration,
        asked: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        if attempts >= self.attempts {
            return None;
        }
        let doubled = self
            .base
            .saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
        let jittered = doubled
            .min(self.cap)
            .mul_f64(0.7 + 0.6 * random.clamp(0.0, 1.0));
        let wait = jittered.max(asked.unwrap_or_default());
        (waited.saturating_add(wait) <= self.budget).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_to_the_cap_and_then_end() {
        let policy = RetryPolicy {
            attempts: 7,
            ..RetryPolicy::default()
        };
        let waits: Vec<_> = (1..=7)
            .map(|n| {
                policy
                    .wait(n, Duration::ZERO, None, 0.5)
                    .map(|wait| wait.as_secs())
            })
            .collect();
        assert_eq!(
            waits,
            [
                Some(2),
                Some(4),
                Some(8),
                Some(16),
                Some(30),
                Some(30),
                None
            ]
        );
    }

    proptest! {
        #[test]
        fn all_waits_together_stay_within_the_budget_and_none_is_shorter_than_asked(
            asked in prop::collection::vec(prop::option::of(0_u64..400), 1..20),
            random in 0.0_f64..1.0,
        ) {
            let policy = RetryPolicy { attempts: 20, ..RetryPolicy::default() };
            let mut waited = Duration::ZERO;
            for (attempt, asked) in (1..).zip(asked) {
                let asked = asked.map(Duration::from_secs);
                let Some(wait) = policy.wait(attempt, waited, asked, random) else { break };
                prop_assert!(wait >= asked.unwrap_or_default());
                waited += wait;
            }
            prop_assert!(waited <= policy.budget);
        }
    }
}
