//! Elasticsearch and `OpenSearch`: `_bulk` with `create`, and what became of each document.
//!
//! A document's `_id` is the [event's](Entry::id), so that one which is there already is refused
//! with 409: it has arrived.

use std::fmt::Write as _;
use std::path::Path;

use async_trait::async_trait;
use confluence_audit_formats::Format;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::Value;

use super::kind::{Declared, KindInfo, OutputContext, OutputFiles, OutputKind, OutputSetup};
use super::service::config::{HeaderConfig, ServiceConfig};
use super::service::{HttpClient, Outcome, Protocol, Refusal, Request, Response, Service, Verdict};
use super::{BatchLimits, Entry, Output};
use crate::table::{Mistake, Table, Text};
use crate::{Error, ErrorKind, Result};

/// An index or a data stream of Elasticsearch or `OpenSearch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticsearchConfig {
    /// The cluster.
    pub service: ServiceConfig,
    /// The index, its alias, or the data stream.
    pub index: String,
    /// How requests are signed, if they are.
    pub authorization: Option<HeaderConfig>,
}

impl Declared for ElasticsearchConfig {
    const INFO: KindInfo = KindInfo {
        name: "elasticsearch",
        format: Format::Ecs,
        // Elastic's advice is 5 to 15 MB a request; a line of `ecs` is up to three times as long as
        // the record.
        batch: BatchLimits::within_a_second(5_000, 5 << 20),
        names_sites: false,
    };

    fn read(table: &mut Table<'_>) -> Option<Self> {
        let about = "the cluster, as https://es.example:9200";
        let service = ServiceConfig::read(table, about);
        let index = table.required("index", "the data stream or index", index);
        let authorization = read_authorization(table);
        Some(Self {
            service: service?,
            index: index?,
            authorization,
        })
    }
}

fn index(text: &Text<'_>) -> Result<String, Mistake> {
    let index = text.filled()?;
    let fits = |c: char| {
        !c.is_uppercase() && !c.is_control() && !c.is_whitespace() && !r#"\/*?"<>|,#:"#.contains(c)
    };
    if index.starts_with(['-', '_', '+', '.']) || index.len() > 255 || !index.chars().all(fits) {
        return Err(text.mistake(
            format!("`{}` cannot be the name of an index", index.escape_debug()),
            "Use small letters, digits, `-`, `_` and `.`, and begin with a letter, as in \
             \"logs-atlassian_confluence.audit-default\".",
        ));
    }
    Ok(index)
}

fn read_authorization(table: &mut Table<'_>) -> Option<HeaderConfig> {
    let about = "the file of the API key that requests are signed with";
    let api_key = table.text("api_key_file", about, Text::secret_path);
    let about = "the user, in place of an API key";
    let username = table.text("username", about, Text::filled);
    let about = "the file of the user's password";
    let password = table.text("password_file", about, Text::secret_path);
    match ["api_key_file", "username", "password_file"].map(|key| table.has(key)) {
        [false, false, false] => None,
        [true, false, false] => api_key.map(|path| HeaderConfig::File {
            prefix: "ApiKey ".to_owned(),
            path,
        }),
        [false, true, true] => Some(HeaderConfig::Basic {
            username: username?,
            password_file: password?,
        }),
        _ => table.mistake(
            "the credentials of this output are incomplete or twofold",
            "Give either `api_key_file`, or `username` with `password_file`, or neither.",
        ),
    }
}

impl OutputKind for ElasticsearchConfig {
    fn info(&self) -> KindInfo {
        Self::INFO
    }

    fn display_name(&self) -> String {
        format!("{}/{}", self.service.display_name(), self.index)
    }

    fn files(&self) -> OutputFiles<'_> {
        self.service.files(&self.authorization)
    }

    fn takes(&self, format: Format) -> bool {
        format.is_json()
    }

    fn build(&self, setup: OutputSetup<'_>) -> Box<dyn Output> {
        let protocol = Elasticsearch::new(self, setup.context);
        Box::new(Service::new(setup, protocol))
    }
}

/// An index or a data stream.
pub(crate) struct Elasticsearch {
    client: HttpClient,
    index: String,
}

/// The parts of an answer that matter.
#[derive(Deserialize)]
struct Bulk {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Created,
}

#[derive(Deserialize)]
struct Created {
    status: u16,
    error: Option<Value>,
}

impl Elasticsearch {
    pub(crate) fn new(config: &ElasticsearchConfig, context: &OutputContext) -> Self {
        let signed = config.authorization.clone();
        let headers = signed.map(|value| (AUTHORIZATION, value));
        Self {
            client: HttpClient::new(&config.service, headers.into_iter().collect(), context),
            index: config.index.clone(),
        }
    }
}

