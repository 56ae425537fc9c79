//! Server of Elasticsearch's `_bulk` requests with injected faults; it takes each id once.

use std::collections::HashSet;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fastrand::Rng;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::error::Result;

/// How often it fails in each way, from 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BulkFaults {
    /// It takes everything, and the answer gets lost.
    pub(crate) lost: f64,
    /// It takes nothing: 503, 429, or no answer.
    pub(crate) refused: f64,
    /// It takes some documents, and has no room for others.
    pub(crate) partial: f64,
}

/// The server, which ends with this value.
pub(crate) struct BulkServer {
    url: String,
    shared: Arc<Mutex<Index>>,
    _runtime: tokio::runtime::Runtime,
}

struct Index {
    rng: Rng,
    faults: BulkFaults,
    ids: HashSet<String>,
    documents: Vec<String>,
    requests: u64,
    conflicts: u64,
    lost: u64,
}

impl BulkServer {
    pub(crate) fn start(seed: u64) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let shared = Arc::new(Mutex::new(Index {
            rng: Rng::with_seed(seed),
            faults: BulkFaults::default(),
            ids: HashSet::new(),
            documents: Vec::new(),
            requests: 0,
            conflicts: 0,
            lost: 0,
        }));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let url = format!("http://{}", listener.local_addr()?);
        let index = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let index = Arc::clone(&index);
                let serve = service_fn(move |request| answer(Arc::clone(&index), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), serve);
                // It ends in an error where an answer is lost, or the client killed.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Ok(Self {
            url,
            shared,
            _runtime: runtime,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn set_faults(&self, faults: BulkFaults) {
        self.with(|index| index.faults = faults);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.with(|index| index.requests)
    }

    /// Every document that it took.
    pub(crate) fn documents(&self) -> Vec<String> {
        self.with(|index| index.documents.clone())
    }

    /// What it has received and done.
    pub(crate) fn summary(&self) -> String {
        self.with(|index| {
            format!(
                "{} requests, {} answers lost, {} documents that were there",
                index.requests, index.lost, index.conflicts
            )
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Index) -> T) -> T {
        // Only a panic in the middle of a request could have poisoned it, and that is printed anyway.
        let mut index = self
            .shared
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        look(&mut index)
    }
}

async fn answer(
    index: Arc<Mutex<Index>>,
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let is_packed = request.headers().contains_key("content-encoding");
    let body = request.into_body().collect().await?.to_bytes();
    let mut text = String::new();
    if is_packed {
        GzDecoder::new(&body[..]).read_to_string(&mut text)?;
    } else {
        text.push_str(std::str::from_utf8(&body)?);
    }
    let mut index = index
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let index = &mut *index;
    let faults = index.faults;
    index.requests += 1;
    if index.happens(faults.refused) {
        let status = [503, 429, 0][index.rng.usize(..3)];
        if status == 0 {
            return Err("no answer".into());
        }
        return Ok(Response::builder()
            .status(status)
            .header("retry-after", "0")
            .body(Full::default())?);
    }
    let partial = index.happens(faults.partial);
    let lines: Vec<&str> = text.lines().collect();
    let mut items = Vec::new();
    for pair in lines.chunks(2) {
        let action: Value = serde_json::from_str(pair[0])?;
        let id = action["create"]["_id"]
            .as_str()
            .ok_or("an action without an id")?;
        let status = if partial && index.rng.usize(..4) == 0 {
            [429, 503][index.rng.usize(..2)]
        } else if index.ids.insert(id.to_owned()) {
            index
                .documents
                .push(pair.get(1).ok_or("no document")?.to_string());
            201
        } else {
            index.conflicts += 1;
            409
        };
        items.push(json!({"create": {"_id": id, "status": status}}));
    }
    if index.happens(faults.lost) {
        index.lost += 1;
        return Err("the answer is lost".into());
    }
    let answer = json!({"errors": true, "items": items}).to_string();
    Ok(Response::new(Full::from(answer)))
}

impl Index {
    fn happens(&mut self, rate: f64) -> bool {
        self.rng.f64() < rate
    }
}
