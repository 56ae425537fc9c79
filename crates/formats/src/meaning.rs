//! What a summary means: the area that it concerns, and what was done there.
//!
//! A summary is prose, not an enumeration. Those that Confluence is known to write stand in a
//! table; of others the last word tells what was done, and the record's category the area. A
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
    pub(crate) deed: Option<Deed>,
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
pub(crate) enum Deed {
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
    if let Some((_, area, deed)) = KNOWN.iter().find(|(known, ..)| *known == summary) {
        return Meaning {
            area: Some(*area),
            deed: Some(*deed),
        };
    }
    Meaning {
        area: area_of(&category.trim().to_lowercase(), &summary),
        deed: summary.split_whitespace().last().and_then(deed_of),
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

fn deed_of(word: &str) -> Option<Deed> {
    Some(match word {
        "created" | "added" | "granted" | "imported" | "import" | "copied" | "installed" => {
            Deed::Create
        }
        "viewed" | "accessed" | "exported" | "export" | "downloaded" => Deed::Read,
        "updated" | "changed" | "edited" | "modified" | "renamed" | "uploaded" | "archived"
        | "unarchived" | "restored" | "reset" | "emptied" => Deed::Change,
        "deleted" | "removed" | "revoked" | "purged" | "uninstalled" => Deed::Delete,
        "moved" => Deed::Move,
        "enabled" | "activated" | "reactivated" => Deed::Enable,
        "disabled" | "deactivated" => Deed::Disable,
        _ => return None,
    })
}

/// In lower case.
const KNOWN: &[(&str, Area, Deed)] = &[
    ("user created", Area::Account, Deed::Create),
    ("user renamed", Area::Account, Deed::Change),
    ("user details updated", Area::Account, Deed::Change),
    ("user deleted", Area::Account, Deed::Delete),
    ("user deactivated", Area::Account, Deed::Disable),
    ("user reactivated", Area::Account, Deed::Enable),
    ("group created", Area::Group, Deed::Create),
    ("group added", Area::Group, Deed::Create),
    ("group deleted", Area::Group, Deed::Delete),
    ("user added to group", Area::Membership, Deed::Create),
    ("user removed from group", Area::Membership, Deed::Delete),
    ("global permission added", Area::Permission, Deed::Create),
    ("global permission removed", Area::Permission, Deed::Delete),
    ("space permission added", Area::Permission, Deed::Create),
    ("space permission removed", Area::Permission, Deed::Delete),
    ("content restriction added", Area::Permission, Deed::Create),
    (
        "content restriction removed",
        Area::Permission,
        Deed::Delete,
    ),
    ("permission added", Area::Permission, Deed::Create),
    ("permission updated", Area::Permission, Deed::Change),
    ("permission removed", Area::Permission, Deed::Delete),
    ("permission revoked", Area::Permission, Deed::Delete),
    ("space owner updated", Area::Space, Deed::Change),
    ("space created", Area::Space, Deed::Create),
    ("space configuration updated", Area::Space, Deed::Change),
    ("space key updated", Area::Space, Deed::Change),
    ("space logo uploaded", Area::Space, Deed::Change),
    ("space archived", Area::Space, Deed::Change),
    ("space unarchived", Area::Space, Deed::Change),
    ("space marked as deleted", Area::Space, Deed::Delete),
    ("space deleted", Area::Space, Deed::Delete),
    ("space removed", Area::Space, Deed::Delete),
    ("deleted space restored", Area::Space, Deed::Change),
    ("space trash emptied", Area::Space, Deed::Change),
    ("space import", Area::Space, Deed::Create),
    ("space imported", Area::Space, Deed::Create),
    ("space export", Area::Space, Deed::Read),
    ("space exported", Area::Space, Deed::Read),
    ("page created", Area::Content, Deed::Create),
    ("page moved", Area::Content, Deed::Move),
    ("page archived", Area::Content, Deed::Change),
    ("page restored", Area::Content, Deed::Change),
    ("page deleted", Area::Content, Deed::Delete),
    ("page viewed with admin key", Area::Content, Deed::Read),
    ("page template created", Area::Content, Deed::Create),
    ("page template updated", Area::Content, Deed::Change),
    ("page template deleted", Area::Content, Deed::Delete),
    ("public link enabled", Area::Settings, Deed::Enable),
    ("public link disabled", Area::Settings, Deed::Disable),
    ("public links enabled", Area::Settings, Deed::Enable),
    ("public links disabled", Area::Settings, Deed::Disable),
    (
        "audit log configuration updated",
        Area::Settings,
        Deed::Change,
    ),
    ("global settings changed", Area::Settings, Deed::Change),
    ("global settings edited", Area::Settings, Deed::Change),
    ("site logo changed", Area::Settings, Deed::Change),
    ("color scheme modified", Area::Settings, Deed::Change),
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
    fn the_last_word_of_a_known_summary_never_says_another_deed() {
        for (summary, _, deed) in KNOWN {
            let last = summary.split_whitespace().last().unwrap();
            assert!(deed_of(last).is_none_or(|told| told == *deed), "{summary}");
        }
    }

    #[test]
    fn a_known_summary_needs_no_category_and_another_one_is_read() {
        let meaning = |area, deed| Meaning { area, deed };
        assert_eq!(
            of(" User Added to group ", "anything"),
            meaning(Some(Area::Membership), Some(Deed::Create))
        );
        assert_eq!(
            of("Space homepage changed", "Spaces"),
            meaning(Some(Area::Space), Some(Deed::Change))
        );
        assert_eq!(
            of("Group renamed", "Users and groups"),
            meaning(Some(Area::Group), Some(Deed::Change))
        );
        assert_eq!(
            of("Widget exported", "Acme Widgets"),
            meaning(None, Some(Deed::Read))
        );
        assert_eq!(of("Bereich erstellt", "Bereiche"), Meaning::default());
        assert_eq!(of("", ""), Meaning::default());
    }
}
