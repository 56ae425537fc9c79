//! What operators watch, as text that Prometheus and its kin read.
//!
//! [`Figures`] are what is known at one instant; the daemon serves them, and a single run writes
//! them into a file for the textfile collector of `node_exporter`. There are two dialects: the
//! classic one is all that the textfile collector and `promtool` read, and `OpenMetrics` is what a
//! newer server asks for.

mod hourly;
mod lateness;
mod requests;
mod sum;
mod text;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use confluence_audit_core::Timestamp;

use crate::spool::Depth;

pub use self::hourly::HourlyCounts;
pub use self::lateness::Lateness;
pub use self::requests::Requests;
pub use self::text::Dialect;
pub use self::write::write;

use self::text::{Kind, Text};

/// Everything that is told, at one instant.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The version of the program.
    pub version: &'static str,
    /// The instant.
    pub now: Timestamp,
    /// Each configured site.
    pub sites: Vec<SiteFigures>,
    /// Each configured output.
    pub outputs: Vec<OutputFigures>,
    /// What waits for outputs, and the space that it takes on disk.
    pub spool: Option<Depth>,
}

/// What is told of one site. Counts are since the program began.
#[derive(Clone, Debug, Default)]
pub struct SiteFigures {
    /// Its name in the configuration.
    pub name: String,
    /// The time between two passes.
    pub interval: Duration,
    /// When a pass last reached its end.
    pub last_success: Option<Timestamp>,
    /// Everything up to it has been read.
    pub watermark: Option<Timestamp>,
    /// Records that were new.
    pub records: u64,
    /// Records that were read again and were not new.
    pub duplicates: u64,
    /// New records that arrived late, by how late they were.
    pub late: Lateness,
    /// Attempts of requests by status; 0 is no answer.
    pub requests: BTreeMap<u16, u64>,
    /// The time spent waiting because of the service's rate limit.
    pub rate_limited: Duration,
    /// When its credentials end, where that is known.
    pub credential_expiry: Option<Timestamp>,
    /// Whether a person has to act before it is read again.
    pub quarantined: bool,
}

/// What is told of one output. Counts are since the program began.
#[derive(Clone, Debug, Default)]
pub struct OutputFigures {
    /// Its name.
    pub name: String,
    /// What it still has to get.
    pub waiting: Depth,
    /// For how long the oldest of it has waited.
    pub oldest: Option<Duration>,
    /// Records that it has confirmed.
    pub records: u64,
    /// How often it failed.
    pub failures: u64,
    /// Records that it refused for good, and that were set aside.
    pub dead_letters: u64,
    /// Records that did not fit its format and were delivered as the site wrote them.
    pub unfit: u64,
}

impl Figures {
    /// The text in `dialect`.
    pub fn text(&self, dialect: Dialect) -> String {
        let mut text = Text::new(dialect);
        text.family(
            Kind::Gauge,
            "build_info",
            "The program that tells this; always 1.",
        )
        .value(&[("version", self.version)], 1.0);
        self.write_sites(&mut text);
        self.write_outputs(&mut text);
        if let Some(spool) = self.spool {
            text.family(
                Kind::Gauge,
                "spool_records",
                "Records that some output still has to get.",
            )
            .value(&[], spool.records as f64);
            text.family(
                Kind::Gauge,
                "spool_bytes",
                "Bytes of records that some output still has to get.",
            )
            .value(&[], spool.bytes as f64);
        }
        text.finish()
    }

