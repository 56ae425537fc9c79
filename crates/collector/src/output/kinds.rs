//! Where records go: what all kinds of outputs have in common, and which kinds there are.

use std::path::Path;
use std::time::Duration;

use confluence_audit_formats::Format;

use super::BatchLimits;
use super::{elasticsearch, file, http, otlp, splunk_hec, syslog};
use crate::Result;
use crate::config::table::{Section, Text};
use crate::config::{parse_duration, parse_size};
use crate::fs::is_name;

pub use super::elasticsearch::config::ElasticsearchConfig;
pub use super::file::config::FileConfig;
pub use super::http::config::{Framing, HttpConfig};
pub use super::otlp::config::OtlpConfig;
pub use super::service::config::{HeaderConfig, PeerConfig};
pub use super::splunk_hec::config::SplunkHecConfig;
pub use super::syslog::config::{
    ClientCertificate, Confirm, SyslogAddress, SyslogConfig, SyslogFraming,
};

/// One output.
#[derive(Clone, Debug)]
pub struct OutputConfig {
    /// What the state calls it, where that is not derived from the place. It has to stay the same.
    pub name: Option<String>,
    /// How a record is written.
    pub format: Format,
    /// How much it is given at a time.
    pub batch: BatchLimits,
    /// What it is.
    pub kind: OutputKind,
}

/// The kinds of outputs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OutputKind {
    /// A file that records are appended to.
    File(FileConfig),
    /// An index of Elasticsearch or `OpenSearch`.
    Elasticsearch(ElasticsearchConfig),
    /// Splunk's HTTP Event Collector.
    SplunkHec(SplunkHecConfig),
    /// Any service that takes records by a plain HTTP request.
    Http(HttpConfig),
    /// An OpenTelemetry collector.
    Otlp(OtlpConfig),
    /// Standard output.
    Stdout,
    /// A syslog receiver.
    Syslog(SyslogConfig),
}

/// How long a service may be made to wait for a fuller batch.
const SECOND: Duration = Duration::from_secs(1);

const KINDS: &str = "The kinds are: file, elasticsearch, splunk_hec, http, otlp, stdout, syslog.";

/// Files that an output needs besides the one that it may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputFiles<'a> {
    /// Secrets, which can be credentials of a unit by a bare name.
    pub secrets: Vec<&'a Path>,
    /// What is read.
    pub read: Vec<&'a Path>,
    /// What is written.
    pub written: Vec<&'a Path>,
}

impl OutputKind {
    /// The files that whoever confines the program has to let it reach.
    pub fn files(&self) -> OutputFiles<'_> {
        let (peer, headers): (_, Vec<&HeaderConfig>) = match self {
            Self::File(_) | Self::Stdout => return OutputFiles::default(),
            Self::Elasticsearch(index) => (&index.peer, index.authorization.iter().collect()),
            Self::SplunkHec(hec) => {
                return OutputFiles {
                    secrets: vec![&hec.token_file],
                    ..hec.peer.files()
                };
            }
            Self::Http(http) => (&http.peer, http.headers.iter().map(|(_, it)| it).collect()),
            Self::Otlp(otlp) => (&otlp.peer, otlp.headers.iter().map(|(_, it)| it).collect()),
            Self::Syslog(receiver) => return receiver.files(),
        };
        OutputFiles {
            secrets: headers.iter().filter_map(|it| it.secret()).collect(),
            ..peer.files()
        }
    }

    /// What a configuration calls it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Elasticsearch(_) => "elasticsearch",
            Self::SplunkHec(_) => "splunk_hec",
            Self::Http(_) => "http",
            Self::Otlp(_) => "otlp",
            Self::Stdout => "stdout",
            Self::Syslog(_) => "syslog",
        }
    }

    /// Whether each site has an output of its own.
    pub fn is_per_site(&self) -> bool {
        match self {
            Self::File(file) => file.is_per_site(),
            Self::Elasticsearch(_)
            | Self::SplunkHec(_)
            | Self::Http(_)
            | Self::Otlp(_)
            | Self::Stdout
            | Self::Syslog(_) => false,
        }
    }

    /// Whether what it gets says which site a record is from, whatever the format.
    pub fn names_sites(&self) -> bool {
        matches!(self, Self::SplunkHec(_) | Self::Otlp(_) | Self::Syslog(_))
    }

    /// What people call the place.
    pub fn shown(&self) -> String {
        match self {
            Self::File(file) => file.path.clone(),
            Self::Elasticsearch(index) => index.shown(),
            Self::Stdout => "-".to_owned(),
            Self::SplunkHec(hec) => hec.shown(),
            Self::Http(http) => http.peer.shown(),
            Self::Otlp(otlp) => otlp.peer.shown(),
            Self::Syslog(receiver) => receiver.address.to_string(),
        }
    }

    /// The format that its users would expect.
    fn default_format(&self) -> Format {
        match self {
            Self::File(_) | Self::SplunkHec(_) | Self::Stdout | Self::Syslog(_) => Format::Raw,
            Self::Elasticsearch(_) => Format::Ecs,
            // Each record says which site it is from.
            Self::Http(_) | Self::Otlp(_) => Format::Flat,
        }
    }

    /// Whether it can do something with lines of this format.
    fn takes(&self, format: Format) -> bool {
        match self {
            Self::File(_) | Self::SplunkHec(_) | Self::Otlp(_) | Self::Stdout | Self::Syslog(_) => {
                true
            }
            Self::Elasticsearch(_) => format.is_json(),
            Self::Http(http) => format.is_json() || http.framing == Framing::Ndjson,
        }
    }

    fn default_batch(&self) -> BatchLimits {
        match self {
            Self::File(_) | Self::Stdout => BatchLimits::default(),
            // Elastic's advice is 5 to 15 MB a request; a line of `ecs` is up to three times as
            // long as the record.
            Self::Elasticsearch(_) => BatchLimits {
                records: 5_000,
                bytes: 5 << 20,
                age: SECOND,
            },
            // Splunk's own limit for a request was 1 MB for long, and Sentinel's is; more than
            // some hundreds of records in one is no gain for an OpenTelemetry collector.
            Self::SplunkHec(_) | Self::Http(_) => BatchLimits {
                records: 2_000,
                bytes: 512 << 10,
                age: SECOND,
            },
            Self::Otlp(_) => BatchLimits {
                records: 512,
                bytes: 1 << 20,
                age: SECOND,
            },
            // What is sent again when a connection breaks.
            Self::Syslog(_) => BatchLimits {
                records: 1_000,
                bytes: 1 << 20,
                age: SECOND,
            },
        }
    }
}

