//! The HTTP client of the API: credentials, rate limits and the one retry loop.

pub(crate) mod authenticator;
pub(crate) mod failure;
pub(crate) mod origin;
pub mod rate_limit;
pub(crate) mod retry;
pub(crate) mod secrets;
pub(crate) mod transport;

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use self::authenticator::Authenticator;
use self::origin::Origin;
use self::retry::RetryPolicy;
use self::secrets::Secrets;
use self::transport::{Response, Transport, TransportError, TransportOptions};
use crate::error::{Error, ErrorKind};
use crate::printable::printable;
use crate::runtime::{Runtime, SystemRuntime};

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
    remote: OnceLock<Transport>,
    local: OnceLock<Transport>,
    settings: HttpBuilder,
    deprecation_noted: AtomicBool,
}

/// Admits each attempt of a request and learns its status: for a rate limit of one's own, and to
/// count requests by status.
#[async_trait]
pub trait Gate: Send + Sync + fmt::Debug {
    /// Returns when the next attempt may be made.
    async fn pass(&self);

    /// An attempt got a response with `status`, or none; `retry_after` is how long the service asks
    /// to wait before the next request, where it does.
    fn answered(&self, status: Option<u16>, retry_after: Option<Duration>);

    /// The next attempt was put off for so long because of the service's rate limit.
    fn rate_limited(&self, _wait: Duration) {}
}

/// The settings of an [`Http`].
#[derive(Clone, Debug)]
pub struct HttpBuilder {
    runtime: Arc<dyn Runtime>,
    retry: RetryPolicy,
    transport: TransportOptions,
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
        self.transport.user_agent = name.into();
        self
    }

    /// The most bytes an answer may hold once decompressed; 64 MiB by default.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.transport.body_limit = bytes;
        self
    }

    /// How long one attempt may take: to connect (10 s), between two pieces of the answer (60 s),
    /// and in all (300 s).
    #[must_use]
    pub fn timeouts(mut self, connect: Duration, read: Duration, total: Duration) -> Self {
        self.transport.connect_timeout = connect;
        self.transport.read_timeout = read;
        self.transport.total_timeout = total;
        self
    }

    /// Makes the client. Nothing is connected before the first request.
    pub fn build(self) -> Http {
        Http(Arc::new(Inner {
            shared: Arc::new(Shared {
                remote: OnceLock::new(),
                local: OnceLock::new(),
                settings: self,
                deprecation_noted: AtomicBool::new(false),
            }),
            counters: Counters::default(),
            gate: None,
        }))
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

impl Http {
    /// The default settings.
    pub fn builder() -> HttpBuilder {
        HttpBuilder {
            runtime: Arc::new(SystemRuntime),
            retry: RetryPolicy::default(),
            transport: TransportOptions::default(),
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
        read: impl Fn(&Response) -> Result<T, Error>,
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
            let secrets = request.secrets.clone().with_headers(&headers);
            if let Some(gate) = &self.0.gate {
                gate.pass().await;
            }
            let (error, asked) = match self.attempt(&request, headers.clone()).await {
                Err(error) => {
                    self.tell_gate(None, None);
                    (error, None)
                }
                Ok((response, ended)) => {
                    let status = response.status;
                    let wait = rate_limit::wait(&response.headers, self.runtime().now());
                    self.tell_gate(Some(status.as_u16()), wait);
                    let value = match ended {
                        Err(error) if status.is_success() => Err(failed(error)),
                        // A refusal is one however its body ends.
                        _ => read(&response),
                    };
                    let error = match value {
                        Ok(value) => {
                            self.note_deprecation(&request, &response);
                            return Ok(value);
                        }
                        Err(error) if secrets.stand_in(&response.body) => error.withholding_body(),
                        Err(error) => error,
                    };
                    let id = response.request_id().filter(|id| !secrets.stand_in(id));
                    request_ids.extend(id.map(|id| printable(&String::from_utf8_lossy(id), 100)));
                    (error.with_status(status.as_u16()), wait)
                }
            };
            // Gateways answer a token that ended early with either.
            let is_refused = matches!(
                error.kind(),
                ErrorKind::Unauthorized | ErrorKind::NotPermitted
            );
            if is_refused
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
                if let Some(gate) = &self.0.gate {
                    gate.rate_limited(wait);
                }
            }
        }
    }

    fn tell_gate(&self, status: Option<u16>, retry_after: Option<Duration>) {
        if let Some(gate) = &self.0.gate {
            gate.answered(status, retry_after);
        }
    }

    /// Makes the request once. Of a response that breaks off or is too large there is what came
    /// until then, and why no more.
    async fn attempt(
        &self,
        request: &Request<'_>,
        mut headers: HeaderMap,
    ) -> Result<(Response, Result<(), TransportError>), Error> {
        self.0.counters.requests.fetch_add(1, Ordering::Relaxed);
        headers.append(ACCEPT, HeaderValue::from_static(request.accept));
        if request.json.is_some() {
            headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let url = request.origin.url(request.path, request.query);
        let transport = self.transport_for(request.origin).map_err(failed)?;
        let sent = transport.send(request.method.clone(), url, headers, request.json.clone());
        sent.await.map_err(failed)
    }

    /// Logs the first announcement that an endpoint is going to change, and no other.
    fn note_deprecation(&self, request: &Request<'_>, response: &Response) {
        let warnings = response.headers.get_all("warning");
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
    fn transport_for(&self, origin: &Origin) -> Result<&Transport, TransportError> {
        let inner = &*self.0.shared;
        let local = origin.is_loopback();
        let slot = if local { &inner.local } else { &inner.remote };
        if let Some(transport) = slot.get() {
            return Ok(transport);
        }
        let mut options = inner.settings.transport.clone();
        options.proxy = !local;
        let transport = Transport::new(&options)?;
        Ok(slot.get_or_init(|| transport))
    }
}

/// What a failure of the transport means here.
fn failed(error: TransportError) -> Error {
    let kind = match &error {
        TransportError::NoResponse { .. } => ErrorKind::Unreachable,
        TransportError::CutBody { .. } => ErrorKind::CutBody,
        TransportError::TooLarge(_) => ErrorKind::TooLarge,
        TransportError::NotPem(_) | TransportError::NoCertificate | TransportError::NoClient(_) => {
            ErrorKind::Config
        }
    };
    let failed = Error::new(kind, error.to_string());
    match error.into_cause() {
        Some(cause) => failed.with_source(cause),
        None => failed,
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