    fn write_sites(&self, text: &mut Text) {
        let instant = |at: Timestamp| at.as_millis() as f64 / 1000.0;
        self.of_sites(
            text,
            Kind::Gauge,
            "interval_seconds",
            "The time between two passes over the site.",
            |site| Some(site.interval.as_secs_f64()),
        );
        self.of_sites(
            text,
            Kind::Gauge,
            "last_success_timestamp_seconds",
            "When a pass over the site last reached its end.",
            |site| site.last_success.map(instant),
        );
        self.of_sites(
            text,
            Kind::Gauge,
            "watermark_timestamp_seconds",
            "Everything up to this instant has been read and committed.",
            |site| site.watermark.map(instant),
        );
        self.of_sites(
            text,
            Kind::Gauge,
            "lag_seconds",
            "How long ago the log was last known to be read to its end.",
            // While a log is silent its watermark stands still, and nobody is behind.
            |site| {
                let read = site.watermark.max(site.last_success)?;
                Some(self.now.since(read).as_secs_f64())
            },
        );
        self.of_sites(
            text,
            Kind::Counter,
            "records_total",
            "New records that were committed.",
            |site| Some(site.records as f64),
        );
        self.of_sites(
            text,
            Kind::Counter,
            "duplicates_total",
            "Records that were read again and were not new.",
            |site| Some(site.duplicates as f64),
        );
        self.of_sites(
            text,
            Kind::Counter,
            "late_records_total",
            "New records older than what had been read before.",
            |site| Some(site.late.count() as f64),
        );
        let family = text.family(
            Kind::Histogram,
            "late_arrival_seconds",
            "How far new records lay behind what had been read before.",
        );
        for site in &self.sites {
            family.histogram(("site", &site.name), &site.late);
        }
        let family = text.family(
            Kind::Counter,
            "requests_total",
            "Attempts of requests by the status of their answer; none is no answer.",
        );
        for site in &self.sites {
            for (status, count) in &site.requests {
                let status = match status {
                    0 => "none".to_owned(),
                    status => status.to_string(),
                };
                family.value(&[("site", &site.name), ("status", &status)], *count as f64);
            }
        }
        self.of_sites(
            text,
            Kind::Counter,
            "rate_limited_seconds_total",
            "Time spent waiting because of the service's rate limit.",
            |site| Some(site.rate_limited.as_secs_f64()),
        );
        self.of_sites(
            text,
            Kind::Gauge,
            "credential_expiry_timestamp_seconds",
            "When the site's credentials end, where that is known.",
            |site| site.credential_expiry.map(instant),
        );
        self.of_sites(
            text,
            Kind::Gauge,
            "site_quarantined",
            "1 while the site's credentials are refused again and again and it is tried rarely.",
            |site| Some(f64::from(u8::from(site.quarantined))),
        );
    }

    fn of_sites(
        &self,
        text: &mut Text,
        kind: Kind,
        name: &str,
        help: &str,
        value: impl Fn(&SiteFigures) -> Option<f64>,
    ) {
        let family = text.family(kind, name, help);
        for site in &self.sites {
            if let Some(value) = value(site) {
                family.value(&[("site", &site.name)], value);
            }
        }
    }

    fn write_outputs(&self, text: &mut Text) {
        type Value = fn(&OutputFigures) -> Option<f64>;
        let families: [(Kind, &str, &str, Value); 7] = [
            (
                Kind::Gauge,
                "output_waiting_records",
                "Records that the output still has to get.",
                |output| Some(output.waiting.records as f64),
            ),
            (
                Kind::Gauge,
                "output_waiting_bytes",
                "Bytes of records that the output still has to get.",
                |output| Some(output.waiting.bytes as f64),
            ),
            (
                Kind::Gauge,
                "output_oldest_waiting_seconds",
                "For how long the output has not got what waits for it.",
                |output| Some(output.oldest.unwrap_or_default().as_secs_f64()),
            ),
            (
                Kind::Counter,
                "output_records_total",
                "Records that the output has confirmed.",
                |output| Some(output.records as f64),
            ),
            (
                Kind::Counter,
                "output_failures_total",
                "How often delivering to the output failed.",
                |output| Some(output.failures as f64),
            ),
            (
                Kind::Counter,
                "output_dead_letters_total",
                "Records that the output refused for good and that were set aside.",
                |output| Some(output.dead_letters as f64),
            ),
            (
                Kind::Counter,
                "output_unfit_records_total",
                "Records that did not fit the format and went out as the site wrote them, marked.",
                |output| Some(output.unfit as f64),
            ),
        ];
        for (kind, name, help, value) in families {
            let family = text.family(kind, name, help);
            for output in &self.outputs {
                if let Some(value) = value(output) {
                    family.value(&[("output", &output.name)], value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
