//! The token endpoint: `POST /oauth/token` with a JSON body.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::token_store::TokenSet;
use crate::error::{Error, ErrorKind};
use crate::http::Http;
use crate::http::Request;
use crate::http::failure;
use crate::http::origin::Origin;
use crate::http::secrets::Secrets;
use crate::http::transport::Response;
use crate::json::decode;

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

impl<'a> Grant<'a> {
    fn secrets(&self) -> Secrets {
        let secrets: [&'a str; 2] = match self {
            Self::AuthorizationCode {
                client_secret,
                code,
                ..
            } => [client_secret, code],
            Self::RefreshToken {
                client_secret,
                refresh_token,
                ..
            } => [client_secret, refresh_token],
            Self::ClientCredentials { client_secret, .. } => [client_secret, ""],
        };
        secrets.into_iter().collect()
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: Option<String>,
    /// Seconds; an hour when it is missing, nothing or odd, for a refusal renews the token anyway.
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
    let request = Request {
        secrets: grant.secrets(),
        // A code is used up by the first request that arrives, whatever becomes of the answer. A
        // refresh token is good for ten minutes more, which is what a retry lives on.
        once: matches!(grant, Grant::AuthorizationCode { .. }),
        ..Request::post_json(auth, "/oauth/token", body)
    };
    let granted: Granted = http
        .send(request, None, |response| {
            refusal(response).map_or_else(|| granted(&response.body), Err)
        })
        .await?;
    let seconds = granted
        .expires_in
        .as_ref()
        .and_then(decode::whole_number)
        .filter(|seconds| *seconds > 0)
        .unwrap_or(3600);
    Ok(TokenSet {
        access_token: granted.access_token.into(),
        refresh_token: granted
            .refresh_token
            .filter(|token| !token.is_empty())
            .map(SecretString::from),
        issued_at,
        expires_at: issued_at.saturating_add(Duration::from_secs(seconds)),
        refresh_begun_at: None,
    })
}

/// The body of a success holds tokens, so an error about its shape quotes nothing of it.
fn granted(body: &[u8]) -> Result<Granted, Error> {
    let none = |kind| Error::new(kind, "the answer of the token endpoint holds no tokens");
    let granted: Granted = decode::object(body).map_err(|e| none(e.kind()))?;
    if granted.access_token.trim().is_empty() {
        return Err(none(ErrorKind::UnexpectedJson));
    }
    Ok(granted)
}

/// Which refusal it is: the same codes mean different things at the two ends of a consent. Of the
/// body only the standard's two fields are quoted, for the rest may be what was sent.
fn refusal(response: &Response) -> Option<Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Refusal {
        error: String,
        error_description: String,
    }
    let kind = failure::of(response, true)?.kind();
    let refusal: Refusal = decode::object(&response.body).unwrap_or_default();
    let kind = match (response.status.as_u16(), refusal.error.as_str()) {
        (_, "invalid_grant" | "unauthorized_client") => ErrorKind::ConsentRequired,
        (_, "access_denied" | "invalid_client") => ErrorKind::ClientRejected,
        (400 | 401 | 403 | 404, _) => ErrorKind::Rejected,
        _ => kind,
    };
    let words = [refusal.error, refusal.error_description].join(": ");
    let words = words.trim_matches([':', ' ']);
    Some(Error::new(kind, format!("answered {}", response.status)).with_body(words.as_bytes()))
}
