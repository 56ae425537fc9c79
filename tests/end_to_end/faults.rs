//! Answers that are lost, refused or not answers: what passes is waited out, and nothing is ever lost.
//!
//! Waits take two seconds and more by policy, so the cases run side by side.

use std::thread;
use std::time::Duration;

use confluence_audit_sim::{Fault, FaultRates, Quirks, RetryHeader, SimConfig};

use crate::lines::Same;
use crate::site::Site;

fn site() -> Site {
    Site::start(SimConfig {
        records: 1_000,
        quirks: Quirks {
            max_limit: Some(250),
            ..Quirks::default()
        },
        ..SimConfig::default()
    })
}

/// Runs each case in a thread of its own; a panic fails the test.
fn side_by_side<T: Copy + Send>(cases: &[(&'static str, T)], run: impl Fn(&str, T) + Copy + Send) {
    thread::scope(|scope| {
        for &(name, case) in cases {
            scope.spawn(move || run(name, case));
        }
    });
}

#[test]
fn a_fault_that_passes_is_waited_out() {
    let limited = Fault::RateLimited;
    let cases = [
        ("429 in seconds", limited(RetryHeader::Seconds)),
        ("429 until a date", limited(RetryHeader::Date)),
        ("429 until a reset", limited(RetryHeader::ResetWithSeconds)),
        (
            "429 until a reset without seconds",
            limited(RetryHeader::ResetWithoutSeconds),
        ),
        ("429 without advice", limited(RetryHeader::Absent)),
        ("429 with garbage", limited(RetryHeader::Garbage)),
        ("429 with a negative wait", limited(RetryHeader::Negative)),
        ("503 in seconds", Fault::Unavailable(RetryHeader::Seconds)),
        ("500", Fault::Status(500)),
        ("502", Fault::Status(502)),
        ("504", Fault::Status(504)),
        ("a cut body", Fault::CutBody),
        ("a cut chunked body", Fault::CutChunked),
        ("a reset connection", Fault::Reset),
    ];
    side_by_side(&cases, |name, fault| {
        let site = site();
        site.sim.script([Fault::Pass, Fault::Pass, fault]);
        let done = site.ask(&["fetch", "--summary", "json"]).expect(0);
        let summary: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!(summary["retries"], 1, "{name}: {done}");
        site.assert_output_is_the_truth(name, Same::Bytes);
        let again = site.fetch().expect(0);
        assert_eq!(
            again.stdout, "Flattened 0 records into flattened.json\n",
            "{name}"
        );
    });
}

#[test]
fn many_faults_in_one_run_lose_nothing() {
    let site = Site::start(SimConfig {
        faults: FaultRates {
            cut: 0.04,
            server_error: 0.04,
            reset: 0.04,
            rate_limited: 0.04,
            ..FaultRates::default()
        },
        ..site().sim.config().clone()
    });
    site.fetch().expect(0);
    site.assert_output_is_the_truth("one request in six fails", Same::Bytes);
}

/// What is no answer is an error, never the end of the log: what was read before stays, the rest comes later.
#[test]
fn what_is_no_answer_ends_the_run_and_loses_nothing() {
    let cases = [
        ("a sign-in page", (Fault::SignInPage, 65)),
        ("a text that is not JSON", (Fault::NotJson, 65)),
        ("JSON of another shape", (Fault::WrongJson, 65)),
        ("a token that expires", (Fault::Unauthorized, 77)),
        ("a scope that was taken away", (Fault::ScopeMismatch, 77)),
        (
            "a permission that was taken away",
            (Fault::NotPermitted, 77),
        ),
        (
            "a wait beyond the budget",
            (Fault::RateLimited(RetryHeader::Seconds), 75),
        ),
    ];
    for (name, (fault, code)) in cases {
        // Each request of a run in turn, until a run has no more of them.
        for before in 0.. {
            let site = site();
            site.sim.set_faults(FaultRates {
                retry_after: Duration::from_hours(1),
                ..FaultRates::default()
            });
            let passes = (0..before).map(|_| Fault::Pass);
            site.sim.script(passes.chain([fault]));
            let failed = site.fetch();
            if failed.code == Some(0) {
                assert!(before > 4, "{name} came after {before} requests: {failed}");
                break;
            }
            failed.expect(code);
            site.fetch().expect(0);
            site.assert_output_is_the_truth(
                &format!("{name}, after {before} requests"),
                Same::Bytes,
            );
        }
    }
}
