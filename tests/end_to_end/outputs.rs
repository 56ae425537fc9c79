//! Several outputs and several sites: what fails of them holds up nothing else, and misses nothing.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;

use confluence_audit_sim::{Account, EMAIL, NewRecords, Sim, SimConfig};
use serde_json::Value;

use crate::lines::{self, Same};
use crate::program::RunOutput;
use crate::site::Site;

/// A configuration with these sites, by name and address, and these paths of outputs.
pub(crate) fn configure(site: &Site, state: &str, sites: &[(&str, &str)], outputs: &[&str]) {
    let mut text = format!("[state]\ndir = \"state\"\n{state}\n[collect]\nretry_base = \"1ms\"\n");
    for (name, url) in sites {
        let _ = write!(
            text,
            "[[site]]\nname = \"{name}\"\nurl = \"{url}\"\napi_url = \"{url}\"\n\
             auth = {{ kind = \"api-token\", email = \"{EMAIL}\", token_file = \"secrets/token\" }}\n"
        );
    }
    for path in outputs {
        let _ = write!(text, "[[output]]\nkind = \"file\"\npath = \"{path}\"\n");
    }
    fs::write(site.path("config.toml"), text).unwrap();
}

/// A run with that configuration.
pub(crate) fn fetch(site: &Site) -> RunOutput {
    site.run(&["fetch", "--config", "config.toml"])
}

fn some_records() -> SimConfig {
    SimConfig {
        records: 400,
        twins: 0.1,
        ..SimConfig::default()
    }
}

#[track_caller]
fn assert_holds_the_truth(site: &Site, sim: &Sim, name: &str) {
    let text = fs::read_to_string(site.path(name)).unwrap();
    let truth = sim.truth().map(|line| lines::raw(&line));
    lines::assert_same(name, truth, text.lines(), Same::Bytes);
}

#[test]
fn an_output_that_fails_holds_up_no_other_and_gets_all_of_it_in_order_later() {
    let site = Site::start(some_records());
    configure(
        &site,
        "",
        &[("acme", site.sim.url())],
        &["bad.json", "good.json"],
    );
    symlink("elsewhere", site.path("bad.json")).unwrap();
    for _ in 0..2 {
        let done = fetch(&site).expect(73);
        assert!(done.stderr.contains("bad.json"), "{done}");
        assert_eq!(
            done.stdout.matches("into good.json").count(),
            1,
            "what was delivered is said: {done}"
        );
        assert_holds_the_truth(&site, &site.sim, "good.json");
        site.sim.insert(&NewRecords {
            count: 7,
            ..NewRecords::default()
        });
    }
    fs::remove_file(site.path("bad.json")).unwrap();
    let done = fetch(&site).expect(0);
    assert_eq!(
        done.stdout,
        "Flattened 414 records into bad.json\nFlattened 7 records into good.json\n"
    );
    let read = |name| fs::read_to_string(site.path(name)).unwrap();
    assert_eq!(read("bad.json"), read("good.json"));
    assert_holds_the_truth(&site, &site.sim, "bad.json");
    assert_eq!(
        fetch(&site).expect(0).stdout.matches(" 0 records").count(),
        2
    );
}

#[test]
fn when_as_much_waits_as_may_nothing_more_is_read_and_nothing_is_lost() {
    const LIMIT: u64 = 300 * 1024;
    let site = Site::start(SimConfig {
        records: 15_000,
        ..some_records()
    });
    let sites = [("acme", site.sim.url())];
    let limit = format!("spool_limit = \"{LIMIT}B\"");
    configure(&site, &limit, &sites, &["stuck.json", "good.json"]);
    symlink("elsewhere", site.path("stuck.json")).unwrap();
    let waiting = || {
        let shown = site.run(&["state", "show", "--json", "--state-dir", "state"]);
        let shown: Value = serde_json::from_str(&shown.expect_quiet_success().stdout).unwrap();
        (
            shown["spool"]["bytes"].as_u64().unwrap(),
            shown["size"].as_u64().unwrap(),
        )
    };
    let done = fetch(&site).expect(74);
    for (line, what) in [("WARN", "reading waits"), ("confluence-audit:", "limit is")] {
        let said = done
            .stderr
            .lines()
            .find(|said| said.contains(what))
            .unwrap();
        assert!(said.contains(line) && said.contains("stuck.json"), "{done}");
    }
    let (bytes, of_file) = waiting();
    assert!(bytes >= LIMIT, "{bytes}");
    let all: usize = site.truth().iter().map(String::len).sum();
    assert!(bytes < all as u64 / 2, "{bytes} of {all}");

    let asked = site.sim.stats().requests;
    for _ in 0..3 {
        fetch(&site).expect(74);
    }
    assert_eq!(site.sim.stats().requests, asked, "nothing more is read");
    assert_eq!(waiting(), (bytes, of_file), "nor kept");

    fs::remove_file(site.path("stuck.json")).unwrap();
    fetch(&site).expect_quiet_success();
    assert_eq!(waiting().0, 0);
    for name in ["stuck.json", "good.json"] {
        assert_holds_the_truth(&site, &site.sim, name);
    }
}

#[test]
fn a_site_that_fails_holds_up_no_other() {
    let site = Site::start(some_records());
    let other = Site::start(SimConfig {
        seed: 2,
        cloud_id: "5aa85f64-5717-4562-b3fc-2c963f66afa6".into(),
        account: Account {
            not_admin: true,
            ..Account::default()
        },
        ..some_records()
    });
    let sites = [("bad", other.sim.url()), ("good", site.sim.url())];
    configure(&site, "", &sites, &["{site}.json"]);
    let done = fetch(&site).expect(77);
    assert!(done.stderr.contains("site bad"), "{done}");
    assert_eq!(done.stdout, "Flattened 400 records into good.json\n");
    assert_holds_the_truth(&site, &site.sim, "good.json");
}
