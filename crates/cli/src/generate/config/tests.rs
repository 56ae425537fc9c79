//! That the printed configuration is one, and that it names every setting the reader knows. What the
//! reader knows it says itself, in the remedy for an unknown key.

use std::path::PathBuf;

use confluence_audit_collector::config::{Address, AuthConfig, Secret};

use super::*;

/// What the reader answers to a text that holds a mistake.
fn remedy(text: &str) -> String {
    let error = Config::from_toml(text, "probe").expect_err(text);
    error.remedy().to_owned()
}

/// The names behind `intro` in the remedy for this text.
fn names(text: &str, intro: &str) -> Vec<String> {
    let remedy = remedy(text);
    let (_, list) = remedy
        .split_once(intro)
        .unwrap_or_else(|| panic!("no `{intro}` in: {remedy}\nfor:\n{text}"));
    let list = list.split('.').next().unwrap_or_default();
    list.split(", ").map(str::to_owned).collect()
}

fn keys(text: &str) -> Vec<String> {
    names(text, "The keys here are: ")
}

fn kinds(text: &str) -> Vec<String> {
    names(text, "The kinds are: ")
}

/// Keys that exclude others: the first choice, and the second.
const CHOICES: [(&[&str], &[&str]); 2] = [
    (&["url"], &["cloud_id"]),
    (&["api_key_file"], &["username", "password_file"]),
];

/// Keys that mean nothing without another.
const NEEDS: [(&str, &str); 2] = [
    ("rotate_keep", "#rotate_size"),
    ("rotate_compress", "#rotate_size"),
];

/// What may not be made together with `key`.
fn excluded_with(key: &str) -> Vec<&'static str> {
    let others = CHOICES.iter().flat_map(|(first, second)| {
        if second.contains(&key) {
            *first
        } else {
            *second
        }
    });
    others.copied().collect()
}

/// A part of the template: a head and the settings below it, made or not.
struct Part {
    head: String,
    lines: Vec<String>,
}

fn is_setting(line: &str) -> bool {
    let line = line.strip_prefix('#').unwrap_or(line);
    line.split_once(" = ").is_some_and(|(key, _)| {
        !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    })
}

fn parts() -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in TEMPLATE.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if bare.starts_with('[') {
            let head = bare.to_owned();
            parts.push(Part {
                head,
                lines: Vec::new(),
            });
        } else if is_setting(line) {
            let part = parts.last_mut().expect("a setting stands below a head");
            part.lines.push(line.to_owned());
        }
    }
    parts
}

impl Part {
    fn names(&self, key: &str) -> bool {
        let begin = format!("{key} = ");
        self.lines
            .iter()
            .any(|line| line.strip_prefix('#').unwrap_or(line).starts_with(&begin))
    }

    fn is(&self, setting: &str) -> bool {
        self.lines
            .iter()
            .any(|line| line.strip_prefix('#').unwrap_or(line) == setting)
    }

    /// The first of each key's lines, made, but for second choices.
    fn made(&self) -> String {
        let mut text = format!("{}\n", self.head);
        let mut seen = excluded_with("");
        for line in &self.lines {
            let line = line.strip_prefix('#').unwrap_or(line);
            let key = line.split(" = ").next().unwrap_or_default();
            if !seen.contains(&key) {
                text.push_str(line);
                text.push('\n');
                seen.push(key);
            }
        }
        text
    }
}

#[test]
fn what_is_printed_without_any_flag_can_be_read() {
    let text = filled(&SiteArgs::default(), None).expect("it can be read");
    assert_eq!(text, TEMPLATE, "and is the packaged example");
    let config = Config::from_toml(&text, "x").expect("it can be read");
    assert_eq!(config.sites.len(), 1);
    assert_eq!(config.outputs.len(), 1);
    assert_eq!(config.warnings(), Vec::<String>::new());
}

#[test]
fn every_section_that_the_reader_knows_is_explained() {
    let parts = parts();
    for section in keys("nonsense = 1") {
        let there = parts.iter().any(|part| {
            part.head == format!("[{section}]") || part.head == format!("[[{section}]]")
        });
        assert!(there, "packaging/config.toml lacks [{section}]");
    }
}

#[test]
fn every_key_that_the_reader_knows_is_explained() {
    for part in parts().iter().filter(|part| part.head != "[[output]]") {
        for key in keys(&format!("{}nonsense = 1\n", part.made())) {
            // Known for the sake of the message that says so.
            let unsupported = Config::from_toml(&format!("{}\n{key} = \"x\"", part.head), "x")
                .is_err_and(|error| error.to_string().contains("not supported"));
            if unsupported {
                continue;
            }
            assert!(
                part.names(&key),
                "packaging/config.toml lacks {key} in {}",
                part.head
            );
        }
    }
}

#[test]
fn every_kind_of_output_and_each_of_its_keys_is_explained() {
    let parts = parts();
    for kind in kinds("[[output]]\nkind = \"nonsense\"") {
        let part = parts
            .iter()
            .find(|part| part.is(&format!("kind = \"{kind}\"")))
            .unwrap_or_else(|| panic!("packaging/config.toml lacks the output {kind}"));
        for key in keys(&format!("{}nonsense = 1\n", part.made())) {
            assert!(
                part.names(&key),
                "packaging/config.toml lacks {key} of the output {kind}"
            );
        }
    }
}

