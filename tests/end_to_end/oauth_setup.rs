//! The set-up of OAuth: both ways to a consent that is kept, and every way in which there is none.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use confluence_audit_sim::{Account, OAuthConfig, SimConfig, Stats};

use crate::consent::{Consent, ELSEWHERE, TOKEN_FILE, browse, loopback, open};
use crate::errors::redacted;
use crate::program::RunOutput;
use crate::sandbox::Sandbox;

fn small() -> SimConfig {
    SimConfig {
        records: 50,
        ..SimConfig::default()
    }
}

fn account(account: Account) -> Consent {
    Consent::start(SimConfig { account, ..small() })
}

fn several(other_sites: usize) -> Consent {
    Consent::start(SimConfig {
        oauth: OAuthConfig {
            other_sites,
            ..OAuthConfig::default()
        },
        ..small()
    })
}

/// What was set up collects every record, by flags and by the configuration that was printed.
#[track_caller]
fn assert_collects(consent: &Consent, done: &RunOutput) {
    let mode = fs::metadata(consent.path(TOKEN_FILE))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let fetched = consent.collect(&["fetch"]).expect_quiet_success();
    assert_eq!(fetched.stdout, "Flattened 50 records into flattened.json\n");
    fs::write(consent.path("config.toml"), &done.stdout).unwrap();
    let again = consent.run(&["fetch", "--config", "config.toml"]);
    let again = again.expect_quiet_success();
    assert_eq!(again.stdout, "Flattened 0 records into flattened.json\n");
    let Stats {
        reuses_in_leeway,
        reuses_after_leeway,
        ..
    } = consent.sim.stats();
    assert_eq!((reuses_in_leeway, reuses_after_leeway), (0, 0));
}

#[test]
fn a_pasted_address_leads_to_the_first_record() {
    let consent = Consent::start(small());
    let done = consent.paste(&[], |callback| callback).expect(0);
    assert_collects(&consent, &done);
}

#[test]
fn a_browser_on_this_host_leads_to_the_first_record() {
    let consent = Consent::start(small());
    let redirect = loopback();
    let setup = consent.begin(&["--redirect-uri", &redirect]);
    let forged = open(&format!("{redirect}?code=forged&state=forged"));
    assert_eq!(forged.status, 400);
    let page = open(&browse(&setup.url));
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Consent received"), "{}", page.body);
    assert!(page.head.contains("referrer-policy: no-referrer"));
    assert!(!page.body.contains("canary"), "nothing secret on the page");
    let done = setup.finish("").expect(0);
    assert!(done.stderr.contains("waiting on"), "{done}");
    assert_collects(&consent, &done);
}

#[test]
fn over_ssh_the_address_of_a_loopback_redirect_can_be_pasted() {
    let consent = Consent::start(small());
    let setup = consent.begin(&["--redirect-uri", &loopback()]);
    let callback = browse(&setup.url);
    let done = setup.finish(&format!("not an address\n\n{callback}\n"));
    assert_collects(&consent, &done.expect(0));
}

#[test]
fn a_second_run_takes_the_address_that_the_first_asked_for() {
    let consent = Consent::start(small());
    let redirect = ["--redirect-uri", ELSEWHERE];
    let setup = consent.begin(&redirect);
    let callback = browse(&setup.url);
    let first = setup.finish("").expect(77);
    assert!(first.stderr.contains("--callback-url"), "{first}");
    let flag = ["--callback-url", &callback];
    let command = consent.setup_command(&[redirect, flag].concat());
    assert_collects(&consent, &consent.finish(command).expect(0));
}

