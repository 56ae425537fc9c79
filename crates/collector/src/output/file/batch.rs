//! The lines of one delivery, as they will stand in the file.

use bytes::Bytes;

use crate::{Error, Result};

/// The lines that are due, as they will stand in the file.
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where each line ends in `bytes`, its newline included.
    pub(super) ends: Vec<usize>,
}

impl Batch {
    pub(super) fn new(lines: &[Bytes]) -> Result<Self> {
        let total = lines.iter().map(|line| line.len() + 1).sum();
        let mut bytes = Vec::with_capacity(total);
        let mut ends = Vec::with_capacity(lines.len());
        for line in lines {
            if line.contains(&b'\n') {
                return Err(Error::internal("a formatted record is more than one line"));
            }
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
            ends.push(bytes.len());
        }
        Ok(Self { bytes, ends })
    }

    pub(super) fn lines(&self) -> usize {
        self.ends.len()
    }

    /// Where the first `lines` lines end.
    pub(super) fn end_of(&self, lines: usize) -> usize {
        match lines.checked_sub(1) {
            Some(last) => self.ends[last],
            None => 0,
        }
    }
}
