//! What the published schemas ask of a line.

use serde_json::Value;

pub(crate) fn no_empty_value(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty() && list.iter().all(no_empty_value),
        Value::Object(members) => !members.is_empty() && members.values().all(no_empty_value),
        _ => true,
    }
}

/// The fields that `ecs` may write, with their types in ECS 8.11.
pub(crate) fn ecs_types(document: &Value) {
    fn walk(path: &str, value: &Value) {
        let keyword = [
            "ecs.version",
            "event.id",
            "event.kind",
            "event.action",
            "event.category",
            "event.type",
            "event.outcome",
            "event.module",
            "event.dataset",
            "event.original",
            "user.id",
            "user.full_name",
            "user.target.full_name",
            "user.target.name",
            "user.target.email",
            "user.target.group.name",
            "user.target.group.id",
            "user.changes.full_name",
            "user.changes.name",
            "user.changes.email",
            "group.name",
            "group.id",
            "source.address",
            "related.user",
            "cloud.account.id",
            "cloud.account.name",
            "service.address",
            "message",
            "error.message",
            "confluence.audit.type.category",
            "confluence.audit.type.action",
            "confluence.audit.description",
        ];
        let boolean = [
            "confluence.audit.external_collaborator",
            "confluence.audit.sys_admin",
            "confluence.audit.super_admin",
        ];
        let flattened = [
            "confluence.audit.affected_objects",
            "confluence.audit.changed_values",
        ];
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let dot = if path.is_empty() { "" } else { "." };
                    let path = format!("{path}{dot}{name}");
                    if !flattened.contains(&path.as_str()) {
                        walk(&path, value);
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| walk(path, value)),
            Value::String(text) if path == "@timestamp" => {
                assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
            }
            Value::String(text) if path == "source.ip" || path == "related.ip" => {
                text.parse::<std::net::IpAddr>().unwrap();
            }
            Value::String(_) => assert!(keyword.contains(&path), "{path}"),
            Value::Bool(_) => assert!(boolean.contains(&path), "{path}"),
            other => panic!("{path}: {other}"),
        }
    }
    walk("", document);
    assert!(document["@timestamp"].is_string());
    // What ECS expects of `event.type` in each category that is used.
    for category in document["event"]["category"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let allowed: &[&str] = match category.as_str().unwrap() {
            "iam" => &[
                "admin", "change", "creation", "deletion", "group", "info", "user",
            ],
            "configuration" => &["access", "change", "creation", "deletion", "info"],
            other => panic!("{other}"),
        };
        for kind in document["event"]["type"].as_array().unwrap() {
            assert!(
                allowed.contains(&kind.as_str().unwrap()),
                "{category}: {kind}"
            );
        }
    }
}

/// What OCSF 1.8.0 asks of the classes that are used: activities, and fields beyond those of all.
pub(crate) fn ocsf_rules(event: &Value) {
    let (activities, required): (&[u64], &[&str]) = match event["class_uid"].as_u64().unwrap() {
        0 => (&[0, 99], &["/raw_data", "/status_detail"]),
        3001 => (
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99],
            &["/user/name"],
        ),
        3004 => (
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 99],
            &["/entity/name"],
        ),
        3005 => (&[0, 1, 2, 99], &["/user/name", "/privileges/0"]),
        3006 => (&[0, 1, 2, 3, 4, 5, 6, 7, 8, 99], &["/group/name"]),
        6003 => (
            &[0, 1, 2, 3, 4, 99],
            &["/actor", "/api/operation", "/src_endpoint"],
        ),
        other => panic!("class {other}"),
    };
    let activity = event["activity_id"].as_u64().unwrap();
    assert!(activities.contains(&activity), "{event}");
    let class = event["class_uid"].as_u64().unwrap();
    assert_eq!(event["type_uid"], class * 100 + activity);
    assert_eq!(event["category_uid"], class / 1000);
    let of_all = [
        "/time",
        "/severity_id",
        "/metadata/version",
        "/metadata/product/name",
    ];
    for path in of_all.iter().chain(required) {
        assert!(event.pointer(path).is_some(), "{path}: {event}");
    }
    assert!(event["time"].is_i64());
}
