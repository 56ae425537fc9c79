//! Gate step `packaging`: the files in `packaging/`, read by the programs that will read them (systemd,
//! logrotate, Prometheus). What `generate` prints for a configuration in which every path is unusual is read
//! by them too. A program that is not installed is named, and its part skipped.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Result;
use crate::process::{is_installed, output};
use crate::workspace::{Profile, build, root};

/// The most that `systemd-analyze security` may give a service, in tenths.
const EXPOSURE: &str = "15";

/// A configuration that fills in whatever can be filled in.
const AWAY: &str = r#"
[state]
dir = "/srv/the state/100%"
[collect]
interval = "42m"
[[site]]
name = "a"
url = "https://a.example"
auth = { kind = "api-token", email = "x@a.example", token_file = "a.token" }
[[site]]
name = "b"
url = "https://b.example"
auth = { kind = "oauth", token_file = "/home/somebody/b.oauth.json" }
[[site]]
name = "c"
url = "https://c.example"
auth = { kind = "service-account", client_id = "c", client_secret_file = "/root/c.secret" }
[[output]]
kind = "file"
path = "/home/some body/{site}:[x].json"
[[output]]
kind = "elasticsearch"
url = "https://es.example"
index = "x"
api_key_file = "es.key"
ca_file = "/root/es-ca.pem"
dead_letter = "/srv/refused/es.json"
"#;

/// Checks all of it.
pub(crate) fn run() -> Result {
    let packaging = root().join("packaging");
    let folder = tempfile::tempdir()?;
    let away = generated(folder.path())?;

    units(&packaging.join("systemd"), &folder.path().join("units"))?;
    units(
        &away.join("etc/systemd/system"),
        &folder.path().join("away"),
    )?;
    for (sysusers, tmpfiles) in [
        (packaging.join("sysusers.d"), packaging.join("tmpfiles.d")),
        (away.join("etc/sysusers.d"), away.join("etc/tmpfiles.d")),
    ] {
        folders(
            &sysusers.join("confluence-audit.conf"),
            &tmpfiles.join("confluence-audit.conf"),
        )?;
    }
    rotation(&packaging.join("logrotate.d/confluence-audit"))?;
    rotation(&away.join("etc/logrotate.d/confluence-audit"))?;
    metrics(&packaging)
}

/// A tree with everything that is generated for [`AWAY`].
fn generated(folder: &Path) -> Result<PathBuf> {
    let program = build(&["confluence-audit-cli"], Profile::Debug)?.join("confluence-audit");
    let config = folder.join("config.toml");
    fs::write(&config, AWAY)?;
    let tree = folder.join("tree");
    for what in ["systemd", "logrotate"] {
        let mut command = Command::new(&program);
        command.args(["generate", what, "--user", "someone", "--config"]);
        command.arg(&config).arg("--dir").arg(&tree);
        silent(&mut command)?;
    }
    Ok(tree)
}

/// Has systemd read the units, and say how far each service is exposed.
fn units(source: &Path, copies: &Path) -> Result {
    if !is_installed("systemd-analyze") {
        println!("skipped: systemd-analyze is not installed");
        return Ok(());
    }
    let units = copied(source, copies)?;
    // The units name each other, and manual pages that are not installed.
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).args(&units);
    // It ends with 0 even where it does not know a key.
    silent(&mut verify)?;
    for unit in units {
        if unit.extension().is_some_and(|ending| ending == "service") {
            let mut security = Command::new("systemd-analyze");
            security.args(["security", "--offline=true", "--no-pager"]);
            security.arg(format!("--threshold={EXPOSURE}")).arg(&unit);
            let report = output(&mut security)?;
            println!("    {}", report.lines().last().unwrap_or_default());
        }
    }
    Ok(())
}

/// Copies units, and their drop-ins, so that they start something that is installed here: a unit
/// that starts nothing is refused.
fn copied(source: &Path, copies: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(copies)?;
    let mut units = Vec::new();
    for unit in fs::read_dir(source)? {
        let unit = unit?;
        let (unit, copy) = (unit.path(), copies.join(unit.file_name()));
        if unit.is_dir() {
            copied(&unit, &copy)?;
            continue;
        }
        let mut lines = Vec::new();
        for line in fs::read_to_string(&unit)?.lines() {
            lines.push(match line.strip_prefix("ExecStart=") {
                Some(start) if !start.is_empty() => {
                    let (_, arguments) = start.split_once(' ').unwrap_or((start, ""));
                    format!("ExecStart=/bin/true {arguments}")
                }
                _ => line.to_owned(),
            });
        }
        fs::write(&copy, lines.join("\n") + "\n")?;
        units.push(copy);
    }
    Ok(units)
}

