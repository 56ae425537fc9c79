//! Listen address of the HTTP side, or `off`.

use std::net::SocketAddr;
use std::str::FromStr;

/// An address of this host and a port, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Off,
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        // As a browser knows it.
        let address = text.replacen("localhost:", "127.0.0.1:", 1);
        let address = address.parse().map(Self::At);
        address.map_err(|_| "write it as 127.0.0.1:9321 or [::1]:9321, or off".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_nowhere() {
        let at = |text: &str| text.parse::<Listen>();
        assert_eq!(at("off"), Ok(Listen::Off));
        let loopback = SocketAddr::from(([127, 0, 0, 1], 9321));
        assert_eq!(at("127.0.0.1:9321"), Ok(Listen::At(loopback)));
        assert_eq!(at("localhost:9321"), Ok(Listen::At(loopback)));
        assert!(at("[::1]:0").is_ok());
        assert!(at("9321").is_err());
    }
}
