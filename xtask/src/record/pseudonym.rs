//! Pseudonyms for what identifies people and places in a recorded response. Everything else stays as
//! the server wrote it: the order of keys, white space, the spelling of numbers and the escaping of
//! characters, because these are what a fixture is recorded for.
//!
//! Within one run the same text always becomes the same other text, so that references between records
//! still hold. Everything hangs on a random key that is never written down: who has only the fixtures
//! cannot test a guess.
//!
//! The rule is to replace: a string stays only where its key says that it is the service's own
//! vocabulary (`summary`, `category`, …), and even there ids and addresses are replaced.

mod forms;
mod generator;
mod json;

use std::net::Ipv6Addr;
use std::ops::Range;
use std::sync::LazyLock;

use generator::Generator;
use json::{Token, pattern};
use regex::Regex;

/// The length of a date, before the time that may follow it.
const DATE: usize = 10;

/// Strings that Confluence itself writes where a name is expected; tests depend on them.
const KEPT_VALUES: &[&str] = &["System", "Unknown user", "Anonymous", "true", "false"];

/// What may stay in a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Words of the service: only ids, addresses, hosts and dates are replaced.
    Vocabulary,
    /// Anything may name a person or a place: every word is replaced.
    FreeText,
    /// An absolute or relative address: the API's own segments and parameters stay.
    Url,
}

/// What a key says of its value.
struct Rule {
    strings: Kind,
    /// A number counts something, and is no id.
    counts: bool,
    /// A number of 13 digits is an instant.
    date: bool,
}

impl Rule {
    /// The rule for a value, by its key and that of the object around it.
    fn of(key: &str, parent: &str) -> Self {
        let (strings, counts) = match key {
            _ if parent == "_links" => (Kind::Url, false),
            "name" if parent == "changedValues" => (Kind::Vocabulary, false),
            "avatarUrl" | "base" | "context" | "href" | "next" | "path" | "prev" | "self"
            | "url" => (Kind::Url, false),
            "accountType" | "category" | "error" | "error_description" | "message"
            | "objectType" | "operation" | "scope" | "scopes" | "summary" | "targetType"
            | "token_type" | "type" | "units" => (Kind::Vocabulary, false),
            "code" | "status" => (Kind::Vocabulary, true),
            "expires_in" | "limit" | "number" | "size" | "start" | "statusCode" | "totalSize" => {
                (Kind::FreeText, true)
            }
            _ => (Kind::FreeText, false),
        };
        Self {
            strings,
            counts,
            date: is_date(key),
        }
    }
}

fn is_date(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    lower.contains("date") || lower.contains("time") || key.ends_with("At")
}

/// Digits that may be an id.
static ID: LazyLock<Regex> = LazyLock::new(|| pattern("[0-9]{5,}"));

/// A replacement and the range of the text that it replaces.
type Edit = (Range<usize>, String);

/// Replaces texts, and remembers by what.
pub(crate) struct Pseudonymiser {
    generator: Generator,
    /// The site's own host, when it is not below `atlassian.net`, which is always recognised.
    own_host: Option<String>,
}

impl Pseudonymiser {
    /// A run that hangs on `key`, which has to come from the system's random source.
    pub(crate) fn new(key: [u8; 32], own_host: Option<&str>) -> Self {
        Self {
            generator: Generator::new(key),
            own_host: own_host.map(str::to_ascii_lowercase),
        }
    }

    /// The JSON text with what identifies replaced; `None` when it is not JSON.
    pub(crate) fn json(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(text).ok()?;
        let json = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mark = &text[..text.len() - json.len()];
        // From here on the text is known to be well formed, which keeps the patterns simple.
        serde_json::from_str::<&serde_json::value::RawValue>(json).ok()?;
        // The last key of each object that is open. The elements of an array stand under its key.
        let mut keys: Vec<String> = Vec::new();
        let new = json::replace_tokens(json, |token| {
            let mut outwards = keys.iter().rev().map(String::as_str);
            let key = outwards.next().unwrap_or_default();
            let rule = Rule::of(key, outwards.next().unwrap_or_default());
            match token {
                Token::Open => keys.push(String::new()),
                Token::Close => drop(keys.pop()),
                Token::Key(key) => {
                    if let Some(last) = keys.last_mut() {
                        *last = json::read(key).0;
                    }
                    return Some(self.text(key, Kind::Vocabulary));
                }
                Token::Text(text) if rule.date => {
                    return self
                        .generator
                        .moved(text)
                        .or_else(|| Some(self.text(text, rule.strings)));
                }
                Token::Text(text) => return Some(self.text(text, rule.strings)),
                Token::Number(_) if rule.counts => {}
                Token::Number(number) => return Some(self.number(number, rule.date)),
            }
            None
        });
        Some([mark.as_bytes(), new.as_bytes()].concat())
    }

