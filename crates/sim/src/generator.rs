//! Record generator: the people, groups, spaces and pages of the site, and the record that a key stands for.
//!
//! All are invented: names from word lists, addresses from the ranges and the domain kept for documentation.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::hostile;
use crate::kinds::{KINDS, Noun};
use crate::log::Entry;
use crate::random::{mix, uuid};
use crate::record::{Account, Author, Change, EventContext, Object, Record, Text};

use Noun::{App, Email, Group, Nothing, Number, Page, Permission, Person, Space, SpaceKey, Word};

const PEOPLE: u64 = 240;
const GROUPS: u64 = 40;
const SPACES: u64 = 60;
const PAGES: u64 = 2_000;

const FIRST: [&str; 16] = [
    "Aino", "Bram", "Chiara", "Dov", "Elif", "Femi", "Greta", "Haruto", "Ines", "Jürgen", "Kaya",
    "Luz", "Mirela", "Nkechi", "Óscar", "Priya",
];
const LAST: [&str; 15] = [
    "Abara",
    "Brandt",
    "Castell",
    "Dubois",
    "Eriksen",
    "Fontana",
    "Grześkowiak",
    "Hoang",
    "Ivanova",
    "Jansen",
    "Kimura",
    "Lindqvist",
    "Moreau",
    "Novák",
    "O’Hara",
];
const TEAMS: [&str; 10] = [
    "confluence-users",
    "site-admins",
    "payroll",
    "field-engineering",
    "legal-review",
    "contractors",
    "support-tier-2",
    "data-platform",
    "works-council",
    "release-managers",
];
const TOPICS: [&str; 12] = [
    "Onboarding",
    "Quarterly plan",
    "Incident review",
    "Architecture",
    "Travel policy",
    "Release notes",
    "Runbook",
    "Retrospective",
    "Vendor list",
    "Salary bands",
    "Meeting notes",
    "Threat model",
];
const AREAS: [&str; 10] = [
    "Harbour", "Lantern", "Orchard", "Quarry", "Meridian", "Foundry", "Tundra", "Atlas", "Beacon",
    "Cobalt",
];
const PERMISSIONS: [&str; 8] = [
    "VIEWSPACE",
    "EDITSPACE",
    "EXPORTSPACE",
    "SETSPACEPERMISSIONS",
    "REMOVEPAGE",
    "COMMENT",
    "CREATEATTACHMENT",
    "ARCHIVEPAGE",
];

/// Generates records. This is what is the same for all records of a site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generator {
    pub(crate) system: f64,
    pub(crate) hostile: f64,
}

impl Generator {
    /// The record that an entry stands for: the same for the same entry, always.
    pub(crate) fn record(&self, entry: Entry) -> Record {
        let mut rng = Rng::with_seed(entry.key);
        let kind = &KINDS[rng.usize(..KINDS.len())];
        let by_system = rng.f64() < self.system;
        let number = rng.u64(..PEOPLE);
        let author = if by_system {
            system(&mut rng)
        } else {
            person_author(number, &mut rng)
        };
        let mut record = Record {
            author,
            remote_address: if by_system {
                "".into()
            } else {
                address(&mut rng)
            },
            creation_date: entry.time,
            summary: kind.summary.into(),
            description: "".into(),
            category: kind.category.into(),
            sys_admin: false,
            super_admin: rng.usize(..50) == 0,
            affected_object: object(kind.affected, &mut rng),
            changed_values: kind
                .changed
                .iter()
                .map(|change| changed(*change, kind.hidden, &mut rng))
                .collect(),
            associated_objects: kind
                .associated
                .iter()
                .map(|noun| object(*noun, &mut rng))
                .collect(),
            event_context: (rng.usize(..100) == 0).then(|| EventContext {
                client: ["web", "mobile", "rest"][rng.usize(..3)],
                sequence: (1 << 53) + 1 + rng.u64(..1 << 60),
            }),
        };
        if rng.f64() < self.hostile {
            add_hostile_string(&mut record, &mut rng);
        }
        record
    }
}

/// Puts a hostile string into one of the fields that a person of ill will can write to.
fn add_hostile_string(record: &mut Record, rng: &mut Rng) {
    let text = hostile::string(rng);
    match rng.usize(..6) {
        0 => record.author.display_name = text,
        1 => record.description = text,
        2 => {
            record.affected_object = Object {
                name: text,
                object_type: "Page",
            }
        }
        3 => record.associated_objects.push(Object {
            name: text,
            object_type: "User",
        }),
        4 => record.summary = text,
        _ => record.changed_values.push(Change {
            name: "Name".into(),
            old_value: hostile::string(rng),
            new_value: text,
            hidden_old_value: "".into(),
            hidden_new_value: hostile::string(rng),
        }),
    }
}

fn system(rng: &mut Rng) -> Author {
    Author {
        r#type: "user",
        display_name: "System".into(),
        operations: operations(rng),
        is_external_collaborator: false,
        account: None,
        account_type: "",
        public_name: "Unknown user".into(),
        external_collaborator: false,
        is_guest: None,
    }
}

