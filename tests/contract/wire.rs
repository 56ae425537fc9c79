//! A server that writes bytes as they are, for what no HTTP server would answer.

use std::sync::{Arc, Mutex};

use confluence_audit_core::Origin;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// One answer a connection, in order; behind the last one every connection is closed unanswered.
pub(crate) struct Wire {
    pub(crate) origin: Origin,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    pub(crate) async fn answering(answers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        let seen = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let head = head(&mut stream).await;
                seen.lock().unwrap().push(head);
                if let Some(answer) = answers.pop() {
                    stream.write_all(&answer).await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            }
        });
        Self {
            origin: Origin::parse(&origin).unwrap(),
            requests,
        }
    }

    /// The first line of each request.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads a whole request, so that closing the connection is no reset, and returns its first line.
async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                let text = String::from_utf8_lossy(&bytes);
                return text.lines().next().unwrap().to_owned();
            }
        }
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "a request broke off");
        bytes.extend_from_slice(&piece[..read]);
    }
}

/// An answer that says it is longer by `missing` bytes than it is.
pub(crate) fn cut(body: &[u8], missing: usize) -> Vec<u8> {
    let length = body.len() + missing;
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// A whole answer.
pub(crate) fn whole(body: &[u8]) -> Vec<u8> {
    cut(body, 0)
}

/// An origin where nobody listens, for as long as the socket is kept: its port is taken, so that
/// no other test can come to listen there.
pub(crate) fn nobody() -> (Origin, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let origin = format!("http://{}", socket.local_addr().unwrap());
    (Origin::parse(&origin).unwrap(), socket)
}
