//! `ocsf`: the Open Cybersecurity Schema Framework, version 1.8.0, without profiles.
//!
//! | the record has | the line has |
//! |---|---|
//! | `creationDate` | `time` in milliseconds; as it was written `metadata.original_time` |
//! | `summary` | `metadata.event_code`; with the affected object's name `message`; the class: see below |
//! | `author.accountId`, `author.displayName` | `actor.user.uid`, `actor.user.name`; `actor.app_name` if there is neither |
//! | `remoteAddress` | `src_endpoint.ip`, or `src_endpoint.name` if it is no IP address |
//! | `affectedObject` | `user`, `group`, `entity` or `resources`, by class |
//! | `associatedObjects` | `user`, `group`, `resources`, by class |
//! | the new or the old value of `Type`, `Permission`, `Restriction` | `privileges`, where the class has them |
//! | whatever has no field of its own | `unmapped`, in Confluence's words |
//! | all of it | `raw_data`, if it is wanted |
//! | | `metadata.uid`, `metadata.original_event_uid`: names the event among those of all sites |
//! | | `metadata.tenant_uid`, `metadata.log_source`: the site's cloud id and name; `metadata.product` |
//! | what does not fit | a base event (class 0) with `raw_data`; `status_detail`: why |
//!
//! | the summary concerns | class | activities |
//! |---|---|---|
//! | an account, and names a user | 3001 Account Change | 1 Create, 2 Enable, 5 Disable, 6 Delete, 99 Other |
//! | who is in a group that it names | 3006 Group Management | 3 Add User, 4 Remove User |
//! | a group that it names | 3006 Group Management | 5 Delete, 6 Create, 99 Other |
//! | a permission of a group | 3006 Group Management | 1 Assign Privileges, 2 Revoke Privileges |
//! | a permission of a user, and names it | 3005 User Access Management | 1 Assign Privileges, 2 Revoke Privileges |
//! | another object that it names | 3004 Entity Management | 1 Create, 2 Read, 3 Update, 4 Delete, 5 Move, 8 Enable, 9 Disable |
//! | anything else | 6003 API Activity | 1 Create, 2 Read, 3 Update, 4 Delete, 99 Other |
//!
//! API Activity wants to know where the request came from; where the record does not tell, the
//! line names the service itself, `src_endpoint.svc_name`.
//!
//! ```
//! use confluence_audit_core::RawRecord;
//! use confluence_audit_formats::{Context, ocsf};
//!
//! let record = RawRecord::parse(
//!     r#"{"author":{"displayName":"System"},"remoteAddress":"","creationDate":1643097111962,
//!         "summary":"Group created","affectedObject":{"name":"crew","objectType":"Group"}}"#,
//! )?;
//! let line = ocsf::line(&record, &Context::new("acme", "0a1b", &record));
//! let text = String::from_utf8_lossy(&line.bytes);
//! assert!(text.contains(r#""class_uid":3006,"class_name":"Group Management""#));
//! assert!(text.contains(r#""type_uid":300606"#));
//! # Ok::<(), confluence_audit_core::Error>(())
//! ```

mod class;
mod unmapped;

use std::borrow::Cow;

use confluence_audit_core::{AffectedObject, RawRecord};

use crate::context::Context;
use crate::event::Event;
use crate::json::{Json, Text};
use crate::line::Line;

use class::{API_ACTIVITY, Class, Classified};
use unmapped::Mapped;

const VERSION: &str = "1.8.0";

/// The record's line.
pub fn line(record: &RawRecord, context: &Context<'_>) -> Line {
    let text = record.as_str();
    // Twice the record, and the frame around it.
    let likely = 2 * text.len() + 2048;
    match Event::read(record) {
        Ok(event) => Line::mapped(Json::document(likely, |json| {
            write(json, &event, record, context);
            if context.original {
                json.text("raw_data", text);
            }
        })),
        Err(why) => Line::mapping_error(Json::document(likely, |json| {
            write_mapping_error(json, &why, context);
            json.text("raw_data", text);
        })),
    }
}