/// Has the user and the folders made in an empty tree.
fn folders(sysusers: &Path, tmpfiles: &Path) -> Result {
    for tool in ["systemd-sysusers", "systemd-tmpfiles"] {
        if !is_installed(tool) {
            println!("skipped: {tool} is not installed");
            return Ok(());
        }
    }
    let tree = tempfile::tempdir()?;
    let below = format!("--root={}", tree.path().display());
    for folder in ["etc", "home", "root", "srv", "var/lib", "var/log"] {
        fs::create_dir_all(tree.path().join(folder))?;
    }
    output(Command::new("systemd-sysusers").arg(&below).arg(sysusers))?;
    // Owners can be given by root alone.
    if fs::metadata(tree.path())?.uid() == 0 {
        let mut command = Command::new("systemd-tmpfiles");
        silent(command.args(["--create", &below]).arg(tmpfiles))?;
        let text = fs::read_to_string(tmpfiles)?;
        let files = text.lines().filter(|line| line.starts_with("f /"));
        for file in files {
            let path = file.split(' ').nth(1).unwrap_or_default();
            let made = fs::metadata(tree.path().join(path.trim_start_matches('/')))?;
            if made.len() != 0 || made.mode() & 0o777 != 0o640 || made.uid() == 0 {
                return Err(format!("{path} is not made as it should be").into());
            }
        }
    }
    Ok(())
}

/// Has logrotate read the rule, as whoever is at work: the user of the rule is not there.
fn rotation(rule: &Path) -> Result {
    if !is_installed("logrotate") {
        println!("skipped: logrotate is not installed");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("rule");
    let lines = fs::read_to_string(rule)?;
    let lines = lines
        .lines()
        .map(|line| match line.trim().strip_prefix("su ") {
            Some(_) => "    su root root",
            None => line,
        });
    fs::write(&copy, lines.collect::<Vec<_>>().join("\n") + "\n")?;
    let mut command = Command::new("logrotate");
    command
        .arg("--debug")
        .arg("--state")
        .arg(folder.path().join("state"))
        .arg(&copy);
    let answer = command.output()?;
    let text = String::from_utf8_lossy(&answer.stderr);
    if !answer.status.success() || text.contains("error:") || !text.contains("Handling 1 logs") {
        return Err(format!("{}: logrotate says:\n{text}", rule.display()).into());
    }
    Ok(())
}

/// Has Prometheus read the alerts, try them, and read the dashboard's queries.
fn metrics(packaging: &Path) -> Result {
    let rules = packaging.join("prometheus/confluence-audit.rules.yml");
    let tests = packaging.join("prometheus/confluence-audit.test.yml");
    let dashboard = fs::read_to_string(packaging.join("grafana/confluence-audit.json"))?;
    let source = fs::read_to_string(root().join("crates/collector/src/metrics/figures.rs"))?;
    for text in [&dashboard, &fs::read_to_string(&rules)?] {
        if let Some(name) = names(text).find(|name| !source.contains(&format!("\"{name}\""))) {
            return Err(format!("no program has the metric confluence_audit_{name}").into());
        }
    }
    let queries = queries(&serde_json::from_str(&dashboard)?);
    if queries.is_empty() {
        return Err("the dashboard has no queries".into());
    }
    if !is_installed("promtool") {
        println!("skipped: promtool is not installed");
        return Ok(());
    }
    output(
        Command::new("promtool")
            .args(["check", "rules"])
            .arg(&rules),
    )?;
    output(Command::new("promtool").args(["test", "rules"]).arg(&tests))?;

    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("queries.yml");
    let mut text = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, query) in queries.iter().enumerate() {
        let query = serde_json::Value::from(query.as_str());
        let _ = writeln!(text, "  - record: query{number}\n    expr: {query}");
    }
    fs::write(&copy, text)?;
    output(Command::new("promtool").args(["check", "rules"]).arg(&copy))?;
    println!("    the dashboard has {} queries", queries.len());
    Ok(())
}

/// The metrics that a text names, without what they have in common.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let others = text.split("confluence_audit_").skip(1);
    others.filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let name = rest.get(..end?)?;
        // The parts of a histogram are asked for by themselves.
        Some(name.strip_suffix("_bucket").unwrap_or(name))
    })
}

/// The dashboard's queries, with a value for each of its variables.
fn queries(dashboard: &serde_json::Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets
        .filter_map(|target| target["expr"].as_str())
        .map(|query| {
            query
                .replace("$__rate_interval", "5m")
                .replace("$instance", "x")
                .replace("$site", "x")
                .replace("$output", "x")
        })
        .collect()
}

/// Runs a command that has to succeed without a word of complaint.
fn silent(command: &mut Command) -> Result {
    let name = command.get_program().display().to_string();
    let answer = command
        .output()
        .map_err(|error| format!("cannot start {name}: {error}"))?;
    let complaint = String::from_utf8_lossy(&answer.stderr);
    if answer.status.success() && complaint.is_empty() {
        return Ok(());
    }
    Err(format!("{name} ended with {} and says:\n{complaint}", answer.status).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_where_they_are_named() {
        let text = "rate(confluence_audit_late_arrival_seconds_bucket[1h]) > confluence_audit_x{a}";
        assert_eq!(
            names(text).collect::<Vec<_>>(),
            ["late_arrival_seconds", "x"]
        );
    }
}
