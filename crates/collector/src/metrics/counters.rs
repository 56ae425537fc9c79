//! Registry of the counters of all sites and outputs, for the life of the process.
//!
//! A counter is found by the name of its site or output, so it goes on when the configuration is
//! read again. Whoever counts, the status page and the metrics share the same ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use confluence_audit_core::Gate;

use super::Lateness;

/// All counters of the process. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    sites: Arc<Mutex<HashMap<String, Arc<SiteCounters>>>>,
    outputs: Arc<Mutex<HashMap<String, Arc<OutputCounters>>>>,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// What is counted of one site. As a [`Gate`] it lets all requests pass.
#[derive(Debug, Default)]
pub struct SiteCounters {
    /// Records that were new.
    pub records: Counter,
    /// Records that were read again and were not new.
    pub duplicates: Counter,
    late: Mutex<Lateness>,
    requests: Mutex<BTreeMap<u16, u64>>,
    rate_limited_ms: Counter,
}

/// What is counted of one output.
#[derive(Debug, Default)]
pub struct OutputCounters {
    /// Records that it has confirmed.
    pub records: Counter,
    /// How often it failed.
    pub failures: Counter,
    /// Records that it refused for good, and that were set aside.
    pub dead_letters: Counter,
    /// Records that did not fit its format and were delivered as the site wrote them.
    pub unfit: Counter,
}

impl Counters {
    /// Those of the site of this name.
    pub fn site(&self, name: &str) -> Arc<SiteCounters> {
        Arc::clone(lock(&self.sites).entry(name.to_owned()).or_default())
    }

    /// Those of the output of this name.
    pub fn output(&self, name: &str) -> Arc<OutputCounters> {
        Arc::clone(lock(&self.outputs).entry(name.to_owned()).or_default())
    }
}

impl Counter {
    /// Counts so many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many were counted.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl SiteCounters {
    /// Counts how late records arrived.
    pub fn add_late(&self, late: &Lateness) {
        lock(&self.late).merge(late);
    }

    /// New records that arrived late, by how late they were.
    pub fn late(&self) -> Lateness {
        *lock(&self.late)
    }

    /// Attempts of requests by status; 0 is no answer.
    pub fn requests(&self) -> BTreeMap<u16, u64> {
        lock(&self.requests).clone()
    }

    /// The time spent waiting because of the service's rate limit.
    pub fn rate_limited(&self) -> Duration {
        Duration::from_millis(self.rate_limited_ms.get())
    }
}

#[async_trait]
impl Gate for SiteCounters {
    async fn pass(&self) {}

    fn answered(&self, status: Option<u16>, _: Option<Duration>) {
        *lock(&self.requests).entry(status.unwrap_or(0)).or_default() += 1;
    }

    fn rate_limited(&self, wait: Duration) {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.rate_limited_ms.add(millis);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
