//! The index template for documents of this format: which field has which type.

use serde_json::{Map, Value, json};

/// Whose types the template is written in: what the one calls `flattened` is `flat_object` in the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Elasticsearch.
    Elasticsearch,
    /// `OpenSearch`.
    OpenSearch,
}

/// The body of `PUT _index_template/NAME` for indices whose names match `pattern`: data streams,
/// with ECS's own type for every field that a line can have.
///
/// A field that is not listed stays in the document and is not searchable, so that no record is
/// refused for what it holds. Without the member `data_stream` it is the template of plain indices.
/// The priority is above that of the templates that come with the
/// engine.
///
/// ```
/// use confluence_audit_formats::ecs::{Engine, index_template};
///
/// let template = index_template("logs-atlassian_confluence.audit-*", Engine::Elasticsearch);
/// let source = &template["template"]["mappings"]["properties"]["source"]["properties"];
/// assert_eq!(source["ip"]["type"], "ip");
/// ```
pub fn index_template(pattern: &str, engine: Engine) -> Value {
    let mut properties = Map::new();
    for (path, kind) in FIELDS {
        insert(&mut properties, path, kind.mapping(engine));
    }
    json!({
        "index_patterns": [pattern],
        "data_stream": {},
        "priority": 500,
        "template": {
            "settings": {
                "index.codec": "best_compression",
                "index.mapping.ignore_malformed": true,
            },
            "mappings": {
                "dynamic": false,
                "properties": properties,
            },
        },
        "_meta": {
            "description": "Confluence Cloud's audit log as ECS",
            "ecs": super::VERSION,
            "managed_by": "confluence-audit",
        },
    })
}

/// The types that ECS and Elastic's integration use here.
#[derive(Clone, Copy)]
enum Kind {
    Boolean,
    Date,
    /// An object whose keys are not known.
    Flattened,
    Ip,
    Keyword,
    /// A keyword that words of are searched for, too.
    Name,
    /// Kept, and searched in no way: it is what all the others are made of.
    Original,
    Text,
}

const FIELDS: &[(&str, Kind)] = &[
    ("@timestamp", Kind::Date),
    ("message", Kind::Text),
    ("ecs.version", Kind::Keyword),
    ("error.message", Kind::Text),
    ("event.action", Kind::Keyword),
    ("event.category", Kind::Keyword),
    ("event.dataset", Kind::Keyword),
    ("event.id", Kind::Keyword),
    ("event.ingested", Kind::Date),
    ("event.kind", Kind::Keyword),
    ("event.module", Kind::Keyword),
    ("event.original", Kind::Original),
    ("event.outcome", Kind::Keyword),
    ("event.type", Kind::Keyword),
    ("user.id", Kind::Keyword),
    ("user.full_name", Kind::Name),
    ("user.changes.email", Kind::Keyword),
    ("user.changes.full_name", Kind::Name),
    ("user.changes.name", Kind::Name),
    ("user.target.email", Kind::Keyword),
    ("user.target.full_name", Kind::Name),
    ("user.target.name", Kind::Name),
    ("user.target.group.id", Kind::Keyword),
    ("user.target.group.name", Kind::Keyword),
    ("group.id", Kind::Keyword),
    ("group.name", Kind::Keyword),
    ("source.address", Kind::Keyword),
    ("source.ip", Kind::Ip),
    ("related.ip", Kind::Ip),
    ("related.user", Kind::Keyword),
    ("cloud.account.id", Kind::Keyword),
    ("cloud.account.name", Kind::Keyword),
    ("service.address", Kind::Keyword),
    ("confluence.audit.affected_objects", Kind::Flattened),
    ("confluence.audit.changed_values", Kind::Flattened),
    ("confluence.audit.description", Kind::Text),
    ("confluence.audit.external_collaborator", Kind::Boolean),
    ("confluence.audit.super_admin", Kind::Boolean),
    ("confluence.audit.sys_admin", Kind::Boolean),
    ("confluence.audit.type.action", Kind::Keyword),
    ("confluence.audit.type.category", Kind::Keyword),
];

impl Kind {
    fn mapping(self, engine: Engine) -> Value {
        let text = json!({"type": "match_only_text"});
        match self {
            Self::Boolean => json!({"type": "boolean"}),
            Self::Date => json!({"type": "date"}),
            Self::Flattened => match engine {
                // A value that is longer than an index can hold stays in the document alone.
                Engine::Elasticsearch => json!({"type": "flattened", "ignore_above": 1024}),
                Engine::OpenSearch => json!({"type": "flat_object"}),
            },
            Self::Ip => json!({"type": "ip"}),
            Self::Keyword => json!({"type": "keyword", "ignore_above": 1024}),
            Self::Name => {
                json!({"type": "keyword", "ignore_above": 1024, "fields": {"text": text}})
            }
            Self::Original => json!({"type": "keyword", "index": false, "doc_values": false}),
            Self::Text => text,
        }
    }
}

/// Puts the mapping where the dotted path says.
fn insert(properties: &mut Map<String, Value>, path: &str, mapping: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        properties.insert(path.to_owned(), mapping);
        return;
    };
    let empty = || json!({"properties": {}});
    let object = properties.entry(first).or_insert_with(empty);
    if let Some(inner) = object["properties"].as_object_mut() {
        insert(inner, rest, mapping);
    }
}

#[cfg(test)]
mod tests {
    use confluence_audit_core::RawRecord;

    use super::*;
    use crate::context::Context;

    fn assert_mapped(value: &Value, mapping: &Value, path: &str) {
        let kind = mapping["type"].as_str();
        match value {
            Value::Object(fields) if kind.is_none() => {
                for (key, value) in fields {
                    let inner = &mapping["properties"][key];
                    assert!(!inner.is_null(), "{path}.{key} is not mapped");
                    assert_mapped(value, inner, &format!("{path}.{key}"));
                }
            }
            Value::Array(values) => {
                for value in values {
                    assert_mapped(value, mapping, path);
                }
            }
            Value::Object(_) => assert_eq!(kind, Some("flattened"), "{path}"),
            Value::Bool(_) => assert_eq!(kind, Some("boolean"), "{path}"),
            Value::String(text) => match kind {
                Some("ip") => assert!(text.parse::<std::net::IpAddr>().is_ok(), "{path}"),
                Some("date") => assert!(text.ends_with('Z'), "{path}"),
                other => {
                    let texts = ["keyword", "match_only_text"];
                    assert!(other.is_some_and(|kind| texts.contains(&kind)), "{path}");
                }
            },
            other => panic!("{path}: {other}"),
        }
    }

    #[test]
    fn every_field_that_a_line_has_is_mapped_to_a_type_that_takes_it() {
        let template = index_template("logs-*", Engine::Elasticsearch);
        let corpus = include_str!("../../tests/corpus.txt").lines();
        for text in corpus.filter(|line| !line.starts_with("# ")) {
            let record = RawRecord::parse(text).unwrap();
            let mut context = Context::new("acme", "0a1b", &record);
            context.url = Some("https://acme.atlassian.net");
            let line = super::super::line(&record, &context);
            let document: Value = serde_json::from_slice(&line.bytes).unwrap();
            assert_mapped(&document, &template["template"]["mappings"], "");
        }
    }
}
