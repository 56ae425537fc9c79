//! Finds a secret of ours in what a server says: one that echoes what it was sent must not make
//! an error tell it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use memchr::memmem;
use secrecy::{ExposeSecret, SecretString};

/// What is shorter stands in answers by chance, and guards nothing.
const SHORTEST: usize = 8;

/// What a request carries and nobody may read.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<SecretString>);

impl Secrets {
    /// These and the credentials in `headers`.
    pub(crate) fn and_of(mut self, headers: &HeaderMap) -> Self {
        for value in headers.values().filter(|value| value.is_sensitive()) {
            let Ok(text) = value.to_str() else { continue };
            let credential = text.split_once(' ').map_or(text, |(_scheme, rest)| rest);
            // Basic authentication: the token stands behind the address.
            let pair = STANDARD.decode(credential).map(String::from_utf8);
            if let Ok(Ok(pair)) = pair.map(|pair| pair.map(SecretString::from))
                && let Some((_, token)) = pair.expose_secret().split_once(':')
            {
                self.0.push(token.into());
            }
            // Padding is what an echo spells otherwise or drops.
            self.0.push(credential.trim_end_matches('=').into());
        }
        self
    }

    /// Whether any of them stands in `text`.
    pub(crate) fn stand_in(&self, text: &[u8]) -> bool {
        let mut secrets = self.0.iter().map(ExposeSecret::expose_secret);
        secrets.any(|secret| {
            secret.len() >= SHORTEST && memmem::find(text, secret.as_bytes()).is_some()
        })
    }
}

impl<'a> FromIterator<&'a str> for Secrets {
    fn from_iter<I: IntoIterator<Item = &'a str>>(secrets: I) -> Self {
        Self(secrets.into_iter().map(SecretString::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::AUTHORIZATION;

    use super::*;

    #[test]
    fn a_credential_is_found_in_every_form_that_a_server_may_echo() {
        let mut basic = HeaderValue::from_static("Basic YUBleGFtcGxlLmNvbTp0aGUtdG9rZW4=");
        basic.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, basic)]);
        let secrets = Secrets::from_iter(["the-client-secret", "short"]).and_of(&headers);
        for echo in [
            "Basic YUBleGFtcGxlLmNvbTp0aGUtdG9rZW4=",
            "a=YUBleGFtcGxlLmNvbTp0aGUtdG9rZW4%3D",
            r#"{"password":"the-token"}"#,
            r#"{"client_secret":"the-client-secret"}"#,
        ] {
            assert!(secrets.stand_in(echo.as_bytes()), "{echo}");
        }
        assert!(!secrets.stand_in(b"a short answer to a@example.com"));
    }
}
