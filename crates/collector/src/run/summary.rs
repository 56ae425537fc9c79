//! Summary of a run, for people and scripts.

use std::time::Duration;

use confluence_audit_core::Http;
use serde::Serialize;

use crate::Error;
use crate::pass::PassSummary;

/// What a run did, or, where it is a dry one, would do.
#[derive(Debug, Default, Serialize)]
pub struct RunSummary {
    /// Records that were new, all sites together.
    pub records: u64,
    /// Requests made, retries included.
    pub requests: u64,
    /// How many of them were retries.
    pub retries: u64,
    /// Records that were read again and had been delivered.
    pub duplicates: u64,
    /// New records older than what had been read: they arrived late.
    pub late: u64,
    /// How late the latest of them was at least.
    pub late_by_ms: u64,
    /// How long requests waited because of the rate limit.
    pub rate_limited_ms: u64,
    /// How long it all took.
    pub elapsed_ms: u64,
    /// Nothing was written.
    pub dry_run: bool,
    /// The first output.
    pub output: String,
    /// All of them.
    pub outputs: Vec<Delivered>,
    /// The sites.
    pub sites: Vec<SiteSummary>,
}

/// What one output got.
#[derive(Debug, Serialize)]
pub struct Delivered {
    /// What people call it.
    pub output: String,
    /// Records that went into it in this run.
    pub records: u64,
}

/// What was found at one site.
#[derive(Debug, Serialize)]
pub struct SiteSummary {
    /// What people call it.
    pub name: String,
    /// Records that were new.
    pub records: u64,
    /// Records that were read again and had been delivered.
    pub duplicates: u64,
    /// New records that arrived late.
    pub late: u64,
    /// How late the latest of them was at least.
    pub late_by_ms: u64,
    /// Everything up to it has been read.
    pub watermark: Option<String>,
    /// Why its pass failed.
    pub error: Option<String>,
}

impl RunSummary {
    pub(super) fn add_site(&mut self, name: &str, found: &PassSummary, error: Option<&Error>) {
        self.records += found.new;
        self.duplicates += found.duplicates;
        self.late += found.late;
        let late_by_ms = millis(found.late_by);
        self.late_by_ms = self.late_by_ms.max(late_by_ms);
        self.sites.push(SiteSummary {
            name: name.to_owned(),
            records: found.new,
            duplicates: found.duplicates,
            late: found.late,
            late_by_ms,
            watermark: found.watermark.map(|at| at.to_string()),
            error: error.map(Error::chain),
        });
    }

    pub(super) fn add_output(&mut self, output: String, records: u64) {
        if self.outputs.is_empty() {
            self.output.clone_from(&output);
        }
        self.outputs.push(Delivered { output, records });
    }

    pub(super) fn add_requests<'a>(
        &mut self,
        connections: impl IntoIterator<Item = &'a Http>,
        elapsed: Duration,
    ) {
        for http in connections {
            let stats = http.stats();
            self.requests += stats.requests;
            self.retries += stats.retries;
            self.rate_limited_ms += millis(stats.rate_limited);
        }
        self.elapsed_ms = millis(elapsed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
