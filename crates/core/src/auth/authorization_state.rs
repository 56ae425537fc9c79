//! The `state` of an authorisation request: proof that an answer belongs to a question of ours.
//!
//! It is made from random bytes and the time, and signed with a key that comes from the client
//! secret. So a second run can tell that an answer is to the first one's question, without anything
//! kept in between, and nobody without the secret can make one.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use crate::time::Timestamp;

const RANDOM: usize = AuthorizationStates::RANDOM_BYTES;
const TIME: usize = 8;
const SIGNATURE: usize = 32;

/// What a state turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateVerdict {
    /// Made by this app for this redirect address, and young enough.
    Valid,
    /// As [`Valid`](Self::Valid), but older than [`AuthorizationStates::LIFETIME`].
    Expired,
    /// Not made by this app, or for another redirect address.
    Foreign,
}

/// Makes states for authorisation requests, and checks those of the answers.
#[derive(Clone)]
pub struct AuthorizationStates {
    key: [u8; 32],
}

impl AuthorizationStates {
    /// How long the answer to a request is accepted.
    pub const LIFETIME: Duration = Duration::from_mins(5);

    /// So many random bytes are in a state: nobody can guess them.
    pub const RANDOM_BYTES: usize = 32;

    /// For one app and one redirect address.
    pub fn new(client_secret: &SecretString, redirect_uri: &str) -> Self {
        let secret = client_secret.expose_secret().as_bytes();
        let key = blake3::derive_key("confluence-audit-oauth-setup state v1", secret);
        let key = blake3::keyed_hash(&key, redirect_uri.as_bytes());
        Self {
            key: *key.as_bytes(),
        }
    }

    /// A new state; `random` comes from a cryptographic generator, which this library has none of.
    pub fn make(&self, random: [u8; Self::RANDOM_BYTES], now: Timestamp) -> String {
        let mut state = Vec::with_capacity(RANDOM + TIME + SIGNATURE);
        state.extend_from_slice(&random);
        state.extend_from_slice(&now.as_millis().to_be_bytes());
        let signature = self.sign(&state);
        state.extend_from_slice(signature.as_bytes());
        URL_SAFE_NO_PAD.encode(state)
    }

    /// Whether `state` is one of ours, compared in constant time.
    pub fn check(&self, state: &str, now: Timestamp) -> StateVerdict {
        let state = URL_SAFE_NO_PAD.decode(state).unwrap_or_default();
        let Some((signed, signature)) = state.split_last_chunk::<SIGNATURE>() else {
            return StateVerdict::Foreign;
        };
        // The comparison of blake3's hashes takes the same time whatever they are.
        if self.sign(signed) != *signature {
            return StateVerdict::Foreign;
        }
        let Some((_, made)) = signed.split_last_chunk::<TIME>() else {
            return StateVerdict::Foreign;
        };
        let made = Timestamp::from_millis(i64::from_be_bytes(*made));
        if now.since(made) > Self::LIFETIME {
            return StateVerdict::Expired;
        }
        StateVerdict::Valid
    }

    fn sign(&self, bytes: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.key, bytes)
    }
}

/// Without the key.
impl fmt::Debug for AuthorizationStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationStates")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_750_000_000_000);

    fn states(secret: &str, redirect: &str) -> AuthorizationStates {
        AuthorizationStates::new(&secret.into(), redirect)
    }

    #[test]
    fn only_who_has_the_secret_makes_a_state() {
        let ours = states("secret", "https://x/callback");
        let state = ours.make([7; RANDOM], NOW);
        assert_eq!(ours.check(&state, NOW), StateVerdict::Valid);
        let again = states("secret", "https://x/callback");
        assert_eq!(
            again.check(&state, NOW),
            StateVerdict::Valid,
            "in another run"
        );
        for other in [
            states("other", "https://x/callback"),
            states("secret", "https://x/other"),
        ] {
            assert_eq!(other.check(&state, NOW), StateVerdict::Foreign);
        }
        for changed in [
            String::new(),
            "AAAA".to_owned(),
            state[1..].to_owned(),
            state.replacen(&state[..1], "_", 1),
            format!("{state}A"),
            "!".to_owned(),
        ] {
            assert_eq!(
                ours.check(&changed, NOW),
                StateVerdict::Foreign,
                "{changed}"
            );
        }
    }

    #[test]
    fn an_answer_is_taken_for_five_minutes() {
        let states = states("secret", "https://x/callback");
        let state = states.make([7; RANDOM], NOW);
        let then = NOW.saturating_add(AuthorizationStates::LIFETIME);
        assert_eq!(states.check(&state, then), StateVerdict::Valid);
        let later = then.saturating_add(Duration::from_millis(1));
        assert_eq!(states.check(&state, later), StateVerdict::Expired);
    }

    #[test]
    fn a_state_fits_into_an_address_as_it_is() {
        let state = states("secret", "https://x").make([255; RANDOM], NOW);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        assert!(state.chars().all(plain), "{state}");
    }
}
