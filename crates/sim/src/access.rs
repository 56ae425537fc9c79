//! Access control of the audit endpoints: credentials, the host they are valid on, scope, plan and permission, in the
//! order of the service.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::AUDIT_SCOPE;
use crate::error_response;
use crate::lock::lock;
use crate::response::Response;
use crate::state::SimState;

/// The host that a request was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// `api.atlassian.com`: scoped tokens and OAuth.
    Gateway,
    /// The site's own: unscoped tokens.
    Site,
}

/// Lets a request to an audit endpoint pass, or refuses it as the service does.
pub(crate) fn authorize(
    state: &SimState,
    host: Host,
    authorization: Option<&str>,
) -> Result<(), Response> {
    let config = &state.config;
    let now = state.now();
    let scoped = match authorization.and_then(|value| value.split_once(' ')) {
        Some((scheme, value)) if scheme.eq_ignore_ascii_case("basic") => {
            let matches =
                |token: &str| STANDARD.encode(format!("{}:{token}", config.email)) == value.trim();
            match host {
                Host::Gateway if matches(&config.api_token) => !config.account.missing_scope,
                Host::Site if matches(&config.unscoped_token) => true,
                _ if config.account.html_401 => return Err(error_response::unauthorized_page()),
                _ => return Err(error_response::unauthorized()),
            }
        }
        Some((scheme, value)) if scheme.eq_ignore_ascii_case("bearer") && host == Host::Gateway => {
            match lock(&state.oauth).scopes(value.trim(), now) {
                Some(scopes) => scopes.iter().any(|scope| scope == AUDIT_SCOPE),
                None => return Err(error_response::unauthorized()),
            }
        }
        _ => return Err(error_response::unauthorized()),
    };
    if !scoped {
        return Err(error_response::scope_mismatch());
    }
    if config.account.plan_free {
        return Err(error_response::free_plan());
    }
    if config.account.not_admin {
        return Err(error_response::not_permitted());
    }
    Ok(())
}
