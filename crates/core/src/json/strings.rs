//! Strings, members and elements of a JSON text that has already been found well-formed.
//!
//! A record is passed on as the bytes that the server sent, so all that is done with it (finding
//! its time, laying it on one line, naming its content) works on those bytes.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

/// The value's text without insignificant white space.
pub(crate) fn compact(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut kept = 0; // everything before it is in `out`
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = string_end(text, at),
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.reserve(text.len() - out.len());
                out.extend_from_slice(&text[kept..at]);
                at += 1;
                kept = at;
            }
            _ => at += 1,
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(&text[kept..]);
    Cow::Owned(out)
}

/// Where the string that opens at `at` ends: the index behind its closing quote.
#[inline]
fn string_end(text: &[u8], at: usize) -> usize {
    string(text, at).0
}

/// The same, and whether there is an escape in it.
#[inline]
pub(crate) fn string(text: &[u8], at: usize) -> (usize, bool) {
    let mut at = at + 1;
    let mut escaped = false;
    while let Some(found) = quote_or_backslash(text.get(at..).unwrap_or_default()) {
        at += found;
        if text[at] == b'"' {
            return (at + 1, escaped);
        }
        escaped = true;
        at += 2;
    }
    (text.len(), escaped)
}

/// Most strings are short, so the first words are looked at before `memchr` is worth its call.
#[inline]
fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    const WORDS: usize = 4;
    let (words, _) = text.as_chunks::<8>();
    for (index, word) in words.iter().take(WORDS).enumerate() {
        let found = quotes_and_backslashes(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let looked_at = words.len().min(WORDS) * 8;
    memchr2(b'"', b'\\', &text[looked_at..]).map(|found| looked_at + found)
}

/// How many bytes of a string are looked at together.
pub(crate) const CHUNK: usize = 16;

/// Where the first quote or backslash of `chunk` is.
#[inline]
pub(crate) fn quote_or_backslash_in(chunk: &[u8; CHUNK]) -> Option<usize> {
    let (words, _) = chunk.as_chunks::<8>();
    words.iter().enumerate().find_map(|(index, word)| {
        let found = quotes_and_backslashes(u64::from_le_bytes(*word));
        (found != 0).then(|| index * 8 + found.trailing_zeros() as usize / 8)
    })
}

/// Where the first byte is that no string holds as it is: a quote, a backslash or a control
/// character.
#[inline]
pub(crate) fn special(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = quotes_and_backslashes(word) | below(word, 0x20);
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let found = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    Some(words.len() * 8 + found)
}

/// The high bit of each byte that is one of them; behind the first one others may be set too.
#[inline]
const fn quotes_and_backslashes(word: u64) -> u64 {
    zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c))
}

const ONES: u64 = u64::MAX / 0xff;

/// The high bit of each byte that is zero; behind the first one others may be set too.
#[inline]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// The high bit of each byte that is less than `least`, which is 128 at most; behind the first one
/// others may be set too.
#[inline]
const fn below(word: u64, least: u8) -> u64 {
    word.wrapping_sub(ONES * least as u64) & !word & (ONES << 7)
}

/// Where the value that begins at `at` ends, in compact text.
pub(crate) fn value_end(text: &[u8], at: usize) -> usize {
    let mut at = at;
    let mut depth = 0_usize;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = string_end(text, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' => {
                // A closing bracket that is not ours ends the scalar before it.
                let Some(outer) = depth.checked_sub(1) else {
                    return at;
                };
                depth = outer;
                at += 1;
            }
            b',' if depth == 0 => return at,
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// One member of an object: where its key (with quotes) and its value stand.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// The members of the object that `text` is, in order; none when it is something else.
///
/// `text` is compact.
pub(crate) fn members(text: &[u8]) -> impl Iterator<Item = Member> + '_ {
    let mut at = if text.first() == Some(&b'{') {
        1
    } else {
        text.len()
    };
    std::iter::from_fn(move || {
        if text.get(at) != Some(&b'"') {
            return None;
        }
        let key = at..string_end(text, at);
        let begin = key.end + 1; // over the colon
        let value = begin..value_end(text, begin);
        at = value.end + 1; // over the comma or the closing brace
        Some(Member { key, value })
    })
}

