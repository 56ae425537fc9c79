//! Splunk's HTTP Event Collector.

use std::path::PathBuf;
use std::time::Duration;

use crate::Result;
use crate::config::parse_duration;
use crate::config::table::Section;
use crate::output::service::config::{self as service, PeerConfig, secret_file};

/// Splunk's HTTP Event Collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplunkHecConfig {
    /// The collector.
    pub peer: PeerConfig,
    /// Its token.
    pub token_file: PathBuf,
    /// The index; without it, the token's own.
    pub index: Option<String>,
    /// The `source` of every event.
    pub source: String,
    /// The `sourcetype` of every event.
    pub sourcetype: String,
    /// How long to wait for an indexer's acknowledgement; `None` to ask for none.
    pub ack: Option<Duration>,
}

impl SplunkHecConfig {
    /// What people call the place.
    pub fn shown(&self) -> String {
        match &self.index {
            Some(index) => format!("{}/{index}", self.peer.shown()),
            None => self.peer.shown(),
        }
    }
}

pub(in crate::output) fn read(section: &mut Section<'_>) -> Result<SplunkHecConfig> {
    let peer = service::read(section, "the collector, as https://splunk.example:8088")?;
    let Some(token_file) = secret_file(section, "token_file")? else {
        let what = "the file that holds the collector's token";
        return Err(section
            .required("token_file", what)
            .err()
            .unwrap_or_else(|| section.mistake("`token_file` is missing", "Add it.")));
    };
    let index = section.text("index")?;
    let index = index.map(|index| index.non_empty().map(str::to_owned));
    let ack = section.flag("ack")?;
    let ack_timeout = match section.text("ack_timeout")? {
        None => Duration::from_mins(2),
        Some(text) => parse_duration(text.value)
            .map_err(|error| text.mistake(&error.to_string(), "Write it as \"2m\"."))?,
    };
    Ok(SplunkHecConfig {
        peer,
        token_file,
        index: index.transpose()?,
        source: text_or(section, "source", "confluence-audit")?,
        sourcetype: text_or(section, "sourcetype", "confluence:audit")?,
        ack: ack.then_some(ack_timeout),
    })
}

fn text_or(section: &mut Section<'_>, key: &'static str, default: &str) -> Result<String> {
    let text = section.text(key)?;
    let given = text.map(|text| text.non_empty().map(str::to_owned));
    Ok(given.transpose()?.unwrap_or_else(|| default.to_owned()))
}
