//! The kinds of credentials besides a scoped API token: by flags and by the configuration, and each
//! that does not fit explained.

use std::fs;
use std::time::Duration;

use confluence_audit_collector::credentials::TokenFile;
use confluence_audit_core::{Runtime as _, SystemRuntime};
use confluence_audit_sim::{API_TOKEN, CLIENT_ID, EMAIL, SimConfig, UNSCOPED_TOKEN};

use crate::consent::{Consent, TOKEN_FILE};
use crate::site::Site;

const ALL: &str = "Flattened 50 records into flattened.json\n";

fn small() -> SimConfig {
    SimConfig {
        records: 50,
        ..SimConfig::default()
    }
}

#[test]
fn a_service_account_collects() {
    let consent = Consent::start(small());
    let url = consent.sim.url();
    let flags = ["fetch", "--site-url", url, "--client-id", CLIENT_ID];
    let secret = ["--client-secret-file", "secrets/client"];
    let fetched = consent.run(&consent.args(&[&flags[..], &secret].concat()));
    assert_eq!(fetched.expect_quiet_success().stdout, ALL);
    let config = format!(
        "[[site]]\nname = \"sim\"\nurl = \"{url}\"\napi_url = \"{url}\"\nauth_url = \"{url}\"\n\
         auth = {{ kind = \"service-account\", client_id = \"{CLIENT_ID}\", \
         client_secret_file = \"secrets/client\" }}\n"
    );
    fs::write(consent.path("config.toml"), config).unwrap();
    for command in ["check", "sites", "fetch"] {
        let done = consent.run(&[command, "--config", "config.toml"]);
        done.expect_quiet_success();
    }
    consent.secret("client", "canary-wrong");
    let wrong = consent
        .run(&["fetch", "--config", "config.toml"])
        .expect(77);
    assert!(wrong.stderr.contains("client secret"), "{wrong}");
}

#[test]
fn a_token_without_scopes_collects_on_the_sites_own_host() {
    let site = Site::start(small());
    let token = site.secret("unscoped", UNSCOPED_TOKEN);
    let scoped = site.secret("scoped", API_TOKEN);
    let flags = |token| {
        let flags = ["--email", EMAIL, "--unscoped", "--api-token-file", token];
        [&["fetch"][..], &flags].concat()
    };
    let own = ["--site-url", site.sim.url()];
    let fetched = site.run(&[&flags(&token)[..], &own].concat());
    assert_eq!(fetched.expect_quiet_success().stdout, ALL);
    let elsewhere = site.sim.requests();
    let elsewhere = elsewhere.iter().find(|seen| seen.target.contains("/ex/"));
    assert_eq!(elsewhere, None, "the gateway is not asked");
    let config = format!(
        "[[site]]\nname = \"sim\"\nurl = \"{}\"\nauth = {{ kind = \"api-token\", \
         email = \"{EMAIL}\", token_file = \"{token}\", unscoped = true }}\n",
        site.sim.url()
    );
    fs::write(site.path("config.toml"), config).unwrap();
    site.run(&["check", "--config", "config.toml"])
        .expect_quiet_success();
    // The other way round it is explained.
    let wrong = site.run(&[&flags(&scoped)[..], &own].concat()).expect(77);
    assert!(wrong.stderr.contains("A token with scopes"), "{wrong}");
    let unknown = ["--cloud-id", site.sim.cloud_id()];
    let unknown = site.run(&[&flags(&token)[..], &unknown].concat());
    assert!(unknown.expect(78).stderr.contains("--site-url"));
}

#[test]
fn credentials_of_two_kinds_are_not_guessed_between() {
    let consent = Consent::start(small());
    let token = consent.secret("token", API_TOKEN);
    let both = ["fetch", "--email", EMAIL, "--api-token-file", &token];
    let done = consent.collect(&both).expect(78);
    assert!(done.stderr.contains("more than one kind"), "{done}");
    let half = consent.run(&["fetch", "--client-id", CLIENT_ID]);
    assert!(half.expect(78).stderr.contains("--client-secret-file"));
    let none = consent.collect(&["fetch"]).expect(77);
    assert!(
        none.stderr.contains("confluence-audit-oauth-setup"),
        "{none}"
    );
}

/// Dates a consent back.
fn given(consent: &Consent, days_ago: u64) {
    let path = consent.path(TOKEN_FILE);
    let kept = TokenFile::new(&path).look().unwrap();
    let then = SystemRuntime
        .now()
        .saturating_sub(Duration::from_hours(24 * days_ago));
    let text = fs::read_to_string(&path).unwrap();
    let now = format!("\"consented_at\": \"{}\"", kept.consent.given_at);
    let text = text.replace(&now, &format!("\"consented_at\": \"{then}\""));
    fs::write(path, text).unwrap();
}

#[test]
fn the_end_of_a_consent_is_told_and_warned_of_in_time() {
    let consent = Consent::start(small());
    consent.paste(&[], |callback| callback).expect(0);
    let check = consent.collect(&["check"]).expect_quiet_success();
    assert!(check.stdout.contains("lasts until"), "{check}");
    let sites = consent.collect(&["sites"]).expect_quiet_success();
    assert!(sites.stdout.contains("CONSENT ENDS"), "{sites}");
    given(&consent, 340);
    consent.collect(&["fetch"]).expect_quiet_success();
    given(&consent, 355);
    for command in ["check", "fetch", "sites"] {
        let done = consent.collect(&[command]).expect(0);
        assert!(done.stderr.contains("the consent ends on"), "{done}");
    }
    let check = consent.collect(&["check"]).expect(0);
    assert!(
        check
            .stdout
            .contains("WARN  127.0.0.1: the consent ends on")
    );
}

#[test]
fn no_log_line_holds_a_secret_however_much_is_logged() {
    let consent = Consent::start(SimConfig {
        records: 10,
        ..SimConfig::default()
    });
    let trace = |mut command: std::process::Command| {
        command.env("RUST_LOG", "trace");
        consent.finish(command)
    };
    consent.paste(&[], |callback| callback).expect(0);
    let flags = consent.args(&["fetch", "--oauth-token-file", TOKEN_FILE]);
    // A refresh, a refusal by the token endpoint, and a wrong secret.
    consent.sim.expire_access_tokens();
    let done = trace(consent.command(&flags)).expect(0);
    assert!(done.stderr.contains("TRACE"), "{done}");
    assert_eq!(consent.sim.stats().refreshes, 1);
    consent.sim.expire_access_tokens();
    consent.sim.revoke();
    let done = trace(consent.command(&flags)).expect(77);
    assert!(done.stderr.contains("invalid_grant"), "{done}");
    let secret = "\"client_secret\": \"canary";
    let text = fs::read_to_string(consent.path(TOKEN_FILE)).unwrap();
    let wrong = text.replace(secret, &format!("{secret}-wrong"));
    fs::write(consent.path(TOKEN_FILE), wrong).unwrap();
    trace(consent.command(&flags)).expect(77);
}
