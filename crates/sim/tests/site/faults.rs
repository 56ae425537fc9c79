//! Faults are what they say, down to the socket.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use confluence_audit_sim::{
    API_TOKEN, EMAIL, Fault, FaultRates, Quirks, RetryHeader, Sim, SimConfig,
};

use crate::client::{AUDIT, get, header};

fn sim() -> Sim {
    Sim::start(SimConfig {
        now: Some(1_774_540_800_000),
        records: 50,
        ..SimConfig::default()
    })
    .unwrap()
}

/// A request for the list, written by hand.
fn ask(sim: &Sim) -> TcpStream {
    let mut stream = TcpStream::connect(sim.url().trim_start_matches("http://")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let credentials = STANDARD.encode(format!("{EMAIL}:{API_TOKEN}"));
    let path = format!("/ex/confluence/{}{AUDIT}", sim.cloud_id());
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: sim\r\nAuthorization: Basic {credentials}\r\n\r\n"
    )
    .unwrap();
    stream
}

/// All that comes until the connection ends, and how it ends.
fn drain(stream: &mut TcpStream) -> (String, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let end = stream
        .read_to_end(&mut bytes)
        .err()
        .map(|error| error.kind());
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

#[test]
fn a_connection_serves_one_request_after_another() {
    let sim = sim();
    let mut stream = ask(&sim);
    stream
        .write_all(b"GET /_edge/tenant_info HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n")
        .unwrap();
    let (text, end) = drain(&mut stream);
    assert_eq!((text.matches("HTTP/1.1 200 OK").count(), end), (2, None));
    assert_eq!(sim.stats().connections, 1);
}

#[test]
fn a_cut_body_ends_early_and_in_order() {
    let sim = sim();
    for _ in 0..5 {
        sim.script([Fault::CutBody]);
        let (text, end) = drain(&mut ask(&sim));
        assert_eq!(end, None, "a proper end of the connection");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let promised = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        assert!(body.len() < promised.parse().unwrap());
    }
    sim.script([Fault::CutChunked]);
    let (text, end) = drain(&mut ask(&sim));
    assert_eq!(end, None);
    assert!(text.contains("transfer-encoding: chunked"));
    assert!(!text.ends_with("0\r\n\r\n"));
    assert_eq!(sim.stats().count(AUDIT, "200 cut"), 6);
}

#[test]
fn a_reset_is_a_reset() {
    let sim = sim();
    sim.script([Fault::Reset]);
    assert_eq!(
        drain(&mut ask(&sim)),
        (String::new(), Some(ErrorKind::ConnectionReset))
    );
    assert_eq!(sim.stats().count(AUDIT, "reset"), 1);
}

#[test]
fn a_hang_says_nothing_and_a_stall_stops() {
    let sim = sim();
    sim.script([Fault::Hang, Fault::StallBody]);
    let patient_for = |millis| {
        let mut stream = ask(&sim);
        stream
            .set_read_timeout(Some(Duration::from_millis(millis)))
            .unwrap();
        drain(&mut stream)
    };
    assert_eq!(
        patient_for(100),
        (String::new(), Some(ErrorKind::WouldBlock))
    );
    // Long enough for the beginning to arrive on a busy machine.
    let (text, end) = patient_for(1_000);
    assert!(text.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(end, Some(ErrorKind::WouldBlock));

    let short = Sim::start(SimConfig {
        hang: Duration::from_millis(20),
        ..SimConfig::default()
    })
    .unwrap();
    short.script([Fault::Hang]);
    assert_eq!(drain(&mut ask(&short)).1, Some(ErrorKind::ConnectionReset));
}

#[test]
fn dropping_the_site_closes_what_is_open() {
    let sim = sim();
    sim.script([Fault::Hang]);
    let mut stream = ask(&sim);
    while sim.stats().count(AUDIT, "hang") == 0 {
        std::thread::yield_now();
    }
    let address = sim.url().trim_start_matches("http://").to_owned();
    drop(sim);
    assert_ne!(drain(&mut stream).1, Some(ErrorKind::WouldBlock));
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn advice_comes_in_every_form() {
    let sim = sim();
    for (form, name, value) in [
        (RetryHeader::Seconds, "retry-after", Some("1")),
        (
            RetryHeader::Date,
            "retry-after",
            Some("Thu, 26 Mar 2026 16:00:01 GMT"),
        ),
        (
            RetryHeader::ResetWithSeconds,
            "x-ratelimit-reset",
            Some("2026-03-26T16:00:01Z"),
        ),
        (
            RetryHeader::ResetWithoutSeconds,
            "x-ratelimit-reset",
            Some("2026-03-26T16:00Z"),
        ),
        (RetryHeader::Absent, "retry-after", None),
        (RetryHeader::Garbage, "retry-after", Some("soon")),
        (RetryHeader::Negative, "retry-after", Some("-5")),
        (
            RetryHeader::Huge,
            "retry-after",
            Some("99999999999999999999"),
        ),
    ] {
        sim.script([Fault::RateLimited(form), Fault::Unavailable(form)]);
        for status in [429, 503] {
            let response = get(&sim, AUDIT).send().await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(header(&response, name), value);
            assert!(header(&response, "ratelimit-reason").is_some());
        }
    }
}

#[tokio::test]
async fn bodies_that_are_no_pages() {
    let sim = sim();
    sim.script([
        Fault::SignInPage,
        Fault::NotJson,
        Fault::WrongJson,
        Fault::Status(502),
        Fault::FreePlan,
        Fault::Pass,
    ]);
    let mut seen = Vec::new();
    for _ in 0..6 {
        let response = get(&sim, AUDIT).send().await.unwrap();
        seen.push((
            response.status().as_u16(),
            response
                .text()
                .await
                .unwrap()
                .chars()
                .take(10)
                .collect::<String>(),
        ));
    }
    let seen: Vec<_> = seen
        .iter()
        .map(|(status, text)| (*status, text.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (200, "<!DOCTYPE "),
            (200, "upstream c"),
            (200, "{\"records\""),
            (502, "<html><bod"),
            (403, "{\"message\""),
            (200, "{\"results\""),
        ]
    );
}

#[tokio::test]
async fn chance_is_the_same_for_a_seed() {
    let run = async || {
        let faults = FaultRates {
            rate_limited: 0.3,
            server_error: 0.3,
            wrong_json: 0.1,
            ..FaultRates::default()
        };
        let sim = Sim::start(SimConfig {
            faults,
            ..SimConfig::default()
        })
        .unwrap();
        let mut statuses = Vec::new();
        for _ in 0..60 {
            statuses.push(get(&sim, AUDIT).send().await.unwrap().status().as_u16());
        }
        statuses
    };
    let first = run().await;
    assert_eq!(first, run().await);
    for status in [200, 429, 500, 502, 503, 504] {
        assert!(first.contains(&status), "{status} in {first:?}");
    }
}

#[tokio::test]
async fn slow_is_slow_and_gzip_is_gzip() {
    let quirks = Quirks {
        gzip: true,
        ..Quirks::default()
    };
    let sim = Sim::start(SimConfig {
        latency: Duration::from_millis(30),
        quirks,
        ..SimConfig::default()
    })
    .unwrap();
    sim.script([Fault::Slow(Duration::from_millis(50))]);
    let begun = std::time::Instant::now();
    let response = get(&sim, AUDIT).send().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(80));
    let full = sim.truth().map(|line| line.len() as u64).sum::<u64>();
    assert!(response.text().await.unwrap().len() as u64 > full);
    assert!(sim.stats().bytes_served < full / 2);
}
