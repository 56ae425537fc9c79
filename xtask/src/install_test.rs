//! `cargo xtask install-test`: the package on a bare Debian that systemd boots. It is installed, used by the
//! commands that README and migration page give, upgraded, removed and purged.
//!
//! debootstrap makes the tree once; each run is made on a copy of it, in a container without a network,
//! in which the simulated site is on loopback. What is done inside is in `install_test/*.sh`.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use confluence_audit_sim::{API_TOKEN, EMAIL};

use crate::error::Result;
use crate::packages::Stage;
use crate::process::{is_installed, succeed};
use crate::workspace::{Profile, build, root, target};

const TOOLS: [&str; 4] = ["systemd-nspawn", "debootstrap", "apt-get", "cargo-deb"];

/// What the bare tree has beside what every Debian has.
const INCLUDED: &str = "systemd,systemd-sysv,dbus,logrotate,ca-certificates";

/// A page, its section, and what is done around its commands.
const RUNS: [(&str, &str, &str); 2] = [
    (
        "README.md",
        "## On a host",
        include_str!("install_test/host.sh"),
    ),
    (
        "docs/migrating-from-the-script.md",
        "## The commands",
        include_str!("install_test/migration.sh"),
    ),
];

/// Where the simulated site is, inside.
const SITE: &str = "http://127.0.0.1:8080";

/// Makes the package and tries it.
pub(crate) fn run() -> Result {
    if let Some(reason) = hindrance()? {
        println!("skipped: {reason}");
        return Ok(());
    }
    let folder = target().join("install-test");
    fs::create_dir_all(&folder)?;
    let base = base(&folder)?;
    if !starts(&base)? {
        println!("skipped: systemd-nspawn cannot start anything here");
        return Ok(());
    }
    let stage = Stage::debug()?;
    let programs = build(&["confluence-audit-sim"], Profile::Debug)?;
    let packages = tempfile::tempdir_in(&folder)?;
    let package = stage.deb(packages.path(), Some("0.0.1"))?;
    let newer = stage.deb(packages.path(), Some("9999"))?;
    for (page, section, script) in RUNS {
        println!("==> {page}, {section}");
        // Removed with everything in it, however this ends.
        let tree = tempfile::tempdir_in(&folder)?;
        let machine = tree.path().join("bare");
        succeed(
            Command::new("cp")
                .args(["--archive", "--reflink=auto"])
                .arg(&base)
                .arg(&machine),
        )?;
        let home = machine.join("root");
        copy_into(&package, &home)?;
        fs::create_dir(home.join("newer"))?;
        copy_into(&newer, &home.join("newer"))?;
        copy_into(
            &programs.join("confluence-audit-sim"),
            &machine.join("usr/local/bin"),
        )?;
        fs::write(home.join("token"), format!("{API_TOKEN}\n"))?;
        let text = fs::read_to_string(root().join(page))?;
        fs::write(home.join("commands.sh"), commands(&text, section)?)?;
        fs::write(
            home.join("common.sh"),
            include_str!("install_test/common.sh"),
        )?;
        fs::write(home.join("run.sh"), script)?;
        boot(&machine)?;
        // The printed transcript is what a person reads; this is what decides.
        let verdict = fs::read_to_string(home.join("verdict")).unwrap_or_default();
        if verdict.trim() != "0" {
            return Err(format!(
                "{page}: what was done inside ended with `{}`",
                verdict.trim()
            )
            .into());
        }
        let served = home.join("metrics");
        if served.exists() {
            metrics(&served)?;
        }
    }
    Ok(())
}

/// Why it cannot be done here, if it cannot.
fn hindrance() -> Result<Option<String>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(Some("only root can boot a machine".to_owned()));
    }
    let missing = TOOLS.iter().find(|tool| !is_installed(tool));
    Ok(missing.map(|tool| format!("{tool} is not installed")))
}

/// The bare tree, made by debootstrap when it is not there. Its release is this host's, whose C library
/// the programs were built against.
fn base(folder: &Path) -> Result<PathBuf> {
    let os = fs::read_to_string("/etc/os-release")?;
    let release = os
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let release = release.ok_or("/etc/os-release names no release")?;
    let base = folder.join(format!("bare-{release}"));
    if base.exists() {
        return Ok(base);
    }
    let answer = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(RELEASE) $(SITE)",
            "Created-By: Packages",
        ])
        .output()?;
    let targets = String::from_utf8(answer.stdout)?;
    let mirror = targets
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{release} ")))
        .ok_or_else(|| format!("apt knows no mirror of {release}"))?;
    println!("==> debootstrap {release}");
    // Under another name until it is whole.
    let unfinished = folder.join("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    succeed(
        Command::new("debootstrap")
            .args([
                "--variant=minbase",
                &format!("--include={INCLUDED}"),
                release,
            ])
            .arg(&unfinished)
            .arg(mirror)
            .stdout(Stdio::null()),
    )?;
    fs::rename(&unfinished, &base)?;
    Ok(base)
}

