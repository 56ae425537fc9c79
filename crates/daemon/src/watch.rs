//! State of the running daemon, shared with the status page and the metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use confluence_audit_collector::Error;
use confluence_audit_collector::credentials::token_file::Stored;
use confluence_audit_collector::metrics::{Counters, HourlyCounts};
use confluence_audit_collector::pass::PassSummary;
use confluence_audit_collector::schedule::{Health, SiteSchedule};
use confluence_audit_core::{Runtime as _, SystemRuntime, Timestamp};
use tokio::time::Instant;

use crate::outputs::Outputs;

/// What is known at present. Clones are the same.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Inner>);

struct Inner {
    /// Instants of the schedule are counted from here.
    began: Instant,
    began_at: Timestamp,
    counters: Counters,
    known: Mutex<Status>,
}

/// Everything that is known.
#[derive(Clone, Default)]
pub(crate) struct Status {
    pub(crate) phase: Phase,
    /// Each configured site by its name.
    pub(crate) sites: BTreeMap<Arc<str>, SiteStatus>,
    /// Why the configuration that was read last is not in use.
    pub(crate) refused: Option<LastError>,
    /// `None` until the outputs are ready.
    pub(crate) outputs: Option<Outputs>,
}

/// How far the program has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Starting,
    Ready,
    Stopping,
}

/// What is known of one site.
#[derive(Clone, Default)]
pub(crate) struct SiteStatus {
    pub(crate) schedule: Option<SiteSchedule>,
    /// Since when a pass has been under way.
    pub(crate) since: Option<Timestamp>,
    pub(crate) last_success: Option<Timestamp>,
    watermark: Option<Timestamp>,
    /// Why the last pass failed.
    pub(crate) last_error: Option<LastError>,
    pub(crate) consent: Option<ConsentStatus>,
    /// Its day was counted from what an earlier process has left.
    pub(crate) is_seeded: bool,
    /// New records of the last day.
    pub(crate) hours: HourlyCounts,
}

/// What went wrong last, and what to do.
#[derive(Clone, Debug)]
pub(crate) struct LastError {
    pub(crate) at: Timestamp,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// How long a consent lasts.
#[derive(Clone, Debug)]
pub(crate) struct ConsentStatus {
    pub(crate) ends: Timestamp,
    pub(crate) warning: Option<String>,
}

impl LastError {
    pub(crate) fn of(error: &Error) -> Self {
        Self {
            at: SystemRuntime.now(),
            message: error.chain(),
            remedy: error.remedy().to_owned(),
        }
    }
}

impl ConsentStatus {
    pub(crate) fn of(stored: &Stored) -> Self {
        Self {
            ends: stored.ends_unused().min(stored.ends()),
            warning: stored.warning(SystemRuntime.now()),
        }
    }
}

impl SiteStatus {
    /// Everything up to it has been read. The watermark of a log in which there never was anything
    /// stands at the beginning of time, which says nothing.
    pub(crate) fn read_until(&self) -> Option<Timestamp> {
        self.watermark.filter(|at| at.as_millis() > 0)
    }

    pub(crate) fn health(&self) -> Health {
        self.schedule
            .map_or(Health::New, |schedule| schedule.health)
    }

    /// Notes how far an earlier process came, where nothing later is known.
    pub(crate) fn recall(&mut self, watermark: Option<Timestamp>, last_pass: Option<Timestamp>) {
        self.watermark = self.watermark.or(watermark);
        self.last_success = self.last_success.or(last_pass);
    }

    /// Notes what a window has brought.
    pub(crate) fn add_window(&mut self, found: &PassSummary) {
        self.watermark = found.watermark.or(self.watermark);
        self.hours.merge(&found.hours);
    }

    /// Counts records of the last day that an earlier process has committed.
    pub(crate) fn seed(&mut self, hours: &HourlyCounts) {
        self.hours.merge(hours);
        self.is_seeded = true;
    }
}

impl Watch {
    /// Nothing is known yet; the program has just begun.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            began_at: SystemRuntime.now(),
            counters: Counters::default(),
            known: Mutex::default(),
        }))
    }

    /// From when on instants of the schedule are counted.
    pub(crate) fn began(&self) -> Instant {
        self.0.began
    }

    pub(crate) fn began_at(&self) -> Timestamp {
        self.0.began_at
    }

    /// The present as the schedule counts it.
    pub(crate) fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// What is counted for as long as the program runs.
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Status> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a site; one that is not configured any more stays unknown.
    pub(crate) fn note(&self, site: &str, change: impl FnOnce(&mut SiteStatus)) {
        if let Some(status) = self.known().sites.get_mut(site) {
            change(status);
        }
    }
}