#[test]
fn of_several_sites_one_is_chosen_by_name_or_by_number_never_by_chance() {
    let consent = several(2);
    let none = consent.paste(&[], |callback| callback).expect(78);
    assert!(none.stderr.contains("--site"), "{none}");
    assert!(!consent.path(TOKEN_FILE).exists());
    let id = consent.sim.cloud_id().to_owned();
    let listed = none.stderr.lines().find(|line| line.contains(&id)).unwrap();
    let number = listed.trim().split(' ').next().unwrap();
    let by_number = |callback| format!("{callback}\n9\n{number}");
    let done = consent.paste(&[], by_number).expect(0);
    assert!(done.stdout.contains(&id), "{done}");
    for name in [consent.sim.url(), &id, "sim"] {
        let done = consent.paste(&["--site", name], |callback| callback);
        assert_collects_nothing_else(&consent, &done.expect(0));
    }
    let wrong = consent.paste(&["--site", "nowhere"], |callback| callback);
    assert!(wrong.expect(78).stderr.contains("other-1"));
}

#[track_caller]
fn assert_collects_nothing_else(consent: &Consent, done: &RunOutput) {
    assert!(done.stdout.contains(consent.sim.cloud_id()), "{done}");
    let sites = consent.collect(&["sites"]).expect(0);
    assert!(sites.stdout.contains("granted"), "{sites}");
}

#[test]
fn a_new_consent_replaces_the_last_one_only_when_it_works() {
    let consent = Consent::start(small());
    consent.paste(&[], |callback| callback).expect(0);
    let kept = fs::read(consent.path(TOKEN_FILE)).unwrap();
    let declined = consent.paste(&[], |callback| {
        let (_, query) = callback.split_once("&state=").unwrap();
        format!("{ELSEWHERE}?error=access_denied&state={query}")
    });
    declined.expect(77);
    consent
        .paste(&[], without_offline_access(&consent))
        .expect(77);
    assert_eq!(fs::read(consent.path(TOKEN_FILE)).unwrap(), kept);
    consent.paste(&[], |callback| callback).expect(0);
    assert_ne!(fs::read(consent.path(TOKEN_FILE)).unwrap(), kept);
    consent.collect(&["check"]).expect_quiet_success();
}

/// The answer to the same question, but that `offline_access` was left out of it.
fn without_offline_access(consent: &Consent) -> impl FnOnce(String) -> String {
    asking(consent, "read%3Aaudit-log%3Aconfluence", ELSEWHERE)
}

/// The answer to the question of the state in `callback`, asked with other words.
fn asking(consent: &Consent, scope: &str, redirect: &str) -> impl FnOnce(String) -> String {
    let url = format!(
        "{}/authorize?client_id=sim-client-id&response_type=code&scope={scope}&redirect_uri={redirect}",
        consent.sim.url()
    );
    move |callback| {
        let (_, state) = callback.split_once("state=").unwrap();
        let answer = browse(&format!("{url}&state={state}"));
        let (_, query) = answer.split_once('?').unwrap();
        format!("{ELSEWHERE}?{query}")
    }
}

/// What was said of failures: one snapshot.
#[derive(Default)]
struct Messages(String);

impl Messages {
    #[track_caller]
    fn add(&mut self, name: &str, done: RunOutput, code: i32, sandbox: &Sandbox) {
        let done = done.expect(code);
        assert_eq!(done.stdout, "", "{name}");
        let begin = done.stderr.rfind("confluence-audit-oauth-setup: ").unwrap();
        let error = &done.stderr[begin..];
        let remedy = error.lines().nth(1).unwrap_or_default();
        assert!(
            remedy.starts_with("  ") && remedy.len() > 20,
            "{name}: {done}"
        );
        let error = redacted(error, sandbox);
        let _ = write!(self.0, "## {name}: exit code {code}\n{error}\n");
    }
}

