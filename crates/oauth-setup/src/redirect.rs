//! Redirect URI: where the service sends the browser with its answer.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// An address that is registered with the app, word for word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    /// As it was given: the service compares the text.
    text: String,
    url: Url,
}

impl Redirect {
    /// The address as it is registered.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The port to listen at, if it leads to this host.
    pub(crate) fn loopback_port(&self) -> Option<u16> {
        (self.url.scheme() == "http")
            .then(|| self.url.port_or_known_default())
            .flatten()
    }

    /// The path that the answer comes to.
    pub(crate) fn path(&self) -> &str {
        self.url.path()
    }

    /// What a browser that is sent here says in the header `Host`.
    pub(crate) fn authority(&self) -> &str {
        self.url.authority()
    }

    /// The address as it was understood.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The host that it names.
    pub(crate) fn host(&self) -> Option<Host<&str>> {
        self.url.host()
    }

    /// The answer within the address that a browser shows, if it is this address.
    pub(crate) fn answer_in(&self, address: &str) -> Option<Url> {
        let address = Url::parse(address.trim()).ok()?;
        let bare = |url: &Url| {
            let mut url = url.clone();
            url.set_query(None);
            url.set_fragment(None);
            url
        };
        (bare(&address) == bare(&self.url)).then_some(address)
    }
}

impl FromStr for Redirect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|error| format!("it is no address: {error}"))?;
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if !(url.scheme() == "https" || url.scheme() == "http" && here) {
            return Err("it must begin with https://, or with http://localhost:PORT/".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err("it must end with its path, such as /callback".to_owned());
        }
        if url.port() == Some(0) {
            return Err("it must name the port that is registered".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            url,
        })
    }
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_over_https_or_stays_on_this_host() {
        let port = |text: &str| text.parse::<Redirect>().map(|it| it.loopback_port());
        assert_eq!(port("http://localhost:9320/callback"), Ok(Some(9320)));
        assert_eq!(port("http://127.0.0.1/callback"), Ok(Some(80)));
        assert_eq!(port("http://[::1]:1/"), Ok(Some(1)));
        assert_eq!(port("https://acme.atlassian.net/callback"), Ok(None));
        for bad in [
            "",
            "localhost:9320",
            "http://acme.example/callback",
            "http://localhost.evil.example:1/",
            "http://localhost:0/callback",
            "ftp://localhost/",
            "https://x/?a=b",
            "https://x/#a",
            "https://me@x/",
        ] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_address_itself_holds_the_answer() {
        let redirect: Redirect = "https://acme.atlassian.net/callback".parse().expect("good");
        let found = |address| redirect.answer_in(address).is_some();
        assert!(found(
            " https://acme.atlassian.net/callback?code=c&state=s\n"
        ));
        assert!(found("https://ACME.atlassian.net:443/callback?error=x#"));
        assert!(!found("https://acme.atlassian.net/callback/more?code=c"));
        assert!(!found("https://auth.atlassian.com/authorize?code=c"));
        assert!(!found("code=c&state=s"));
    }
}
