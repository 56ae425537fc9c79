//! The HTTP client of an output: one request at a time over core's transport, and what a response
//! means.
//!
//! What the service says is not trusted: it is capped, made printable, and withheld where it holds
//! a credential of ours.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use confluence_audit_core::{
    Runtime, Secrets, SystemRuntime, Transport, TransportError, TransportOptions, printable,
    rate_limit,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::config::{HeaderConfig, ServiceConfig};
use super::dead_letter::Refusal;
use crate::credentials::secret;
use crate::output::kind::OutputContext;
use crate::{Error, ErrorKind, Result};

/// A connection that is not made by then will not be.
const CONNECT: Duration = Duration::from_secs(10);

/// The most of a response that is read. What a batch of thousands comes to stays below.
const RESPONSE: usize = 16 << 20;

/// No certificate authority is longer.
const CA_FILE: u64 = 1 << 20;

/// A service that records are sent to.
pub(crate) struct HttpClient {
    config: ServiceConfig,
    headers: Vec<(HeaderName, HeaderConfig)>,
    credentials_dir: Option<PathBuf>,
    ready: Option<Ready>,
}

/// What making it ready has read.
struct Ready {
    transport: Transport,
    headers: HeaderMap,
    secrets: Secrets,
}

/// One request, but for what every request has.
pub(in crate::output) struct Request<'a> {
    pub(in crate::output) method: Method,
    pub(in crate::output) url: Url,
    pub(in crate::output) content_type: &'a str,
    pub(in crate::output) headers: HeaderMap,
    pub(in crate::output) body: Vec<u8>,
}

impl<'a> Request<'a> {
    pub(in crate::output) fn post(url: Url, content_type: &'a str, body: Vec<u8>) -> Self {
        Self {
            method: Method::POST,
            url,
            content_type,
            headers: HeaderMap::new(),
            body,
        }
    }

    pub(in crate::output) fn get(url: Url) -> Self {
        let method = Method::GET;
        Self {
            method,
            ..Self::post(url, "", Vec::new())
        }
    }
}

/// A response, whatever its status.
pub(in crate::output) struct Response {
    pub(in crate::output) status: StatusCode,
    pub(in crate::output) body: Bytes,
    /// How long the service asks to wait before the next request.
    pub(in crate::output) retry_after: Option<Duration>,
    /// What was asked, to be named in errors.
    request: String,
    holds_a_secret: bool,
}

impl HttpClient {
    /// The service, with the headers that every request to it has. Nothing is read yet.
    pub(in crate::output) fn new(
        config: &ServiceConfig,
        headers: Vec<(HeaderName, HeaderConfig)>,
        context: &OutputContext,
    ) -> Self {
        Self {
            config: config.clone(),
            headers,
            credentials_dir: context.credentials_dir.clone(),
            ready: None,
        }
    }

    /// How it is configured.
    pub(crate) fn config(&self) -> &ServiceConfig {
        &self.config
    }

    /// An address below that of the service.
    pub(in crate::output) fn url(&self, path: &str) -> Url {
        let mut url = self.config.url.clone();
        let base = url.path().trim_end_matches('/');
        url.set_path(&format!("{base}/{path}"));
        url
    }

    /// Reads its secrets and its certificate authority anew.
    pub(in crate::output) async fn prepare(&mut self) -> Result<()> {
        let (config, headers) = (self.config.clone(), self.headers.clone());
        let dir = self.credentials_dir.clone();
        let reading = move || Ready::read(&config, &headers, dir.as_deref());
        let read = tokio::task::spawn_blocking(reading).await;
        let read = read.map_err(|e| Error::internal("reading a secret panicked").with_source(e))?;
        self.ready = Some(read?);
        Ok(())
    }