impl OutputConfig {
    /// An output of this kind, with what is usual for it.
    pub fn new(kind: OutputKind) -> Self {
        Self {
            name: None,
            format: kind.default_format(),
            batch: kind.default_batch(),
            kind,
        }
    }
}

pub(crate) fn read_outputs(sections: Vec<Section<'_>>) -> Result<Vec<OutputConfig>> {
    let mut outputs: Vec<OutputConfig> = Vec::new();
    for mut section in sections {
        let kind = section.required("kind", KINDS)?;
        let mut output = OutputConfig::new(match kind.value {
            "file" => OutputKind::File(file::config::read(&mut section)?),
            "elasticsearch" => {
                OutputKind::Elasticsearch(elasticsearch::config::read(&mut section)?)
            }
            "stdout" => OutputKind::Stdout,
            "splunk_hec" => OutputKind::SplunkHec(splunk_hec::config::read(&mut section)?),
            "http" => OutputKind::Http(http::config::read(&mut section)?),
            "otlp" => OutputKind::Otlp(otlp::config::read(&mut section)?),
            "syslog" => OutputKind::Syslog(syslog::config::read(&mut section)?),
            other => {
                return Err(kind.mistake(
                    &format!(
                        "there is no kind of output `{}` in this version",
                        other.escape_debug()
                    ),
                    KINDS,
                ));
            }
        });
        if let Some(name) = section.text("name")? {
            output.name = Some(read_name(&name)?);
        }
        if let Some(name) = section.text("format")? {
            output.format = read_format(&name)?;
            if !output.kind.takes(output.format) {
                return Err(name.mistake(
                    &format!(
                        "`{}` takes no records in the format {}",
                        kind.value, output.format
                    ),
                    "It takes JSON: raw, flat, ecs or ocsf.",
                ));
            }
        }
        read_batch(&mut section, &mut output.batch)?;
        if let Some(twice) = outputs.iter().find(|other| is_same(other, &output)) {
            let message = format!("a second output goes to {}", twice.kind.shown());
            return Err(section.mistake(
                &message.escape_debug().to_string(),
                "Give each output a place of its own: two writers would disturb each other.",
            ));
        }
        if let Some(name) = &output.name
            && outputs
                .iter()
                .any(|other| other.name.as_ref() == Some(name))
        {
            return Err(section.mistake(
                &format!("a second output is named `{name}`"),
                "Give each output a name of its own, or none.",
            ));
        }
        outputs.push(output);
        section.finish()?;
    }
    Ok(outputs)
}

/// Whether two outputs would be kept under the same name, or write to the same file.
fn is_same(a: &OutputConfig, b: &OutputConfig) -> bool {
    match (&a.kind, &b.kind) {
        (OutputKind::File(a), OutputKind::File(b)) => a.path == b.path,
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b) && a.shown() == b.shown(),
    }
}

fn read_name(name: &Text<'_>) -> Result<String> {
    if !is_name(name.value) {
        return Err(name.mistake(
            &format!("`{}` cannot be an output's name", name.value.escape_debug()),
            "Use letters, digits, `.`, `_` and `-`, and begin with none of the dots.",
        ));
    }
    Ok(name.value.to_owned())
}

fn read_format(name: &Text<'_>) -> Result<Format> {
    name.value.parse().map_err(|_| {
        let all: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
        name.mistake(
            &format!("there is no format `{}`", name.value.escape_debug()),
            &format!("The formats are: {}.", all.join(", ")),
        )
    })
}

fn read_batch(section: &mut Section<'_>, batch: &mut BatchLimits) -> Result<()> {
    if let Some((records, at)) = section.number("batch_records")? {
        let fits = usize::try_from(records).ok();
        batch.records = fits.filter(|n| (1..=100_000).contains(n)).ok_or_else(|| {
            let message = format!("`batch_records` is {records}");
            let remedy = "Write a number from 1 to 100000.";
            section.source.mistake(at, &message, remedy)
        })?;
    }
    if let Some(bytes) = section.text("batch_bytes")? {
        let size = parse_size(bytes.value).and_then(|size| usize::try_from(size).ok());
        batch.bytes = size.filter(|n| (1..=64 << 20).contains(n)).ok_or_else(|| {
            let shown = bytes.value.escape_debug();
            bytes.mistake(
                &format!("`batch_bytes` is `{shown}`"),
                "Write a whole number with its unit, up to \"64MiB\".",
            )
        })?;
    }
    if let Some(age) = section.text("batch_age")? {
        batch.age = parse_duration(age.value)
            .map_err(|error| age.mistake(&error.to_string(), "Write it as \"1s\"."))?;
    }
    Ok(())
}
