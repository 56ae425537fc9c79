//! What every output promises, kept over each transport of syslog.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use syslog_loose::{Variant, parse_message};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use url::Host;

use super::*;
use crate::output::conformance::{self, Promise, Trouble};
use crate::output::syslog::config::{Confirm, SyslogFraming};
use crate::output::{OutputConfig, OutputContext, OutputName};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Unix,
    Udp,
    Tcp,
    Tls,
}

/// A receiver, and what it received.
struct Receiver {
    dir: tempfile::TempDir,
    transport: Transport,
    config: SyslogConfig,
    received: Arc<Mutex<Vec<String>>>,
    trouble: Arc<Mutex<Option<Trouble>>>,
    /// Where datagrams are taken; `None` where nobody takes them.
    datagrams: Option<JoinHandle<()>>,
}

impl Receiver {
    async fn start(transport: Transport) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let local = Host::Ipv4(Ipv4Addr::LOCALHOST);
        let messages: Arc<Mutex<Vec<String>>> = Arc::default();
        let trouble = Arc::default();
        let mut ca_file = None;
        let address = match transport {
            Transport::Unix => SyslogAddress::Unix(dir.path().join("log")),
            Transport::Udp => {
                let free = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                SyslogAddress::Udp(local, free.local_addr().unwrap().port())
            }
            Transport::Tcp | Transport::Tls => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let port = listener.local_addr().unwrap().port();
                let mut acceptor = None;
                if transport == Transport::Tls {
                    let file = dir.path().join("ca.pem");
                    let (tls, pem) = certified();
                    std::fs::write(&file, pem).unwrap();
                    ca_file = Some(file);
                    acceptor = Some(tls);
                }
                let (copy, trouble) = (Arc::clone(&messages), Arc::clone(&trouble));
                tokio::spawn(accept(listener, acceptor, copy, trouble));
                match transport {
                    Transport::Tls => SyslogAddress::Tls(local, port),
                    _ => SyslogAddress::Tcp(local, port),
                }
            }
        };
        let mut receiver = Self {
            config: SyslogConfig {
                address,
                facility: 16,
                severity: 6,
                app_name: "confluence-audit".into(),
                enterprise_id: 32_473,
                framing: SyslogFraming::OctetCounted,
                confirm: Confirm::Closed,
                bom: false,
                max_size: None,
                timeout: Duration::from_secs(20),
                dead_letter: Some(dir.path().join("dead.ndjson")),
                ca_file,
                client: None,
            },
            dir,
            transport,
            received: messages,
            trouble,
            datagrams: None,
        };
        receiver.take_datagrams().await;
        receiver
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    async fn take_datagrams(&mut self) {
        let received = Arc::clone(&self.received);
        self.datagrams = match &self.config.address {
            SyslogAddress::Unix(path) => {
                let socket = UnixDatagram::bind(path).unwrap();
                Some(tokio::spawn(async move {
                    let mut buffer = vec![0; 1 << 20];
                    loop {
                        let length = socket.recv(&mut buffer).await.unwrap();
                        receive(&received, &buffer[..length]);
                    }
                }))
            }
            SyslogAddress::Udp(_, port) => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
                let socket = UdpSocket::bind(address).await.unwrap();
                Some(tokio::spawn(async move {
                    let mut buffer = vec![0; 1 << 16];
                    loop {
                        let length = socket.recv(&mut buffer).await.unwrap();
                        receive(&received, &buffer[..length]);
                    }
                }))
            }
            _ => None,
        };
    }

    async fn is_down(&mut self) {
        if let Some(task) = self.datagrams.take() {
            // What has arrived is read before.
            tokio::time::sleep(Duration::from_millis(20)).await;
            task.abort();
            let _ = task.await;
            let _ = std::fs::remove_file(self.path());
        }
    }
}

/// A server's half of TLS, and whom to trust for it.
fn certified() -> (TlsAcceptor, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), cert.pem())
}

fn receive(received: &Mutex<Vec<String>>, message: &[u8]) {
    let message = String::from_utf8(message.to_vec()).unwrap();
    let read = parse_message(&message, Variant::RFC5424);
    assert_eq!(read.hostname, Some("acme"));
    received.lock().unwrap().push(read.msg.to_owned());
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    received: Arc<Mutex<Vec<String>>>,
    trouble: Arc<Mutex<Option<Trouble>>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let now = *trouble.lock().unwrap();
        if now == Some(Trouble::Down) {
            continue;
        }
        if now == Some(Trouble::Slow) {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        if now == Some(Trouble::LosesAnswer) {
            *trouble.lock().unwrap() = None;
        }
        let loses_answer = now == Some(Trouble::LosesAnswer);
        match &tls {
            None => read_plain(stream, &received, loses_answer).await,
            Some(tls) => {
                // A client that does not trust us goes away.
                if let Ok(mut stream) = tls.accept(stream).await {
                    read_messages(&mut stream, &received).await;
                    if loses_answer {
                        stream.get_ref().0.set_zero_linger().unwrap();
                    }
                    // Some receivers say TLS's closing word, and some do not.
                    let says = received.lock().unwrap().len().is_multiple_of(2);
                    if says && !loses_answer {
                        let _ = stream.shutdown().await;
                    }
                }
            }
        }
    }
}

