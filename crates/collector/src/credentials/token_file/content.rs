//! Format of the token file: versioned JSON, with times in RFC 3339 for those who look in.

use std::path::Path;

use confluence_audit_core::{CloudId, Timestamp, TokenSet};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{ConsentedSite, Grant, Stored};
use crate::{Error, ErrorKind, Result};

/// Raised when an older program would misread the file.
const VERSION: u64 = 1;

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// The file as it is read; in its secrets' own types, which are wiped and do not print.
#[derive(Deserialize)]
struct Content {
    client_id: String,
    client_secret: SecretString,
    site: SiteContent,
    consented_at: Time,
    refresh_token: SecretString,
    access_token: SecretString,
    issued_at: Time,
    expires_at: Time,
    refresh_begun_at: Option<Time>,
}

#[derive(Deserialize, Serialize)]
struct SiteContent {
    cloud_id: String,
    name: String,
    url: String,
}

/// The file as it is written.
#[derive(Serialize)]
struct Written<'a> {
    version: u64,
    client_id: &'a str,
    client_secret: &'a str,
    site: SiteContent,
    consented_at: String,
    refresh_token: &'a str,
    access_token: &'a str,
    issued_at: String,
    expires_at: String,
    /// There while a refresh is under way, and after one that was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_begun_at: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Time(Timestamp);

impl TryFrom<String> for Time {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Timestamp::parse_rfc3339(&text).map(Self).ok_or("no time")
    }
}

pub(super) fn read(bytes: &[u8], path: &Path) -> Result<Stored> {
    // What serde says of an error can quote the file: a secret, that is. Its place will do.
    let mistake = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        other(path, &format!("at line {line}, column {column}"))
    };
    let Versioned { version } = serde_json::from_slice(bytes).map_err(mistake)?;
    if version != VERSION {
        return Err(Error::new(
            ErrorKind::Credentials,
            format!("the token file {} has version {version}", path.display()),
            format!(
                "This program knows version {VERSION}: use the one that wrote the file, or run \
                 confluence-audit-oauth-setup again."
            ),
        ));
    }
    let content: Content = serde_json::from_slice(bytes).map_err(mistake)?;
    let cloud_id =
        CloudId::new(&content.site.cloud_id).map_err(|_| other(path, "at `cloud_id`"))?;
    let mut tokens = TokenSet::from_refresh_token(content.refresh_token);
    tokens.access_token = content.access_token;
    tokens.issued_at = content.issued_at.0;
    tokens.expires_at = content.expires_at.0;
    tokens.refresh_begun_at = content.refresh_begun_at.map(|time| time.0);
    Ok(Stored {
        consent: Grant {
            client_id: content.client_id,
            client_secret: content.client_secret,
            site: ConsentedSite {
                cloud_id,
                name: content.site.name,
                url: content.site.url,
            },
            given_at: content.consented_at.0,
        },
        tokens,
    })
}

pub(super) fn write(kept: &Stored) -> Result<Zeroizing<Vec<u8>>> {
    let Stored { consent, tokens } = kept;
    let Some(refresh_token) = &tokens.refresh_token else {
        return Err(Error::internal("a consent without a refresh token"));
    };
    let written = Written {
        version: VERSION,
        client_id: &consent.client_id,
        client_secret: consent.client_secret.expose_secret(),
        site: SiteContent {
            cloud_id: consent.site.cloud_id.to_string(),
            name: consent.site.name.clone(),
            url: consent.site.url.clone(),
        },
        consented_at: consent.given_at.to_string(),
        refresh_token: refresh_token.expose_secret(),
        access_token: tokens.access_token.expose_secret(),
        issued_at: tokens.issued_at.to_string(),
        expires_at: tokens.expires_at.to_string(),
        refresh_begun_at: tokens.refresh_begun_at.map(|at| at.to_string()),
    };
    let mut text = Zeroizing::new(Vec::with_capacity(16 * 1024));
    serde_json::to_writer_pretty(&mut *text, &written)
        .map_err(|error| Error::internal("the token file's content").with_source(error))?;
    text.push(b'\n');
    Ok(text)
}

fn other(path: &Path, place: &str) -> Error {
    Error::new(
        ErrorKind::Credentials,
        format!("{} is no token file: it goes wrong {place}", path.display()),
        "Name the file that confluence-audit-oauth-setup wrote, or run it again. It is not to be \
         changed by hand.",
    )
}
