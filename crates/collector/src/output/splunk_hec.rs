//! Splunk's HTTP Event Collector: events in their envelope, and, where the token asks for it, the
//! indexers' acknowledgement that they are on disk.
//!
//! Splunk knows no ids: what is sent again is there again. The event's id is an indexed field, so
//! that a search can take each event once (`| dedup event_id`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use confluence_audit_core::{Runtime, SystemRuntime};
use confluence_audit_formats::Format;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::kind::{Declared, KindInfo, OutputContext, OutputFiles, OutputKind, OutputSetup};
use super::service::config::{HeaderConfig, ServiceConfig};
use super::service::{HttpClient, Outcome, Protocol, Request, Response, Service};
use super::{BatchLimits, Entry, Output, OutputName};
use crate::table::{Table, Text};
use crate::{Error, ErrorKind, Result};

const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

/// The pauses between two questions whether events are on disk.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Splunk's HTTP Event Collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplunkHecConfig {
    /// The collector.
    pub service: ServiceConfig,
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

impl Declared for SplunkHecConfig {
    const INFO: KindInfo = KindInfo {
        name: "splunk_hec",
        format: Format::Raw,
        // Splunk's own limit for a request was 1 MB for long.
        batch: BatchLimits::within_a_second(2_000, 512 << 10),
        names_sites: true,
    };

    fn read(table: &mut Table<'_>) -> Option<Self> {
        let about = "the collector, as https://splunk.example:8088";
        let service = ServiceConfig::read(table, about);
        let about = "the file that holds the collector's token";
        let token_file = table.required("token_file", about, Text::secret_path);
        let index = table.text(
            "index",
            "the index; without it, the token's own",
            Text::filled,
        );
        let ack = table.flag("ack", "whether to wait until records are indexed");
        let about = "how long to wait for that";
        let ack_timeout = table.text("ack_timeout", about, Text::duration);
        let source = table.text("source", "the source of every event", Text::filled);
        let sourcetype = table.text("sourcetype", "the sourcetype of every event", Text::filled);
        Some(Self {
            service: service?,
            token_file: token_file?,
            index,
            source: source.unwrap_or_else(|| "confluence-audit".to_owned()),
            sourcetype: sourcetype.unwrap_or_else(|| "confluence:audit".to_owned()),
            ack: ack.then(|| ack_timeout.unwrap_or(Duration::from_mins(2))),
        })
    }
}

impl OutputKind for SplunkHecConfig {
    fn info(&self) -> KindInfo {
        Self::INFO
    }

    fn display_name(&self) -> String {
        let service = self.service.display_name();
        match &self.index {
            Some(index) => format!("{service}/{index}"),
            None => service,
        }
    }

    fn files(&self) -> OutputFiles<'_> {
        OutputFiles {
            secrets: vec![Path::new(&self.token_file)],
            ..self.service.files([])
        }
    }

    fn build(&self, setup: OutputSetup<'_>) -> Box<dyn Output> {
        let protocol = SplunkHec::new(&setup.name, self, setup.context);
        Box::new(Service::new(setup, protocol))
    }
}

/// An HTTP Event Collector.
pub(crate) struct SplunkHec {
    client: HttpClient,
    config: SplunkHecConfig,
    /// Tells Splunk who asks for acknowledgements: always the same for an output.
    channel: String,
}

/// What Splunk answers.
#[derive(Deserialize)]
struct Reply {
    code: u32,
    #[serde(rename = "ackId")]
    ack: Option<u64>,
    #[serde(rename = "invalid-event-number")]
    invalid: Option<usize>,
}

/// An event as Splunk takes it.
#[derive(Serialize)]
struct Envelope<'a> {
    time: Box<RawValue>,
    host: &'a str,
    source: &'a str,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    event: Box<RawValue>,
    fields: Value,
}

impl SplunkHec {
    pub(crate) fn new(
        name: &OutputName,
        config: &SplunkHecConfig,
        context: &OutputContext,
    ) -> Self {
        let token = HeaderConfig::File {
            prefix: "Splunk ".to_owned(),
            path: config.token_file.clone(),
        };
        Self {
            client: HttpClient::new(&config.service, vec![(AUTHORIZATION, token)], context),
            config: config.clone(),
            channel: channel(name),
        }
    }

