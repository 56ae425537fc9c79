//! Checks of this host: the configuration, the state, the output files, and who may read them.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::finding::Reporter;
use super::logrotate::Rotation;
use crate::config::show_size;
use crate::spool::{Spool as _, SqliteSpool};
use crate::state::Lock;
use crate::{Result, Setup};

/// With less space than this a disk is as good as full.
const LITTLE: u64 = 256 << 20;

pub(super) fn configuration(findings: &mut Reporter<'_>, file: Option<&Path>) {
    let Some(file) = file else {
        return findings.good("configuration", "no file; flags and environment");
    };
    let shown = file.display();
    findings.good("configuration", &format!("{shown} is read"));
    let Ok(meta) = fs::metadata(file) else { return };
    let ours = rustix::process::geteuid().as_raw();
    if meta.mode() & 0o022 != 0 || ![0, ours].contains(&meta.uid()) {
        findings.warn(
            "configuration",
            &format!(
                "{shown} can be written by others ({}): they can have the credentials sent elsewhere",
                access(&meta)
            ),
            &format!("chown root {shown} && chmod go-w {shown}"),
        );
    }
}

pub(super) async fn state(findings: &mut Reporter<'_>, setup: &Setup) {
    let dir = &setup.state_dir;
    let shown = dir.display();
    let usable = Lock::check(dir).map(|free| {
        if free {
            format!("{shown} can be used")
        } else {
            format!("{shown} is in use by a run right now")
        }
    });
    findings.note("state", usable);
    match integrity(dir).await {
        Ok(None) => {}
        Ok(Some(wrong)) if wrong.is_empty() => {
            findings.good("state", "nothing in it contradicts itself");
        }
        Ok(Some(wrong)) => findings.warn(
            "state",
            &format!("it contradicts itself: {}", wrong.join("; ")),
            "See `confluence-audit state verify`, then `state recover`.",
        ),
        Err(error) => findings.bad("state", &error),
    }
    let limit = setup.config.state.spool_limit;
    space(findings, "state", dir, limit);
}

/// What is wrong with the state; `None` when there is none yet.
async fn integrity(dir: &Path) -> Result<Option<Vec<String>>> {
    match SqliteSpool::open_read_only(dir)? {
        Some(spool) => spool.inspect().await.map(Some),
        None => Ok(None),
    }
}

/// Says how much space there is at `path`, or where it will be.
fn space(findings: &mut Reporter<'_>, what: &str, path: &Path, wanted: u64) {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find(|path| path.exists());
    let Some(Ok(disk)) = there.map(rustix::fs::statvfs) else {
        return;
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let inodes = disk.f_files > 0 && disk.f_favail == 0;
    let text = format!("{} free", show_size(free));
    if free < LITTLE.min(wanted) || inodes {
        findings.warn(
            what,
            &if inodes {
                format!("{text}, and no inode")
            } else {
                text
            },
            "Make space on that disk: when it is full, collecting waits, and nothing is lost for \
             as long as the site keeps its records.",
        );
    } else if free < wanted {
        findings.warn(
            what,
            &format!(
                "{text}, less than the {} that may wait for outputs",
                show_size(wanted)
            ),
            "Make space, or lower [state] spool_limit.",
        );
    } else {
        findings.good(what, &text);
    }
}

/// Looks at a file that is tailed: who may read it, who rotates it, and the space behind it.
pub(super) fn output_file(findings: &mut Reporter<'_>, path: &Path, rotations: &[Rotation]) {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let shown = absolute.display();
    match fs::metadata(&absolute) {
        Ok(meta) if meta.mode() & 0o044 == 0 => findings.warn(
            "output",
            &format!(
                "{shown} can be read by its owner alone ({}): an agent of another user cannot",
                access(&meta)
            ),
            &format!("chgrp GROUP-OF-THE-AGENT {shown} && chmod g+r {shown}"),
        ),
        Ok(meta) => findings.good("output", &format!("{shown}: {}", access(&meta))),
        // The first run creates it.
        Err(_) => {}
    }
    if let Some(dir) = closed_directory(&absolute) {
        findings.warn(
            "output",
            &format!(
                "{} is closed to all but its owner: an agent cannot reach the file",
                dir.display()
            ),
            &format!(
                "chgrp GROUP-OF-THE-AGENT {0} && chmod g+x {0}",
                dir.display()
            ),
        );
    }
    for rotation in rotations
        .iter()
        .filter(|rotation| rotation.holds(&absolute))
    {
        for (text, remedy) in rotation.faults() {
            let text = format!("{}: {text}", rotation.origin.display());
            findings.warn("rotation", &text, remedy);
        }
    }
    space(findings, "output", &absolute, LITTLE);
}

/// The first directory on the way to `path` that only its owner may enter.
fn closed_directory(path: &Path) -> Option<PathBuf> {
    let mut dirs: Vec<&Path> = path.ancestors().skip(1).collect();
    dirs.reverse();
    let closed = |dir: &&Path| fs::metadata(dir).is_ok_and(|meta| meta.mode() & 0o011 == 0);
    dirs.into_iter().find(closed).map(Path::to_owned)
}

/// Owner, group and mode, as `ls` would say it.
fn access(meta: &Metadata) -> String {
    let owner = name_of("/etc/passwd", meta.uid());
    let group = name_of("/etc/group", meta.gid());
    format!(
        "owner {owner}, group {group}, mode {:04o}",
        meta.mode() & 0o7777
    )
}

/// The name that a number has in a file of colon-separated lines; the number where it has none
/// there, such as a user that systemd made up.
fn name_of(file: &str, id: u32) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id.to_string()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| id.to_string())
}
