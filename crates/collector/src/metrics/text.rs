//! The two text forms: where they differ, and what has to be escaped.

use std::fmt::Write as _;

use super::Lateness;

/// What every name begins with.
const PREFIX: &str = "confluence_audit_";

/// Which of the text forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus's own, version 0.0.4.
    Classic,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

impl Dialect {
    /// The one that a scraper asks for in its `Accept`.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }

    /// How it is called in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text as it grows, one family of metrics after the other.
pub(super) struct Text {
    dialect: Dialect,
    out: String,
    name: String,
}

impl Text {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            out: String::new(),
            name: String::new(),
        }
    }

    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, kind: Kind, name: &str, help: &str) -> &mut Self {
        self.name = format!("{PREFIX}{name}");
        // In OpenMetrics a counter's family is named without what its sample's name ends with.
        let family = match self.dialect {
            Dialect::OpenMetrics => self.name.strip_suffix("_total").unwrap_or(&self.name),
            Dialect::Classic => &self.name,
        };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "# HELP {family} {help}\n# TYPE {family} {kind}");
        self
    }

    pub(super) fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample("", labels, value);
    }

    pub(super) fn histogram(&mut self, label: (&str, &str), late: &Lateness) {
        for (bound, count) in late.cumulative() {
            let bound = match (bound, self.dialect) {
                (None, _) => "+Inf".to_owned(),
                // It wants one way of writing a number, and this is it.
                (Some(bound), Dialect::OpenMetrics) => format!("{bound}.0"),
                (Some(bound), Dialect::Classic) => bound.to_string(),
            };
            self.sample("_bucket", &[label, ("le", &bound)], count as f64);
        }
        self.sample("_sum", &[label], late.total().as_secs_f64());
        self.sample("_count", &[label], late.count() as f64);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let Self { out, name, .. } = self;
        let _ = write!(out, "{name}{suffix}");
        for (index, (label, value)) in labels.iter().enumerate() {
            let begin = if index == 0 { '{' } else { ',' };
            let _ = write!(out, "{begin}{label}=\"{}\"", escaped(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(out, "{end} {value}");
    }

    pub(super) fn finish(mut self) -> String {
        if self.dialect == Dialect::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

/// A label's value as it stands between quotes. Beyond what the form asks for, nothing in it can
/// steer a terminal on which somebody looks at the page.
fn escaped(value: &str) -> String {
    let printable = confluence_audit_core::printable(value, 4096);
    let mut out = String::with_capacity(printable.len());
    for char in printable.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out
}
