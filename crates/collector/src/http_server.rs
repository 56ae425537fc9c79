//! HTTP/1.1 server of the programs' own pages: one accept loop, bounded in connections and time.
//!
//! A program brings bound sockets and an axum [`Router`]. axum's own `serve` lets a client take as
//! long as it likes over its headers, and as many connections as it likes; so each connection is
//! driven by hyper's builder, which has a time limit for headers. One request a connection: nothing
//! has to be kept open for a page that is looked at once.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use http::HeaderValue;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Open connections at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;

/// Wait after a connection could not be accepted.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What every response says besides its content security policy: its address is named to nobody,
/// nobody keeps it, and it is nothing but what it says it is.
const HEADERS: [(&str, &str); 3] = [
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
];

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the connection's beginning to the end of the request's headers.
    pub headers: Duration,
    /// From the connection's beginning to its end.
    pub connection: Duration,
}

/// Bound sockets, and what answers requests to them.
#[derive(Debug)]
pub struct Server {
    sockets: Vec<TcpListener>,
    router: Router,
    timeouts: Timeouts,
    connections: JoinSet<()>,
}

impl Server {
    /// A server at all of `sockets`; without any it answers nobody. Every response gets
    /// `content_security_policy`, and headers against caching, sniffing and referrers.
    pub fn new(
        sockets: Vec<TcpListener>,
        router: Router,
        content_security_policy: &'static str,
        timeouts: Timeouts,
    ) -> Self {
        let secured = move |response| async move { secured(response, content_security_policy) };
        Self {
            sockets,
            router: router.layer(map_response(secured)),
            timeouts,
            connections: JoinSet::new(),
        }
    }

    /// Accepts and answers for as long as it is polled. It may be dropped at any time, which leaves
    /// open connections as they are, and called again.
    pub async fn run(&mut self) -> Infallible {
        loop {
            let has_room = self.connections.len() < CONNECTIONS;
            tokio::select! {
                Some(_) = self.connections.join_next() => {}
                accepted = accept(&self.sockets), if has_room => match accepted {
                    Ok(stream) => {
                        let answered = answer(stream, self.router.clone(), self.timeouts);
                        self.connections.spawn(answered);
                    }
                    // Out of descriptors, most likely: others have to close first.
                    Err(_) => sleep(ACCEPT_RETRY).await,
                },
            }
        }
    }

    /// Closes the sockets, and open connections when they are done, or after `grace`.
    pub async fn close(mut self, grace: Duration) {
        drop(self.sockets);
        let rest = async { while self.connections.join_next().await.is_some() {} };
        // What is cut off is a client that takes too long.
        let _ = timeout(grace, rest).await;
    }
}

/// The next connection to any of the sockets.
async fn accept(sockets: &[TcpListener]) -> io::Result<TcpStream> {
    poll_fn(|context| {
        let accepted = sockets.iter().map(|socket| socket.poll_accept(context));
        match accepted.into_iter().find(Poll::is_ready) {
            Some(accepted) => accepted.map_ok(|(stream, _)| stream),
            None => Poll::Pending,
        }
    })
    .await
}

async fn answer(stream: TcpStream, router: Router, timeouts: Timeouts) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.headers)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // An error is a client that went away.
    let _ = timeout(timeouts.connection, connection).await;
}

fn secured(mut response: Response, content_security_policy: &'static str) -> Response {
    let policy = ("content-security-policy", content_security_policy);
    for (name, value) in HEADERS.into_iter().chain([policy]) {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

#[cfg(test)]
mod tests;
