//! The promises of the plain HTTP output, at a service that remembers keys, and at one that does
//! not.

use std::collections::HashSet;

use bytes::Bytes;

use super::*;
use crate::output::OutputName;
use crate::output::conformance::{self, Destination, POISON, Promise};
use crate::output::test_server::{Handler, RecordedRequest, ServiceDestination, output};

#[derive(Default)]
struct Receiver {
    lines: Vec<String>,
    /// The keys of the requests that it has done.
    keys: HashSet<String>,
    remembers: bool,
    framing: Option<Framing>,
    /// A gateway stands before it, and asks to sign in.
    signs_in: bool,
}

impl Handler for Receiver {
    fn arrived(&self) -> Vec<String> {
        self.lines.clone()
    }

    fn handle(&mut self, asked: &RecordedRequest) -> (u16, Bytes) {
        assert_eq!(asked.headers["authorization"], "Bearer canary");
        assert_eq!(asked.headers["x-kind"], "audit");
        if asked.method == Method::HEAD {
            return (405, Bytes::new());
        }
        if self.signs_in {
            return (200, "\n<HTML><form>Sign in</form></HTML>".into());
        }
        assert_eq!(asked.method, Method::PUT);
        assert_eq!(asked.uri, "/in?stream=a");
        let text = std::str::from_utf8(&asked.body).unwrap();
        if text.contains(POISON) {
            return (400, "poison".into());
        }
        let lines: Vec<String> = match self.framing.unwrap() {
            Framing::Ndjson => {
                assert_eq!(asked.headers["content-type"], "text/plain");
                assert!(text.ends_with('\n'));
                text.lines().map(str::to_owned).collect()
            }
            Framing::Array => {
                let all: Vec<Box<serde_json::value::RawValue>> =
                    serde_json::from_str(text).unwrap();
                all.into_iter().map(|line| line.get().to_owned()).collect()
            }
        };
        if self.remembers {
            let key = asked.headers["x-key"].to_str().unwrap();
            assert_eq!(key.len(), 32);
            if !self.keys.insert(key.to_owned()) {
                return (200, Bytes::new());
            }
        } else {
            assert!(!asked.headers.contains_key("x-key"));
        }
        self.lines.extend(lines);
        (204, Bytes::new())
    }
}

fn config(mut service: ServiceConfig, framing: Framing, key: Option<&'static str>) -> HttpConfig {
    service.url.set_path("/in");
    service.url.set_query(Some("stream=a"));
    let bearer = HeaderConfig::File {
        prefix: "Bearer ".to_owned(),
        path: "token".into(),
    };
    HttpConfig {
        service,
        method: Method::PUT,
        framing,
        content_type: "text/plain".to_owned(),
        headers: vec![
            (http::header::AUTHORIZATION, bearer),
            (
                http::HeaderName::from_static("x-kind"),
                HeaderConfig::Literal("audit".to_owned()),
            ),
        ],
        idempotency_key: key.map(http::HeaderName::from_static),
    }
}

fn with_key(name: &OutputName, service: ServiceConfig, around: &OutputContext) -> Box<dyn Output> {
    let config = config(service, Framing::Ndjson, Some("x-key"));
    output(name, Http::new(&config, around), around)
}

fn without_key(
    name: &OutputName,
    service: ServiceConfig,
    around: &OutputContext,
) -> Box<dyn Output> {
    let config = config(service, Framing::Array, None);
    output(name, Http::new(&config, around), around)
}

async fn remembering() -> ServiceDestination<Receiver> {
    let receiver = Receiver {
        remembers: true,
        framing: Some(Framing::Ndjson),
        ..Receiver::default()
    };
    let place = ServiceDestination::new(receiver, Promise::ExactlyOnce, with_key).await;
    place.secret("token", "canary\n");
    place
}

#[tokio::test]
async fn it_conforms_and_delivers_once_where_keys_are_remembered() {
    conformance::run(async || remembering().await.with_body_limit(100_000)).await;
}

#[tokio::test]
async fn it_conforms_as_an_array_where_nothing_is_remembered() {
    conformance::run(async || {
        let receiver = Receiver {
            framing: Some(Framing::Array),
            ..Receiver::default()
        };
        let place = ServiceDestination::new(receiver, Promise::AtLeastOnce, without_key).await;
        place.secret("token", "canary");
        place
    })
    .await;
}

#[tokio::test]
async fn a_request_is_made_again_of_the_same_records_when_more_wait_after_a_crash() {
    let place = remembering().await;
    let entries: Vec<Entry> = (0..9)
        .map(|number| Entry::example(format!(r#"{{"n":{number}}}"#), number))
        .collect();
    let mut output = place.output();
    output.prepare().await.unwrap();
    let planned = output.deliver(&entries[..4], None).await.unwrap();
    assert_eq!(planned.lines, 0, "the request's end is written down first");
    let checkpoint = Some(&planned.checkpoint[..]);
    let lost = output.deliver(&entries[..4], checkpoint).await.unwrap();
    assert_eq!(lost.lines, 4);

    let mut output = place.output();
    output.prepare().await.unwrap();
    let again = output.deliver(&entries, checkpoint).await.unwrap();
    assert_eq!(again.lines, 4, "as before, though there is more");
    assert_eq!(place.server.handler.lock().unwrap().lines.len(), 4);
    let next = output.deliver(&entries[4..], Some(&again.checkpoint)).await;
    let next = next.unwrap();
    assert_eq!(next.lines, 0, "another request has another end");
    let next = output.deliver(&entries[4..], Some(&next.checkpoint)).await;
    assert_eq!(next.unwrap().lines, 5);
    assert_eq!(place.server.handler.lock().unwrap().lines.len(), 9);
}

#[tokio::test]
async fn a_gateways_sign_in_page_with_status_200_confirms_nothing() {
    let place = remembering().await;
    place.server.handler.lock().unwrap().signs_in = true;
    let mut output = place.output();
    output.prepare().await.unwrap();
    let entry = Entry::example(r#"{"n":1}"#, 7);
    // The request is written down before it is made.
    let planned = output
        .deliver(std::slice::from_ref(&entry), None)
        .await
        .unwrap();
    assert_eq!(planned.lines, 0);
    let checkpoint = Some(&planned.checkpoint[..]);
    let error = output
        .deliver(std::slice::from_ref(&entry), checkpoint)
        .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::OutputUnavailable);
    place.server.handler.lock().unwrap().signs_in = false;
    let done = output.deliver(&[entry], checkpoint).await.unwrap();
    assert_eq!(done.lines, 1);
    assert_eq!(place.server.handler.lock().unwrap().lines.len(), 1);
}
