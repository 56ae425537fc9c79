//! All metrics at one instant: the counters, and beside them what is measured when somebody looks.

use std::sync::Arc;
use std::time::Duration;

use confluence_audit_core::Timestamp;

use super::text::{Kind, Text};
use super::{Dialect, OutputCounters, SiteCounters};
use crate::spool::Depth;

/// All metrics at one instant.
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
    /// What waits for outputs.
    pub spool: Option<Depth>,
}

/// One site.
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
    /// When its credentials end, where that is known.
    pub credential_expiry: Option<Timestamp>,
    /// Whether a person has to act before it is read again.
    pub quarantined: bool,
    /// What was counted since the program began.
    pub counters: Arc<SiteCounters>,
}

/// One output.
#[derive(Clone, Debug, Default)]
pub struct OutputFigures {
    /// Its name.
    pub name: String,
    /// What it still has to get.
    pub waiting: Depth,
    /// For how long the oldest of it has waited.
    pub oldest: Option<Duration>,
    /// What was counted since the program began.
    pub counters: Arc<OutputCounters>,
}

impl Figures {
    /// The text in `dialect`.
    pub fn text(&self, dialect: Dialect) -> String {
        self.write(dialect).finish()
    }

    /// The text in the classic dialect, its counts on top of those of an `earlier` one.
    pub(super) fn text_after(&self, earlier: &str) -> String {
        let mut text = self.write(Dialect::Classic);
        text.continue_from(earlier);
        text.finish()
    }

    fn write(&self, dialect: Dialect) -> Text {
        let mut text = Text::new(dialect);
        text.family(
            Kind::Gauge,
            "build_info",
            "The program that tells this; always 1.",
            |family| family.value(&[("version", self.version)], 1.0),
        );
        self.write_sites(&mut text);
        self.write_outputs(&mut text);
        if let Some(spool) = self.spool {
            text.family(
                Kind::Gauge,
                "spool_records",
                "Records that some output still has to get.",
                |family| family.value(&[], spool.records as f64),
            );
            text.family(
                Kind::Gauge,
                "spool_bytes",
                "Bytes of records that some output still has to get.",
                |family| family.value(&[], spool.bytes as f64),
            );
        }
        text
    }

    fn write_sites(&self, text: &mut Text) {
        for (kind, name, help, value) in SITE_FAMILIES {
            text.family(*kind, name, help, |family| {
                for site in &self.sites {
                    if let Some(value) = value(site, self.now) {
                        family.value(&[("site", &site.name)], value);
                    }
                }
            });
        }
        text.family(
            Kind::Histogram,
            "late_arrival_seconds",
            "How far new records lay behind what had been read before.",
            |family| {
                for site in &self.sites {
                    family.histogram(("site", &site.name), &site.counters.late());
                }
            },
        );
        text.family(
            Kind::Counter,
            "requests_total",
            "Attempts of requests by the status of their answer; none is no answer.",
            |family| {
                for site in &self.sites {
                    for (status, count) in site.counters.requests() {
                        let status = match status {
                            0 => "none".to_owned(),
                            status => status.to_string(),
                        };
                        family.value(&[("site", &site.name), ("status", &status)], count as f64);
                    }
                }
            },
        );
    }

    fn write_outputs(&self, text: &mut Text) {
        for (kind, name, help, value) in OUTPUT_FAMILIES {
            text.family(*kind, name, help, |family| {
                for output in &self.outputs {
                    family.value(&[("output", &output.name)], value(output));
                }
            });
        }
    }
}

/// Kind, name and help of each metric of a site, and its value at an instant.
type SiteFamily = (
    Kind,
    &'static str,
    &'static str,
    fn(&SiteFigures, Timestamp) -> Option<f64>,
);

const SITE_FAMILIES: &[SiteFamily] = &[
    (
        Kind::Gauge,
        "interval_seconds",
        "The time between two passes over the site.",
        |site, _| Some(site.interval.as_secs_f64()),
    ),
    (
        Kind::Gauge,
        "last_success_timestamp_seconds",
        "When a pass over the site last reached its end.",
        |site, _| site.last_success.map(seconds),
    ),
    (
        Kind::Gauge,
        "watermark_timestamp_seconds",
        "Everything up to this instant has been read and committed.",
        |site, _| site.watermark.map(seconds),
    ),
    (
        Kind::Gauge,
        "lag_seconds",
        "How long ago the log was last known to be read to its end.",
        // While a log is silent its watermark stands still, and nobody is behind.
        |site, now| {
            let read = site.watermark.max(site.last_success)?;
            Some(now.since(read).as_secs_f64())
        },
    ),
    (
        Kind::Counter,
        "records_total",
        "New records that were committed.",
        |site, _| Some(site.counters.records.get() as f64),
    ),
    (
        Kind::Counter,
        "duplicates_total",
        "Records that were read again and were not new.",
        |site, _| Some(site.counters.duplicates.get() as f64),
    ),
    (
        Kind::Counter,
        "late_records_total",
        "New records older than what had been read before.",
        |site, _| Some(site.counters.late().count() as f64),
    ),
    (
        Kind::Counter,
        "rate_limited_seconds_total",
        "Time spent waiting because of the service's rate limit.",
        |site, _| Some(site.counters.rate_limited().as_secs_f64()),
    ),
    (
        Kind::Gauge,
        "credential_expiry_timestamp_seconds",
        "When the site's credentials end, where that is known.",
        |site, _| site.credential_expiry.map(seconds),
    ),
    (
        Kind::Gauge,
        "site_quarantined",
        "1 while the site's credentials are refused again and again and it is tried rarely.",
        |site, _| Some(f64::from(u8::from(site.quarantined))),
    ),
];

/// Kind, name and help of each metric of an output, and its value.
type OutputFamily = (Kind, &'static str, &'static str, fn(&OutputFigures) -> f64);

const OUTPUT_FAMILIES: &[OutputFamily] = &[
    (
        Kind::Gauge,
        "output_waiting_records",
        "Records that the output still has to get.",
        |output| output.waiting.records as f64,
    ),
    (
        Kind::Gauge,
        "output_waiting_bytes",
        "Bytes of records that the output still has to get.",
        |output| output.waiting.bytes as f64,
    ),
    (
        Kind::Gauge,
        "output_oldest_waiting_seconds",
        "For how long the output has not got what waits for it.",
        |output| output.oldest.unwrap_or_default().as_secs_f64(),
    ),
    (
        Kind::Counter,
        "output_records_total",
        "Records that the output has confirmed.",
        |output| output.counters.records.get() as f64,
    ),
    (
        Kind::Counter,
        "output_failures_total",
        "How often delivering to the output failed.",
        |output| output.counters.failures.get() as f64,
    ),
    (
        Kind::Counter,
        "output_dead_letters_total",
        "Records that the output refused for good and that were set aside.",
        |output| output.counters.dead_letters.get() as f64,
    ),
    (
        Kind::Counter,
        "output_unfit_records_total",
        "Records that did not fit the format and went out as the site wrote them, marked.",
        |output| output.counters.unfit.get() as f64,
    ),
];

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}