async fn read_plain(mut stream: TcpStream, received: &Mutex<Vec<String>>, loses_answer: bool) {
    read_messages(&mut stream, received).await;
    if loses_answer {
        // The connection is reset when it is closed.
        stream.set_zero_linger().unwrap();
    }
}

/// Reads messages with their counts before them, to the end.
async fn read_messages(stream: &mut (impl AsyncRead + Unpin), received: &Mutex<Vec<String>>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let mut rest = &bytes[..];
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let count: usize = str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
        receive(received, &rest[space + 1..=space + count]);
        rest = &rest[space + 1 + count..];
    }
    assert_eq!(rest, b"", "all is counted");
}

#[async_trait]
impl conformance::Destination for Receiver {
    fn output(&self) -> Box<dyn Output> {
        let context = OutputContext {
            state_dir: self.dir.path().to_owned(),
            credentials_dir: None,
        };
        OutputConfig::new(self.config.clone()).build(OutputName::new("log"), &context)
    }

    async fn arrived(&mut self) -> Vec<String> {
        // A datagram is on its way when it has been sent.
        if self.datagrams.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.received.lock().unwrap().clone()
    }

    fn troubles(&self) -> &'static [Trouble] {
        match self.transport {
            Transport::Unix | Transport::Udp => &[Trouble::Down],
            Transport::Tcp | Transport::Tls => {
                &[Trouble::Down, Trouble::Slow, Trouble::LosesAnswer]
            }
        }
    }

    async fn set_trouble(&mut self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap() = trouble;
        match trouble {
            Some(Trouble::Down) => self.is_down().await,
            None if self.datagrams.is_none() => self.take_datagrams().await,
            _ => {}
        }
    }

    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    fn dead_letters(&self) -> Option<Vec<String>> {
        let letters = std::fs::read_to_string(self.config.dead_letter.as_ref()?).ok()?;
        Some(letters.lines().map(str::to_owned).collect())
    }

    fn longest_line(&self) -> Option<usize> {
        match self.transport {
            // What the protocol can hold, and what Linux makes of a socket's buffer at most.
            Transport::Udp => Some(65_507),
            Transport::Unix => Some(8 << 20),
            Transport::Tcp | Transport::Tls => self.config.max_size,
        }
    }
}

#[tokio::test]
async fn it_conforms_over_a_local_socket() {
    conformance::run(async || Receiver::start(Transport::Unix).await).await;
}

#[tokio::test]
async fn it_conforms_over_udp() {
    conformance::run(async || Receiver::start(Transport::Udp).await).await;
}

#[tokio::test]
async fn it_conforms_over_tcp() {
    conformance::run(async || Receiver::start(Transport::Tcp).await).await;
}

#[tokio::test]
async fn it_conforms_over_tls() {
    conformance::run(async || Receiver::start(Transport::Tls).await).await;
}

#[tokio::test]
async fn what_is_larger_than_the_receiver_takes_is_kept() {
    let new = async || {
        let mut receiver = Receiver::start(Transport::Tcp).await;
        receiver.config.max_size = Some(8 << 10);
        receiver
    };
    conformance::run(new).await;
}

#[tokio::test]
async fn a_receiver_that_is_not_trusted_gets_nothing() {
    let receiver = Receiver::start(Transport::Tls).await;
    let (_, other) = certified();
    std::fs::write(receiver.config.ca_file.as_ref().unwrap(), other).unwrap();
    let mut syslog = Syslog::new(&receiver.config);
    let error = syslog.send(&[Entry::example("x", 1)]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::OutputUnavailable);
    assert!(error.chain().contains("ertificate"), "{}", error.chain());
    assert_eq!(receiver.received.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_receiver_that_closes_for_reasons_of_its_own_has_got_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let receiver = Receiver::start(Transport::Tcp).await;
    let config = SyslogConfig {
        address: SyslogAddress::Tcp(Host::Ipv4(Ipv4Addr::LOCALHOST), port),
        timeout: Duration::from_millis(300),
        ..receiver.config.clone()
    };
    // It has said that it is done before anything came, and lets what comes lie.
    let accepting = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.shutdown().await.unwrap();
        stream
    });
    let entries: Vec<Entry> = (0..3)
        .map(|n| Entry::example("x".repeat(1000), n))
        .collect();
    let mut syslog = Syslog::new(&config);
    let error = syslog.send(&entries).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::OutputUnavailable, "{error:?}");
    drop(accepting);
}
