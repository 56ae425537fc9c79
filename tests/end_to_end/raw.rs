//! `raw`, the default format, against jq itself: byte by byte, over the pages that the site serves.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use confluence_audit_sim::{API_TOKEN, Burst, EMAIL, Quirks, SimConfig};

use crate::server::get;
use crate::site::Site;

#[test]
fn a_line_is_what_jq_prints() {
    if Command::new("jq").arg("--version").output().is_err() {
        println!("skipped: there is no jq here; .ci/run installs it");
        return;
    }
    let plain = Quirks {
        max_limit: Some(700),
        ..Quirks::default()
    };
    let spelled_out = Quirks {
        pretty: true,
        ascii_escapes: true,
        ..plain
    };
    for quirks in [plain, spelled_out] {
        let site = Site::start(SimConfig {
            records: 2_000,
            hostile: 0.3,
            bursts: vec![Burst::default()],
            quirks,
            ..SimConfig::default()
        });
        let expected = jq(&pages(&site));
        assert_eq!(expected.lines().count(), 2_200);

        site.ask(&["export", "--newest-first", "--output", "newest.json"])
            .expect(0);
        let exported = fs::read_to_string(site.path("newest.json")).unwrap();
        assert_same_lines(&expected, &exported);

        site.fetch().expect(0);
        let mut fetched: Vec<_> = site.output().lines().map(str::to_owned).collect();
        let mut exported: Vec<_> = exported.lines().map(str::to_owned).collect();
        fetched.sort();
        exported.sort();
        assert_eq!(fetched, exported);
    }
}

/// All pages as the site serves them, one after the other.
fn pages(site: &Site) -> String {
    let basic = STANDARD.encode(format!("{EMAIL}:{API_TOKEN}"));
    let base = format!(
        "{}/ex/confluence/{}/wiki/rest/api/audit",
        site.sim.url(),
        site.sim.cloud_id()
    );
    let mut all = String::new();
    let mut start = 0;
    while start < site.sim.truth().len() {
        all += &get(&format!("{base}?start={start}&limit=700"), &basic);
        start += 700;
    }
    all
}

fn jq(pages: &str) -> String {
    let mut jq = Command::new("jq")
        .args(["-c", ".results[]"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = jq.stdin.take().unwrap();
    let pages = pages.to_owned();
    let writer = std::thread::spawn(move || input.write_all(pages.as_bytes()));
    let output = jq.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The two documented differences: jq 1.6 writes DEL bare, and jq rounds numbers beyond 2^53.
#[track_caller]
fn assert_same_lines(by_jq: &str, by_us: &str) {
    assert_eq!(by_jq.lines().count(), by_us.lines().count());
    for (number, (theirs, ours)) in by_jq.lines().zip(by_us.lines()).enumerate() {
        let theirs = theirs.replace('\u{7f}', "\\u007f");
        let (theirs_around, theirs_sequence) = without_sequence(&theirs);
        let (ours_around, ours_sequence) = without_sequence(ours);
        assert_eq!(theirs_around, ours_around, "line {number}");
        // By way of a float both are the same.
        let as_float = |digits: &str| digits.parse::<f64>().map(f64::to_bits).ok();
        assert_eq!(
            as_float(&theirs_sequence),
            as_float(&ours_sequence),
            "line {number}"
        );
    }
}

/// A line, and the digits of the one number in it that a float cannot hold. The key cannot stand within a string,
/// where its quotes would be escaped.
fn without_sequence(line: &str) -> (String, String) {
    let key = "\"sequence\":";
    let Some(at) = line.find(key) else {
        return (line.to_owned(), String::new());
    };
    let (before, rest) = line.split_at(at + key.len());
    let end = rest.find('}').unwrap();
    (format!("{before}{}", &rest[end..]), rest[..end].to_owned())
}
