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
mod json;

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use json::{Token, pattern};
use regex::Regex;

const DAY_MS: i64 = 86_400_000;
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

/// One run's pseudonyms.
pub(crate) struct Pseudonymiser {
    key: [u8; 32],
    shift_days: i64,
    /// The site's own host, when it is not below `atlassian.net`, which is always recognised.
    own_host: Option<String>,
    words: HashMap<String, Vec<char>>,
    words_taken: HashSet<Vec<char>>,
    addresses: HashMap<Ipv4Addr, Ipv4Addr>,
    /// The number of the next address for documentation.
    next_address: usize,
}

impl Pseudonymiser {
    /// A run that hangs on `key`, which has to come from the system's random source.
    pub(crate) fn new(key: [u8; 32], own_host: Option<&str>) -> Self {
        let mut run = Self {
            key,
            shift_days: 0,
            own_host: own_host.map(str::to_ascii_lowercase),
            words: HashMap::new(),
            words_taken: HashSet::new(),
            addresses: HashMap::new(),
            next_address: 0,
        };
        // Whole days, so that a time of day survives; backwards, so that no record is in the future.
        let [low, high] = run.bytes("shift", "");
        run.shift_days = -(30 + i64::from(u16::from_le_bytes([low, high]) % 600));
        run
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
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value);
        let moved = date.and_then(|date| date.checked_add((self.shift_days * 24).hours()));
        moved.map_or_else(
            |_| value.to_owned(),
            |moved: Timestamp| moved.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        )
    }

    fn number(&mut self, number: &str, is_date: bool) -> String {
        if is_date && let Some(moved) = self.moved(number) {
            return moved;
        }
        let (mantissa, exponent) = number.split_at(number.find(['e', 'E']).unwrap_or(number.len()));
        let digits = |digits: &regex::Captures<'_>| self.word(&digits[0]);
        ID.replace_all(mantissa, digits).into_owned() + exponent
    }

    /// Milliseconds since the epoch, moved; `None` when they are not plausibly that.
    fn moved(&self, digits: &str) -> Option<String> {
        if digits.len() != 13 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let at: i64 = digits.parse().ok()?;
        Some((at + self.shift_days * DAY_MS).to_string()).filter(|moved| moved.len() == 13)
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
                None => (piece.word.clone(), Some(self.word(&text[piece.word]))),
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
            "interface" | "interface_too" => (kind == Kind::Url).then(|| old.to_owned()),
            "instant" if kind == Kind::Url => {
                let (name, instant) = old.split_once('=')?;
                Some(format!("{name}={}", self.moved(instant)?))
            }
            "origin" => {
                let (scheme, host) = old.split_once("://")?;
                Some(format!("{scheme}://{}", self.host(host)))
            }
            "email" => {
                let tag = self.tag("email", &old.to_lowercase());
                Some(format!("user-{tag}@example.com"))
            }
            "host" => Some(self.host(old)),
            "account" => {
                let (digits, uuid) = old.split_once(':')?;
                Some(format!("{}:{}", self.word(digits), self.uuid(uuid)))
            }
            "uuid" => Some(self.uuid(old)),
            "v6" => {
                // `::` alone is punctuation, and names nobody.
                let old: Ipv6Addr = old.parse().ok()?;
                (!old.is_unspecified()).then(|| self.ipv6(old).to_string())
            }
            "v4" => Some(self.ipv4(old.parse().ok()?).to_string()),
            "date" => {
                let (date, time) = old.split_at(DATE);
                let date: Date = date.parse().ok()?;
                let moved = date.checked_add(self.shift_days.days()).ok()?;
                Some(format!("{moved}{time}"))
            }
            "hex" => {
                // Digits alone are a number, letters alone a word.
                let has = |is: fn(&u8) -> bool| old.as_bytes().iter().any(is);
                (has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)).then(|| self.hex(old))
            }
            _ => None,
        }
    }

    /// Bytes that depend on the key and the text alone.
    fn stream(&self, kind: &str, text: &str) -> blake3::OutputReader {
        let mut hash = blake3::Hasher::new_keyed(&self.key);
        hash.update(kind.as_bytes())
            .update(&[0])
            .update(text.as_bytes());
        hash.finalize_xof()
    }

    fn bytes<const N: usize>(&self, kind: &str, text: &str) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream(kind, text).fill(&mut bytes);
        bytes
    }

    fn tag(&self, kind: &str, text: &str) -> String {
        format!("{:08x}", u32::from_le_bytes(self.bytes(kind, text)))
    }

    fn host(&self, old: &str) -> String {
        let old = old.to_ascii_lowercase();
        let tag = self.tag("host", &old);
        match old.rsplit_once(".atlassian.") {
            Some((_, "net")) => format!("site-{tag}.atlassian.net"),
            // Atlassian's own hosts are the same for everybody.
            Some((_, "com")) => old,
            _ => format!("host-{tag}.example.com"),
        }
    }

    /// As many characters, of the same kinds: letters for letters in the same case, digits for
    /// digits, and a word of the same bytes' length.
    fn word(&mut self, old: &str) -> String {
        let lower = old.to_ascii_lowercase();
        if !self.words.contains_key(&lower) {
            let new = self.invented(&lower);
            self.words_taken.insert(new.clone());
            self.words.insert(lower.clone(), new);
        }
        let pairs = old.chars().zip(&self.words[&lower]);
        pairs
            .map(|(old, new)| match old {
                'A'..='Z' => new.to_ascii_uppercase(),
                _ => *new,
            })
            .collect()
    }

    fn invented(&self, lower: &str) -> Vec<char> {
        let old: Vec<_> = lower.chars().collect();
        let mut new = Vec::new();
        // Two words must not become one, or two records could; there are too few short words to
        // promise it for those.
        for attempt in 0..200 {
            let mut stream = self.stream("word", &format!("{attempt} {lower}"));
            let characters = old.iter().enumerate();
            new = characters
                .map(|(index, &char)| like(char, index, old.len(), &mut stream))
                .collect();
            if new != old && !self.words_taken.contains(&new) {
                break;
            }
        }
        new
    }

    /// Hexadecimal digits for hexadecimal digits; an id stays an id of the same form.
    fn hex(&self, old: &str) -> String {
        let upper = old.bytes().any(|byte| byte.is_ascii_uppercase());
        let mut stream = self.stream("hex", &old.to_ascii_lowercase());
        let mut digit = |char| {
            let mut byte = [0];
            stream.fill(&mut byte);
            let digit = char::from_digit(u32::from(byte[0] % 16), 16).unwrap_or('0');
            match char {
                '-' => '-',
                _ if upper => digit.to_ascii_uppercase(),
                _ => digit,
            }
        };
        old.chars().map(&mut digit).collect()
    }

    /// The version and the variant are the form of a UUID and stay.
    fn uuid(&self, old: &str) -> String {
        let mut new = self.hex(old);
        for form in [14..15, 19..20] {
            new.replace_range(form.clone(), &old[form]);
        }
        new
    }

    /// The next address of the ranges for documentation; two become one only when there are more than
    /// these ranges hold.
    fn ipv4(&mut self, old: Ipv4Addr) -> Ipv4Addr {
        if let Some(&new) = self.addresses.get(&old) {
            return new;
        }
        let mut next = || {
            self.next_address += 1;
            documentation(self.next_address)
        };
        let new = Some(next()).filter(|new| *new != old);
        let new = new.unwrap_or_else(next);
        self.addresses.insert(old, new);
        new
    }

    fn ipv6(&self, old: Ipv6Addr) -> Ipv6Addr {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        bytes[8..].copy_from_slice(&self.bytes::<8>("ipv6", &old.to_string()));
        Ipv6Addr::from(bytes)
    }
}

