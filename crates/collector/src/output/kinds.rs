//! The one list of the kinds of outputs.

use std::sync::Arc;

use super::elasticsearch::ElasticsearchConfig;
use super::file::config::FileConfig;
use super::http::HttpConfig;
use super::kind::{Declared, OutputKind};
use super::otlp::OtlpConfig;
use super::splunk_hec::SplunkHecConfig;
use super::stdout::StdoutConfig;
use super::syslog::config::SyslogConfig;
use crate::table::Read;

/// All kinds, each with how its tables are read.
pub(crate) const KINDS: [Kind; 7] = [
    kind::<FileConfig>(),
    kind::<ElasticsearchConfig>(),
    kind::<SplunkHecConfig>(),
    kind::<HttpConfig>(),
    kind::<OtlpConfig>(),
    kind::<StdoutConfig>(),
    kind::<SyslogConfig>(),
];

pub(crate) type Kind = (&'static str, Read<Arc<dyn OutputKind>>);

const fn kind<K: Declared>() -> Kind {
    (K::INFO.name, |table| Some(Arc::new(K::read(table)?)))
}
