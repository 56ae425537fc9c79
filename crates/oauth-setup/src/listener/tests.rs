use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;

/// A listener at a port that nobody has, and that port.
async fn listener() -> (Listener, u16) {
    listener_at("/callback").await
}

async fn listener_at(path: &str) -> (Listener, u16) {
    let free = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = free.local_addr().expect("it").port();
    drop(free);
    let redirect: Redirect = format!("http://127.0.0.1:{port}{path}")
        .parse()
        .expect("an address");
    (Listener::bind(&redirect, port).await.expect("it"), port)
}

/// Takes what a test puts into the query.
fn read(url: &Url) -> Answer {
    match url.query() {
        Some("good") => Ok("the code".to_owned().into()),
        Some("declined") => Err(Refusal::Declined),
        _ => Err(Refusal::WrongState),
    }
}

fn waiting(listener: Listener) -> JoinHandle<Option<Answer>> {
    tokio::spawn(listener.wait(read, Duration::from_mins(5)))
}

async fn send(port: u16, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it");
    stream.write_all(request.as_bytes()).await.expect("it");
    stream
}

async fn response(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("it");
    text
}

async fn get(port: u16, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    response(send(port, &request).await).await
}

#[tokio::test]
async fn the_answer_is_taken_once_and_the_listener_is_gone() {
    let (listener, port) = listener().await;
    let answer = waiting(listener);
    let page = get(port, "/callback?good").await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
    ] {
        assert!(page.contains(&format!("{header}\r\n")), "{page}");
    }
    assert!(page.contains("Consent received"), "{page}");
    let code = answer.await.expect("no panic").expect("an answer");
    assert_eq!(code.expect("a code").expose_secret(), "the code");
    let again = TcpStream::connect(("127.0.0.1", port)).await;
    assert!(again.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn a_path_is_no_pattern() {
    let (listener, port) = listener_at("/:a/*b").await;
    let answer = waiting(listener);
    let page = get(port, "/a/b?good").await;
    assert!(page.starts_with("HTTP/1.1 404 "), "{page}");
    let page = get(port, "/:a/*b?good").await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(answer.await.expect("no panic").expect("an answer").is_ok());
}

#[tokio::test]
async fn who_declines_is_told_so() {
    let (listener, port) = listener().await;
    let answer = waiting(listener);
    let page = get(port, "/callback?declined").await;
    assert!(page.starts_with("HTTP/1.1 403 "), "{page}");
    assert!(page.contains("Consent declined"), "{page}");
    let refusal = answer.await.expect("no panic").expect("an answer");
    assert_eq!(refusal.err(), Some(Refusal::Declined));
}

#[tokio::test]
async fn nothing_but_the_browser_that_was_sent_here_ends_the_waiting() {
    let (listener, port) = listener().await;
    let answer = waiting(listener);
    let host = format!("Host: 127.0.0.1:{port}\r\n\r\n");
    let elsewhere = format!("Host: evil.example:{port}\r\n\r\n");
    for (request, status) in [
        (format!("GET /callback?forged HTTP/1.1\r\n{host}"), "400"),
        (format!("GET /callback?good HTTP/1.1\r\n{elsewhere}"), "421"),
        ("GET /callback?good HTTP/1.0\r\n\r\n".to_owned(), "421"),
        (format!("POST /callback?good HTTP/1.1\r\n{host}"), "405"),
        (format!("HEAD /callback?good HTTP/1.1\r\n{host}"), "405"),
        (format!("GET /callback/?good HTTP/1.1\r\n{host}"), "404"),
        (format!("GET /favicon.ico HTTP/1.1\r\n{host}"), "404"),
        (format!("GET /?good HTTP/1.1\r\n{host}"), "404"),
        ("canary\r\n\r\n".to_owned(), "400"),
    ] {
        let page = response(send(port, &request).await).await;
        let expected = format!(" {status} ");
        assert!(
            page.lines().next().unwrap_or_default().contains(&expected),
            "{request} {page}"
        );
        assert!(!page.contains("forged"), "{page}");
    }
    assert!(!answer.is_finished());
    get(port, "/callback?good").await;
    assert!(answer.await.expect("no panic").expect("an answer").is_ok());
}

#[tokio::test]
async fn who_comes_too_late_is_told_so_and_brings_nothing() {
    let (listener, _) = listener().await;
    let (found, mut answer) = oneshot::channel();
    let callback = Callback {
        redirect: listener.redirect,
        read: Box::new(read),
        waiting: Mutex::new(Waiting::For(found)),
    };
    callback.expire();
    let page = callback.settle(Ok("the code".to_owned().into()));
    assert_eq!(page.into_response().status(), StatusCode::GONE);
    assert!(answer.try_recv().is_err(), "there is no answer");
}

#[tokio::test]
async fn a_port_that_another_program_has_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = taken.local_addr().expect("it").port();
    let redirect: Redirect = format!("http://localhost:{port}/callback")
        .parse()
        .expect("an address");
    let Err(error) = Listener::bind(&redirect, port).await else {
        panic!("it is taken")
    };
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains(redirect.as_str()), "{error}");
}
