//! `fetch --dry-run`: the same numbers as a run, and not a byte written.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use confluence_audit_sim::{NewRecords, SimConfig};
use serde_json::Value;

use crate::outputs::configure;
use crate::site::{OUTPUT, Site};

/// Every file with what it holds.
fn everything(site: &Site) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| (name.clone(), fs::read(site.path(&name)).unwrap());
    site.names().into_iter().map(read).collect()
}

fn start() -> Site {
    Site::start(SimConfig {
        records: 300,
        twins: 0.1,
        ..SimConfig::default()
    })
}

#[test]
fn a_dry_first_run_counts_what_the_first_run_delivers_and_leaves_nothing_behind() {
    let site = start();
    let before = site.names();
    let dry = site.ask(&["fetch", "--dry-run"]).expect_quiet_success();
    assert_eq!(
        dry.stdout,
        "Dry run: would flatten 300 records into flattened.json; nothing was written\n"
    );
    assert_eq!(site.names(), before);
    let dirs: [PathBuf; 2] = [site.path("state"), site.path("home/state")];
    assert!(dirs.iter().all(|dir| !dir.exists()), "no directory either");
    let done = site.fetch().expect_quiet_success();
    assert_eq!(done.stdout, "Flattened 300 records into flattened.json\n");
}

#[test]
fn a_dry_run_on_top_of_a_state_counts_what_is_new_and_changes_nothing() {
    let site = start();
    site.fetch().expect(0);
    site.sim.insert(&NewRecords {
        count: 5,
        ..NewRecords::default()
    });
    let before = everything(&site);
    for _ in 0..2 {
        let dry = site.ask(&["fetch", "--dry-run", "--summary", "json"]);
        let summary: Value = serde_json::from_str(&dry.expect_quiet_success().stdout).unwrap();
        assert_eq!(summary["dry_run"], true);
        assert_eq!(summary["records"], 5);
        assert_eq!(summary["output"], OUTPUT);
        assert_eq!(summary["outputs"][0]["records"], 5);
        assert_eq!(everything(&site), before);
    }
    let done = site.ask(&["fetch", "--summary", "json"]).expect(0);
    let summary: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(summary["dry_run"], false);
    assert_eq!(summary["records"], 5);
}

#[test]
fn a_dry_run_counts_what_waits_and_says_which_output_cannot_be_written() {
    let site = start();
    configure(
        &site,
        "",
        &[("acme", site.sim.url())],
        &["{site}.json", "all.json", "never.json"],
    );
    for stuck in ["acme.json", "never.json"] {
        symlink("elsewhere", site.path(stuck)).unwrap();
    }
    site.run(&["fetch", "--config", "config.toml"]).expect(73);
    site.sim.insert(&NewRecords {
        count: 5,
        ..NewRecords::default()
    });
    fs::remove_file(site.path("acme.json")).unwrap();
    let before = everything(&site);
    let dry = site.run(&["fetch", "--dry-run", "--config", "config.toml"]);
    let dry = dry.expect(73);
    assert!(
        dry.stderr.contains("never.json is a symbolic link"),
        "{dry}"
    );
    assert_eq!(
        dry.stdout,
        "Dry run: would flatten 305 records into acme.json; nothing was written\n\
         Dry run: would flatten 5 records into all.json; nothing was written\n"
    );
    assert_eq!(everything(&site), before);
}
