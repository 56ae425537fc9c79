//! Replaces what identifies people and places in a recorded response, and nothing else: the order
//! of keys, whitespace, the spelling of numbers and the way in which characters are escaped stay
//! as the server wrote them, because these are what a fixture is recorded for.
//!
//! Within one run the same text always becomes the same other text, so that references between
//! records still hold. Everything hangs on a random key that is never written down: who has only
//! the fixtures cannot test a guess.
//!
//! The rule is to replace: a string stays only where its key says that it is the service's own
//! vocabulary (`summary`, `category`, …), and even there ids and addresses are replaced.

mod forms;
mod json;
mod place;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use forms::Found;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use json::{decoded, end_of_string, units};
use place::Place;

const DAY_MS: i64 = 86_400_000;
/// The shortest number, in digits, that may be an id.
const ID_DIGITS: usize = 5;

/// Strings that Confluence itself writes where a name is expected; tests depend on them.
const KEPT_VALUES: &[&str] = &["System", "Unknown user", "Anonymous", "true", "false"];
/// Keys whose strings are words of the service.
const VOCABULARY_KEYS: &[&str] = &[
    "accountType",
    "category",
    "code",
    "error",
    "error_description",
    "message",
    "objectType",
    "operation",
    "scope",
    "scopes",
    "status",
    "summary",
    "targetType",
    "token_type",
    "type",
    "units",
];
/// Keys whose strings are addresses.
const URL_KEYS: &[&str] = &[
    "avatarUrl",
    "base",
    "context",
    "href",
    "next",
    "path",
    "prev",
    "self",
    "url",
];
/// Keys whose numbers count something.
const COUNT_KEYS: &[&str] = &[
    "code",
    "expires_in",
    "limit",
    "number",
    "size",
    "start",
    "status",
    "statusCode",
    "totalSize",
];
/// Path segments and query parameters that are the API's own.
const KEPT_SEGMENTS: &[&str] = &[
    "",
    "wiki",
    "rest",
    "api",
    "audit",
    "since",
    "export",
    "retention",
    "ex",
    "confluence",
    "space",
    "spaces",
    "user",
    "group",
    "content",
    "pages",
    "_edge",
    "tenant_info",
];
const KEPT_PARAMETERS: &[&str] = &["start", "limit", "number", "units", "format", "expand"];

const CONSONANTS: &[u8] = b"bcdfghjklmnprstvwz";
const VOWELS: &[u8] = b"aeiou";
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
// Letters of two, three and four bytes: a replacement is as long as what it replaces.
const TWO_BYTES: &[char] = &[
    'ä', 'é', 'î', 'õ', 'ü', 'ñ', 'ç', 'ø', 'š', 'ž', 'ą', 'ę', 'ć', 'ł', 'ő', 'ř', 'β', 'δ', 'λ',
    'π',
];
const THREE_BYTES: &[char] = &[
    '港', '湾', '潮', '風', '船', '灯', '島', '橋', '浜', '波', '岬', '峰',
];
const FOUR_BYTES: &[char] = &['𐌰', '𐌱', '𐌲', '𐌳', '𐌴', '𐌵', '𐌶', '𐌷'];

/// What may stay in a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treat {
    /// Words of the service: only ids, addresses, hosts and dates are replaced.
    Vocabulary,
    /// Anything may name a person or a place: every word is replaced.
    Free,
    /// An absolute or relative address: the API's own segments and parameters stay.
    Url,
}

/// One run's replacements.
pub(crate) struct Pseudonymiser {
    key: [u8; 32],
    shift_days: i64,
    /// The site's own host, when it is not below `atlassian.net`, which is always recognised.
    own_host: Option<String>,
    words: HashMap<String, Vec<char>>,
    words_taken: HashSet<Vec<char>>,
    addresses: HashMap<Ipv4Addr, Ipv4Addr>,
    addresses_taken: HashSet<Ipv4Addr>,
}