    /// Makes the request once.
    pub(in crate::output) async fn send(&self, request: Request<'_>) -> Result<Response> {
        let ready = self.ready.as_ref();
        let ready = ready.ok_or_else(|| Error::internal("an output was not made ready"))?;
        let name = name(&request.method, &request.url);
        let mut headers = ready.headers.clone();
        headers.extend(request.headers);
        let mut body = None;
        if !request.content_type.is_empty() {
            let content_type = HeaderValue::from_str(request.content_type)
                .map_err(|error| Error::internal("a content type is none").with_source(error))?;
            headers.append(CONTENT_TYPE, content_type);
            body = Some(if self.config.gzip && !request.body.is_empty() {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                compressed(&request.body)?
            } else {
                request.body
            });
        }
        let sent = ready
            .transport
            .send(request.method, request.url, headers, body);
        let (response, ended) = sent.await.map_err(|error| unreachable(&name, error))?;
        match ended {
            Err(error @ TransportError::TooLarge(_)) => {
                let message = format!("{name}: {error}");
                let remedy = "This is hardly the service that is meant: see to `url`.";
                return Err(Error::new(ErrorKind::OutputUnavailable, message, remedy));
            }
            // A refusal is one however its body ends.
            Err(error) if response.status.is_success() => return Err(unreachable(&name, error)),
            _ => {}
        }
        Ok(Response {
            status: response.status,
            retry_after: rate_limit::wait(&response.headers, SystemRuntime.now()),
            request: name,
            holds_a_secret: ready.secrets.stand_in(&response.body),
            body: response.body,
        })
    }
}

impl Ready {
    fn read(
        config: &ServiceConfig,
        given: &[(HeaderName, HeaderConfig)],
        credentials_dir: Option<&Path>,
    ) -> Result<Self> {
        let mut headers = HeaderMap::new();
        let mut secrets = Secrets::default();
        for (name, value) in given {
            let mut secret = |path| -> Result<SecretString> {
                let secret = secret::read(path, credentials_dir)?;
                secrets.push(secret.clone());
                Ok(secret)
            };
            let text: SecretString = match value {
                HeaderConfig::Literal(text) => text.as_str().into(),
                HeaderConfig::File { prefix, path } => {
                    format!("{prefix}{}", secret(path)?.expose_secret()).into()
                }
                HeaderConfig::Basic {
                    username,
                    password_file,
                } => {
                    let password = secret(password_file)?;
                    let pair: SecretString =
                        format!("{username}:{}", password.expose_secret()).into();
                    let encoded: SecretString = BASE64_STANDARD.encode(pair.expose_secret()).into();
                    let header = format!("Basic {}", encoded.expose_secret()).into();
                    secrets.push(encoded);
                    header
                }
            };
            let mut header = HeaderValue::from_str(text.expose_secret()).map_err(|_| {
                let message = format!("the header {name} would hold what no header can hold");
                let remedy = "Store the secret itself, in plain ASCII, as it was shown when it \
                     was made.";
                Error::new(ErrorKind::Credentials, message, remedy)
            })?;
            header.set_sensitive(!matches!(value, HeaderConfig::Literal(_)));
            headers.append(name.clone(), header);
        }
        Ok(Self {
            transport: transport(config)?,
            secrets: secrets.with_headers(&headers),
            headers,
        })
    }
}

fn transport(config: &ServiceConfig) -> Result<Transport> {
    let mut options = TransportOptions::default();
    options.connect_timeout = CONNECT.min(config.timeout);
    options.read_timeout = config.timeout;
    options.total_timeout = config.timeout;
    options.body_limit = RESPONSE;
    // This host itself: a proxy would see the credential, and may not reach it.
    options.proxy = config.url.scheme() != "http";
    let unusable = |what: &str| {
        let path = config.ca_file.as_deref().unwrap_or(Path::new(""));
        let message = format!("the certificate authority {} {what}", path.display());
        let remedy = "Name a file with one or more certificates in PEM, which the collecting user \
             can read.";
        Error::new(ErrorKind::Config, message, remedy)
    };
    if let Some(path) = &config.ca_file {
        let mut pem = Vec::new();
        File::open(path)
            .and_then(|file| file.take(CA_FILE).read_to_end(&mut pem))
            .map_err(|error| unusable("cannot be read").with_source(error))?;
        options.authorities = Some(pem);
    }
    Transport::new(&options).map_err(|error| {
        let failed = match error {
            TransportError::NotPem(_) => unusable("is not PEM"),
            TransportError::NoCertificate => unusable("holds no certificate"),
            _ => Error::new(
                ErrorKind::Config,
                "no HTTP client could be made for an output",
                "See to `ca_file` and the proxy settings.",
            ),
        };
        with_cause(failed, error)
    })
}

