//! Who may ask: credentials, the host they are good on, scope, plan and permission, in the order of the service.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::AUDIT_SCOPE;
use crate::error_response;
use crate::lock::lock;
use crate::response::Answer;
use crate::state::Site;

/// The host that a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// `api.atlassian.com`: scoped tokens and OAuth.
    Gateway,
    /// The site's own: unscoped tokens.
    Own,
}

/// Lets a request to an audit endpoint pass, or says why not.
pub(crate) fn admit(site: &Site, door: Door, authorization: Option<&str>) -> Result<(), Answer> {
    let config = &site.config;
    let now = site.now();
    let scoped = match authorization.and_then(|value| value.split_once(' ')) {
        Some((scheme, value)) if scheme.eq_ignore_ascii_case("basic") => {
            let is =
                |token: &str| STANDARD.encode(format!("{}:{token}", config.email)) == value.trim();
            match door {
                Door::Gateway if is(&config.api_token) => !config.account.missing_scope,
                Door::Own if is(&config.unscoped_token) => true,
                _ if config.account.html_401 => return Err(error_response::unauthorized_page()),
                _ => return Err(error_response::unauthorized()),
            }
        }
        Some((scheme, value)) if scheme.eq_ignore_ascii_case("bearer") && door == Door::Gateway => {
            match lock(&site.oauth).scopes(value.trim(), now) {
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
