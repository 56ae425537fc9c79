//! `ecs`: the Elastic Common Schema, version 8.11, as Elastic's own integration
//! `atlassian_confluence` maps Confluence Cloud, and more where that leaves a field out.
//!
//! | the record has | the line has |
//! |---|---|
//! | `creationDate` | `@timestamp` |
//! | `summary` | `event.action`, `confluence.audit.type.action`; with the affected object's name `message` |
//! | `summary`, as far as it is known | `event.category`, `event.type`, `event.outcome`: see below |
//! | `category` | `confluence.audit.type.category` |
//! | `author.accountId`, `author.displayName` | `user.id`, `user.full_name`, `related.user` |
//! | `author.externalCollaborator` | `confluence.audit.external_collaborator` |
//! | `remoteAddress` | `source.address`; `source.ip` and `related.ip` if it is an IP address |
//! | `associatedObjects`, `affectedObject` | `confluence.audit.affected_objects` {`name`, `type`} |
//! | `changedValues` | `confluence.audit.changed_values` {`key`, `i18nKey`, `from`, `to`} |
//! | `description`, `sysAdmin`, `superAdmin` | `confluence.audit.description`, `.sys_admin`, `.super_admin` |
//! | the group, where a group is created or deleted | `group.name`, `group.id` |
//! | user and group, where a user joins or leaves a group | `user.target.name`, `user.target.group.name`, `.id`; `related.user` |
//! | the user, where an account is created or changes | `user.target.full_name`, `.name`, `.email`; `user.changes.full_name`, `.name`, `.email`; `related.user` |
//! | all of it | `event.original`, if it is wanted |
//! | | `event.id`; `event.kind` `event`, `event.module`, `event.dataset`, `ecs.version` |
//! | | `cloud.account.id`, `cloud.account.name`, `service.address`: the site |
//! | what does not fit | `event.original`; `event.kind` `pipeline_error`, `error.message`: why |
//!
//! Empty values are left out at every depth. `event.created` and `event.ingested` are too: they
//! would not be the same in a line that is written again; Elasticsearch sets the latter itself.
//!
//! | the summary concerns | `event.category` | `event.type` |
//! |---|---|---|
//! | an account | `iam` | `user` and `creation`, `change` or `deletion` |
//! | a group; who is in it | `iam` | `group` and `creation` or `deletion`; `change` |
//! | a permission or a restriction | `iam`, `configuration` | `creation`, `change` or `deletion` |
//! | settings, spaces, pages | `configuration` | `creation`, `change`, `deletion` or `access` |
//! | something that is not known | | `info` |
//!
//! ```
//! use confluence_audit_core::RawRecord;
//! use confluence_audit_formats::{Context, ecs};
//!
//! let record = RawRecord::parse(
//!     r#"{"author":{"displayName":"System"},"remoteAddress":"","creationDate":1643097111962,
//!         "summary":"Group created","affectedObject":{"name":"crew","objectType":"Group"}}"#,
//! )?;
//! let line = ecs::line(&record, &Context::new("acme", "0a1b", &record));
//! let text = String::from_utf8_lossy(&line.bytes);
//! assert!(text.starts_with(r#"{"@timestamp":"2022-01-25T07:51:51.962Z","#));
//! assert!(text.contains(r#""category":["iam"],"type":["group","creation"],"outcome":"success""#));
//! assert!(!text.contains("source"));
//! # Ok::<(), confluence_audit_core::Error>(())
//! ```

mod template;

use confluence_audit_core::{AuditRecord, RawRecord};
use serde_json::{Map, Value, json};

use crate::event::{Event, group};
use crate::json::{prune, rfc3339, to_line};
use crate::meaning::{Area, Deed, Meaning};
use crate::{Context, Line};

pub use template::{Engine, index_template};

/// The version that the integration names, too.
const VERSION: &str = "8.11.0";

/// The record's line.
pub fn line(record: &RawRecord, context: &Context<'_>) -> Line {
    let event = Event::read(record).and_then(|event| {
        let time = rfc3339(event.record.creation_date);
        let time = time.ok_or("its time is beyond the calendar")?;
        Ok((event, time))
    });
    match event {
        Ok((event, time)) => {
            let mut document = document(&event, &time, context);
            if context.original {
                document["event"]["original"] = record.as_str().into();
            }
            prune(&mut document);
            Line::fitting(to_line(&document))
        }
        Err(why) => Line::unfit(to_line(&unfit(record, &why, context))),
    }
}

fn unfit(record: &RawRecord, why: &str, context: &Context<'_>) -> Value {
    // A data stream takes nothing without a time.
    let time = rfc3339(context.time).unwrap_or_else(|| "1970-01-01T00:00:00.000Z".to_owned());
    let mut document = json!({
        "@timestamp": time,
        "ecs": {"version": VERSION},
        "event": {
            "id": context.event_id().to_string(),
            "kind": "pipeline_error",
            "module": "atlassian_confluence",
            "dataset": "atlassian_confluence.audit",
            "original": record.as_str(),
        },
        "error": {"message": why},
        "cloud": {"account": {"id": context.site_id, "name": context.site}},
        "service": {"address": context.url},
    });
    prune(&mut document);
    document
}

