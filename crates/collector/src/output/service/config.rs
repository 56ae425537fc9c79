//! What the outputs that are services over HTTP have in common: where they are, and how to be sure
//! that it is they.

use std::path::{Path, PathBuf};
use std::time::Duration;

use confluence_audit_core::Origin;
use http::{HeaderName, HeaderValue};
use url::Url;

use crate::output::kind::OutputFiles;
use crate::table::{Mistake, Table, Text};

/// A service over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
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

impl ServiceConfig {
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
    pub fn display_name(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// The files that it needs, with the secrets of its headers.
    pub(in crate::output) fn files<'a>(
        &'a self,
        headers: impl IntoIterator<Item = &'a HeaderConfig>,
    ) -> OutputFiles<'a> {
        OutputFiles {
            secrets: headers
                .into_iter()
                .filter_map(HeaderConfig::secret)
                .collect(),
            read: self.ca_file.iter().map(PathBuf::as_path).collect(),
            written: self.dead_letter.iter().map(PathBuf::as_path).collect(),
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

impl ServiceConfig {
    /// Reads what all of them have; `about` says what `url` is.
    pub(in crate::output) fn read(table: &mut Table<'_>, about: &str) -> Option<Self> {
        let url = table.required("url", about, url);
        let about = "the certificate authority to trust in place of the platform's, in PEM";
        let ca_file = table.text("ca_file", about, Text::path);
        let about = "the file for what the service refuses for good";
        let dead_letter = table.text("dead_letter", about, Text::path);
        let gzip = [("gzip", true), ("none", false)];
        let gzip = table.choice("compression", "how bodies are compressed", gzip);
        let about = "how long one request may take";
        let timeout = table.text("timeout", about, Text::duration);
        let usual = Self::new(url?);
        Some(Self {
            ca_file,
            gzip: gzip.unwrap_or(usual.gzip),
            timeout: timeout.unwrap_or(usual.timeout),
            dead_letter,
            ..usual
        })
    }
}

/// The table `headers`: each a text, or `{ file = "…", prefix = "…" }`.
pub(in crate::output) fn read_headers(table: &mut Table<'_>) -> Vec<(HeaderName, HeaderConfig)> {
    const REMEDY: &str = "Write it as X-Name = \"text\", or, where it is a secret, as \
                          Authorization = { prefix = \"Bearer \", file = \"/path\" }.";
    let is_header = |text: &str| HeaderValue::from_str(text).is_ok();
    let wrong = |name: &str, what: &str| format!("the header `{}` {what}", name.escape_debug());
    table.map(
        "headers",
        "the headers of every request",
        |text| {
            let no_name = |_| text.mistake(wrong(text.key(), "has no header's name"), REMEDY);
            let header = HeaderName::try_from(text.key()).map_err(no_name)?;
            if !is_header(text.value) {
                return Err(text.mistake(wrong(text.key(), "has no header's value"), REMEDY));
            }
            Ok((header, HeaderConfig::Literal(text.value.to_owned())))
        },
        |name, table| {
            let prefix = table.text("prefix", "what stands before the secret", |text| {
                let no_prefix = || wrong(name, "has a prefix that cannot stand in a header");
                let prefix = is_header(text.value).then(|| text.value.to_owned());
                prefix.ok_or_else(|| text.mistake(no_prefix(), REMEDY))
            });
            let path = table.required("file", "the file of the secret", Text::secret_path);
            let Ok(header) = HeaderName::try_from(name) else {
                return table.mistake(wrong(name, "has no header's name"), REMEDY);
            };
            let prefix = prefix.unwrap_or_default();
            Some((
                header,
                HeaderConfig::File {
                    prefix,
                    path: path?,
                },
            ))
        },
    )
}

/// An address that credentials and records may be sent to.
fn url(text: &Text<'_>) -> Result<Url, Mistake> {
    let wrong = |why: &str| {
        text.mistake(
            format!("`url` {why}"),
            "Write it as https://host:port; http is for loopback addresses alone, since \
             credentials and records go there.",
        )
    };
    let url = Url::parse(&text.filled()?);
    let url = url.map_err(|error| wrong(&format!("is none: {error}")))?;
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
