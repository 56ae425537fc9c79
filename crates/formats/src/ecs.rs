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
//! use confluence_audit_core::{AffectedObject, ChangedValue, RawRecord};
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

use confluence_audit_core::{AffectedObject, ChangedValue, RawRecord};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::event::{Event, group};
use crate::json::{Json, rfc3339};
use crate::line::Line;
use crate::meaning::{Action, Area, Meaning};

pub use template::{Engine, index_template};

/// The version that the integration names, too.
const VERSION: &str = "8.11.0";

/// The record's line.
pub fn line(record: &RawRecord, context: &Context<'_>) -> Line {
    let text = record.as_str();
    let event = Event::read(record).and_then(|event| {
        let time = rfc3339(event.record.creation_date);
        let time = time.ok_or("its time is beyond the calendar")?;
        Ok((event, time))
    });
    match event {
        Ok((event, time)) => {
            let original = if context.original { text } else { "" };
            Line::mapped(mapped(&event, &time, original, context))
        }
        Err(why) => Line::mapping_error(mapping_error(text, &why, context)),
    }
}

fn mapping_error(original: &str, why: &str, context: &Context<'_>) -> String {
    // A data stream takes nothing without a time.
    let time = rfc3339(context.time).unwrap_or_else(|| "1970-01-01T00:00:00.000Z".to_owned());
    Json::document(2 * original.len() + FRAME, |json| {
        json.text("@timestamp", &time);
        json.object("ecs", |json| json.text("version", VERSION));
        json.object("event", |json| {
            json.text("id", &context.event_id().to_string());
            json.text("kind", "pipeline_error");
            write_source(json);
            json.text("original", original);
        });
        json.object("error", |json| json.text("message", why));
        write_site(json, context);
    })
}

/// How long a line is, likely, beyond twice the record.
const FRAME: usize = 1024;

fn mapped(event: &Event<'_>, time: &str, original: &str, context: &Context<'_>) -> String {
    let record = &event.record;
    let Classes {
        category,
        kind,
        outcome,
    } = Classes::of(event.meaning);
    let address = event.address();
    let ip = event.ip().map_or("", |_| address);
    let target = Target::of(event);
    Json::document(2 * original.len() + FRAME, |json| {
        json.text("@timestamp", time);
        json.object("ecs", |json| json.text("version", VERSION));
        json.text("message", &event.headline());
        json.object("event", |json| {
            json.text("id", &context.event_id().to_string());
            json.text("kind", "event");
            json.text("action", &record.summary);
            json.texts("category", category.iter().copied());
            json.texts("type", kind.into_iter().flatten());
            json.text("outcome", outcome.unwrap_or_default());
            write_source(json);
            json.text("original", original);
        });
        json.object("user", |json| {
            json.text(
                "id",
                record.author.account_id.as_deref().unwrap_or_default(),
            );
            json.text("full_name", &record.author.display_name);
            target.write(json);
        });
        if event.meaning.area == Some(Area::Group) {
            write_group(json, event);
        }
        json.object("source", |json| {
            json.text("address", address);
            json.text("ip", ip);
        });
        json.object("related", |json| {
            json.texts("ip", [ip]);
            json.texts("user", related_users(event, &target));
        });
        write_site(json, context);
        json.object("confluence", |json| {
            json.object("audit", |json| write_audit(json, event));
        });
    })
}

fn write_source(json: &mut Json) {
    json.text("module", "atlassian_confluence");
    json.text("dataset", "atlassian_confluence.audit");
}

fn write_site(json: &mut Json, context: &Context<'_>) {
    json.object("cloud", |json| {
        json.object("account", |json| {
            json.text("id", context.site_id);
            json.text("name", context.site);
        });
    });
    json.object("service", |json| {
        json.text("address", context.url.unwrap_or_default());
    });
}

/// What has no field in the schema itself.
fn write_audit(json: &mut Json, event: &Event<'_>) {
    let record = &event.record;
    json.object("type", |json| {
        json.text("category", &record.category);
        json.text("action", &record.summary);
    });
    json.text("description", &record.description);
    if let Some(external) = record.author.external_collaborator {
        json.plain("external_collaborator", external);
    }
    json.plain("sys_admin", record.sys_admin);
    if let Some(is_super) = record.super_admin {
        json.plain("super_admin", is_super);
    }
    json.list("affected_objects", |json| {
        for object in event.objects() {
            json.element(|json| write_object(json, object));
        }
    });
    json.list("changed_values", |json| {
        for change in &record.changed_values {
            json.element(|json| write_change(json, change));
        }
    });
}

/// How ECS classes an event.
struct Classes {
    category: &'static [&'static str],
    kind: [Option<&'static str>; 2],
    outcome: Option<&'static str>,
}

