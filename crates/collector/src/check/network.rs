//! Checks of the network: the proxy that leads to the service, or the name's addresses.

use std::net::IpAddr;

use confluence_audit_core::Origin;

use super::finding::Reporter;
use crate::config::{Address, AuthConfig, SiteConfig};
use crate::site::{api, auth};
use crate::{Error, ErrorKind, Result};

/// Looks at the way to each host that the site's requests go to.
pub(super) async fn check(
    findings: &mut Reporter<'_>,
    site: &SiteConfig,
    proxy: &dyn Fn(&Origin) -> Option<String>,
) {
    for origin in asked(site) {
        match origin {
            Ok(origin) => to_origin(findings, &site.name, &origin, proxy).await,
            Err(error) => findings.bad(&site.name, &error),
        }
    }
}

/// Where the site's requests go.
fn asked(site: &SiteConfig) -> Vec<Result<Origin>> {
    let mut origins = Vec::new();
    if let Address::Url(url) = &site.address {
        origins.push(Ok(url.clone()));
    }
    match &site.auth {
        // It works on the site's own host alone.
        AuthConfig::ApiToken { unscoped: true, .. } => {}
        AuthConfig::ApiToken { .. } => origins.push(api(site)),
        AuthConfig::Oauth { .. } | AuthConfig::ServiceAccount { .. } => {
            origins.extend([api(site), auth(site)]);
        }
    }
    origins
}

async fn to_origin(
    findings: &mut Reporter<'_>,
    site: &str,
    origin: &Origin,
    proxy: &dyn Fn(&Origin) -> Option<String>,
) {
    // No proxy is asked for what is on this host.
    if origin.is_loopback() {
        return;
    }
    let host = origin.host();
    if let Some(proxy) = proxy(origin) {
        findings.good(
            site,
            &format!("{host} is reached through the proxy {proxy}"),
        );
        return;
    }
    match tokio::net::lookup_host((host.trim_matches(['[', ']']), 443)).await {
        Ok(found) => {
            let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            let v6 = found.iter().filter(|ip| ip.is_ipv6()).count();
            let v4 = found.len() - v6;
            let text = format!("{host} has {v4} IPv4 and {v6} IPv6 addresses");
            findings.good(site, &text);
        }
        Err(error) => {
            let kind = ErrorKind::Service(confluence_audit_core::ErrorKind::Unreachable);
            let message = format!("the name {host} cannot be resolved");
            let remedy = "Check the name, /etc/resolv.conf, and whether this host may ask its DNS \
                          server; behind a proxy set HTTPS_PROXY, also in the systemd unit.";
            findings.bad(site, &Error::new(kind, message, remedy).with_source(error));
        }
    }
}
