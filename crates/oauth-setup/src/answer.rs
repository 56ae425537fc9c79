//! Authorisation response (RFC 6749, 4.1.2): a code, or why there is none.

use confluence_audit_collector::{Error, ErrorKind};
use confluence_audit_core::{AuthorizationStates, StateVerdict, Timestamp, printable};
use secrecy::SecretString;
use url::Url;

use crate::remedy;

/// Why an answer brings no code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The person said no.
    Declined,
    /// It belongs to no question of ours.
    WrongState,
    /// It comes too late.
    Expired,
    /// The service said something else, made printable.
    Service(String),
    /// It holds neither a code nor a reason.
    Empty,
}

/// Reads the answer in the query of `callback`.
///
/// # Errors
/// Why there is no code in it.
pub(crate) fn read(
    callback: &Url,
    states: &AuthorizationStates,
    now: Timestamp,
) -> Result<SecretString, Refusal> {
    let value = |name: &str| {
        let mut pairs = callback.query_pairs();
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    };
    // First of all: whatever else it says, it must be an answer to us.
    match states.check(&value("state").unwrap_or_default(), now) {
        StateVerdict::Valid => {}
        StateVerdict::Expired => return Err(Refusal::Expired),
        StateVerdict::Foreign => return Err(Refusal::WrongState),
    }
    match (value("error"), value("code")) {
        (Some(error), _) if error == "access_denied" => Err(Refusal::Declined),
        (Some(error), _) => {
            let description = value("error_description").unwrap_or_default();
            let text = format!("{error}: {description}");
            Err(Refusal::Service(printable(
                text.trim_end_matches(": "),
                300,
            )))
        }
        (None, Some(code)) if !code.is_empty() => Ok(code.into_owned().into()),
        _ => Err(Refusal::Empty),
    }
}

impl Refusal {
    /// What happened and what to do, for the terminal.
    pub(crate) fn error(&self) -> Error {
        let (message, remedy) = match self {
            Self::Declined => (
                "the consent was declined in the browser".to_owned(),
                remedy::AGAIN.to_owned(),
            ),
            Self::WrongState => (
                "the callback address does not belong to this app's question (its state is not \
                 ours)"
                    .to_owned(),
                "Open the address that this program prints, not one from elsewhere, and take the \
                 answer to it, whole. Whoever sent you another one may have meant to give you \
                 their own account."
                    .to_owned(),
            ),
            Self::Expired => (
                "the answer came too late: it is taken for five minutes".to_owned(),
                remedy::AGAIN.to_owned(),
            ),
            Self::Service(reason) => (
                format!("the service refused to ask for consent: {reason}"),
                remedy::service_refused(reason),
            ),
            Self::Empty => (
                "the callback address holds no code".to_owned(),
                "Copy the whole address from the browser's bar, from https:// to its end."
                    .to_owned(),
            ),
        };
        Error::new(ErrorKind::Credentials, message, remedy)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_750_000_000_000);

    fn answer(query: &str, now: Timestamp) -> Result<String, Refusal> {
        let states = AuthorizationStates::new(&"secret".into(), "https://x/callback");
        let query = query.replace(
            "STATE",
            &states.make([1; AuthorizationStates::RANDOM_BYTES], NOW),
        );
        let url = Url::parse(&format!("https://x/callback?{query}")).expect("a URL");
        read(&url, &states, now).map(|code| code.expose_secret().to_owned())
    }

    #[test]
    fn a_code_is_taken_from_an_answer_to_us_alone() {
        assert_eq!(answer("code=a%2Bb&state=STATE", NOW), Ok("a+b".to_owned()));
        for forged in [
            "code=c",
            "code=c&state=",
            "code=c&state=x",
            "error=access_denied",
        ] {
            assert_eq!(answer(forged, NOW), Err(Refusal::WrongState), "{forged}");
        }
        assert_eq!(answer("state=STATE", NOW), Err(Refusal::Empty));
        assert_eq!(answer("code=&state=STATE", NOW), Err(Refusal::Empty));
    }

    #[test]
    fn each_refusal_is_told_apart() {
        let declined = answer("error=access_denied&state=STATE", NOW);
        assert_eq!(declined, Err(Refusal::Declined));
        let late = NOW.saturating_add(2 * AuthorizationStates::LIFETIME);
        assert_eq!(answer("code=c&state=STATE", late), Err(Refusal::Expired));
        let odd = answer(
            "error=invalid_scope&error_description=bad%1B[2J&state=STATE",
            NOW,
        );
        let Err(Refusal::Service(reason)) = odd else {
            panic!("{odd:?}")
        };
        assert!(reason.starts_with("invalid_scope: bad") && !reason.contains('\u{1b}'));
    }
}