/// A replacement and the range of the decoded text that it replaces.
type Edit = (Range<usize>, String);

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
            addresses_taken: HashSet::new(),
        };
        // Whole days, so that a time of day survives; backwards, so that no record is in the future.
        let mut bytes = [0; 2];
        run.stream("shift", "").fill(&mut bytes);
        run.shift_days = -(30 + i64::from(u16::from_le_bytes(bytes) % 600));
        run
    }

    /// The JSON text with what identifies replaced; `None` when it is not JSON.
    pub(crate) fn json(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(text).ok()?;
        let (mark, text) = text
            .strip_prefix('\u{feff}')
            .map_or(("", text), |rest| ("\u{feff}", rest));
        // From here on the text is known to be well formed, which keeps the walk below simple.
        serde_json::from_str::<&serde_json::value::RawValue>(text).ok()?;
        let mut out = String::with_capacity(text.len() + mark.len());
        out.push_str(mark);
        self.walk(text, &mut out);
        Some(out.into_bytes())
    }

    /// A text that is not in JSON: a header's value.
    pub(crate) fn text(&mut self, text: &str, treat: Treat) -> String {
        let edits = self.edits(text, treat);
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for (range, new) in edits {
            out.push_str(&text[done..range.start]);
            out.push_str(&new);
            done = range.end;
        }
        out.push_str(&text[done..]);
        out
    }

    /// A date as headers write it, moved like every other; anything else is returned as it is.
    pub(crate) fn http_date(&self, value: &str) -> String {
        let Ok(parsed) = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value) else {
            return value.to_owned();
        };
        let shift = self.shift_days * 24;
        let Ok(moved) = parsed.checked_add(shift.hours()) else {
            return value.to_owned();
        };
        Timestamp::strftime(&moved, "%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    fn walk(&mut self, text: &str, out: &mut String) {
        let bytes = text.as_bytes();
        let mut place = Place::default();
        let mut at = 0;
        while at < bytes.len() {
            let start = at;
            match bytes[at] {
                b'"' => {
                    at = end_of_string(bytes, at);
                    let literal = &text[start..at];
                    if place.expects_key() {
                        place.set_key(&decoded(literal));
                        self.string(literal, Treat::Vocabulary, false, out);
                    } else {
                        self.string(literal, place.treat(), place.is_date(), out);
                    }
                }
                b'-' | b'0'..=b'9' => {
                    at += bytes[at..]
                        .iter()
                        .take_while(|byte| b"0123456789+-.eE".contains(byte))
                        .count();
                    let number = self.number(&text[start..at], &place);
                    out.push_str(&number);
                }
                // Literals, punctuation and whitespace are ASCII in well-formed JSON.
                byte => {
                    place.step(byte);
                    out.push(char::from(byte));
                    at += 1;
                }
            }
        }
    }

    fn string(&mut self, literal: &str, treat: Treat, is_date: bool, out: &mut String) {
        let units = units(literal);
        let text: String = units.iter().map(|unit| unit.char).collect();
        if is_date && let Some(moved) = self.shifted(&text) {
            out.push('"');
            out.push_str(&moved);
            out.push('"');
            return;
        }
        if treat != Treat::Url && KEPT_VALUES.contains(&text.as_str()) {
            out.push_str(literal);
            return;
        }
        let mut edits = self.edits(&text, treat).into_iter().peekable();
        let mut units = units.into_iter().peekable();
        let mut offset = 0;
        out.push('"');
        while let Some(unit) = units.next() {
            let Some((range, new)) = edits.next_if(|(range, _)| range.start == offset) else {
                offset += unit.char.len_utf8();
                out.push_str(unit.written);
                continue;
            };
            let mut replaced = vec![unit];
            offset += unit.char.len_utf8();
            while offset < range.end
                && let Some(unit) = units.next()
            {
                offset += unit.char.len_utf8();
                replaced.push(unit);
            }
            if new.chars().count() == replaced.len() {
                for (unit, new) in replaced.iter().zip(new.chars()) {
                    unit.write_like(new, out);
                }
            } else {
                // Only addresses change their length, and theirs are letters, digits and points.
                out.push_str(&new);
            }
        }
        out.push('"');
    }

    fn number(&mut self, number: &str, place: &Place) -> String {
        if place.is_date()
            && let Some(moved) = self.shifted(number)
        {
            return moved;
        }
        if COUNT_KEYS.contains(&place.key()) {
            return number.to_owned();
        }
        let mut out = String::with_capacity(number.len());
        let mantissa = number.find(['e', 'E']).unwrap_or(number.len());
        let mut rest = &number[..mantissa];
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (run, tail) = rest.split_at(digits.max(1));
            if digits >= ID_DIGITS {
                out.extend(self.word(run));
            } else {
                out.push_str(run);
            }
            rest = tail;
        }
        out.push_str(&number[mantissa..]);
        out
    }

    /// Milliseconds since the epoch, moved; `None` when they are not plausibly that.
    fn shifted(&self, digits: &str) -> Option<String> {
        if digits.len() != 13 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let at: i64 = digits.parse().ok()?;
        Some((at + self.shift_days * DAY_MS).to_string()).filter(|moved| moved.len() == 13)
    }

    fn edits(&mut self, text: &str, treat: Treat) -> Vec<Edit> {
        let mut edits = Vec::new();
        if treat == Treat::Url {
            self.url(text, &mut edits);
        } else {
            self.prose(text, 0..text.len(), treat, &mut edits);
        }
        edits
    }

    fn prose(&mut self, text: &str, range: Range<usize>, treat: Treat, edits: &mut Vec<Edit>) {
        let base = range.start;
        let part = &text[range];
        for (found, span) in forms::find(part, self.own_host.as_deref()) {
            let old = &part[span.clone()];
            if let Some(new) = self.replacement(found, old, treat) {
                edits.push((base + span.start..base + span.end, new));
            }
        }
    }

    fn replacement(&mut self, found: Found, old: &str, treat: Treat) -> Option<String> {
        Some(match found {
            Found::Email => format!(
                "user-{}@example.com",
                self.tag("email", &old.to_lowercase())
            ),
            Found::Host => self.host(old),
            Found::AccountId => {
                let (digits, uuid) = old.split_once(':')?;
                let digits: String = self.word(digits).into_iter().collect();
                format!("{digits}:{}", self.uuid(uuid))
            }
            Found::Uuid => self.uuid(old),
            Found::Hex => self.hex(old),
            Found::Address(IpAddr::V4(old)) => self.ipv4(old).to_string(),
            Found::Address(IpAddr::V6(old)) => self.ipv6(old).to_string(),
            Found::Date(date) => format!("{}{}", self.date(date)?, &old[forms::DATE..]),
            Found::Word if treat == Treat::Vocabulary => return None,
            Found::Word => self.word(old).into_iter().collect(),
        })
    }

    fn url(&mut self, text: &str, edits: &mut Vec<Edit>) {
        let mut at = 0;
        if let Some(scheme) = text.find("://") {
            let start = scheme + 3;
            let end = text[start..]
                .find(['/', '?', '#'])
                .map_or(text.len(), |length| start + length);
            let host = &text[start..end];
            // Atlassian's own hosts are the same for everybody.
            if !host.ends_with(".atlassian.com") {
                edits.push((start..end, self.host(host)));
            }
            at = end;
        }
        let query = text[at..]
            .find(['?', '#'])
            .map_or(text.len(), |length| at + length);
        for (segment, range) in split(text, at..query, '/') {
            if !KEPT_SEGMENTS.contains(&segment) {
                self.escaped(text, range, edits);
            }
        }
        for (parameter, range) in split(text, query..text.len(), '&') {
            let Some(equals) = parameter.find('=') else {
                self.escaped(text, range, edits);
                continue;
            };
            let name = parameter[..equals].trim_start_matches(['?', '#']);
            let value = range.start + equals + 1..range.end;
            if is_date_key(name)
                && let Some(moved) = self.shifted(&text[value.clone()])
            {
                edits.push((value, moved));
            } else if !KEPT_PARAMETERS.contains(&name) {
                self.escaped(text, value, edits);
            }
        }
    }

    /// Free text in an address: a percent sign and its two digits are one character, kept.
    fn escaped(&mut self, text: &str, range: Range<usize>, edits: &mut Vec<Edit>) {
        let mut start = range.start;
        while let Some(length) = text[start..range.end].find('%') {
            self.prose(text, start..start + length, Treat::Free, edits);
            let after = start + length + 3;
            start = if text.is_char_boundary(after) {
                after
            } else {
                start + length + 1
            };
            if start >= range.end {
                return;
            }
        }
        self.prose(text, start..range.end, Treat::Free, edits);
    }

    fn stream(&self, kind: &str, text: &str) -> blake3::OutputReader {
        let mut hash = blake3::Hasher::new_keyed(&self.key);
        hash.update(kind.as_bytes())
            .update(&[0])
            .update(text.as_bytes());
        hash.finalize_xof()
    }

    fn tag(&self, kind: &str, text: &str) -> String {
        let mut bytes = [0; 4];
        self.stream(kind, text).fill(&mut bytes);
        format!("{:08x}", u32::from_le_bytes(bytes))
    }

    fn host(&self, old: &str) -> String {
        let old = old.to_ascii_lowercase();
        let tag = self.tag("host", &old);
        if old.ends_with(".atlassian.net") {
            format!("site-{tag}.atlassian.net")
        } else {
            format!("host-{tag}.example.com")
        }
    }

    /// As many characters, of the same kinds: letters for letters in the same case, digits for
    /// digits, and a word of the same bytes' length.
    fn word(&mut self, old: &str) -> Vec<char> {
        let lower = old.to_ascii_lowercase();
        if !self.words.contains_key(&lower) {
            let new = self.invented(&lower);
            self.words_taken.insert(new.clone());
            self.words.insert(lower.clone(), new);
        }
        let new = &self.words[&lower];
        old.chars()
            .zip(new)
            .map(|(old, &new)| {
                if old.is_ascii_uppercase() {
                    new.to_ascii_uppercase()
                } else {
                    new
                }
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
            new = old
                .iter()
                .enumerate()
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
        old.chars()
            .map(|char| {
                let mut byte = [0];
                stream.fill(&mut byte);
                let digit = char::from_digit(u32::from(byte[0] % 16), 16).unwrap_or('0');
                match char {
                    '-' => '-',
                    _ if upper => digit.to_ascii_uppercase(),
                    _ => digit,
                }
            })
            .collect()
    }

    /// The version and the variant are the form of a UUID and stay.
    fn uuid(&self, old: &str) -> String {
        let mut new = self.hex(old);
        for form in [14..15, 19..20] {
            new.replace_range(form.clone(), &old[form]);
        }
        new
    }

    /// An address of the ranges for documentation; two become one only when there are more than these
    /// ranges hold.
    fn ipv4(&mut self, old: Ipv4Addr) -> Ipv4Addr {
        const RANGES: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
        const SIZE: usize = RANGES.len() * 254;
        if let Some(&new) = self.addresses.get(&old) {
            return new;
        }
        let mut bytes = [0; 2];
        self.stream("ipv4", &old.to_string()).fill(&mut bytes);
        let first = usize::from(u16::from_le_bytes(bytes));
        let candidates = (0..SIZE).map(|step| {
            let index = (first + step) % SIZE;
            let [a, b, c] = RANGES[index % RANGES.len()];
            // At most 254, since the index is below three times that.
            let last = u8::try_from(index / RANGES.len() + 1).unwrap_or(u8::MAX);
            Ipv4Addr::new(a, b, c, last)
        });
        let mut other = candidates.filter(|new| *new != old);
        let new = other
            .clone()
            .find(|new| !self.addresses_taken.contains(new))
            .or_else(|| other.next())
            .unwrap_or(Ipv4Addr::new(192, 0, 2, 1));
        self.addresses.insert(old, new);
        self.addresses_taken.insert(new);
        new
    }

    fn ipv6(&self, old: Ipv6Addr) -> Ipv6Addr {
        let mut bytes = [0; 16];
        self.stream("ipv6", &old.to_string()).fill(&mut bytes[8..]);
        bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        Ipv6Addr::from(bytes)
    }

    fn date(&self, old: Date) -> Option<String> {
        Some(old.checked_add(self.shift_days.days()).ok()?.to_string())
    }
}

/// A character of the same kind and of the same length in UTF-8.
fn like(old: char, index: usize, length: usize, stream: &mut blake3::OutputReader) -> char {
    let mut byte = [0];
    stream.fill(&mut byte);
    let byte = usize::from(byte[0]);
    let ascii = |set: &[u8]| char::from(set[byte % set.len()]);
    let wide = |set: &[char]| set[byte % set.len()];
    match old {
        // A number that is not zero does not begin with one.
        '0'..='9' if index == 0 && length > 1 => ascii(b"123456789"),
        '0'..='9' => ascii(b"0123456789"),
        _ if old.is_ascii() && length == 1 => ascii(ALPHABET),
        // A consonant and a vowel in turn, so that a reviewer can say the word.
        _ if old.is_ascii() && index.is_multiple_of(2) => ascii(CONSONANTS),
        _ if old.is_ascii() => ascii(VOWELS),
        _ if old.len_utf8() == 2 => wide(TWO_BYTES),
        _ if old.len_utf8() == 3 => wide(THREE_BYTES),
        _ => wide(FOUR_BYTES),
    }
}

/// The parts between separators with their ranges.
fn split(
    text: &str,
    range: Range<usize>,
    separator: char,
) -> impl Iterator<Item = (&str, Range<usize>)> {
    let mut at = range.start;
    text[range].split(separator).map(move |part| {
        let start = at;
        at += part.len() + separator.len_utf8();
        (part, start..start + part.len())
    })
}

fn is_date_key(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    lower.contains("date") || lower.contains("time") || key.ends_with("At")
}

#[cfg(test)]
mod tests;
