//! Kinds of audit events that Confluence is known to write, and what a record of each kind names.

/// What a record of some kind names.
#[derive(Clone, Copy)]
pub(crate) enum Noun {
    Nothing,
    Word(&'static str),
    Person,
    Email,
    Group,
    Space,
    SpaceKey,
    Page,
    Permission,
    App,
    Number,
}

use Noun::{App, Email, Group, Nothing, Number, Page, Permission, Person, Space, SpaceKey, Word};

/// A kind of event that Confluence is known to write.
pub(crate) struct Kind {
    pub(crate) summary: &'static str,
    pub(crate) category: &'static str,
    pub(crate) affected: Noun,
    pub(crate) changed: &'static [(&'static str, Noun, Noun)],
    pub(crate) associated: &'static [Noun],
    /// The ids behind the names stand in the hidden values.
    pub(crate) hidden: bool,
}

const IN_SPACES: &str = "Spaces";
const IN_PEOPLE: &str = "Users and groups";
const IN_PERMISSIONS: &str = "Permissions";
const IN_PAGES: &str = "Pages";
const IN_GLOBAL: &str = "Global administration";
const IN_APPS: &str = "Apps";
const IN_AUDITING: &str = "Auditing";

/// The fields of [`Kind`] in order, for the table.
const fn kind(
    summary: &'static str,
    category: &'static str,
    affected: Noun,
    changed: &'static [(&'static str, Noun, Noun)],
    associated: &'static [Noun],
    hidden: bool,
) -> Kind {
    Kind {
        summary,
        category,
        affected,
        changed,
        associated,
        hidden,
    }
}

const SPACE_FIELDS: &[(&str, Noun, Noun)] = &[
    ("Space type", Nothing, Word("global")),
    ("Space status", Nothing, Word("CURRENT")),
    ("Name", Nothing, Space),
    ("Space key", Nothing, SpaceKey),
];
const SPACE_PERMISSION: &[(&str, Noun, Noun)] =
    &[("Type", Nothing, Permission), ("Group", Nothing, Group)];

// A table: one event a line.
#[rustfmt::skip]
pub(crate) const KINDS: &[Kind] = &[
    kind("Space created", IN_SPACES, Space, SPACE_FIELDS, &[], false),
    kind("Space configuration updated", IN_SPACES, Space, SPACE_FIELDS, &[], false),
    kind("Space configuration updated", IN_SPACES, Space, &[("Home page", Page, Page)], &[Page], true),
    kind("Space logo uploaded", IN_SPACES, Space, &[], &[], false),
    kind("Space archived", IN_SPACES, Space, &[("Space status", Word("CURRENT"), Word("ARCHIVED"))], &[], false),
    kind("Space exported", IN_SPACES, Space, &[("Format", Nothing, Word("XML"))], &[], false),
    kind("Space deleted", IN_SPACES, Space, &[("Name", Space, Nothing)], &[], false),
    kind("Space permission added", IN_PERMISSIONS, Space, SPACE_PERMISSION, &[Group], true),
    kind("Space permission removed", IN_PERMISSIONS, Space, &[("Type", Permission, Nothing)], &[Person], true),
    kind("Content restriction added", IN_PERMISSIONS, Page, &[("Type", Nothing, Word("View"))], &[Person, Space], true),
    kind("Content restriction removed", IN_PERMISSIONS, Page, &[("Type", Word("Edit"), Nothing)], &[Space], true),
    kind("Global permission added", IN_PERMISSIONS, Group, &[("Type", Nothing, Word("CREATESPACE"))], &[], false),
    kind("Global permission removed", IN_PERMISSIONS, Group, &[("Type", Word("USECONFLUENCE"), Nothing)], &[], false),
    kind("Page moved", IN_PAGES, Page, &[("Space", Space, Space), ("Parent", Page, Page)], &[Space], true),
    kind("Page archived", IN_PAGES, Page, &[], &[Space], false),
    kind("Page deleted", IN_PAGES, Page, &[], &[Space], false),
    kind("Page exported", IN_PAGES, Page, &[("Format", Nothing, Word("PDF"))], &[Space], false),
    kind("Public link turned on", IN_PAGES, Page, &[("Public link", Word("Off"), Word("On"))], &[Space], false),
    kind("User added to group", IN_PEOPLE, Group, &[], &[Person], false),
    kind("User removed from group", IN_PEOPLE, Group, &[], &[Person], false),
    kind("User created", IN_PEOPLE, Person, &[("Email", Nothing, Email), ("Name", Nothing, Person)], &[], false),
    kind("User deactivated", IN_PEOPLE, Person, &[("Active", Word("Yes"), Word("No"))], &[], false),
    kind("User details updated", IN_PEOPLE, Person, &[("Email", Email, Email)], &[], false),
    kind("Group created", IN_PEOPLE, Group, &[], &[], false),
    kind("Group deleted", IN_PEOPLE, Group, &[], &[], false),
    kind("App installed", IN_APPS, App, &[("Version", Nothing, Word("1.0.0"))], &[], false),
    kind("App uninstalled", IN_APPS, App, &[("Version", Word("1.0.0"), Nothing)], &[], false),
    kind("Audit Log configuration updated", IN_AUDITING, Nothing, &[("Retention period", Number, Number)], &[], false),
    kind("Audit Log exported", IN_AUDITING, Nothing, &[], &[], false),
    kind("Global settings updated", IN_GLOBAL, Nothing, &[("Site title", Space, Space)], &[], false),
    kind("Raumberechtigung hinzugefügt", "Berechtigungen", Space, SPACE_PERMISSION, &[Group], false),
];
