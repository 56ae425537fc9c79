//! An open output file, and what stands in it measured against what is due.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::batch::Batch;
use crate::fs::{self, OpenError};
use crate::{Error, ErrorKind, Result};

/// What stands behind the confirmed offset, measured against the batch that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// How many of the batch's lines stand there whole.
    pub(super) lines: usize,
    /// Where the batch goes on: it stands there up to this byte, and nothing follows. `None` when
    /// something else follows.
    pub(super) goes_on: Option<usize>,
}

/// An open file and where it was found.
pub(super) struct Target {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) ino: u64,
    pub(super) len: u64,
}

impl Target {
    pub(super) fn open(path: &Path, create: bool) -> Result<Self, OpenError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(create);
        let file = fs::open(path, options.mode(0o640))?;
        let meta = file.metadata()?;
        Ok(Self {
            file,
            path: path.to_owned(),
            ino: meta.ino(),
            len: meta.len(),
        })
    }

    pub(super) fn tail(&self, offset: u64, batch: &Batch) -> Result<Tail> {
        let foreign = Tail {
            lines: 0,
            goes_on: None,
        };
        let Some(behind) = self.len.checked_sub(offset) else {
            return Ok(foreign);
        };
        // What was confirmed ended in a newline. If there is none, the file was cut and filled
        // again, or the inode is another file's by now.
        if offset > 0 && self.read(offset - 1, 1)? != b"\n" {
            return Ok(foreign);
        }
        let len = usize::try_from(behind).unwrap_or(usize::MAX);
        let found = self.read(offset, len.min(batch.bytes.len()))?;
        let same = found
            .iter()
            .zip(&batch.bytes)
            .take_while(|(found, due)| found == due)
            .count();
        Ok(Tail {
            lines: batch.ends.partition_point(|end| *end <= same),
            goes_on: (same == len).then_some(same),
        })
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|error| self.failed("reading back what is in it", error))?;
        Ok(bytes)
    }

    pub(super) fn ends_in_newline(&self) -> Result<bool> {
        Ok(self.len == 0 || self.read(self.len - 1, 1)? == b"\n")
    }

    pub(super) fn failed(&self, what: &str, error: io::Error) -> Error {
        let path = self.path.display();
        Error::new(
            ErrorKind::Io,
            format!("the output file {path}: {what} failed"),
            "See to the disk (free space, health, permissions). Nothing is lost: what was not \
             confirmed waits in the spool, and the next run continues this file at its last byte.",
        )
        .with_source(error)
    }
}