    /// A text that is written as in JSON, each new character like the one that it replaces.
    pub(crate) fn text(&mut self, written: &str, kind: Kind) -> String {
        let (text, characters) = json::read(written);
        let mut characters = characters.into_iter().peekable();
        let mut out = String::with_capacity(written.len());
        for (range, new) in self.edits(&text, kind) {
            while let Some(kept) = characters.next_if(|character| character.at < range.start) {
                out.push_str(kept.written);
            }
            let old = || characters.next_if(|character| character.at < range.end);
            let old: Vec<_> = std::iter::from_fn(old).collect();
            if old.len() == new.chars().count() {
                for (old, new) in old.iter().zip(new.chars()) {
                    old.write_like(new, &mut out);
                }
            } else {
                // Only addresses change their length, and theirs are letters, digits and points.
                out.push_str(&new);
            }
        }
        out.extend(characters.map(|kept| kept.written));
        out
    }

    /// A date as headers write it, moved like every other; anything else is returned as it is.
    pub(crate) fn http_date(&self, value: &str) -> String {
        self.generator
            .http_date(value)
            .unwrap_or_else(|| value.to_owned())
    }

    fn number(&mut self, number: &str, is_date: bool) -> String {
        if is_date && let Some(moved) = self.generator.moved(number) {
            return moved;
        }
        let (mantissa, exponent) = number.split_at(number.find(['e', 'E']).unwrap_or(number.len()));
        let digits = |digits: &regex::Captures<'_>| self.generator.word(&digits[0]);
        ID.replace_all(mantissa, digits).into_owned() + exponent
    }

    fn edits(&mut self, text: &str, kind: Kind) -> Vec<Edit> {
        let mut edits = Vec::new();
        if kind != Kind::Url && KEPT_VALUES.contains(&text) {
            return edits;
        }
        let mut at = 0;
        while let Some(piece) = forms::next(text, at, self.own_host.as_deref()) {
            let (range, new) = match self.pseudonym(piece.form, &text[piece.range.clone()], kind) {
                Some(new) => (piece.range, Some(new)),
                None if kind == Kind::Vocabulary => (piece.word, None),
                None => (
                    piece.word.clone(),
                    Some(self.generator.word(&text[piece.word])),
                ),
            };
            // What only looks like a form may begin with neither letter nor digit.
            at = range.end.max(at + 1);
            edits.extend(new.map(|new| (range, new)));
        }
        edits
    }

    /// The pseudonym for a text that has a form; `None` where it only looks like that.
    fn pseudonym(&mut self, form: &str, old: &str, kind: Kind) -> Option<String> {
        match form {
            "segment" | "parameter" => (kind == Kind::Url).then(|| old.to_owned()),
            "instant" if kind == Kind::Url => {
                let (name, instant) = old.split_once('=')?;
                Some(format!("{name}={}", self.generator.moved(instant)?))
            }
            "origin" => {
                let (scheme, host) = old.split_once("://")?;
                Some(format!("{scheme}://{}", self.generator.host(host)))
            }
            "email" => Some(self.generator.email(old)),
            "host" => Some(self.generator.host(old)),
            "account" => {
                let (digits, uuid) = old.split_once(':')?;
                Some(format!(
                    "{}:{}",
                    self.generator.word(digits),
                    self.generator.uuid(uuid)
                ))
            }
            "uuid" => Some(self.generator.uuid(old)),
            "v6" => {
                // `::` alone is punctuation, and names nobody.
                let old: Ipv6Addr = old.parse().ok()?;
                (!old.is_unspecified()).then(|| self.generator.ipv6(old).to_string())
            }
            "v4" => Some(self.generator.ipv4(old.parse().ok()?).to_string()),
            "date" => {
                let (date, time) = old.split_at(DATE);
                let moved = self.generator.date(date.parse().ok()?)?;
                Some(format!("{moved}{time}"))
            }
            "hex" => {
                // Digits alone are a number, letters alone a word.
                let has = |is: fn(&u8) -> bool| old.as_bytes().iter().any(is);
                (has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic))
                    .then(|| self.generator.hex(old))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