fn document(event: &Event, time: &str, context: &Context<'_>) -> Value {
    let record = &event.record;
    let Classes {
        category,
        kind,
        outcome,
    } = Classes::of(event.meaning);
    let ip = event.ip().map(|_| event.address());
    let user = user(event);
    let related = related_users(&user);
    json!({
        "@timestamp": time,
        "ecs": {"version": VERSION},
        "message": event.headline(),
        "event": {
            "id": context.event_id().to_string(),
            "kind": "event",
            "action": record.summary,
            "category": category,
            "type": kind,
            "outcome": outcome,
            "module": "atlassian_confluence",
            "dataset": "atlassian_confluence.audit",
        },
        "user": user,
        "group": group_made(event),
        "source": {"address": event.address(), "ip": ip},
        "related": {"ip": [ip], "user": related},
        "cloud": {"account": {"id": context.site_id, "name": context.site}},
        "service": {"address": context.url},
        "confluence": {"audit": {
            "type": {"category": record.category, "action": record.summary},
            "description": record.description,
            "external_collaborator": record.author.external_collaborator,
            "sys_admin": record.sys_admin,
            "super_admin": record.super_admin,
            "affected_objects": affected_objects(event),
            "changed_values": changed_values(record),
        }},
    })
}

/// How ECS classes an event.
struct Classes {
    category: &'static [&'static str],
    kind: Vec<&'static str>,
    outcome: Option<&'static str>,
}

impl Classes {
    fn of(Meaning { area, deed }: Meaning) -> Self {
        let category: &[&str] = match area {
            Some(Area::Account | Area::Group | Area::Membership) => &["iam"],
            Some(Area::Permission) => &["iam", "configuration"],
            Some(Area::Settings | Area::Space | Area::Content) => &["configuration"],
            None => &[],
        };
        let is_setup = matches!(area, Some(Area::Settings | Area::Space | Area::Content));
        let done = match deed {
            // A group changes when someone joins it.
            Some(_) if area == Some(Area::Membership) => "change",
            Some(Deed::Create) => "creation",
            Some(Deed::Delete) => "deletion",
            Some(Deed::Change | Deed::Move | Deed::Enable | Deed::Disable) => "change",
            // Of the categories that are used only `configuration` alone has it.
            Some(Deed::Read) if is_setup => "access",
            Some(Deed::Read) | None => "info",
        };
        let on_what = match area {
            Some(Area::Account) => Some("user"),
            Some(Area::Group | Area::Membership) => Some("group"),
            _ => None,
        };
        Self {
            category,
            kind: on_what.into_iter().chain([done]).collect(),
            // The log tells what was done; what was refused does not get there.
            outcome: deed.map(|_| "success"),
        }
    }
}

/// Who did it, and to whom.
fn user(event: &Event) -> Value {
    let author = &event.record.author;
    let mut user = json!({"id": author.account_id, "full_name": author.display_name});
    match event.meaning.area {
        Some(Area::Account) => {
            let mut target = Map::new();
            let mut changes = Map::new();
            if let Some(object) = event.object("User") {
                target.insert("full_name".to_owned(), object.name.as_str().into());
            }
            for (shown, field) in [
                ("Display name", "full_name"),
                ("Username", "name"),
                ("Email", "email"),
            ] {
                let Some(change) = event.change(shown) else {
                    continue;
                };
                // Whom it was done to is named as before it was done.
                let before = [&change.old_value, &change.new_value];
                if let Some(name) = before.into_iter().find(|name| !name.is_empty()) {
                    target.insert(field.to_owned(), name.as_str().into());
                }
                changes.insert(field.to_owned(), change.new_value.as_str().into());
            }
            user["target"] = target.into();
            user["changes"] = changes.into();
        }
        Some(Area::Membership) => {
            let name = event.object("User").map(|object| object.name.as_str());
            user["target"] = json!({"name": name, "group": group_of(event)});
        }
        _ => {}
    }
    user
}

fn group_made(event: &Event) -> Value {
    match event.meaning.area {
        Some(Area::Group) => group_of(event),
        _ => Value::Null,
    }
}

fn group_of(event: &Event) -> Value {
    let Some(object) = event.object("Group") else {
        return Value::Null;
    };
    let (name, id) = group(&object.name);
    json!({"name": name, "id": id})
}

/// Every name of a user in `user`, once.
fn related_users(user: &Value) -> Vec<&str> {
    let mut names = Vec::new();
    for path in [
        "/id",
        "/full_name",
        "/target/name",
        "/target/full_name",
        "/target/email",
        "/changes/name",
        "/changes/full_name",
        "/changes/email",
    ] {
        if let Some(name) = user.pointer(path).and_then(Value::as_str)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

fn affected_objects(event: &Event) -> Vec<Value> {
    let written = event.objects().map(|object| {
        let mut written = object.extra.clone();
        written.insert("name".to_owned(), object.name.as_str().into());
        written.insert("type".to_owned(), object.object_type.as_str().into());
        written.into()
    });
    written.collect()
}

fn changed_values(record: &AuditRecord) -> Vec<Value> {
    let written = record.changed_values.iter().map(|change| {
        let mut written = change.extra.clone();
        for (key, value) in [
            ("key", Some(&change.name)),
            ("i18nKey", Some(&change.name)),
            ("from", Some(&change.old_value)),
            ("to", Some(&change.new_value)),
            ("hiddenOldValue", change.hidden_old_value.as_ref()),
            ("hiddenNewValue", change.hidden_new_value.as_ref()),
        ] {
            written.insert(key.to_owned(), value.map(String::as_str).into());
        }
        written.into()
    });
    written.collect()
}
