//! Authentication: the headers that a request carries to be let in.

mod api_token;
mod authorization_state;
mod bearer;
mod oauth;
mod service_account;
mod token_endpoint;
mod token_store;

use std::fmt;

use async_trait::async_trait;
use http::HeaderMap;

use crate::{Error, ErrorKind, Origin};

pub use api_token::ApiToken;
pub use authorization_state::{AuthorizationStates, StateVerdict};
pub use oauth::{OAuth, OAuthApp};
pub use service_account::ServiceAccount;
pub use token_store::{LockedTokens, MemoryTokenStore, TokenSet, TokenStore};

/// What a token needs to read the audit log of Confluence: a granular scope.
pub(crate) const AUDIT_SCOPE: &str = "read:audit-log:confluence";

/// A credential for one origin.
///
/// It is asked at every attempt of a request, so that one that was renewed meanwhile is used.
/// Implementations keep secrets in types that do not print them, and mark header values sensitive.
#[async_trait]
pub trait Authenticator: Send + Sync + fmt::Debug {
    /// The headers that let a request to `origin` in.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the credential is not for this origin, and whatever can go
    /// wrong when a token is renewed.
    async fn headers(&self, origin: &Origin) -> Result<HeaderMap, Error>;

    /// Is told that the service answered 401 to `headers`. `true` means that the next headers
    /// will be others, so that it is worth asking once more.
    async fn rejected(&self, headers: &HeaderMap) -> bool;
}

/// Refuses to hand a credential for `own` to anyone else.
fn only_for(own: &Origin, origin: &Origin) -> Result<(), Error> {
    if own == origin {
        return Ok(());
    }
    let message = format!("the credentials are for {own} and are not sent to {origin}");
    Err(Error::new(ErrorKind::Config, message))
}
