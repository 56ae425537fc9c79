//! JSON's strings, character by character, each with the way in which it was written.

use std::borrow::Cow;

/// One character of a string and the way in which it was written.
#[derive(Clone, Copy)]
pub(super) struct Unit<'a> {
    pub(super) char: char,
    pub(super) written: &'a str,
}

impl Unit<'_> {
    /// Writes another character of the same length in the same manner.
    pub(super) fn write_like(self, new: char, out: &mut String) {
        if !self.written.starts_with("\\u") {
            out.push(new);
            return;
        }
        let upper = self.written[2..]
            .bytes()
            .any(|byte| byte.is_ascii_uppercase());
        for code in new.encode_utf16(&mut [0; 2]) {
            let escape = if upper {
                format!("\\u{code:04X}")
            } else {
                format!("\\u{code:04x}")
            };
            out.push_str(&escape);
        }
    }
}

/// The index after a string's closing quote.
pub(super) fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

pub(super) fn decoded(literal: &str) -> Cow<'_, str> {
    if literal.contains('\\') {
        units(literal).iter().map(|unit| unit.char).collect()
    } else {
        literal.trim_matches('"').into()
    }
}

/// A string's characters. A surrogate that stands alone is no character; it decodes to U+FFFD,
/// which is no letter, and so stays as it was written.
pub(super) fn units(literal: &str) -> Vec<Unit<'_>> {
    let inner = &literal[1..literal.len() - 1];
    let code = |at: usize| {
        let digits = inner.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut units = Vec::with_capacity(inner.len());
    let mut at = 0;
    while let Some(first) = inner[at..].chars().next() {
        let (char, length) = match (first, inner.as_bytes().get(at + 1)) {
            ('\\', Some(b'u')) => {
                let pair = [code(at), code(at + 6)];
                let whole = pair[0].and_then(|one| char::from_u32(u32::from(one)));
                let joined = || {
                    let pair = [pair[0]?, pair[1]?];
                    char::decode_utf16(pair)
                        .next()?
                        .ok()
                        .filter(|char| char.len_utf16() == 2)
                };
                match whole {
                    Some(char) => (char, 6),
                    None => joined().map_or((char::REPLACEMENT_CHARACTER, 6), |char| (char, 12)),
                }
            }
            ('\\', Some(letter)) => {
                let char = match letter {
                    b'n' => '\n',
                    b't' => '\t',
                    b'r' => '\r',
                    b'b' => '\u{8}',
                    b'f' => '\u{c}',
                    other => char::from(*other),
                };
                (char, 2)
            }
            _ => (first, first.len_utf8()),
        };
        units.push(Unit {
            char,
            written: &inner[at..at + length],
        });
        at += length;
    }
    units
}
