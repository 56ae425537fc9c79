//! `generate index-template`: the index template for the format `ecs`.

use clap::ValueEnum;
use confluence_audit_formats::ecs::{Engine, index_template};

use super::File;

/// An engine by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    Elasticsearch,
    #[value(name = "opensearch")]
    OpenSearch,
}

/// The template as a request's body.
pub(super) fn of(engine: EngineName, pattern: &str) -> File {
    let engine = match engine {
        EngineName::Elasticsearch => Engine::Elasticsearch,
        EngineName::OpenSearch => Engine::OpenSearch,
    };
    let body = format!("{:#}\n", index_template(pattern, engine));
    File::new("etc/confluence-audit/index-template.json", body)
}
