//! OAuth 2.0 server as the service has it: consent, codes, access tokens, and refresh tokens that rotate.

use std::collections::HashMap;

use serde_json::{Value, json};
use url::Url;

use crate::config::{AUDIT_SCOPE, OAuthConfig};
use crate::error_response;
use crate::random::{mix, uuid};
use crate::response::Response;

const DAY: i64 = 86_400_000;
/// A refresh token that was not used for so long is dead.
const IDLE: i64 = 90 * DAY;
/// And so is a family of this age.
const AGE: i64 = 365 * DAY;

/// The tokens of a consent that [`Sim::consent`](crate::Sim::consent) gave without a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Consent {
    /// Good for [`OAuthConfig::expires_in`].
    pub access_token: String,
    /// Good for one exchange, and the leeway.
    pub refresh_token: String,
}

/// The state of the authorization server.
#[derive(Debug)]
pub(crate) struct OAuth {
    config: OAuthConfig,
    /// Whether no token ever gets the audit scope.
    without_audit: bool,
    seed: u64,
    serial: u64,
    codes: HashMap<String, Code>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    families: HashMap<u64, Family>,
    pub(crate) refreshes: u64,
    pub(crate) reuses_in_leeway: u64,
    pub(crate) reuses_after_leeway: u64,
}

#[derive(Debug)]
struct Code {
    redirect_uri: String,
    scopes: Vec<String>,
}

#[derive(Debug)]
struct Access {
    expires: i64,
    scopes: Vec<String>,
}

#[derive(Debug)]
struct Refresh {
    family: u64,
    issued: i64,
    used: Option<i64>,
}

/// All tokens that descend from one consent.
#[derive(Debug)]
struct Family {
    born: i64,
    dead: bool,
    scopes: Vec<String>,
}

impl OAuth {
    pub(crate) fn new(config: OAuthConfig, without_audit: bool, seed: u64) -> Self {
        Self {
            config,
            without_audit,
            seed,
            serial: 0,
            codes: HashMap::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            families: HashMap::new(),
            refreshes: 0,
            reuses_in_leeway: 0,
            reuses_after_leeway: 0,
        }
    }

    /// The scopes of a living access token.
    pub(crate) fn scopes(&self, token: &str, now: i64) -> Option<&[String]> {
        self.access
            .get(token)
            .filter(|access| now < access.expires)
            .map(|access| access.scopes.as_slice())
    }

    /// Ends all access tokens, as time would.
    pub(crate) fn expire(&mut self) {
        self.access.clear();
    }

    /// Ends all refresh tokens, as a person does who takes the consent back.
    pub(crate) fn revoke(&mut self) {
        for family in self.families.values_mut() {
            family.dead = true;
        }
    }

    /// A person's consent without the browser.
    pub(crate) fn consent(&mut self, now: i64) -> Consent {
        let family = self.family(&[AUDIT_SCOPE.to_owned(), "offline_access".to_owned()], now);
        let access_token = self.mint_access(self.families[&family].scopes.clone(), now);
        Consent {
            access_token,
            refresh_token: self.mint_refresh(family, now),
        }
    }

    /// `GET /authorize`: consents at once, or declines, and redirects.
    pub(crate) fn authorize(&mut self, query: &[(String, String)]) -> Response {
        let get = |name: &str| {
            query
                .iter()
                .find(|(key, _)| key == name)
                .map_or("", |(_, value)| value.as_str())
        };
        if get("client_id") != self.config.client_id || get("response_type") != "code" {
            return error_response::bad_request("Unknown client_id or response_type");
        }
        let Ok(mut target) = Url::parse(get("redirect_uri")) else {
            return error_response::bad_request("redirect_uri is not registered for this app");
        };
        if self.config.decline {
            target
                .query_pairs_mut()
                .append_pair("error", "access_denied")
                .append_pair("error_description", "User did not authorize the request")
                .append_pair("state", get("state"));
        } else {
            let code = self.token_text("code");
            target
                .query_pairs_mut()
                .append_pair("code", &code)
                .append_pair("state", get("state"));
            let scopes = self.granted(get("scope"));
            self.codes.insert(
                code,
                Code {
                    redirect_uri: get("redirect_uri").to_owned(),
                    scopes,
                },
            );
        }
        Response::new(302, "text/plain", "").with("Location", target)
    }