fn person_author(number: u64, rng: &mut Rng) -> Author {
    let id: Text = account_id(number).into();
    let outside = number.is_multiple_of(29);
    Author {
        r#type: "user",
        display_name: person(number).into(),
        operations: operations(rng),
        is_external_collaborator: outside,
        account: Some(Account {
            username: id.clone(),
            user_key: format!("{:016x}{:016x}", mix(number, 1), mix(number, 2)).into(),
            id,
        }),
        account_type: "",
        public_name: "Unknown user".into(),
        external_collaborator: outside,
        is_guest: (rng.usize(..10) == 0).then_some(outside),
    }
}

fn operations(rng: &mut Rng) -> Value {
    match rng.usize(..20) {
        0 => json!({}),
        1 => json!([]),
        _ => Value::Null,
    }
}

fn person(number: u64) -> String {
    format!("{} {}", pick(&FIRST, number), pick(&LAST, number / 16))
}

/// The three forms of account ids: 24 hex digits, 32, and digits with a UUID.
fn account_id(number: u64) -> String {
    let (a, b) = (mix(number, 3), mix(number, 4));
    match number % 3 {
        0 => format!("{a:016x}{:08x}", b >> 32),
        1 => format!("{a:016x}{b:016x}"),
        _ => format!("{}:{}", 557_058 + number % 20, uuid(a, b)),
    }
}

fn address(rng: &mut Rng) -> Text {
    let host = rng.u8(1..255);
    match rng.usize(..12) {
        0 => "".into(),
        1 => format!("2001:db8:{:x}::{host:x}", rng.u16(..)).into(),
        2..5 => format!("192.0.2.{host}").into(),
        5..9 => format!("198.51.100.{host}").into(),
        _ => format!("203.0.113.{host}").into(),
    }
}

fn changed((name, old, new): (&'static str, Noun, Noun), hidden: bool, rng: &mut Rng) -> Change {
    let id = |noun: Noun, rng: &mut Rng| match noun {
        Nothing => Text::Borrowed(""),
        _ if hidden => rng.u32(65_536..).to_string().into(),
        _ => Text::Borrowed(""),
    };
    Change {
        name: name.into(),
        old_value: text(old, rng),
        new_value: text(new, rng),
        hidden_old_value: id(old, rng),
        hidden_new_value: id(new, rng),
    }
}

fn object(noun: Noun, rng: &mut Rng) -> Object {
    let object_type = match noun {
        Nothing | Word(_) | Permission | Number => "",
        Person | Email => "User",
        Group => "Group",
        Space | SpaceKey => "Space",
        Page => "Page",
        App => "App",
    };
    Object {
        name: text(noun, rng),
        object_type,
    }
}

fn text(noun: Noun, rng: &mut Rng) -> Text {
    match noun {
        Nothing => "".into(),
        Word(word) => word.into(),
        Person => person(rng.u64(..PEOPLE)).into(),
        Email => {
            let number = rng.u64(..PEOPLE);
            format!("user{number:03}@example.com").into()
        }
        Group => {
            let number = rng.u64(..GROUPS);
            let name = pick(&TEAMS, number);
            format!(
                "{name}-{}:{}",
                number / 10,
                uuid(mix(number, 5), mix(number, 6))
            )
            .into()
        }
        Space => {
            let number = rng.u64(..SPACES);
            format!("{} {}", pick(&AREAS, number), number / 10).into()
        }
        SpaceKey => {
            let number = rng.u64(..SPACES);
            format!(
                "{}{}",
                &pick(&AREAS, number)[..2].to_uppercase(),
                number / 10
            )
            .into()
        }
        Page => {
            let number = rng.u64(..PAGES);
            format!(
                "{}: {} {number}",
                pick(&TOPICS, number),
                pick(&AREAS, number / 12)
            )
            .into()
        }
        Permission => PERMISSIONS[rng.usize(..PERMISSIONS.len())].into(),
        App => format!(
            "com.example.{}",
            pick(&AREAS, rng.u64(..SPACES)).to_lowercase()
        )
        .into(),
        Number => rng.u32(1..13).to_string().into(),
    }
}

/// The word of that number, round and round.
fn pick(words: &[&'static str], number: u64) -> &'static str {
    words[usize::try_from(number).unwrap_or(0) % words.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_take_every_form() {
        let forms: Vec<_> = (0..3)
            .map(account_id)
            .map(|id| (id.len(), id.contains(':')))
            .collect();
        assert_eq!(forms, [(24, false), (32, false), (6 + 1 + 36, true)]);
    }

    #[test]
    fn shares_are_kept() {
        let generator = Generator {
            system: 0.25,
            hostile: 0.5,
        };
        let lines: Vec<_> = (0..4_000)
            .map(|key| {
                generator.record(Entry {
                    time: 1,
                    key: mix(key, 0),
                })
            })
            .collect();
        let system = lines
            .iter()
            .filter(|record| record.author.account.is_none())
            .count();
        assert!((800..1_200).contains(&system), "{system}");
        assert!(lines.iter().any(|record| record.line().len() > 100_000));
        assert!(
            lines
                .iter()
                .any(|record| record.remote_address.starts_with("2001:db8:"))
        );
    }
}
