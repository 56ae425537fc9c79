//! Which site is at an address is asked once, and again when it is no longer there.

use std::fs;
use std::os::unix::fs::symlink;

use confluence_audit_sim::{Sim, SimConfig};

use crate::lines::{self, Same};
use crate::outputs::{configure, fetch};
use crate::site::Site;

fn small() -> SimConfig {
    SimConfig {
        records: 100,
        ..SimConfig::default()
    }
}

#[test]
fn a_run_with_nothing_new_costs_one_request() {
    let site = Site::start(small());
    site.fetch().expect(0);
    assert_eq!(site.sim.stats().count("/tenant_info", ""), 1);
    let asked = || -> u64 {
        let requests = site.sim.stats().requests;
        requests
            .values()
            .flat_map(|outcomes| outcomes.values())
            .sum()
    };
    let before = asked();
    site.fetch().expect(0);
    assert_eq!(asked(), before + 1, "{:?}", site.sim.stats().requests);
}

#[test]
fn an_output_of_a_site_that_is_out_of_reach_gets_what_waits_for_it() {
    let site = Site::start(small());
    let sim = Sim::start(SimConfig {
        seed: 2,
        cloud_id: "5aa85f64-5717-4562-b3fc-2c963f66afa6".into(),
        ..small()
    })
    .unwrap();
    let sites = [("gone", sim.url()), ("acme", site.sim.url())];
    configure(&site, "", &sites, &["{site}.json"]);
    symlink("elsewhere", site.path("gone.json")).unwrap();
    fetch(&site).expect(73);
    let truth: Vec<String> = sim.truth().map(|line| lines::raw(&line)).collect();
    drop(sim);
    fs::remove_file(site.path("gone.json")).unwrap();
    let done = fetch(&site).expect(69);
    assert_eq!(done.stdout, "Flattened 100 records into gone.json\n");
    let text = fs::read_to_string(site.path("gone.json")).unwrap();
    lines::assert_same("gone.json", truth, text.lines(), Same::Bytes);
}

#[test]
fn the_state_knows_a_site_by_its_configured_name_also_when_it_is_out_of_reach() {
    let sandbox = Site::start(small());
    let sim = Sim::start(small()).unwrap();
    configure(&sandbox, "", &[("acme", sim.url())], &["{site}.json"]);
    fetch(&sandbox).expect(0);
    drop(sim);
    let shown = sandbox.run(&["state", "show", "--config", "config.toml"]);
    assert!(shown.stdout.contains(" (acme)\n"), "{shown}");
    let to = ["--to", "1h", "--site", "acme", "--config", "config.toml"];
    let rewound = sandbox.run(&[&["state", "rewind"][..], &to].concat());
    rewound.expect_quiet_success();
}

#[test]
fn a_site_that_was_made_anew_at_its_address_is_found_by_the_run_after_the_one_that_missed_it() {
    let sandbox = Site::start(small());
    let first = Sim::start(small()).unwrap();
    let port = first.url().rsplit(':').next().unwrap().parse().unwrap();
    configure(&sandbox, "", &[("acme", first.url())], &["{site}.json"]);
    fetch(&sandbox).expect(0);
    let mut truth: Vec<String> = first.truth().collect();
    drop(first);
    let second = Sim::start(SimConfig {
        port,
        seed: 2,
        cloud_id: "5aa85f64-5717-4562-b3fc-2c963f66afa6".into(),
        ..small()
    })
    .unwrap();
    fetch(&sandbox).expect(78);
    fetch(&sandbox).expect(0);
    truth.extend(second.truth());
    let truth = truth.iter().map(|line| lines::raw(line));
    let text = fs::read_to_string(sandbox.path("acme.json")).unwrap();
    lines::assert_same("acme.json", truth, text.lines(), Same::Bytes);
}
