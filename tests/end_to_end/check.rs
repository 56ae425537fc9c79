//! `check`: what an on-call is told of a host before anything goes wrong.

use std::fs;

use confluence_audit_sim::{Account, SimConfig};
use serde_json::Value;

use crate::program::RunOutput;
use crate::site::Site;

fn small(config: SimConfig) -> Site {
    Site::start(SimConfig {
        records: 20,
        ..config
    })
}

fn findings(done: &RunOutput) -> Vec<Value> {
    let all: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        all["exit_code"].as_i64(),
        done.code.map(i64::from),
        "{done}"
    );
    all["findings"].as_array().unwrap().clone()
}

/// The level and the remedy of the finding whose text holds `text`.
fn finding(done: &RunOutput, text: &str) -> (String, String) {
    let found = findings(done);
    let it = found
        .iter()
        .find(|it| it["text"].as_str().unwrap().contains(text));
    let it = it.unwrap_or_else(|| panic!("nothing says {text:?}:\n{done}"));
    let remedy = it["remedy"].as_str().unwrap_or_default();
    (it["level"].as_str().unwrap().into(), remedy.into())
}

#[test]
fn a_host_where_all_is_well_is_told_so_and_nothing_is_changed() {
    let site = small(SimConfig::default());
    let names = site.names();
    let done = site.ask(&["check"]).expect_quiet_success();
    assert_eq!(site.names(), names, "check writes nothing");
    assert!(!done.stdout.contains("FAIL"), "{done}");
    for said in [
        "the credentials are accepted",
        "scope read:audit-log:confluence",
        "the site's plan has an audit log",
        "records are kept for",
        "clock agrees",
        "free",
    ] {
        assert!(done.stdout.contains(said), "{said}: {done}");
    }
    site.fetch().expect(0);
    let done = site.ask(&["check", "--json"]).expect(0);
    assert_eq!(finding(&done, "nothing in it contradicts itself").0, "ok");
}

#[test]
fn what_the_service_refuses_is_told_with_what_it_did_not_refuse() {
    let site = small(SimConfig {
        account: Account {
            not_admin: true,
            ..Account::default()
        },
        ..SimConfig::default()
    });
    let done = site.ask(&["check", "--json"]).expect(77);
    let (level, _) = finding(&done, "the credentials are accepted");
    assert_eq!(level, "ok");
    let failed: Vec<_> = findings(&done)
        .into_iter()
        .filter(|it| it["level"] == "fail")
        .collect();
    assert_eq!(failed.len(), 1, "{done}");
    assert_eq!(failed[0]["exit_code"], 77);
    let remedy = failed[0]["remedy"].as_str().unwrap();
    assert!(remedy.contains("Confluence Administrator"), "{done}");
}

#[test]
fn files_that_others_can_write_or_an_agent_cannot_read_are_told() {
    let site = small(SimConfig::default());
    fs::write(site.path("config.toml"), "[collect]\n").unwrap();
    site.set_mode("config.toml", 0o666);
    site.fetch().expect(0);
    site.set_mode("flattened.json", 0o600);
    let done = site
        .ask(&["check", "--json", "--config", "config.toml"])
        .expect(0);
    let (level, remedy) = finding(&done, "can be written by others");
    assert_eq!(level, "warn");
    assert!(remedy.contains("chmod go-w"), "{done}");
    let (level, remedy) = finding(&done, "can be read by its owner alone");
    assert_eq!(level, "warn");
    assert!(remedy.contains("chgrp"), "{done}");
}

#[test]
fn a_damaged_state_is_found_before_a_run_meets_it() {
    let site = small(SimConfig::default());
    site.fetch().expect(0);
    let state = site.names();
    let file = state
        .iter()
        .find(|name| name.ends_with("spool.sqlite3"))
        .unwrap();
    let mut bytes = fs::read(site.path(file)).unwrap();
    bytes[..100].fill(0x55);
    fs::write(site.path(file), bytes).unwrap();
    let done = site.ask(&["check", "--json"]).expect(74);
    let failed = findings(&done)
        .into_iter()
        .find(|it| it["level"] == "fail")
        .unwrap();
    assert_eq!(failed["what"], "state");
    assert!(
        failed["remedy"].as_str().unwrap().contains("state recover"),
        "{done}"
    );
}

#[test]
fn a_machine_is_told_of_a_mistake_in_the_configuration_too() {
    let site = small(SimConfig::default());
    fs::write(site.path("config.toml"), "[colect]\n").unwrap();
    let done = site
        .ask(&["check", "--json", "--config", "config.toml"])
        .expect(78);
    let (level, _) = finding(&done, "unknown key `colect`");
    assert_eq!(level, "fail");
}
