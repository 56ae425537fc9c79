//! Every kind of failure by hand: its exit code, what is said about it, what to do, and nothing secret in it.
//!
//! What is said stands in `snapshots/`, one file a failure.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use confluence_audit_sim::{
    API_TOKEN, Account, EMAIL, Fault, FaultRates, Quirks, RetryHeader, SimConfig, UNSCOPED_TOKEN,
};

use crate::lines::Same;
use crate::program::RunOutput;
use crate::sandbox::Sandbox;
use crate::server::{Server, answer};
use crate::site::{OUTPUT, Site};

/// What was said in several failures: one snapshot.
#[derive(Default)]
struct Messages(String);

impl Messages {
    /// Asserts the exit code, that nothing but errors was said, and that there is a remedy; keeps the very words.
    #[track_caller]
    fn add(&mut self, name: &str, done: RunOutput, code: i32, sandbox: &Sandbox) {
        let done = done.expect(code);
        assert_eq!(done.stdout, "", "{name}");
        // A mistake on the command line is explained by its parser, in its own form.
        if code != 64 {
            let mut lines = done.stderr.lines().rev();
            let remedy = lines.next().and_then(|line| line.strip_prefix("  "));
            assert!(
                remedy.is_some_and(|remedy| remedy.len() > 20),
                "{name}: {done}"
            );
            let error = lines.next().unwrap_or_default();
            assert!(error.starts_with("confluence-audit: "), "{name}: {done}");
        }
        let text = redacted(&done.stderr, sandbox);
        let _ = write!(self.0, "## {name}: exit code {code}\n{text}\n");
    }

    #[track_caller]
    fn assert(self, name: &str) {
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(format!("said_of_{name}"), self.0);
        });
    }
}

/// Takes out what differs from run to run.
pub(crate) fn redacted(text: &str, sandbox: &Sandbox) -> String {
    let text = text.replace(sandbox.path("").to_str().unwrap(), "DIR/");
    let numbers = |c: char| c.is_ascii_digit();
    let ids = |c: char| c.is_ascii_hexdigit() || c == '-';
    let text = masked(&text, "127.0.0.1:", numbers);
    let text = masked(&text, "request id ", ids);
    masked(&text, "process ", numbers)
}

/// Puts a word in place of what `varies` behind each `marker`.
fn masked(text: &str, marker: &str, varies: fn(char) -> bool) -> String {
    let mut parts = text.split(marker);
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(varies);
        let mask = if rest.len() < part.len() {
            "VARIES"
        } else {
            ""
        };
        let _ = write!(out, "{marker}{mask}{rest}");
    }
    out
}

fn small() -> SimConfig {
    SimConfig {
        records: 50,
        ..SimConfig::default()
    }
}

#[test]
fn credentials_and_permissions() {
    let account = |account| SimConfig { account, ..small() };
    let mut said = Messages::default();
    let mut fails = |name, site: &Site| said.add(name, site.fetch(), 77, site);
    let wrong = |token: &str, config| {
        let site = Site::start(config);
        site.secret("token", token);
        site
    };
    let html = account(Account {
        html_401: true,
        ..Account::default()
    });
    fails("wrong token", &wrong("canary-wrong", small()));
    fails(
        "wrong token, answered in HTML",
        &wrong("canary-wrong", html),
    );
    fails(
        "token without scopes at the gateway",
        &wrong(UNSCOPED_TOKEN, small()),
    );
    let no_scope = Account {
        missing_scope: true,
        ..Account::default()
    };
    fails("missing scope", &Site::start(account(no_scope)));
    let no_admin = Account {
        not_admin: true,
        ..Account::default()
    };
    fails("no administrator", &Site::start(account(no_admin)));
    let free = Account {
        plan_free: true,
        ..Account::default()
    };
    fails("Free plan", &Site::start(account(free)));
    said.assert("credentials_and_permissions");
}

#[test]
fn a_wrong_cloud_id() {
    let site = Site::start(small());
    let token = site.secret("token", API_TOKEN);
    let flags = [
        "fetch",
        "--api-url",
        site.sim.url(),
        "--email",
        EMAIL,
        "--api-token-file",
        &token,
    ];
    let done = site.run(
        &[
            &flags[..],
            &["--cloud-id", "00000000-dead-beef-0000-000000000000"],
        ]
        .concat(),
    );
    let mut said = Messages::default();
    said.add("wrong cloud id", done, 78, &site);
    said.assert("a_wrong_cloud_id");
}

