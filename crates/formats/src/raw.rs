//! `raw`: the record on one line as `jq -c '.results[]'` prints it, for readers that expect what
//! a script with `jq` wrote.
//!
//! | the server wrote | the line holds |
//! |---|---|
//! | white space between tokens | none |
//! | keys, in their order; one that stands twice | the same (jq keeps the last one only) |
//! | numbers | the same digits (jq rounds some) |
//! | `\/`, `\u00e9` and other needless escapes | `/`, `é` |
//! | `\u001B` | `\u001b` |
//! | DEL (U+007F) | `\u007f`, as jq does since 1.7 |
//! | half of a surrogate pair, `\ud800` | `\ud800` (jq 1.6 gives up on the whole page) |
//!
//! ```
//! use confluence_audit_core::RawRecord;
//! use confluence_audit_formats::raw;
//!
//! let record = RawRecord::parse(r#"{ "name": "caf\u00e9 \/ bar", "n": 1.0 }"#)?;
//! assert_eq!(&raw::line(&record)[..], r#"{"name":"café / bar","n":1.0}"#.as_bytes());
//! # Ok::<(), confluence_audit_core::Error>(())
//! ```

use bytes::Bytes;
use confluence_audit_core::RawRecord;

/// The record's line, without a line break at its end. It shares the record's memory unless the
/// record holds an escape.
pub fn line(record: &RawRecord) -> Bytes {
    let text = record.line();
    // Escapes and DEL stand in strings only, so strings need not be told from the rest.
    match memchr::memchr2(b'\\', DEL, text) {
        None => text.clone(),
        Some(_) => rewritten(text).into(),
    }
}

const DEL: u8 = 0x7f;

fn rewritten(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = memchr::memchr2(b'\\', DEL, rest) {
        out.extend_from_slice(&rest[..found]);
        rest = &rest[found..];
        let used = if rest[0] == DEL {
            push(&mut out, '\u{7f}');
            1
        } else {
            push_escape(&mut out, rest)
        };
        rest = rest.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// Writes what the escape at the beginning of `text` means, and says how long it is.
fn push_escape(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let (length, char) = match text.get(1) {
        Some(b'/') => (2, Some('/')),
        Some(b'u') => unicode_escape(text),
        // The other two-letter escapes are jq's own spelling.
        _ => (2, None),
    };
    match char {
        Some(char) => push(out, char),
        None => out.extend_from_slice(&text[..length.min(text.len())]),
    }
    length
}

/// The length and the character of a `\uXXXX`, or of a surrogate pair; none for half a pair.
fn unicode_escape(text: &[u8]) -> (usize, Option<char>) {
    let unit = |at: usize| {
        let digits = std::str::from_utf8(text.get(at..at + 4)?).ok()?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(2);
    let second = text
        .get(6..8)
        .filter(|escape| escape == b"\\u")
        .and_then(|_| unit(8));
    let decode = |units: [Option<u16>; 2]| char::decode_utf16(units.into_iter().flatten()).next();
    match (decode([first, None]), decode([first, second])) {
        (Some(Ok(char)), _) => (6, Some(char)),
        (_, Some(Ok(char))) => (12, Some(char)),
        _ => (6, None),
    }
}

/// Writes a character of a string as jq does.
fn push(out: &mut Vec<u8>, char: char) {
    let letter = match char {
        '"' | '\\' => char,
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\0'..' ' | '\u{7f}' => {
            out.extend_from_slice(format!("\\u{:04x}", u32::from(char)).as_bytes());
            return;
        }
        _ => {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
    };
    out.extend_from_slice(format!("\\{letter}").as_bytes());
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        let record = RawRecord::parse(text.to_owned()).unwrap();
        String::from_utf8(line(&record).to_vec()).unwrap()
    }

    #[test]
    fn strings_are_spelled_as_jq_spells_them() {
        assert_eq!(of(r#""\u0041\u00e9\u20ac\ud83d\ude00\/""#), "\"Aé€😀/\"");
        assert_eq!(
            of(r#""\u0008\u000C\u000A\u000d\u0009\u0022\u005C""#),
            r#""\b\f\n\r\t\"\\""#
        );
        assert_eq!(of(r#""\u001B\u0000""#), r#""\u001b\u0000""#);
        assert_eq!(of("\"a\u{7f}b\u{9b}\""), "\"a\\u007fb\u{9b}\"");
        assert_eq!(of(r#""C:\\u0041\\n""#), r#""C:\\u0041\\n""#);
    }

    #[test]
    fn what_jq_would_lose_is_kept() {
        for text in [r#""\ud800""#, r#""\udc00\ud800x""#, r#""\ud800\u0020""#] {
            let expected = text.replace("\\u0020", " ");
            assert_eq!(of(text), expected);
        }
        let text = r#"{"a":1,"a":12345678901234567890,"b":1.0,"c":1e400,"d":-0}"#;
        assert_eq!(of(text), text);
    }

    #[test]
    fn a_record_without_escapes_is_not_copied() {
        let record = RawRecord::parse(r#"{"a":"café / 'bar'"}"#).unwrap();
        assert_eq!(line(&record).as_ptr(), record.line().as_ptr());
    }

    proptest! {
        #[test]
        fn every_spelling_of_a_text_gives_one_line_that_means_the_same(
            text in any::<String>(), escaped in any::<Vec<bool>>(),
        ) {
            let mut spelled = String::from('"');
            for (index, char) in text.chars().enumerate() {
                if escaped.get(index).copied().unwrap_or(false) || char < ' ' || "\"\\".contains(char) {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        write!(spelled, "\\u{unit:04X}").unwrap();
                    }
                } else {
                    spelled.push(char);
                }
            }
            spelled.push('"');
            let line = of(&spelled);
            let breaks = |char: char| char < ' ' || char == '\u{7f}';
            prop_assert!(!line.contains(breaks));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text.clone());
            // Only DEL is spelled differently from serde_json, which writes it bare.
            let plain = serde_json::to_string(&text).unwrap().replace('\u{7f}', "\\u007f");
            prop_assert_eq!(line, plain);
        }
    }
}
