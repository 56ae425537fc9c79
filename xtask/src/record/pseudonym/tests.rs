//! Tests of the pseudonyms: the same in, the same out; the shape kept; nothing survives.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::record::fixture::Fixture;

fn run() -> Pseudonymiser {
    Pseudonymiser::new([7; 32], None)
}

fn json(run: &mut Pseudonymiser, text: &str) -> String {
    String::from_utf8(run.json(text.as_bytes()).expect("it is JSON")).expect("it is text")
}

/// The text with empty values and with its numbers' digits blanked: what must be the same before and
/// after.
fn skeleton(text: &str) -> String {
    static KEY_VALUE_OR_DIGIT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"("(?:[^"\\]|\\.)*"[ \t\r\n]*:)|"(?:[^"\\]|\\.)*"|[0-9]"#));
    let blank = |found: &regex::Captures<'_>| match found.get(1) {
        Some(key) => key.as_str().to_owned(),
        None if found[0].starts_with('"') => "\"\"".to_owned(),
        None => "0".to_owned(),
    };
    KEY_VALUE_OR_DIGIT.replace_all(text, blank).into_owned()
}

#[test]
fn names_ids_and_addresses_are_replaced_everywhere_alike() {
    let uuid = "6b0f7d3c-52e8-4a1b-9f46-c3d5e7a90b12";
    let text = json!({"results": [{
        "author": {"displayName": "Ida Okonjo", "accountId": format!("712020:{uuid}"), "publicName": "Unknown user"},
        "remoteAddress": "8.8.8.8",
        "summary": "User ida@corp.example changed",
        "category": "Users and groups",
        "affectedObject": {"name": format!("crew:{uuid}"), "objectType": "Group"},
        "changedValues": [{"name": "Space key", "oldValue": "Ida OKONJO", "newValue": format!("~712020:{uuid}")}],
        "associatedObjects": [{"name": "Ida Okonjo (ida@corp.example, 8.8.8.8)", "objectType": "User"}]
    }]})
    .to_string();
    let new: Value = serde_json::from_str(&json(&mut run(), &text)).expect("it is still JSON");
    let record = &new["results"][0];
    let string = |pointer: &str| {
        record
            .pointer(pointer)
            .and_then(Value::as_str)
            .expect("a string")
            .to_owned()
    };

    let id = string("/author/accountId");
    let (digits, new_uuid) = id.split_once(':').expect("the form stays");
    assert_eq!(
        (digits.len(), new_uuid.len(), &new_uuid[14..15]),
        (6, 36, "4")
    );
    assert_ne!(new_uuid, uuid);
    assert!(string("/affectedObject/name").ends_with(new_uuid));
    assert_eq!(string("/changedValues/0/newValue"), format!("~{id}"));
    let name = string("/author/displayName");
    assert!(string("/associatedObjects/0/name").starts_with(&format!("{name} (user-")));
    assert_eq!(
        string("/changedValues/0/oldValue").to_lowercase(),
        name.to_lowercase()
    );
    assert!(string("/associatedObjects/0/name").contains(&string("/remoteAddress")));
    assert!(string("/summary").starts_with("User user-"));
    assert!(string("/summary").ends_with("@example.com changed"));
    for (kept, value) in [
        ("/author/publicName", "Unknown user"),
        ("/category", "Users and groups"),
        ("/affectedObject/objectType", "Group"),
        ("/changedValues/0/name", "Space key"),
    ] {
        assert_eq!(string(kept), value);
    }
}

#[test]
fn same_key_same_words_and_another_key_others() {
    let text = r#"{"displayName":"Ida Okonjo","accountId":"5f3a9c1e7b2d48006a91c3e7"}"#;
    assert_eq!(json(&mut run(), text), json(&mut run(), text));
    let mut other = Pseudonymiser::new([8; 32], None);
    assert_ne!(json(&mut run(), text), json(&mut other, text));
}

#[test]
fn each_form_of_account_id_stays_in_form() {
    for id in [
        "5f3a9c1e7b2d48006a91c3e7",
        "0c9e4b7a1d2f4e83b65a7c1092d8e4f6",
    ] {
        let new = run().text(id, Kind::FreeText);
        assert_ne!(new, id);
        assert_eq!(new.len(), id.len());
        assert!(
            new.bytes().all(|byte| b"0123456789abcdef".contains(&byte)),
            "{new}"
        );
    }
}

