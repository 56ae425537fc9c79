//! `generate systemd`: the packaged units as they are, the user and the folders that they need, and
//! what differs for a configuration as drop-ins; or the drop-ins alone.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use confluence_audit_collector::Result;

use super::File;
use confluence_audit_collector::host::{Host, USER, checked};

const SERVICE: &str = include_str!("../../../../packaging/systemd/confluence-audit.service");
const DAEMON: &str = include_str!("../../../../packaging/systemd/confluence-auditd.service");
const TIMER: &str = include_str!("../../../../packaging/systemd/confluence-audit.timer");
const SYSUSERS: &str = include_str!("../../../../packaging/sysusers.d/confluence-audit.conf");
const TMPFILES: &str = include_str!("../../../../packaging/tmpfiles.d/confluence-audit.conf");

const SYSTEM: &str = "etc/systemd/system";

/// Places that the units hide from the program, or replace with an empty one.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// One setting of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    key: &'static str,
    value: String,
    /// It may stand there several times; otherwise it takes the other's place.
    listed: bool,
}

impl Setting {
    fn is_in(&self, unit: &str) -> bool {
        let is_key = |line: &&str| {
            line.strip_prefix(self.key)
                .is_some_and(|rest| rest.starts_with('='))
        };
        let made = unit.lines().find(is_key);
        made.is_some_and(|line| line[self.key.len() + 1..] == self.value)
    }
}

/// The packaged units, as they are, and what differs from them.
pub(super) fn units(host: &Host) -> Result<Vec<File>> {
    let packaged = [
        ("confluence-audit.service", SERVICE),
        ("confluence-audit.timer", TIMER),
        ("confluence-auditd.service", DAEMON),
    ];
    let mut files: Vec<File> = packaged
        .iter()
        .map(|(name, unit)| File::new(format!("{SYSTEM}/{name}"), *unit))
        .collect();
    files.extend(unit_drop_ins(host)?);
    files.extend(accounts(host)?);
    Ok(files)
}

/// The user and the folders.
fn accounts(host: &Host) -> Result<[File; 2]> {
    let (user, group) = (&host.user, &host.group);
    let mut sysusers = SYSUSERS.replace(&format!("u {USER} "), &format!("u {user} "));
    if user != group {
        let _ = write!(sysusers, "g {group} -\nm {user} {group}\n");
    }
    let owners = format!(" {USER} {USER} -");
    let mut tmpfiles = TMPFILES.replace(&owners, &format!(" {user} {group} -"));
    for path in &host.outputs {
        let line = format!("f {} 0640 {user} {group} -\n", specifiers(&word(path)?));
        if !tmpfiles.contains(&line) {
            tmpfiles.push_str(&line);
        }
    }
    Ok([
        File::new("etc/sysusers.d/confluence-audit.conf", sysusers),
        File::new("etc/tmpfiles.d/confluence-audit.conf", tmpfiles),
    ])
}

/// What differs from the packaged units.
pub(super) fn drop_ins(host: &Host) -> Result<Vec<File>> {
    let mut files = unit_drop_ins(host)?;
    // These have no drop-ins: one of the same name takes the packaged one's place.
    let packaged = [SYSUSERS, TMPFILES].map(str::as_bytes);
    let accounts = accounts(host)?.into_iter().zip(packaged);
    let differing = accounts.filter(|(file, packaged)| file.text != *packaged);
    files.extend(differing.map(|(file, _)| file));
    Ok(files)
}

/// A drop-in for each packaged unit from which something differs.
fn unit_drop_ins(host: &Host) -> Result<Vec<File>> {
    let service = settings(host, "confluence-audit", &["fetch"])?;
    let daemon = settings(host, "confluence-auditd", &[])?;
    let parts = [
        ("confluence-audit.service", SERVICE, "[Service]", service),
        (
            "confluence-audit.timer",
            TIMER,
            "[Timer]",
            turns(host.interval),
        ),
        ("confluence-auditd.service", DAEMON, "[Service]", daemon),
    ];
    let mut files = Vec::new();
    for (name, packaged, section, mut settings) in parts {
        settings.retain(|setting| setting.listed || !setting.is_in(packaged));
        if settings.is_empty() {
            continue;
        }
        let mut text = format!(
            "# What differs from the packaged {name}, by `confluence-audit generate systemd`.\n\n\
             {section}\n"
        );
        for Setting { key, value, listed } in &settings {
            // These two add to what is there, and have to be emptied first.
            if !listed && !value.is_empty() && matches!(*key, "ExecStart" | "OnCalendar") {
                let _ = writeln!(text, "{key}=");
            }
            let _ = writeln!(text, "{key}={value}");
        }
        let path = format!("{SYSTEM}/{name}.d/50-configuration.conf");
        files.push(File::new(path, text));
    }
    Ok(files)
}

