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

use confluence_audit_core::{AffectedObject, RawRecord};
use serde_json::{Map, Value, json};

use crate::event::{Event, group};
use crate::json::{prune, to_line};
use crate::meaning::{Area, Deed, Meaning};
use crate::{Context, Line};

const VERSION: &str = "1.8.0";

/// The record's line.
pub fn line(record: &RawRecord, context: &Context<'_>) -> Line {
    let event = Event::read(record).and_then(|event| {
        let rest = record.decode().map_err(|error| error.to_string())?;
        Ok((event, rest))
    });
    let (mut document, fits) = match event {
        Ok((event, rest)) => (document(&event, rest, context), true),
        Err(why) => (unfit(&why, context), false),
    };
    if context.original || !fits {
        document["raw_data"] = record.as_str().into();
    }
    prune(&mut document);
    let line = to_line(&document);
    if fits {
        Line::fitting(line)
    } else {
        Line::unfit(line)
    }
}

fn unfit(why: &str, context: &Context<'_>) -> Value {
    json!({
        "time": context.time.as_millis(),
        "class_uid": 0, "class_name": "Base Event",
        "category_uid": 0, "category_name": "Uncategorized",
        "activity_id": 0, "activity_name": "Unknown",
        "type_uid": 0, "type_name": "Base Event: Unknown",
        "severity_id": 0, "severity": "Unknown",
        "status_id": 0, "status": "Unknown", "status_detail": why,
        "metadata": metadata(context),
    })
}

fn metadata(context: &Context<'_>) -> Value {
    let id = context.event_id().to_string();
    json!({
        "version": VERSION,
        "uid": id,
        "original_event_uid": id,
        "product": {"name": "Confluence", "vendor_name": "Atlassian", "url_string": context.url},
        "log_name": "Audit log",
        "log_provider": "Confluence",
        "log_source": context.site,
        "tenant_uid": context.site_id,
    })
}

/// `rest` is the whole record, from which is taken what has a field of its own.
fn document(event: &Event, mut rest: Map<String, Value>, context: &Context<'_>) -> Value {
    let Classified {
        class,
        activity: (activity_id, activity_name),
        fields,
    } = Classified::of(event);
    let record = &event.record;
    let mut metadata = metadata(context);
    metadata["event_code"] = record.summary.as_str().into();
    metadata["original_time"] = match rest.shift_remove("creationDate") {
        Some(Value::String(text)) => text.into(),
        time => time.map(|time| time.to_string()).into(),
    };
    let (status_id, status) = match event.meaning.deed {
        Some(_) => (1, "Success"),
        None => (0, "Unknown"),
    };
    let mut document = json!({
        "time": record.creation_date.as_millis(),
        "class_uid": class.uid, "class_name": class.name,
        "category_uid": class.uid / 1000, "category_name": class.category,
        "activity_id": activity_id, "activity_name": activity_name,
        "type_uid": class.uid * 100 + activity_id,
        "type_name": format!("{}: {activity_name}", class.name),
        "severity_id": 1, "severity": "Informational",
        "status_id": status_id, "status": status,
        "message": event.headline(),
        "metadata": metadata,
        "actor": actor(event),
        "src_endpoint": src_endpoint(event, class),
    });
    let has_resources = fields.get("resources").is_some();
    if let (Value::Object(members), Value::Object(fields)) = (&mut document, fields) {
        members.extend(fields);
    }
    for mapped in ["summary", "remoteAddress"] {
        rest.shift_remove(mapped);
    }
    if record.affected_object.extra.is_empty() {
        rest.shift_remove("affectedObject");
    }
    if has_resources && record.associated_objects.iter().all(is_whole_as_resource) {
        rest.shift_remove("associatedObjects");
    }
    if let Some(Value::Object(author)) = rest.get_mut("author") {
        author.shift_remove("accountId");
        author.shift_remove("displayName");
    }
    document["unmapped"] = rest.into();
    document
}

fn actor(event: &Event) -> Value {
    let author = &event.record.author;
    if author.display_name.is_empty() && author.account_id.is_none() {
        return json!({"app_name": "Confluence"});
    }
    let (type_id, kind) = match (author.is_system(), event.record.sys_admin) {
        (true, _) => (3, "System"),
        (false, true) => (2, "Admin"),
        (false, false) => (1, "User"),
    };
    json!({"user": {
        "uid": author.account_id, "name": author.display_name, "type_id": type_id, "type": kind,
    }})
}

