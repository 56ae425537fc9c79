//! A refresh that is cut off: by death or failure at each of its system calls, and by time.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use confluence_audit_collector::credentials::TokenFile;
use confluence_audit_core::{Runtime as _, SystemRuntime, TokenStore as _};
use confluence_audit_sim::SimConfig;

use crate::consent::{Consent, TOKEN_FILE};
use crate::program::{RunOutput, binary};

/// The calls of a refresh on the token file, its successor, the lock and their directory.
const ON_FILES: [&str; 5] = ["openat", "write", "fsync", "rename", "unlink"];

/// Those on the network, and the lock itself. One thread makes them.
const OTHERS: [&str; 6] = [
    "flock",
    "socket",
    "connect",
    "writev",
    "recvfrom",
    "epoll_wait",
];

/// No refresh makes so many of one kind.
const MOST: u32 = 200;

fn consented() -> Consent {
    let consent = Consent::start(SimConfig {
        records: 10,
        ..SimConfig::default()
    });
    consent.paste(&[], |callback| callback).expect(0);
    consent
}

/// Lets the access token in the file run out, as an hour would.
fn age(consent: &Consent) {
    let path = consent.path(TOKEN_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let (before, after) = text.split_once("\"expires_at\": \"").unwrap();
    let (_, after) = after.split_once('"').unwrap();
    let aged = format!("{before}\"expires_at\": \"2020-01-01T00:00:00Z\"{after}");
    fs::write(path, aged).unwrap();
}

/// A run whose access token has run out.
fn run(consent: &Consent, mut command: Command) -> RunOutput {
    command
        .arg("sites")
        .args(["--oauth-token-file", TOKEN_FILE]);
    command.args(consent.args(&[]));
    consent.finish(command)
}

/// A library that stops or fails the `nth` call of a kind on the files, whichever thread makes it:
/// strace counts the calls of each thread for itself. `None` where there is no C compiler.
fn stopper(consent: &Consent) -> Option<PathBuf> {
    let source = consent.path("tmp/inject.c");
    let library = consent.path("tmp/inject.so");
    fs::write(&source, include_str!("../../xtask/src/torture/inject.c")).unwrap();
    let built = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    built.ok().filter(ExitStatus::success).map(|_| library)
}

/// Runs until there is no `nth` call any more; after each run that something befell, the next has
/// to go on. Returns how many those were.
fn go_through(
    consent: &Consent,
    what: &str,
    befallen: impl Fn(&RunOutput) -> bool,
    command: impl Fn(u32) -> Command,
) -> u32 {
    for nth in 1..MOST {
        age(consent);
        let done = run(consent, command(nth));
        if !befallen(&done) {
            assert!(nth > 1, "a refresh makes no call for {what}: {done}");
            done.expect(0);
            return nth - 1;
        }
        let next = consent.collect(&["sites"]);
        assert_eq!(next.code, Some(0), "after {what} {nth}: {next}");
        let reused = consent.sim.stats().reuses_after_leeway;
        assert_eq!(reused, 0, "after {what} {nth}");
    }
    panic!("{what} has no end")
}

fn is_killed(done: &RunOutput) -> bool {
    done.signal == Some(9)
}

#[test]
fn a_refresh_that_is_stopped_at_any_call_leaves_a_file_that_leads_on() {
    let consent = consented();
    let Some(library) = stopper(&consent) else {
        println!("skipped: there is no C compiler");
        return;
    };
    let mark = consent.path("tmp/mark");
    let stops = [
        ("kill", &ON_FILES[..]),
        ("tear", &["write"]),
        ("5", &ON_FILES),
        ("28", &ON_FILES),
    ];
    let mut count = 0;
    for (how, calls) in stops {
        for call in calls {
            let command = |nth: u32| {
                // What the run before left.
                let _ = fs::remove_file(&mark);
                let mut command = Command::new(binary());
                consent.confine(&mut command);
                command
                    .env("LD_PRELOAD", &library)
                    .env("INJECT_DISK", consent.path("secrets"))
                    .env("INJECT_CALL", call)
                    .env("INJECT_NUMBER", nth.to_string())
                    .env("INJECT_FAULT", how)
                    .env("INJECT_MARK", &mark);
                command
            };
            let befallen = |_: &RunOutput| mark.exists();
            count += go_through(&consent, &format!("{how} {call}"), befallen, command);
        }
    }
    let stats = consent.sim.stats();
    println!(
        "{count} stops, {} refreshes, {} of them again",
        stats.refreshes, stats.reuses_in_leeway
    );
    assert!(stats.reuses_in_leeway > 0, "some had their answer already");
}

#[test]
fn a_refresh_that_is_killed_at_any_call_to_the_service_leaves_a_file_that_leads_on() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: strace is not installed");
        return;
    }
    let consent = consented();
    let mut count = 0;
    for call in OTHERS {
        let command = |nth: u32| {
            let mut command = Command::new("strace");
            command.args(["-f", "-qq", "-o", "/dev/null", "-e"]);
            command.arg(format!("inject={call}:signal=SIGKILL:when={nth}"));
            command.arg(binary());
            consent.confine(&mut command);
            command
        };
        count += go_through(&consent, call, is_killed, command);
    }
    println!("{count} kills, {} refreshes", consent.sim.stats().refreshes);
}

/// A refresh whose answer got lost, and what the next run comes to after `wait`.
fn cut_off(wait: Duration) -> RunOutput {
    let consent = consented();
    let old = fs::read(consent.path(TOKEN_FILE)).unwrap();
    age(&consent);
    consent.collect(&["sites"]).expect(0);
    // What the refresh wrote never reached the disk, but for its note.
    fs::write(consent.path(TOKEN_FILE), old).unwrap();
    age(&consent);
    let now = SystemRuntime.now();
    let file = TokenFile::new(consent.path(TOKEN_FILE));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let mut locked = file.lock().await.unwrap();
        let mut tokens = locked.read().await.unwrap();
        tokens.refresh_begun_at = Some(now.saturating_sub(wait));
        locked.write(&tokens).await.unwrap();
    });
    let later = consent.sim.now() + i64::try_from(wait.as_millis()).unwrap();
    consent.sim.set_now(Some(later));
    consent.collect(&["sites"])
}

#[test]
fn a_refresh_that_was_cut_off_is_tried_again_with_the_old_token_for_ten_minutes() {
    cut_off(Duration::from_mins(9)).expect_quiet_success();
}

#[test]
fn after_that_a_person_is_asked_for_and_told_why() {
    let done = cut_off(Duration::from_mins(11)).expect(77);
    assert!(done.stderr.contains("cut off"), "{done}");
    assert!(done.stderr.contains("consent again"), "{done}");
}