#[test]
fn answers_that_are_none() {
    let mut said = Messages::default();
    for (name, fault) in [
        ("sign-in page", Fault::SignInPage),
        ("no JSON", Fault::NotJson),
        ("JSON of another shape", Fault::WrongJson),
        ("refused as such", Fault::Status(418)),
    ] {
        let site = Site::start(small());
        site.sim.script([fault; 9]);
        let code = if fault == Fault::Status(418) { 69 } else { 65 };
        said.add(name, site.fetch(), code, &site);
    }
    let site = Site::start(SimConfig {
        quirks: Quirks {
            next_repeats: true,
            max_limit: Some(7),
            order: confluence_audit_sim::Order::OldestFirst,
            ..Quirks::default()
        },
        ..small()
    });
    let done = site.fetch().expect(65);
    assert!(done.stderr.contains("have no end"), "{done}");
    said.assert("answers_that_are_none");
}

#[test]
fn a_rate_limit_beyond_the_budget_ends_the_run_at_once() {
    let mut said = Messages::default();
    for (name, header) in [
        ("rate limit", RetryHeader::Seconds),
        ("rate limit beyond every number", RetryHeader::Huge),
    ] {
        let site = Site::start(SimConfig {
            faults: FaultRates {
                retry_after: std::time::Duration::from_hours(1),
                ..FaultRates::default()
            },
            ..small()
        });
        site.sim.script([Fault::RateLimited(header)]);
        said.add(name, site.fetch(), 75, &site);
        let asked = site.sim.stats().count("/audit", "");
        assert_eq!(asked, 1, "nothing is asked again");
        // The service's word is kept, and nothing is lost by it.
        site.fetch().expect(0);
        site.assert_output_is_the_truth(name, Same::Bytes);
    }
    said.assert("a_rate_limit_beyond_the_budget");
}

/// These are given up after four retries. The waits are halved here.
#[test]
fn what_keeps_failing() {
    let fetch = |sandbox: &Sandbox, url: &str| {
        fs::write(
            sandbox.path("quick.toml"),
            "[collect]\nretry_base = \"1s\"\n",
        )
        .unwrap();
        let token = sandbox.secret("token", API_TOKEN);
        let flags = [
            "fetch",
            "--config",
            "quick.toml",
            "--api-url",
            url,
            "--email",
            EMAIL,
        ];
        let cloud_id = SimConfig::default().cloud_id;
        let site = ["--cloud-id", &cloud_id, "--api-token-file", &token];
        sandbox.run(&[&flags[..], &site].concat())
    };
    let nobody = || {
        // The port was free a moment ago, and ports are given out in turn.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let said = thread::scope(|scope| {
        let faults = [
            ("cut bodies", Some(Fault::CutBody)),
            ("cut chunked bodies", Some(Fault::CutChunked)),
            ("server errors", Some(Fault::Status(500))),
            ("reset connections", Some(Fault::Reset)),
            ("nobody there", None),
        ];
        let runs = faults.map(|(name, fault)| {
            scope.spawn(move || {
                let site = Site::start(small());
                site.sim.script(vec![fault.unwrap_or(Fault::Pass); 50]);
                let url = fault.map_or_else(nobody, |_| site.sim.url().to_owned());
                let done = fetch(&site, &url);
                (name, done, site)
            })
        });
        let mut said = Messages::default();
        for run in runs {
            let (name, done, site) = run.join().unwrap();
            said.add(name, done, 69, &site);
        }
        said
    });
    said.assert("what_keeps_failing");
}

#[test]
fn the_command_line() {
    let sandbox = Sandbox::new();
    let mut said = Messages::default();
    for (name, args) in [
        ("no command", &[][..]),
        ("unknown command", &["fetsch"]),
        ("unknown flag", &["fetch", "--sincee", "7d"]),
        ("no time", &["fetch", "--since", "yesterday"]),
        (
            "seconds for milliseconds",
            &["export", "--until", "1774540800"],
        ),
        (
            "two names for a site",
            &[
                "fetch",
                "--cloud-id",
                "c1",
                "--site-url",
                "https://x.atlassian.net",
            ],
        ),
        ("quiet and verbose", &["fetch", "-q", "-v"]),
        (
            "unknown format",
            &["fetch", "--output", "x", "--format", "xml"],
        ),
        ("no limit", &["export", "--limit", "-1"]),
        (
            "a token as a flag",
            &["fetch", "--api-token", "secret-of-mine"],
        ),
    ] {
        let done = sandbox.run(args);
        if name == "no command" {
            // The whole help, which changes with every flag.
            assert!(done.expect(64).stderr.contains("Usage: confluence-audit"));
        } else {
            said.add(name, done, 64, &sandbox);
        }
    }
    said.assert("the_command_line");
    assert_eq!(sandbox.names(), [""; 0], "nothing was created");
}

