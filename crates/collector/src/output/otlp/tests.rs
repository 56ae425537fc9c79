//! The promises of the OpenTelemetry output, at a collector of our own that does as it is told.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;

use super::*;
use crate::output::conformance::{self, Destination, POISON, Promise};
use crate::output::test_server::{Handler, RecordedRequest, ServiceDestination, output};

#[derive(Default)]
struct Collector {
    records: Vec<LogRecord>,
    resources: Vec<Resource>,
    /// So many of the next request's are refused.
    rejects: i64,
    /// What it answers once it has taken the records, in place of what the protocol says.
    answers: Option<&'static str>,
}

fn body(record: &LogRecord) -> String {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

impl Handler for Collector {
    fn arrived(&self) -> Vec<String> {
        self.records.iter().map(body).collect()
    }

    fn handle(&mut self, asked: &RecordedRequest) -> (u16, Bytes) {
        assert_eq!(asked.headers["content-type"], PROTOBUF);
        let request = ExportLogsServiceRequest::decode(asked.body.clone()).unwrap();
        let mut records = Vec::new();
        for resource in request.resource_logs {
            self.resources.extend(resource.resource);
            for scope in resource.scope_logs {
                records.extend(scope.log_records);
            }
        }
        if records.iter().any(|record| body(record).contains(POISON)) {
            return (400, "poison".into());
        }
        self.records.extend(records);
        if let Some(text) = self.answers {
            return (200, text.into());
        }
        let partial_success = (self.rejects > 0).then(|| ExportLogsPartialSuccess {
            rejected_log_records: self.rejects,
            error_message: "too \u{1b}old".to_owned(),
        });
        let answer = ExportLogsServiceResponse { partial_success };
        (200, answer.encode_to_vec().into())
    }
}

async fn collector() -> ServiceDestination<Collector> {
    ServiceDestination::new(
        Collector::default(),
        Promise::AtLeastOnce,
        |name, service, around| {
            let headers = Vec::new();
            let config = OtlpConfig { service, headers };
            output(name, Otlp::new(&config, around), around)
        },
    )
    .await
}

#[tokio::test]
async fn it_conforms() {
    conformance::run(async || collector().await.with_body_limit(100_000)).await;
}

#[tokio::test]
async fn a_record_has_its_own_time_site_and_id() {
    let place = collector().await;
    let mut output = place.output();
    output.prepare().await.unwrap();
    let entry = Entry::example(r#"{"n":1}"#, 7);
    let other = Entry {
        site_id: crate::SiteId::new("ff"),
        site: "other".into(),
        ..entry.clone()
    };
    let done = output.deliver(&[entry.clone(), other], None).await.unwrap();
    assert_eq!(done.lines, 2);
    let collector = place.server.handler.lock().unwrap();
    let record = &collector.records[0];
    assert_eq!(record.time_unix_nano, 1_767_225_600_007_000_000);
    assert_eq!(record.observed_time_unix_nano, 0);
    assert_eq!(
        record.attributes,
        [attribute("log.record.uid", &entry.id())]
    );
    let sites: Vec<_> = collector
        .resources
        .iter()
        .map(|it| &it.attributes[1..])
        .collect();
    let site = |id, name| {
        let id = attribute("cloud.account.id", id);
        [id, attribute("confluence.site.name", name)]
    };
    assert_eq!(sites, [site("0a1b", "acme"), site("ff", "other")]);
}

#[tokio::test]
async fn records_that_a_success_has_confirmed_are_not_sent_again_for_its_words() {
    for answer in ["{\"partialSuccess\":{}}", "ok", " "] {
        let place = collector().await;
        place.server.handler.lock().unwrap().answers = Some(answer);
        let mut output = place.output();
        output.prepare().await.unwrap();
        let entry = Entry::example(r#"{"n":1}"#, 7);
        let done = output.deliver(&[entry], None).await.unwrap();
        assert_eq!((done.lines, done.dead), (1, 0), "{answer}");
    }
    // A gateway's page is nobody's confirmation.
    let place = collector().await;
    place.server.handler.lock().unwrap().answers = Some("<!DOCTYPE html><form>Sign in</form>");
    let mut output = place.output();
    output.prepare().await.unwrap();
    let entry = Entry::example(r#"{"n":1}"#, 7);
    output.deliver(&[entry], None).await.unwrap_err();
}

#[tokio::test]
async fn records_of_which_some_were_refused_are_not_sent_again_and_all_kept() {
    let place = collector().await;
    place.server.handler.lock().unwrap().rejects = 2;
    let entries: Vec<Entry> = (0..12)
        .map(|number| Entry::example(format!(r#"{{"n":{number}}}"#), number))
        .collect();
    let mut output = place.output();
    output.prepare().await.unwrap();
    let (mut done, mut dead, mut checkpoint) = (0, 0, None);
    while done < entries.len() {
        let step = output
            .deliver(&entries[done..], checkpoint.as_deref())
            .await;
        let step = step.unwrap();
        (done, dead) = (done + step.lines, dead + step.dead);
        checkpoint = Some(step.checkpoint);
    }
    assert_eq!(dead, 12);
    assert_eq!(place.server.handler.lock().unwrap().records.len(), 12);
    let letters = place.letters();
    assert_eq!(letters.len(), 12);
    let letter: serde_json::Value = serde_json::from_str(&letters[11]).unwrap();
    assert_eq!(letter["doubtful"], true);
    assert_eq!(letter["status"], 200);
    assert_eq!(
        letter["reason"],
        "2 of 12 records were refused: too \\u{1b}old"
    );
}
