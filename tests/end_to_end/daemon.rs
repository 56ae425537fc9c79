//! The daemon: it collects, tells the truth about it, and lives with a changing configuration.

use std::fs;

use confluence_audit_sim::{API_TOKEN, NewRecords, Sim, SimConfig};

use crate::daemon_process::{Daemon, configure};
use crate::lines::{self, Same};
use crate::site::Site;

fn some_records() -> SimConfig {
    SimConfig {
        records: 2_000,
        twins: 0.05,
        hostile: 0.05,
        ..SimConfig::default()
    }
}

fn insert(sim: &Sim, count: usize) {
    sim.insert(&NewRecords {
        count,
        ..NewRecords::default()
    });
}

#[test]
fn the_daemon_collects_again_and_again_and_each_record_once() {
    let site = Site::start(some_records());
    configure(&site, "1s", &[("acme", site.sim.url())], "");
    let mut daemon = Daemon::start(&site);
    daemon.until_lines(2_000);
    for round in 1..=3 {
        insert(&site.sim, 7);
        daemon.until_lines(2_000 + 7 * round);
    }
    assert_eq!(daemon.get("/healthz").1, "alive\n");
    assert_eq!(daemon.get("/readyz").1, "ready\n");
    daemon.end();
    site.assert_output_is_the_truth("all rounds", Same::Bytes);
}

#[test]
fn the_metrics_are_what_the_site_has_seen_and_served() {
    let site = Site::start(some_records());
    // No second pass comes between two looks.
    configure(&site, "1h", &[("acme", site.sim.url())], "");
    let mut daemon = Daemon::start(&site);
    daemon.until("a pass is done", |daemon| {
        daemon.figure("last_success_timestamp_seconds{site=\"acme\"}")
    });
    daemon.until("all is delivered", |daemon| {
        (daemon.sum("output_records_total") >= 2_000.0).then_some(())
    });
    assert_eq!(daemon.figure("records_total{site=\"acme\"}"), Some(2_000.0));
    let requests = site.sim.stats().count("", "");
    assert_eq!(Some(daemon.sum("requests_total")), Some(requests as f64));
    let ok = site.sim.stats().count("", "200");
    let figure = daemon.figure("requests_total{site=\"acme\",status=\"200\"}");
    assert_eq!(figure, Some(ok as f64));
    assert_eq!(daemon.figure("spool_records"), Some(0.0));
    assert_eq!(daemon.figure("site_quarantined{site=\"acme\"}"), Some(0.0));
    assert_eq!(
        daemon.figure("interval_seconds{site=\"acme\"}"),
        Some(3600.0)
    );
    let lag = daemon.figure("lag_seconds{site=\"acme\"}").unwrap();
    assert!((0.0..600.0).contains(&lag), "{lag}");

    let page = daemon.get("/").1;
    assert!(page.contains("Healthy"), "{page}");
    // A page of another site could have its own name lead to loopback.
    let (status, body) = daemon.ask("/metrics", "evil.example");
    assert!(status.contains("421"), "{status}");
    assert!(!body.contains("confluence_audit"), "{body}");
    daemon.end();
}

#[test]
fn a_reload_takes_a_good_configuration_and_refuses_a_bad_one() {
    let site = Site::start(some_records());
    let other = Sim::start(SimConfig {
        records: 300,
        cloud_id: "other".to_owned(),
        ..SimConfig::default()
    })
    .unwrap();
    let acme = ("acme", site.sim.url());
    configure(&site, "1s", &[acme], "");
    let mut daemon = Daemon::start(&site);
    daemon.heard("READY=1");
    daemon.until_lines(2_000);

    configure(&site, "1s", &[acme], "colour = \"blue\"");
    daemon.signal("HUP");
    let reloading = daemon.heard("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    daemon.heard("READY=1");
    assert!(daemon.log().contains("unknown key `colour`"));
    let page = daemon.get("/").1;
    assert!(page.contains("The configuration that was read last is refused"));
    daemon.heard("STATUS=1 sites: 1 healthy, the configuration that was read last is refused");
    insert(&site.sim, 5);
    daemon.until_lines(2_005);

    configure(&site, "1s", &[acme, ("other", other.url())], "");
    let rotated = site.path("flattened.json.1");
    fs::rename(site.path("flattened.json"), &rotated).unwrap();
    daemon.signal("HUP");
    daemon.heard("RELOADING=1");
    daemon.heard("READY=1");
    daemon.until_lines(300);
    assert!(!daemon.get("/").1.contains("is refused"));
    insert(&site.sim, 5);
    daemon.until_lines(305);
    assert_eq!(daemon.figure("records_total{site=\"acme\"}"), Some(2_010.0));
    daemon.until("an output's counts go on through a reload", |daemon| {
        ((daemon.sum("output_records_total") - 2_310.0).abs() < 0.5).then_some(())
    });
    daemon.end();

    let read = |path| fs::read_to_string(path).unwrap();
    let (first, second) = (read(rotated), read(site.path("flattened.json")));
    let truth = other.truth().map(|line| lines::raw(&line));
    let truth = site.truth().into_iter().chain(truth);
    let both = first.lines().chain(second.lines());
    lines::assert_same("both files", truth, both, Same::Bytes);
}

#[test]
fn a_site_that_refuses_is_suspended_and_a_new_token_and_a_signal_bring_it_back() {
    let site = Site::start(some_records());
    site.secret("token", "canary-no-token-of-this-site");
    configure(&site, "1s", &[("acme", site.sim.url())], "");
    let mut daemon = Daemon::start(&site);
    daemon.heard("STATUS=1 sites: 0 healthy, 1 suspended (acme)");
    assert_eq!(daemon.figure("site_quarantined{site=\"acme\"}"), Some(1.0));
    let page = daemon.get("/").1;
    assert!(page.contains("suspended") && page.contains("What to do:"));
    assert!(page.contains("1 site needs attention"), "{page}");
    assert_eq!(
        daemon.log().matches("WARN site acme").count(),
        1,
        "the same is said once: {}",
        daemon.log()
    );
    // The service is up, and so is the daemon: whoever watches it must not restart it.
    assert_eq!(daemon.get("/healthz").1, "alive\n");
    assert!(!site.path("flattened.json").exists() || site.output().is_empty());

    site.secret("token", API_TOKEN);
    daemon.signal("HUP");
    daemon.until_lines(2_000);
    daemon.heard("STATUS=1 sites: 1 healthy");
    daemon.end();
    site.assert_output_is_the_truth("after the quarantine", Same::Bytes);
}
