//! Makes one system call of a run fail, or be its last: by strace, and by a library of ours that
//! is loaded before the program's own.
//!
//! strace counts the calls of each thread for itself, and the program writes from several threads:
//! what the second one does behind the N-th call of the first is never reached. Of the 320 writes
//! of a first run to the spool these were 62, and others in the next run. The library (`inject.c`)
//! counts the calls of all threads together, and can tear a write. It sees only what goes through
//! the C library, so strace goes through its own calls all the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::error::Result;
use crate::process::is_installed;
use crate::test_site::TestSite;

/// The calls that change what is on the disk, or begin to: those that a run of ours makes.
pub(crate) const CALLS: [&str; 8] = [
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename",
    "unlink",
];

/// The other calls that could do so, and that the library does not know.
const OTHERS: &str = "?open,?creat,writev,?pwritev,?pwritev2,sync,syncfs,?sync_file_range,\
                      ?truncate,fallocate,copy_file_range,sendfile,?renameat,renameat2,unlinkat,\
                      ?link,linkat,?symlink,symlinkat,?mkdir,mkdirat,?rmdir";

/// By what a call is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Strace,
    Library,
}

/// What befalls the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The process dies instead.
    Kill,
    /// The process dies when half of the bytes are written.
    Tear,
    /// It fails so.
    Eio,
    /// It fails so.
    Enospc,
    /// Half of the bytes are written, and the next call of the kind fails with ENOSPC.
    Half,
}

impl Fate {
    /// Whether there is such a fate for a call of this kind by this tool.
    pub(crate) fn fits(self, call: &str, tool: Tool) -> bool {
        match self {
            Self::Tear | Self::Half => {
                tool == Tool::Library && matches!(call, "write" | "pwrite64")
            }
            _ => true,
        }
    }
}

/// One call, and what befalls it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Injection {
    pub(crate) tool: Tool,
    pub(crate) fate: Fate,
    pub(crate) call: &'static str,
    /// Which one, from 1.
    pub(crate) at: u32,
}

/// The tools that are there.
pub(crate) struct Injector {
    _folder: TempDir,
    library: Option<PathBuf>,
    strace: bool,
}

impl Injector {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self {
            library: build(folder.path())?,
            strace: is_installed("strace"),
            _folder: folder,
        })
    }

    pub(crate) fn tools(&self) -> Vec<Tool> {
        let mut tools = Vec::new();
        if self.library.is_some() {
            tools.push(Tool::Library);
        }
        if self.strace {
            tools.push(Tool::Strace);
        }
        tools
    }

    /// The calls of a whole run, by kind.
    pub(crate) fn calls_of_a_run(&self, site: &TestSite) -> Result<BTreeMap<String, u32>> {
        let mut command = site.fetch()?;
        let mark = self.preload(&mut command, site, "write", "list", 0);
        site.finish(command.spawn()?)?;
        let mut calls = BTreeMap::new();
        for line in fs::read_to_string(mark)?.lines() {
            let name = line.split(' ').next().unwrap_or_default();
            *calls.entry(name.to_owned()).or_default() += 1;
        }
        Ok(calls)
    }

    /// Fails when a run changes the disk in a way that nobody tortures.
    pub(crate) fn sees_all(&self, site: &TestSite) -> Result {
        if !self.strace {
            return Ok(());
        }
        let log = mark(site);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-y", "-o"]).arg(&log);
        strace.arg(format!("-etrace={OTHERS}"));
        site.finish(site.fetch_within(strace)?.spawn()?)?;
        let disk = site.disk().display().to_string();
        let log = fs::read_to_string(log)?;
        match log.lines().find(|line| line.contains(&disk)) {
            Some(line) => Err(format!("nobody tortures this call: {line}").into()),
            None => Ok(()),
        }
    }

    /// A run that this befalls.
    pub(crate) fn command(&self, site: &TestSite, injection: &Injection) -> Result<Command> {
        let Injection { fate, call, at, .. } = injection;
        if injection.tool == Tool::Strace {
            return strace(site, injection);
        }
        let mut command = site.fetch()?;
        let how = match fate {
            Fate::Kill => "kill",
            Fate::Tear => "tear",
            Fate::Eio => "5",
            Fate::Enospc => "28",
            Fate::Half => "half",
        };
        self.preload(&mut command, site, call, how, *at);
        Ok(command)
    }

    fn preload(
        &self,
        command: &mut Command,
        site: &TestSite,
        call: &str,
        how: &str,
        at: u32,
    ) -> PathBuf {
        let mark = mark(site);
        // Of the run before.
        let _ = fs::remove_file(&mark);
        command
            .env(
                "LD_PRELOAD",
                self.library.as_deref().unwrap_or(Path::new("")),
            )
            .env("STOP_DISK", site.disk().join(""))
            .env("STOP_CALL", call)
            .env("STOP_AT", at.to_string())
            .env("STOP_HOW", how)
            .env("STOP_MARK", &mark);
        mark
    }

    /// Where it happened, if it did: a run may make fewer calls than that.
    pub(crate) fn happened(site: &TestSite, injection: &Injection) -> Option<String> {
        let text = fs::read_to_string(mark(site)).ok()?;
        match injection.tool {
            Tool::Library => text.lines().next().map(str::to_owned),
            Tool::Strace => text
                .lines()
                .find(|line| line.contains("(INJECTED)") || line.contains("killed by SIGKILL"))
                .map(str::to_owned),
        }
    }
}

fn mark(site: &TestSite) -> PathBuf {
    site.folder().join("injected")
}

fn strace(site: &TestSite, injection: &Injection) -> Result<Command> {
    let Injection { fate, call, at, .. } = injection;
    let how = match fate {
        Fate::Kill | Fate::Tear => "signal=SIGKILL",
        Fate::Eio => "error=EIO",
        Fate::Enospc | Fate::Half => "error=ENOSPC",
    };
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(mark(site));
    command.arg(format!("-etrace={call}"));
    command.arg(format!("-einject={call}:{how}:when={at}"));
    for path in paths(site) {
        command.arg("-P").arg(path);
    }
    site.fetch_within(command)
}

/// Every file and directory of the disk that a run touches.
fn paths(site: &TestSite) -> Vec<PathBuf> {
    let state = site.state();
    let database = ["spool.sqlite3", "spool.sqlite3.new"];
    let beside = ["", "-wal", "-shm", "-journal"];
    let mut paths = vec![site.out(), site.output(), state.join("lock"), state.clone()];
    for name in database {
        paths.extend(beside.map(|end| state.join(format!("{name}{end}"))));
    }
    paths
}

/// Builds the library; `None` where there is no C compiler.
fn build(folder: &Path) -> Result<Option<PathBuf>> {
    if !is_installed("cc") {
        return Ok(None);
    }
    let source = folder.join("stop.c");
    let library = folder.join("stop.so");
    fs::write(&source, include_str!("inject.c"))?;
    let status = Command::new("cc")
        .args([
            "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o",
        ])
        .args([&library, &source])
        .status()?;
    if !status.success() {
        return Err("the library that stops programs does not build".into());
    }
    Ok(Some(library))
}
