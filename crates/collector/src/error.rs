//! The error of this crate: what happened and where, its remedy, and its exit code.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use confluence_audit_core::printable;

/// What the collector returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and what to do.
///
/// `Display` prints this layer alone; [`source`](StdError::source) leads to the rest of the chain,
/// which a binary prints once. [`remedy`](Self::remedy) is a sentence for the person who has to
/// act, [`exit_code`](Self::exit_code) one for the script.
///
/// ```
/// use confluence_audit_collector::{Error, ErrorKind};
///
/// let error = Error::new(
///     ErrorKind::Config,
///     "/etc/confluence-audit/config.toml line 3: `interval` is missing",
///     "Add `interval = \"10m\"` under [collect].",
/// );
/// assert_eq!(error.exit_code(), 78);
/// assert!(error.remedy().starts_with("Add"));
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    remedy: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    retry_after: Option<Duration>,
}

/// The kinds of failure, by what has to be done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration, or a setting beside it, is wrong. Trying again changes nothing.
    Config,
    /// Another process holds the state directory. Try later.
    Locked,
    /// What the state directory holds cannot be used: damaged, of a newer version, not ours, or
    /// on a network file system. A person has to look; nothing was changed.
    State,
    /// As much waits for outputs as may. Nothing more is read until they have taken some of it.
    SpoolFull,
    /// An output cannot be created or is of a kind that is refused.
    OutputCreate,
    /// An output that is a service could not be reached, or kept failing. Time may mend it.
    OutputUnavailable,
    /// Reading or writing failed. What was not confirmed is delivered by the next run.
    Io,
    /// A credential is missing, unreadable, or readable by others.
    Credentials,
    /// The service, the way to it, or what it thinks of the credentials.
    Service(confluence_audit_core::ErrorKind),
    /// A promise between our own parts was broken: a bug of ours.
    Internal,
}

impl Error {
    /// An error of `kind`: `message` says what happened and where, `remedy` what to do.
    pub fn new(
        kind: ErrorKind,
        message: impl Into<String>,
        remedy: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            remedy: remedy.into(),
            source: None,
            retry_after: None,
        }))
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error with how long the other side asks to be left in peace.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// How long the other side asks to be left in peace, at least.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether time alone may mend it.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind(), ErrorKind::OutputUnavailable)
    }

    /// Whether credentials or a permission are missing, refused, or open to others.
    pub fn is_credentials(&self) -> bool {
        match self.kind() {
            ErrorKind::Credentials => true,
            ErrorKind::Service(kind) => is_credentials(kind),
            _ => false,
        }
    }

    /// Whether a person has to act: credentials, a permission, or the configuration. Trying again
    /// changes nothing before.
    pub fn needs_a_person(&self) -> bool {
        use confluence_audit_core::ErrorKind as Kind;
        let is_setting = matches!(
            self.kind(),
            ErrorKind::Config | ErrorKind::Service(Kind::Config | Kind::WrongSite)
        );
        is_setting || self.is_credentials()
    }

    /// Whether the service does not know the site.
    pub fn is_wrong_site(&self) -> bool {
        self.kind() == ErrorKind::Service(confluence_audit_core::ErrorKind::WrongSite)
    }

    /// What went wrong with the service, at the site that people call `site`.
    pub fn service(site: &str, error: confluence_audit_core::Error) -> Self {
        let kind = ErrorKind::Service(error.kind());
        Self::new(kind, format!("site {site}"), error.remedy()).with_source(error)
    }

    /// A broken promise between our own parts.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(
            ErrorKind::Internal,
            message,
            "This is a bug of confluence-audit. Nothing was confirmed, so nothing is lost; please \
             report it with the messages that came before it.",
        )
    }

    /// The system gave a program not what it needs to begin.
    pub fn not_started(error: std::io::Error) -> Self {
        let message = "the program could not start its runtime";
        let remedy = "See whether the host has run out of threads, files or memory.";
        Self::new(ErrorKind::Internal, message, remedy).with_source(error)
    }

    /// Which kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What to do about it, as one or more sentences.
    pub fn remedy(&self) -> &str {
        &self.0.remedy
    }

    /// What happened and what caused it, each layer once, safe to look at.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some libraries repeat their cause in their own message.
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        printable(&text, 2000)
    }

    /// The exit code that stands for it, from `sysexits.h`.
    pub fn exit_code(&self) -> u8 {
        match self.0.kind {
            ErrorKind::Internal => 70,
            ErrorKind::OutputUnavailable => 69,
            ErrorKind::OutputCreate => 73,
            ErrorKind::State | ErrorKind::SpoolFull | ErrorKind::Io => 74,
            ErrorKind::Locked => 75,
            ErrorKind::Credentials => 77,
            ErrorKind::Config => 78,
            ErrorKind::Service(kind) => service_exit_code(kind),
        }
    }
}

