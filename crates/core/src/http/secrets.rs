//! Finds credentials in what a server answers: one that echoes what it was sent must not get them
//! into an error or a log.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use memchr::memmem;
use secrecy::{ExposeSecret, SecretString};

/// What is shorter stands in answers by chance, and guards nothing.
const SHORTEST: usize = 8;

/// The credentials of a request, to be looked for in its response.
#[derive(Clone, Default)]
pub struct Secrets(Vec<SecretString>);

impl Secrets {
    /// Adds `secret`, however short it is; an empty one is none.
    pub fn push(&mut self, secret: SecretString) {
        if !secret.expose_secret().is_empty() {
            self.0.push(secret);
        }
    }

    /// These and the credentials in those of `headers` that are marked sensitive, but for what is
    /// too short to be told from other text.
    #[must_use]
    pub fn with_headers(mut self, headers: &HeaderMap) -> Self {
        for value in headers.values().filter(|value| value.is_sensitive()) {
            let Ok(text) = value.to_str() else { continue };
            let credential = text.split_once(' ').map_or(text, |(_scheme, rest)| rest);
            // Basic authentication: the token stands behind the address.
            let pair = STANDARD.decode(credential).map(String::from_utf8);
            if let Ok(Ok(pair)) = pair.map(|pair| pair.map(SecretString::from))
                && let Some((_, token)) = pair.expose_secret().split_once(':')
            {
                self.push_long(token);
            }
            // Padding is what an echo spells otherwise or drops.
            self.push_long(credential.trim_end_matches('='));
        }
        self
    }

    fn push_long(&mut self, secret: &str) {
        if secret.len() >= SHORTEST {
            self.0.push(secret.into());
        }
    }

    /// Whether any of them stands in `text`.
    pub fn stand_in(&self, text: &[u8]) -> bool {
        let mut secrets = self.0.iter().map(ExposeSecret::expose_secret);
        secrets.any(|secret| memmem::find(text, secret.as_bytes()).is_some())
    }
}

/// How many there are.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// But for what is too short to be told from other text.
impl<'a> FromIterator<&'a str> for Secrets {
    fn from_iter<I: IntoIterator<Item = &'a str>>(secrets: I) -> Self {
        let mut all = Self::default();
        secrets.into_iter().for_each(|secret| all.push_long(secret));
        all
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
        let mut secrets = Secrets::from_iter(["the-client-secret", "short"]).with_headers(&headers);
        for echo in [
            "Basic YUBleGFtcGxlLmNvbTp0aGUtdG9rZW4=",
            "a=YUBleGFtcGxlLmNvbTp0aGUtdG9rZW4%3D",
            r#"{"password":"the-token"}"#,
            r#"{"client_secret":"the-client-secret"}"#,
        ] {
            assert!(secrets.stand_in(echo.as_bytes()), "{echo}");
        }
        assert!(!secrets.stand_in(b"a short answer to a@example.com"));
        secrets.push("short".into());
        secrets.push("".into());
        assert!(secrets.stand_in(b"a short answer to a@example.com"));
        assert!(!secrets.stand_in(b"another answer"));
        assert_eq!(format!("{secrets:?}"), "Secrets(4)");
    }
}