    /// `POST /oauth/token` with a JSON body.
    pub(crate) fn token(&mut self, body: &[u8], now: i64) -> Response {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return error(400, "invalid_request", "The body must be JSON");
        };
        let get = |name: &str| body[name].as_str().unwrap_or_default();
        if get("client_id") != self.config.client_id
            || get("client_secret") != self.config.client_secret
        {
            return error(401, "access_denied", "Unauthorized");
        }
        match get("grant_type") {
            "authorization_code" => {
                let Some(code) = self.codes.remove(get("code")) else {
                    return error(403, "invalid_grant", "Invalid authorization code");
                };
                if code.redirect_uri != get("redirect_uri") {
                    return error(
                        403,
                        "invalid_grant",
                        "redirect_uri does not match the authorization request",
                    );
                }
                let offline = code.scopes.iter().any(|scope| scope == "offline_access");
                let family = self.family(&code.scopes, now);
                self.tokens(family, offline, now)
            }
            "refresh_token" => self.exchange(get("refresh_token"), now),
            "client_credentials" => {
                let scopes = self.granted(AUDIT_SCOPE);
                let scope = scopes.join(" ");
                let token = self.mint_access(scopes, now);
                self.token_response(&json!({"access_token": token, "scope": scope}))
            }
            _ => error(403, "unsupported_grant_type", "Unsupported grant type"),
        }
    }

    /// Rotates a refresh token.
    fn exchange(&mut self, token: &str, now: i64) -> Response {
        let Some(refresh) = self.refresh.get_mut(token) else {
            return error(403, "unauthorized_client", "refresh_token is invalid");
        };
        let Some(family) = self.families.get_mut(&refresh.family) else {
            return error(403, "unauthorized_client", "refresh_token is invalid");
        };
        let leeway = i64::try_from(self.config.leeway.as_millis()).unwrap_or(i64::MAX);
        let too_late = refresh.used.is_some_and(|used| now - used > leeway);
        if too_late && !family.dead {
            self.reuses_after_leeway += 1;
            family.dead = true;
        }
        if family.dead || now - refresh.issued > IDLE || now - family.born > AGE {
            return error(403, "invalid_grant", "Unknown or invalid refresh token.");
        }
        if refresh.used.is_some() {
            self.reuses_in_leeway += 1;
        } else {
            refresh.used = Some(now);
        }
        self.refreshes += 1;
        let family = refresh.family;
        self.tokens(family, true, now)
    }

    /// The response with a fresh access token and, with `offline`, a fresh refresh token.
    fn tokens(&mut self, family: u64, offline: bool, now: i64) -> Response {
        let scopes = self.families[&family].scopes.clone();
        let scope = scopes.join(" ");
        let access = self.mint_access(scopes, now);
        let mut body = json!({"access_token": access, "scope": scope});
        if offline {
            body["refresh_token"] = self.mint_refresh(family, now).into();
        }
        self.token_response(&body)
    }

    fn token_response(&self, body: &Value) -> Response {
        let mut body = body.clone();
        body["expires_in"] = self.config.expires_in.as_secs().into();
        body["token_type"] = "Bearer".into();
        Response::json(200, &body).with("Cache-Control", "no-store")
    }

    fn family(&mut self, scopes: &[String], now: i64) -> u64 {
        let scopes = self.granted(&scopes.join(" "));
        self.serial += 1;
        self.families.insert(
            self.serial,
            Family {
                born: now,
                dead: false,
                scopes,
            },
        );
        self.serial
    }

    fn granted(&self, scope: &str) -> Vec<String> {
        scope
            .split_whitespace()
            .filter(|scope| !(self.without_audit && *scope == AUDIT_SCOPE))
            .map(str::to_owned)
            .collect()
    }

    fn mint_access(&mut self, scopes: Vec<String>, now: i64) -> String {
        let token = self.token_text("access");
        let life = i64::try_from(self.config.expires_in.as_millis()).unwrap_or(i64::MAX);
        self.access.insert(
            token.clone(),
            Access {
                expires: now.saturating_add(life),
                scopes,
            },
        );
        token
    }

    fn mint_refresh(&mut self, family: u64, now: i64) -> String {
        let token = self.token_text("refresh");
        self.refresh.insert(
            token.clone(),
            Refresh {
                family,
                issued: now,
                used: None,
            },
        );
        token
    }

    /// The text of a token, which a test can look for where it must not be.
    fn token_text(&mut self, kind: &str) -> String {
        self.serial += 1;
        let draw = mix(mix(self.seed, 0x0A07), self.serial);
        format!("canary-{kind}-{}-{draw:016x}", self.serial)
    }

    /// `GET /oauth/token/accessible-resources`: ours twice, with different scopes, among the others, in any order.
    pub(crate) fn resources(&self, cloud_id: &str, url: &str, turn: u64) -> Response {
        let site = |id: &str, name: &str, url: &str, scopes: &[&str]| {
            let avatar = format!("{url}/avatar.png");
            json!({"id": id, "name": name, "url": url, "scopes": scopes, "avatarUrl": avatar})
        };
        let audit = self.granted(AUDIT_SCOPE);
        let audit: Vec<_> = audit.iter().map(String::as_str).collect();
        let mut list = vec![
            site(cloud_id, "sim", url, &["read:jira-user"]),
            site(cloud_id, "sim", url, &audit),
        ];
        for number in 1..=self.config.other_sites as u64 {
            let id = uuid(mix(self.seed, number), mix(number, self.seed));
            list.push(site(
                &id,
                &format!("other-{number}"),
                &format!("https://other-{number}.example.com"),
                &audit,
            ));
        }
        let turns = usize::try_from(turn).unwrap_or(0) % list.len();
        list.rotate_left(turns);
        Response::json(200, &Value::Array(list))
    }
}

fn error(status: u16, error: &str, description: &str) -> Response {
    Response::json(
        status,
        &json!({"error": error, "error_description": description}),
    )
}
