//! Syslog over TCP and TLS: a connection for each batch, which ends in order.
//!
//! Syslog has no word for "received", and what one of the two kernels has taken is lost when the
//! receiver dies. So a batch ends as the connection does: we say that nothing more comes, and the
//! receiver, when it has read that far, closes its side. One that dies before leaves unread bytes
//! behind, for which its kernel resets the connection. One that closes for reasons of its own
//! while something is on its way to it does not acknowledge that: this is asked for at last.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use super::config::Confirm;

/// How much is given to the kernel at a time: progress is seen in such steps.
const STEP: usize = 64 * 1024;

/// Long enough to see what the kernel knows already.
const BLINK: Duration = Duration::from_millis(1);

/// How often the kernel is asked for the last acknowledgement, which it mostly has.
const GLANCE: Duration = Duration::from_millis(10);

/// A connection over which a batch goes.
pub(super) enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects, with a handshake where there is a configuration for one.
    pub(super) async fn connect(
        host: &Host,
        port: u16,
        tls: Option<Arc<ClientConfig>>,
        patience: Duration,
    ) -> io::Result<Self> {
        let connecting = async {
            match host {
                Host::Domain(name) => TcpStream::connect((name.as_str(), port)).await,
                Host::Ipv4(address) => TcpStream::connect((*address, port)).await,
                Host::Ipv6(address) => TcpStream::connect((*address, port)).await,
            }
        };
        let plain = within(patience, "it does not answer", connecting).await?;
        plain.set_nodelay(true)?;
        let Some(config) = tls else {
            return Ok(Self::Plain(plain));
        };
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name.clone())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
            Host::Ipv4(address) => IpAddr::V4(*address).into(),
            Host::Ipv6(address) => IpAddr::V6(*address).into(),
        };
        let handshake = TlsConnector::from(config).connect(name, plain);
        let secured = within(patience, "it does not answer in TLS", handshake).await?;
        Ok(Self::Secured(Box::new(secured)))
    }

    /// Sends all and ends the connection. Returns when that is confirmed.
    pub(super) async fn send(
        self,
        bytes: &[u8],
        confirm: Confirm,
        patience: Duration,
    ) -> io::Result<()> {
        let plain = match self {
            Self::Plain(mut plain) => {
                write_all(&mut plain, bytes, patience).await?;
                plain
            }
            Self::Secured(mut secured) => {
                write_all(&mut secured, bytes, patience).await?;
                if confirm == Confirm::Closed {
                    match read_to_end(&mut secured, patience).await {
                        // RFC 5425 wants TLS's own closing word, and rsyslog does not say it.
                        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                        read => read?,
                    }
                }
                secured.into_inner().0
            }
        };
        match confirm {
            Confirm::Sent => Ok(()),
            Confirm::Closed => closed(plain, patience).await,
        }
    }
}

async fn write_all(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bytes: &[u8],
    patience: Duration,
) -> io::Result<()> {
    for step in bytes.chunks(STEP) {
        let written = stream.write_all(step);
        within(patience, "it does not take what is sent", written).await?;
    }
    within(patience, "it does not take what is sent", stream.flush()).await?;
    // Whoever has closed already does not do so because it has read this.
    if let Ok(read) = timeout(BLINK, stream.read(&mut [0; 1024])).await
        && read? == 0
    {
        let what = "it closed the connection before it was told to";
        return Err(io::Error::new(io::ErrorKind::ConnectionAborted, what));
    }
    let ended = stream.shutdown();
    within(patience, "it does not take what is sent", ended).await
}

/// Returns when the other side has acknowledged all, and has closed.
async fn closed(mut plain: TcpStream, patience: Duration) -> io::Result<()> {
    read_to_end(&mut plain, patience).await?;
    let acknowledged = async {
        // When both ends are acknowledged, the connection is over, and the socket has no peer.
        while plain.peer_addr().is_ok() {
            sleep(GLANCE).await;
        }
        plain.take_error()?.map_or(Ok(()), Err)
    };
    within(
        patience,
        "it does not acknowledge what is sent",
        acknowledged,
    )
    .await
}

async fn read_to_end(stream: &mut (impl AsyncRead + Unpin), patience: Duration) -> io::Result<()> {
    let mut answer = [0; 1024];
    loop {
        let read = stream.read(&mut answer);
        if within(patience, "it does not close the connection", read).await? == 0 {
            return Ok(());
        }
    }
}

async fn within<T>(
    patience: Duration,
    what: &'static str,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match timeout(patience, work).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, what)),
    }
}
