//! `cargo xtask dist`: a release, which is an archive of the programs with all that goes with them, a `.deb`, an
//! `.rpm`, a bill of materials for each program, and the sums of all.
//!
//! The same commit gives the same bytes on the same toolchain: times are `SOURCE_DATE_EPOCH`, else the
//! commit's; names are sorted; nobody owns anything; no path of this machine is in a program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Result;
use crate::packages::{Stage, programs};
use crate::process::succeed;
use crate::workspace::{cargo, root, target};

/// What cargo does not bring, each with the crate that does.
const TOOLS: [(&str, &str); 3] = [
    ("deb", "cargo-deb"),
    ("generate-rpm", "cargo-generate-rpm"),
    ("cyclonedx", "cargo-cyclonedx"),
];

/// What goes into the archive beside programs, manual pages and completions.
const INCLUDED: [&str; 7] = [
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "docs",
    "packaging",
];

/// What `cargo xtask dist` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where it goes; what is there is replaced [default: `dist` in the target folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Makes all of it.
pub(crate) fn run(args: &Args) -> Result {
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(command, _)| !knows(command))
        .map(|(_, krate)| *krate)
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(" ");
        return Err(format!("please run: cargo install --locked {missing}").into());
    }
    let epoch = epoch()?;
    let output = args.output.clone();
    let output = output.unwrap_or_else(|| target().join("dist"));
    if output.exists() {
        fs::remove_dir_all(&output)?;
    }
    fs::create_dir_all(&output)?;

    let stage = Stage::release(epoch)?;
    archive(&stage, &output, epoch)?;
    stage.deb(&output, None)?;
    stage.rpm(&output)?;
    materials(&output, epoch)?;
    sums(&output)
}

fn knows(command: &str) -> bool {
    let mut asked = cargo();
    asked.args([command, "--version"]);
    asked
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

/// The time that everything in the release has, in seconds.
fn epoch() -> Result<u64> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        let wrong = |_| format!("SOURCE_DATE_EPOCH is `{given}`, which is no number of seconds");
        return Ok(given.parse().map_err(wrong)?);
    }
    let commit = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .current_dir(root())
        .output()?;
    let time = String::from_utf8(commit.stdout)?;
    let wrong = |_| "there is no commit to take the time from; set SOURCE_DATE_EPOCH";
    Ok(time.trim().parse().map_err(wrong)?)
}

/// The release's name: program, version, machine.
fn name() -> Result<String> {
    let answer = Command::new("rustc").arg("-vV").output()?;
    let version = String::from_utf8(answer.stdout)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc names no host")?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!("confluence-audit-{version}-{host}"))
}

fn archive(stage: &Stage, output: &Path, epoch: u64) -> Result {
    let name = name()?;
    let parent = tempfile::tempdir()?;
    let folder = parent.path().join(&name);
    fs::create_dir(&folder)?;
    let copy = |from: PathBuf| -> Result {
        succeed(Command::new("cp").arg("--recursive").arg(from).arg(&folder))
    };
    for (_, program) in programs() {
        copy(stage.program(program))?;
    }
    for part in ["man", "completions"] {
        copy(stage.generated().join(part))?;
    }
    for part in INCLUDED {
        copy(root().join(part))?;
    }
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--format=ustar",
        "--sort=name",
        "--numeric-owner",
    ]);
    tar.args(["--owner=0", "--group=0", "--mode=u=rwX,go=rX"]);
    tar.arg(format!("--mtime=@{epoch}"));
    tar.arg("--use-compress-program=gzip --no-name --best");
    tar.arg("--file").arg(output.join(format!("{name}.tar.gz")));
    tar.arg("--directory").arg(parent.path()).arg(&name);
    succeed(&mut tar)
}

/// A `CycloneDX` bill of materials for each program.
fn materials(output: &Path, epoch: u64) -> Result {
    // cargo-cyclonedx writes one into the folder of every crate of the workspace.
    const FILE: &str = "bill-of-materials";
    let mut command = cargo();
    command.args([
        "cyclonedx",
        "--quiet",
        "--format",
        "json",
        "--spec-version",
        "1.5",
    ]);
    command
        .args(["--override-filename", FILE])
        .stdin(Stdio::null());
    let made = succeed(&mut command);
    let written = format!("{FILE}.json");
    for (krate, program) in programs() {
        let bill = root().join("crates").join(krate).join(&written);
        if made.is_ok() {
            let bill = settled(&fs::read_to_string(bill)?, epoch)?;
            fs::write(output.join(format!("{program}.cdx.json")), bill)?;
        }
    }
    let crates = fs::read_dir(root().join("crates"))?.filter_map(|entry| Some(entry.ok()?.path()));
    for folder in crates.chain([root().join("tests"), root().join("xtask")]) {
        let bill = folder.join(&written);
        if bill.exists() {
            fs::remove_file(bill)?;
        }
    }
    made
}

/// A bill without what differs from one making to the next: its number, its time, this machine's paths.
fn settled(bill: &str, epoch: u64) -> Result<String> {
    let bill = bill.replace(&*root().to_string_lossy(), "/confluence-audit");
    let mut bill: serde_json::Value = serde_json::from_str(&bill)?;
    if let Some(bill) = bill.as_object_mut() {
        bill.shift_remove("serialNumber");
    }
    let time = jiff::Timestamp::from_second(i64::try_from(epoch)?)?;
    bill["metadata"]["timestamp"] = time.to_string().into();
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
}

fn sums(output: &Path) -> Result {
    let mut names: Vec<_> = fs::read_dir(output)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<_>>()?;
    names.sort();
    let answer = Command::new("sha256sum")
        .arg("--")
        .args(&names)
        .current_dir(output)
        .output()?;
    if !answer.status.success() {
        return Err(format!("sha256sum ended with {}", answer.status).into());
    }
    fs::write(output.join("SHA256SUMS"), &answer.stdout)?;
    println!("{}:", output.display());
    print!("{}", String::from_utf8(answer.stdout)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_of_materials_is_the_same_each_time() {
        let bill = |number: u8| {
            let path = root().join("crates/cli").display().to_string();
            let text = format!(
                r#"{{"serialNumber":"{number}","metadata":{{"timestamp":"{number}"}},"ref":"{path}"}}"#
            );
            settled(&text, 1_795_447_504).expect("it is one")
        };
        assert_eq!(bill(1), bill(2));
        assert_eq!(
            bill(1),
            "{\n  \"metadata\": {\n    \"timestamp\": \"2026-11-23T15:25:04Z\"\n  },\n  \
             \"ref\": \"/confluence-audit/crates/cli\"\n}\n"
        );
    }
}
