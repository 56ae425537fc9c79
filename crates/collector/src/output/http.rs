//! Any service that takes records by a plain HTTP request, and answers 2xx when it has them.
//!
//! A request carries a key that is made of the ids of its records. It is made of the same records
//! when it is made again, also by another process, so that a service which remembers keys takes
//! each once.

use std::path::Path;

use async_trait::async_trait;
use confluence_audit_formats::Format;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::kind::{Declared, KindInfo, OutputContext, OutputFiles, OutputKind, OutputSetup};
use super::service::config::{HeaderConfig, ServiceConfig, read_headers};
use super::service::{HttpClient, Outcome, Protocol, Request, Service};
use super::{BatchLimits, Entry, Output};
use crate::table::Table;
use crate::{Error, ErrorKind, Result};

/// Any service that takes records by a plain HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where requests go.
    pub service: ServiceConfig,
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

impl Declared for HttpConfig {
    const INFO: KindInfo = KindInfo {
        name: "http",
        // Each record says which site it is from.
        format: Format::Flat,
        // Sentinel's limit for a request is 1 MB.
        batch: BatchLimits::within_a_second(2_000, 512 << 10),
        names_sites: false,
    };

    fn read(table: &mut Table<'_>) -> Option<Self> {
        let service = ServiceConfig::read(table, "where to send records");
        let methods = [("POST", Method::POST), ("PUT", Method::PUT)];
        let method = table.choice("method", "how requests are made", methods);
        let framings = [("ndjson", Framing::Ndjson), ("array", Framing::Array)];
        let about = "how several records stand in one body";
        let framing = table.choice("framing", about, framings);
        let about = "what the body is said to be";
        let content_type = table.text("content_type", about, |text| {
            let value = text.filled()?;
            match HeaderValue::from_str(&value) {
                Ok(_) => Ok(value),
                Err(_) => Err(text.mistake(
                    "`content_type` is no header's value",
                    "Write it as \"application/json\".",
                )),
            }
        });
        let about = "the header that is the same when a request is made again; \"\" for none";
        let idempotency_key = table.text("idempotency_key", about, |text| {
            if text.value.is_empty() {
                return Ok(None);
            }
            text.value.parse().map(Some).map_err(|_| {
                text.mistake(
                    "`idempotency_key` is no header's name",
                    "Write the header's name, or \"\" for none.",
                )
            })
        });
        let headers = read_headers(table);
        let framing = framing.unwrap_or(Framing::Ndjson);
        let usual_type = match framing {
            Framing::Ndjson => "application/x-ndjson",
            Framing::Array => "application/json",
        };
        Some(Self {
            service: service?,
            method: method.unwrap_or(Method::POST),
            framing,
            content_type: content_type.unwrap_or_else(|| usual_type.to_owned()),
            headers,
            idempotency_key: idempotency_key
                .unwrap_or(Some(HeaderName::from_static("idempotency-key"))),
        })
    }
}

impl OutputKind for HttpConfig {
    fn info(&self) -> KindInfo {
        Self::INFO
    }

    fn display_name(&self) -> String {
        self.service.display_name()
    }

    fn files(&self) -> OutputFiles<'_> {
        self.service
            .files(self.headers.iter().map(|(_, value)| value))
    }

    fn takes(&self, format: Format) -> bool {
        format.is_json() || self.framing == Framing::Ndjson
    }

    fn build(&self, setup: OutputSetup<'_>) -> Box<dyn Output> {
        let protocol = Http::new(self, setup.context);
        Box::new(Service::new(setup, protocol))
    }
}

/// A service that takes records by a plain HTTP request.
pub(crate) struct Http {
    client: HttpClient,
    config: HttpConfig,
}

impl Http {
    pub(crate) fn new(config: &HttpConfig, context: &OutputContext) -> Self {
        Self {
            client: HttpClient::new(&config.service, config.headers.clone(), context),
            config: config.clone(),
        }
    }

    fn body(&self, entries: &[Entry]) -> Vec<u8> {
        let lines = entries.iter().map(|entry| &entry.line[..]);
        match self.config.framing {
            Framing::Ndjson => {
                let lines: Vec<&[u8]> = lines.flat_map(|line| [line, b"\n"]).collect();
                lines.concat()
            }
            Framing::Array => {
                let lines: Vec<&[u8]> = lines.collect();
                [b"[", &lines.join(&b","[..])[..], b"]"].concat()
            }
        }
    }
}

#[async_trait]
impl Protocol for Http {
    fn dead_letter(&self) -> Option<&Path> {
        self.client.config().dead_letter.as_deref()
    }

    fn repeats_requests(&self) -> bool {
        self.config.idempotency_key.is_some()
    }

    async fn check(&mut self) -> Result<String> {
        let url = self.config.service.url.clone();
        let method = Method::HEAD;
        let request = Request {
            method,
            ..Request::get(url)
        };
        let answer = self.client.send(request).await?;
        let status = answer.status.as_u16();
        // Whether it would take records only a record can tell; hardly any of them knows HEAD.
        if status == 401 || status >= 500 {
            return Err(answer.failure());
        }
        let name = self.config.service.display_name();
        Ok(format!("{name} answers ({status} to HEAD)"))
    }

    async fn prepare(&mut self) -> Result<()> {
        self.client.prepare().await
    }

    async fn send(&mut self, entries: &[Entry]) -> Result<Outcome> {
        let mut headers = HeaderMap::new();
        if let Some(name) = &self.config.idempotency_key {
            headers.insert(name.clone(), key(entries)?);
        }
        let request = Request {
            method: self.config.method.clone(),
            url: self.config.service.url.clone(),
            content_type: &self.config.content_type,
            headers,
            body: self.body(entries),
        };
        let answer = self.client.send(request).await?;
        match answer.status.as_u16() {
            // A gateway's sign-in page is no confirmation.
            200..=299 if answer.is_html() => Err(answer.failure()),
            200..=299 => Ok(Outcome::accepted(entries)),
            400 | 413 | 422 => Ok(Outcome::Refused(answer.refusal())),
            409 => Err(answer.error(
                ErrorKind::OutputUnavailable,
                "is still busy with the same request",
                "It is made again with the same key.",
            )),
            _ => Err(answer.failure()),
        }
    }
}

/// What names a request of these records.
fn key(entries: &[Entry]) -> Result<HeaderValue> {
    let mut hasher = blake3::Hasher::new();
    for entry in entries {
        hasher.update(entry.id().as_bytes());
        hasher.update(b"\n");
    }
    let hash = hasher.finalize().to_hex();
    HeaderValue::from_str(hash.get(..32).unwrap_or_default())
        .map_err(|error| Error::internal("a hash is no header").with_source(error))
}

#[cfg(test)]
mod tests;