#[test]
fn settings() {
    let sandbox = Sandbox::new();
    let token = sandbox.secret("token", API_TOKEN);
    let site = ["--site-url", "https://acme.example.com"];
    let email = ["--email", EMAIL];
    let file = ["--api-token-file", &token];
    fs::write(
        sandbox.path("typo.toml"),
        "[collect]\nintervall = \"10m\"\n",
    )
    .unwrap();
    fs::write(sandbox.path("broken.toml"), "[collect\n").unwrap();
    fs::write(sandbox.path("two.toml"), two_sites()).unwrap();
    let mut said = Messages::default();
    for (name, flags) in [
        ("no site", vec![]),
        ("no credentials", site.to_vec()),
        ("email without a token", [&site[..], &email].concat()),
        ("token without an email", [&site[..], &file].concat()),
        (
            "http to another host",
            [
                &["--site-url", "http://acme.example.com"][..],
                &email,
                &file,
            ]
            .concat(),
        ),
        (
            "API over http to another host",
            [&["--api-url", "http://10.0.0.1"][..], &site, &email, &file].concat(),
        ),
        (
            "site with a password",
            [
                &["--site-url", "https://canary:canary@acme.example.com"][..],
                &email,
                &file,
            ]
            .concat(),
        ),
        ("missing configuration", vec!["--config", "missing.toml"]),
        ("unknown key", vec!["--config", "typo.toml"]),
        ("broken configuration", vec!["--config", "broken.toml"]),
        (
            "credentials for one of two sites",
            [&["--config", "two.toml"][..], &email, &file].concat(),
        ),
    ] {
        let done = sandbox.run(&[&["fetch"][..], &flags].concat());
        said.add(name, done, 78, &sandbox);
    }
    let done = sandbox.run(&["export", "--config", "two.toml"]);
    said.add("export of two sites", done, 78, &sandbox);
    said.assert("settings");
    assert!(
        !sandbox.path("home/state").exists() && !sandbox.path(OUTPUT).exists(),
        "nothing was created"
    );
}

fn two_sites() -> String {
    let site = |name: &str| {
        format!(
            "[[site]]\nname = \"{name}\"\nurl = \"https://{name}.example.com\"\n\
             auth = {{ kind = \"api-token\", email = \"{EMAIL}\", token_file = \"secrets/token\" }}\n"
        )
    };
    site("acme") + &site("initech")
}

#[test]
fn token_files() {
    let mut said = Messages::default();
    for (name, spoil) in [
        (
            "missing token file",
            (|sandbox| fs::remove_file(sandbox.path("secrets/token")).unwrap()) as fn(&Sandbox),
        ),
        ("token file that others can read", |sandbox| {
            sandbox.set_mode("secrets/token", 0o644);
        }),
        ("token file that others can write", |sandbox| {
            sandbox.set_mode("secrets/token", 0o620);
        }),
        ("token file that is a link", |sandbox| {
            fs::rename(sandbox.path("secrets/token"), sandbox.path("secrets/real")).unwrap();
            symlink("real", sandbox.path("secrets/token")).unwrap();
        }),
        ("token file that is a directory", |sandbox| {
            fs::remove_file(sandbox.path("secrets/token")).unwrap();
            fs::create_dir(sandbox.path("secrets/token")).unwrap();
        }),
        ("empty token file", |sandbox| {
            fs::write(sandbox.path("secrets/token"), "\n").unwrap();
        }),
        ("token file of two lines", |sandbox| {
            fs::write(sandbox.path("secrets/token"), "canary-1\ncanary-2\n").unwrap();
        }),
    ] {
        let site = Site::start(small());
        spoil(&site);
        said.add(name, site.fetch(), 77, &site);
        assert_eq!(
            site.sim.stats().count("/audit", ""),
            0,
            "{name}: nothing was asked"
        );
    }
    said.assert("token_files");
}

