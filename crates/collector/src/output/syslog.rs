//! A syslog receiver (RFC 5424): over TLS, TCP, UDP or a socket of this host.
//!
//! Syslog knows no acknowledgement. Over [streams](stream) a batch is confirmed when the receiver
//! has read up to its end; a datagram is confirmed when the kernel has taken it, which over UDP
//! says next to nothing. Where a batch was not confirmed, it is sent again, and a receiver that
//! got it sees its messages twice: the id of the event, which stands in each, tells.

pub(super) mod config;
mod datagrams;
mod message;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rustix::io::Errno;

use self::config::{SyslogAddress, SyslogConfig};
use self::datagrams::{Datagrams, End};
use self::message::{Template, frame};
use self::stream::Stream;
use super::kind::{Declared as _, KindInfo, OutputFiles, OutputKind, OutputSetup};
use super::service::{Outcome, Protocol, Refusal, Service, Verdict};
use super::{Entry, Output};
use crate::{Error, ErrorKind, Result};

/// A syslog receiver.
#[derive(Debug)]
pub(crate) struct Syslog {
    config: SyslogConfig,
    template: Template,
    /// Kept until it fails.
    socket: Option<Datagrams>,
}

impl Syslog {
    pub(crate) fn new(config: &SyslogConfig) -> Self {
        Self {
            template: Template::new(config),
            config: config.clone(),
            socket: None,
        }
    }

    async fn connect(&self) -> Result<Stream> {
        let patience = self.config.timeout;
        let connected = match &self.config.address {
            SyslogAddress::Tls(host, port) => {
                let tls = tls::client_config(&self.config)?;
                Stream::connect(host, *port, Some(tls), patience).await
            }
            SyslogAddress::Tcp(host, port) => Stream::connect(host, *port, None, patience).await,
            SyslogAddress::Unix(_) | SyslogAddress::Udp(..) => {
                return Err(Error::internal("a socket for datagrams is no stream"));
            }
        };
        connected.map_err(|error| self.unreachable(error))
    }

    async fn open(&self) -> Result<Datagrams> {
        let opened = match &self.config.address {
            SyslogAddress::Unix(path) => Datagrams::unix(path),
            SyslogAddress::Udp(host, port) => Datagrams::udp(host, *port).await,
            SyslogAddress::Tcp(..) | SyslogAddress::Tls(..) => {
                return Err(Error::internal("a stream is no socket for datagrams"));
            }
        };
        opened.map_err(|error| self.unreachable(error))
    }

    /// The messages of entries, `None` for those that the receiver does not take.
    fn messages(&self, entries: &[Entry]) -> Vec<Option<Vec<u8>>> {
        let most = self.config.max_size.unwrap_or(usize::MAX);
        let message = |entry: &Entry| self.template.message(entry, &entry.id());
        let messages = entries.iter().map(message);
        messages
            .map(|it| (it.len() <= most).then_some(it))
            .collect()
    }

    async fn send_stream(&self, messages: &[Option<Vec<u8>>]) -> Result<Outcome> {
        let mut bytes = Vec::new();
        for message in messages.iter().flatten() {
            frame(self.config.framing, message, &mut bytes);
        }
        if !bytes.is_empty() {
            let stream = self.connect().await?;
            let sent = stream.send(&bytes, self.config.confirm, self.config.timeout);
            sent.await.map_err(|error| self.unreachable(error))?;
        }
        let verdict = |message: &Option<_>| match message {
            Some(_) => Verdict::Accepted,
            None => self.too_large(),
        };
        Ok(Outcome::Each(messages.iter().map(verdict).collect(), None))
    }

