//! Any service that takes records by a plain HTTP request, and answers 2xx when it has them.
//!
//! A request carries a key that is made of the ids of its records. It is made of the same records
//! when it is made again, also by another process, so that a service which remembers keys takes
//! each once.

pub(crate) mod config;

use std::path::Path;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method};

use super::Entry;
use super::service::{HttpClient, Request};
use super::service::{Outcome, Protocol};
use crate::config::{Framing, HttpConfig};
use crate::delivery::OutputContext;
use crate::{Error, ErrorKind, Result};

/// A service that takes records by a plain HTTP request.
pub(crate) struct Http {
    peer: HttpClient,
    config: HttpConfig,
}

impl Http {
    pub(crate) fn new(config: &HttpConfig, surroundings: &OutputContext) -> Self {
        Self {
            peer: HttpClient::new(&config.peer, config.headers.clone(), surroundings),
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
        self.peer.config().dead_letter.as_deref()
    }

    fn repeats_requests(&self) -> bool {
        self.config.idempotency_key.is_some()
    }

    async fn check(&mut self) -> Result<String> {
        let url = self.config.peer.url.clone();
        let method = Method::HEAD;
        let request = Request {
            method,
            ..Request::get(url)
        };
        let answer = self.peer.send(request).await?;
        let status = answer.status.as_u16();
        // Whether it would take records only a record can tell; hardly any of them knows HEAD.
        if status == 401 || status >= 500 {
            return Err(answer.failure());
        }
        let shown = self.config.peer.shown();
        Ok(format!("{shown} answers ({status} to HEAD)"))
    }

    async fn prepare(&mut self) -> Result<()> {
        self.peer.prepare().await
    }

    async fn send(&mut self, entries: &[Entry]) -> Result<Outcome> {
        let mut headers = HeaderMap::new();
        if let Some(name) = &self.config.idempotency_key {
            headers.insert(name.clone(), key(entries)?);
        }
        let request = Request {
            method: self.config.method.clone(),
            url: self.config.peer.url.clone(),
            content_type: &self.config.content_type,
            headers,
            body: self.body(entries),
        };
        let answer = self.peer.send(request).await?;
        match answer.status.as_u16() {
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