fn write_mapping_error(json: &mut Json, why: &str, context: &Context<'_>) {
    json.plain("time", context.time.as_millis());
    json.plain("class_uid", 0);
    json.text("class_name", "Base Event");
    json.plain("category_uid", 0);
    json.text("category_name", "Uncategorized");
    json.plain("activity_id", 0);
    json.text("activity_name", "Unknown");
    json.plain("type_uid", 0);
    json.text("type_name", "Base Event: Unknown");
    json.plain("severity_id", 0);
    json.text("severity", "Unknown");
    json.plain("status_id", 0);
    json.text("status", "Unknown");
    json.text("status_detail", why);
    json.object("metadata", |json| write_metadata(json, context));
}

fn write_metadata(json: &mut Json, context: &Context<'_>) {
    let id = context.event_id().to_string();
    json.text("version", VERSION);
    json.text("uid", &id);
    json.text("original_event_uid", &id);
    json.object("product", |json| {
        json.text("name", "Confluence");
        json.text("vendor_name", "Atlassian");
        json.text("url_string", context.url.unwrap_or_default());
    });
    json.text("log_name", "Audit log");
    json.text("log_provider", "Confluence");
    json.text("log_source", context.site);
    json.text("tenant_uid", context.site_id);
}

fn write(json: &mut Json, event: &Event<'_>, raw: &RawRecord, context: &Context<'_>) {
    let Classified {
        class,
        activity: (activity_id, activity_name),
        fields,
    } = Classified::of(event);
    let record = &event.record;
    let (status_id, status) = match event.meaning.action {
        Some(_) => (1, "Success"),
        None => (0, "Unknown"),
    };
    json.plain("time", record.creation_date.as_millis());
    json.plain("class_uid", class.uid);
    json.text("class_name", class.name);
    json.plain("category_uid", class.uid / 1000);
    json.text("category_name", class.category);
    json.plain("activity_id", activity_id);
    json.text("activity_name", activity_name);
    json.plain("type_uid", class.uid * 100 + activity_id);
    json.text("type_name", &[class.name, ": ", activity_name].concat());
    json.plain("severity_id", 1);
    json.text("severity", "Informational");
    json.plain("status_id", status_id);
    json.text("status", status);
    json.text("message", &event.headline());
    json.object("metadata", |json| {
        write_metadata(json, context);
        json.text("event_code", &record.summary);
        json.text("original_time", &original_time(raw).unwrap_or_default());
    });
    json.object("actor", |json| write_actor(json, event));
    json.object("src_endpoint", |json| write_source(json, event, class));
    let has_resources = fields.resources.is_some();
    fields.write(json);
    let mapped = Mapped {
        affected_object: record.affected_object.extra.is_empty(),
        associated_objects: has_resources
            && record.associated_objects.iter().all(is_whole_as_resource),
    };
    unmapped::write(json, raw.as_str(), mapped);
}

/// The time as the record has it: a number's digits, or what a string says.
fn original_time(raw: &RawRecord) -> Option<Cow<'_, str>> {
    let text = raw.time_text()?;
    if !text.starts_with('"') {
        return Some(text.into());
    }
    let Text(text) = serde_json::from_str(text).ok()?;
    Some(text)
}

fn write_actor(json: &mut Json, event: &Event<'_>) {
    let author = &event.record.author;
    if author.display_name.is_empty() && author.account_id.is_none() {
        json.text("app_name", "Confluence");
        return;
    }
    let (type_id, kind) = match (author.is_system(), event.record.sys_admin) {
        (true, _) => (3, "System"),
        (false, true) => (2, "Admin"),
        (false, false) => (1, "User"),
    };
    json.object("user", |json| {
        json.text("uid", author.account_id.as_deref().unwrap_or_default());
        json.text("name", &author.display_name);
        json.plain("type_id", type_id);
        json.text("type", kind);
    });
}

fn write_source(json: &mut Json, event: &Event<'_>, class: &Class) {
    match (event.address(), event.ip()) {
        (address, Some(_)) => json.text("ip", address),
        ("", None) if class.uid == API_ACTIVITY.uid => json.text("svc_name", "Confluence"),
        (address, None) => json.text("name", address),
    }
}

/// Whether nothing of the object is lost when it is written as a resource.
fn is_whole_as_resource(object: &AffectedObject<'_>) -> bool {
    !object.name.is_empty() && object.extra.is_empty()
}
