//! Loopback redirect listener (RFC 8252): this host alone, one path, one success, and it is gone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{ALLOW, HOST};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use confluence_audit_collector::http_server::{Server, Timeouts};
use confluence_audit_collector::{Error, ErrorKind, Result};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use url::{Host, Url};

use crate::answer::Refusal;
use crate::page::{CONTENT_SECURITY_POLICY, Page};
use crate::redirect::Redirect;

/// How long a browser may take to say what it wants, and to take the page.
const TIMEOUTS: Timeouts = Timeouts {
    headers: Duration::from_secs(5),
    connection: Duration::from_secs(10),
};

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
        let mut server = {
            let callback = Arc::clone(&callback);
            // The path is the person's own text, which a route would read as a pattern.
            let router =
                Router::new().fallback(async move |request: Request| callback.respond(&request));
            Server::new(self.sockets, router, CONTENT_SECURITY_POLICY, TIMEOUTS)
        };
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer.ok(),
            never = server.run() => match never {},
            () = sleep(limit) => None,
        };
        if answer.is_none() {
            callback.expire();
            // Whoever comes just now is told that it is too late.
            let _ = timeout(GRACE, server.run()).await;
        }
        // The page is still on its way; a connection that a browser keeps for later is not.
        server.close(GRACE).await;
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
    fn respond(&self, request: &Request) -> Response {
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
            let page = Page::not_here(StatusCode::METHOD_NOT_ALLOWED);
            return ([(ALLOW, "GET")], page).into_response();
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
