//! Fault injection into one system call of a run, by a library that is loaded before the C library
//! (`inject.c`). It counts the calls of all threads together, and can tear a write.
//!
//! The library sees only what goes through the C library, and only the kinds of call that it knows. So
//! strace takes a census of the same run: whatever else changes the disk is an error. strace could inject
//! faults too, but counts the calls of each thread apart, and would never reach what a second thread does
//! behind the N-th call of the first: 62 of the 320 writes of a first run to the spool.

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

/// What is done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
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

impl Fault {
    /// Whether there is such a fault for a call of this kind.
    pub(crate) fn fits(self, call: &str) -> bool {
        !matches!(self, Self::Tear | Self::Half) || matches!(call, "write" | "pwrite64")
    }
}

/// One call, and what is done to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Injection {
    pub(crate) fault: Fault,
    pub(crate) call: &'static str,
    /// Which one, from 1.
    pub(crate) number: u32,
}

/// The library, for as long as this lives.
pub(crate) struct Injector {
    library: PathBuf,
    _folder: TempDir,
}

impl Injector {
    /// Builds the library; `None` where there is no C compiler.
    pub(crate) fn build() -> Result<Option<Self>> {
        if !is_installed("cc") {
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let source = folder.path().join("inject.c");
        let library = folder.path().join("inject.so");
        fs::write(&source, include_str!("inject.c"))?;
        let status = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"])
            .arg("-o")
            .args([&library, &source])
            .status()?;
        if !status.success() {
            return Err("the library that injects faults does not build".into());
        }
        Ok(Some(Self {
            library,
            _folder: folder,
        }))
    }

    /// The calls of a run without a fault, by kind.
    pub(crate) fn calls(&self, site: &TestSite) -> Result<BTreeMap<String, u32>> {
        let mut command = site.fetch()?;
        command.envs(self.environment(site, "write", "list", 0));
        site.finish(command.spawn()?)?;
        listed(site)
    }

    /// Fails when strace sees a run change the disk by a call that the library does not.
    pub(crate) fn census(&self, site: &TestSite) -> Result {
        if !is_installed("strace") {
            return Ok(());
        }
        let log = site.folder().join("strace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-y", "-o"]).arg(&log);
        strace.arg(format!("-etrace={},{OTHERS}", CALLS.join(",")));
        for (name, value) in self.environment(site, "write", "list", 0) {
            strace.arg(format!("-E{name}={}", value.display()));
        }
        site.finish(site.fetch_within(strace)?.spawn()?)?;
        compare(&listed(site)?, &fs::read_to_string(log)?, &site.disk())
    }

    /// A run to which this is done.
    pub(crate) fn command(&self, site: &TestSite, injection: &Injection) -> Result<Command> {
        let fault = match injection.fault {
            Fault::Kill => "kill",
            Fault::Tear => "tear",
            Fault::Eio => "5",
            Fault::Enospc => "28",
            Fault::Half => "half",
        };
        let mut command = site.fetch()?;
        command.envs(self.environment(site, injection.call, fault, injection.number));
        Ok(command)
    }

    fn environment(
        &self,
        site: &TestSite,
        call: &str,
        fault: &str,
        number: u32,
    ) -> [(&'static str, PathBuf); 6] {
        let mark = mark(site);
        // Of the run before.
        let _ = fs::remove_file(&mark);
        [
            ("LD_PRELOAD", self.library.clone()),
            ("INJECT_DISK", site.disk().join("")),
            ("INJECT_CALL", call.into()),
            ("INJECT_NUMBER", number.to_string().into()),
            ("INJECT_FAULT", fault.into()),
            ("INJECT_MARK", mark),
        ]
    }

    /// Where it happened, if it did: a run may make fewer calls than that.
    pub(crate) fn happened(site: &TestSite) -> Option<String> {
        let text = fs::read_to_string(mark(site)).ok()?;
        text.lines().next().map(str::to_owned)
    }
}

/// The calls that the library has noted, by kind.
fn listed(site: &TestSite) -> Result<BTreeMap<String, u32>> {
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(mark(site))?.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        *calls.entry(name.to_owned()).or_default() += 1;
    }
    Ok(calls)
}

/// The file in which the library notes calls.
fn mark(site: &TestSite) -> PathBuf {
    site.folder().join("injected")
}

/// Whether strace has seen the calls that the library has, and no other on the disk.
fn compare(calls: &BTreeMap<String, u32>, log: &str, disk: &Path) -> Result {
    let disk = format!("{}/", disk.display());
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for line in log.lines() {
        // `PID NAME(ARGUMENTS) = RESULT`; a call that another thread interrupts goes on in a second line.
        let Some((name, arguments)) = line.split_once('(') else {
            continue;
        };
        let name = match name.rsplit(' ').next().unwrap_or_default() {
            // What the library itself makes of these two.
            "unlinkat" => "unlink",
            "renameat2" => "rename",
            name => name,
        };
        if !CALLS.contains(&name) {
            if line.contains(&disk) {
                return Err(format!("the injector does not know this call: {line}").into());
            }
        } else if path(arguments).is_some_and(|path| path.starts_with(&disk)) {
            *seen.entry(name).or_default() += 1;
        }
    }
    for call in CALLS {
        let listed = calls.get(call).copied().unwrap_or_default();
        let seen = seen.get(call).copied().unwrap_or_default();
        if listed != seen {
            return Err(format!("{call}: strace saw {seen} calls, the injector {listed}").into());
        }
    }
    Ok(())
}

/// The file that a call is about: that of its descriptor, else the first name that it is given.
fn path(arguments: &str) -> Option<&str> {
    let (_, path) = if arguments.starts_with(|char: char| char.is_ascii_digit()) {
        arguments.split_once('<')?
    } else {
        arguments.split_once('"')?
    };
    path.split(['>', '"']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
        1 openat(AT_FDCWD</home>, \"/disk/a\", O_RDWR) = 3</disk/a>\n\
        1 write(3</disk/a>, \"/disk/b\", 7) = 7\n\
        2 write(1</stdout>, \"/disk/a\", 7 <unfinished ...>\n\
        2 <... write resumed>) = 7\n\
        1 renameat2(AT_FDCWD</home>, \"/disk/a\", AT_FDCWD</home>, \"/disk/b\", 0) = 0\n";

    fn calls(writes: u32) -> BTreeMap<String, u32> {
        let calls = [("openat", 1), ("write", writes), ("rename", 1)];
        calls.map(|(name, count)| (name.to_owned(), count)).into()
    }

    #[test]
    fn a_call_that_the_library_misses_fails_the_census() {
        let disk = Path::new("/disk");
        compare(&calls(1), LOG, disk).expect("they agree");
        assert!(compare(&calls(0), LOG, disk).is_err());
        let other = format!("{LOG}1 mkdirat(AT_FDCWD</home>, \"/disk/c\", 0700) = 0\n");
        assert!(compare(&calls(1), &other, disk).is_err());
    }
}
