//! A service over HTTP: one request at a time, within limits, and what its answer means.
//!
//! What the service says is a stranger's word: it is capped, made printable, and withheld where it
//! holds a credential of ours.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use confluence_audit_core::{Runtime, SystemRuntime, printable, rate_limit};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::dead_letter::Refusal;
use crate::config::{HeaderConfig, PeerConfig};
use crate::credentials::secret;
use crate::delivery::OutputContext;
use crate::{Error, ErrorKind, Result};

/// A connection that is not made by then will not be.
const CONNECT: Duration = Duration::from_secs(10);

/// The most of an answer that is looked at. What a batch of thousands comes to stays below.
const ANSWER: usize = 16 << 20;

/// No certificate authority is longer.
const CA_FILE: u64 = 1 << 20;

/// A service that records are sent to.
pub(crate) struct HttpClient {
    config: PeerConfig,
    headers: Vec<(HeaderName, HeaderConfig)>,
    credentials_dir: Option<PathBuf>,
    ready: Option<Ready>,
}

/// What making it ready has read.
struct Ready {
    client: reqwest::Client,
    headers: HeaderMap,
    secrets: Vec<SecretString>,
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

/// An answer, whatever its status.
pub(in crate::output) struct Answer {
    pub(in crate::output) status: StatusCode,
    pub(in crate::output) body: Bytes,
    /// How long the service asks to be left in peace.
    pub(in crate::output) retry_after: Option<Duration>,
    /// What was asked, to be named in errors.
    request: String,
    holds_a_secret: bool,
}

impl HttpClient {
    /// The service, with the headers that every request to it has. Nothing is read yet.
    pub(in crate::output) fn new(
        config: &PeerConfig,
        headers: Vec<(HeaderName, HeaderConfig)>,
        surroundings: &OutputContext,
    ) -> Self {
        Self {
            config: config.clone(),
            headers,
            credentials_dir: surroundings.credentials_dir.clone(),
            ready: None,
        }
    }

    /// How it is configured.
    pub(crate) fn config(&self) -> &PeerConfig {
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
    pub(in crate::output) async fn send(&self, request: Request<'_>) -> Result<Answer> {
        let ready = self.ready.as_ref();
        let ready = ready.ok_or_else(|| Error::internal("an output was not made ready"))?;
        let name = name(&request.method, &request.url);
        let mut builder = ready.client.request(request.method, request.url);
        builder = builder
            .headers(ready.headers.clone())
            .headers(request.headers);
        if !request.content_type.is_empty() {
            builder = builder.header(CONTENT_TYPE, request.content_type);
            builder = if self.config.gzip && !request.body.is_empty() {
                let body = compressed(&request.body)?;
                builder.header(CONTENT_ENCODING, "gzip").body(body)
            } else {
                builder.body(request.body)
            };
        }
        let mut response = builder.send().await.map_err(|e| unreachable(&name, e))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = BytesMut::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if body.len() + piece.len() > ANSWER => {
                    let message = format!("{name}: the answer is larger than {ANSWER} bytes");
                    let remedy = "This is hardly the service that is meant: see to `url`.";
                    return Err(Error::new(ErrorKind::OutputUnavailable, message, remedy));
                }
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break,
                // A refusal is one however its body ends.
                Err(_) if !status.is_success() => break,
                Err(error) => return Err(unreachable(&name, error)),
            }
        }
        let holds = |secret: &SecretString| {
            memchr::memmem::find(&body, secret.expose_secret().as_bytes()).is_some()
        };
        Ok(Answer {
            status,
            retry_after: rate_limit::wait(&headers, SystemRuntime.now()),
            request: name,
            holds_a_secret: ready.secrets.iter().any(holds),
            body: body.freeze(),
        })
    }
}

impl Ready {
    fn read(
        config: &PeerConfig,
        given: &[(HeaderName, HeaderConfig)],
        credentials_dir: Option<&Path>,
    ) -> Result<Self> {
        let mut headers = HeaderMap::new();
        let mut secrets = Vec::new();
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
            client: client(config)?,
            headers,
            secrets,
        })
    }
}

fn client(config: &PeerConfig) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("confluence-audit/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(CONNECT.min(config.timeout))
        .timeout(config.timeout);
    if config.url.scheme() == "http" {
        // This host itself: a proxy would see the credential, and may not reach it.
        builder = builder.no_proxy();
    }
    if let Some(path) = &config.ca_file {
        let unusable = |what: &str| {
            let message = format!("the certificate authority {} {what}", path.display());
            let remedy = "Name a file with one or more certificates in PEM, which the collecting \
                 user can read.";
            Error::new(ErrorKind::Config, message, remedy)
        };
        let mut pem = Vec::new();
        File::open(path)
            .and_then(|file| file.take(CA_FILE).read_to_end(&mut pem))
            .map_err(|error| unusable("cannot be read").with_source(error))?;
        let authorities = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|error| unusable("is not PEM").with_source(error))?;
        if authorities.is_empty() {
            return Err(unusable("holds no certificate"));
        }
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().map_err(|error| {
        let message = "no HTTP client could be made for an output";
        Error::new(
            ErrorKind::Config,
            message,
            "See to `ca_file` and the proxy settings.",
        )
        .with_source(error)
    })
}

impl Answer {
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

    /// An error about this answer.
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
                "Nothing is lost: what it lacks waits in the spool. See to the service.",
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

fn unreachable(name: &str, error: reqwest::Error) -> Error {
    let what = if error.is_timeout() {
        "got no answer in time"
    } else {
        "got no answer"
    };
    Error::new(
        ErrorKind::OutputUnavailable,
        format!("{name} {what}"),
        "Nothing is lost: what it lacks waits in the spool. See whether the service runs, whether \
         it can be reached from here, and whether its certificate is trusted (`ca_file`).",
    )
    .with_source(error.without_url())
}

fn compressed(body: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    let done = encoder.write_all(body).and_then(|()| encoder.finish());
    done.map_err(|error| Error::internal("compressing a request failed").with_source(error))
}
