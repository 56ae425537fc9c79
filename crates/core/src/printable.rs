//! Escapes control and bidirectional characters in untrusted text.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with everything escaped that could break a line, steer a terminal or reorder what is
/// seen: control characters (C0, DEL, C1), line and paragraph separators, and bidirectional
/// controls. Beyond `most` characters it is cut, and an ellipsis says so.
///
/// ```
/// use confluence_audit_core::printable;
///
/// assert_eq!(printable("a\u{1b}[31mb\nc", 80), "a\\u{1b}[31mb\\nc");
/// assert_eq!(printable("abcdef", 3), "abc…");
/// ```
pub fn printable(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most));
    for (count, char) in text.chars().enumerate() {
        if count == most {
            out.push('…');
            break;
        }
        if is_unsafe(char) {
            // Writing to a string cannot fail.
            let _ = write!(out, "{}", char.escape_default());
        } else {
            out.push(char);
        }
    }
    out
}

/// The JSON text `json` with the same characters escaped as JSON escapes them: it means what it
/// meant, and is safe to look at.
///
/// ```
/// use confluence_audit_core::printable_json;
///
/// assert_eq!(printable_json("\"a\u{9b}b\""), r#""a\u009bb""#);
/// ```
pub fn printable_json(json: &str) -> Cow<'_, str> {
    // By far most texts hold none of the bytes that an unsafe character begins with.
    let may_begin = |byte: &u8| matches!(byte, 0..0x20 | 0x7f | 0xc2 | 0xd8 | 0xe2);
    let may_hold = |piece: &[u8]| piece.iter().fold(false, |may, byte| may | may_begin(byte));
    if !json.as_bytes().chunks(64).any(may_hold) || !json.contains(is_unsafe) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        if is_unsafe(char) {
            // All of them are in the basic plane.
            let _ = write!(out, "\\u{:04x}", u32::from(char));
        } else {
            out.push(char);
        }
    }
    Cow::Owned(out)
}

fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_passes() {
        let hostile = "\0\u{7}\u{1b}]0;x\u{7f}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{85}";
        let shown = printable(hostile, 100);
        assert!(shown.chars().all(|char| !is_unsafe(char)), "{shown}");
        assert_eq!(printable("naïve 😀 \"quoted\"", 100), "naïve 😀 \"quoted\"");
    }

    #[test]
    fn every_unsafe_character_is_escaped_in_json_too() {
        for char in ('\0'..=char::MAX).filter(|char| is_unsafe(*char)) {
            let text = format!("{}{char}", "é".repeat(40));
            assert!(!printable_json(&text).contains(char), "{char:?}");
        }
    }
}
