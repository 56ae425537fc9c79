//! The promises of the Splunk output, at a collector of our own that does as it is told.

use bytes::Bytes;

use super::*;
use crate::output::conformance::{self, Destination, POISON, Promise};
use crate::output::test_server::{Handler, RecordedRequest, ServiceDestination, output};

#[derive(Default)]
struct Collector {
    events: Vec<Value>,
    acks: bool,
    /// How often it is asked before an event is on disk.
    delay: usize,
    asked: usize,
    channels: std::collections::HashSet<String>,
}

impl Collector {
    fn say(status: u16, said: &Value) -> (u16, Bytes) {
        (status, said.to_string().into())
    }
}

impl Handler for Collector {
    fn arrived(&self) -> Vec<String> {
        let events = self.events.iter();
        events.map(|event| event["event"].to_string()).collect()
    }

    fn handle(&mut self, asked: &RecordedRequest) -> (u16, Bytes) {
        if asked.headers["authorization"] != "Splunk canary" {
            return Self::say(403, &json!({"text": "Invalid token", "code": 4}));
        }
        let channel = asked.headers[&CHANNEL].to_str().unwrap();
        self.channels.insert(channel.to_owned());
        if asked.uri.path() == "/services/collector/ack" {
            let acks: Value = serde_json::from_slice(&asked.body).unwrap();
            self.asked += 1;
            let done = self.asked > self.delay;
            return Self::say(200, &json!({"acks": {acks["acks"][0].to_string(): done}}));
        }
        assert_eq!(asked.uri.path(), "/services/collector/event");
        if asked.body.is_empty() {
            return Self::say(400, &json!({"text": "No data", "code": 5}));
        }
        // It reads event by event, and stops at one that is wrong.
        let mut events = Vec::new();
        for event in serde_json::Deserializer::from_slice(&asked.body).into_iter() {
            let event: Value = event.unwrap();
            if event["event"].to_string().contains(POISON) {
                let number = events.len();
                let said = json!({"text": "Invalid data format", "code": 6,
                    "invalid-event-number": number});
                return Self::say(400, &said);
            }
            events.push(event);
        }
        self.events.extend(events);
        if self.acks {
            return Self::say(200, &json!({"text": "Success", "code": 0, "ackId": 7}));
        }
        Self::say(200, &json!({"text": "Success", "code": 0}))
    }
}

fn config(service: ServiceConfig, ack: Option<Duration>) -> SplunkHecConfig {
    SplunkHecConfig {
        service,
        token_file: "token".into(),
        index: Some("audit".to_owned()),
        source: "confluence-audit".to_owned(),
        sourcetype: "confluence:audit".to_owned(),
        ack,
    }
}

async fn collector(acks: bool) -> ServiceDestination<Collector> {
    let collector = Collector {
        acks,
        ..Collector::default()
    };
    let place = if acks {
        ServiceDestination::new(collector, Promise::AtLeastOnce, |name, service, around| {
            let config = config(service, Some(Duration::from_millis(100)));
            output(name, SplunkHec::new(name, &config, around), around)
        })
    } else {
        ServiceDestination::new(collector, Promise::AtLeastOnce, |name, service, around| {
            let config = config(service, None);
            output(name, SplunkHec::new(name, &config, around), around)
        })
    };
    let place = place.await;
    place.secret("token", "canary");
    place
}

#[tokio::test]
async fn it_conforms() {
    conformance::run(async || collector(false).await.with_body_limit(100_000)).await;
}

#[tokio::test]
async fn it_conforms_with_acknowledgements() {
    conformance::run(async || collector(true).await).await;
}

#[tokio::test]
async fn an_event_has_its_own_time_site_and_id() {
    let place = collector(false).await;
    let mut output = place.output();
    output.prepare().await.unwrap();
    let json = Entry::example(r#"{"n":1.50}"#, 7);
    let cef = Entry::example("CEF:0|\"x\"", -1_767_225_600_001);
    let done = output.deliver(&[json.clone(), cef.clone()], None).await;
    assert_eq!(done.unwrap().lines, 2);
    let events = &place.server.handler.lock().unwrap().events;
    let expected = json!({
        "time": 1_767_225_600.007, "host": "acme", "source": "confluence-audit",
        "sourcetype": "confluence:audit", "index": "audit", "event": {"n": 1.50},
        "fields": {"event_id": json.id(), "site_id": "0a1b"},
    });
    assert_eq!(events[0], expected);
    assert_eq!(events[1]["event"], "CEF:0|\"x\"");
    assert_eq!(events[1]["time"], -0.001);
}

#[tokio::test]
async fn nothing_is_confirmed_before_it_is_acknowledged() {
    let place = collector(true).await;
    place.server.handler.lock().unwrap().delay = 2;
    let entry = [Entry::example(r#"{"n":1}"#, 1)];
    let mut output = place.output();
    output.prepare().await.unwrap();
    let error = output.deliver(&entry, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutputUnavailable);
    assert!(
        error.to_string().contains("acknowledged nothing"),
        "{error}"
    );
    let done = output.deliver(&entry, None).await.unwrap();
    assert_eq!(done.lines, 1);
    let collector = place.server.handler.lock().unwrap();
    assert_eq!(collector.asked, 3);
    let channel = collector.channels.iter().next().unwrap();
    assert_eq!((collector.channels.len(), channel.len()), (1, 36));
}

#[tokio::test]
async fn a_token_that_is_not_good_is_told_and_not_shown() {
    let place = collector(false).await;
    place.secret("token", "secret-canary");
    let mut output = place.output();
    output.prepare().await.unwrap();
    let error = output.check().await.unwrap_err();
    assert_eq!(error.exit_code(), 77);
    assert!(!format!("{error:?}").contains("secret-canary"));
    // The next attempt makes it ready again, and so reads what was put right.
    place.secret("token", "canary");
    output.prepare().await.unwrap();
    output.check().await.unwrap();
}
