//! No secret reaches a message, a `Debug` text or the log, whatever fails and however.

use std::error::Error as StdError;
use std::fmt::{Debug, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use confluence_audit_core::{
    ApiToken, AuditClient, AuditQuery, Authenticator, Error, ExportQuery, MemoryTokenStore, OAuth,
    OAuthApp, Origin, ServiceAccount, TokenSet, TokenStore as _, accessible_resources,
};
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;
use wiremock::{Request, ResponseTemplate};

use crate::fixture::Fixture;
use crate::log::Log;
use crate::oauth::lasting;
use crate::site::{AUDIT, CLIENT_ID, EMAIL, Site, TOKEN};
use crate::wire::{Wire, cut, nobody};

/// Every secret of these tests holds this word.
const CANARY: &str = "c4n4ry";
const API_TOKEN: &str = "c4n4ry-api-token";
const CLIENT_SECRET: &str = "c4n4ry-client-secret";
const REFRESH: &str = "c4n4ry-refresh-token";
const ACCESS: &str = "c4n4ry-access-token";
const CODE: &str = "c4n4ry-code";

/// That no secret is in `text`, neither plain nor as Basic authentication writes it.
fn assert_silent(text: &str, what: &str) {
    let basic = STANDARD.encode(format!("{EMAIL}:{API_TOKEN}"));
    // Where the token begins inside of the pair decides how its letters come out.
    let parts = [&basic[..], &basic[basic.len() - 16..]];
    assert!(!text.contains(CANARY), "{what} tells a secret: {text}");
    for part in parts {
        assert!(!text.contains(part), "{what} tells a credential: {text}");
    }
}

/// All that an error can be made to say.
fn said(error: &Error) -> String {
    let mut text = format!(
        "{error} {error:#} {error:?} {error:#?} {:?} {:?}",
        error.body(),
        error.request_ids()
    );
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, " {error} {error:?} {error:#?}");
        source = error.source();
    }
    text
}

fn debugged(what: &impl Debug) -> String {
    format!("{what:?} {what:#?}")
}

/// The credentials of every kind for one origin, with a token endpoint that may be another.
fn kinds(
    site: &Site,
    origin: &Origin,
    auth: &Origin,
) -> Vec<(&'static str, Arc<dyn Authenticator>)> {
    let http = || site.http.clone();
    let app = || OAuthApp::new(auth.clone(), CLIENT_ID, CLIENT_SECRET.into());
    let oauth = |tokens| {
        let store = Arc::new(MemoryTokenStore::new(tokens));
        Arc::new(OAuth::new(http(), origin.clone(), app(), store))
    };
    let token = ApiToken::new(origin.clone(), EMAIL, API_TOKEN.into()).unwrap();
    let account = ServiceAccount::new(
        http(),
        origin.clone(),
        auth.clone(),
        CLIENT_ID,
        CLIENT_SECRET.into(),
    );
    vec![
        ("api token", Arc::new(token)),
        ("oauth", oauth(lasting(ACCESS, REFRESH, 3600))),
        (
            "oauth, expired",
            oauth(TokenSet::from_refresh_token(REFRESH.into())),
        ),
        ("service account", Arc::new(account)),
    ]
}

/// Tokens, which are secret too.
fn tokens() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "access_token": format!("{ACCESS}-2"),
        "refresh_token": format!("{REFRESH}-2"),
        "expires_in": 3600,
    }))
}

#[tokio::test]
async fn no_answer_of_the_log_makes_any_credential_be_told() {
    let log = Log::begin(LevelFilter::TRACE);
    for name in Fixture::names("errors") {
        let site = Site::start().await;
        site.always(TOKEN, tokens()).await;
        site.always(AUDIT, Fixture::read(&name).template()).await;
        let origin = site.origin();
        for (kind, auth) in kinds(&site, &origin, &origin) {
            let client = site.client_with(auth.clone());
            if let Err(error) = client.audit(&AuditQuery::new()).await {
                assert_silent(&said(&error), &format!("{name}, {kind}"));
            }
            for text in [debugged(&client), debugged(&auth), debugged(&site.http)] {
                assert_silent(&text, kind);
            }
        }
    }
    let log = log.text();
    assert!(
        log.contains("is tried again") && log.contains("TRACE"),
        "{log}"
    );
    assert_silent(&log, "the log");
}