fn src_endpoint(event: &Event, class: &Class) -> Value {
    match (event.address(), event.ip()) {
        (address, Some(_)) => json!({"ip": address}),
        ("", None) if class.uid == API_ACTIVITY.uid => json!({"svc_name": "Confluence"}),
        (address, None) => json!({"name": address}),
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
    fields: Value,
}

impl<'a> Classified<'a> {
    fn of(event: &'a Event) -> Self {
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

    fn new(class: &'static Class, activity: (u32, &'a str), fields: Value) -> Self {
        Self {
            class,
            activity,
            fields,
        }
    }

    fn account(event: &'a Event, deed: Deed) -> Option<Self> {
        let user = event.object("User")?;
        let activity = match deed {
            Deed::Create => (1, "Create"),
            Deed::Enable => (2, "Enable"),
            Deed::Disable => (5, "Disable"),
            Deed::Delete => (6, "Delete"),
            Deed::Read | Deed::Change | Deed::Move => other(event),
        };
        let fields = json!({"user": {"name": user.name}});
        Some(Self::new(&ACCOUNT_CHANGE, activity, fields))
    }

    fn group(event: &'a Event, deed: Deed) -> Option<Self> {
        let group = event.object("Group")?;
        let activity = match deed {
            Deed::Delete => (5, "Delete"),
            Deed::Create => (6, "Create"),
            _ => other(event),
        };
        let fields = json!({"group": group_object(group)});
        Some(Self::new(&GROUP_MANAGEMENT, activity, fields))
    }

    fn membership(event: &'a Event, deed: Deed) -> Option<Self> {
        let group = event.object("Group")?;
        let activity = match deed {
            Deed::Create => (3, "Add User"),
            Deed::Delete => (4, "Remove User"),
            _ => other(event),
        };
        let user = event.object("User").map(|user| user.name.as_str());
        let fields = json!({"group": group_object(group), "user": {"name": user}});
        Some(Self::new(&GROUP_MANAGEMENT, activity, fields))
    }

    fn permission(event: &'a Event, deed: Deed) -> Option<Self> {
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
        match affected.object_type.as_str() {
            "Group" => {
                let group = group_object(affected);
                let fields = json!({"group": group, "privileges": privileges});
                Some(Self::new(&GROUP_MANAGEMENT, activity, fields))
            }
            // This class is nothing without them.
            "User" if !privileges.is_empty() => {
                let associated = event.record.associated_objects.iter();
                let resources: Vec<Value> = associated.filter_map(resource).collect();
                let user = json!({"name": affected.name});
                let fields =
                    json!({"user": user, "privileges": privileges, "resources": resources});
                Some(Self::new(&USER_ACCESS, activity, fields))
            }
            _ => None,
        }
    }

    fn entity(event: &'a Event, area: Area, deed: Deed) -> Option<Self> {
        let AffectedObject {
            name, object_type, ..
        } = &event.record.affected_object;
        if name.is_empty() {
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
        let type_id = match object_type.as_str() {
            "" => 0,
            "User" => 2,
            "Group" => 3,
            _ => 99,
        };
        let entity = json!({"name": name, "type_id": type_id, "type": object_type});
        let fields = json!({"entity": entity});
        Some(Self::new(&ENTITY_MANAGEMENT, activity, fields))
    }

    fn api(event: &'a Event, deed: Option<Deed>) -> Self {
        let activity = match deed {
            Some(Deed::Create) => (1, "Create"),
            Some(Deed::Read) => (2, "Read"),
            Some(Deed::Change | Deed::Move | Deed::Enable | Deed::Disable) => (3, "Update"),
            Some(Deed::Delete) => (4, "Delete"),
            None => other(event),
        };
        let resources: Vec<Value> = event.objects().filter_map(resource).collect();
        let (_, operation) = other(event);
        let fields = json!({"api": {"operation": operation}, "resources": resources});
        Self::new(&API_ACTIVITY, activity, fields)
    }
}

/// An activity that the class has no number for, in Confluence's words.
fn other(event: &Event) -> (u32, &str) {
    match event.record.summary.trim() {
        "" => (99, "Other"),
        summary => (99, summary),
    }
}

fn group_object(object: &AffectedObject) -> Value {
    let (name, id) = group(&object.name);
    json!({"name": name, "uid": id})
}

fn resource(object: &AffectedObject) -> Option<Value> {
    let named = !object.name.is_empty();
    named.then(|| json!({"name": object.name, "type": object.object_type}))
}

/// Whether nothing of the object is lost when it is written as a resource.
fn is_whole_as_resource(object: &AffectedObject) -> bool {
    !object.name.is_empty() && object.extra.is_empty()
}

/// What was given or taken.
fn privileges(event: &Event, deed: Deed) -> Vec<&str> {
    let changes = ["Type", "Permission", "Restriction"];
    let changes = changes.iter().filter_map(|name| event.change(name));
    let values = changes.map(|change| {
        let taken = deed == Deed::Delete && !change.old_value.is_empty();
        if taken {
            change.old_value.as_str()
        } else {
            change.new_value.as_str()
        }
    });
    values.filter(|value| !value.is_empty()).collect()
}
