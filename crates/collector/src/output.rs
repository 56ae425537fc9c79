//! What takes formatted records away: the last station of a record's way.
//!
//! Delivery hands an output the lines that its position in the spool says are next, together with
//! the checkpoint that the spool keeps for it, and confirms what comes back. An output keeps
//! nothing across a restart itself.

mod file;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;

pub use file::FileOutput;

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

/// How far a delivery came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// How many of the lines, from the first, are now durably with the output. Fewer than were
    /// given, even none, is no failure: the checkpoint has moved instead, and it must be confirmed
    /// before the rest is given again.
    pub lines: usize,
    /// What to confirm together with the last of these lines, and to give with the next ones. Only
    /// the output that made it understands it.
    pub checkpoint: Vec<u8>,
}

/// A place that formatted records are delivered to.
///
/// One step of delivery is: take the pending records, [`deliver`](Self::deliver) them with the
/// checkpoint of the last confirmation, confirm `lines` of them with the new checkpoint in one
/// transaction. Dying anywhere in between repeats the step with the old checkpoint, and the
/// checkpoint is what lets the output see what it had already done.
#[async_trait]
pub trait Output: Send {
    /// The name under which the spool keeps this output's position.
    fn name(&self) -> &OutputName;

    /// Makes the place ready and finds out early whether it can be used at all. Called once,
    /// before anything is read from a site.
    ///
    /// # Errors
    ///
    /// [`OutputCreate`](crate::ErrorKind::OutputCreate) when it cannot be created or is refused.
    async fn prepare(&mut self) -> Result<()>;

    /// Delivers lines, each without its newline, in order. `checkpoint` is the one last confirmed;
    /// `None` before the first confirmation.
    ///
    /// # Errors
    ///
    /// When nothing can be said to have arrived: confirm nothing. The same lines may be given
    /// again, later or by the next process.
    async fn deliver(&mut self, lines: &[Bytes], checkpoint: Option<&[u8]>) -> Result<Delivered>;
}