#[test]
fn each_form_is_found_whole_and_nothing_around_it() {
    let mut run = Pseudonymiser::new([7; 32], Some("wiki.corp.example"));
    let uuid = "6b0f7d3c-52e8-4a1b-9f46-c3d5e7a90b12";
    // What is replaced stands in brackets.
    for text in [
        "from [192.0.2.7].",
        "([2001:db8::1]): at 12:30:45",
        "[192.0.2.7]:443",
        "[::ffff:192.0.2.7]",
        "a::z 1.2.3 std::fs ::",
        "<[ida.o+x@example.com]>.",
        "@ a@ @b",
        "see [Acme.atlassian.net].",
        "on [Wiki.corp.example], not wiki.corp.examples",
        "https://[wiki.corp.example]/x https://api.atlassian.com",
        "crew:[UUID]",
        "[712020:UUID]",
        "~[5f3a9c1e7b2d48006a91c3e7]",
        "deadbeef 12345678901234567890 deadbeefdeadbeefdead",
        "[2026-01-31]T10:00:00Z",
        "[2026-01-31] 10:00:00.123+0100, then",
        "[2026-01-31]Tide",
        "2026-13-01 2026-01-311 9999-01-01",
    ] {
        let text = text.replace("UUID", uuid);
        let new = run.text(&text.replace(['[', ']'], ""), Kind::Vocabulary);
        let Some((before, rest)) = text.split_once('[') else {
            assert_eq!(new, text);
            continue;
        };
        let (old, behind) = rest.split_once(']').expect("a bracket is closed");
        let middle = new
            .strip_prefix(before)
            .and_then(|new| new.strip_suffix(behind));
        let middle = middle.unwrap_or_else(|| panic!("{text} became {new}"));
        let is_alike = match old.parse::<IpAddr>() {
            Ok(old) => middle
                .parse()
                .is_ok_and(|new: IpAddr| new.is_ipv4() == old.is_ipv4()),
            Err(_) if old.contains('@') => middle.ends_with("@example.com"),
            Err(_) if old.contains('.') => {
                middle.contains(".atlassian.net") || middle.ends_with(".example.com")
            }
            Err(_) => middle.len() == old.len(),
        };
        assert!(is_alike && middle != old, "{text} became {new}");
    }
}

#[test]
fn escapes_and_numbers_keep_their_spelling() {
    let text = "{ \"displayName\":\"\\u00C5sa \\u00e5 \\/ \\n\\ud83c\\udf0a \\ud83c x\u{f6}rn\",\n\t\"id\" : 1234567890123456789012, \"n\":[1.0,-0,1e400,12.50,0.123456E+7] }";
    let new = json(&mut run(), text);
    assert_eq!(skeleton(&new), skeleton(text));
    let value = new.split('"').nth(3).expect("the value");
    let pieces: Vec<_> = value.split(' ').collect();
    assert_eq!(pieces.len(), 6, "{value}");
    assert!(
        pieces[0].starts_with("\\u0") && pieces[0].len() == 8,
        "{value}"
    );
    assert_eq!(&pieces[2..5], &["\\/", "\\n\\ud83c\\udf0a", "\\ud83c"]);
    assert!(new.contains("[1.0,-0,1e400,12.50,0."), "{new}");
    assert!(new.ends_with("E+7] }"), "{new}");
    assert!(!new.contains("1234567890123456789012"));
}

#[test]
fn dates_move_together_and_keep_the_time_of_day() {
    let mut run = run();
    let text = r#"{"creationDate":1767261600421,"at":"2026-01-01T10:00:00.421Z","x":{"creationDate":"1767261600421"},"_links":{"next":"/rest/api/audit?startDate=1767261600421&start=25&limit=25"}}"#;
    let new: Value = serde_json::from_str(&json(&mut run, text)).expect("JSON");
    let moved = new["creationDate"].as_i64().expect("a number");
    assert_eq!((1_767_261_600_421 - moved) % 86_400_000, 0);
    assert!(moved < 1_767_261_600_421);
    assert_eq!(new["x"]["creationDate"], moved.to_string());
    let stamp = Timestamp::from_millisecond(moved).expect("in range");
    assert_eq!(new["at"], format!("{stamp:.3}"));
    assert_eq!(
        new["_links"]["next"],
        format!("/rest/api/audit?startDate={moved}&start=25&limit=25")
    );
    let header = run.http_date("Thu, 01 Jan 2026 10:00:00 GMT");
    assert!(
        header.ends_with(" 10:00:00 GMT") && !header.contains("2026-01-01"),
        "{header}"
    );
    assert_eq!(run.http_date("7"), "7");
}

