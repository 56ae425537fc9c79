//! How long an output that fails is tried again.

use std::time::Duration;

use confluence_audit_core::RetryPolicy;

use crate::Error;

/// How long an output that fails is tried again.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryRetry {
    policy: RetryPolicy,
    /// Also after failures that time alone does not mend: a person may.
    for_ever: bool,
}

impl DeliveryRetry {
    /// For a run that somebody or a timer waits for: a few times within ten seconds, and only
    /// where time may mend it. The next run tries again.
    pub const RUN: Self = Self {
        policy: RetryPolicy {
            attempts: 5,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(5),
            budget: Duration::from_secs(10),
        },
        for_ever: false,
    };

    /// For a daemon: again and again, at last every five minutes.
    pub const DAEMON: Self = Self {
        policy: RetryPolicy {
            attempts: u32::MAX,
            base: Duration::from_secs(1),
            cap: Duration::from_mins(5),
            budget: Duration::MAX,
        },
        for_ever: true,
    };

    /// Whether a batch may wait until there is more of it.
    pub(super) fn lingers(&self) -> bool {
        self.for_ever
    }

    /// How long to wait after so many `attempts` in a row, which waited so long between them.
    pub(super) fn wait(
        &self,
        error: &Error,
        attempts: u32,
        waited: Duration,
        random: f64,
    ) -> Option<Duration> {
        if !self.for_ever && !error.is_transient() {
            return None;
        }
        self.policy
            .wait(attempts, waited, error.retry_after(), random)
    }
}
