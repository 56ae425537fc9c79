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

mod unmapped;

use confluence_audit_core::RawRecord;
use serde_json::Value;

use crate::event::{Event, group};
use crate::json::Json;
use crate::meaning::{Area, Deed, Meaning};
use crate::view::Object;
use crate::{Context, Line};

use unmapped::Mapped;

const VERSION: &str = "1.8.0";

/// The record's line.
pub fn line(record: &RawRecord, context: &Context<'_>) -> Line {
    let text = record.as_str();
    // Twice the record, and the frame around it.
    let likely = 2 * text.len() + 2048;
    match Event::read(record, text) {
        Ok(event) => Line::fitting(Json::document(likely, |json| {
            write(json, &event, text, context);
            if context.original {
                json.text("raw_data", text);
            }
        })),
        Err(why) => Line::unfit(Json::document(likely, |json| {
            write_unfit(json, &why, context);
            json.text("raw_data", text);
        })),
    }
}

fn write_unfit(json: &mut Json, why: &str, context: &Context<'_>) {
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

/// `text` is the record's own.
fn write(json: &mut Json, event: &Event<'_>, text: &str, context: &Context<'_>) {
    let Classified {
        class,
        activity: (activity_id, activity_name),
        fields,
    } = Classified::of(event);
    let record = &event.record;
    let (status_id, status) = match event.meaning.deed {
        Some(_) => (1, "Success"),
        None => (0, "Unknown"),
    };
    json.plain("time", record.time().as_millis());
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
        match record.creation_date.as_ref().map(|date| &date.written) {
            Some(Value::String(text)) => json.text("original_time", text),
            Some(time) => json.text("original_time", &time.to_string()),
            None => {}
        }
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
    unmapped::write(json, text, event.doubled.as_ref(), mapped);
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
        json.text("uid", author.account_id.as_ref().map_or("", |id| id));
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

struct Class {
    uid: u32,
    name: &'static str,
    category: &'static str,
}

const IAM: &str = "Identity & Access Management";
const ACCOUNT_CHANGE: Class = Class {
    uid: 3001,
    name: "Account Change",
    category: IAM,
};
const ENTITY_MANAGEMENT: Class = Class {
    uid: 3004,
    name: "Entity Management",
    category: IAM,
};
const USER_ACCESS: Class = Class {
    uid: 3005,
    name: "User Access Management",
    category: IAM,
};
const GROUP_MANAGEMENT: Class = Class {
    uid: 3006,
    name: "Group Management",
    category: IAM,
};
const API_ACTIVITY: Class = Class {
    uid: 6003,
    name: "API Activity",
    category: "Application Activity",
};

/// An event's class and activity, and the fields that only this class has.
struct Classified<'a> {
    class: &'static Class,
    activity: (u32, &'a str),
    fields: Fields<'a>,
}

/// The fields that only some classes have.
#[derive(Default)]
struct Fields<'a> {
    /// Its type in numbers, and itself.
    entity: Option<(u32, &'a Object<'a>)>,
    operation: Option<&'a str>,
    group: Option<&'a Object<'a>>,
    user: Option<&'a Object<'a>>,
    privileges: Vec<&'a str>,
    resources: Option<Vec<&'a Object<'a>>>,
}

impl Fields<'_> {
    fn write(&self, json: &mut Json) {
        if let Some((type_id, entity)) = self.entity {
            json.object("entity", |json| {
                json.text("name", &entity.name);
                json.plain("type_id", type_id);
                json.text("type", &entity.kind);
            });
        }
        json.object("api", |json| {
            json.text("operation", self.operation.unwrap_or_default());
        });
        if let Some(object) = self.group {
            let (name, id) = group(&object.name);
            json.object("group", |json| {
                json.text("name", name);
                json.text("uid", id.unwrap_or_default());
            });
        }
        json.object("user", |json| {
            json.text("name", self.user.map_or("", |user| &user.name));
        });
        json.texts("privileges", self.privileges.iter().copied());
        json.list("resources", |json| {
            for object in self.resources.iter().flatten() {
                json.element(|json| {
                    json.text("name", &object.name);
                    json.text("type", &object.kind);
                });
            }
        });
    }
}

impl<'a> Classified<'a> {
    fn of(event: &'a Event<'a>) -> Self {
        let Meaning { area, deed } = event.meaning;
        let specific = match (area, deed) {
            (Some(Area::Account), Some(deed)) => Self::account(event, deed),
            (Some(Area::Group), Some(deed)) => Self::group(event, deed),
            (Some(Area::Membership), Some(deed)) => Self::membership(event, deed),
            (Some(Area::Permission), Some(deed)) => Self::permission(event, deed),
            _ => None,
        };
        let entity = || match (area, deed) {
            (Some(area), Some(deed)) => Self::entity(event, area, deed),
            _ => None,
        };
        specific
            .or_else(entity)
            .unwrap_or_else(|| Self::api(event, deed))
    }