/// One of the 762 addresses of the ranges for documentation.
fn documentation(number: usize) -> Ipv4Addr {
    const RANGES: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
    let [a, b, c] = RANGES[number % RANGES.len()];
    let last = u8::try_from(number / RANGES.len() % 254).unwrap_or_default();
    Ipv4Addr::new(a, b, c, last + 1)
}

/// A character of the same kind and of the same length in UTF-8.
fn like(old: char, index: usize, length: usize, stream: &mut blake3::OutputReader) -> char {
    let mut byte = [0];
    stream.fill(&mut byte);
    let set = match old {
        // A number that is not zero does not begin with one.
        '0'..='9' if index == 0 && length > 1 => "123456789",
        '0'..='9' => "0123456789",
        _ if old.is_ascii() && length == 1 => "abcdefghijklmnopqrstuvwxyz",
        // A consonant and a vowel in turn, so that a reviewer can say the word.
        _ if old.is_ascii() && index.is_multiple_of(2) => "bcdfghjklmnprstvwz",
        _ if old.is_ascii() => "aeiou",
        _ if old.len_utf8() == 2 => "äéîõüñçøšžąęćłőřβδλπ",
        _ if old.len_utf8() == 3 => "港湾潮風船灯島橋浜波岬峰",
        _ => "𐌰𐌱𐌲𐌳𐌴𐌵𐌶𐌷",
    };
    let count = set.chars().count();
    set.chars().nth(usize::from(byte[0]) % count).unwrap_or(old)
}

#[cfg(test)]
mod tests;
