//! Checkpoint of an output file: its device and inode, and how far it is confirmed.

use confluence_audit_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// Which file is being written, and how far what is in it has been confirmed.
///
/// The file is known by its inode alone: device numbers are given out anew at every start of the
/// machine, and the start after a power failure is the one where the right file matters most. The
/// path's directory bounds the search, and a byte is checked at the offset, so that an inode used
/// again is not taken for the old file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) ino: u64,
    pub(super) offset: u64,
    /// When it was begun, where its age counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) began: Option<Timestamp>,
}

impl Checkpoint {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| {
            Error::new(
                ErrorKind::State,
                "the spool's checkpoint of an output file cannot be understood",
                "Another kind of output had this name, or the state is damaged. Give the output a \
                 new name or path: it will get everything that is still spooled.",
            )
            .with_source(error)
        })
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|error| Error::internal("a checkpoint is not JSON").with_source(error))
    }
}