    fn new(class: &'static Class, activity: (u32, &'a str), fields: Fields<'a>) -> Self {
        Self {
            class,
            activity,
            fields,
        }
    }

    fn account(event: &'a Event<'a>, deed: Deed) -> Option<Self> {
        let user = event.object("User")?;
        let activity = match deed {
            Deed::Create => (1, "Create"),
            Deed::Enable => (2, "Enable"),
            Deed::Disable => (5, "Disable"),
            Deed::Delete => (6, "Delete"),
            Deed::Read | Deed::Change | Deed::Move => other(event),
        };
        let fields = Fields {
            user: Some(user),
            ..Fields::default()
        };
        Some(Self::new(&ACCOUNT_CHANGE, activity, fields))
    }

    fn group(event: &'a Event<'a>, deed: Deed) -> Option<Self> {
        let group = event.object("Group")?;
        let activity = match deed {
            Deed::Delete => (5, "Delete"),
            Deed::Create => (6, "Create"),
            _ => other(event),
        };
        let fields = Fields {
            group: Some(group),
            ..Fields::default()
        };
        Some(Self::new(&GROUP_MANAGEMENT, activity, fields))
    }

    fn membership(event: &'a Event<'a>, deed: Deed) -> Option<Self> {
        let group = event.object("Group")?;
        let activity = match deed {
            Deed::Create => (3, "Add User"),
            Deed::Delete => (4, "Remove User"),
            _ => other(event),
        };
        let fields = Fields {
            group: Some(group),
            user: event.object("User"),
            ..Fields::default()
        };
        Some(Self::new(&GROUP_MANAGEMENT, activity, fields))
    }

    fn permission(event: &'a Event<'a>, deed: Deed) -> Option<Self> {
        let activity = match deed {
            Deed::Create => (1, "Assign Privileges"),
            Deed::Delete => (2, "Revoke Privileges"),
            _ => return None,
        };
        let affected = &event.record.affected_object;
        let privileges = privileges(event, deed);
        if affected.name.is_empty() {
            return None;
        }
        match &*affected.kind {
            "Group" => {
                let fields = Fields {
                    group: Some(affected),
                    privileges,
                    ..Fields::default()
                };
                Some(Self::new(&GROUP_MANAGEMENT, activity, fields))
            }
            // This class is nothing without them.
            "User" if !privileges.is_empty() => {
                let associated = event.record.associated_objects.iter();
                let fields = Fields {
                    user: Some(affected),
                    privileges,
                    resources: Some(associated.filter(|object| is_named(object)).collect()),
                    ..Fields::default()
                };
                Some(Self::new(&USER_ACCESS, activity, fields))
            }
            _ => None,
        }
    }

    fn entity(event: &'a Event<'a>, area: Area, deed: Deed) -> Option<Self> {
        let object = &event.record.affected_object;
        if object.name.is_empty() {
            return None;
        }
        // What is given, taken or set is about the object; the object itself stays.
        let is_about = matches!(area, Area::Membership | Area::Permission | Area::Settings);
        let activity = match deed {
            Deed::Read => (2, "Read"),
            _ if is_about => (3, "Update"),
            Deed::Create => (1, "Create"),
            Deed::Change => (3, "Update"),
            Deed::Delete => (4, "Delete"),
            Deed::Move => (5, "Move"),
            Deed::Enable => (8, "Enable"),
            Deed::Disable => (9, "Disable"),
        };
        let type_id = match &*object.kind {
            "" => 0,
            "User" => 2,
            "Group" => 3,
            _ => 99,
        };
        let fields = Fields {
            entity: Some((type_id, object)),
            ..Fields::default()
        };
        Some(Self::new(&ENTITY_MANAGEMENT, activity, fields))
    }

    fn api(event: &'a Event<'a>, deed: Option<Deed>) -> Self {
        let activity = match deed {
            Some(Deed::Create) => (1, "Create"),
            Some(Deed::Read) => (2, "Read"),
            Some(Deed::Change | Deed::Move | Deed::Enable | Deed::Disable) => (3, "Update"),
            Some(Deed::Delete) => (4, "Delete"),
            None => other(event),
        };
        let (_, operation) = other(event);
        let fields = Fields {
            operation: Some(operation),
            resources: Some(event.objects().filter(|object| is_named(object)).collect()),
            ..Fields::default()
        };
        Self::new(&API_ACTIVITY, activity, fields)
    }
}

/// An activity that the class has no number for, in Confluence's words.
fn other<'a>(event: &'a Event<'_>) -> (u32, &'a str) {
    match event.record.summary.trim() {
        "" => (99, "Other"),
        summary => (99, summary),
    }
}

/// Whether it can be a resource.
fn is_named(object: &Object<'_>) -> bool {
    !object.name.is_empty()
}

/// Whether nothing of the object is lost when it is written as a resource.
fn is_whole_as_resource(object: &Object<'_>) -> bool {
    !object.name.is_empty() && object.extra.is_empty()
}

/// What was given or taken.
fn privileges<'a>(event: &'a Event<'_>, deed: Deed) -> Vec<&'a str> {
    let changes = ["Type", "Permission", "Restriction"];
    let changes = changes.iter().filter_map(|name| event.change(name));
    let values = changes.map(|change| {
        let taken = deed == Deed::Delete && !change.old_value.is_empty();
        if taken {
            &*change.old_value
        } else {
            &*change.new_value
        }
    });
    values.filter(|value| !value.is_empty()).collect()
}
