//! Classification of a record by its summary: the area that it concerns, and the action.
//!
//! A summary is prose, not an enumeration. Those that Confluence is known to write stand in a
//! table; of others the last word gives the action, and the record's category the area. A
//! summary in another language than English means nothing here, and its record is delivered all
//! the same.
//!
//! The table's sources: Elastic's integration `atlassian_confluence` (pipeline and its test
//! events), Atlassian's support page "View the audit log", and records that were published.

/// What a record's summary says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// What it concerns.
    pub(crate) area: Option<Area>,
    /// What was done.
    pub(crate) action: Option<Action>,
}

/// What an event concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Area {
    /// A user's account.
    Account,
    /// A group as such.
    Group,
    /// Who is in a group.
    Membership,
    /// Who may do or see what: globally, in a space, on a page.
    Permission,
    /// How the site is set up.
    Settings,
    /// A space, and how it is set up.
    Space,
    /// Pages, templates and the like.
    Content,
}

/// What was done. A permission given and a user put into a group are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Create,
    Read,
    Change,
    Delete,
    Move,
    Enable,
    Disable,
}

/// What the summary means, in a record of this category.
pub(crate) fn of(summary: &str, category: &str) -> Meaning {
    let summary = summary.trim().to_lowercase();
    if let Some((_, area, action)) = KNOWN.iter().find(|(known, ..)| *known == summary) {
        return Meaning {
            area: Some(*area),
            action: Some(*action),
        };
    }
    Meaning {
        area: area_of(&category.trim().to_lowercase(), &summary),
        action: summary.split_whitespace().last().and_then(action_of),
    }
}

fn area_of(category: &str, summary: &str) -> Option<Area> {
    Some(match category {
        "users and groups" if summary.starts_with("group") => Area::Group,
        "users and groups" => Area::Account,
        "permissions" => Area::Permission,
        "spaces" => Area::Space,
        "pages" | "pages and blogs" | "content management" | "page templates" => Area::Content,
        "global administration"
        | "global settings"
        | "auditing"
        | "audit log"
        | "security"
        | "public links" => Area::Settings,
        _ => return None,
    })
}

fn action_of(word: &str) -> Option<Action> {
    Some(match word {
        "created" | "added" | "granted" | "imported" | "import" | "copied" | "installed" => {
            Action::Create
        }
        "viewed" | "accessed" | "exported" | "export" | "downloaded" => Action::Read,
        "updated" | "changed" | "edited" | "modified" | "renamed" | "uploaded" | "archived"
        | "unarchived" | "restored" | "reset" | "emptied" => Action::Change,
        "deleted" | "removed" | "revoked" | "purged" | "uninstalled" => Action::Delete,
        "moved" => Action::Move,
        "enabled" | "activated" | "reactivated" => Action::Enable,
        "disabled" | "deactivated" => Action::Disable,
        _ => return None,
    })
}

/// In lower case.
const KNOWN: &[(&str, Area, Action)] = &[
    ("user created", Area::Account, Action::Create),
    ("user renamed", Area::Account, Action::Change),
    ("user details updated", Area::Account, Action::Change),
    ("user deleted", Area::Account, Action::Delete),
    ("user deactivated", Area::Account, Action::Disable),
    ("user reactivated", Area::Account, Action::Enable),
    ("group created", Area::Group, Action::Create),
    ("group added", Area::Group, Action::Create),
    ("group deleted", Area::Group, Action::Delete),
    ("user added to group", Area::Membership, Action::Create),
    ("user removed from group", Area::Membership, Action::Delete),
    ("global permission added", Area::Permission, Action::Create),
    (
        "global permission removed",
        Area::Permission,
        Action::Delete,
    ),
    ("space permission added", Area::Permission, Action::Create),
    ("space permission removed", Area::Permission, Action::Delete),
    (
        "content restriction added",
        Area::Permission,
        Action::Create,
    ),
    (
        "content restriction removed",
        Area::Permission,
        Action::Delete,
    ),
    ("permission added", Area::Permission, Action::Create),
    ("permission updated", Area::Permission, Action::Change),
    ("permission removed", Area::Permission, Action::Delete),
    ("permission revoked", Area::Permission, Action::Delete),
    ("space owner updated", Area::Space, Action::Change),
    ("space created", Area::Space, Action::Create),
    ("space configuration updated", Area::Space, Action::Change),
    ("space key updated", Area::Space, Action::Change),
    ("space logo uploaded", Area::Space, Action::Change),
    ("space archived", Area::Space, Action::Change),
    ("space unarchived", Area::Space, Action::Change),
    ("space marked as deleted", Area::Space, Action::Delete),
    ("space deleted", Area::Space, Action::Delete),
    ("space removed", Area::Space, Action::Delete),
    ("deleted space restored", Area::Space, Action::Change),
    ("space trash emptied", Area::Space, Action::Change),
    ("space import", Area::Space, Action::Create),
    ("space imported", Area::Space, Action::Create),
    ("space export", Area::Space, Action::Read),
    ("space exported", Area::Space, Action::Read),
    ("page created", Area::Content, Action::Create),
    ("page moved", Area::Content, Action::Move),
    ("page archived", Area::Content, Action::Change),
    ("page restored", Area::Content, Action::Change),
    ("page deleted", Area::Content, Action::Delete),
    ("page viewed with admin key", Area::Content, Action::Read),
    ("page template created", Area::Content, Action::Create),
    ("page template updated", Area::Content, Action::Change),
    ("page template deleted", Area::Content, Action::Delete),
    ("public link enabled", Area::Settings, Action::Enable),
    ("public link disabled", Area::Settings, Action::Disable),
    ("public links enabled", Area::Settings, Action::Enable),
    ("public links disabled", Area::Settings, Action::Disable),
    (
        "audit log configuration updated",
        Area::Settings,
        Action::Change,
    ),
    ("global settings changed", Area::Settings, Action::Change),
    ("global settings edited", Area::Settings, Action::Change),
    ("site logo changed", Area::Settings, Action::Change),
    ("color scheme modified", Area::Settings, Action::Change),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_form_that_it_is_searched_for() {
        for (index, (summary, ..)) in KNOWN.iter().enumerate() {
            assert_eq!(*summary, summary.trim().to_lowercase());
            let again = KNOWN[index + 1..]
                .iter()
                .any(|(other, ..)| other == summary);
            assert!(!again, "{summary} stands twice");
        }
    }

    #[test]
    fn the_last_word_of_a_known_summary_never_says_another_action() {
        for (summary, _, action) in KNOWN {
            let last = summary.split_whitespace().last().unwrap();
            assert!(
                action_of(last).is_none_or(|last| last == *action),
                "{summary}"
            );
        }
    }

    #[test]
    fn a_known_summary_needs_no_category_and_another_one_is_read() {
        let meaning = |area, action| Meaning { area, action };
        assert_eq!(
            of(" User Added to group ", "anything"),
            meaning(Some(Area::Membership), Some(Action::Create))
        );
        assert_eq!(
            of("Space homepage changed", "Spaces"),
            meaning(Some(Area::Space), Some(Action::Change))
        );
        assert_eq!(
            of("Group renamed", "Users and groups"),
            meaning(Some(Area::Group), Some(Action::Change))
        );
        assert_eq!(
            of("Widget exported", "Acme Widgets"),
            meaning(None, Some(Action::Read))
        );
        assert_eq!(of("Bereich erstellt", "Bereiche"), Meaning::default());
        assert_eq!(of("", ""), Meaning::default());
    }
}
