//! What the host tells the daemon.

use std::io;

use confluence_audit_collector::{Error, ErrorKind, Result};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// The signals that mean something to it.
pub(crate) struct Signals {
    hangup: Stream,
    terminate: Stream,
    interrupt: Stream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGHUP: read the configuration again, reopen the outputs.
    Reload,
    /// SIGTERM, SIGINT.
    End,
}

impl Signals {
    /// From now on no signal ends the program by itself.
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(unheard);
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::End,
            _ = self.interrupt.recv() => Signal::End,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    /// Returns at the first that ends the program.
    pub(crate) async fn end(&mut self) {
        while self.next().await != Signal::End {}
    }
}

fn unheard(error: io::Error) -> Error {
    let message = "the program could not listen to signals";
    let remedy = "See whether the host has run out of files or memory.";
    Error::new(ErrorKind::Internal, message, remedy).with_source(error)
}
