//! An API token: Basic authentication with an email address.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::only_for;
use crate::error::{Error, ErrorKind};
use crate::http::authenticator::Authenticator;
use crate::http::origin::Origin;

/// An API token of a person or of a service account, with the email address that it belongs to.
///
/// A token with scopes is for the gateway, `https://api.atlassian.com`, alone.
///
/// ```
/// use confluence_audit_core::{ApiToken, Origin};
///
/// let gateway = Origin::parse("https://api.atlassian.com")?;
/// let token = ApiToken::new(gateway, "auditor@example.com", "the-token".into())?;
/// assert!(!format!("{token:?}").contains("the-token"));
/// # Ok::<(), confluence_audit_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ApiToken {
    origin: Origin,
    // `HeaderValue` prints nothing once it is marked sensitive.
    header: HeaderValue,
}

impl ApiToken {
    /// A token that is sent to `origin` only.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the email address is empty or holds a colon, or the token is
    /// empty.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the secret's owner lets go of it"
    )]
    pub fn new(origin: Origin, email: &str, token: SecretString) -> Result<Self, Error> {
        let fail = |why: &str| Err(Error::new(ErrorKind::Config, why));
        let token = token.expose_secret().trim();
        if email.is_empty() || email.contains(':') {
            return fail("the email address of the API token is empty or holds a colon");
        }
        if token.is_empty() {
            return fail("the API token is empty");
        }
        let pair = SecretString::from(STANDARD.encode(format!("{email}:{token}")));
        let mut header = HeaderValue::from_str(&format!("Basic {}", pair.expose_secret()))
            .map_err(|e| Error::new(ErrorKind::Config, "the API token").with_source(e))?;
        header.set_sensitive(true);
        Ok(Self { origin, header })
    }
}

#[async_trait]
impl Authenticator for ApiToken {
    async fn headers(&self, origin: &Origin) -> Result<HeaderMap, Error> {
        only_for(&self.origin, origin)?;
        Ok(HeaderMap::from_iter([(AUTHORIZATION, self.header.clone())]))
    }

    /// The same token would be refused again.
    async fn rejected(&self, _: &HeaderMap) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_token_goes_to_its_origin_alone_and_is_never_printed() {
        let gateway = Origin::parse("https://api.atlassian.com").unwrap();
        let token = ApiToken::new(gateway.clone(), "a@example.com", "canary".into()).unwrap();
        let headers = token.headers(&gateway).await.unwrap();
        assert_eq!(headers[AUTHORIZATION], "Basic YUBleGFtcGxlLmNvbTpjYW5hcnk=");
        let printed = format!("{token:?} {headers:?}");
        assert!(
            !printed.contains("canary") && !printed.contains("YUBl"),
            "{printed}"
        );
        let other = Origin::parse("https://x.atlassian.net").unwrap();
        let error = token.headers(&other).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error:?}").contains("canary"));
    }

    #[test]
    fn an_empty_token_and_an_ambiguous_address_are_refused() {
        let make = |email, token: &str| {
            let origin = Origin::parse("https://api.atlassian.com").unwrap();
            ApiToken::new(origin, email, token.into()).is_ok()
        };
        assert!(make("a@example.com", "t\n"));
        assert!(!make("", "t") && !make("a:b", "t") && !make("a@example.com", " \n"));
        assert!(!make("a\n@example.com\u{7f}", ""));
    }
}
