//! The redirect listener (RFC 8252): this host alone, one path, one success, and it is gone.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use confluence_audit_collector::{Error, ErrorKind, Result};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, HOST};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use url::{Host, Url};

use crate::answer::Refusal;
use crate::page::Page;
use crate::redirect::Redirect;

/// How long a browser may take to say what it wants, and to take the page.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the end waits for pages that are on their way.
const GRACE: Duration = Duration::from_millis(500);

/// What an answer comes to.
pub(crate) type Answer = Result<SecretString, Refusal>;

/// The sockets that wait for the browser.
pub(crate) struct Listener {
    sockets: Vec<TcpListener>,
    redirect: Redirect,
}

impl Listener {
    /// Listens at the port of `redirect`, on loopback addresses alone.
    pub(crate) async fn bind(redirect: &Redirect, port: u16) -> Result<Self> {
        let taken = |error: io::Error| {
            let message = format!("this host cannot listen for {redirect}");
            Error::new(
                ErrorKind::Config,
                message,
                "Another program has the port: end it, or register another callback URL with \
                 the app and give it as --redirect-uri. Without a listener: --redirect-uri \
                 https://…/callback, and paste the address.",
            )
            .with_source(error)
        };
        let mut sockets = Vec::new();
        for address in addresses(redirect) {
            match TcpListener::bind(SocketAddr::new(address, port)).await {
                Ok(socket) => sockets.push(socket),
                // A host without IPv6. Where another program has that port, on the other hand,
                // the browser could take the code there.
                Err(error) if !sockets.is_empty() && error.kind() != io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(taken(error)),
            }
        }
        Ok(Self {
            sockets,
            redirect: redirect.clone(),
        })
    }

    /// Serves until `read` finds an answer to us in a request, or until `limit` has passed, which
    /// is `None`. Answers to others get a page that says so, and are passed over.
    pub(crate) async fn wait(
        self,
        read: impl Fn(&Url) -> Answer + Send + Sync + 'static,
        limit: Duration,
    ) -> Option<Answer> {
        let (found, mut answer) = oneshot::channel();
        let callback = Arc::new(Callback {
            redirect: self.redirect,
            read: Box::new(read),
            waiting: Mutex::new(Waiting::For(found)),
        });
        let mut connections = JoinSet::new();
        let answer = {
            let mut over = pin!(sleep(limit));
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => break answer.ok(),
                    stream = accept(&self.sockets) => {
                        connections.spawn(serve(stream, Arc::clone(&callback)));
                    }
                    () = &mut over => break None,
                }
            }
        };
        if answer.is_none() {
            callback.expire();
            let late = async {
                loop {
                    let stream = accept(&self.sockets).await;
                    connections.spawn(serve(stream, Arc::clone(&callback)));
                }
            };
            // Whoever comes just now is told that it is too late.
            let _: Result<(), _> = timeout(GRACE, late).await;
        }
        drop(self.sockets);
        // The page is still on its way; a connection that a browser keeps for later is not.
        let rest = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(GRACE, rest).await;
        answer
    }
}

fn addresses(redirect: &Redirect) -> Vec<IpAddr> {
    match redirect.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        // What `localhost` is to a browser.
        _ => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
    }
}

/// The next connection to any of the sockets.
async fn accept(sockets: &[TcpListener]) -> TcpStream {
    let (first, second) = (sockets.first(), sockets.get(1));
    loop {
        let accepted = tokio::select! {
            accepted = accept_at(first) => accepted,
            accepted = accept_at(second) => accepted,
        };
        match accepted {
            Ok((stream, _)) => return stream,
            // Out of descriptors, most likely: others have to close first.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn accept_at(socket: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match socket {
        Some(socket) => socket.accept().await,
        None => std::future::pending().await,
    }
}

async fn serve(stream: TcpStream, callback: Arc<Callback>) {
    let service = service_fn(|request| {
        let response = callback.respond(&request);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    // An error is a browser that went away.
    let _ = timeout(2 * PATIENCE, connection).await;
}

/// What requests are answered with, and who waits for the answer.
struct Callback {
    redirect: Redirect,
    read: Box<dyn Fn(&Url) -> Answer + Send + Sync>,
    waiting: Mutex<Waiting>,
}

enum Waiting {
    For(oneshot::Sender<Answer>),
    Served,
    Expired,
}

impl Callback {
    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        // A page elsewhere could have its own name lead here; what it asks for says that name.
        let host = request.headers().get(HOST);
        let here = host.is_some_and(|host| host.as_bytes() == self.redirect.authority().as_bytes());
        if !here {
            return Page::not_here(StatusCode::MISDIRECTED_REQUEST).into_response();
        }
        if request.uri().path() != self.redirect.path() {
            return Page::not_here(StatusCode::NOT_FOUND).into_response();
        }
        if request.method() != Method::GET {
            let mut response = Page::not_here(StatusCode::METHOD_NOT_ALLOWED).into_response();
            let get = hyper::header::HeaderValue::from_static("GET");
            response.headers_mut().insert(ALLOW, get);
            return response;
        }
        let mut url = self.redirect.url().clone();
        url.set_query(request.uri().query());
        self.settle((self.read)(&url)).into_response()
    }

    /// Hands an answer to us on, once, and says how it stands.
    fn settle(&self, answer: Answer) -> Page {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let page = match (&*waiting, &answer) {
            (Waiting::Served, _) => return Page::served(),
            (Waiting::Expired, _) => return Page::of(&Refusal::Expired),
            (_, Ok(_)) => Page::success(),
            (_, Err(refusal)) => Page::of(refusal),
        };
        let is_to_us = !matches!(answer, Err(Refusal::WrongState | Refusal::Expired));
        if is_to_us && let Waiting::For(found) = std::mem::replace(&mut *waiting, Waiting::Served) {
            // It was not received only if nobody waits any more.
            let _ = found.send(answer);
        }
        page
    }

    fn expire(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Waiting::Expired;
    }
}

#[cfg(test)]
mod tests;
