use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::*;

const POLICY: &str = "default-src 'none'";
const LONG: Duration = Duration::from_mins(1);

/// A server that says hello; where it is, and its accept loop.
async fn serve(timeouts: Timeouts) -> (SocketAddr, JoinHandle<Infallible>) {
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let router = Router::new().route("/", get(async || "hello"));
    let mut server = Server::new(vec![socket], router, POLICY, timeouts);
    (address, tokio::spawn(async move { server.run().await }))
}

async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// All that comes until the server closes the connection.
async fn response(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn every_response_is_secured_and_ends_its_connection() {
    let timeouts = Timeouts {
        headers: LONG,
        connection: LONG,
    };
    let (address, _) = serve(timeouts).await;
    for (path, status) in [("/", "200 OK"), ("/other", "404 Not Found")] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        let response = response(send(address, &request).await).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")));
        for header in [
            "content-security-policy: default-src 'none'",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
        ] {
            assert!(response.contains(&format!("{header}\r\n")), "{response}");
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_headers_is_cut_off() {
    let timeouts = Timeouts {
        headers: Duration::from_millis(50),
        connection: LONG,
    };
    let (address, _) = serve(timeouts).await;
    let response = response(send(address, "GET / HTTP/1.1\r\n").await).await;
    assert!(!response.contains("hello"), "{response}");
}

#[tokio::test]
async fn a_connection_ends_in_time_whatever_it_does() {
    let timeouts = Timeouts {
        headers: LONG,
        connection: Duration::from_millis(50),
    };
    let (address, _) = serve(timeouts).await;
    assert_eq!(response(send(address, "GET / HTT").await).await, "");
}

#[tokio::test]
async fn so_many_connections_are_open_and_the_next_waits_for_one_of_them() {
    let timeouts = Timeouts {
        headers: LONG,
        connection: LONG,
    };
    let (address, _) = serve(timeouts).await;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(send(address, "GET / HTTP/1.1\r\n").await);
    }
    let mut next = send(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut byte = [0];
    let early = timeout(Duration::from_millis(100), next.read(&mut byte)).await;
    assert!(early.is_err(), "it is answered although there is no room");
    drop(open.pop());
    assert!(response(next).await.ends_with("hello"));
}

#[tokio::test]
async fn closing_lets_an_answer_go_on_and_nobody_new_in() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let (asked, mut is_asked) = tokio::sync::mpsc::channel(1);
    let (go_on, goes_on) = tokio::sync::watch::channel(false);
    let slow = async move || {
        asked.send(()).await.unwrap();
        goes_on.clone().wait_for(|goes_on| *goes_on).await.unwrap();
        "hello"
    };
    let router = Router::new().route("/", get(slow));
    let timeouts = Timeouts {
        headers: LONG,
        connection: LONG,
    };
    let mut server = Server::new(vec![socket], router, POLICY, timeouts);
    let client = send(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::select! {
        never = server.run() => match never {},
        Some(()) = is_asked.recv() => {}
    }
    let closing = tokio::spawn(server.close(LONG));
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go_on.send(true).unwrap();
    assert!(response(client).await.ends_with("hello"));
    closing.await.unwrap();
}
