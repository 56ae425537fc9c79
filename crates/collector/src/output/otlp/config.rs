//! An OpenTelemetry collector, or what speaks like one.

use http::HeaderName;

use crate::Result;
use crate::config::table::Section;
use crate::output::http::config::read_headers;
use crate::output::service::config::{self as service, HeaderConfig, PeerConfig};

/// An OpenTelemetry collector, or what speaks like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Where requests go, `/v1/logs` included.
    pub peer: PeerConfig,
    /// The headers of every request.
    pub headers: Vec<(HeaderName, HeaderConfig)>,
}

pub(in crate::output) fn read(section: &mut Section<'_>) -> Result<OtlpConfig> {
    let mut peer = service::read(section, "the collector, as https://otel.example:4318")?;
    if peer.url.path() == "/" {
        // The protocol's own path, where none is given.
        peer.url.set_path("/v1/logs");
    }
    let headers = read_headers(section)?;
    Ok(OtlpConfig { peer, headers })
}
