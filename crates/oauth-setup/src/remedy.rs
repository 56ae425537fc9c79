//! Errors of the set-up with their remedies, and where in the developer console those are.

use confluence_audit_collector::{Error, ErrorKind};
use confluence_audit_core::{self as core, Site, printable};

use crate::redirect::Redirect;

/// The console, where an app is described to the service.
pub(crate) const CONSOLE: &str = "https://developer.atlassian.com/console/myapps";

/// Declined, or too late: nothing is wrong that has to be mended.
pub(crate) const AGAIN: &str =
    "Run this again, open the address, choose the site and press Accept within five minutes.";

/// Where the scope is added to the app.
pub(crate) fn scope_place() -> String {
    format!(
        "{CONSOLE}, your app, Permissions, Confluence API: Add, then Configure, Granular scopes, \
         Edit scopes: read:audit-log:confluence"
    )
}

/// Where the redirect address is added to the app.
pub(crate) fn redirect_place(redirect: &Redirect) -> String {
    format!(
        "{CONSOLE}, your app, Authorization, OAuth 2.0 (3LO), Configure, Callback URLs: {redirect}"
    )
}

/// The service answered the question for consent with an error of its own.
pub(crate) fn service_refused(reason: &str) -> String {
    if reason.contains("scope") {
        format!(
            "Add the scope to the app and run this again: {}.",
            scope_place()
        )
    } else {
        format!(
            "Compare the app with what is used here: {CONSOLE}, your app, Settings (client id), \
             Permissions (scopes), Authorization (callback URL)."
        )
    }
}

/// The exchange of the code failed.
pub(crate) fn exchange(error: core::Error, redirect: &Redirect) -> Error {
    use core::ErrorKind as Kind;
    let says_redirect = error.body().is_some_and(|body| body.contains("redirect"));
    let (message, remedy) = match error.kind() {
        Kind::ClientRejected => (
            "the client secret is wrong",
            format!(
                "Copy client id and secret once more, from {CONSOLE}, your app, Settings. The \
                 secret is one line."
            ),
        ),
        Kind::ConsentRequired | Kind::Rejected if says_redirect => (
            "the redirect address is not the one that was registered",
            format!(
                "It must be the same to the letter: {}.",
                redirect_place(redirect)
            ),
        ),
        Kind::ConsentRequired => (
            "the code was used already, or is too old",
            "A code works once, for a few minutes: run this again, accept again, and use the new \
             address."
                .to_owned(),
        ),
        _ => return with_remedy("the code could not be exchanged", error),
    };
    Error::new(ErrorKind::Service(error.kind()), message, remedy).with_source(error)
}

/// There is no refresh token.
pub(crate) fn no_refresh_token() -> Error {
    Error::new(
        ErrorKind::Credentials,
        "the consent was given without offline_access, so it would end within the hour",
        format!(
            "Open the address that this program prints: the one of the console's Authorization \
             URL generator lacks offline_access. If it was that address, see that the app is of \
             the type OAuth 2.0 (3LO) and uses rotating refresh tokens ({CONSOLE}, your app)."
        ),
    )
}

/// No site that the consent reaches has the scope; `site` is the one that was asked for.
pub(crate) fn missing_scope(site: &str) -> Error {
    Error::new(
        ErrorKind::Service(core::ErrorKind::MissingScope),
        format!("the consent for {site} lacks the scope read:audit-log:confluence"),
        format!(
            "Add the scope to the app, then run this again, for a consent keeps the scopes that \
             it was given with: {}.",
            scope_place()
        ),
    )
}

/// The consent reaches no site at all.
pub(crate) fn no_site() -> Error {
    Error::new(
        ErrorKind::Service(core::ErrorKind::NotPermitted),
        "the consent reaches no site",
        "Consent with an account that belongs to a Confluence site, and choose that site on the \
         page that asks.",
    )
}

/// The audit log was asked for, as a collector would, and refused.
pub(crate) fn proof(error: core::Error, site: &Site) -> Error {
    use core::ErrorKind as Kind;
    let name = shown(site);
    match error.kind() {
        Kind::NotPermitted => Error::new(
            ErrorKind::Service(error.kind()),
            format!("the account that consented may not read the audit log of {name}"),
            "In Confluence's settings, Global permissions, give it 'Confluence Administrator' \
             (or consent with an account that has it), and run this again. An IP allowlist of the \
             organization must hold this host.",
        )
        .with_source(error),
        Kind::MissingScope => missing_scope(&name).with_source(error),
        _ => with_remedy(&format!("the audit log of {name} cannot be read"), error),
    }
}

/// What the service's own error says to do.
pub(crate) fn with_remedy(message: &str, error: core::Error) -> Error {
    Error::new(ErrorKind::Service(error.kind()), message, error.remedy()).with_source(error)
}

/// A site as a person knows it.
pub(crate) fn shown(site: &Site) -> String {
    let text = if site.url.is_empty() {
        format!("{} ({})", site.name, site.id)
    } else {
        site.url.clone()
    };
    printable(&text, 120)
}
