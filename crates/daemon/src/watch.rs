//! What is known of each site at present: noted by the loop and its passes, read by those who look.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use confluence_audit_collector::Error;
use confluence_audit_collector::credentials::token_file::Stored;
use confluence_audit_collector::delivery;
use confluence_audit_collector::metrics::HourlyCounts;
use confluence_audit_collector::metrics::Lateness;
use confluence_audit_collector::output::OutputName;
use confluence_audit_collector::pass::PassSummary;
use confluence_audit_collector::schedule::{Health, Pace, Standing};
use confluence_audit_core::{Http, Runtime as _, SystemRuntime, Timestamp};
use tokio::time::Instant;

use crate::generation::Outlets;

/// What is known at present. Clones are the same.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Inner>);

struct Inner {
    /// Instants of the schedule are counted from here.
    began: Instant,
    began_at: Timestamp,
    known: Mutex<Known>,
}

/// Everything that is known.
#[derive(Clone, Default)]
pub(crate) struct Known {
    pub(crate) phase: Phase,
    /// Each configured site by its name.
    pub(crate) sites: BTreeMap<Arc<str>, SiteNotes>,
    /// Why the configuration that was read last is not in use.
    pub(crate) refused: Option<Trouble>,
    /// `None` until the outputs are ready.
    pub(crate) outlets: Option<Outlets>,
    /// What outputs had done before the configuration was read last.
    pub(crate) outputs_before: HashMap<OutputName, Tally>,
}

/// How far the program has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Starting,
    Ready,
    Stopping,
}

/// What an output has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) delivered: u64,
    pub(crate) failures: u64,
    pub(crate) dead: u64,
    pub(crate) unfit: u64,
}

impl Known {
    /// What an output has done since the program began.
    pub(crate) fn tally(&self, output: &delivery::OutputStatus) -> Tally {
        let before = self.outputs_before.get(&output.name).copied();
        let before = before.unwrap_or_default();
        Tally {
            delivered: before.delivered + output.delivered,
            failures: before.failures + output.failures,
            dead: before.dead + output.dead,
            unfit: before.unfit + output.unfit,
        }
    }

    /// Keeps what the outputs have done until now; their own counts begin anew.
    pub(crate) fn carry_over(&mut self, outputs: &[delivery::OutputStatus]) {
        let tallies = outputs.iter().map(|it| (it.name.clone(), self.tally(it)));
        self.outputs_before = tallies.collect();
    }
}

/// What is known of one site.
#[derive(Clone, Default)]
pub(crate) struct SiteNotes {
    pub(crate) standing: Option<Standing>,
    /// Since when a pass has been under way.
    pub(crate) since: Option<Timestamp>,
    pub(crate) last_success: Option<Timestamp>,
    watermark: Option<Timestamp>,
    /// Why the last pass failed.
    pub(crate) trouble: Option<Trouble>,
    pub(crate) consent: Option<ConsentNotes>,
    /// Its day was counted from what an earlier process has left.
    pub(crate) is_seeded: bool,
    counted: Counted,
    /// What the pass under way has found.
    pub(crate) current: Option<PassSummary>,
    pace: Option<Arc<Pace>>,
    http: Option<Http>,
    requests_before: BTreeMap<u16, u64>,
    rate_limited_before: Duration,
}

/// What all passes together have found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) records: u64,
    pub(crate) duplicates: u64,
    pub(crate) late: Lateness,
    pub(crate) hours: HourlyCounts,
}

/// Something that went wrong, in words.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) at: Timestamp,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// How long a consent lasts.
#[derive(Clone, Debug)]
pub(crate) struct ConsentNotes {
    pub(crate) ends: Timestamp,
    pub(crate) warning: Option<String>,
}

impl Trouble {
    pub(crate) fn of(error: &Error) -> Self {
        Self {
            at: SystemRuntime.now(),
            message: error.chain(),
            remedy: error.remedy().to_owned(),
        }
    }
}

impl ConsentNotes {
    pub(crate) fn of(kept: &Stored) -> Self {
        Self {
            ends: kept.ends_unused().min(kept.ends()),
            warning: kept.warning(SystemRuntime.now()),
        }
    }
}

impl Counted {
    fn add(&mut self, found: &PassSummary) {
        self.records += found.new;
        self.duplicates += found.duplicates;
        self.late.merge(&found.lateness);
        self.hours.merge(&found.hours);
    }
}

impl SiteNotes {
    /// Everything up to it has been read. The watermark of a log in which there never was anything
    /// stands at the beginning of time, which says nothing.
    pub(crate) fn read_until(&self) -> Option<Timestamp> {
        self.watermark.filter(|at| at.as_millis() > 0)
    }

    /// What was found since the program began, by the pass under way as well.
    pub(crate) fn counted(&self) -> Counted {
        let mut counted = self.counted;
        if let Some(found) = &self.current {
            counted.add(found);
        }
        counted
    }

    /// Attempts of requests by status.
    pub(crate) fn requests(&self) -> BTreeMap<u16, u64> {
        let mut requests = self.requests_before.clone();
        let seen = self.pace.as_ref().map(|pace| pace.seen().statuses);
        for (status, count) in seen.unwrap_or_default() {
            *requests.entry(status).or_default() += count;
        }
        requests
    }

    /// The time spent waiting for the service's rate limit.
    pub(crate) fn rate_limited(&self) -> Duration {
        let now = self.http.as_ref().map(|http| http.stats().rate_limited);
        self.rate_limited_before
            .saturating_add(now.unwrap_or_default())
    }

    pub(crate) fn health(&self) -> Health {
        self.standing
            .map_or(Health::New, |standing| standing.health)
    }

    /// Counts go on from here with another gate.
    pub(crate) fn set_gate(&mut self, pace: Arc<Pace>, http: Http) {
        self.requests_before = self.requests();
        self.rate_limited_before = self.rate_limited();
        (self.pace, self.http) = (Some(pace), Some(http));
    }

    /// Notes how far an earlier process came, where nothing later is known.
    pub(crate) fn recall(&mut self, watermark: Option<Timestamp>, last_pass: Option<Timestamp>) {
        self.watermark = self.watermark.or(watermark);
        self.last_success = self.last_success.or(last_pass);
    }

    /// Notes what the pass under way has found so far.
    pub(crate) fn progress(&mut self, found: &PassSummary) {
        self.watermark = found.watermark.or(self.watermark);
        self.current = Some(*found);
    }

    /// Notes that no pass is under way any more. What it has committed stays counted.
    pub(crate) fn settle(&mut self) {
        if let Some(found) = self.current.take() {
            self.counted.add(&found);
        }
        self.since = None;
    }

    /// Counts records of the last day that an earlier process has committed.
    pub(crate) fn seed(&mut self, hours: &HourlyCounts) {
        self.counted.hours.merge(hours);
        self.is_seeded = true;
    }
}

impl Watch {
    /// Nothing is known yet; the program has just begun.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            began_at: SystemRuntime.now(),
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

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a site; one that is not configured any more stays unknown.
    pub(crate) fn note(&self, site: &str, change: impl FnOnce(&mut SiteNotes)) {
        if let Some(notes) = self.known().sites.get_mut(site) {
            change(notes);
        }
    }
}
