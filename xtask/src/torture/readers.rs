//! Readers of the output while it is written and rotated: `tail -F` and rsyslog.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::process::{KillOnDrop, dies_with_parent, is_installed};
use crate::tally::{self, Tally};
use crate::test_site::TestSite;

/// How long a reader may lag behind the last line.
const LAG: Duration = Duration::from_secs(15);

/// A program that copies what it sees.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    copy: PathBuf,
    _child: KillOnDrop,
}

impl Reader {
    /// `tail -F`, for a file that exists: begun without one it looks once a second for ever, and
    /// misses a file that is renamed within that second.
    pub(crate) fn tail(site: &TestSite) -> Result<Self> {
        let copy = site.folder().join("tail.copy");
        let child = dies_with_parent("tail")
            .args(["-F", "-n", "+1"])
            .arg(site.output())
            .stdin(Stdio::null())
            .stdout(File::create(&copy)?)
            .stderr(File::create(site.folder().join("tail.stderr"))?)
            .spawn()?;
        Ok(Self {
            name: "tail -F",
            copy,
            _child: KillOnDrop(child),
        })
    }

    /// rsyslog, which waits for the file itself; `None` where it is not installed.
    pub(crate) fn rsyslog(site: &TestSite) -> Result<Option<Self>> {
        if !is_installed("rsyslogd") {
            return Ok(None);
        }
        let folder = site.folder().join("rsyslog");
        fs::create_dir(&folder)?;
        let copy = folder.join("copy");
        File::create(&copy)?;
        let rules = folder.join("rsyslog.conf");
        fs::write(&rules, rules_for(&folder, &site.output(), &copy))?;
        let child = dies_with_parent("rsyslogd")
            .args(["-n", "-f"])
            .arg(&rules)
            .arg("-i")
            .arg(folder.join("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("stderr"))?)
            .spawn()?;
        Ok(Some(Self {
            name: "rsyslog",
            copy,
            _child: KillOnDrop(child),
        }))
    }

    /// Waits until the reader has as much as the truth, or is given up, and compares.
    pub(crate) fn tally(&mut self, site: &TestSite) -> Result<Tally> {
        let expected = site.sim.truth().len();
        let deadline = Instant::now() + LAG;
        while lines(&self.copy)? < expected && Instant::now() < deadline {
            sleep(Duration::from_millis(50));
        }
        // A line too many may still be on its way.
        sleep(Duration::from_millis(200));
        tally::compare(site.sim.truth(), [&self.copy])
    }
}

fn rules_for(folder: &Path, output: &Path, copy: &Path) -> String {
    format!(
        r#"global(workDirectory="{folder}" maxMessageSize="256k")
module(load="imfile" mode="inotify")
template(name="line" type="string" string="%msg%\n")
ruleset(name="copy") {{
    action(type="omfile" file="{copy}" template="line")
}}
input(type="imfile" file="{output}" tag="audit" ruleset="copy")
"#,
        folder = folder.display(),
        copy = copy.display(),
        output = output.display(),
    )
}

fn lines(path: &Path) -> Result<usize> {
    let bytes = fs::read(path)?;
    Ok(memchr::memchr_iter(b'\n', &bytes).count())
}
