//! The token endpoint: `POST /oauth/token` with a JSON body.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TokenSet;
use crate::transport::Request;
use crate::{Answer, Error, ErrorKind, Http, Origin, failure, page};

/// What is traded for tokens. It is serialised into the request's body and nowhere else, so it
/// has no `Debug`.
#[derive(Serialize)]
#[serde(tag = "grant_type", rename_all = "snake_case")]
pub(super) enum Grant<'a> {
    AuthorizationCode {
        client_id: &'a str,
        client_secret: &'a str,
        code: &'a str,
        redirect_uri: &'a str,
    },
    RefreshToken {
        client_id: &'a str,
        client_secret: &'a str,
        refresh_token: &'a str,
    },
    ClientCredentials {
        client_id: &'a str,
        client_secret: &'a str,
    },
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: Option<String>,
    /// Seconds; an hour when it is missing or odd, for a refusal renews the token anyway.
    expires_in: Option<Value>,
}

/// Trades `grant` for tokens.
pub(super) async fn trade(
    http: &Http,
    auth: &Origin,
    grant: &Grant<'_>,
) -> Result<TokenSet, Error> {
    let body = serde_json::to_vec(grant)
        .map_err(|e| Error::new(ErrorKind::Config, "the token request").with_source(e))?;
    let issued_at = http.runtime().now();
    let request = Request::post_json(auth, "/oauth/token", body);
    let granted: Granted = http
        .send(request, None, |answer| {
            refusal(answer).map_or_else(|| decode(&answer.body), Err)
        })
        .await?;
    let seconds = granted
        .expires_in
        .as_ref()
        .and_then(page::number)
        .unwrap_or(3600);
    Ok(TokenSet {
        access_token: granted.access_token.into(),
        refresh_token: granted.refresh_token.map(SecretString::from),
        issued_at,
        expires_at: issued_at.saturating_add(Duration::from_secs(seconds)),
        refresh_begun_at: None,
    })
}

/// The body of a success holds tokens, so an error about its shape quotes nothing of it. A cut
/// answer may have rotated the refresh token all the same: the old one is good for ten minutes
/// more, which is what a retry lives on.
fn decode(body: &[u8]) -> Result<Granted, Error> {
    page::decode(body)
        .map_err(|e| Error::new(e.kind(), "the answer of the token endpoint holds no tokens"))
}

/// Which refusal it is: the same codes mean different things at the two ends of a consent.
fn refusal(answer: &Answer) -> Option<Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Refusal {
        error: String,
    }
    let error = failure::of(answer, true)?;
    let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
    let kind = match (answer.status.as_u16(), refusal.error.as_str()) {
        (_, "invalid_grant" | "unauthorized_client") => ErrorKind::ConsentRequired,
        (_, "access_denied" | "invalid_client") => ErrorKind::ClientRejected,
        (400 | 401 | 403 | 404, _) => ErrorKind::Rejected,
        _ => return Some(error),
    };
    let message = format!("answered {}", answer.status);
    Some(Error::new(kind, message).with_body(&answer.body))
}