#[test]
fn outputs() {
    let site = Site::start(small());
    fs::create_dir(site.path("dir")).unwrap();
    fs::write(site.path("victim"), "precious\n").unwrap();
    symlink("victim", site.path("link")).unwrap();
    let mut said = Messages::default();
    for (name, command, output) in [
        ("output in a missing directory", "fetch", "missing/x.json"),
        ("output that is a link", "fetch", "link"),
        ("output that is a directory", "fetch", "dir"),
        ("output that is a device", "fetch", "/dev/null"),
        (
            "export into a missing directory",
            "export",
            "missing/x.json",
        ),
    ] {
        let done = site.ask(&[command, "--output", output]);
        said.add(name, done, 73, &site);
    }
    said.assert("outputs");
    assert_eq!(
        fs::read_to_string(site.path("victim")).unwrap(),
        "precious\n"
    );
    assert_eq!(site.sim.stats().count("/audit", ""), 0, "nothing was asked");
}

#[test]
fn errors_are_json_where_logs_are() {
    let site = Site::start(SimConfig {
        account: Account {
            plan_free: true,
            ..Account::default()
        },
        ..small()
    });
    let done = site.ask(&["fetch", "--log-format", "json"]).expect(77);
    let lines: Vec<serde_json::Value> = done
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let error = lines.last().unwrap();
    assert_eq!(error["exit_code"], 77);
    assert!(
        error["message"].as_str().unwrap().contains("Free"),
        "{error}"
    );
    assert!(
        error["remedy"].as_str().unwrap().contains("upgrade"),
        "{error}"
    );
}

#[test]
fn a_server_cannot_steer_the_terminal() {
    let server = Server::start(|_| {
        answer(
            "400 Bad Request",
            "{\"message\":\"\u{1b}]0;owned\u{7}\u{202e}\u{9b}2J\\u001b[2J\"}",
        )
    });
    let sandbox = Sandbox::new();
    let token = sandbox.secret("token", API_TOKEN);
    let url = server.url();
    for verbosity in ["--quiet", "-vv"] {
        let flags = [
            "fetch",
            verbosity,
            "--api-url",
            &url,
            "--cloud-id",
            "c1",
            "--email",
            EMAIL,
        ];
        let done = sandbox.run(&[&flags[..], &["--api-token-file", &token]].concat());
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!done.stderr.contains(steers), "{:?}", done.stderr);
        done.expect(69);
    }
}

/// The first run is held in the middle by a server that waits: what it holds can be looked at in peace.
#[test]
fn a_second_run_is_told_who_the_first_is_and_no_argument_of_it_is_secret() {
    let (arrived, arrival) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let server = Server::start(move |_| {
        arrived.send(()).unwrap();
        may_go_on.recv().unwrap();
        answer("403 Forbidden", "{}")
    });
    let sandbox = Sandbox::new();
    let token = sandbox.secret("token", API_TOKEN);
    let url = server.url();
    let flags = [
        "fetch",
        "--api-url",
        &url,
        "--cloud-id",
        "c1",
        "--email",
        EMAIL,
    ];
    let args = [&flags[..], &["--api-token-file", &token]].concat();

    let first = sandbox.command(&args).stdin(Stdio::null()).spawn().unwrap();
    arrival.recv().unwrap();
    let pid = first.id().to_string();
    let seen = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(
        seen.contains("--api-token-file") && !seen.contains("canary"),
        "{seen}"
    );
    sandbox.assert_holds_no_secret();

    let second = sandbox.run(&args);
    assert!(
        second.stderr.contains(&format!("process {pid} ")),
        "{second}"
    );
    let mut said = Messages::default();
    said.add("state in use", second, 75, &sandbox);
    said.assert("a_second_run");

    go_on.send(()).unwrap();
    RunOutput::of(first.wait_with_output().unwrap()).expect(77);
    // The lock went with its holder.
    go_on.send(()).unwrap();
    sandbox.run(&args).expect(77);
}

#[test]
fn a_token_in_the_environment_is_used_and_never_shown() {
    let site = Site::start(small());
    let flags = [
        "fetch",
        "-vv",
        "--api-url",
        site.sim.url(),
        "--site-url",
        site.sim.url(),
        "--email",
        EMAIL,
    ];
    let mut command = site.command(&flags);
    command.env("CONFLUENCE_AUDIT_API_TOKEN", API_TOKEN);
    site.finish(command).expect(0);
    let mut command = site.command(&["check", "--help"]);
    command.env("CONFLUENCE_AUDIT_API_TOKEN", API_TOKEN);
    site.finish(command).expect(0);
}

#[test]
fn everything_that_can_be_logged_holds_no_secret() {
    let site = Site::start(small());
    site.sim.script([Fault::Pass, Fault::Reset]);
    site.ask(&["fetch", "-vv"]).expect(0);
    let mut command = site.site_command(&["fetch"]);
    command.env("RUST_LOG", "trace");
    site.finish(command).expect(0);
}
