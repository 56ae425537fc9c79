//! Text exposition in its two dialects, and how a file goes on from the counts that it has.

use std::collections::{BTreeMap, HashSet};
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

/// The metrics at one instant, one family after the other.
pub(super) struct Text {
    dialect: Dialect,
    families: Vec<Family>,
}

/// The samples of one name.
pub(super) struct Family {
    dialect: Dialect,
    kind: Kind,
    name: String,
    help: &'static str,
    /// Each with its name and labels.
    samples: Vec<(String, f64)>,
}

impl Text {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            families: Vec::new(),
        }
    }

    pub(super) fn family(
        &mut self,
        kind: Kind,
        name: &str,
        help: &'static str,
        samples: impl FnOnce(&mut Family),
    ) {
        let mut family = Family {
            dialect: self.dialect,
            kind,
            name: format!("{PREFIX}{name}"),
            help,
            samples: Vec::new(),
        };
        samples(&mut family);
        self.families.push(family);
    }

    /// Adds the counts of an `earlier` text in the same dialect: a program that ends must not have
    /// its counters begin at zero each time, for a reader could not tell a run of many records from
    /// a reset. What the earlier text alone has of a site that is still there stays.
    pub(super) fn continue_from(&mut self, earlier: &str) {
        let samples = earlier.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name, value.parse().ok()?))
        });
        let mut earlier: BTreeMap<&str, f64> = samples.collect();
        for family in &mut self.families {
            if family.kind == Kind::Gauge {
                continue;
            }
            for (name, value) in &mut family.samples {
                *value += earlier.remove(name.as_str()).unwrap_or_default();
            }
            let samples = family.samples.iter();
            let there: HashSet<String> = samples.filter_map(|(name, _)| subject(name)).collect();
            let is_missing = |name: &str| subject(name).is_some_and(|it| there.contains(&it));
            let missing = earlier.iter().filter(|(name, _)| is_missing(name));
            let missing = missing.map(|(name, value)| ((*name).to_owned(), *value));
            family.samples.extend(missing);
        }
    }

    pub(super) fn finish(self) -> String {
        let mut out = String::new();
        for family in &self.families {
            family.write(&mut out);
        }
        if self.dialect == Dialect::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }
}

/// The name and the first label of a sample: what it counts and of which site.
fn subject(sample: &str) -> Option<String> {
    let (name, labels) = sample.split_once('{')?;
    let first = labels.split_inclusive('"').take(2);
    Some([name].into_iter().chain(first).collect())
}

impl Family {
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
        let mut sample = format!("{}{suffix}", self.name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let begin = if index == 0 { '{' } else { ',' };
            // Writing to a string cannot fail.
            let _ = write!(sample, "{begin}{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            sample.push('}');
        }
        self.samples.push((sample, value));
    }

    fn write(&self, out: &mut String) {
        let Self { name, help, .. } = self;
        // In OpenMetrics a counter's family is named without what its sample's name ends with.
        let name = match self.dialect {
            Dialect::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
            Dialect::Classic => name,
        };
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (sample, value) in &self.samples {
            let _ = writeln!(out, "{sample} {value}");
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(records: u32, statuses: &[(&str, u16, u32)], lag: u32) -> Text {
        let mut text = Text::new(Dialect::Classic);
        let acme = [("site", "acme")];
        text.family(Kind::Counter, "records_total", "Records.", |family| {
            family.value(&acme, records.into());
        });
        text.family(Kind::Gauge, "lag_seconds", "Lag.", |family| {
            family.value(&acme, lag.into());
        });
        text.family(Kind::Counter, "requests_total", "Requests.", |family| {
            for (site, status, count) in statuses {
                let status = status.to_string();
                family.value(&[("site", site), ("status", &status)], (*count).into());
            }
        });
        text
    }

    #[test]
    fn counters_go_on_gauges_do_not_and_a_site_that_is_gone_goes() {
        let statuses = [("acme", 200, 5), ("acme", 429, 2), ("gone", 200, 9)];
        let old = text(10, &statuses, 30).finish();
        let mut new = text(3, &[("acme", 200, 1)], 7);
        new.continue_from(&old);
        let expected = text(13, &[("acme", 200, 6), ("acme", 429, 2)], 7);
        assert_eq!(new.finish(), expected.finish());
    }

    #[test]
    fn what_is_no_such_text_counts_for_nothing() {
        for old in [
            "",
            "\u{0}\n\n{",
            "confluence_audit_records_total{site=\"acme\"} many",
            "# TYPE confluence_audit_records_total counter",
        ] {
            let mut new = text(3, &[("acme", 200, 1)], 7);
            new.continue_from(old);
            let expected = text(3, &[("acme", 200, 1)], 7);
            assert_eq!(new.finish(), expected.finish(), "{old:?}");
        }
    }
}
