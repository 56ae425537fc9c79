//! What people and monitors may ask: the status page, the metrics, and whether the loop moves.
//!
//! Everything here is for reading, and nothing of it is secret; who may reach the address may see
//! it. Only what was asked for is computed.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use confluence_audit_collector::metrics::Dialect;
use confluence_audit_collector::{Error, ErrorKind, Result};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::listen::Listen;
use crate::liveness::Liveness;
use crate::page;
use crate::view::View;
use crate::watch::{Phase, Watch};

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many connections at a time; more wait.
const CONNECTIONS: usize = 64;

/// The open port, if there is one.
pub(crate) struct Server {
    socket: Option<TcpListener>,
    desk: Desk,
}

/// Who answers.
#[derive(Clone)]
struct Desk {
    watch: Watch,
    liveness: Liveness,
    /// Only this host can reach it: then no name but this host's own leads here.
    is_local: bool,
}

impl Server {
    /// Opens the port. Until the daemon is ready it says so.
    pub(crate) async fn bind(listen: Listen, watch: Watch, liveness: Liveness) -> Result<Self> {
        let (socket, is_local) = match listen {
            Listen::Off => (None, true),
            Listen::At(address) => {
                let socket = TcpListener::bind(address).await;
                let socket = socket.map_err(|error| taken(address, error))?;
                match socket.local_addr() {
                    Ok(address) => tracing::info!("the status page is at http://{address}/"),
                    Err(error) => tracing::debug!("the port is not known: {error}"),
                }
                (Some(socket), address.ip().is_loopback())
            }
        };
        let desk = Desk {
            watch,
            liveness,
            is_local,
        };
        Ok(Self { socket, desk })
    }

    /// Answers for as long as it is polled.
    pub(crate) async fn serve(self) {
        let Some(socket) = self.socket else {
            return;
        };
        let places = std::sync::Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = std::sync::Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match socket.accept().await {
                Ok((stream, _)) => {
                    let desk = self.desk.clone();
                    tokio::spawn(async move {
                        converse(stream, desk).await;
                        drop(place);
                    });
                }
                // Out of descriptors, most likely: others have to close first.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

fn taken(address: SocketAddr, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("the status page cannot be served at {address}"),
        "Another program has the port, or the address is not this host's: name another with \
         --listen, or --listen off.",
    )
    .with_source(error)
}

async fn converse(stream: TcpStream, desk: Desk) {
    let service = service_fn(|request| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    // An error is a client that went away.
    let _ = timeout(3 * PATIENCE, connection).await;
}

type Answer = Response<Full<Bytes>>;

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let host = request.headers().get(HOST);
        if self.is_local && !host.is_some_and(is_this_host) {
            // A page elsewhere could have its own name lead here, and read what we answer.
            return text(
                StatusCode::MISDIRECTED_REQUEST,
                "ask for it as localhost or 127.0.0.1",
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered");
            let allowed = HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(ALLOW, allowed);
            return refusal;
        }
        match request.uri().path() {
            "/" => match View::of(&self.watch).await {
                Ok(view) => {
                    let refreshes = request.uri().query() != Some(page::STILL);
                    answer(page::CONTENT_TYPE, page::html(&view, refreshes))
                }
                Err(error) => failed(&error),
            },
            page::STYLE_PATH => answer("text/css; charset=utf-8", page::STYLE),
            "/metrics" => match View::of(&self.watch).await {
                Ok(view) => {
                    let accept = request.headers().get(ACCEPT);
                    let accept = accept.and_then(|accept| accept.to_str().ok());
                    let dialect = Dialect::accepted(accept.unwrap_or_default());
                    answer(dialect.content_type(), view.figures().text(dialect))
                }
                Err(error) => failed(&error),
            },
            "/healthz" if self.moves().await => text(StatusCode::OK, "the loop moves"),
            "/healthz" => text(StatusCode::SERVICE_UNAVAILABLE, "the loop does not move"),
            "/readyz" => match self.watch.known().phase {
                Phase::Ready => text(StatusCode::OK, "ready"),
                Phase::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting"),
                Phase::Stopping => text(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /, /metrics, /healthz and /readyz",
            ),
        }
    }

    /// Whether the loop answers, and the spool with it. While it starts there is none to ask.
    async fn moves(&self) -> bool {
        if self.watch.known().phase == Phase::Starting {
            return true;
        }
        self.liveness.check().await
    }
}

/// Whether a `Host` names this host as its own users do.
fn is_this_host(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = address.parse().is_ok_and(|it: IpAddr| it.is_loopback());
    name.eq_ignore_ascii_case("localhost") || is_loopback
}

fn failed(error: &Error) -> Answer {
    text(StatusCode::INTERNAL_SERVER_ERROR, &error.chain())
}

fn text(status: StatusCode, line: &str) -> Answer {
    let mut answer = answer("text/plain; charset=utf-8", format!("{line}\n"));
    *answer.status_mut() = status;
    answer
}

fn answer(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in HEADERS {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    response
}

/// No script runs, nothing is fetched but our own style, nobody frames it, nobody keeps it.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_hosts_own_names_lead_here() {
        let here = |host: &'static str| is_this_host(&HeaderValue::from_static(host));
        for name in [
            "localhost",
            "LOCALHOST:9321",
            "127.0.0.1:9321",
            "[::1]:9321",
        ] {
            assert!(here(name), "{name}");
        }
        for name in [
            "evil.example",
            "localhost.evil.example:9321",
            "10.0.0.1",
            "",
        ] {
            assert!(!here(name), "{name}");
        }
    }
}
