//! An OpenTelemetry collector, or what speaks like one.

use http::HeaderName;

use super::http::read_headers;
use super::peer::{self, HeaderConfig, PeerConfig};
use crate::Result;
use crate::config::section::Section;

/// An OpenTelemetry collector, or what speaks like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Where requests go, `/v1/logs` included.
    pub peer: PeerConfig,
    /// The headers of every request.
    pub headers: Vec<(HeaderName, HeaderConfig)>,
}

pub(super) fn read(section: &mut Section<'_>) -> Result<OtlpConfig> {
    let mut peer = peer::read(section, "the collector, as https://otel.example:4318")?;
    if peer.url.path() == "/" {
        // The protocol's own path, where none is given.
        peer.url.set_path("/v1/logs");
    }
    let headers = read_headers(section)?;
    Ok(OtlpConfig { peer, headers })
}
