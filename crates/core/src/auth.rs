//! Credentials: API token, OAuth and service account, each an
//! [`Authenticator`](crate::Authenticator).

pub(crate) mod api_token;
pub(crate) mod authorization_state;
mod bearer;
pub(crate) mod oauth;
pub(crate) mod service_account;
mod token_endpoint;
pub(crate) mod token_store;

use crate::error::{Error, ErrorKind};
use crate::http::origin::Origin;

/// What a token needs to read the audit log of Confluence: a granular scope.
pub(crate) const AUDIT_SCOPE: &str = "read:audit-log:confluence";

/// Refuses to hand a credential for `own` to anyone else.
fn only_for(own: &Origin, origin: &Origin) -> Result<(), Error> {
    if own == origin {
        return Ok(());
    }
    let message = format!("the credentials are for {own} and are not sent to {origin}");
    Err(Error::new(ErrorKind::Config, message))
}