#[tokio::test]
async fn no_answer_of_the_token_endpoint_makes_any_secret_be_told() {
    let log = Log::begin(LevelFilter::TRACE);
    let mut answers: Vec<_> = Fixture::names("oauth-token")
        .iter()
        .chain(&Fixture::names("errors"))
        .map(|name| (name.clone(), Fixture::read(name).template()))
        .collect();
    // Successes that are none, but hold tokens.
    for body in [
        format!(r#"{{"access_token":["{ACCESS}"],"refresh_token":"{REFRESH}"}}"#),
        format!(r#"{{"access_token":7,"refresh_token":"{REFRESH}"}}"#),
        format!(r#"{{"refresh_token":"{REFRESH}"}}"#),
        format!(r#"{{"access_token":"{ACCESS}"#),
        format!(r#"{{"access_token":"{ACCESS}\n","refresh_token":"{REFRESH}"}}"#),
        format!(r#"["{ACCESS}"]"#),
        format!("access_token={ACCESS}&refresh_token={REFRESH}"),
        format!("<html>{ACCESS}</html>"),
    ] {
        let template = ResponseTemplate::new(200).set_body_string(body.clone());
        answers.push((body, template));
    }
    for (name, template) in answers {
        let site = Site::start().await;
        site.always(TOKEN, template).await;
        site.always(AUDIT, Fixture::read("audit/single-page").template())
            .await;
        let origin = site.origin();
        for (kind, auth) in kinds(&site, &origin, &origin) {
            let client = site.client_with(auth.clone());
            if let Err(error) = client.audit(&AuditQuery::new()).await {
                assert_silent(&said(&error), &format!("{name}, {kind}"));
            }
            assert_silent(&debugged(&client), kind);
            assert_silent(&debugged(&auth), kind);
        }
        let app = OAuthApp::new(site.origin(), CLIENT_ID, CLIENT_SECRET.into());
        match app
            .exchange(&site.http, &CODE.into(), "http://localhost:1/")
            .await
        {
            Ok(tokens) => assert_silent(&debugged(&tokens), &name),
            Err(error) => assert_silent(&said(&error), &name),
        }
        assert_silent(&debugged(&app), &name);
    }
    assert_silent(&log.text(), "the log");
}

#[tokio::test]
async fn a_server_that_echoes_what_it_was_sent_makes_no_error_tell_it() {
    let log = Log::begin(LevelFilter::TRACE);
    let site = Site::start().await;
    let echo = |request: &Request| {
        let credential = request.headers["authorization"].to_str().unwrap();
        let encoded = credential.trim_start_matches("Basic ");
        let decoded = STANDARD.decode(encoded).unwrap_or_default();
        let body = [credential.as_bytes(), b" ", &decoded].concat();
        ResponseTemplate::new(400)
            .insert_header("atl-request-id", credential)
            .set_body_bytes(body)
    };
    site.always(AUDIT, echo).await;
    site.always(TOKEN, tokens()).await;
    let origin = site.origin();
    for (kind, auth) in kinds(&site, &origin, &origin) {
        let client = site.client_with(auth);
        let error = client.audit(&AuditQuery::new()).await.unwrap_err();
        assert_eq!(error.status(), Some(400), "{kind}");
        assert_silent(&said(&error), kind);
    }
    assert_silent(&log.text(), "the log");
}

#[tokio::test]
async fn a_token_endpoint_that_echoes_its_request_makes_no_error_tell_the_secrets() {
    type Echo = fn(&[u8]) -> Vec<u8>;
    let log = Log::begin(LevelFilter::TRACE);
    let echoes: [Echo; 2] = [<[u8]>::to_vec, |body| {
        let description = String::from_utf8_lossy(body);
        let body = json!({"error": "invalid_request", "error_description": description});
        serde_json::to_vec(&body).unwrap()
    }];
    for echo in echoes {
        for status in [400, 401, 429, 500] {
            let site = Site::start().await;
            let respond = move |request: &Request| {
                ResponseTemplate::new(status).set_body_bytes(echo(&request.body))
            };
            site.always(TOKEN, respond).await;
            let app = OAuthApp::new(site.origin(), CLIENT_ID, CLIENT_SECRET.into());
            let code = CODE.into();
            let error = app
                .exchange(&site.http, &code, "http://localhost:1/")
                .await
                .unwrap_err();
            assert_silent(&said(&error), "an exchange");
            let origin = site.origin();
            for (kind, auth) in kinds(&site, &origin, &origin).split_off(2) {
                let error = auth.headers(&origin).await.unwrap_err();
                assert_eq!(error.status(), Some(status), "{kind}");
                assert_silent(&said(&error), kind);
            }
        }
    }
    assert_silent(&log.text(), "the log");
}

#[tokio::test]
async fn a_renewal_that_fails_while_the_old_token_lasts_is_logged_without_it() {
    let log = Log::begin(LevelFilter::TRACE);
    let site = Site::serving(["audit/single-page"; 2]).await;
    site.answers("POST", TOKEN, ["oauth-token/error-refresh-token-invalid"])
        .await;
    let store = MemoryTokenStore::new(lasting(ACCESS, REFRESH, 3600));
    let app = OAuthApp::new(site.origin(), CLIENT_ID, CLIENT_SECRET.into());
    let oauth = OAuth::new(site.http.clone(), site.origin(), app, Arc::new(store));
    let client = site.client_with(Arc::new(oauth));
    client.audit(&AuditQuery::new()).await.unwrap();
    site.clock.advance(std::time::Duration::from_mins(56));
    client.audit(&AuditQuery::new()).await.unwrap();
    let log = log.text();
    assert!(log.contains("the token could not be renewed"), "{log}");
    assert_silent(&log, "the log");
}

#[tokio::test]
async fn no_failure_of_the_network_makes_any_secret_be_told() {
    let log = Log::begin(LevelFilter::TRACE);
    let site = Site::start().await;
    let (refusing, _socket) = nobody();
    let silent = Wire::answering([]).await;
    let cutting = Wire::answering(vec![cut(b"{\"results\":[", 100); 100]).await;
    for origin in [&refusing, &silent.origin, &cutting.origin] {
        for (kind, auth) in kinds(&site, origin, origin) {
            let address = confluence_audit_core::SiteAddress::direct(origin.clone());
            let client = AuditClient::new(site.http.clone(), address, auth.clone());
            let error = client.audit(&AuditQuery::new()).await.unwrap_err();
            assert_silent(&said(&error), kind);
            let error = client.export(&ExportQuery::new()).await.unwrap_err();
            assert_silent(&said(&error), kind);
            let error = accessible_resources(&site.http, origin, &*auth)
                .await
                .unwrap_err();
            assert_silent(&said(&error), kind);
        }
    }
    assert_silent(&log.text(), "the log");
}

#[tokio::test]
async fn a_credential_for_another_origin_is_refused_without_being_told() {
    let (site, other) = (Site::start().await, Site::start().await);
    let origin = site.origin();
    for (kind, auth) in kinds(&site, &origin, &origin) {
        let client = AuditClient::new(site.http.clone(), other.gateway(), auth);
        let error = client.audit(&AuditQuery::new()).await.unwrap_err();
        assert_silent(&said(&error), kind);
    }
}

#[tokio::test]
async fn what_a_walk_shows_of_itself_holds_no_secret() {
    let site = Site::serving(["audit/first-page"]).await;
    let origin = site.origin();
    let (_, auth) = kinds(&site, &origin, &origin).swap_remove(0);
    let mut pages = site.client_with(auth).pages(&AuditQuery::new());
    futures_util::TryStreamExt::try_next(&mut pages)
        .await
        .unwrap();
    assert_silent(&debugged(&pages), "the pager");
    let position = pages.position().unwrap();
    let written = serde_json::to_string(position).unwrap();
    assert_silent(&format!("{} {written}", debugged(position)), "the position");
}

#[tokio::test]
async fn tokens_their_store_and_their_headers_print_nothing_secret() {
    let tokens = lasting(ACCESS, REFRESH, 3600);
    assert_silent(&debugged(&tokens), "the tokens");
    let store = MemoryTokenStore::new(tokens);
    assert_silent(&debugged(&store), "the store");
    assert_silent(&debugged(&store.read().await.unwrap()), "what was read");
    let site = Site::start().await;
    site.always(TOKEN, self::tokens()).await;
    let origin = site.origin();
    for (kind, auth) in kinds(&site, &origin, &origin) {
        let headers = auth.headers(&origin).await.unwrap();
        assert_silent(&debugged(&headers), kind);
        // And the check itself finds what is there.
        let value = headers["authorization"].to_str().unwrap();
        let found = value.contains(CANARY)
            || value.ends_with(&STANDARD.encode(format!("{EMAIL}:{API_TOKEN}")));
        assert!(found, "{kind}");
    }
}

#[test]
fn a_credential_that_cannot_be_used_is_not_quoted() {
    let origin = Origin::parse("https://api.example.com").unwrap();
    for (email, token) in [("a:b@example.com", API_TOKEN), ("", API_TOKEN)] {
        let error = ApiToken::new(origin.clone(), email, token.into()).unwrap_err();
        assert_silent(&said(&error), email);
    }
    let error = Origin::parse(&format!("https://me:{API_TOKEN}@api.example.com")).unwrap_err();
    assert_silent(&said(&error), "an address with a password");
}
