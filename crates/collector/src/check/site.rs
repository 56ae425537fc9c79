//! Checks of a site: its credentials, and everything that reading its log needs.

use std::time::Duration;

use confluence_audit_core::{AuditQuery, ErrorKind, RawRecord, Runtime, Timestamp, printable};

use super::finding::Reporter;
use crate::Error;
use crate::config::{AuthConfig, SiteConfig};
use crate::credentials::TokenFile;
use crate::credentials::token_file::{Stored, day};
use crate::site::{Site, Sites};

/// A clock that is further off than this is worth a word; nothing depends on it.
const SKEW: Duration = Duration::from_secs(30);

pub(super) async fn check(findings: &mut Reporter<'_>, sites: &Sites, config: &SiteConfig) {
    let name = &config.name;
    let runtime = sites.http().runtime();
    if let AuthConfig::Oauth { token_file } = &config.auth
        && let Ok(kept) = TokenFile::new(token_file).look()
    {
        consent_lasts(findings, name, &kept, runtime.now());
    }
    let connected = sites.connect(config).await;
    let unread = |error: &Error| error.kind() == crate::ErrorKind::Credentials;
    if !connected.as_ref().is_err_and(unread) {
        findings.good(name, "the credentials can be read, by their owner alone");
    }
    let site = match connected {
        Ok(site) => site,
        Err(error) => return findings.bad(name, &error),
    };
    findings.good(name, &format!("cloud id {}", site.id));
    if !log_is_readable(findings, &site, runtime).await {
        return;
    }
    match site.client.retention().await {
        Ok(retention) => {
            let mut units = printable(&retention.units, 40).to_lowercase();
            if retention.number == 1 && units.ends_with('s') {
                units.pop();
            }
            let text = format!("records are kept for {} {units}", retention.number);
            findings.good(name, &text);
        }
        // Reading the log does not need it.
        Err(error) => {
            let text = format!("how long records are kept is not said: {error}");
            findings.good(name, &text);
        }
    }
}

fn consent_lasts(findings: &mut Reporter<'_>, name: &str, kept: &Stored, now: Timestamp) {
    let (given, end) = (day(kept.consent.given_at), day(kept.ends()));
    let unused = day(kept.ends_unused().min(kept.ends()));
    findings.good(
        name,
        &format!("the consent of {given} lasts until {end}, unused until {unused}"),
    );
    if let Some(warning) = kept.warning(now) {
        let remedy = "Run confluence-audit-oauth-setup again before that day.";
        findings.warn(name, &warning, remedy);
    }
}

/// Asks for one record, which needs everything that a run needs.
async fn log_is_readable(findings: &mut Reporter<'_>, site: &Site, runtime: &dyn Runtime) -> bool {
    let name = &site.name;
    let page = match site.client.audit(&AuditQuery::new().limit(1)).await {
        Ok(page) => page,
        Err(error) => {
            for held in held_before(error.kind()) {
                findings.good(name, held);
            }
            findings.bad(name, &Error::service(name, error));
            return false;
        }
    };
    let newest = page.records.first().and_then(RawRecord::time);
    let newest = newest.map_or("it is empty".to_owned(), |at| format!("newest record {at}"));
    let origin = site.client.site().origin();
    if !origin.is_loopback() {
        let host = origin.host();
        let text = format!("the certificate of {host} is trusted");
        findings.good(name, &text);
    }
    for held in [CREDENTIALS, SCOPE, PLAN] {
        findings.good(name, held);
    }
    findings.good(name, &format!("the audit log can be read; {newest}"));
    let now = runtime.now();
    if let Some(theirs) = page.server_time {
        let skew = now.since(theirs).max(theirs.since(now));
        let seconds = skew.as_secs();
        if skew > SKEW {
            findings.warn(
                name,
                &format!("this host's clock is {seconds} s off the service's"),
                "Set it, best by NTP. Nothing is lost by it: the service's clock is the one that \
                 counts.",
            );
        } else {
            let text = format!(
                "this host's clock agrees with the service's within {} s",
                seconds + 1
            );
            findings.good(name, &text);
        }
    }
    true
}

const CREDENTIALS: &str = "the credentials are accepted";
const SCOPE: &str = "they have the scope read:audit-log:confluence";
const PLAN: &str = "the site's plan has an audit log, and the account may read it";

/// What the service must have found to be in order before it refused so.
fn held_before(refusal: ErrorKind) -> &'static [&'static str] {
    match refusal {
        ErrorKind::MissingScope => &[CREDENTIALS],
        ErrorKind::NotPermitted | ErrorKind::FreePlan => &[CREDENTIALS, SCOPE],
        _ => &[],
    }
}
