//! The formats beside `raw`: one line a record, named the same by every command.

use std::collections::HashSet;
use std::fs;

use confluence_audit_sim::SimConfig;
use serde_json::Value;

use crate::site::Site;

/// With twins, records of every odd form, and words that would break a line.
fn site() -> Site {
    Site::start(SimConfig {
        records: 400,
        twins: 0.2,
        hostile: 0.3,
        ..SimConfig::default()
    })
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn fetch_and_export_write_the_same_lines_in_every_format() {
    for format in ["flat", "ecs", "ocsf", "cef", "csv"] {
        let site = site();
        let fetched = ["fetch", "--output", "fetched", "--format", format];
        site.ask(&fetched).expect(0);
        let fetched = fs::read_to_string(site.path("fetched")).unwrap();
        let header = usize::from(format == "csv");
        let lines = site.sim.truth().len() + header;
        assert_eq!(fetched.lines().count(), lines, "{format}");
        for order in [&[][..], &["--newest-first"]] {
            let mut export = vec!["export", "--output", "exported", "--format", format];
            export.extend(order);
            site.ask(&export).expect(0);
            let exported = fs::read_to_string(site.path("exported")).unwrap();
            assert_eq!(sorted(&exported), sorted(&fetched), "{format}");
        }
    }
}

#[test]
fn twins_are_told_apart_by_their_ids() {
    let site = site();
    site.ask(&["export", "--output", "ecs", "--format", "ecs"])
        .expect(0);
    let text = fs::read_to_string(site.path("ecs")).unwrap();
    let ids: HashSet<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"]["id"].to_string())
        .collect();
    assert_eq!(ids.len(), site.sim.truth().len());
}
