//! The promises of the Elasticsearch output, at a cluster of our own that does as it is told.

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::output::conformance::{self, Destination, POISON, Promise};
use crate::output::test_server::{Handler, RecordedRequest, ServiceDestination, output};

const KEY: &str = "canary-key";

/// An index that takes each id once.
#[derive(Default)]
struct Index {
    documents: Vec<(String, String)>,
    /// The ids of each request.
    requests: Vec<Vec<String>>,
    /// What each document of the next request gets instead of being taken.
    statuses: Vec<u16>,
}

impl Handler for Index {
    fn arrived(&self) -> Vec<String> {
        self.documents
            .iter()
            .map(|(_, line)| line.clone())
            .collect()
    }

    fn handle(&mut self, asked: &RecordedRequest) -> (u16, Bytes) {
        assert_eq!(asked.headers["authorization"], format!("ApiKey {KEY}"));
        if asked.uri.path() == "/" {
            assert_eq!(asked.method, "GET");
            let about = json!({"version": {"number": "8.11.0"}});
            return (200, about.to_string().into());
        }
        assert_eq!(asked.uri.path(), "/logs-audit/_bulk");
        let text = std::str::from_utf8(&asked.body).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let mut statuses = std::mem::take(&mut self.statuses).into_iter();
        let mut items = Vec::new();
        let mut request = Vec::new();
        for pair in lines.chunks(2) {
            let action: Value = serde_json::from_str(pair[0]).unwrap();
            let id = action["create"]["_id"].as_str().unwrap().to_owned();
            let there = self.documents.iter().any(|(it, _)| *it == id);
            let status = match statuses.next() {
                Some(status) if status > 201 => status,
                _ if there => 409,
                _ if pair[1].contains(POISON) => 400,
                _ => 201,
            };
            let error = json!({"type": "document_parsing_exception", "reason": "no \u{1b}[31mway",
                "caused_by": {"type": "x", "reason": "y"}});
            items.push(match status {
                201 => json!({"create": {"_id": id, "status": status}}),
                _ => json!({"create": {"_id": id, "status": status, "error": error}}),
            });
            request.push(id.clone());
            if status == 201 {
                self.documents.push((id, pair[1].to_owned()));
            }
        }
        self.requests.push(request);
        (
            200,
            json!({"errors": true, "items": items}).to_string().into(),
        )
    }
}

type Cluster = ServiceDestination<Index>;

async fn cluster() -> Cluster {
    ServiceDestination::new(
        Index::default(),
        Promise::ExactlyOnce,
        |name, service, around| {
            let config = ElasticsearchConfig {
                service,
                index: "logs-audit".to_owned(),
                authorization: Some(HeaderConfig::File {
                    prefix: "ApiKey ".to_owned(),
                    path: "key".into(),
                }),
            };
            output(name, Elasticsearch::new(&config, around), around)
        },
    )
    .await
}

/// A cluster with its key, and an output that is ready.
async fn ready() -> (Cluster, Box<dyn Output>) {
    let cluster = cluster().await;
    cluster.secret("key", KEY);
    let mut output = cluster.output();
    output.prepare().await.unwrap();
    (cluster, output)
}

fn entries(count: i64) -> Vec<Entry> {
    let entry = |number| Entry::example(format!(r#"{{"n":{number}}}"#), number);
    (0..count).map(entry).collect()
}

/// What each document of the next request gets instead of being taken.
fn say(cluster: &Cluster, statuses: &[u16]) {
    cluster.server.handler.lock().unwrap().statuses = statuses.to_vec();
}

#[tokio::test]
async fn it_conforms() {
    conformance::run(async || {
        let cluster = cluster().await.with_body_limit(100_000);
        cluster.secret("key", KEY);
        cluster
    })
    .await;
}

#[tokio::test]
async fn it_conforms_without_compression_and_without_a_limit() {
    conformance::run(async || {
        let mut cluster = cluster().await;
        cluster.gzip = false;
        cluster.secret("key", KEY);
        cluster
    })
    .await;
}

#[tokio::test]
async fn what_was_not_taken_now_is_sent_again_alone() {
    let (cluster, mut output) = ready().await;
    let entries = entries(5);
    say(&cluster, &[201, 429, 201, 503, 201]);
    let done = output.deliver(&entries, None).await.unwrap();
    assert_eq!(done.lines, 1, "up to the first that was not taken");
    let rest = &entries[1..];
    let error = output
        .deliver(rest, Some(&done.checkpoint))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutputUnavailable);
    assert!(error.to_string().contains("(429)"), "{error}");
    let done = output.deliver(rest, Some(&done.checkpoint)).await.unwrap();
    assert_eq!((done.lines, done.dead), (4, 0));
    let index = cluster.server.handler.lock().unwrap();
    let ids: Vec<String> = entries.iter().map(Entry::id).collect();
    assert_eq!(index.requests[0], ids);
    assert_eq!(index.requests[1], [ids[1].clone(), ids[3].clone()]);
    assert_eq!(index.requests.len(), 2);
}

#[tokio::test]
async fn a_reason_is_printable_and_stands_in_the_dead_letter() {
    let (cluster, mut output) = ready().await;
    say(&cluster, &[400]);
    let mut checkpoint = None;
    let mut dead = 0;
    while dead == 0 {
        let done = output.deliver(&entries(1), checkpoint.as_deref()).await;
        let done = done.unwrap();
        (dead, checkpoint) = (done.dead, Some(done.checkpoint));
    }
    let letter: Value = serde_json::from_str(&cluster.letters()[0]).unwrap();
    let expected = json!({
        "id": entries(1)[0].id(),
        "site": "acme",
        "output": "service:http://service.example/place",
        "status": 400,
        "reason": "document_parsing_exception: no \\u{1b}[31mway; x: y",
        "record": r#"{"n":0}"#,
    });
    assert_eq!(letter, expected);
}

#[tokio::test]
async fn an_index_that_refuses_everything_is_at_fault_itself_and_nothing_is_given_up() {
    let (cluster, mut output) = ready().await;
    say(&cluster, &[400; 20]);
    let error = output.deliver(&entries(20), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutputCreate);
    assert!(error.to_string().contains("20 records in a row"), "{error}");
    assert_eq!(cluster.letters().len(), 0);
    let done = output.deliver(&entries(20), None).await.unwrap();
    assert_eq!((done.lines, done.dead), (20, 0), "it was set right");
}

#[tokio::test]
async fn what_time_does_not_mend_is_told_apart() {
    for (status, kind, exit_code) in [
        (401, ErrorKind::Credentials, 77),
        (403, ErrorKind::Credentials, 77),
        (404, ErrorKind::OutputCreate, 73),
        (429, ErrorKind::OutputUnavailable, 69),
    ] {
        let (cluster, mut output) = ready().await;
        say(&cluster, &[status; 2]);
        let error = output.deliver(&entries(2), None).await.unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (kind, exit_code));
        cluster.server.mood.lock().unwrap().busy = Some((status, 0));
        let error = output.deliver(&entries(2), None).await.unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (kind, exit_code));
        assert!(!format!("{error:?}").contains(KEY), "{error:?}");
    }
}
