//! That what is printed for no configuration is what packages install, and what is filled in.

use std::path::Path;

use confluence_audit_collector::Config;

use super::*;

const CONFIG: &str = "/etc/confluence-audit/config.toml";

fn host(text: &str) -> Host {
    let config = Config::from_toml(text, "x").expect("it can be read");
    Host::of(&config, config.state.dir.as_deref(), Path::new(CONFIG)).expect("it")
}

fn text<'a>(files: &'a [File], end: &str) -> &'a str {
    let file = files.iter().find(|file| file.path.ends_with(end));
    let file = file.unwrap_or_else(|| panic!("no {end}"));
    std::str::from_utf8(&file.text).expect("text")
}

#[test]
fn units_of_no_configuration_are_the_packaged_ones() {
    let files = units(&host("")).expect("it");
    let packaged = [
        ("system/confluence-audit.service", SERVICE),
        ("system/confluence-audit.timer", TIMER),
        ("system/confluence-auditd.service", DAEMON),
        ("sysusers.d/confluence-audit.conf", SYSUSERS),
        ("tmpfiles.d/confluence-audit.conf", TMPFILES),
    ];
    assert_eq!(files.len(), packaged.len(), "and no drop-in");
    for (end, template) in packaged {
        assert_eq!(text(&files, end), template, "{end}");
    }
    assert_eq!(drop_ins(&host("")).expect("it"), []);
}

#[test]
fn both_services_are_confined_alike() {
    let confined = |unit: &'static str| unit.split_once("# The packaged user.").expect("it").1;
    let lines = |unit| {
        let lines = confined(unit)
            .lines()
            .take_while(|line| *line != "[Install]");
        lines
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(SERVICE), lines(DAEMON));
}

const AWAY: &str = r#"
[state]
dir = "/srv/state"
[collect]
interval = "5m"
[[site]]
name = "a"
url = "https://a.example"
auth = { kind = "api-token", email = "x@a.example", token_file = "a.token" }
[[site]]
name = "b"
url = "https://b.example"
auth = { kind = "api-token", email = "x@b.example", token_file = "b.token" }
[[output]]
kind = "file"
path = "/home/aquila/the files/flattened.json"
"#;

#[test]
fn a_drop_in_holds_what_differs_and_nothing_else() {
    let mut host = host(AWAY);
    host.user = "aquila".to_owned();
    let files = drop_ins(&host).expect("it");
    let service = text(&files, "confluence-audit.service.d/50-configuration.conf");
    let (_, settings) = service.split_once("\n\n").expect("a remark");
    assert_eq!(
        settings,
        "[Service]\n\
         User=aquila\n\
         LoadCredential=a.token:/etc/confluence-audit/a.token\n\
         LoadCredential=b.token:/etc/confluence-audit/b.token\n\
         ProtectHome=tmpfs\n\
         BindPaths=\"/home/aquila/the files\"\n\
         ReadWritePaths=/srv/state\n"
    );
    assert!(text(&files, "sysusers.d/confluence-audit.conf").contains("\nu aquila - "));
    assert!(
        text(&files, "tmpfiles.d/confluence-audit.conf")
            .contains("/lib/confluence-audit 0700 aquila ")
    );
    let timer = text(&files, "confluence-audit.timer.d/50-configuration.conf");
    let (_, settings) = timer.split_once("\n\n").expect("a remark");
    assert_eq!(
        settings,
        "[Timer]\nOnCalendar=\nOnCalendar=*:0/5\nRandomizedDelaySec=30s\n"
    );
}

#[test]
fn whole_units_are_the_packaged_ones_beside_the_same_drop_ins() {
    let mut host = host(AWAY);
    host.config_file = Some(Path::new("/etc/100%$.toml").to_owned());
    let files = units(&host).expect("it");
    assert_eq!(text(&files, "system/confluence-audit.service"), SERVICE);
    assert_eq!(text(&files, "system/confluence-audit.timer"), TIMER);
    for drop_in in drop_ins(&host).expect("it") {
        assert!(files.contains(&drop_in), "{}", drop_in.path);
    }
    let service = text(&files, "confluence-audit.service.d/50-configuration.conf");
    assert!(service.contains(
        "\nExecStart=\nExecStart=/usr/bin/confluence-audit fetch --config /etc/100%%$$.toml\n"
    ));
    let tmpfiles = text(&files, "tmpfiles.d/confluence-audit.conf");
    assert!(
        tmpfiles.contains("\nf \"/home/aquila/the files/flattened.json\" 0640 confluence-audit ")
    );
}

#[test]
fn a_file_for_another_group_that_rotates_itself_may_be_given_away() {
    let host = host(
        "[[output]]\nkind = \"file\"\npath = \"/var/log/confluence-audit/x.json\"\n\
         group = \"siem\"\nrotate_age = \"1d\"\n",
    );
    let files = drop_ins(&host).expect("it");
    let service = text(&files, "confluence-audit.service.d/50-configuration.conf");
    let (_, settings) = service.split_once("\n\n").expect("a remark");
    assert_eq!(
        settings,
        "[Service]\nSupplementaryGroups=siem\nPrivateUsers=no\nSystemCallFilter=@chown\n"
    );
    assert_eq!(host.rotated, Vec::<std::path::PathBuf>::new());
}

#[test]
fn every_interval_has_its_turns() {
    let turns = |seconds| {
        let settings = turns(Duration::from_secs(seconds));
        let shown: Vec<String> = settings
            .iter()
            .map(|setting| format!("{}={}", setting.key, setting.value))
            .collect();
        shown.join(" ")
    };
    assert_eq!(turns(600), "OnCalendar=*:0/10");
    assert_eq!(turns(30), "OnCalendar=*:*:0/30 RandomizedDelaySec=3s");
    assert_eq!(turns(3600), "OnCalendar=0/1:00");
    assert_eq!(turns(86_400), "OnCalendar=daily");
    assert_eq!(
        turns(2520),
        "OnCalendar= OnBootSec=1min OnUnitActiveSec=2520s"
    );
}
