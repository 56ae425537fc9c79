//! `cargo xtask demo`: a simulated site, the real program reading it, late and identical records, and the
//! program reading again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use confluence_audit_sim::{API_TOKEN, Burst, EMAIL, NewRecords, Sim, SimConfig, When};

use crate::error::Result;
use crate::workspace::{Profile, build};

/// Where the records go: the name that the guide's script used.
const OUTPUT: &str = "flattened.json";

/// Runs it in the current folder.
pub(crate) fn run() -> Result {
    let program = build(&["confluence-audit-cli"], Profile::Debug)?.join("confluence-audit");
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("api-token");
    write_secret(&token, API_TOKEN)?;
    set_aside()?;

    let sim = Sim::start(SimConfig {
        records: 20_000,
        twins: 0.02,
        hostile: 0.02,
        bursts: vec![Burst {
            records: 2_500,
            ..Burst::default()
        }],
        ..SimConfig::default()
    })?;
    println!("A simulated Confluence site is at {}.", sim.url());
    println!(
        "Its audit log holds {} records: twins, 2,500 in one millisecond,",
        sim.truth().len()
    );
    println!("and strings made to break parsers and terminals.\n");

    let fetch = || fetch(&program, &sim, &token, &folder.path().join("state"));
    fetch()?;
    let before = lines()?;

    println!(
        "\nFive records now arrive late, with times that were read already; two of them are\nidentical to the byte to records that were there."
    );
    let late = When::Late(Duration::from_mins(10));
    let records = NewRecords {
        when: late,
        ..NewRecords::default()
    };
    sim.insert(&NewRecords {
        count: 3,
        ..records.clone()
    });
    sim.insert(&NewRecords {
        count: 2,
        twins: true,
        ..records
    });
    println!("Collecting again:\n");
    fetch()?;

    let after = lines()?;
    println!("\nNew in the file:");
    for line in after.get(before.len()..).unwrap_or_default() {
        println!("  {}", shown(line)?);
    }
    let (missing, extra) = difference(sim.truth(), &after)?;
    println!(
        "\nThe site has {} records; the file lacks {missing} of them and holds {extra} too many.",
        sim.truth().len()
    );
    println!(
        "It is {}, one record a line.",
        std::path::absolute(OUTPUT)?.display()
    );
    if missing + extra > 0 {
        return Err("the file does not hold what the site has".into());
    }
    Ok(())
}

/// An earlier demonstration's file is kept under another name: this one begins anew.
fn set_aside() -> Result {
    if !Path::new(OUTPUT).exists() {
        return Ok(());
    }
    let free = (1..10_000)
        .map(|n| format!("{OUTPUT}.{n}"))
        .find(|name| !Path::new(name).exists());
    let name = free.ok_or("there is no free name")?;
    fs::rename(OUTPUT, &name)?;
    println!("{OUTPUT} was there already and is now {name}.\n");
    Ok(())
}

fn write_secret(path: &Path, secret: &str) -> Result {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    std::io::Write::write_all(&mut file, secret.as_bytes())?;
    Ok(())
}

fn fetch(program: &Path, sim: &Sim, token: &Path, state: &Path) -> Result {
    let mut command = Command::new(program);
    command.args([
        "fetch",
        "--site-url",
        sim.url(),
        "--api-url",
        sim.url(),
        "--email",
        EMAIL,
    ]);
    command
        .arg("--api-token-file")
        .arg(token)
        .arg("--state-dir")
        .arg(state);
    command.args(["--output", OUTPUT]);
    // Nobody's own settings shall reach the demonstration.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CONFLUENCE_AUDIT_") {
            command.env_remove(&name);
        }
    }
    println!(
        "$ confluence-audit fetch --site-url {0} --api-url {0} --email {EMAIL} \\",
        sim.url()
    );
    println!("    --api-token-file … --state-dir … --output {OUTPUT}");
    let status = command.status()?;
    if !status.success() {
        return Err(format!("the program ended with {status}").into());
    }
    Ok(())
}

fn lines() -> Result<Vec<String>> {
    Ok(fs::read_to_string(OUTPUT)?
        .lines()
        .map(str::to_owned)
        .collect())
}

/// A record in one short line.
fn shown(line: &str) -> Result<String> {
    let record: serde_json::Value = serde_json::from_str(line)?;
    let text = |pointer| {
        record
            .pointer(pointer)
            .and_then(serde_json::Value::as_str)
            .unwrap_or("")
    };
    let time = record["creationDate"].as_i64().unwrap_or(0);
    let time = jiff::Timestamp::from_millisecond(time)?;
    let name: String = text("/affectedObject/name").chars().take(30).collect();
    Ok(format!(
        "{time:.3}  {}  {}",
        text("/summary"),
        name.escape_debug()
    ))
}

/// How many of the site's records the file lacks, and how many it holds too many, as multisets.
fn difference(truth: impl Iterator<Item = String>, lines: &[String]) -> Result<(u64, u64)> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    // Both sides in the same spelling.
    let spelled = |line: &str| -> Result<String> {
        Ok(serde_json::from_str::<serde_json::Value>(line)?.to_string())
    };
    for line in truth {
        *counts.entry(spelled(&line)?).or_default() += 1;
    }
    for line in lines {
        *counts.entry(spelled(line)?).or_default() -= 1;
    }
    let sum = |sign: i64| {
        counts
            .values()
            .map(|n| (n * sign).max(0).unsigned_abs())
            .sum()
    };
    Ok((sum(1), sum(-1)))
}