fn is_credentials(kind: confluence_audit_core::ErrorKind) -> bool {
    use confluence_audit_core::ErrorKind as Kind;
    matches!(
        kind,
        Kind::Unauthorized
            | Kind::WrongHost
            | Kind::MissingScope
            | Kind::NotPermitted
            | Kind::FreePlan
            | Kind::ClientRejected
            | Kind::ConsentRequired
    )
}

fn service_exit_code(kind: confluence_audit_core::ErrorKind) -> u8 {
    use confluence_audit_core::ErrorKind as Kind;
    match kind {
        kind if is_credentials(kind) => 77,
        Kind::NotJson | Kind::UnexpectedJson | Kind::TooLarge | Kind::Paging => 65,
        Kind::CutBody | Kind::Server | Kind::Rejected | Kind::Unreachable => 69,
        Kind::TokenStore => 74,
        Kind::RateLimited => 75,
        Kind::Config | Kind::WrongSite => 78,
        // A kind that this version does not know.
        _ => 70,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("remedy", &self.0.remedy)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_printed_by_its_own_layer_alone() {
        let cause = std::io::Error::other("no space left");
        let error = Error::new(ErrorKind::Io, "writing x.json failed", "Free some space.")
            .with_source(cause);
        assert_eq!(error.to_string(), "writing x.json failed");
        let source = error.source().expect("the cause is kept");
        assert_eq!(source.to_string(), "no space left");
    }

    #[test]
    fn exit_codes_are_those_that_the_interface_promises() {
        let code = |kind| Error::new(kind, "", "").exit_code();
        assert_eq!(code(ErrorKind::Internal), 70);
        assert_eq!(code(ErrorKind::OutputUnavailable), 69);
        assert_eq!(code(ErrorKind::OutputCreate), 73);
        assert_eq!(code(ErrorKind::State), 74);
        assert_eq!(code(ErrorKind::SpoolFull), 74);
        assert_eq!(code(ErrorKind::Io), 74);
        assert_eq!(code(ErrorKind::Locked), 75);
        assert_eq!(code(ErrorKind::Credentials), 77);
        assert_eq!(code(ErrorKind::Config), 78);
    }
    #[test]
    fn a_person_is_needed_for_what_no_other_try_changes() {
        use confluence_audit_core::ErrorKind as Kind;
        let of = |kind| Error::new(kind, "", "");
        for kind in [Kind::Unauthorized, Kind::FreePlan, Kind::ConsentRequired] {
            let error = of(ErrorKind::Service(kind));
            assert!(error.is_credentials() && error.needs_a_person(), "{kind:?}");
            assert_eq!(error.exit_code(), 77);
        }
        for kind in [Kind::Config, Kind::WrongSite] {
            let error = of(ErrorKind::Service(kind));
            assert!(
                !error.is_credentials() && error.needs_a_person(),
                "{kind:?}"
            );
            assert_eq!(error.exit_code(), 78);
        }
        assert!(of(ErrorKind::Credentials).is_credentials());
        assert!(of(ErrorKind::Config).needs_a_person());
        for kind in [
            ErrorKind::Io,
            ErrorKind::SpoolFull,
            ErrorKind::Service(Kind::Server),
            ErrorKind::Service(Kind::NotJson),
        ] {
            assert!(!of(kind).needs_a_person(), "{kind:?}");
        }
    }
}
