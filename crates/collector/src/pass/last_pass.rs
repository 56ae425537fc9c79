//! The outcome of the last pass over a site, kept for `status`, which may be asked by somebody whom
//! a failed run has woken.
//!
//! Nothing depends on it but what people are told, so it is kept in a file of its own for each
//! site, outside of the one transaction, and one that cannot be read or written is no failure.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use confluence_audit_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::fs::NewFile;
use crate::pass::summary::PassSummary;

/// How the last pass over a site ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPass {
    /// When it ended, in milliseconds since the epoch.
    pub ended_ms: i64,
    /// Why it failed, if it did.
    pub error: Option<LastError>,
    /// How many records all passes have found that were new.
    pub records: u64,
    /// How many of these arrived late.
    pub late: u64,
    /// How late the latest of them was at least, in milliseconds.
    pub late_by_ms: u64,
}

/// Why a pass failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// What happened, with its causes.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// The code with which a run ends that fails so.
    pub exit_code: u8,
}

impl LastPass {
    /// What is known of the site of this name; `None` where nothing is. `dir` is the state's.
    pub fn read(dir: &Path, site: &str) -> Option<Self> {
        let text = fs::read(file(dir, site)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Notes how a pass ended that had found this.
    pub fn note(
        dir: &Path,
        site: &str,
        now: Timestamp,
        found: &PassSummary,
        error: Option<&Error>,
    ) {
        let mut last = Self::read(dir, site).unwrap_or_default();
        last.ended_ms = now.as_millis();
        last.error = error.map(|error| LastError {
            message: error.chain(),
            remedy: error.remedy().to_owned(),
            exit_code: error.exit_code(),
        });
        last.records = last.records.saturating_add(found.new);
        last.late = last.late.saturating_add(found.late);
        last.late_by_ms = last.late_by_ms.max(millis(found.late_by));
        if let Err(error) = last.write(dir, site) {
            tracing::debug!("how the pass over {site} ended cannot be noted: {error}");
        }
    }

    /// When it ended.
    pub fn ended(&self) -> Timestamp {
        Timestamp::from_millis(self.ended_ms)
    }

    fn write(&self, dir: &Path, site: &str) -> io::Result<()> {
        // Nobody else writes here: the state directory is locked.
        let mut new = NewFile::create(&file(dir, site), 0o600)?;
        new.write_all(&serde_json::to_vec(self)?)?;
        new.put()
    }
}

/// A site's name is safe as a part of a file's.
fn file(dir: &Path, site: &str) -> PathBuf {
    dir.join(format!("last-pass.{site}.json"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn what_all_passes_found_adds_up_and_only_the_last_error_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let note = |ms, found: PassSummary, error: Option<&Error>| {
            let now = Timestamp::from_millis(ms);
            LastPass::note(dir.path(), "acme", now, &found, error);
            LastPass::read(dir.path(), "acme").unwrap()
        };
        assert_eq!(LastPass::read(dir.path(), "acme"), None);
        let found = PassSummary {
            new: 5,
            late: 2,
            late_by: Duration::from_secs(9),
            ..PassSummary::default()
        };
        let error = Error::new(ErrorKind::Io, "the disk is full", "Make room.");
        let failed = note(1, found, Some(&error));
        assert_eq!(failed.error.unwrap().remedy, "Make room.");
        let found = PassSummary {
            late_by: Duration::from_secs(3),
            ..found
        };
        let last = note(2, found, None);
        let expected = LastPass {
            ended_ms: 2,
            error: None,
            records: 10,
            late: 4,
            late_by_ms: 9_000,
        };
        assert_eq!(last, expected);
        // Damage costs nothing but what it said.
        fs::write(dir.path().join("last-pass.acme.json"), "{").unwrap();
        assert_eq!(note(3, found, None).records, 5);
    }
    #[test]
    fn a_planted_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("victim"), "precious").unwrap();
        for planted in [
            "last-pass.acme.new",
            ".last-pass.acme.json.new",
            "last-pass.acme.json",
        ] {
            std::os::unix::fs::symlink(at("victim"), at(planted)).unwrap();
        }
        let now = Timestamp::from_millis(1);
        LastPass::note(dir.path(), "acme", now, &PassSummary::default(), None);
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "precious");
        let last = LastPass::read(dir.path(), "acme").unwrap();
        assert_eq!(last.ended(), now);
    }
}
