//! How the daemon ends: at once, with nothing half done; and why it does not start.

use std::time::Duration;

use confluence_audit_sim::SimConfig;

use crate::daemon_process::{Daemon, command, configure};
use crate::lines::Same;
use crate::site::Site;

/// What systemd allows is more; what is promised is this.
const PROMISED: Duration = Duration::from_secs(10);

#[test]
fn a_daemon_that_is_ended_in_a_backfill_again_and_again_loses_and_doubles_nothing() {
    let site = Site::start(SimConfig {
        records: 40_000,
        twins: 0.05,
        latency: Duration::from_millis(20),
        ..SimConfig::default()
    });
    configure(&site, "1s", &[("acme", site.sim.url())], "");
    for part in 1..=3 {
        let mut daemon = Daemon::start(&site);
        daemon.until_lines(part * 8_000);
        let took = daemon.end();
        assert!(took < PROMISED, "it took {took:?} to end");
        assert!(site.output().ends_with('\n'), "a line is torn");
    }
    assert!(site.output().lines().count() < 40_000, "there was no rest");
    let mut daemon = Daemon::start(&site);
    daemon.until_lines(40_000);
    daemon.end();
    site.assert_output_is_the_truth("all parts", Same::Bytes);
}

#[test]
fn a_daemon_whose_service_hangs_ends_in_time_and_is_alive_until_then() {
    let site = Site::start(SimConfig::default());
    site.sim.script([confluence_audit_sim::Fault::Hang]);
    configure(&site, "1s", &[("acme", site.sim.url())], "");
    let mut daemon = Daemon::start(&site);
    daemon.heard("READY=1");
    daemon.until("a request hangs", |_| {
        (site.sim.stats().connections > 0).then_some(())
    });
    // It waits for the service and moves on: the watchdog is fed meanwhile.
    for _ in 0..3 {
        daemon.heard("WATCHDOG=1");
    }
    assert_eq!(daemon.get("/healthz").1, "alive\n");
    let took = daemon.end();
    assert!(took < PROMISED, "it took {took:?} to end");
}

#[test]
fn systemd_hears_that_it_is_ready_how_it_stands_and_that_it_ends() {
    let site = Site::start(SimConfig::default());
    configure(&site, "1h", &[("acme", site.sim.url())], "");
    let daemon = Daemon::start(&site);
    daemon.heard("STATUS=1 sites: 0 healthy, 1 not read yet");
    daemon.heard("READY=1");
    daemon.heard("STATUS=1 sites: 1 healthy");
    daemon.signal("TERM");
    daemon.heard("STOPPING=1");
    daemon.end();
}

#[test]
fn what_keeps_the_daemon_from_starting_is_said_with_its_exit_code() {
    let site = Site::start(SimConfig::default());
    let start = |args: &[&str]| site.finish(command(&site, args));
    let done = start(&["--listen", "off"]).expect(78);
    assert!(done.stderr.contains("config.toml cannot be read"), "{done}");
    configure(&site, "1h", &[], "");
    let done = start(&["--listen", "off"]).expect(78);
    assert!(done.stderr.contains("names no site"), "{done}");
    start(&["--listen", "everywhere"]).expect(64);

    configure(&site, "1h", &[("acme", site.sim.url())], "");
    let daemon = Daemon::start(&site);
    let done = start(&["--listen", "off"]).expect(75);
    assert!(done.stderr.contains("is in use"), "{done}");
    daemon.end();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let site = Site::start(SimConfig::default());
    configure(&site, "1h", &[("acme", site.sim.url())], "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = site
        .finish(command(&site, &["--listen", &address]))
        .expect(78);
    assert!(done.stderr.contains(&address), "{done}");
    assert!(done.stderr.contains("--listen off"), "{done}");
}
