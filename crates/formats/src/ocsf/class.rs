//! The OCSF class and activity of an event, and the fields that come with the class.

use crate::event::{Event, group};
use crate::json::Json;
use crate::meaning::{Action, Area, Meaning};
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
        let Meaning { area, action } = event.meaning;
        let specific = match (area, action) {
            (Some(Area::Account), Some(action)) => Self::account(event, action),
            (Some(Area::Group), Some(action)) => Self::group(event, action),
            (Some(Area::Membership), Some(action)) => Self::membership(event, action),
            (Some(Area::Permission), Some(action)) => Self::permission(event, action),
            _ => None,
        };
        let entity = || match (area, action) {
            (Some(area), Some(action)) => Self::entity(event, area, action),
            _ => None,
        };
        specific
            .or_else(entity)
            .unwrap_or_else(|| Self::api(event, action))
    }

    fn new(class: &'static Class, activity: (u32, &'a str), fields: Fields<'a>) -> Self {
        Self {
            class,
            activity,
            fields,
        }
    }

    fn account(event: &'a Event<'a>, action: Action) -> Option<Self> {
        let user = event.object("User")?;
        let activity = match action {
            Action::Create => (1, "Create"),
            Action::Enable => (2, "Enable"),
            Action::Disable => (5, "Disable"),
            Action::Delete => (6, "Delete"),
            Action::Read | Action::Change | Action::Move => other(event),
        };
        let fields = Fields {
            user: Some(user),
            ..Fields::default()
        };
        Some(Self::new(&ACCOUNT_CHANGE, activity, fields))
    }

    fn group(event: &'a Event<'a>, action: Action) -> Option<Self> {
        let group = event.object("Group")?;
        let activity = match action {
            Action::Delete => (5, "Delete"),
            Action::Create => (6, "Create"),
            _ => other(event),
        };
        let fields = Fields {
            group: Some(group),
            ..Fields::default()
        };
        Some(Self::new(&GROUP_MANAGEMENT, activity, fields))
    }

    fn membership(event: &'a Event<'a>, action: Action) -> Option<Self> {
        let group = event.object("Group")?;
        let activity = match action {
            Action::Create => (3, "Add User"),
            Action::Delete => (4, "Remove User"),
            _ => other(event),
        };
        let fields = Fields {
            group: Some(group),
            user: event.object("User"),
            ..Fields::default()
        };
        Some(Self::new(&GROUP_MANAGEMENT, activity, fields))
    }

    fn permission(event: &'a Event<'a>, action: Action) -> Option<Self> {
        let activity = match action {
            Action::Create => (1, "Assign Privileges"),
            Action::Delete => (2, "Revoke Privileges"),
            _ => return None,
        };
        let affected = &event.record.affected_object;
        let privileges = privileges(event, action);
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

    fn entity(event: &'a Event<'a>, area: Area, action: Action) -> Option<Self> {
        let object = &event.record.affected_object;
        if object.name.is_empty() {
            return None;
        }
        // What is given, taken or set is about the object; the object itself stays.
        let is_about = matches!(area, Area::Membership | Area::Permission | Area::Settings);
        let activity = match action {
            Action::Read => (2, "Read"),
            _ if is_about => (3, "Update"),
            Action::Create => (1, "Create"),
            Action::Change => (3, "Update"),
            Action::Delete => (4, "Delete"),
            Action::Move => (5, "Move"),
            Action::Enable => (8, "Enable"),
            Action::Disable => (9, "Disable"),
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

    fn api(event: &'a Event<'a>, action: Option<Action>) -> Self {
        let activity = match action {
            Some(Action::Create) => (1, "Create"),
            Some(Action::Read) => (2, "Read"),
            Some(Action::Change | Action::Move | Action::Enable | Action::Disable) => (3, "Update"),
            Some(Action::Delete) => (4, "Delete"),
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
fn privileges<'a>(event: &'a Event<'_>, action: Action) -> Vec<&'a str> {
    let changes = ["Type", "Permission", "Restriction"];
    let changes = changes.iter().filter_map(|name| event.change(name));
    let values = changes.map(|change| {
        let taken = action == Action::Delete && !change.old_value.is_empty();
        if taken {
            &*change.old_value
        } else {
            &*change.new_value
        }
    });
    values.filter(|value| !value.is_empty()).collect()
}
