//! An origin: the scheme, host and port that a credential is for.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::error::{Error, ErrorKind};

/// Scheme, host and port of a service: `https`, or `http` to this host itself.
///
/// A credential is for one origin and is sent nowhere else, whatever an answer says.
///
/// ```
/// use confluence_audit_core::Origin;
///
/// assert!(Origin::parse("https://api.atlassian.com").is_ok());
/// assert!(Origin::parse("http://127.0.0.1:8080").is_ok());
/// assert!(Origin::parse("http://api.atlassian.com").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin(Url);

impl Origin {
    /// Reads an address such as `https://api.atlassian.com`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when it is no URL, holds a user, a path, a query or a fragment, or is
    /// neither `https` nor `http` to a loopback address.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        // Nothing but the host is ever quoted: what else stands there may be a secret.
        let fail = |what: String| Error::new(ErrorKind::Config, what);
        let url = Url::parse(text).map_err(|e| {
            fail("the address is not a URL such as https://api.atlassian.com".into()).with_source(e)
        })?;
        let host = url.host_str().unwrap_or_default();
        let fail = |why: &str| fail(format!("the address of {host} {why}"));
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fail(
                "holds a user name or a password: credentials have their own settings",
            ));
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare {
            return Err(fail("has a path or a query: give scheme and host alone"));
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            "http" => Err(fail(
                "is http, which is allowed to a loopback address only: use https",
            )),
            _ => Err(fail("is not https")),
        }
    }

    /// Whether it is this host itself.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    /// The host, without the port.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// A URL on this origin; `path` begins with a slash.
    pub(crate) fn url(&self, path: &str, query: Option<&str>) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url.set_query(query);
        url
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

/// Without a slash at its end.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_this_host_and_nothing_but_an_origin() {
        for good in [
            "https://x.atlassian.net/",
            "http://localhost:1",
            "http://[::1]:2",
            "http://127.9.9.9",
        ] {
            assert!(Origin::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "x.atlassian.net",
            "ftp://x",
            "http://x.atlassian.net",
            "http://localhost.evil.example",
            "https://x/wiki",
            "https://x/?a=b",
            "http://10.0.0.1",
        ] {
            assert_eq!(
                Origin::parse(bad).unwrap_err().kind(),
                ErrorKind::Config,
                "{bad}"
            );
        }
    }

    #[test]
    fn no_secret_in_an_address_reaches_a_message() {
        for address in [
            "https://me:canary@x.example/",
            "https://x.example/?t=canary",
            "canary",
        ] {
            let error = Origin::parse(address).unwrap_err();
            assert!(!format!("{error:?} {error}").contains("canary"));
        }
    }
}
