//! The `Output` trait, and the outputs: where formatted records are delivered.
//!
//! Delivery hands an output the entries that its position in the spool says are next, together
//! with the checkpoint that the spool keeps for it, and confirms what comes back. An output keeps
//! nothing across a restart itself, and makes one attempt at a time: when to try again is
//! [delivery](crate::delivery)'s to say.

mod config;
#[cfg(any(test, feature = "test-support"))]
pub mod conformance;
mod elasticsearch;
mod entry;
mod file;
mod http;
mod kind;
mod kinds;
mod otlp;
mod service;
mod splunk_hec;
mod stdout;
mod syslog;
#[cfg(test)]
mod test_server;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Result;

pub use entry::Entry;

pub use config::OutputConfig;
pub use elasticsearch::ElasticsearchConfig;
pub use file::config::FileConfig;
pub use file::{Compression, FileOptions, FileOutput, Ownership, Rotation};
pub use http::{Framing, HttpConfig};
pub use kind::{KindInfo, OutputContext, OutputFiles, OutputKind, OutputSetup};
#[cfg(test)]
pub(crate) use kinds::KINDS;
pub use otlp::OtlpConfig;
pub use service::config::{HeaderConfig, ServiceConfig};
pub use splunk_hec::SplunkHecConfig;
pub use stdout::{StdoutConfig, StdoutOutput};
pub use syslog::config::{ClientCertificate, Confirm, SyslogAddress, SyslogConfig, SyslogFraming};

/// The name under which the spool keeps an output's position. It has to stay the same for as long
/// as the output means the same place: a new name is a new output and gets everything that is
/// still spooled.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputName(Arc<str>);

impl OutputName {
    /// An output's name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutputName({})", self.0)
    }
}

/// How much an output is given at a time, and how long that may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// At most so many records.
    pub records: usize,
    /// At most so many bytes as the site wrote them, but always one record.
    pub bytes: usize,
    /// A batch that is not full waits for more until its first record has waited so long. A run
    /// that comes to its end waits for nothing.
    pub age: Duration,
}

impl BatchLimits {
    /// As much as costs little memory, at once.
    pub const AT_ONCE: Self = Self {
        records: 5_000,
        bytes: 8 << 20,
        age: Duration::ZERO,
    };

    /// So much, or what comes within a second.
    pub(crate) const fn within_a_second(records: usize, bytes: usize) -> Self {
        Self {
            records,
            bytes,
            age: Duration::from_secs(1),
        }
    }
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self::AT_ONCE
    }
}

/// How far a delivery came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// How many of the entries, from the first, are now durably with the output. Fewer than were
    /// given, even none, is no failure: the checkpoint has moved instead, and it must be confirmed
    /// before the rest is given again.
    pub lines: usize,
    /// How many of these the output refused for good: they are in its file of dead letters.
    pub dead: usize,
    /// What to confirm together with the last of these entries, and to give with the next ones.
    /// Only the output that made it understands it.
    pub checkpoint: Vec<u8>,
}

/// A place that formatted records are delivered to.
///
/// One step of delivery is: take the pending records, [`deliver`](Self::deliver) them with the
/// checkpoint of the last confirmation, confirm `lines` of them with the new checkpoint in one
/// transaction. Dying anywhere in between repeats the step with the old checkpoint, and the
/// checkpoint, or what each entry is [called](Entry::id), is what lets the output see what it had
/// already done.
#[async_trait]
pub trait Output: Send + Sync {
    /// The name under which the spool keeps this output's position.
    fn name(&self) -> &OutputName;

    /// Finds out whether the place can be used, and changes nothing there. What is good about it,
    /// in a few words for an operator.
    ///
    /// # Errors
    ///
    /// What [`prepare`](Self::prepare) or [`deliver`](Self::deliver) would fail with.
    async fn check(&mut self) -> Result<String>;

    /// Makes the place ready and finds out early whether it can be used at all. Called before
    /// anything is delivered, and again after a failure. A peer that is out of reach is no
    /// failure yet.
    ///
    /// # Errors
    ///
    /// [`OutputCreate`](crate::ErrorKind::OutputCreate) when it cannot be created or is refused,
    /// [`Credentials`](crate::ErrorKind::Credentials) when a secret cannot be read.
    async fn prepare(&mut self) -> Result<()>;

    /// Delivers entries in order, in one attempt. `checkpoint` is the one last confirmed; `None`
    /// before the first confirmation.
    ///
    /// # Errors
    ///
    /// When nothing can be said to have arrived: confirm nothing. The same entries may be given
    /// again, later or by the next process.
    /// [`OutputUnavailable`](crate::ErrorKind::OutputUnavailable) is what time may mend by itself.
    async fn deliver(&mut self, entries: &[Entry], checkpoint: Option<&[u8]>) -> Result<Delivered>;
}
