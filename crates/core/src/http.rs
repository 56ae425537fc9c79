//! The way out: one HTTP client with limits, and the one retry layer.

pub(crate) mod failure;
pub(crate) mod origin;
pub mod rate_limit;
pub(crate) mod retry;
pub(crate) mod secrets;

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use self::secrets::Secrets;
use crate::{Authenticator, Error, ErrorKind, Origin, RetryPolicy, Runtime, SystemRuntime};
use crate::{Timestamp, printable};

/// The connections, limits and retries that clients share. Clones share them too.
///
/// Proxies are taken from the environment (`HTTPS_PROXY`, `NO_PROXY`), except for a loopback
/// origin, which is always reached directly. Trusted roots are the platform's. Redirects are not
/// followed: a redirect never carries a credential away.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    counters: Counters,
    gate: Option<Arc<dyn Gate>>,
}

/// What is large, or is said once for all.
struct Shared {
    remote: OnceLock<reqwest::Client>,
    local: OnceLock<reqwest::Client>,
    settings: HttpBuilder,
    /// How large bodies are about to be.
    usual_size: AtomicUsize,
    deprecation_noted: AtomicBool,
}

/// Stands before each attempt of a request, and is told what came of it: a rate limit of one's
/// own, and a count by status.
#[async_trait]
pub trait Gate: Send + Sync + fmt::Debug {
    /// Returns when the next attempt may be made.
    async fn pass(&self);

    /// An attempt got an answer with `status`, or none; `asked` is how long the service wants to
    /// be left in peace, where it says so.
    fn answered(&self, status: Option<u16>, asked: Option<Duration>);
}

/// The settings of an [`Http`].
#[derive(Clone, Debug)]
pub struct HttpBuilder {
    runtime: Arc<dyn Runtime>,
    retry: RetryPolicy,
    user_agent: String,
    body_limit: usize,
    connect_timeout: Duration,
    read_timeout: Duration,
    total_timeout: Duration,
}

impl HttpBuilder {
    /// Where time, sleep and randomness come from; the host's by default.
    #[must_use]
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = runtime;
        self
    }

    /// When failed requests are made again.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// What the program calls itself, such as `collector/1.2`.
    #[must_use]
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// The most bytes an answer may hold once decompressed; 64 MiB by default.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// How long one attempt may take: to connect (10 s), between two pieces of the answer (60 s),
    /// and in all (300 s).
    #[must_use]
    pub fn timeouts(mut self, connect: Duration, read: Duration, total: Duration) -> Self {
        (self.connect_timeout, self.read_timeout, self.total_timeout) = (connect, read, total);
        self
    }

    /// Makes the client. Nothing is connected before the first request.
    pub fn build(self) -> Http {
        Http(Arc::new(Inner {
            shared: Arc::new(Shared {
                remote: OnceLock::new(),
                local: OnceLock::new(),
                settings: self,
                usual_size: AtomicUsize::new(0),
                deprecation_noted: AtomicBool::new(false),
            }),
            counters: Counters::default(),
            gate: None,
        }))
    }

    fn client(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.read_timeout)
            .timeout(self.total_timeout)
    }
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
    rate_limited_millis: AtomicU64,
}

/// What has gone over an [`Http`] so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpStats {
    /// Requests made, retries included.
    pub requests: u64,
    /// Of these, the ones made again after a failure.
    pub retries: u64,
    /// Time spent waiting because of the rate limit.
    pub rate_limited: Duration,
}

/// A request without its credential.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) origin: &'a Origin,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) json: Option<Vec<u8>>,
    pub(crate) accept: &'static str,
    /// What in it nobody may read; the credential comes on top.
    pub(crate) secrets: Secrets,
    /// It takes effect once at most: it is not made again once it is known to have arrived.
    pub(crate) once: bool,
}

impl<'a> Request<'a> {
    pub(crate) fn get(origin: &'a Origin, path: &'a str, query: Option<&'a str>) -> Self {
        let method = Method::GET;
        Self {
            method,
            origin,
            path,
            query,
            json: None,
            accept: "application/json",
            secrets: Secrets::default(),
            once: false,
        }
    }

    pub(crate) fn post_json(origin: &'a Origin, path: &'a str, body: Vec<u8>) -> Self {
        let json = Some(body);
        Self {
            method: Method::POST,
            json,
            ..Self::get(origin, path, None)
        }
    }

