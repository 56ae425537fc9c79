//! The text that is written, and what the parsers of others make of it.

use std::process::{Command, Stdio};

use std::sync::Arc;
use std::time::Duration;

use confluence_audit_core::{Gate, Timestamp};

use super::*;
use crate::spool::Depth;

fn figures() -> Figures {
    let mut late = Lateness::default();
    for seconds in [1, 2, 59, 60, 61, 10_000_000] {
        late.add(Duration::from_secs(seconds));
    }
    let counters = SiteCounters::default();
    counters.records.add(12_345);
    counters.duplicates.add(67);
    counters.add_late(&late);
    for (status, count) in [(None, 1), (Some(200), 9), (Some(429), 2)] {
        (0..count).for_each(|_| counters.answered(status, None));
    }
    Gate::rate_limited(&counters, Duration::from_millis(7_500));
    let delivered = OutputCounters::default();
    delivered.records.add(12_342);
    delivered.failures.add(4);
    delivered.dead_letters.add(5);
    delivered.unfit.add(6);
    let now = Timestamp::from_millis(1_767_261_600_250);
    let site = SiteFigures {
        name: "acme".to_owned(),
        interval: Duration::from_mins(10),
        last_success: Some(now.saturating_sub(Duration::from_secs(30))),
        watermark: Some(now.saturating_sub(Duration::from_millis(31_500))),
        credential_expiry: Some(now.saturating_add(Duration::from_hours(24))),
        quarantined: true,
        counters: Arc::new(counters),
    };
    Figures {
        version: "1.2.3",
        now,
        sites: vec![
            site,
            SiteFigures {
                name: "new".to_owned(),
                ..SiteFigures::default()
            },
        ],
        outputs: vec![OutputFigures {
            name: "file:/var/log/a \"b\"\\\n\u{1b}[31m.json".to_owned(),
            waiting: Depth {
                records: 3,
                bytes: 2_048,
            },
            oldest: Some(Duration::from_secs(9)),
            counters: Arc::new(delivered),
        }],
        spool: Some(Depth {
            records: 3,
            bytes: 2_048,
        }),
    }
}

fn sample<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix("confluence_audit_")?.strip_prefix(name)?;
        value.strip_prefix(' ')
    })
}

#[test]
fn each_figure_is_told() {
    let text = figures().text(Dialect::Classic);
    for (name, value) in [
        ("build_info{version=\"1.2.3\"}", "1"),
        ("interval_seconds{site=\"acme\"}", "600"),
        (
            "last_success_timestamp_seconds{site=\"acme\"}",
            "1767261570.25",
        ),
        ("lag_seconds{site=\"acme\"}", "30"),
        ("records_total{site=\"acme\"}", "12345"),
        ("duplicates_total{site=\"acme\"}", "67"),
        ("late_records_total{site=\"acme\"}", "6"),
        ("late_arrival_seconds_bucket{site=\"acme\",le=\"1\"}", "1"),
        ("late_arrival_seconds_bucket{site=\"acme\",le=\"60\"}", "4"),
        (
            "late_arrival_seconds_bucket{site=\"acme\",le=\"604800\"}",
            "5",
        ),
        (
            "late_arrival_seconds_bucket{site=\"acme\",le=\"+Inf\"}",
            "6",
        ),
        ("late_arrival_seconds_count{site=\"acme\"}", "6"),
        ("late_arrival_seconds_sum{site=\"acme\"}", "10000183"),
        ("requests_total{site=\"acme\",status=\"none\"}", "1"),
        ("requests_total{site=\"acme\",status=\"429\"}", "2"),
        ("rate_limited_seconds_total{site=\"acme\"}", "7.5"),
        ("site_quarantined{site=\"acme\"}", "1"),
        ("site_quarantined{site=\"new\"}", "0"),
        ("spool_records", "3"),
        ("spool_bytes", "2048"),
    ] {
        assert_eq!(sample(&text, name), Some(value), "{name} in\n{text}");
    }
    // A site that was never read has no watermark that could look like 1970.
    assert_eq!(sample(&text, "lag_seconds{site=\"new\"}"), None);
}

#[test]
fn a_name_cannot_break_a_line_or_steer_a_terminal() {
    let text = figures().text(Dialect::Classic);
    let output = r#"output_records_total{output="file:/var/log/a \"b\"\\\\n\\u{1b}[31m.json"}"#;
    assert_eq!(sample(&text, output), Some("12342"), "{text}");
    assert!(text.chars().all(|char| char == '\n' || !char.is_control()));
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match spawned {
        Ok(promtool) => promtool,
        Err(error) => {
            println!("skipped: promtool cannot be started: {error}");
            return;
        }
    };
    let text = figures().text(Dialect::Classic);
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let done = promtool.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success() && said.is_empty(), "{said}\n{text}");
}

#[test]
fn openmetrics_names_counters_without_their_end_and_has_one() {
    let text = figures().text(Dialect::OpenMetrics);
    assert!(text.ends_with("\n# EOF\n"));
    assert!(text.contains("# TYPE confluence_audit_records counter\n"));
    assert!(text.contains("\nconfluence_audit_records_total{site=\"acme\"} 12345\n"));
    assert_eq!(
        Dialect::accepted("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
        Dialect::OpenMetrics
    );
    assert_eq!(Dialect::accepted("text/plain, */*"), Dialect::Classic);
}

#[test]
fn lateness_is_counted_and_added_up() {
    let mut one = Lateness::default();
    one.add(Duration::from_secs(5));
    let mut other = Lateness::default();
    other.add(Duration::from_mins(2));
    other.add(Duration::from_hours(24 * 365));
    one.merge(&other);
    assert_eq!(one.count(), 3);
    assert_eq!(one.total(), Duration::from_secs(5 + 120 + 3_600 * 24 * 365));
}

#[test]
fn the_file_is_there_whole_and_others_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("confluence-audit.prom");
    write(&figures(), &path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, figures().text(Dialect::Classic));
    write(&figures(), &path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(sample(&text, "records_total{site=\"acme\"}"), Some("24690"));
    assert_eq!(sample(&text, "lag_seconds{site=\"acme\"}"), Some("30"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o644);
    let error = write(&figures(), &dir.path().join("missing/x.prom")).unwrap_err();
    assert_eq!(error.exit_code(), 73);
}

#[test]
fn a_log_that_is_silent_is_not_behind_and_one_that_is_caught_up_with_is() {
    let mut figures = figures();
    let now = figures.now;
    let mut lag = |watermark: u64, last_success: Option<u64>| {
        let before = |hours| now.saturating_sub(Duration::from_hours(hours));
        let site = &mut figures.sites[0];
        site.watermark = Some(before(watermark));
        site.last_success = last_success.map(before);
        let text = figures.text(Dialect::Classic);
        sample(&text, "lag_seconds{site=\"acme\"}").map(String::from)
    };
    assert_eq!(lag(8, Some(0)).as_deref(), Some("0"));
    assert_eq!(lag(8, Some(3)).as_deref(), Some("10800"));
    assert_eq!(lag(2, None).as_deref(), Some("7200"));
}