#[test]
fn addresses_of_pages_keep_the_interface_and_lose_the_site() {
    let mut run = run();
    let new = run.text(
        "https://corp.atlassian.net/wiki/rest/api/audit?searchString=ida%20okonjo&limit=25",
        Kind::Url,
    );
    assert!(new.starts_with("https://site-"), "{new}");
    assert!(
        new.contains(".atlassian.net/wiki/rest/api/audit?searchString="),
        "{new}"
    );
    assert!(new.ends_with("&limit=25") && new.contains("%20"), "{new}");
    assert!(!new.contains("corp") && !new.contains("okonjo"), "{new}");
    assert_eq!(run.text("/wiki", Kind::Url), "/wiki");
    assert!(
        run.text("https://wiki.corp.example/a", Kind::Url)
            .starts_with("https://host-")
    );
    let new = run.text("/okonjo?to=https://corp.example/ida", Kind::Url);
    assert!(
        !new.contains("corp") && !new.contains("okonjo") && !new.contains("ida"),
        "{new}"
    );
    let new = run.text("https://ida:secret@api.atlassian.com/x", Kind::Url);
    assert!(!new.contains("ida") && !new.contains("secret"), "{new}");
    // An escape that is cut short or names half a character breaks nothing.
    for odd in ["/%", "/a%4", "/%é", "?%é=%"] {
        run.text(odd, Kind::Url);
    }
}

#[test]
fn a_configured_host_is_replaced_in_prose() {
    let mut run = Pseudonymiser::new([7; 32], Some("Wiki.Corp.example"));
    assert!(
        !run.text("not permitted on wiki.corp.example", Kind::Vocabulary)
            .contains("corp")
    );
}

