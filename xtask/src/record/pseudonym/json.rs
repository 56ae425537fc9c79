//! Tokens of a JSON text and characters of its strings, each with the spelling that the server gave it.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// A brace, a string with the colon that makes it a key, or a number. Only for well-formed JSON.
static TOKEN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"[{}]|"((?:[^"\\]|\\.)*)"([ \t\r\n]*:)?|-?[0-9][0-9.eE+-]*"#));

/// A surrogate pair, another escape, or characters as they are.
static CHARACTERS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?s)\\u[dD][89abAB][[:xdigit:]]{2}\\u[dD][c-fC-F][[:xdigit:]]{2}|\\u[[:xdigit:]]{4}|\\.?|[^\\]+",
    )
});

/// Compiles a pattern that is a constant.
#[expect(
    clippy::expect_used,
    reason = "the pattern is a constant, and each is compiled by a test"
)]
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern that compiles")
}

/// A part of a JSON text that may be replaced, or that says where the next one is. Strings are without
/// their quotes.
pub(super) enum Token<'a> {
    Open,
    Close,
    Key(&'a str),
    Text(&'a str),
    Number(&'a str),
}

/// A well-formed JSON text in which `replace` has given another text for some of its tokens.
pub(super) fn replace_tokens(
    text: &str,
    mut replace: impl FnMut(Token<'_>) -> Option<String>,
) -> String {
    let new = TOKEN.replace_all(text, |found: &Captures<'_>| {
        let whole = &found[0];
        let inner = found.get(1).map(|inner| inner.as_str());
        let token = match (whole, inner, found.get(2)) {
            ("{", ..) => Token::Open,
            ("}", ..) => Token::Close,
            (_, Some(key), Some(_)) => Token::Key(key),
            (_, Some(text), None) => Token::Text(text),
            _ => Token::Number(whole),
        };
        match (replace(token), inner) {
            (None, _) => whole.to_owned(),
            (Some(new), None) => new,
            // Whatever stands around a string stays: quotes, white space, the colon.
            (Some(new), Some(inner)) => format!("\"{new}{}", &whole[1 + inner.len()..]),
        }
    });
    new.into_owned()
}

/// One character of a text, where it stands there, and how it was written.
#[derive(Clone, Copy)]
pub(super) struct Character<'a> {
    pub(super) at: usize,
    pub(super) char: char,
    pub(super) written: &'a str,
}

impl Character<'_> {
    /// Writes another character in the same manner: escaped where this one is.
    pub(super) fn write_like(self, new: char, out: &mut String) {
        if new == self.char {
            out.push_str(self.written);
        } else if let Some(digits) = self.written.strip_prefix("\\u") {
            let is_upper = digits.bytes().any(|byte| byte.is_ascii_uppercase());
            for code in new.encode_utf16(&mut [0; 2]) {
                let escape = format!("{code:04x}");
                out.push_str("\\u");
                out.push_str(&if is_upper {
                    escape.to_uppercase()
                } else {
                    escape
                });
            }
        } else {
            out.push(new);
        }
    }
}

/// The text that a JSON string stands for, and its characters. A surrogate that stands alone is no
/// character; it reads as U+FFFD, which is no letter, and so stays as it was written.
pub(super) fn read(string: &str) -> (String, Vec<Character<'_>>) {
    let (mut text, mut characters) = (String::new(), Vec::new());
    let mut push = |char: char, written| {
        let at = text.len();
        characters.push(Character { at, char, written });
        text.push(char);
    };
    for found in CHARACTERS.find_iter(string) {
        let written = found.as_str();
        if written.starts_with('\\') {
            let char = serde_json::from_str(&format!("\"{written}\""));
            push(char.unwrap_or(char::REPLACEMENT_CHARACTER), written);
        } else {
            for (at, char) in written.char_indices() {
                push(char, &written[at..at + char.len_utf8()]);
            }
        }
    }
    (text, characters)
}