#[test]
fn every_way_to_sign_in_and_each_of_its_keys_is_explained() {
    let site = "[[site]]\nname = \"x\"\nurl = \"https://x.example\"\n";
    let examples: Vec<&str> = TEMPLATE
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .filter(|line| line.starts_with("auth = {"))
        .collect();
    for kind in kinds(&format!("{site}auth = {{ kind = \"nonsense\" }}")) {
        let of_kind: Vec<&str> = examples
            .iter()
            .filter(|line| line.contains(&format!("kind = \"{kind}\"")))
            .copied()
            .collect();
        let first = of_kind
            .first()
            .unwrap_or_else(|| panic!("no example for {kind}"));
        for key in keys(&format!(
            "{site}{}",
            first.replace(" }", ", nonsense = 1 }")
        )) {
            let there = of_kind
                .iter()
                .any(|line| line.contains(&format!(" {key} = ")));
            assert!(there, "packaging/config.toml lacks {key} of auth {kind}");
        }
    }
    let step = "[collect]\nreread = [{ span = \"1d\", nonsense = 1 }]";
    let example = TEMPLATE.lines().find(|line| line.starts_with("#reread = "));
    for key in keys(step) {
        let there = example.is_some_and(|line| line.contains(&format!(" {key} = ")));
        assert!(there, "packaging/config.toml lacks {key} in reread");
    }
}

#[test]
fn every_example_can_be_made_a_setting() {
    let lines: Vec<&str> = TEMPLATE.lines().collect();
    let examples =
        (0..lines.len()).filter(|at| lines[*at].starts_with('#') && is_setting(lines[*at]));
    for at in examples {
        let setting = &lines[at][1..];
        let key = setting.split(" = ").next().expect("a key");
        let mut lines: Vec<&str> = lines.clone();
        // In a block that is itself an example, the whole of it becomes settings.
        let head = (0..at).rev().find(|at| {
            let line = lines[*at].strip_prefix('#').unwrap_or(lines[*at]);
            line.starts_with('[')
        });
        let head = head.expect("a setting stands below a head");
        let end = (at..lines.len())
            .find(|at| lines[*at].is_empty())
            .unwrap_or(lines.len());
        let whole = lines[head].starts_with('#');
        let excluded = excluded_with(key);
        for (line, at_line) in lines[head..end].iter_mut().zip(head..) {
            if at_line == at {
                *line = setting;
                continue;
            }
            let needed = NEEDS
                .iter()
                .any(|(one, needed)| *one == key && line.starts_with(needed));
            if needed || whole && (line.starts_with("#[") || is_setting(line)) {
                *line = line.strip_prefix('#').unwrap_or(line);
            }
            let its = line.split(" = ").next().unwrap_or_default();
            if its == key || excluded.contains(&its) {
                *line = "";
            }
        }
        let text = lines.join("\n");
        if let Err(error) = Config::from_toml(&text, "x") {
            panic!("{setting}: {}", error.chain());
        }
    }
}

#[test]
fn what_flags_say_is_what_a_run_would_read() {
    let args = SiteArgs {
        site_url: Some("https://work.example".to_owned()),
        email: Some("a\"b@x.example".to_owned()),
        api_token_file: Some(PathBuf::from("work.token")),
        api_url: Some("http://127.0.0.1:8080".to_owned()),
        state_dir: Some(PathBuf::from("/srv/state")),
        unscoped: true,
        ..SiteArgs::default()
    };
    let text = filled(&args, Some(Path::new("/srv/{site}.json"))).expect("it");
    let config = Config::from_toml(&text, "x").expect("it can be read");
    assert_eq!(config.state.dir, Some(PathBuf::from("/srv/state")));
    assert_eq!(config.outputs[0].kind.display_name(), "/srv/{site}.json");
    let [site] = config.sites.as_slice() else {
        panic!("one site")
    };
    assert_eq!(site.name, "work.example");
    assert!(
        site.api_url
            .as_ref()
            .is_some_and(confluence_audit_core::Origin::is_loopback)
    );
    let AuthConfig::ApiToken {
        email,
        token: Secret::File(file),
        unscoped,
    } = &site.auth
    else {
        panic!("{:?}", site.auth)
    };
    assert_eq!((email.as_str(), *unscoped), ("a\"b@x.example", true));
    assert_eq!(file, Path::new("work.token"));
}

#[test]
fn a_cloud_id_takes_the_place_of_the_address_and_a_consent_that_of_a_token() {
    let args = SiteArgs {
        cloud_id: Some("5f2c8d1e-7a40-4b6b-9e53-0c1d2e3f4a5b".to_owned()),
        oauth_token_file: Some(PathBuf::from("/srv/x.oauth.json")),
        ..SiteArgs::default()
    };
    let text = filled(&args, None).expect("it");
    let config = Config::from_toml(&text, "x").expect("it can be read");
    assert!(matches!(config.sites[0].address, Address::CloudId(_)));
    assert!(matches!(config.sites[0].auth, AuthConfig::Oauth { .. }));
}

#[test]
fn a_service_account_is_filled_in() {
    let args = SiteArgs {
        client_id: Some("me".to_owned()),
        ..SiteArgs::default()
    };
    let text = filled(&args, None).expect("it");
    let config = Config::from_toml(&text, "x").expect("it can be read");
    assert!(matches!(
        config.sites[0].auth,
        AuthConfig::ServiceAccount { .. }
    ));
}

#[test]
fn credentials_of_two_kinds_are_refused() {
    let args = SiteArgs {
        email: Some("a@x.example".to_owned()),
        client_id: Some("me".to_owned()),
        ..SiteArgs::default()
    };
    let error = filled(&args, None).expect_err("two kinds");
    assert_eq!(error.exit_code(), 78);
}

#[test]
fn an_address_that_cannot_be_one_is_refused() {
    let args = SiteArgs {
        site_url: Some("http://acme.example".to_owned()),
        ..SiteArgs::default()
    };
    assert!(filled(&args, None).is_err());
}