    async fn send_datagrams(&mut self, messages: &[Option<Vec<u8>>]) -> Result<Outcome> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.open().await?,
        };
        let mut verdicts = Vec::with_capacity(messages.len());
        while verdicts.len() < messages.len() {
            let rest = &messages[verdicts.len()..];
            let part: Vec<&[u8]> = rest.iter().map_while(|it| it.as_deref()).collect();
            let sent = socket.send(&part, self.config.timeout).await;
            verdicts.extend(vec![Verdict::Accepted; sent.messages]);
            match sent.end {
                Some(End::Failed(error)) => {
                    verdicts.resize(messages.len(), Verdict::Later);
                    return Ok(Outcome::Each(verdicts, Some(self.unreachable(error))));
                }
                Some(End::TooLarge) => verdicts.push(self.too_large()),
                None if sent.messages < rest.len() => verdicts.push(self.too_large()),
                None => {}
            }
        }
        self.socket = Some(socket);
        Ok(Outcome::Each(verdicts, None))
    }

    fn too_large(&self) -> Verdict {
        let reason = match self.config.max_size {
            Some(most) => format!("the message is larger than the {most} bytes of `max_size`"),
            None => "the message is larger than a datagram to this receiver can be".to_owned(),
        };
        Verdict::Refused(Refusal {
            status: 0,
            reason,
            doubtful: false,
        })
    }

    fn unreachable(&self, error: io::Error) -> Error {
        let address = &self.config.address;
        let cause = Errno::from_io_error(&error);
        let (what, remedy) = if cause == Some(Errno::PROTOTYPE) {
            (
                "takes no datagrams",
                "The socket is one for streams: name one that takes datagrams, as /dev/log does.",
            )
        } else if cause == Some(Errno::ACCESS) {
            (
                "may not be used",
                "Let the user that collects write to the socket.",
            )
        } else {
            (
                "could not be reached, or did not take everything",
                "Nothing is lost: what was not confirmed is sent again. See whether the receiver \
                 runs, takes this transport at this address, and keeps up.",
            )
        };
        let kind = match cause {
            Some(Errno::PROTOTYPE | Errno::ACCESS) => ErrorKind::OutputCreate,
            _ => ErrorKind::OutputUnavailable,
        };
        Error::new(
            kind,
            format!("the syslog receiver {address} {what}"),
            remedy,
        )
        .with_source(error)
    }
}

impl OutputKind for SyslogConfig {
    fn info(&self) -> KindInfo {
        Self::INFO
    }

    fn display_name(&self) -> String {
        self.address.to_string()
    }

    /// The key is no credential by a bare name: it is read as a path.
    fn files(&self) -> OutputFiles<'_> {
        let client = self.client.iter();
        let client = client.flat_map(|client| [&client.cert_file, &client.key_file]);
        let read = self.ca_file.iter().chain(client);
        OutputFiles {
            secrets: Vec::new(),
            read: read.map(PathBuf::as_path).collect(),
            written: self.dead_letter.iter().map(PathBuf::as_path).collect(),
        }
    }

    fn build(&self, setup: OutputSetup<'_>) -> Box<dyn Output> {
        Box::new(Service::new(setup, Syslog::new(self)))
    }
}

#[async_trait]
impl Protocol for Syslog {
    fn dead_letter(&self) -> Option<&Path> {
        self.config.dead_letter.as_deref()
    }

    async fn check(&mut self) -> Result<String> {
        let address = &self.config.address;
        Ok(match address {
            SyslogAddress::Unix(_) => {
                self.open().await?;
                format!("{address} takes datagrams")
            }
            SyslogAddress::Udp(..) => {
                self.open().await?;
                format!("{address} is an address; over UDP nobody says whether anyone listens")
            }
            SyslogAddress::Tcp(..) | SyslogAddress::Tls(..) => {
                let stream = self.connect().await?;
                // Nothing at all, and its end.
                let ended = stream.send(&[], self.config.confirm, self.config.timeout);
                ended.await.map_err(|error| self.unreachable(error))?;
                format!("{address} takes connections")
            }
        })
    }

    async fn prepare(&mut self) -> Result<()> {
        self.socket = None;
        if matches!(self.config.address, SyslogAddress::Tls(..)) {
            tls::client_config(&self.config)?;
        }
        Ok(())
    }

    async fn send(&mut self, entries: &[Entry]) -> Result<Outcome> {
        let messages = self.messages(entries);
        match self.config.address {
            SyslogAddress::Tcp(..) | SyslogAddress::Tls(..) => self.send_stream(&messages).await,
            SyslogAddress::Unix(_) | SyslogAddress::Udp(..) => self.send_datagrams(&messages).await,
        }
    }
}
