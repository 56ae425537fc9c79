//! Which class and activity an event is, and the fields that come with the class.

use crate::event::{Event, group};
use crate::json::Json;
use crate::meaning::{Area, Deed, Meaning};
use confluence_audit_core::AffectedObject;

/// A class of events.
pub(super) struct Class {
    pub(super) uid: u32,
    pub(super) name: &'static str,
    pub(super) category: &'static str,
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
pub(super) const API_ACTIVITY: Class = Class {
    uid: 6003,
    name: "API Activity",
    category: "Application Activity",
};

/// An event's class and activity, and the fields that only this class has.
pub(super) struct Classified<'a> {
    pub(super) class: &'static Class,
    pub(super) activity: (u32, &'a str),
    pub(super) fields: Fields<'a>,
}

/// The fields that only some classes have.
#[derive(Default)]
pub(super) struct Fields<'a> {
    /// Its type in numbers, and itself.
    entity: Option<(u32, &'a AffectedObject<'a>)>,
    operation: Option<&'a str>,
    group: Option<&'a AffectedObject<'a>>,
    user: Option<&'a AffectedObject<'a>>,
    privileges: Vec<&'a str>,
    pub(super) resources: Option<Vec<&'a AffectedObject<'a>>>,
}

impl Fields<'_> {
    pub(super) fn write(&self, json: &mut Json) {
        if let Some((type_id, entity)) = self.entity {
            json.object("entity", |json| {
                json.text("name", &entity.name);
                json.plain("type_id", type_id);
                json.text("type", &entity.object_type);
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
                    json.text("type", &object.object_type);
                });
            }
        });
    }
}

impl<'a> Classified<'a> {
    pub(super) fn of(event: &'a Event<'a>) -> Self {
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
        match &*affected.object_type {
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
        let type_id = match &*object.object_type {
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
fn is_named(object: &AffectedObject<'_>) -> bool {
    !object.name.is_empty()
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