#[test]
fn addresses_are_of_the_documentation_ranges_and_distinct() {
    let mut run = run();
    let new: HashSet<_> = (0..=255)
        .flat_map(|c| [c, c])
        .map(|c| run.generator.ipv4(Ipv4Addr::new(10, 0, 0, c)))
        .collect();
    assert_eq!(new.len(), 256);
    assert!(new.iter().all(Ipv4Addr::is_documentation));
    let mapped = run.text("::ffff:8.8.8.8", Kind::FreeText);
    assert!(mapped.starts_with("2001:db8:"), "{mapped}");
    // More addresses than the ranges hold are still replaced.
    for c in 0..1000u16 {
        let [high, low] = c.to_be_bytes();
        assert!(
            run.generator
                .ipv4(Ipv4Addr::new(172, 16, high, low))
                .is_documentation()
        );
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for text in ["<html>", "", "{\"a\":", "{} {}", "{\"a\":\"\u{1}\"}"] {
        assert!(run().json(text.as_bytes()).is_none(), "{text}");
    }
    assert!(run().json(b"\"\xff\"").is_none());
    assert!(run().json("\u{feff}{}".as_bytes()).is_some());
}

/// Every JSON body among the fixtures keeps its shape and loses its people.
#[test]
fn fixtures_keep_their_shape_and_lose_their_people() {
    let mut tried = 0;
    for (path, fixture) in Fixture::all() {
        let Some(new) = run().json(&fixture.body) else {
            continue;
        };
        let (old, new) = (
            String::from_utf8(fixture.body).expect("text"),
            String::from_utf8(new).expect("text"),
        );
        assert_eq!(skeleton(&new), skeleton(&old), "{}", path.display());
        assert!(
            serde_json::from_str::<&serde_json::value::RawValue>(
                new.trim_start_matches('\u{feff}')
            )
            .is_ok()
        );
        for person in [
            "Marta",
            "Quill",
            "Tobias",
            "Fenwick",
            "Okonjo",
            "5f3a9c1e7b2d48006a91c3e7",
            "6b0f7d3c-52e8",
            "acme",
            "0c9e4b7a1d2f4e83b65a7c1092d8e4f6",
            "192.0.2.17\"",
            "Harbour Works",
            "港 太郎",
            "t.fenwick",
            "17672616",
        ] {
            // An address of the ranges for documentation may be the replacement of another.
            let survives = new.contains(person) && !person.starts_with("192.");
            assert!(!survives, "{person} survives in {}", path.display());
        }
        tried += 1;
    }
    assert!(tried > 50, "only {tried} were JSON");
}

prop_compose! {
    /// A record whose every identifying value is long enough not to come out by chance.
    fn record()(
        name in "[A-Z][a-z]{7,12} [A-Z][a-z]{7,12}",
        wide in "[äöüßéñ]{9,12}",
        hex in "[1-9][a-f][0-9a-f]{22}",
        digits in "[1-9][0-9]{9,14}",
        uuid in "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}",
        local in "[a-z]{8,12}(\\.[a-z]{8})?",
        octets in proptest::array::uniform3(100u8..200),
        six in "fd00(:[1-9a-f][0-9a-f]{3}){7}",
        space in "[A-Z]{9,12}",
        unknown in "[a-z]{9,12}",
    ) -> (Value, Vec<String>) {
        let address = format!("10.{}.{}.{}", octets[0], octets[1], octets[2]);
        let email = format!("{local}@{unknown}.example");
        let record = json!({
            "author": {"type": "user", "displayName": name, "accountId": hex, "userKey": hex, "publicName": wide,
                "email": email, "profile": {"id": digits.parse::<u64>().unwrap_or_default(), "nick": unknown}},
            "remoteAddress": address,
            "creationDate": 1_767_261_600_000_u64,
            "summary": format!("Changed by {email} from {address} ({six}) for {hex}"),
            "affectedObject": {"name": format!("{name}:{uuid}"), "objectType": "Group"},
            "changedValues": [{"name": "Space key", "oldValue": space, "newValue": format!("~{digits}:{uuid}")}],
            "associatedObjects": [{"name": format!("{wide} at {six}"), "objectType": "Page"}],
            "_links": {"self": format!("https://{unknown}.atlassian.net/wiki/{space}?searchString={unknown}&cursor={hex}")},
        });
        let mut secrets: Vec<_> = name.split(' ').map(str::to_owned).collect();
        secrets.extend([wide, hex, digits, uuid, local, address, six, space, unknown]);
        (record, secrets)
    }
}

proptest! {
    #[test]
    fn no_original_survives(generated in proptest::collection::vec(record(), 1..4), key in any::<[u8; 32]>(), pretty: bool) {
        let (records, secrets): (Vec<_>, Vec<_>) = generated.into_iter().unzip();
        let page = json!({"results": records, "start": 0, "limit": 25, "size": records.len()});
        let text = if pretty { format!("{page:#}") } else { page.to_string() };
        let mut run = Pseudonymiser::new(key, None);
        let new = json(&mut run, &text);
        prop_assert_eq!(skeleton(&new), skeleton(&text));
        for secret in secrets.iter().flatten() {
            prop_assert!(!new.to_lowercase().contains(&secret.to_lowercase()), "{} survives in {}", secret, new);
        }
        // The same in, the same out, also later in the run.
        prop_assert_eq!(json(&mut run, &text), new);
    }

    #[test]
    fn equal_stay_equal_and_different_stay_different(names in proptest::collection::vec("[a-z]{3,8}", 2..40)) {
        let text = json!(names).to_string();
        let new: Vec<String> = serde_json::from_str(&json(&mut run(), &text)).expect("JSON");
        for (a, x) in names.iter().zip(&new) {
            for (b, y) in names.iter().zip(&new) {
                prop_assert_eq!(a == b, x == y);
            }
        }
    }

    #[test]
    fn any_string_keeps_its_document_well_formed(string in any::<String>(), key in any::<String>()) {
        let text = json!({key: [string, {"_links": {"next": string, "displayName": string}}], "summary": string}).to_string();
        let new = json(&mut run(), &text);
        prop_assert!(serde_json::from_str::<Value>(&new).is_ok(), "{}", new);
    }
}