#[async_trait]
impl Protocol for Elasticsearch {
    fn dead_letter(&self) -> Option<&Path> {
        self.client.config().dead_letter.as_deref()
    }

    async fn check(&mut self) -> Result<String> {
        let answer = self.client.send(Request::get(self.client.url(""))).await?;
        let name = self.client.config().display_name();
        if answer.status == 403 {
            // A key that may write to one index alone may not ask this.
            return Ok(format!("{name} answers"));
        }
        if !answer.status.is_success() {
            return Err(answer.failure());
        }
        let about: Value = serde_json::from_slice(&answer.body).map_err(|_| answer.failure())?;
        let version = about["version"]["number"].as_str().unwrap_or("?");
        let what = about["version"]["distribution"]
            .as_str()
            .unwrap_or("elasticsearch");
        Ok(format!(
            "{name} is {} {}",
            answer.quote(what),
            answer.quote(version)
        ))
    }

    async fn prepare(&mut self) -> Result<()> {
        self.client.prepare().await
    }

    async fn send(&mut self, entries: &[Entry]) -> Result<Outcome> {
        let url = self.client.url(&format!("{}/_bulk", self.index));
        let request = Request::post(url, "application/x-ndjson", body(entries));
        let answer = self.client.send(request).await?;
        match answer.status.as_u16() {
            200 => {}
            // Too large, or a document that the whole request is refused for.
            413 | 400 => return Ok(Outcome::Refused(answer.refusal())),
            _ => return Err(answer.failure()),
        }
        let bulk: Bulk = serde_json::from_slice(&answer.body).map_err(|_| answer.failure())?;
        if bulk.items.len() != entries.len() {
            return Err(answer.error(
                ErrorKind::OutputUnavailable,
                &format!(
                    "told of {} documents, and there were {}",
                    bulk.items.len(),
                    entries.len()
                ),
                "This is hardly an Elasticsearch or OpenSearch: see to `url`.",
            ));
        }
        let mut later = None;
        let verdicts = bulk
            .items
            .into_iter()
            .map(|item| verdict(&item.create, &answer, &mut later))
            .collect::<Result<_>>()?;
        Ok(Outcome::Each(verdicts, later))
    }
}

fn body(entries: &[Entry]) -> Vec<u8> {
    let bytes = entries.iter().map(|entry| entry.line.len() + 128).sum();
    let mut body = Vec::with_capacity(bytes);
    for entry in entries {
        // An id holds nothing that JSON would escape: see `EventId`.
        body.extend_from_slice(br#"{"create":{"_id":""#);
        body.extend_from_slice(entry.id().as_bytes());
        body.extend_from_slice(b"\"}}\n");
        body.extend_from_slice(&entry.line);
        body.push(b'\n');
    }
    body
}

fn verdict(item: &Created, answer: &Response, later: &mut Option<Error>) -> Result<Verdict> {
    let reason = || answer.quote(&reason(item.error.as_ref()));
    let status = item.status;
    Ok(match status {
        // There already: an answer of before was lost on its way.
        200..300 | 409 => Verdict::Accepted,
        429 | 500.. => {
            later.get_or_insert_with(|| {
                answer.error(
                    ErrorKind::OutputUnavailable,
                    &format!("did not take all documents now ({status}): {}", reason()),
                    "Nothing is lost: its backlog waits in the spool. See to the cluster's load.",
                )
            });
            Verdict::Later
        }
        401 | 403 => {
            let what = format!("refused a document ({status}): {}", reason());
            let remedy = "Let this output's credentials create documents in the index; an index \
                 that is blocked (a full disk) refuses them too.";
            return Err(answer.error(ErrorKind::Credentials, &what, remedy));
        }
        404 | 405 => {
            let what = format!("refused a document ({status}): {}", reason());
            let remedy = "Create the data stream or index, or let the credentials do so.";
            return Err(answer.error(ErrorKind::OutputCreate, &what, remedy));
        }
        _ => Verdict::Refused(Refusal {
            status,
            reason: reason(),
            doubtful: false,
        }),
    })
}

/// The type of an error, what it says, and what caused it.
fn reason(error: Option<&Value>) -> String {
    let mut text = String::new();
    let mut layer = error;
    while let Some(error) = layer {
        let kind = error["type"].as_str().unwrap_or("error");
        let reason = error["reason"].as_str().or(error.as_str()).unwrap_or("");
        let link = if text.is_empty() { "" } else { "; " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{link}{kind}: {reason}");
        layer = error.get("caused_by");
    }
    text
}

#[cfg(test)]
mod tests;
