//! HTTP side of the daemon: the status page, metrics, liveness and readiness.
//!
//! Everything here is for reading, and nothing of it is secret; who may reach the address may see
//! it. Only what was asked for is computed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use confluence_audit_collector::http_server::{Server, Timeouts};
use confluence_audit_collector::metrics::Dialect;
use confluence_audit_collector::{Error, ErrorKind, Result};
use tokio::net::TcpListener;

use crate::listen::Listen;
use crate::liveness::Liveness;
use crate::page;
use crate::view::View;
use crate::watch::{Phase, Watch};

/// How long a client may take to say what it wants, and to take the answer.
const TIMEOUTS: Timeouts = Timeouts {
    headers: Duration::from_secs(10),
    connection: Duration::from_secs(30),
};

/// No script runs, nothing is fetched but our own style, and nobody frames it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; \
                                       form-action 'none'; frame-ancestors 'none'";

/// Opens the port, if there shall be one. Until the daemon is ready it says so.
pub(crate) async fn bind(listen: Listen, watch: Watch, liveness: Liveness) -> Result<Server> {
    let mut sockets = Vec::new();
    let mut is_local = true;
    if let Listen::At(address) = listen {
        let socket = TcpListener::bind(address).await;
        let socket = socket.map_err(|error| taken(address, error))?;
        match socket.local_addr() {
            Ok(address) => tracing::info!("the status page is at http://{address}/"),
            Err(error) => tracing::debug!("the port is not known: {error}"),
        }
        sockets.push(socket);
        is_local = address.ip().is_loopback();
    }
    let router = router(Handler {
        watch,
        liveness,
        is_local,
    });
    Ok(Server::new(
        sockets,
        router,
        CONTENT_SECURITY_POLICY,
        TIMEOUTS,
    ))
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

/// What the answers are made from.
#[derive(Clone)]
struct Handler {
    watch: Watch,
    liveness: Liveness,
    /// Only this host can reach it: then no name but this host's own leads here.
    is_local: bool,
}

impl Handler {
    /// The present, or why it cannot be seen.
    async fn view(&self) -> Result<View, Text> {
        let view = View::of(&self.watch).await;
        view.map_err(|error| text(StatusCode::INTERNAL_SERVER_ERROR, &error.chain()))
    }
}

fn router(handler: Handler) -> Router {
    Router::new()
        .route("/", get(status_page))
        .route(page::STYLE_PATH, get(style))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(not_found)
        .layer(from_fn_with_state(handler.clone(), guard))
        .with_state(handler)
}

/// An answer of one line.
type Text = (StatusCode, String);

/// Refuses what is not for reading, and whoever was led here by another name.
async fn guard(State(handler): State<Handler>, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST);
    if handler.is_local && !host.is_some_and(is_this_host) {
        // A page elsewhere could have its own name lead here, and read what we answer.
        let refusal = "ask for it as localhost or 127.0.0.1";
        return text(StatusCode::MISDIRECTED_REQUEST, refusal).into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered");
        return ([(ALLOW, "GET, HEAD")], refusal).into_response();
    }
    next.run(request).await
}

async fn status_page(
    State(handler): State<Handler>,
    RawQuery(query): RawQuery,
) -> Result<Html<String>, Text> {
    let view = handler.view().await?;
    let refreshes = query.as_deref() != Some(page::STILL);
    Ok(Html(page::html(&view, refreshes).into_string()))
}

async fn style() -> Response {
    content("text/css; charset=utf-8", page::STYLE)
}

async fn metrics(State(handler): State<Handler>, headers: HeaderMap) -> Result<Response, Text> {
    let view = handler.view().await?;
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let dialect = Dialect::accepted(accept.unwrap_or_default());
    let body = view.figures().text(dialect);
    Ok(content(dialect.content_type(), body))
}

async fn healthz(State(handler): State<Handler>) -> Text {
    // While it starts there is no loop to ask.
    let is_starting = handler.watch.known().phase == Phase::Starting;
    if is_starting || handler.liveness.check().await {
        text(StatusCode::OK, "alive")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "the loop does not move")
    }
}

async fn readyz(State(handler): State<Handler>) -> Text {
    match handler.watch.known().phase {
        Phase::Ready => text(StatusCode::OK, "ready"),
        Phase::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Stopping => text(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    }
}

async fn not_found() -> Text {
    let there_are = "there are /, /metrics, /healthz and /readyz";
    text(StatusCode::NOT_FOUND, there_are)
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
    let is_loopback = address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    name.eq_ignore_ascii_case("localhost") || is_loopback
}

fn text(status: StatusCode, line: &str) -> Text {
    (status, format!("{line}\n"))
}

fn content(kind: &'static str, body: impl IntoResponse) -> Response {
    ([(CONTENT_TYPE, kind)], body).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::liveness;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_is_for_reading_by_this_hosts_own_names() {
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let handler = Handler {
            watch: Watch::new(),
            liveness: liveness::channel().0,
            is_local: true,
        };
        let router = router(handler);
        let mut server = Server::new(vec![socket], router, CONTENT_SECURITY_POLICY, TIMEOUTS);
        let serving = tokio::spawn(async move { server.run().await });
        for (request, status, text) in [
            ("GET / HTTP/1.1\r\nhost: localhost", "200", "</html>"),
            ("GET /style.css HTTP/1.1\r\nhost: localhost", "200", "{"),
            ("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1", "200", "alive"),
            ("GET /readyz HTTP/1.1\r\nhost: [::1]:1", "503", "starting"),
            ("GET /other HTTP/1.1\r\nhost: localhost", "404", "there are"),
            (
                "POST / HTTP/1.1\r\nhost: localhost",
                "405",
                "allow: GET, HEAD",
            ),
            ("POST /other HTTP/1.1\r\nhost: localhost", "405", "only GET"),
            ("GET / HTTP/1.1\r\nhost: evil.example", "421", "ask for it"),
            ("POST / HTTP/1.1\r\nhost: evil.example", "421", "ask for it"),
            ("GET / HTTP/1.0", "421", "ask for it"),
        ] {
            let answer = ask(address, &format!("{request}\r\n\r\n")).await;
            let line = answer.lines().next().unwrap_or_default();
            assert!(line.contains(&format!(" {status} ")), "{request}: {line}");
            assert!(answer.contains(text), "{request}: {answer}");
            let policy = "content-security-policy: default-src 'none'; style-src 'self';";
            assert!(answer.contains(policy), "{request}: {answer}");
        }
        let head = ask(address, "HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"));
        serving.abort();
    }

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
