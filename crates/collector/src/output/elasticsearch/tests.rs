//! The promises of the Elasticsearch output, at a cluster of our own that does as it is told.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::config::PeerConfig;
use crate::output::conformance::{self, POISON, Place, Promise, Trouble};
use crate::output::server::{Asked, Handler, Server};
use crate::output::{DeadLetters, Output, OutputName, Service};

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
    fn handle(&mut self, asked: &Asked) -> (u16, String) {
        if asked.uri.path() == "/" {
            return (200, json!({"version": {"number": "8.11.0"}}).to_string());
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
        (200, json!({"errors": true, "items": items}).to_string())
    }
}

struct Cluster {
    server: Server<Index>,
    dir: TempDir,
    gzip: bool,
}

impl Cluster {
    async fn new() -> Self {
        Self {
            server: Server::start(Index::default()).await,
            dir: tempfile::tempdir().unwrap(),
            gzip: true,
        }
    }

    fn letters(&self) -> Vec<String> {
        let dir = self.dir.path().join("dead-letters");
        let Ok(files) = std::fs::read_dir(dir) else {
            return Vec::new();
        };
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let text: String = files.map(|file| read(&file.unwrap().path())).collect();
        text.lines().map(str::to_owned).collect()
    }
}

#[async_trait]
impl Place for Cluster {
    fn output(&self) -> Box<dyn Output> {
        let config = ElasticsearchConfig {
            peer: PeerConfig {
                timeout: Duration::from_secs(5),
                gzip: self.gzip,
                ..PeerConfig::new(self.server.url.clone())
            },
            index: "logs-audit".to_owned(),
            authorization: None,
        };
        let surroundings = Surroundings {
            state_dir: self.dir.path().to_owned(),
            credentials_dir: None,
        };
        let name = OutputName::new("elasticsearch:http://es.example/logs-audit");
        let letters = DeadLetters::in_state_dir(&name, self.dir.path());
        let protocol = Elasticsearch::new(&config, &surroundings);
        Box::new(Service::new(name, protocol, letters, 1 << 20))
    }

    async fn arrived(&mut self) -> Vec<String> {
        let index = self.server.handler.lock().unwrap();
        let documents = index.documents.iter();
        documents.map(|(_, line)| line.clone()).collect()
    }

    fn troubles(&self) -> &'static [Trouble] {
        &[
            Trouble::Down,
            Trouble::Slow,
            Trouble::Busy,
            Trouble::LosesAnswer,
        ]
    }

    async fn set_trouble(&mut self, trouble: Option<Trouble>) {
        *self.server.mood.lock().unwrap() = trouble.into();
    }

    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    fn dead_letters(&self) -> Option<Vec<String>> {
        Some(self.letters())
    }

    fn longest_line(&self) -> Option<usize> {
        // The server's limit, below, is for a whole body.
        self.server.mood.lock().unwrap().body_limit
    }
}

#[tokio::test]
async fn it_conforms() {
    conformance::run(async || {
        let cluster = Cluster::new().await;
        cluster.server.mood.lock().unwrap().body_limit = Some(100_000);
        cluster
    })
    .await;
}

#[tokio::test]
async fn it_conforms_without_compression_and_without_a_limit() {
    conformance::run(async || Cluster {
        gzip: false,
        ..Cluster::new().await
    })
    .await;
}
