//! Torture mode `full`: output and state on a small tmpfs that fills up, and is made larger step by step.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use confluence_audit_sim::{NewRecords, SimConfig, When};

use super::report::Row;
use super::settings::{Settings, progress};
use crate::error::Result;
use crate::test_site::{Exit, TestSite};

/// Records that a site begins with: about 9 MB.
const RECORDS: usize = 12_000;

/// The sizes of the disk, one after the other, in KiB. The last one is large enough.
const SIZES: [u32; 10] = [
    64, 400, 1_024, 2_048, 4_096, 6_144, 8_192, 10_240, 16_384, 131_072,
];

/// What is on the small disk.
#[derive(Clone, Copy, Debug)]
enum Small {
    All,
    Output,
    State,
}

/// Runs the mode.
pub(crate) fn run(settings: &Settings) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for small in [Small::All, Small::Output, Small::State] {
        let began = Instant::now();
        let mut site = TestSite::start(
            &settings.program,
            SimConfig {
                seed: settings.seed,
                records: RECORDS,
                twins: 0.05,
                ..SimConfig::default()
            },
        )?;
        let mount_point = match small {
            Small::All => site.disk(),
            Small::Output => site.out(),
            Small::State => site.state(),
        };
        let Some(disk) = Tmpfs::mount(&mount_point, SIZES[0])? else {
            progress("full is skipped: a tmpfs cannot be mounted (it needs root)");
            return Ok(rows);
        };
        let row = fill(settings, small, &mut site, &disk, began)?;
        if !row.tally.is_clean() {
            disk.leave();
        }
        rows.push(row);
    }
    Ok(rows)
}

fn fill(
    settings: &Settings,
    small: Small,
    site: &mut TestSite,
    disk: &Tmpfs,
    began: Instant,
) -> Result<Row> {
    for dir in [site.out(), site.state()] {
        fs::create_dir_all(dir)?;
    }
    let mut exits: BTreeMap<String, u64> = BTreeMap::new();
    let (mut runs, mut full) = (0, 0);
    for size in SIZES {
        disk.resize(size)?;
        // Twice: what a full disk left behind must not grow worse.
        for _ in 0..2 {
            runs += 1;
            let exit = site.run()?;
            *exits.entry(format!("{size}K {exit:?}")).or_default() += 1;
            match exit {
                Exit::Done(_) => {
                    site.sim.insert(&NewRecords {
                        count: 200,
                        when: When::Late(Duration::from_mins(10)),
                        twins: false,
                    });
                }
                Exit::Failed(73 | 74) if !site.stderr().trim().is_empty() => full += 1,
                exit => {
                    return Err(site.failure(&format!("{small:?} on {size} KiB: {exit:?}")));
                }
            }
        }
    }
    runs += site.settle()?;
    progress(&format!("full, {small:?}: {exits:?}"));
    Ok(Row {
        mode: format!("full {small:?}").to_lowercase(),
        kills: full,
        runs,
        tally: site.tally()?,
        spent: began.elapsed(),
        seed: settings.seed,
    })
}

/// A file system in memory, for as long as this lives.
struct Tmpfs {
    mount_point: PathBuf,
}

impl Tmpfs {
    /// `None` when this user may not.
    fn mount(mount_point: &Path, kib: u32) -> Result<Option<Self>> {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={kib}k,mode=0700"))
            .arg("torture")
            .arg(mount_point)
            .stderr(std::process::Stdio::null())
            .status()?;
        Ok(status.success().then(|| Self {
            mount_point: mount_point.to_owned(),
        }))
    }

    /// Keeps what is on it for whoever looks for the cause.
    fn leave(self) {
        std::mem::forget(self);
    }

    fn resize(&self, kib: u32) -> Result {
        let status = Command::new("mount")
            .arg("-o")
            .arg(format!("remount,size={kib}k"))
            .arg(&self.mount_point)
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the small disk cannot be made {kib} KiB: {status}").into())
        }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a reader may still be in it.
        let _ = Command::new("umount")
            .arg("-l")
            .arg(&self.mount_point)
            .status();
    }
}
