//! A server that a test writes itself: for answers that the simulated site does not give, and for stopping the program
//! where something can be seen.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

pub(crate) struct Server {
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers each request, given by its path and query, one connection after the other.
    pub(crate) fn start(mut answer: impl FnMut(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // A connection without a request is the end.
                let Some(target) = target(&mut stream) else {
                    return;
                };
                // A client that has gone away misses its answer.
                let _ = stream.write_all(answer(&target).as_bytes());
                let _ = stream.shutdown(Shutdown::Write);
            }
        });
        Self {
            port,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed, and fails the test by what it did not answer.
            let _ = thread.join();
        }
    }
}

/// Reads a request's head; the requests here have no bodies.
fn target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    Some(head.split(' ').nth(1)?.to_owned())
}

/// An answer without any header that HTTP does not need, not even `Date`.
pub(crate) fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The body of what `url` answers to a GET with Basic credentials.
pub(crate) fn get(url: &str, basic: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {basic}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        !head.to_ascii_lowercase().contains("transfer-encoding"),
        "{head}"
    );
    body.to_owned()
}
