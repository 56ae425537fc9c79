//! The error of this crate: its kinds, and a remedy for each.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::printable::printable;

/// How much of an answer's body an error keeps, in characters.
const BODY_SHOWN: usize = 300;

/// An operation that failed.
///
/// It says what happened and to which request; [`remedy`](Self::remedy) says what to do. Nothing
/// in it is secret, and everything that a server sent is cut short and free of control characters.
/// [`Display`](fmt::Display) gives this layer, [`source`](StdError::source) what lies below.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    status: Option<u16>,
    request_ids: Vec<String>,
    body: Option<String>,
    attempts: u32,
    // Shared, so that all who waited for one thing can be told why it failed.
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kinds of failure, each with one remedy.
///
/// # Troubleshooting
/// Each variant names its cause; [`ErrorKind::remedy`] is what an operator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting cannot be used: an address that is no URL, http to a host that is not this one.
    Config,
    /// 401: the credentials are wrong, expired or revoked.
    Unauthorized,
    /// 401 on the site's own host, where a scoped token is never accepted.
    WrongHost,
    /// 401: the credentials lack the scope `read:audit-log:confluence`. A refresh cannot mend it.
    MissingScope,
    /// 403: the account may not read the audit log.
    NotPermitted,
    /// 403: the site is on the Free plan, which has no audit log.
    FreePlan,
    /// 404: there is no Confluence site with this cloud id, or none at this address.
    WrongSite,
    /// 401 from the token endpoint: the client secret is wrong.
    ClientRejected,
    /// The refresh token is no longer accepted: a person has to consent again.
    ConsentRequired,
    /// The answer is not JSON, mostly a sign-in page or a proxy's page.
    NotJson,
    /// The answer is JSON, but not of the shape that this endpoint answers.
    UnexpectedJson,
    /// The answer ended before it was complete, each time it was asked for.
    CutBody,
    /// The answer is larger than the limit.
    TooLarge,
    /// The pages do not lead anywhere: a `next` that leads back to a page that was read.
    Paging,
    /// 429, for longer than the budget for waiting.
    RateLimited,
    /// 5xx, each time it was asked.
    Server,
    /// Another status in the 400s: the service refuses the request itself.
    Rejected,
    /// No answer: name not found, connection refused or reset, TLS failed, or time ran out.
    Unreachable,
    /// The place where tokens are kept failed.
    TokenStore,
}

impl ErrorKind {
    /// What to do about it: one or two sentences for the operator.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Config => "Correct the setting that the message names.",
            Self::Unauthorized => {
                "Check the email address, and whether the token is complete, not expired and not \
                 revoked (https://id.atlassian.com/manage-profile/security/api-tokens); then try \
                 again with a fresh one, made with scopes: one without works on the site's own \
                 host alone."
            }
            Self::WrongHost => {
                "A token with scopes works through https://api.atlassian.com only: give the cloud \
                 id, or let it be looked up, and leave the API's address at its default. On the \
                 site's own host only a token without scopes is accepted."
            }
            Self::MissingScope => {
                "Create a token with the scope read:audit-log:confluence, or add that scope to the \
                 app in the developer console (Permissions, Confluence API, granular scopes) and \
                 consent again."
            }
            Self::NotPermitted => {
                "Give the account the global permission 'Confluence Administrator' and a \
                 Confluence licence on this site, or use an account that has both. An IP allowlist \
                 of the organization must hold this host."
            }
            Self::FreePlan => {
                "The audit log is not part of the Free plan: upgrade the site to Standard or \
                 higher, or name another site."
            }
            Self::WrongSite => {
                "Check the cloud id (https://YOUR-SITE.atlassian.net/_edge/tenant_info shows it), \
                 or give the site's URL and let it be looked up. Confluence must be part of the \
                 site."
            }
            Self::ClientRejected => {
                "Check the client id and the client secret against the developer console \
                 (Settings of the app)."
            }
            Self::ConsentRequired => {
                "The consent has run out (90 days unused, 365 days in all), was revoked, or an old \
                 refresh token was used: a person has to consent again."
            }
            Self::NotJson => {
                "Something other than the API answered, such as a sign-in page or a proxy: check \
                 the address, the credentials, and the proxy between this host and the service."
            }
            Self::UnexpectedJson => {
                "The service answered in a form that this version does not know: look for a newer \
                 version, and report the message. Nothing was skipped."
            }
            Self::CutBody => {
                "Answers are cut off on their way: check proxies and the connection. The next run \
                 goes on where this one stopped."
            }
            Self::TooLarge => "Ask for fewer records a page.",
            Self::Paging => {
                "The service's pages have no end: try again, and report the message if it \
                 happens again. Nothing was skipped."
            }
            Self::RateLimited => {
                "Wait: the service names the time in its answer, or run less often. The next run \
                 goes on where this one stopped."
            }
            Self::Server => {
                "The service has trouble (https://status.atlassian.com): the next run goes on \
                 where this one stopped."
            }
            Self::Rejected => "Report the message: this request should not have been made.",
            Self::Unreachable => {
                "Check the address, DNS, the proxy variables, and that this host may connect to \
                 it; where a certificate is not trusted, name your authority's in SSL_CERT_FILE. \
                 The next run goes on where this one stopped."
            }
            Self::TokenStore => "Check that the token's file can be read and written.",
        }
    }
}