/// The elements of the array that `text` is, in order; none when it is something else.
///
/// `text` is compact.
#[cfg(test)]
pub(crate) fn elements(text: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = if text.first() == Some(&b'[') {
        1
    } else {
        text.len()
    };
    std::iter::from_fn(move || {
        if at >= text.len() || text[at] == b']' {
            return None;
        }
        let element = at..value_end(text, at);
        at = element.end + 1;
        Some(element)
    })
}

/// What the string `text` (with its quotes) says, escapes undone.
///
/// A lone surrogate, which JSON can write and UTF-8 cannot, comes out as the three bytes that
/// UTF-8 would use for it: distinct strings stay distinct.
pub(crate) fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    let inner = text
        .get(1..text.len().saturating_sub(1))
        .unwrap_or_default();
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..backslash]);
        let escape = rest.get(backslash + 1).copied().unwrap_or(b'\\');
        let mut used = 2;
        match escape {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut code = hex4(rest, backslash + 2);
                used = 6;
                if (0xd800..0xdc00).contains(&code) && rest[backslash + 6..].starts_with(b"\\u") {
                    let low = hex4(rest, backslash + 8);
                    if (0xdc00..0xe000).contains(&low) {
                        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                        used = 12;
                    }
                }
                push_code_point(&mut out, code);
            }
            other => out.push(other),
        }
        rest = rest.get(backslash + used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

fn hex4(text: &[u8], at: usize) -> u32 {
    text.get(at..at + 4)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .unwrap_or(0xfffd)
}

fn push_code_point(out: &mut Vec<u8>, code: u32) {
    let continuation = |bits: u32| 0x80 | u8::try_from(bits & 0x3f).unwrap_or_default();
    match char::from_u32(code) {
        Some(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        // All surrogates begin with the same byte.
        None => out.extend_from_slice(&[0xed, continuation(code >> 6), continuation(code)]),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[ab]".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((prop_oneof![any::<String>(), "[ab]"], inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn pretty_text_compacts_to_what_serde_json_writes_compactly(value in any_json()) {
            let pretty = serde_json::to_vec_pretty(&value).unwrap();
            let tight = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(compact(&pretty), &tight[..]);
            prop_assert!(matches!(compact(&tight), Cow::Borrowed(_)));
        }

        #[test]
        fn members_and_elements_are_those_that_serde_json_finds(value in any_json()) {
            let text = serde_json::to_vec(&value).unwrap();
            let own: Vec<_> = members(&text)
                .map(|m| (unescape(&text[m.key]).into_owned(), text[m.value].to_vec()))
                .collect();
            let theirs: Vec<_> = value.as_object().into_iter().flatten()
                .map(|(k, v)| (k.clone().into_bytes(), serde_json::to_vec(v).unwrap()))
                .collect();
            prop_assert_eq!(own, theirs);
            let own: Vec<_> = elements(&text).map(|e| text[e].to_vec()).collect();
            let theirs: Vec<_> = value.as_array().into_iter().flatten()
                .map(|v| serde_json::to_vec(v).unwrap())
                .collect();
            prop_assert_eq!(own, theirs);
        }
    }

    #[test]
    fn every_escape_is_undone_and_surrogates_pair_up_or_stay_distinct() {
        let text = br#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#;
        assert_eq!(unescape(text), "a\"\\/\u{8}\u{c}\n\r\té😀".as_bytes());
        assert_ne!(unescape(br#""\ud800""#), unescape(br#""\udc00""#));
        assert_eq!(unescape(br#""\ud800x""#).last(), Some(&b'x'));
        assert_eq!(unescape(br#""\ud800\n""#).last(), Some(&b'\n'));
    }
}
