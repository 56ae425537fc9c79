//! `fetch` with flags alone, from the first run on.

use confluence_audit_sim::{Burst, NewRecords, SimConfig, When};

use crate::lines::{Same, time};
use crate::site::Site;

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