impl Error {
    /// An error of this kind; `message` says what happened, without what the kind says.
    ///
    /// For implementations of [`Authenticator`](crate::Authenticator) and
    /// [`TokenStore`](crate::TokenStore). Put no secret in the message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            status: None,
            request_ids: Vec::new(),
            body: None,
            attempts: 1,
            source: None,
        }))
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Names the request that failed.
    pub(crate) fn at(mut self, request: &str) -> Self {
        self.0.message = format!("{request}: {}", self.0.message);
        self
    }

    pub(crate) fn with_body(mut self, body: &[u8]) -> Self {
        // A page tells an operator nothing that the status does not.
        let shown = if body.trim_ascii_start().starts_with(b"<") {
            "a page of HTML".to_owned()
        } else {
            // Beyond four bytes a character nothing can be shown.
            let text = String::from_utf8_lossy(&body[..body.len().min(4 * BODY_SHOWN)]);
            printable(text.trim(), BODY_SHOWN)
        };
        self.0.body = (!shown.is_empty()).then_some(shown);
        self
    }

    /// The same error without the answer's body, which repeats a secret.
    pub(crate) fn withholding_body(mut self) -> Self {
        let shown = self.0.body.is_some();
        self.0.body = shown.then(|| "a text that repeats the credential".to_owned());
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: u32, request_ids: Vec<String>) -> Self {
        self.0.attempts = attempts;
        self.0.request_ids = request_ids;
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        self.0.kind.remedy()
    }

    /// The HTTP status of the last answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// What the service named the failed attempts (`atl-request-id` or `atl-traceid`), oldest
    /// first: its support asks for them.
    pub fn request_ids(&self) -> &[String] {
        &self.0.request_ids
    }

    /// The beginning of the last answer's body, made printable.
    pub fn body(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// How often the request was made; more than one means that it was retried.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether it is about credentials or permission: trying again does not help.
    pub fn is_credentials(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Unauthorized
                | ErrorKind::WrongHost
                | ErrorKind::MissingScope
                | ErrorKind::NotPermitted
                | ErrorKind::FreePlan
                | ErrorKind::ClientRejected
                | ErrorKind::ConsentRequired
        )
    }

    /// Whether the same request may succeed at another time.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::RateLimited
                | ErrorKind::Server
                | ErrorKind::CutBody
                | ErrorKind::Unreachable
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        f.write_str(&inner.message)?;
        if let Some(body) = &inner.body {
            write!(f, ": {body}")?;
        }
        let mut notes = Vec::new();
        if inner.attempts > 1 {
            notes.push(format!("{} attempts", inner.attempts));
        }
        if let Some(id) = inner.request_ids.last() {
            notes.push(format!("request id {id}"));
        }
        if !notes.is_empty() {
            write!(f, " ({})", notes.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("status", &self.0.status)
            .field("request_ids", &self.0.request_ids)
            .field("body", &self.0.body)
            .field("attempts", &self.0.attempts)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_sent_is_cut_and_cannot_steer_a_terminal() {
        let body = format!("\u{1b}[2J{}", "x".repeat(10_000));
        let error = Error::new(ErrorKind::Server, "GET https://h/ answered 500")
            .with_body(body.as_bytes())
            .with_attempts(5, vec!["abc".into()]);
        let shown = error.to_string();
        assert!(shown.len() < 500 && !shown.contains('\u{1b}'), "{shown}");
        assert!(shown.ends_with("(5 attempts, request id abc)"), "{shown}");
    }
}
