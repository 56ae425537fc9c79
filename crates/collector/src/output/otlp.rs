//! OpenTelemetry's protocol: logs over HTTP, in protobuf.
//!
//! A collector that takes a part of a request says how many records it refused, not which, and
//! must not be sent them again. All records of such a request become dead letters that say so: one
//! that arrived and is doubted is better than one that is missing and is not.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use confluence_audit_formats::Format;
use http::HeaderName;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::kind::{Declared, KindInfo, OutputContext, OutputFiles, OutputKind, OutputSetup};
use super::service::config::{HeaderConfig, ServiceConfig, read_headers};
use super::service::{HttpClient, Outcome, Protocol, Refusal, Request, Response, Service, Verdict};
use super::{BatchLimits, Entry, Output};
use crate::Result;
use crate::table::Table;

const PROTOBUF: &str = "application/x-protobuf";

/// An OpenTelemetry collector, or what speaks like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Where requests go, `/v1/logs` included.
    pub service: ServiceConfig,
    /// The headers of every request.
    pub headers: Vec<(HeaderName, HeaderConfig)>,
}

impl Declared for OtlpConfig {
    const INFO: KindInfo = KindInfo {
        name: "otlp",
        // Each record says which site it is from.
        format: Format::Flat,
        // More than some hundreds of records in one request is no gain for a collector.
        batch: BatchLimits::within_a_second(512, 1 << 20),
        names_sites: true,
    };

    fn read(table: &mut Table<'_>) -> Option<Self> {
        let about = "the collector, as https://otel.example:4318";
        let service = ServiceConfig::read(table, about);
        let headers = read_headers(table);
        let mut service = service?;
        if service.url.path() == "/" {
            // The protocol's own path, where none is given.
            service.url.set_path("/v1/logs");
        }
        Some(Self { service, headers })
    }
}

impl OutputKind for OtlpConfig {
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

    fn build(&self, setup: OutputSetup<'_>) -> Box<dyn Output> {
        let protocol = Otlp::new(self, setup.context);
        Box::new(Service::new(setup, protocol))
    }
}

/// An OpenTelemetry collector.
pub(crate) struct Otlp {
    client: HttpClient,
}

impl Otlp {
    pub(crate) fn new(config: &OtlpConfig, context: &OutputContext) -> Self {
        let client = HttpClient::new(&config.service, config.headers.clone(), context);
        Self { client }
    }

    async fn post(&self, request: &ExportLogsServiceRequest) -> Result<Response> {
        let url = self.client.config().url.clone();
        let body = request.encode_to_vec();
        self.client.send(Request::post(url, PROTOBUF, body)).await
    }
}

#[async_trait]
impl Protocol for Otlp {
    fn dead_letter(&self) -> Option<&Path> {
        self.client.config().dead_letter.as_deref()
    }

    async fn check(&mut self) -> Result<String> {
        // A request without records changes nothing, and has to be answered like any other.
        let answer = self.post(&ExportLogsServiceRequest::default()).await?;
        if !answer.status.is_success() {
            return Err(answer.failure());
        }
        Ok(format!(
            "{} takes logs",
            self.client.config().display_name()
        ))
    }

    async fn prepare(&mut self) -> Result<()> {
        self.client.prepare().await
    }

    async fn send(&mut self, entries: &[Entry]) -> Result<Outcome> {
        let answer = self.post(&request(entries)).await?;
        match answer.status.as_u16() {
            200..=299 => {}
            400 | 413 => return Ok(Outcome::Refused(answer.refusal())),
            _ => return Err(answer.failure()),
        }
        if answer.is_html() {
            return Err(answer.failure());
        }
        let response = ExportLogsServiceResponse::decode(answer.body.clone());
        let partial = if let Ok(response) = response {
            response.partial_success
        } else {
            // The status has confirmed: to send the same again would not make it readable.
            tracing::warn!(
                peer = self.client.config().display_name(),
                "the collector accepted records with an answer that is not protobuf"
            );
            None
        };
        let rejected = partial
            .as_ref()
            .map_or(0, |partial| partial.rejected_log_records);
        let (Some(partial), 1..) = (&partial, rejected) else {
            if let Some(warning) = partial.filter(|partial| !partial.error_message.is_empty()) {
                let text = answer.quote(&warning.error_message);
                tracing::warn!(
                    peer = self.client.config().display_name(),
                    "the collector warns: {text}"
                );
            }
            return Ok(Outcome::accepted(entries));
        };
        let all = entries.len();
        let message = answer.quote(&partial.error_message);
        let refusal = Refusal {
            status: answer.status.as_u16(),
            reason: format!("{rejected} of {all} records were refused: {message}"),
            doubtful: usize::try_from(rejected).is_ok_and(|rejected| rejected < all),
        };
        Ok(Outcome::Each(vec![Verdict::Refused(refusal); all], None))
    }
}

/// The records with what they have in common told once.
fn request(entries: &[Entry]) -> ExportLogsServiceRequest {
    let mut sites: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        sites.entry(entry.site_id.as_str()).or_default().push(entry);
    }
    let resource_logs = sites.into_iter().map(|(id, entries)| {
        let name = entries.first().map_or(id, |entry| &entry.site);
        ResourceLogs {
            resource: Some(Resource {
                attributes: vec![
                    attribute("service.name", "confluence-audit"),
                    attribute("cloud.account.id", id),
                    attribute("confluence.site.name", name),
                ],
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope {
                    name: "confluence-audit".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..InstrumentationScope::default()
                }),
                log_records: entries.into_iter().map(record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }
    });
    ExportLogsServiceRequest {
        resource_logs: resource_logs.collect(),
    }
}

/// A record. When it was seen is left out: it would not be the same in one that is sent again.
fn record(entry: &Entry) -> LogRecord {
    let millis = u64::try_from(entry.time.as_millis()).unwrap_or_default();
    LogRecord {
        time_unix_nano: millis.saturating_mul(1_000_000),
        severity_number: SeverityNumber::Info.into(),
        severity_text: "INFO".to_owned(),
        body: Some(text(&String::from_utf8_lossy(&entry.line))),
        attributes: vec![attribute("log.record.uid", &entry.id())],
        ..LogRecord::default()
    }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(text(value)),
        ..KeyValue::default()
    }
}

fn text(value: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(value.to_owned())),
    }
}

#[cfg(test)]
mod tests;
