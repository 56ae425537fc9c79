//! `status`: what an operator is told of each site, of the outputs, and of the consent.

use std::time::Duration;

use confluence_audit_sim::{NewRecords, SimConfig, When};
use serde_json::Value;

use crate::consent::Consent;
use crate::site::Site;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn status_says_how_far_a_site_is_read_and_what_waits() {
    let site = Site::start(SimConfig::default());
    let before = site.ask(&["status"]).expect(0).stdout;
    assert!(before.contains("never read"), "{before}");
    assert!(before.contains("nothing was ever fetched"), "{before}");
    assert!(!site.path("state").exists(), "asking creates nothing");

    site.fetch().expect(0);
    let text = site.ask(&["status"]).expect(0).stdout;
    assert!(text.contains("read up to "), "{text}");
    assert!(text.contains("last run "), "{text}");
    assert!(text.contains("backlog none"), "{text}");

    let status = json(&site.ask(&["status", "--json"]).expect(0).stdout);
    let told = &status["sites"][0];
    assert_eq!(told["id"], site.sim.cloud_id());
    assert!(told["watermark"].is_string(), "{status}");
    assert!(told["lag_seconds"].as_u64().unwrap() < 3_600, "{status}");
    assert!(told["last_pass"].is_string(), "{status}");
    assert_eq!(told["consent"], Value::Null);
    assert_eq!(status["spool"]["records"], 0);
    assert_eq!(status["outputs"][0]["waiting"]["records"], 0);
}

#[test]
fn status_says_when_a_consent_ends() {
    let consent = Consent::start(SimConfig::default());
    consent.paste(&[], |callback| callback).expect(0);
    let status = |args: &[&str]| consent.collect(args).expect(0).stdout;
    let text = status(&["status"]);
    assert!(text.contains("authorization of "), "{text}");
    assert!(text.contains(", unused "), "{text}");
    let told = &json(&status(&["status", "--json"]))["sites"][0]["consent"];
    assert!(
        told["ends_unused"].as_str() < told["ends"].as_str(),
        "{told}"
    );
    assert_eq!(told["warning"], Value::Null);
}

#[test]
fn status_says_why_the_last_pass_failed_what_came_late_and_what_each_hour_brought() {
    let site = Site::start(SimConfig {
        records: 300,
        ..SimConfig::default()
    });
    site.fetch().expect(0);
    site.sim.insert(&NewRecords {
        count: 3,
        when: When::Late(Duration::from_mins(5)),
        twins: false,
    });
    site.fetch().expect(0);
    let text = site.ask(&["status"]).expect(0).stdout;
    assert!(
        text.contains("3 of 303 records arrived late, by "),
        "{text}"
    );
    assert!(text.contains("records an hour, last day: "), "{text}");
    assert!(!text.contains("FAILED"), "{text}");
    let status = json(&site.ask(&["status", "--json"]).expect(0).stdout);
    let told = &status["sites"][0];
    assert_eq!(told["last_error"], Value::Null);
    assert_eq!(told["late"], 3);
    let hours = told["records_an_hour"].as_array().unwrap();
    let now = site.sim.now();
    let day = site.sim.truth_between(now - 24 * 3_600_000, now).count();
    let counted: u64 = hours.iter().map(|hour| hour.as_u64().unwrap()).sum();
    // The first hour of the day may be counted in part.
    let day = u64::try_from(day).unwrap();
    assert!(
        counted.abs_diff(day) <= 20 && counted > 0,
        "{counted} {day}"
    );

    // The account loses its right.
    let wrong = site.secret("wrong", "no-such-token");
    let mut args = site.args(&["fetch"]);
    let flag = args
        .iter()
        .position(|arg| *arg == "--api-token-file")
        .unwrap();
    args[flag + 1] = &wrong;
    site.run(&args).expect(77);
    let text = site.ask(&["status"]).expect(0).stdout;
    assert!(text.contains("  FAILED 0 s ago: site "), "{text}");
    assert!(text.contains("Check the email address"), "{text}");
    let status = json(&site.ask(&["status", "--json"]).expect(0).stdout);
    let told = &status["sites"][0]["last_error"];
    assert_eq!(told["exit_code"], 77, "{status}");
    site.fetch().expect(0);
    let text = site.ask(&["status"]).expect(0).stdout;
    assert!(!text.contains("FAILED"), "{text}");
}
