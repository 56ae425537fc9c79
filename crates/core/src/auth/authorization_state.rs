//! The state of an authorisation: proof that an answer belongs to a question of ours.
//!
//! It is made from chance and the time, and signed with a key that comes from the client secret.
//! So a second run can tell that an answer is to the first one's question, without anything kept
//! in between, and nobody without the secret can make one.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use crate::Timestamp;

/// How long an answer is taken.
pub const LIMIT: Duration = Duration::from_mins(5);

/// 256 bits that nobody can guess.
pub const CHANCE: usize = 32;
const TIME: usize = 8;
const SIGNATURE: usize = 32;

/// What a state turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Made by this app for this redirect address.
    Ours,
    /// Ours, from longer ago than an answer is taken.
    TooOld,
    /// Made by somebody else.
    NotOurs,
}

/// Makes states and knows them again.
#[derive(Clone)]
pub struct States {
    key: [u8; 32],
}

impl States {
    /// For one app and one redirect address.
    pub fn new(client_secret: &SecretString, redirect_uri: &str) -> Self {
        let secret = client_secret.expose_secret().as_bytes();
        let key = blake3::derive_key("confluence-audit-oauth-setup state v1", secret);
        let key = blake3::keyed_hash(&key, redirect_uri.as_bytes());
        Self {
            key: *key.as_bytes(),
        }
    }

    /// A new state.
    pub fn make(&self, chance: [u8; CHANCE], now: Timestamp) -> String {
        let mut state = Vec::with_capacity(CHANCE + TIME + SIGNATURE);
        state.extend_from_slice(&chance);
        state.extend_from_slice(&now.as_millis().to_be_bytes());
        let signature = self.sign(&state);
        state.extend_from_slice(signature.as_bytes());
        URL_SAFE_NO_PAD.encode(state)
    }

    /// Whether `state` is one of ours, compared in constant time.
    pub fn check(&self, state: &str, now: Timestamp) -> Verdict {
        let state = URL_SAFE_NO_PAD.decode(state).unwrap_or_default();
        let Some((signed, signature)) = state.split_last_chunk::<SIGNATURE>() else {
            return Verdict::NotOurs;
        };
        // The comparison of blake3's hashes takes the same time whatever they are.
        if self.sign(signed) != *signature {
            return Verdict::NotOurs;
        }
        let Some((_, made)) = signed.split_last_chunk::<TIME>() else {
            return Verdict::NotOurs;
        };
        let made = Timestamp::from_millis(i64::from_be_bytes(*made));
        if now.since(made) > LIMIT {
            return Verdict::TooOld;
        }
        Verdict::Ours
    }

    fn sign(&self, bytes: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.key, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_750_000_000_000);

    fn states(secret: &str, redirect: &str) -> States {
        States::new(&secret.into(), redirect)
    }

    #[test]
    fn only_who_has_the_secret_makes_a_state() {
        let ours = states("secret", "https://x/callback");
        let state = ours.make([7; CHANCE], NOW);
        assert_eq!(ours.check(&state, NOW), Verdict::Ours);
        let again = states("secret", "https://x/callback");
        assert_eq!(again.check(&state, NOW), Verdict::Ours, "in another run");
        for other in [
            states("other", "https://x/callback"),
            states("secret", "https://x/other"),
        ] {
            assert_eq!(other.check(&state, NOW), Verdict::NotOurs);
        }
        for changed in [
            String::new(),
            "AAAA".to_owned(),
            state[1..].to_owned(),
            state.replacen(&state[..1], "_", 1),
            format!("{state}A"),
            "!".to_owned(),
        ] {
            assert_eq!(ours.check(&changed, NOW), Verdict::NotOurs, "{changed}");
        }
    }

    #[test]
    fn an_answer_is_taken_for_five_minutes() {
        let states = states("secret", "https://x/callback");
        let state = states.make([7; CHANCE], NOW);
        let then = NOW.saturating_add(LIMIT);
        assert_eq!(states.check(&state, then), Verdict::Ours);
        let later = then.saturating_add(Duration::from_millis(1));
        assert_eq!(states.check(&state, later), Verdict::TooOld);
    }

    #[test]
    fn a_state_fits_into_an_address_as_it_is() {
        let state = states("secret", "https://x").make([255; CHANCE], NOW);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        assert!(state.chars().all(plain), "{state}");
    }
}
