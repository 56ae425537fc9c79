//! `generate logrotate`: the rule for the configured files.

use std::path::Path;

use confluence_audit_collector::Result;

use super::{File, no_such_line};
use confluence_audit_collector::host::{Host, USER, checked};

const TEMPLATE: &str = include_str!("../../../../packaging/logrotate.d/confluence-audit");

/// The rule, for all of the configured files.
pub(super) fn rule(host: &Host) -> Result<File> {
    let (user, group) = (&host.user, &host.group);
    let (remarks, rule) = TEMPLATE
        .split_once("\n/")
        .ok_or_else(|| no_such_line("/"))?;
    let (_, rule) = rule.split_once(" {\n").ok_or_else(|| no_such_line("{"))?;
    let rule = rule.replace(&format!("su {USER} {USER}"), &format!("su {user} {group}"));
    let path = "etc/logrotate.d/confluence-audit";
    if host.rotated.is_empty() {
        let text = "# The configured outputs rotate themselves, or are no files.\n";
        return Ok(File::new(path, text));
    }
    let files: Result<Vec<String>> = host.rotated.iter().map(|path| pattern(path)).collect();
    let text = format!("{remarks}\n{} {{\n{rule}", files?.join("\n"));
    Ok(File::new(path, text))
}

/// A path as logrotate reads it: a pattern, quoted where it has blanks.
fn pattern(path: &Path) -> Result<String> {
    let mut pattern = String::new();
    for c in checked(path)?.chars() {
        if matches!(c, '*' | '?' | '[' | '\\' | '"') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    Ok(if pattern.contains(char::is_whitespace) {
        format!("\"{pattern}\"")
    } else {
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use confluence_audit_collector::Config;

    #[test]
    fn the_rule_of_the_default_configuration_is_the_packaged_one() {
        let config = Path::new("/etc/confluence-audit/config.toml");
        let host = Host::of(&Config::default(), None, config).expect("it");
        let file = rule(&host).expect("it");
        assert_eq!(String::from_utf8(file.text).expect("text"), TEMPLATE);
    }

    #[test]
    fn every_file_of_the_configuration_is_rotated_and_by_its_owner() {
        let config = Config::from_toml(
            "[[output]]\nkind = \"file\"\npath = \"/srv/a b.json\"\n[[output]]\nkind = \"file\"\npath = \"/srv/[c].json\"",
            "x",
        );
        let config = config.expect("it can be read");
        let mut host = Host::of(&config, None, Path::new("/x")).expect("it");
        host.user = "me".to_owned();
        host.group = "us".to_owned();
        let text = String::from_utf8(rule(&host).expect("it").text).expect("text");
        assert!(
            text.contains("\n\"/srv/a b.json\"\n/srv/\\[c].json {\n    su me us\n"),
            "{text}"
        );
    }
}