    fn post(&self, path: &str, body: Vec<u8>) -> Result<Request<'static>> {
        let url = self.client.url(&format!("services/collector/{path}"));
        let mut request = Request::post(url, "application/json", body);
        let mut headers = HeaderMap::new();
        let channel = HeaderValue::from_str(&self.channel)
            .map_err(|error| Error::internal("a channel is no header").with_source(error))?;
        headers.insert(CHANNEL, channel);
        request.headers = headers;
        Ok(request)
    }

    fn body(&self, entries: &[Entry]) -> Result<Vec<u8>> {
        let mut body = Vec::with_capacity(entries.iter().map(|it| it.line.len() + 256).sum());
        for entry in entries {
            let line = std::str::from_utf8(&entry.line)
                .map_err(|error| Error::internal("a line is not UTF-8").with_source(error))?;
            let is_json = line.starts_with('{');
            let event = if is_json {
                RawValue::from_string(line.to_owned())
            } else {
                serde_json::value::to_raw_value(line)
            };
            let bug = |error| Error::internal("an event is not JSON").with_source(error);
            let envelope = Envelope {
                time: RawValue::from_string(seconds(entry.time.as_millis())).map_err(bug)?,
                host: &entry.site,
                source: &self.config.source,
                sourcetype: &self.config.sourcetype,
                index: self.config.index.as_deref(),
                event: event.map_err(bug)?,
                fields: json!({"event_id": entry.id(), "site_id": entry.site_id.as_str()}),
            };
            serde_json::to_writer(&mut body, &envelope).map_err(bug)?;
            body.push(b'\n');
        }
        Ok(body)
    }

    /// Returns when the indexers have what the answer's number stands for.
    async fn acknowledged(&self, ack: u64, patience: Duration) -> Result<()> {
        let (mut waited, mut pause) = (Duration::ZERO, FIRST_PAUSE);
        loop {
            let body = json!({"acks": [ack]}).to_string().into_bytes();
            let answer = self.client.send(self.post("ack", body)?).await?;
            if !answer.status.is_success() {
                return Err(failure(&answer));
            }
            let reply: Value =
                serde_json::from_slice(&answer.body).map_err(|_| answer.failure())?;
            if reply["acks"][ack.to_string()] == true {
                return Ok(());
            }
            if waited >= patience {
                return Err(answer.error(
                    ErrorKind::OutputUnavailable,
                    &format!("acknowledged nothing within {} s", patience.as_secs()),
                    "The events are sent again, and may be there twice. See to the indexers, or \
                     give them more time with `ack_timeout`.",
                ));
            }
            SystemRuntime.sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[async_trait]
impl Protocol for SplunkHec {
    fn dead_letter(&self) -> Option<&Path> {
        self.client.config().dead_letter.as_deref()
    }

    async fn check(&mut self) -> Result<String> {
        // Without an event nothing is changed, and a token that is not good is told first.
        let answer = self.client.send(self.post("event", Vec::new())?).await?;
        match reply(&answer) {
            Some(Reply { code: 5, .. }) => {
                let name = self.config.display_name();
                Ok(format!("{name} takes events with this token"))
            }
            _ => Err(failure(&answer)),
        }
    }

    async fn prepare(&mut self) -> Result<()> {
        self.client.prepare().await
    }

    async fn send(&mut self, entries: &[Entry]) -> Result<Outcome> {
        let body = self.body(entries)?;
        let answer = self.client.send(self.post("event", body)?).await?;
        if answer.status.is_success() {
            let reply = reply(&answer).filter(|reply| reply.code == 0);
            let reply = reply.ok_or_else(|| answer.failure())?;
            if let Some(patience) = self.config.ack {
                let ack = reply.ack.ok_or_else(|| {
                    answer.error(
                        ErrorKind::OutputCreate,
                        "gave no number to be acknowledged",
                        "Turn on indexer acknowledgement for the token, or leave out `ack`.",
                    )
                })?;
                self.acknowledged(ack, patience).await?;
            }
            return Ok(Outcome::accepted(entries));
        }
        if answer.status == 413 {
            return Ok(Outcome::Refused(answer.refusal()));
        }
        match reply(&answer) {
            // The number counts what was read before: of an event that cannot be read the ones
            // before it, of another itself, too.
            Some(Reply {
                code: 6, invalid, ..
            }) => Ok(blamed(&answer, invalid)),
            Some(Reply {
                code: 12 | 13 | 15,
                invalid,
                ..
            }) => Ok(blamed(
                &answer,
                invalid.map(|number| number.saturating_sub(1)),
            )),
            _ => Err(failure(&answer)),
        }
    }
}

fn reply(answer: &Response) -> Option<Reply> {
    serde_json::from_slice(&answer.body).ok()
}

fn blamed(answer: &Response, number: Option<usize>) -> Outcome {
    match number {
        Some(number) => Outcome::Blamed(answer.refusal(), number),
        None => Outcome::Refused(answer.refusal()),
    }
}

/// What a refusal means that is not for an event's sake.
fn failure(answer: &Response) -> Error {
    let remedy = match reply(answer).map(|reply| reply.code) {
        Some(7) => "Let the token write to this output's index.",
        Some(10 | 11 | 14) => {
            "Turn on indexer acknowledgement for the token, or leave out `ack`: only one of the \
             two sides asks for it."
        }
        _ => return answer.failure(),
    };
    let what = format!("answered {}: {}", answer.status.as_u16(), answer.text());
    answer.error(ErrorKind::OutputCreate, &what, remedy)
}

/// Milliseconds as seconds with a fraction.
fn seconds(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    format!("{sign}{}.{:03}", millis / 1000, millis % 1000)
}

/// A GUID that is always the same for an output.
fn channel(name: &OutputName) -> String {
    let hash = blake3::hash(name.as_str().as_bytes()).to_hex();
    let part = |from: usize, to: usize| hash.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-8{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

#[cfg(test)]
mod tests;
