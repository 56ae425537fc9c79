//! A service over HTTP that does as it is told, for the tests of outputs.

mod destination;

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use url::Url;

use super::conformance::Trouble;

pub(super) use self::destination::{ServiceDestination, output};

/// What the service does with a request that it gets; its answer.
pub(super) trait Handler: Send + 'static {
    fn handle(&mut self, request: &RecordedRequest) -> (u16, Bytes);

    /// The lines that it has taken.
    fn arrived(&self) -> Vec<String>;
}

/// A request with its body, decompressed.
pub(super) struct RecordedRequest {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How the service is.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerMode {
    /// It takes no request.
    pub(super) down: bool,
    /// It takes its time.
    pub(super) slow: Duration,
    /// It answers with this status, and asks to be left in peace for so many seconds.
    pub(super) busy: Option<(u16, u64)>,
    /// So many requests more are done, and their answers lost.
    pub(super) answers_lost: usize,
    /// It takes no longer bodies.
    pub(super) body_limit: Option<usize>,
}

pub(super) struct Server<H> {
    pub(super) url: Url,
    pub(super) handler: Arc<Mutex<H>>,
    pub(super) mood: Arc<Mutex<ServerMode>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl<H> Drop for Server<H> {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl<H: Handler> Server<H> {
    pub(super) async fn start(handler: H) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let handler = Arc::new(Mutex::new(handler));
        let mood = Arc::new(Mutex::new(ServerMode::default()));
        let (h, m) = (Arc::clone(&handler), Arc::clone(&mood));
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (h, m) = (Arc::clone(&h), Arc::clone(&m));
                let serve =
                    service_fn(move |request| answer(Arc::clone(&h), Arc::clone(&m), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), serve);
                // It ends in an error where an answer is lost, as it should.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self {
            url: url.parse().unwrap(),
            handler,
            mood,
            accepting,
        }
    }
}

/// An answer, or none: the connection is closed.
async fn answer<H: Handler>(
    handler: Arc<Mutex<H>>,
    mood: Arc<Mutex<ServerMode>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Lost> {
    let now = mood.lock().unwrap().clone();
    if now.down {
        return Err(Lost);
    }
    let (parts, body) = request.into_parts();
    let mut body = body.collect().await.map_err(|_| Lost)?.to_bytes();
    tokio::time::sleep(now.slow).await;
    if let Some((status, seconds)) = now.busy {
        let answer = Response::builder().status(status);
        let answer = answer.header("retry-after", seconds.to_string());
        return Ok(answer.body("busy".into()).unwrap());
    }
    if parts
        .headers
        .get("content-encoding")
        .is_some_and(|it| it == "gzip")
    {
        let mut plain = Vec::new();
        GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
        body = plain.into();
    }
    if now.body_limit.is_some_and(|limit| body.len() > limit) {
        let answer = Response::builder().status(413);
        return Ok(answer.body("too large".into()).unwrap());
    }
    let asked = RecordedRequest {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body,
    };
    let (status, body) = handler.lock().unwrap().handle(&asked);
    let mut mood = mood.lock().unwrap();
    if mood.answers_lost > 0 {
        mood.answers_lost -= 1;
        return Err(Lost);
    }
    Ok(Response::builder()
        .status(status)
        .body(body.into())
        .unwrap())
}

#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no answer")
    }
}

impl std::error::Error for Lost {}

/// The misbehaviour that the cases ask for.
impl From<Option<Trouble>> for ServerMode {
    fn from(trouble: Option<Trouble>) -> Self {
        let mut mood = Self::default();
        match trouble {
            None => {}
            Some(Trouble::Down) => mood.down = true,
            Some(Trouble::Slow) => mood.slow = Duration::from_millis(30),
            Some(Trouble::Busy) => mood.busy = Some((503, 1)),
            Some(Trouble::LosesAnswer) => mood.answers_lost = 1,
        }
        mood
    }
}