/// The error, with what lies below that of the transport.
fn with_cause(error: Error, transport: TransportError) -> Error {
    match transport.into_cause() {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}

impl Response {
    /// What the service says, safe to look at.
    pub(in crate::output) fn text(&self) -> String {
        self.quote(&String::from_utf8_lossy(&self.body))
    }

    /// A part of what it says, likewise.
    pub(in crate::output) fn quote(&self, text: &str) -> String {
        if self.holds_a_secret {
            return "(withheld: the answer holds the credential)".to_owned();
        }
        printable(text.trim(), 500)
    }

    /// Whether it is a page of HTML, such as a gateway's sign-in page: whatever its status, the
    /// service that was meant has not answered.
    pub(in crate::output) fn is_html(&self) -> bool {
        let begin = self.body.trim_ascii_start();
        let is = |word: &[u8]| {
            begin
                .get(..word.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(word))
        };
        is(b"<!doctype html") || is(b"<html")
    }

    /// An error about this response.
    pub(in crate::output) fn error(
        &self,
        kind: ErrorKind,
        what: &str,
        remedy: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Error {
        Error::new(kind, format!("{} {what}", self.request), remedy)
            .with_retry_after(self.retry_after)
    }

    /// That it refused what it was given, as a whole.
    pub(in crate::output) fn refusal(&self) -> Refusal {
        Refusal {
            status: self.status.as_u16(),
            reason: self.text(),
            doubtful: false,
        }
    }

    /// What a status means that is no success and says nothing of a single record.
    pub(in crate::output) fn failure(&self) -> Error {
        let status = self.status.as_u16();
        let what = match self.text() {
            text if text.is_empty() => format!("answered {status}"),
            text => format!("answered {status}: {text}"),
        };
        match status {
            401 | 403 | 407 => self.error(
                ErrorKind::Credentials,
                &what,
                "See to this output's credentials, and whether they may write there.",
            ),
            408 | 425 | 429 | 500.. => self.error(
                ErrorKind::OutputUnavailable,
                &what,
                "Nothing is lost: its backlog waits in the spool. See to the service.",
            ),
            300..=399 => self.error(
                ErrorKind::OutputCreate,
                &what,
                "Redirects are not followed, so that a credential goes nowhere else: write the \
                 address that it leads to.",
            ),
            200..=299 => self.error(
                ErrorKind::OutputUnavailable,
                &format!("gave an answer that cannot be understood: {}", self.text()),
                "This is hardly the service that is meant: see to `url`.",
            ),
            _ => self.error(
                ErrorKind::OutputCreate,
                &what,
                "See to this output's address and what it needs to be there.",
            ),
        }
    }
}

/// The request as an error names it: without a query, which can hold what nobody should read.
fn name(method: &Method, url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    format!("{method} {origin}{}", printable(url.path(), 300))
}

fn unreachable(name: &str, error: TransportError) -> Error {
    let what = match error {
        TransportError::NoResponse {
            timed_out: true, ..
        }
        | TransportError::CutBody {
            timed_out: true, ..
        } => "got no answer in time",
        _ => "got no answer",
    };
    let failed = Error::new(
        ErrorKind::OutputUnavailable,
        format!("{name} {what}"),
        "Nothing is lost: its backlog waits in the spool. See whether the service runs, whether \
         it can be reached from here, and whether its certificate is trusted (`ca_file`).",
    );
    with_cause(failed, error)
}

fn compressed(body: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    let done = encoder.write_all(body).and_then(|()| encoder.finish());
    done.map_err(|error| Error::internal("compressing a request failed").with_source(error))
}