/// All that depends on the configuration in one service.
fn settings(host: &Host, program: &str, command: &[&str]) -> Result<Vec<Setting>> {
    let one = |key, value: String| Setting {
        key,
        value,
        listed: false,
    };
    let listed = |key, value: String| Setting {
        key,
        value,
        listed: true,
    };
    let mut start = specifiers(&word(&host.programs.join(program))?);
    for word in command {
        start.push(' ');
        start.push_str(word);
    }
    if let Some(file) = &host.config_file {
        let file = specifiers(&word(file)?).replace('$', "$$");
        start.push_str(" --config ");
        start.push_str(&file);
    }
    let mut settings = vec![
        one("ExecStart", start),
        one("User", host.user.clone()),
        one("Group", host.group.clone()),
    ];
    let groups = host.groups.iter().filter(|group| **group != host.group);
    for group in groups.clone() {
        settings.push(listed("SupplementaryGroups", group.clone()));
    }
    if groups.count() > 0 {
        // Within its own users there would be no other group than its own.
        settings.push(one("PrivateUsers", "no".to_owned()));
        // Without a capability a file can be given to a group that it is in, and to nobody else.
        settings.push(listed("SystemCallFilter", "@chown".to_owned()));
    }
    for (id, file) in &host.credentials {
        // The name stands before a colon, the rest of the line is the path, as it is.
        let value = format!("{}:{}", specifiers(id), specifiers(checked(file)?));
        settings.push(listed("LoadCredential", value));
    }
    let hidden = |path: &Path| HIDDEN.iter().any(|place| path.starts_with(place));
    let seen = host.config_file.iter().chain(&host.read);
    let at_home = ["/home", "/root", "/run/user"];
    if host
        .written
        .iter()
        .chain(seen.clone())
        .any(|path| at_home.iter().any(|home| path.starts_with(home)))
        || host.programs.starts_with("/home")
        || host.programs.starts_with("/root")
    {
        // Empty folders, in which only what is named below appears.
        settings.push(one("ProtectHome", "tmpfs".to_owned()));
    }
    for path in seen.filter(|path| hidden(path)) {
        settings.push(listed("BindReadOnlyPaths", specifiers(&word(path)?)));
    }
    if hidden(&host.programs) {
        let program = host.programs.join(program);
        settings.push(listed("BindReadOnlyPaths", specifiers(&word(&program)?)));
    }
    for path in &host.written {
        let key = if hidden(path) {
            "BindPaths"
        } else {
            "ReadWritePaths"
        };
        settings.push(listed(key, specifiers(&word(path)?)));
    }
    Ok(settings)
}

/// The timer's turns. The calendar knows turns that divide a minute, an hour or a day; others are
/// counted from the last one.
fn turns(interval: Duration) -> Vec<Setting> {
    let seconds = interval.as_secs().max(1);
    let calendar = if seconds < 60 && 60_u64.is_multiple_of(seconds) {
        Some(format!("*:*:0/{seconds}"))
    } else if seconds.is_multiple_of(60) && seconds < 3600 && 3600_u64.is_multiple_of(seconds) {
        Some(format!("*:0/{}", seconds / 60))
    } else if seconds.is_multiple_of(3600) && seconds < 86_400 && 86_400_u64.is_multiple_of(seconds)
    {
        Some(format!("0/{}:00", seconds / 3600))
    } else if seconds == 86_400 {
        Some("daily".to_owned())
    } else {
        None
    };
    let one = |key, value: String| Setting {
        key,
        value,
        listed: false,
    };
    let listed = |key, value: String| Setting {
        key,
        value,
        listed: true,
    };
    let mut settings = match calendar {
        Some(calendar) => vec![one("OnCalendar", calendar)],
        None => vec![
            one("OnCalendar", String::new()),
            listed("OnBootSec", "1min".to_owned()),
            listed("OnUnitActiveSec", format!("{seconds}s")),
        ],
    };
    if seconds < 600 {
        let spread = format!("{}s", seconds / 10);
        settings.push(one("RandomizedDelaySec", spread));
    }
    settings
}

/// A path as one word of a setting.
fn word(path: &Path) -> Result<String> {
    let text = checked(path)?;
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\' | ':' | ';');
    if text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    // A colon parts the source of a bind mount from its destination.
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace(':', "\\:");
    Ok(format!("\"{escaped}\""))
}

/// `%` introduces what systemd fills in.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests;
