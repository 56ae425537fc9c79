//! What the outputs that are services over HTTP have in common: where they are, and how to be sure
//! that it is they.

use std::path::{Path, PathBuf};
use std::time::Duration;

use confluence_audit_core::Origin;
use url::Url;

use crate::Result;
use crate::config::parse_duration;
use crate::config::table::{Section, Text};
use crate::output::kinds::OutputFiles;

/// A service over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Where it is: `https`, or `http` to this host itself.
    pub url: Url,
    /// The certificate authority to trust instead of the platform's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// How long one request may take.
    pub timeout: Duration,
    /// The file for what the service refuses; without it, one in the state directory.
    pub dead_letter: Option<PathBuf>,
}

impl PeerConfig {
    /// The service at this address, with what is usual.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            ca_file: None,
            gzip: true,
            timeout: Duration::from_mins(1),
            dead_letter: None,
        }
    }

    /// The address as it may be shown, without a query, which can hold what nobody should read.
    pub fn shown(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// The files that it needs, without those of its credentials.
    pub(in crate::output) fn files(&self) -> OutputFiles<'_> {
        OutputFiles {
            read: self.ca_file.iter().map(PathBuf::as_path).collect(),
            written: self.dead_letter.iter().map(PathBuf::as_path).collect(),
            ..OutputFiles::default()
        }
    }
}

/// A header of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderConfig {
    /// This text.
    Literal(String),
    /// What a secret file holds, behind a fixed text.
    File {
        /// What stands before it, such as `Bearer `.
        prefix: String,
        /// The file.
        path: PathBuf,
    },
    /// A user with the password that a secret file holds.
    Basic {
        /// The user.
        username: String,
        /// The file.
        password_file: PathBuf,
    },
}

impl HeaderConfig {
    /// The file of its secret, if it has one.
    pub(in crate::output) fn secret(&self) -> Option<&Path> {
        match self {
            Self::Literal(_) => None,
            Self::File { path, .. } => Some(path),
            Self::Basic { password_file, .. } => Some(password_file),
        }
    }
}

/// Reads what all of them have.
pub(in crate::output) fn read(section: &mut Section<'_>, what: &str) -> Result<PeerConfig> {
    let url = section.required("url", what)?;
    let mut peer = PeerConfig::new(read_url(&url)?);
    peer.ca_file = path(section, "ca_file")?;
    peer.dead_letter = path(section, "dead_letter")?;
    if let Some(compression) = section.text("compression")? {
        peer.gzip = match compression.value {
            "gzip" => true,
            "none" => false,
            other => {
                let message = format!("there is no compression `{}`", other.escape_debug());
                return Err(compression.mistake(&message, "Write \"gzip\" or \"none\"."));
            }
        };
    }
    if let Some(timeout) = section.text("timeout")? {
        let read = parse_duration(timeout.value);
        let fits = read.ok().filter(|timeout| !timeout.is_zero());
        peer.timeout = fits.ok_or_else(|| {
            let message = format!("`timeout` is `{}`", timeout.value.escape_debug());
            timeout.mistake(&message, "Write how long one request may take, as \"60s\".")
        })?;
    }
    Ok(peer)
}

/// A path, if there is one.
pub(in crate::output) fn path(
    section: &mut Section<'_>,
    key: &'static str,
) -> Result<Option<PathBuf>> {
    section.text(key)?.map(Text::into_path).transpose()
}

/// The file of a secret, if there is one.
pub(in crate::output) fn secret_file(
    section: &mut Section<'_>,
    key: &'static str,
) -> Result<Option<PathBuf>> {
    let Some(text) = section.text(key)? else {
        return Ok(None);
    };
    if text.value == "-" {
        // It is read again whenever the output failed.
        return Err(text.mistake(
            &format!("`{key}` is standard input, which can be read only once"),
            "Name a file that its owner alone can read, or a credential of the unit.",
        ));
    }
    text.into_path().map(Some)
}

/// An address that credentials and records may be sent to.
fn read_url(text: &Text<'_>) -> Result<Url> {
    let wrong = |why: &str| {
        text.mistake(
            &format!("`url` {why}"),
            "Write it as https://host:port; http is for loopback addresses alone, since \
             credentials and records go there.",
        )
    };
    let url = Url::parse(text.non_empty()?).map_err(|error| wrong(&format!("is none: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "holds a user name or a password: credentials have keys of their own",
        ));
    }
    if url.fragment().is_some() {
        return Err(wrong("has a fragment (`#`)"));
    }
    Origin::parse(&url.origin().ascii_serialization())
        .map_err(|error| wrong(&error.to_string()))?;
    Ok(url)
}