    /// The request as an error names it: without its query, which can hold what a user typed.
    fn name(&self) -> String {
        format!(
            "{} {}{}",
            self.method,
            self.origin,
            printable(self.path, 300)
        )
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Bytes,
}

impl Answer {
    /// The server's clock when it answered.
    pub fn server_time(&self) -> Option<Timestamp> {
        rate_limit::server_time(&self.headers)
    }

    fn request_id(&self) -> Option<&[u8]> {
        let mut names = ["atl-request-id", "atl-traceid", "x-request-id"].iter();
        let id = names.find_map(|name| self.headers.get(*name))?;
        Some(id.as_bytes())
    }
}

impl Http {
    /// The default settings.
    pub fn builder() -> HttpBuilder {
        HttpBuilder {
            runtime: Arc::new(SystemRuntime),
            retry: RetryPolicy::default(),
            user_agent: concat!("confluence-audit/", env!("CARGO_PKG_VERSION")).into(),
            body_limit: 64 << 20,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(1),
            total_timeout: Duration::from_mins(5),
        }
    }

    /// The same connections, limits and retries behind a gate, with counts of their own: for one
    /// of many sites.
    #[must_use]
    pub fn behind(&self, gate: Arc<dyn Gate>) -> Self {
        Self(Arc::new(Inner {
            shared: Arc::clone(&self.0.shared),
            counters: Counters::default(),
            gate: Some(gate),
        }))
    }

    /// What has gone over it so far, all clones together.
    pub fn stats(&self) -> HttpStats {
        let counters = &self.0.counters;
        HttpStats {
            requests: counters.requests.load(Ordering::Relaxed),
            retries: counters.retries.load(Ordering::Relaxed),
            rate_limited: Duration::from_millis(
                counters.rate_limited_millis.load(Ordering::Relaxed),
            ),
        }
    }

    /// The clock that it goes by, and its sleep and randomness.
    pub fn runtime(&self) -> &dyn Runtime {
        &*self.0.shared.settings.runtime
    }

