//! Connections over HTTP: one exchange at a time, which follows no redirect and repeats nothing,
//! with a response that is read up to a bound.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::http::rate_limit;
use crate::time::Timestamp;

/// How connections are made, and the bounds of an exchange.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransportOptions {
    /// What the program calls itself, such as `collector/1.2`.
    pub user_agent: String,
    /// How long it may take to connect: 10 s.
    pub connect_timeout: Duration,
    /// How long it may take from one piece of a response to the next: 60 s.
    pub read_timeout: Duration,
    /// How long the exchange may take in all: 300 s.
    pub total_timeout: Duration,
    /// The most bytes that a body may hold once decompressed: 64 MiB.
    pub body_limit: usize,
    /// Whether the proxies that the environment names are used: yes.
    pub proxy: bool,
    /// Certificate authorities in PEM that are trusted instead of the platform's.
    pub authorities: Option<Vec<u8>>,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("confluence-audit/", env!("CARGO_PKG_VERSION")).into(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(1),
            total_timeout: Duration::from_mins(5),
            body_limit: 64 << 20,
            proxy: true,
            authorities: None,
        }
    }
}

/// Connections to whatever is asked, kept open between exchanges.
///
/// Redirects are not followed, so that a credential goes nowhere else, and nothing is retried.
#[derive(Debug)]
pub struct Transport {
    client: reqwest::Client,
    body_limit: usize,
    /// How large bodies are about to be.
    usual_size: AtomicUsize,
}

/// Why there are no connections, no response, or only a part of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The certificate authorities are not PEM.
    #[error("the certificate authorities are not PEM")]
    NotPem(#[source] Source),
    /// There is no certificate among the certificate authorities.
    #[error("there is no certificate among the certificate authorities")]
    NoCertificate,
    /// No client could be made of the options and the environment.
    #[error("no HTTP client could be made")]
    NoClient(#[source] Source),
    /// There was no response: name not found, connection refused or reset, TLS failed, or time ran
    /// out.
    #[error("no answer{}", if *timed_out { " in time" } else { "" })]
    NoResponse {
        /// Whether time ran out.
        timed_out: bool,
        /// What happened.
        source: Source,
    },
    /// The body ended before it was complete.
    #[error("the answer broke off")]
    CutBody {
        /// Whether time ran out.
        timed_out: bool,
        /// What happened.
        source: Source,
    },
    /// The body is larger than the limit.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// What lies below; the address that was asked is not in it.
type Source = Box<dyn StdError + Send + Sync>;

impl TransportError {
    /// What lies below this error, without this layer.
    pub fn into_cause(self) -> Option<Source> {
        match self {
            Self::NotPem(source)
            | Self::NoClient(source)
            | Self::NoResponse { source, .. }
            | Self::CutBody { source, .. } => Some(source),
            Self::NoCertificate | Self::TooLarge(_) => None,
        }
    }
}

/// A response, whatever its status.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Bytes,
}

impl Response {
    /// The server's clock when it answered.
    pub fn server_time(&self) -> Option<Timestamp> {
        rate_limit::server_time(&self.headers)
    }

    /// What the service calls the exchange.
    pub(crate) fn request_id(&self) -> Option<&[u8]> {
        let mut names = ["atl-request-id", "atl-traceid", "x-request-id"].iter();
        let id = names.find_map(|name| self.headers.get(*name))?;
        Some(id.as_bytes())
    }
}

impl Transport {
    /// Makes a client. Nothing is connected before the first request.
    ///
    /// # Errors
    /// [`TransportError::NotPem`] and [`TransportError::NoCertificate`] about the authorities,
    /// [`TransportError::NoClient`] about everything else.
    pub fn new(options: &TransportOptions) -> Result<Self, TransportError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(&options.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .timeout(options.total_timeout);
        if !options.proxy {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &options.authorities {
            let authorities = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| TransportError::NotPem(error.into()))?;
            if authorities.is_empty() {
                return Err(TransportError::NoCertificate);
            }
            builder = builder.tls_certs_only(authorities);
        }
        let client = builder.build();
        Ok(Self {
            client: client.map_err(|error| TransportError::NoClient(error.into()))?,
            body_limit: options.body_limit,
            usual_size: AtomicUsize::new(0),
        })
    }

    /// Makes one request. Of a response whose body breaks off or is too large there is what came
    /// until then, and why no more.
    ///
    /// # Errors
    /// [`TransportError::NoResponse`].
    pub async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<(Response, Result<(), TransportError>), TransportError> {
        let mut request = self.client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let sent = request.send().await;
        let mut response = sent.map_err(|error| TransportError::NoResponse {
            timed_out: error.is_timeout(),
            source: error.without_url().into(),
        })?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        // Bodies are alike: grown by doubling, one would take up to twice its size.
        let usual = self.usual_size.load(Ordering::Relaxed);
        let mut body = BytesMut::with_capacity(usual);
        let ended = self.read_body(&mut response, &mut body).await;
        let size = if body.len() > usual {
            body.len() + body.len() / 16
        } else {
            // After a large body come small ones, too, which shall not take as much for long.
            usual - usual / 8
        };
        self.usual_size.store(size, Ordering::Relaxed);
        let body = if body.capacity() > 2 * body.len() {
            Bytes::copy_from_slice(&body)
        } else {
            body.freeze()
        };
        let response = Response {
            status,
            headers,
            body,
        };
        Ok((response, ended))
    }

    async fn read_body(
        &self,
        response: &mut reqwest::Response,
        body: &mut BytesMut,
    ) -> Result<(), TransportError> {
        let broke_off = |error: reqwest::Error| TransportError::CutBody {
            timed_out: error.is_timeout(),
            source: error.without_url().into(),
        };
        while let Some(piece) = response.chunk().await.map_err(broke_off)? {
            if body.len() + piece.len() > self.body_limit {
                return Err(TransportError::TooLarge(self.body_limit));
            }
            body.extend_from_slice(&piece);
        }
        Ok(())
    }
}
