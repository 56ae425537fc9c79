//! Any service that takes records by a plain HTTP request.

use http::{HeaderName, HeaderValue, Method};
use toml::Spanned;
use toml::de::DeValue;

use crate::Result;
use crate::config::table::Section;
use crate::output::service::config::{self as service, HeaderConfig, PeerConfig, secret_file};

/// Any service that takes records by a plain HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where requests go.
    pub peer: PeerConfig,
    /// How they are made.
    pub method: Method,
    /// How several records stand in one body.
    pub framing: Framing,
    /// What the body is said to be.
    pub content_type: String,
    /// The headers of every request.
    pub headers: Vec<(HeaderName, HeaderConfig)>,
    /// The header by which a request that is made again can be known.
    pub idempotency_key: Option<HeaderName>,
}

/// How several records stand in one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One a line.
    Ndjson,
    /// As the elements of a JSON array.
    Array,
}

pub(in crate::output) fn read(section: &mut Section<'_>) -> Result<HttpConfig> {
    let peer = service::read(section, "where to send records")?;
    let method = match section.text("method")? {
        None => Method::POST,
        Some(text) => match text.value {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            _ => return Err(text.mistake("`method` is neither POST nor PUT", "Write \"POST\".")),
        },
    };
    let framing = match section.text("framing")? {
        None => Framing::Ndjson,
        Some(text) => match text.value {
            "ndjson" => Framing::Ndjson,
            "array" => Framing::Array,
            other => {
                let message = format!("there is no framing `{}`", other.escape_debug());
                return Err(text.mistake(&message, "Write \"ndjson\" or \"array\"."));
            }
        },
    };
    let content_type = match section.text("content_type")? {
        Some(text) if HeaderValue::from_str(text.non_empty()?).is_err() => {
            return Err(text.mistake(
                "`content_type` is no header's value",
                "Write it as \"application/json\".",
            ));
        }
        Some(text) => text.value.to_owned(),
        None => match framing {
            Framing::Ndjson => "application/x-ndjson".to_owned(),
            Framing::Array => "application/json".to_owned(),
        },
    };
    let idempotency_key = match section.text("idempotency_key")? {
        None => Some(HeaderName::from_static("idempotency-key")),
        Some(text) if text.value.is_empty() => None,
        Some(text) => Some(text.value.parse().map_err(|_| {
            text.mistake(
                "`idempotency_key` is no header's name",
                "Write the header's name, or \"\" for none.",
            )
        })?),
    };
    Ok(HttpConfig {
        peer,
        method,
        framing,
        content_type,
        headers: read_headers(section)?,
        idempotency_key,
    })
}

/// The table `headers`: each a text, or `{ file = "…", prefix = "…" }`.
pub(in crate::output) fn read_headers(
    section: &mut Section<'_>,
) -> Result<Vec<(HeaderName, HeaderConfig)>> {
    let Some(table) = section.table("headers")? else {
        return Ok(Vec::new());
    };
    let read = |(name, value): (&str, &Spanned<DeValue<'_>>)| {
        let at = value.span().start;
        let wrong = |what: &str| {
            let message = format!("the header `{}` {what}", name.escape_debug());
            let remedy = "Write it as X-Name = \"text\", or, where it is a secret, as \
                 Authorization = { prefix = \"Bearer \", file = \"/path\" }.";
            table.source.mistake(at, &message, remedy)
        };
        let header = HeaderName::try_from(name).map_err(|_| wrong("has no header's name"))?;
        let is_header = |text: &str| HeaderValue::from_str(text).is_ok();
        if let Some(text) = value.get_ref().as_str() {
            if !is_header(text) {
                return Err(wrong("has no header's value"));
            }
            return Ok((header, HeaderConfig::Literal(text.to_owned())));
        }
        let mut source = table.section("headers", value)?;
        let prefix = source.text("prefix")?.map_or("", |text| text.value);
        if !is_header(prefix) {
            return Err(wrong("has a prefix that cannot stand in a header"));
        }
        let path = secret_file(&mut source, "file")?.ok_or_else(|| wrong("names no file"))?;
        source.finish()?;
        let prefix = prefix.to_owned();
        Ok((header, HeaderConfig::File { prefix, path }))
    };
    table.entries().map(read).collect()
}
