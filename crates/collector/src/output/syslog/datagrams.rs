//! Syslog over UDP and local sockets: a datagram for each message.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::net::{UdpSocket, UnixDatagram, lookup_host};
use tokio::time::timeout;
use url::Host;

/// What a local socket should hold on its way: large records are one datagram.
const ROOM: usize = 4 << 20;

/// A socket whose messages go to one receiver.
#[derive(Debug)]
pub(super) enum Datagrams {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

/// How far a batch came, and what ended it before its end.
#[derive(Debug)]
pub(super) struct Sent {
    /// How many messages, from the first.
    pub(super) messages: usize,
    pub(super) end: Option<End>,
}

/// Why a message was not sent.
#[derive(Debug)]
pub(super) enum End {
    /// No datagram is so large.
    TooLarge,
    Failed(io::Error),
}

impl Datagrams {
    pub(super) fn unix(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // As much as the system allows, which may be less.
        let _ = sockopt::set_socket_send_buffer_size(&socket, ROOM);
        socket.connect(path)?;
        Ok(Self::Unix(socket))
    }

    pub(super) async fn udp(host: &Host, port: u16) -> io::Result<Self> {
        let address = match host {
            Host::Domain(name) => {
                let mut found = lookup_host((name.as_str(), port)).await?;
                found
                    .next()
                    .ok_or_else(|| io::Error::other("the name has no address"))?
            }
            Host::Ipv4(address) => (*address, port).into(),
            Host::Ipv6(address) => (*address, port).into(),
        };
        let any: SocketAddr = if address.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        Ok(Self::Udp(socket))
    }

    /// Sends messages in order, as far as it goes.
    pub(super) async fn send(&self, messages: &[&[u8]], patience: Duration) -> Sent {
        for (index, message) in messages.iter().enumerate() {
            let sent = match timeout(patience, self.send_one(message)).await {
                Ok(sent) => sent,
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "it does not take what is sent",
                )),
            };
            let Err(error) = sent else { continue };
            if Errno::from_io_error(&error) == Some(Errno::MSGSIZE) {
                let end = Some(End::TooLarge);
                return Sent {
                    messages: index,
                    end,
                };
            }
            return Sent {
                // Over UDP, what is refused is said of the message before.
                messages: match self {
                    Self::Udp(_) => index.saturating_sub(1),
                    Self::Unix(_) => index,
                },
                end: Some(End::Failed(error)),
            };
        }
        match self.late_error() {
            Some(error) => Sent {
                messages: messages.len().saturating_sub(1),
                end: Some(End::Failed(error)),
            },
            None => Sent {
                messages: messages.len(),
                end: None,
            },
        }
    }

    async fn send_one(&self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.send(message).await.map(drop),
            Self::Udp(socket) => socket.send(message).await.map(drop),
        }
    }

    /// What the other host has said of the last message, if it has already.
    fn late_error(&self) -> Option<io::Error> {
        match self {
            Self::Unix(socket) => socket.take_error(),
            Self::Udp(socket) => socket.take_error(),
        }
        .ok()
        .flatten()
    }
}
