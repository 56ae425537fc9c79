//! Generator of pseudonyms: what replaces a word, an id, an address or a date. All hang on one key.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};

const DAY_MS: i64 = 86_400_000;

/// One run's pseudonyms.
pub(super) struct Generator {
    key: [u8; 32],
    shift_days: i64,
    words: HashMap<String, Vec<char>>,
    words_taken: HashSet<Vec<char>>,
    addresses: HashMap<Ipv4Addr, Ipv4Addr>,
    /// The number of the next address for documentation.
    next_address: usize,
}

impl Generator {
    pub(super) fn new(key: [u8; 32]) -> Self {
        let mut new = Self {
            key,
            shift_days: 0,
            words: HashMap::new(),
            words_taken: HashSet::new(),
            addresses: HashMap::new(),
            next_address: 0,
        };
        // Whole days, so that a time of day survives; backwards, so that no record is in the future.
        let days = u16::from_le_bytes(new.bytes("shift", ""));
        new.shift_days = -(30 + i64::from(days % 600));
        new
    }

    /// Milliseconds since the epoch, moved; `None` when they are not plausibly that.
    pub(super) fn moved(&self, digits: &str) -> Option<String> {
        if digits.len() != 13 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let at: i64 = digits.parse().ok()?;
        Some((at + self.shift_days * DAY_MS).to_string()).filter(|moved| moved.len() == 13)
    }

    /// A date as headers write it, moved; `None` when it is none.
    pub(super) fn http_date(&self, value: &str) -> Option<String> {
        let date = jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(value)
            .ok()?;
        let moved = date.checked_add((self.shift_days * 24).hours()).ok()?;
        Some(Timestamp::strftime(&moved, "%a, %d %b %Y %H:%M:%S GMT").to_string())
    }

    pub(super) fn date(&self, old: Date) -> Option<Date> {
        old.checked_add(self.shift_days.days()).ok()
    }

    pub(super) fn email(&self, old: &str) -> String {
        format!(
            "user-{}@example.com",
            self.tag("email", &old.to_lowercase())
        )
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

    pub(super) fn host(&self, old: &str) -> String {
        let old = old.to_ascii_lowercase();
        let tag = self.tag("host", &old);
        match old.rsplit_once(".atlassian.") {
            Some((_, "net")) => format!("site-{tag}.atlassian.net"),
            // Atlassian's own hosts are the same for everybody.
            Some((name, "com")) if !name.contains('@') => old,
            _ => format!("host-{tag}.example.com"),
        }
    }

    /// As many characters, of the same kinds: letters for letters in the same case, digits for
    /// digits, and a word of the same bytes' length.
    pub(super) fn word(&mut self, old: &str) -> String {
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
    pub(super) fn hex(&self, old: &str) -> String {
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
    pub(super) fn uuid(&self, old: &str) -> String {
        let mut new = self.hex(old);
        for form in [14..15, 19..20] {
            new.replace_range(form.clone(), &old[form]);
        }
        new
    }

    /// The next address of the ranges for documentation; two become one only when there are more than
    /// these ranges hold.
    pub(super) fn ipv4(&mut self, old: Ipv4Addr) -> Ipv4Addr {
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

    pub(super) fn ipv6(&self, old: Ipv6Addr) -> Ipv6Addr {
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
