//! `fetch` with flags alone, from the first run on.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use confluence_audit_sim::{Burst, NewRecords, SimConfig, When};

use crate::lines::{self, Same, time};
use crate::program::RunOutput;
use crate::site::{OUTPUT, Site};

const MINUTE: i64 = 60_000;

#[test]
fn fifty_thousand_records_come_out_once_and_late_ones_by_the_next_run() {
    let site = Site::start(SimConfig {
        records: 48_000,
        twins: 0.05,
        hostile: 0.02,
        bursts: vec![
            Burst::default(),
            Burst {
                records: 1_800,
                ..Burst::default()
            },
        ],
        ..SimConfig::default()
    });

    let first = site.fetch().expect(0);
    assert_eq!(
        first.stdout,
        "Flattened 50000 records into flattened.json\n"
    );
    site.assert_output_is_the_truth("the first run", Same::Bytes);
    let output = site.output();
    assert!(output.lines().map(time).is_sorted(), "oldest first");

    let second = site.fetch().expect_quiet_success();
    assert_eq!(second.stdout, "Flattened 0 records into flattened.json\n");
    assert_eq!(site.output(), output, "the second run adds nothing");

    // Three, of which two are alike, and twins of a record that has been delivered.
    let newest = site.sim.truth().last().unwrap();
    let at = |at, count, twins| NewRecords {
        count,
        when: When::At(at),
        twins,
    };
    site.sim.insert(&at(site.sim.now() - 14 * MINUTE, 2, false));
    site.sim.insert(&at(site.sim.now() - 14 * MINUTE, 1, true));
    site.sim.insert(&at(time(&newest), 2, true));

    let third = site.fetch().expect_quiet_success();
    assert_eq!(third.stdout, "Flattened 5 records into flattened.json\n");
    assert!(site.output().starts_with(&output), "what was written stays");
    site.assert_output_is_the_truth("the third run", Same::Bytes);
}

#[test]
fn how_late_records_arrive_is_measured() {
    let site = Site::start(SimConfig::default());
    site.fetch().expect(0);
    site.sim.insert(&NewRecords {
        count: 3,
        when: When::At(site.sim.now() - 14 * MINUTE),
        ..NewRecords::default()
    });
    let done = site.ask(&["fetch", "--summary", "json"]).expect(0);
    let summary: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(summary["late"], 3);
    // Behind what had been read, which is a little older than the present.
    let late_by = summary["late_by_ms"].as_i64().unwrap();
    assert!((1..=14 * MINUTE).contains(&late_by), "{summary}");
    assert_eq!(summary["sites"][0]["late_by_ms"], late_by);
}

#[test]
fn a_file_that_is_renamed_and_signalled_during_a_run_goes_on_under_its_name() {
    let site = Site::start(SimConfig {
        records: 30_000,
        latency: Duration::from_millis(100),
        ..SimConfig::default()
    });
    let mut run = site.site_command(&["fetch"]).spawn().unwrap();
    let (output, rotated) = (site.path(OUTPUT), site.path("flattened.json.1"));
    while fs::metadata(&output).map_or(0, |meta| meta.len()) == 0 {
        assert!(
            run.try_wait().unwrap().is_none(),
            "it ended before it wrote"
        );
        sleep(Duration::from_millis(5));
    }
    fs::rename(&output, &rotated).unwrap();
    let signalled = Command::new("kill")
        .args(["-HUP", &run.id().to_string()])
        .status();
    assert!(signalled.unwrap().success());
    let status = run.wait().unwrap();
    assert_eq!(status.code(), Some(0), "the signal ended the run: {status}");

    let read = |path| fs::read_to_string(path).unwrap();
    let (first, second) = (read(&rotated), read(&output));
    assert!(!second.is_empty(), "nothing went to the new file");
    let both = first.lines().chain(second.lines());
    lines::assert_same("both files", site.truth(), both, Same::Bytes);
}

/// What a pipe of Linux holds.
const PIPE: usize = 64 * 1024;

#[test]
fn standard_output_gets_records_alone_and_what_a_reader_that_goes_away_did_not_take_comes_again() {
    let site = Site::start(SimConfig {
        records: 20_000,
        ..SimConfig::default()
    });
    let args = ["fetch", "--output", "-"];
    let mut command = site.site_command(&args);
    let mut run = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 1000];
    let mut reader = run.stdout.take().unwrap();
    reader.read_exact(&mut some).unwrap();
    drop(reader);
    let done = RunOutput::of(run.wait_with_output().unwrap()).expect(74);
    assert!(done.stderr.contains("broken pipe"), "{done}");

    let done = site.ask(&args).expect(0);
    let truth = site.truth();
    let again = done.stdout.lines().count();
    let said = format!("Flattened {again} records into -\n");
    assert_eq!(done.stderr, said);
    // What a pipe has taken is out of the program's hands.
    let (taken, rest) = truth.split_at(truth.len() - again);
    let taken: usize = taken.iter().map(|line| line.len() + 1).sum();
    assert!(taken <= PIPE + some.len(), "{taken} bytes are lost");
    let found = done.stdout.lines();
    lines::assert_same("standard output", rest.to_vec(), found, Same::Bytes);
    let done = site.ask(&args).expect(0);
    assert_eq!(done.stdout, "");
}

#[test]
fn a_run_tells_monitors_what_it_did_and_the_next_one_goes_on_counting() {
    let site = Site::start(SimConfig::default());
    let fetch = || {
        site.ask(&["fetch", "--metrics-file", "audit.prom"])
            .expect(0)
    };
    let figure = |name: &str| -> Option<f64> {
        let text = fs::read_to_string(site.path("audit.prom")).unwrap();
        let value = text.lines().find_map(|line| {
            let (found, value) = line.rsplit_once(' ')?;
            (found == format!("confluence_audit_{name}")).then_some(value)
        });
        value.map(|value| value.parse().unwrap())
    };
    let requests = || Some(site.sim.stats().count("", "200") as f64);
    let name = "127.0.0.1";
    let records = format!("records_total{{site=\"{name}\"}}");
    fetch();
    assert_eq!(figure(&records), Some(1_000.0));
    let answered = format!("requests_total{{site=\"{name}\",status=\"200\"}}");
    assert_eq!(figure(&answered), requests());
    site.sim.insert(&NewRecords {
        count: 5,
        ..NewRecords::default()
    });
    fetch();
    assert_eq!(figure(&records), Some(1_005.0));
    assert_eq!(figure(&answered), requests());
    assert_eq!(figure("spool_records"), Some(0.0));
    let lag = figure(&format!("lag_seconds{{site=\"{name}\"}}")).unwrap();
    assert!((0.0..600.0).contains(&lag), "{lag}");
}
