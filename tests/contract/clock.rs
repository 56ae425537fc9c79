//! Time by hand: nothing waits, and every wait is on record.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use confluence_audit_core::{Runtime, Timestamp};

/// 2026-01-01T10:00:00Z, the time of the newest records in the fixtures.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_767_261_600_000);

/// A clock that stands until it is moved or slept on.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<State>);

#[derive(Debug)]
struct State {
    now: Timestamp,
    random: f64,
    waits: Vec<Duration>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            now: NOW,
            random: 0.5,
            waits: Vec::new(),
        }))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut state = self.0.lock().unwrap();
        state.now = state.now.saturating_add(by);
    }

    /// Sets the clock, back as well.
    pub(crate) fn set(&self, now: Timestamp) {
        self.0.lock().unwrap().now = now;
    }

    pub(crate) fn set_random(&self, random: f64) {
        self.0.lock().unwrap().random = random;
    }

    /// Every sleep so far, in seconds.
    pub(crate) fn waits(&self) -> Vec<f64> {
        let state = self.0.lock().unwrap();
        state.waits.iter().map(Duration::as_secs_f64).collect()
    }
}

#[async_trait]
impl Runtime for Clock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap().now
    }

    /// Returns at once, and the time has passed.
    async fn sleep(&self, duration: Duration) {
        self.0.lock().unwrap().waits.push(duration);
        self.advance(duration);
    }

    fn random(&self) -> f64 {
        self.0.lock().unwrap().random
    }
}