    /// Makes the request until `read` accepts an answer, the failure is not a passing one, or the
    /// retry policy gives up. `read` decides what an answer means; it sees every status.
    pub(crate) async fn send<T>(
        &self,
        request: Request<'_>,
        auth: Option<&dyn Authenticator>,
        read: impl Fn(&Answer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut attempts = 0;
        let mut waited = Duration::ZERO;
        let mut request_ids = Vec::new();
        let mut refreshed = false;
        loop {
            attempts += 1;
            let headers = match auth {
                Some(auth) => auth.headers(request.origin).await?,
                None => HeaderMap::new(),
            };
            let secrets = request.secrets.clone().and_of(&headers);
            if let Some(gate) = &self.0.gate {
                gate.pass().await;
            }
            let (error, asked) = match self.attempt(&request, headers.clone()).await {
                Err(error) => {
                    self.tell_gate(None, None);
                    (error, None)
                }
                Ok((answer, broken)) => {
                    let wait = rate_limit::wait(&answer.headers, self.runtime().now());
                    self.tell_gate(Some(answer.status.as_u16()), wait);
                    // A refusal is one however its body ends.
                    let broken = broken.filter(|_| answer.status.is_success());
                    let error = match broken.map_or_else(|| read(&answer), Err) {
                        Ok(value) => {
                            self.note_deprecation(&request, &answer);
                            return Ok(value);
                        }
                        Err(error) if secrets.stand_in(&answer.body) => error.withholding_body(),
                        Err(error) => error,
                    };
                    let id = answer.request_id().filter(|id| !secrets.stand_in(id));
                    request_ids.extend(id.map(|id| printable(&String::from_utf8_lossy(id), 100)));
                    (error.with_status(answer.status.as_u16()), wait)
                }
            };
            if error.kind() == ErrorKind::Unauthorized
                && !refreshed
                && let Some(auth) = auth
                && auth.rejected(&headers).await
            {
                refreshed = true;
                self.0.counters.retries.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let policy = &self.0.shared.settings.retry;
            let wait = is_worth_retrying(&error, &request)
                .then(|| policy.wait(attempts, waited, asked, self.runtime().random()))
                .flatten();
            let Some(wait) = wait else {
                return Err(error
                    .at(&request.name())
                    .with_attempts(attempts, request_ids));
            };
            tracing::debug!(
                kind = ?error.kind(), status = error.status(), wait_ms = wait.as_millis(),
                "{} failed and is tried again", request.name()
            );
            self.runtime().sleep(wait).await;
            waited += wait;
            self.0.counters.retries.fetch_add(1, Ordering::Relaxed);
            if error.kind() == ErrorKind::RateLimited {
                let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                self.0
                    .counters
                    .rate_limited_millis
                    .fetch_add(millis, Ordering::Relaxed);
            }
        }
    }

    fn tell_gate(&self, status: Option<u16>, asked: Option<Duration>) {
        if let Some(gate) = &self.0.gate {
            gate.answered(status, asked);
        }
    }

    /// Makes the request once. Of an answer that breaks off or is too large there is what came
    /// until then, and why no more.
    async fn attempt(
        &self,
        request: &Request<'_>,
        headers: HeaderMap,
    ) -> Result<(Answer, Option<Error>), Error> {
        self.0.counters.requests.fetch_add(1, Ordering::Relaxed);
        let url = request.origin.url(request.path, request.query);
        let client = self.client_for(request.origin)?;
        let mut builder = client.request(request.method.clone(), url).headers(headers);
        builder = builder.header(ACCEPT, HeaderValue::from_static(request.accept));
        if let Some(json) = &request.json {
            builder = builder
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(json.clone());
        }
        let mut response = builder.send().await.map_err(|e| {
            let what = if e.is_timeout() {
                "no answer in time"
            } else {
                "no answer"
            };
            Error::new(ErrorKind::Unreachable, what).with_source(e.without_url())
        })?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        // Pages are alike: grown by doubling, a body would take up to twice its size.
        let usual = self.0.shared.usual_size.load(Ordering::Relaxed);
        let mut body = BytesMut::with_capacity(usual);
        let broken = self.read_body(&mut response, &mut body).await.err();
        let size = if body.len() > usual {
            body.len() + body.len() / 16
        } else {
            // After a large answer come small ones, too, which shall not take as much for long.
            usual - usual / 8
        };
        self.0.shared.usual_size.store(size, Ordering::Relaxed);
        let body = if body.capacity() > 2 * body.len() {
            Bytes::copy_from_slice(&body)
        } else {
            body.freeze()
        };
        let answer = Answer {
            status,
            headers,
            body,
        };
        Ok((answer, broken))
    }

    async fn read_body(
        &self,
        response: &mut reqwest::Response,
        body: &mut BytesMut,
    ) -> Result<(), Error> {
        let limit = self.0.shared.settings.body_limit;
        while let Some(piece) = response.chunk().await.map_err(|e| {
            Error::new(ErrorKind::CutBody, "the answer broke off").with_source(e.without_url())
        })? {
            if body.len() + piece.len() > limit {
                let message = format!("the answer is larger than {limit} bytes");
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            body.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// Logs the first announcement that an endpoint is going to change, and no other.
    fn note_deprecation(&self, request: &Request<'_>, answer: &Answer) {
        let warnings = answer.headers.get_all("warning");
        let announced = warnings
            .iter()
            .find(|value| value.as_bytes().starts_with(b"299"));
        if let Some(warning) = announced
            && !self
                .0
                .shared
                .deprecation_noted
                .swap(true, Ordering::Relaxed)
        {
            let text = printable(&String::from_utf8_lossy(warning.as_bytes()), 300);
            tracing::warn!("{} is announced to change: {text}", request.name());
        }
    }

    /// A loopback origin is plain http: a proxy would see the credential, and may not reach it.
    fn client_for(&self, origin: &Origin) -> Result<&reqwest::Client, Error> {
        let inner = &*self.0.shared;
        let local = origin.is_loopback();
        let slot = if local { &inner.local } else { &inner.remote };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let builder = inner.settings.client();
        let builder = if local { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|e| {
            Error::new(ErrorKind::Config, "no HTTP client could be made").with_source(e)
        })?;
        Ok(slot.get_or_init(|| client))
    }
}

/// A 500 is retried where asking twice does no harm, and what works only once is not where the
/// answer shows that it arrived.
fn is_worth_retrying(error: &Error, request: &Request<'_>) -> bool {
    error.is_transient()
        && (error.status() != Some(500) || request.method == Method::GET)
        && !(error.kind() == ErrorKind::CutBody && request.once)
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("settings", &self.0.shared.settings)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
