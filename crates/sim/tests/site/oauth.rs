//! OAuth: the browser's way, rotation with its leeway, and the words of each refusal.

use std::time::Duration;

use confluence_audit_sim::{CLIENT_ID, CLIENT_SECRET, Fault, OAuthConfig, Sim, SimConfig};
use serde_json::{Value, json};
use url::Url;

use crate::client::{AUDIT, CLIENT, json as answer};

const MINUTE: i64 = 60_000;
const T: i64 = 1_750_000_000_000;

fn sim(oauth: OAuthConfig) -> Sim {
    Sim::start(SimConfig {
        now: Some(T),
        oauth,
        ..SimConfig::default()
    })
    .unwrap()
}

async fn token(sim: &Sim, grant: Value) -> (u16, Value) {
    let mut body = json!({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET});
    body.as_object_mut()
        .unwrap()
        .extend(grant.as_object().unwrap().clone());
    answer(
        CLIENT
            .post(format!("{}/oauth/token", sim.url()))
            .body(body.to_string()),
    )
    .await
}

async fn refresh(sim: &Sim, refresh_token: &str) -> (u16, Value) {
    token(
        sim,
        json!({"grant_type": "refresh_token", "refresh_token": refresh_token}),
    )
    .await
}

async fn audit(sim: &Sim, access_token: &str) -> u16 {
    let url = format!(
        "{}/ex/confluence/{}{AUDIT}?limit=1",
        sim.url(),
        sim.cloud_id()
    );
    answer(CLIENT.get(url).bearer_auth(access_token)).await.0
}

/// Goes to `/authorize` and returns what the redirect carries.
async fn authorize(sim: &Sim, scope: &str) -> Vec<(String, String)> {
    let mut url = Url::parse(&format!("{}/authorize", sim.url())).unwrap();
    url.query_pairs_mut()
        .append_pair("client_id", CLIENT_ID)
        .append_pair("response_type", "code")
        .append_pair("redirect_uri", "http://localhost:9/callback")
        .append_pair("state", "s&t")
        .append_pair("scope", scope);
    let response = CLIENT.get(url.to_string()).send().await.unwrap();
    assert_eq!(response.status(), 302);
    let target = Url::parse(response.headers()["location"].to_str().unwrap()).unwrap();
    assert!(target.as_str().starts_with("http://localhost:9/callback?"));
    target.query_pairs().into_owned().collect()
}

/// The grant for the code of a redirect.
fn code_grant(pairs: &[(String, String)]) -> Value {
    let (grant, uri) = ("authorization_code", "http://localhost:9/callback");
    json!({"grant_type": grant, "code": pairs[0].1, "redirect_uri": uri})
}

#[tokio::test]
async fn a_consent_leads_to_records() {
    let sim = sim(OAuthConfig {
        other_sites: 2,
        ..OAuthConfig::default()
    });
    let pairs = authorize(&sim, "read:audit-log:confluence offline_access").await;
    assert_eq!(pairs[1], ("state".to_owned(), "s&t".to_owned()));
    let grant = code_grant(&pairs);
    let (status, tokens) = token(&sim, grant.clone()).await;
    assert_eq!((status, &tokens["expires_in"]), (200, &3600.into()));
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(audit(&sim, access).await, 200);
    assert_eq!(token(&sim, grant).await.0, 403, "a code works once");

    let (_, sites) = answer(
        CLIENT
            .get(format!("{}/oauth/token/accessible-resources", sim.url()))
            .bearer_auth(access),
    )
    .await;
    let ours = sites
        .as_array()
        .unwrap()
        .iter()
        .filter(|site| site["id"] == sim.cloud_id())
        .count();
    assert_eq!((sites.as_array().unwrap().len(), ours), (4, 2));

    sim.set_now(Some(T + 60 * MINUTE));
    assert_eq!(audit(&sim, access).await, 401, "expired");
    let pairs = authorize(&sim, "read:other offline_access").await;
    let grant = code_grant(&pairs);
    let (_, tokens) = token(&sim, grant).await;
    assert_eq!(
        audit(&sim, tokens["access_token"].as_str().unwrap()).await,
        401,
        "another scope"
    );
}

#[tokio::test]
async fn a_refresh_token_rotates_and_its_late_reuse_kills_the_family() {
    let sim = sim(OAuthConfig::default());
    let first = sim.consent();
    assert_eq!(audit(&sim, &first.access_token).await, 200);
    let (_, second) = refresh(&sim, &first.refresh_token).await;
    let second = second["refresh_token"].as_str().unwrap();
    assert_ne!(second, first.refresh_token);

    sim.set_now(Some(T + 10 * MINUTE));
    let (status, again) = refresh(&sim, &first.refresh_token).await;
    assert_eq!(status, 200, "within the leeway");
    assert_ne!(again["refresh_token"], second);

    sim.set_now(Some(T + 10 * MINUTE + 1));
    let dead =
        json!({"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."});
    assert_eq!(
        refresh(&sim, &first.refresh_token).await,
        (403, dead.clone())
    );
    assert_eq!(refresh(&sim, second).await, (403, dead));
    let counts = sim.stats();
    assert_eq!(
        (
            counts.refreshes,
            counts.reuses_in_leeway,
            counts.reuses_after_leeway
        ),
        (2, 1, 1)
    );
}

#[tokio::test]
async fn a_lost_answer_has_rotated_the_token() {
    let sim = sim(OAuthConfig {
        leeway: Duration::ZERO,
        ..OAuthConfig::default()
    });
    let tokens = sim.consent();
    sim.script_token([Fault::Reset]);
    let grant = json!({
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "grant_type": "refresh_token",
        "refresh_token": tokens.refresh_token,
    });
    let request = CLIENT.post(format!("{}/oauth/token", sim.url()));
    assert!(request.body(grant.to_string()).send().await.is_err());
    assert_eq!(sim.stats().refreshes, 1);
    sim.set_now(Some(T + 1));
    assert_eq!(refresh(&sim, &tokens.refresh_token).await.0, 403);
}

#[tokio::test]
async fn refusals_are_those_of_the_service() {
    let decline = sim(OAuthConfig {
        decline: true,
        ..OAuthConfig::default()
    });
    assert_eq!(
        authorize(&decline, "offline_access").await[0],
        ("error".to_owned(), "access_denied".to_owned())
    );

    let sim = sim(OAuthConfig::default());
    let (status, body) = token(
        &sim,
        json!({"client_secret": "wrong", "grant_type": "client_credentials"}),
    )
    .await;
    assert_eq!(
        (status, body.to_string()),
        (
            401,
            r#"{"error":"access_denied","error_description":"Unauthorized"}"#.to_owned()
        )
    );
    let (status, body) = refresh(&sim, "never issued").await;
    assert_eq!(
        (status, &body["error"]),
        (403, &"unauthorized_client".into())
    );
    let (status, body) = token(&sim, json!({"grant_type": "client_credentials"})).await;
    assert_eq!((status, body.get("refresh_token")), (200, None));
    assert_eq!(
        audit(&sim, body["access_token"].as_str().unwrap()).await,
        200
    );

    let tokens = sim.consent();
    sim.expire_access_tokens();
    assert_eq!(audit(&sim, &tokens.access_token).await, 401);
    sim.revoke();
    assert_eq!(refresh(&sim, &tokens.refresh_token).await.0, 403);
}
