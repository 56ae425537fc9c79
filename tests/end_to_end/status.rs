//! `status`: what an operator is told of each site, of the outputs, and of the consent.

use confluence_audit_sim::SimConfig;
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
    assert!(text.contains("last pass "), "{text}");
    assert!(text.contains("nothing waiting"), "{text}");

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
    assert!(text.contains("consent of "), "{text}");
    assert!(text.contains("unused until "), "{text}");
    let told = &json(&status(&["status", "--json"]))["sites"][0]["consent"];
    assert!(
        told["ends_unused"].as_str() < told["ends"].as_str(),
        "{told}"
    );
    assert_eq!(told["warning"], Value::Null);
}