#[test]
fn each_failure_has_its_own_message_and_remedy() {
    let mut said = Messages::default();
    let same = |callback: String| callback;
    let consent = Consent::start(small());
    let declining = Consent::start(SimConfig {
        oauth: OAuthConfig {
            decline: true,
            ..OAuthConfig::default()
        },
        ..small()
    });
    said.add("declined", declining.paste(&[], same), 77, &declining);
    let wrong_state = |callback: String| callback.replace("state=", "state=A");
    said.add("wrong state", consent.paste(&[], wrong_state), 77, &consent);
    let refused = |error: &'static str| {
        move |callback: String| {
            let (_, state) = callback.split_once("state=").unwrap();
            format!("{ELSEWHERE}?error={error}&error_description=it+says+why&state={state}")
        }
    };
    said.add(
        "the app lacks the scope",
        consent.paste(&[], refused("invalid_scope")),
        77,
        &consent,
    );
    said.add(
        "the service refuses",
        consent.paste(&[], refused("unauthorized_client")),
        77,
        &consent,
    );
    let cut = |callback: String| callback.replace("code=", "cod=");
    said.add(
        "an address without a code",
        consent.paste(&[], cut),
        77,
        &consent,
    );
    let empty = |_| String::new();
    said.add("no address", consent.paste(&[], empty), 77, &consent);
    let mut used = String::new();
    let keep = |callback: String| {
        used.clone_from(&callback);
        callback
    };
    consent.paste(&[], keep).expect(0);
    let again = |_| used.clone();
    said.add("a code used twice", consent.paste(&[], again), 77, &consent);
    let redirect = "https://other.example/callback";
    let scope = "read%3Aaudit-log%3Aconfluence%20offline_access";
    said.add(
        "wrong redirect",
        consent.paste(&[], asking(&consent, scope, redirect)),
        77,
        &consent,
    );
    said.add(
        "offline_access forgotten",
        consent.paste(&[], without_offline_access(&consent)),
        77,
        &consent,
    );
    consent.secret("client", "canary-wrong");
    said.add("wrong secret", consent.paste(&[], same), 77, &consent);
    let missing_scope = account(Account {
        missing_scope: true,
        ..Account::default()
    });
    said.add(
        "missing scope",
        missing_scope.paste(&[], same),
        77,
        &missing_scope,
    );
    let not_admin = account(Account {
        not_admin: true,
        ..Account::default()
    });
    said.add("no admin right", not_admin.paste(&[], same), 77, &not_admin);
    let plan_free = account(Account {
        plan_free: true,
        ..Account::default()
    });
    said.add("Free plan", plan_free.paste(&[], same), 77, &plan_free);
    for consent in [missing_scope, not_admin, plan_free, declining] {
        assert!(!consent.path(TOKEN_FILE).exists(), "nothing is kept");
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("said_of_consent", said.0);
    });
}

#[test]
fn a_declined_consent_is_said_in_the_browser_too() {
    let consent = Consent::start(SimConfig {
        oauth: OAuthConfig {
            decline: true,
            ..OAuthConfig::default()
        },
        ..small()
    });
    let setup = consent.begin(&["--redirect-uri", &loopback()]);
    let page = open(&browse(&setup.url));
    assert_eq!(page.status, 403);
    assert!(page.body.contains("Consent declined"), "{}", page.body);
    let done = setup.finish("").expect(77);
    assert!(done.stderr.contains("declined"), "{done}");
}

#[test]
fn nobody_is_asked_for_what_cannot_be_taken_or_kept() {
    let consent = Consent::start(small());
    let mut said = Messages::default();
    let fails = |args: &[&str]| consent.finish(consent.setup_command(args));
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let redirect = format!("http://127.0.0.1:{port}/callback");
    said.add(
        "the port is taken",
        fails(&["--redirect-uri", &redirect]),
        78,
        &consent,
    );
    let callback = ["--callback-url", "https://auth.atlassian.com/authorize"];
    said.add("not the callback's address", fails(&callback), 78, &consent);
    consent.set_mode("secrets/client", 0o644);
    let done = fails(&[]);
    assert!(done.stderr.contains("chmod 600"), "{done}");
    said.add("the secret is open to others", done, 77, &consent);
    consent.set_mode("secrets/client", 0o600);
    fs::write(consent.path(TOKEN_FILE), "").unwrap();
    consent.set_mode(TOKEN_FILE, 0o644);
    said.add("the token file is open to others", fails(&[]), 77, &consent);
    assert_eq!(consent.sim.stats().connections, 0, "nothing was asked");
    let usage = fails(&["--redirect-uri", "http://acme.example/callback"]);
    assert!(usage.expect(64).stderr.contains("https://"));
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("said_before_consent", said.0);
    });
}