fn starts(base: &Path) -> Result<bool> {
    let answer = container(base).arg("/bin/true").output()?;
    eprint!("{}", String::from_utf8_lossy(&answer.stderr));
    Ok(answer.status.success())
}

/// A container in `tree`, without a network and without anybody who has to be told of it.
fn container(tree: &Path) -> Command {
    let mut command = Command::new("systemd-nspawn");
    command.args([
        "--quiet",
        "--private-network",
        "--register=no",
        "--keep-unit",
    ]);
    command.args(["--timezone=off", "--resolv-conf=off", "--machine=bare"]);
    command.arg("--directory").arg(tree).stdin(Stdio::null());
    command
}

/// Boots the tree, has it do what `/root/run.sh` says, and prints what that says.
fn boot(tree: &Path) -> Result {
    let unit = "[Unit]\nAfter=multi-user.target\n\
         [Service]\nType=oneshot\nEnvironment=HOME=/root\nExecStart=/bin/bash /root/run.sh\n\
         ExecStopPost=/bin/sh -c 'echo $EXIT_STATUS > /root/verdict; systemctl poweroff --no-block'\n\
         TimeoutStartSec=10min\nStandardOutput=file:/root/transcript\nStandardError=inherit\n";
    fs::write(tree.join("etc/systemd/system/run.service"), unit)?;
    let wanted = tree.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    std::os::unix::fs::symlink("../run.service", wanted.join("run.service"))?;
    let answer = container(tree).arg("--boot").output()?;
    let transcript = fs::read(tree.join("root/transcript")).unwrap_or_default();
    println!("{}", String::from_utf8_lossy(&transcript));
    if transcript.is_empty() {
        let console = String::from_utf8_lossy(&answer.stdout);
        return Err(format!("it does not boot ({}):\n{console}", answer.status).into());
    }
    Ok(())
}

/// The commands in a section of a page, in order, each printed before it is run. Only what a reader
/// has to fill in is filled in.
fn commands(page: &str, section: &str) -> Result<String> {
    let (_, text) = page
        .split_once(&format!("\n{section}\n"))
        .ok_or_else(|| format!("the page has no section `{section}`"))?;
    let text = text.split("\n## ").next().unwrap_or_default();
    let mut script = String::new();
    // How far a block's fence is indented, while it is open.
    let mut inside = None;
    let mut command = String::new();
    for line in text.lines() {
        let bare = line.trim_start();
        if bare.starts_with("```") {
            inside = (bare == "```sh").then(|| line.len() - bare.len());
        } else if let Some(indent) = inside {
            command.push_str(line.get(indent..).unwrap_or(bare));
            command.push('\n');
            if !line.ends_with('\\') {
                let filled = command
                    .replace("https://YOUR-SITE.atlassian.net", SITE)
                    .replace("YOU@example.com", EMAIL)
                    .replace("AGENT", "agent");
                let _ = write!(script, "cat << 'SHOWN'\n$ {filled}SHOWN\n{filled}");
                command.clear();
            }
        }
    }
    if script.is_empty() {
        return Err(format!("`{section}` has no commands").into());
    }
    Ok(script)
}

/// Prometheus' own opinion of what the daemon serves.
fn metrics(served: &Path) -> Result {
    if !is_installed("promtool") {
        println!("skipped: promtool is not installed");
        return Ok(());
    }
    let served = fs::File::open(served)?;
    succeed(
        Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(served),
    )
}

fn copy_into(file: &Path, folder: &Path) -> Result {
    let name = file.file_name().ok_or("it has no name")?;
    let copy = folder.join(name);
    fs::copy(file, &copy)?;
    let mode = fs::metadata(file)?.permissions().mode();
    Ok(fs::set_permissions(copy, fs::Permissions::from_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_section_as_they_stand_there() {
        let page = "# A\n```sh\nno\n```\n## B\n1. Text:\n\n   ```sh\n   one \\\n       two\n   three AGENT\n   ```\n\n```toml\nx = 1\n```\n## C\n```sh\nno\n```\n";
        assert_eq!(
            commands(page, "## B").expect("it"),
            "cat << 'SHOWN'\n$ one \\\n    two\nSHOWN\none \\\n    two\n\
             cat << 'SHOWN'\n$ three agent\nSHOWN\nthree agent\n"
        );
        assert!(commands(page, "## D").is_err());
    }

    #[test]
    fn every_page_has_its_commands() {
        for (page, section, _) in RUNS {
            let text = fs::read_to_string(root().join(page)).expect("the page");
            assert!(
                commands(&text, section)
                    .expect("its commands")
                    .contains("confluence-audit check")
            );
        }
    }
}
