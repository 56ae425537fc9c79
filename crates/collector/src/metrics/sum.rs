//! A run's counts on top of those of the runs before it: a program that ends must not have its
//! counters begin at zero each time, for a reader could not tell a run of many records from a reset.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A text in the classic dialect, family by family.
#[derive(Debug, Default)]
struct Family<'a> {
    comments: Vec<&'a str>,
    is_counted: bool,
    /// A sample's name and labels, and its value.
    samples: Vec<(&'a str, f64)>,
}

/// The text `new` with its counters and histograms added to those of `old`. What `old` alone has of
/// a site that is still there stays.
pub(super) fn sum(old: &str, new: &str) -> String {
    let old: BTreeMap<&str, f64> = families(old)
        .into_iter()
        .filter(|family| family.is_counted)
        .flat_map(|family| family.samples)
        .collect();
    let mut out = String::with_capacity(new.len());
    for mut family in families(new) {
        if family.is_counted {
            for (name, value) in &mut family.samples {
                *value += old.get(name).copied().unwrap_or_default();
            }
            let missing = old.iter().filter(|(name, _)| is_missing(name, &family));
            let missing: Vec<_> = missing.map(|(name, value)| (*name, *value)).collect();
            family.samples.extend(missing);
        }
        for comment in family.comments {
            out.push_str(comment);
            out.push('\n');
        }
        for (name, value) in family.samples {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name} {value}");
        }
    }
    out
}

/// Whether a sample belongs to the family, is of a site that the family has, and is not there.
fn is_missing(name: &str, family: &Family<'_>) -> bool {
    let subject = |name: &str| {
        let (family, labels) = name.split_once('{')?;
        let first = labels.split_inclusive('"').take(2).collect::<String>();
        Some((family.to_owned(), first))
    };
    let its = subject(name);
    its.is_some()
        && family.samples.iter().all(|(there, _)| *there != name)
        && family
            .samples
            .iter()
            .any(|(there, _)| subject(there) == its)
}

fn families(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in text.lines() {
        if line.starts_with("# HELP") || families.is_empty() {
            families.push(Family::default());
        }
        let Some(family) = families.last_mut() else {
            continue;
        };
        if line.starts_with('#') {
            family.is_counted |= line.ends_with(" counter") || line.ends_with(" histogram");
            family.comments.push(line);
        } else if let Some((name, value)) = line.rsplit_once(' ')
            && let Ok(value) = value.parse()
        {
            family.samples.push((name, value));
        }
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(records: u32, statuses: &[(&str, u16, u32)], lag: u32) -> String {
        let mut text = format!(
            "# HELP records_total Records.\n# TYPE records_total counter\n\
             records_total{{site=\"acme\"}} {records}\n\
             # HELP lag_seconds Lag.\n# TYPE lag_seconds gauge\nlag_seconds{{site=\"acme\"}} {lag}\n\
             # HELP requests_total Requests.\n# TYPE requests_total counter\n"
        );
        for (site, status, count) in statuses {
            let labels = format!("site=\"{site}\",status=\"{status}\"");
            let _ = writeln!(text, "requests_total{{{labels}}} {count}");
        }
        text
    }

    #[test]
    fn counters_go_on_gauges_do_not_and_a_site_that_is_gone_goes() {
        let old = text(
            10,
            &[("acme", 200, 5), ("acme", 429, 2), ("gone", 200, 9)],
            30,
        );
        let new = text(3, &[("acme", 200, 1)], 7);
        let expected = text(13, &[("acme", 200, 6), ("acme", 429, 2)], 7);
        assert_eq!(sum(&old, &new), expected);
    }

    #[test]
    fn what_is_no_such_text_counts_for_nothing() {
        let new = text(3, &[("acme", 200, 1)], 7);
        for old in [
            "",
            "\u{0}\n\n{",
            "records_total{site=\"acme\"} many",
            "# TYPE x counter",
        ] {
            assert_eq!(sum(old, &new), new, "{old:?}");
        }
    }
}
