//! Rotation by the real logrotate: rename, create nothing, compress one rotation later, and leave a file
//! alone that does not end in a newline.
//!
//! The last of these is for the readers. A line that was torn by a crash is completed by the next
//! run, also in a file that has been renamed meanwhile; but `tail -F` and rsyslog let go of a
//! renamed file at once and never see the rest of the line. So such a file is not rotated before
//! it is whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::Result;
use crate::process::is_installed;
use crate::test_site::TestSite;

/// logrotate, set up for one site's output.
pub(crate) struct Logrotate {
    rule: PathBuf,
    state: PathBuf,
}

impl Logrotate {
    /// `None` where logrotate is not installed.
    pub(crate) fn of(site: &TestSite) -> Result<Option<Self>> {
        if !is_installed("logrotate") {
            return Ok(None);
        }
        let rotation = Self {
            rule: site.folder().join("logrotate.conf"),
            state: site.folder().join("logrotate.state"),
        };
        fs::write(&rotation.rule, rule_for(&site.output()))?;
        Ok(Some(rotation))
    }

    /// Begins to rotate, now.
    pub(crate) fn begin(&self) -> Result<Child> {
        let child = Command::new("logrotate")
            .args(["-f", "-s"])
            .args([&self.state, &self.rule])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(child)
    }

    /// Rotates; `false` when the file was left alone.
    pub(crate) fn rotate(&self) -> Result<bool> {
        Ok(self.begin()?.wait()?.success())
    }
}

fn rule_for(output: &Path) -> String {
    format!(
        r#""{}" {{
    rotate 100000
    nocreate
    missingok
    compress
    delaycompress
    prerotate
        test -z "$(tail -c 1 "$1")"
    endscript
}}
"#,
        output.display()
    )
}
