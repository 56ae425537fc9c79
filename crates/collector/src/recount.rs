//! Dedup counts rebuilt from the raw files that a site's records went into: exact recovery after
//! the counts, or the whole state, were lost.
//!
//! What the files hold counts as delivered. The next pass reads the site's log again and delivers
//! what it has and they lack: nothing is lost, and nothing comes twice.

use std::path::PathBuf;

use confluence_audit_core::Timestamp;

use crate::spool::Spool;
use crate::verify::Holdings;
use crate::{Result, SiteId};

/// What was taken from the files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recounted {
    /// The records that the files hold.
    pub records: u64,
    /// The lines that are no records: whatever they were comes again.
    pub torn: u64,
    /// Records without a time of their own. Where the site gives such a record another neighbour
    /// than the file does, it comes again.
    pub untimed: u64,
    /// The next pass reads from here on; `None` is from the site's first record.
    pub from: Option<Timestamp>,
}

/// The records of raw files, read before anything is changed.
#[derive(Debug)]
pub struct RawFiles(Holdings);

impl RawFiles {
    /// Reads the files of one output, plain or compressed, as [`Holdings::read`] does.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be read.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        Holdings::read(files, 0).map(Self)
    }

    /// Whether there are lines in the files, and none is a record.
    pub fn is_of_another_format(&self) -> bool {
        self.0.torn_count() > 0 && self.0.counts().is_empty()
    }

    /// Replaces what `spool` counts of `site` by what the files hold from `since` on, or from
    /// their oldest record on, and has the next pass begin there. What is spooled stays.
    ///
    /// # Errors
    /// As of [`Spool::recount`].
    pub async fn recount(
        &self,
        spool: &dyn Spool,
        site: &SiteId,
        since: Option<Timestamp>,
    ) -> Result<Recounted> {
        let counts = self.0.counts();
        let records = counts.values().map(|n| u64::from(*n)).sum();
        let from = since.or(self.0.oldest());
        let state = spool.recount(site, from, counts).await?;
        Ok(Recounted {
            records,
            torn: self.0.torn_count(),
            untimed: self.0.untimed_count(),
            from: state.watermark,
        })
    }
}