impl Classes {
    fn of(Meaning { area, action }: Meaning) -> Self {
        let category: &[&str] = match area {
            Some(Area::Account | Area::Group | Area::Membership) => &["iam"],
            Some(Area::Permission) => &["iam", "configuration"],
            Some(Area::Settings | Area::Space | Area::Content) => &["configuration"],
            None => &[],
        };
        let is_setup = matches!(area, Some(Area::Settings | Area::Space | Area::Content));
        let done = match action {
            // A group changes when someone joins it.
            Some(_) if area == Some(Area::Membership) => "change",
            Some(Action::Create) => "creation",
            Some(Action::Delete) => "deletion",
            Some(Action::Change | Action::Move | Action::Enable | Action::Disable) => "change",
            // Of the categories that are used only `configuration` alone has it.
            Some(Action::Read) if is_setup => "access",
            Some(Action::Read) | None => "info",
        };
        let on_what = match area {
            Some(Area::Account) => Some("user"),
            Some(Area::Group | Area::Membership) => Some("group"),
            _ => None,
        };
        Self {
            category,
            kind: [on_what, Some(done)],
            // The log tells what was done; what was refused does not get there.
            outcome: action.map(|_| "success"),
        }
    }
}

/// To whom it was done. What is empty is not known.
#[derive(Default)]
struct Target<'a> {
    full_name: &'a str,
    name: &'a str,
    email: &'a str,
    group: Option<&'a str>,
    changes: Changes<'a>,
}

/// What is new about a user.
#[derive(Default)]
struct Changes<'a> {
    full_name: &'a str,
    name: &'a str,
    email: &'a str,
}

impl<'a> Target<'a> {
    fn of(event: &'a Event<'_>) -> Self {
        let user = event.object("User").map_or("", |object| &object.name);
        match event.meaning.area {
            Some(Area::Account) => {
                let change = |shown| event.change(shown).map(before_and_now).unwrap_or_default();
                let (full_name, new_full_name) = change("Display name");
                let (name, new_name) = change("Username");
                let (email, new_email) = change("Email");
                Self {
                    full_name: if full_name.is_empty() {
                        user
                    } else {
                        full_name
                    },
                    name,
                    email,
                    group: None,
                    changes: Changes {
                        full_name: new_full_name,
                        name: new_name,
                        email: new_email,
                    },
                }
            }
            Some(Area::Membership) => Self {
                name: user,
                group: event.object("Group").map(|object| &*object.name),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    fn write(&self, json: &mut Json) {
        json.object("target", |json| {
            json.text("full_name", self.full_name);
            json.text("name", self.name);
            json.text("email", self.email);
            write_group_of(json, self.group);
        });
        json.object("changes", |json| {
            json.text("full_name", self.changes.full_name);
            json.text("name", self.changes.name);
            json.text("email", self.changes.email);
        });
    }
}

/// Whom it was done to is named as before it was done.
fn before_and_now<'a>(change: &'a ChangedValue<'_>) -> (&'a str, &'a str) {
    let before = [&*change.old_value, &*change.new_value];
    let before = before.into_iter().find(|name| !name.is_empty());
    (before.unwrap_or_default(), &change.new_value)
}

fn write_group(json: &mut Json, event: &Event<'_>) {
    write_group_of(json, event.object("Group").map(|object| &*object.name));
}

fn write_group_of(json: &mut Json, object: Option<&str>) {
    json.object("group", |json| {
        let (name, id) = group(object.unwrap_or_default());
        json.text("name", name);
        json.text("id", id.unwrap_or_default());
    });
}

/// Every name of a user that the line has, once.
fn related_users<'a>(event: &'a Event<'_>, target: &Target<'a>) -> impl Iterator<Item = &'a str> {
    let author = &event.record.author;
    let names = [
        author.account_id.as_deref().unwrap_or_default(),
        &author.display_name,
        target.name,
        target.full_name,
        target.email,
        target.changes.name,
        target.changes.full_name,
        target.changes.email,
    ];
    let once = move |index: usize| !names[..index].contains(&names[index]);
    let indices = (0..names.len()).filter(move |index| once(*index));
    indices.map(move |index| names[index])
}

fn write_object(json: &mut Json, object: &AffectedObject<'_>) {
    let fixed = [("name", &*object.name), ("type", &*object.object_type)];
    write_over(json, &object.extra, &fixed);
}

fn write_change(json: &mut Json, change: &ChangedValue<'_>) {
    let fixed = [
        ("key", &*change.name),
        ("i18nKey", &*change.name),
        ("from", &*change.old_value),
        ("to", &*change.new_value),
        (
            "hiddenOldValue",
            change.hidden_old_value.as_deref().unwrap_or_default(),
        ),
        (
            "hiddenNewValue",
            change.hidden_new_value.as_deref().unwrap_or_default(),
        ),
    ];
    write_over(json, &change.extra, &fixed);
}

/// Writes `extra`, then the members of `fixed`; one that `extra` has too stands in its place there.
fn write_over(json: &mut Json, extra: &Map<String, Value>, fixed: &[(&str, &str)]) {
    for (key, value) in extra {
        match fixed.iter().find(|(name, _)| name == key) {
            Some((name, text)) => json.text(name, text),
            None => json.value(key, value),
        }
    }
    for (key, text) in fixed {
        if extra.is_empty() || !extra.contains_key(*key) {
            json.text(key, text);
        }
    }
}
