//! Statistics of the requests: counts for assertions, and the last requests one by one.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// How many requests are remembered one by one.
const REMEMBERED: usize = 4096;

/// Counts since the start.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Requests by path and outcome. The outcome is the status, or the status and how the body was broken
    /// (`200 cut`), or `reset` or `hang` where there was no response.
    pub requests: BTreeMap<String, BTreeMap<String, u64>>,
    /// Records in all pages answered with 200, those of cut responses included.
    pub records_served: u64,
    /// Bytes of all bodies after compression, those of cut responses in full; exports and the truth are not counted.
    pub bytes_served: u64,
    /// Connections accepted.
    pub connections: u64,
    /// The most audit requests that were open at once.
    pub in_flight_peak: u64,
    /// Records that arrived after the start.
    pub inserted: u64,
    /// Refresh tokens exchanged.
    pub refreshes: u64,
    /// Refresh tokens used again within the leeway.
    pub reuses_in_leeway: u64,
    /// Refresh tokens used again after the leeway, each the death of its family.
    pub reuses_after_leeway: u64,
}

impl Stats {
    /// How many requests to paths that end in `suffix` had this outcome (`""` is any).
    pub fn count(&self, suffix: &str, outcome: &str) -> u64 {
        self.requests
            .iter()
            .filter(|(path, _)| path.ends_with(suffix))
            .flat_map(|(_, outcomes)| outcomes)
            .filter(|(name, _)| outcome.is_empty() || name.as_str() == outcome)
            .map(|(_, count)| count)
            .sum()
    }
}

/// One request that the site has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// The method.
    pub method: String,
    /// The path and the query, as sent.
    pub target: String,
    /// As in [`Stats::requests`].
    pub outcome: String,
}

/// The counts and the last requests.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    pub(crate) stats: Stats,
    pub(crate) in_flight: u64,
    last: VecDeque<LoggedRequest>,
    requests: u64,
}

impl RequestLog {
    /// The number of a new request.
    pub(crate) fn number(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Counts a request for the list as open.
    pub(crate) fn open(&mut self) {
        self.in_flight += 1;
        self.stats.in_flight_peak = self.stats.in_flight_peak.max(self.in_flight);
    }

    pub(crate) fn log(&mut self, path: &str, request: LoggedRequest) {
        let outcomes = self.stats.requests.entry(path.to_owned()).or_default();
        *outcomes.entry(request.outcome.clone()).or_default() += 1;
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(request);
    }

    pub(crate) fn last(&self) -> Vec<LoggedRequest> {
        self.last.iter().cloned().collect()
    }
}
