//! Scanner: finds the records in the body of a response, in one pass.
//!
//! It knows well-formed JSON and nothing else: where it does not, `serde_json` is asked, whose word
//! counts and who says what is wrong. So it may refuse what is a page, and must never take what is
//! none.

use std::ops::Range;

use crate::json::strings as json;

/// The list of records in an answer.
#[derive(Debug, PartialEq)]
pub(crate) struct List {
    /// Where the list stands, with its brackets.
    pub(crate) range: Range<usize>,
    pub(crate) elements: Vec<Element>,
}

/// One value of the list.
#[derive(Debug, PartialEq)]
pub(crate) struct Element {
    pub(crate) range: Range<usize>,
    /// Whether there is no insignificant white space in it.
    pub(crate) is_compact: bool,
    /// Where the value of the first member with the key that was looked for begins, if it is an
    /// object and has one.
    pub(crate) member: Option<usize>,
}

/// The list that is the value of the first member called `name` (with its quotes) of the object that
/// `text` begins with, and in each of its objects the member called `key`. What follows the list is
/// not looked at.
pub(crate) fn list(text: &[u8], name: &[u8], key: &[u8]) -> Option<List> {
    let mut scan = Scan {
        text,
        at: 0,
        spaced: false,
        key,
        member: None,
    };
    scan.white_space();
    scan.take(b'{')?;
    loop {
        scan.white_space();
        if scan.key()? == name && scan.next()? == b'[' {
            break;
        }
        scan.value()?;
        scan.white_space();
        scan.take(b',')?;
    }
    let begin = scan.at;
    let elements = scan.elements()?;
    let range = begin..scan.at;
    // A text of other bytes is not JSON, and all marks are one byte of ASCII.
    std::str::from_utf8(text.get(range.clone())?).ok()?;
    Some(List { range, elements })
}

/// So many objects and lists may be open: a bit each, and one below them.
const DEEPEST: u32 = u64::BITS - 1;

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    /// White space was skipped.
    spaced: bool,
    key: &'a [u8],
    /// Where the value of the key in the outermost object begins.
    member: Option<usize>,
}

impl<'a> Scan<'a> {
    #[inline]
    fn next(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    #[inline]
    fn white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.next() {
            self.spaced = true;
            self.at += 1;
        }
    }

    fn elements(&mut self) -> Option<Vec<Element>> {
        let mut elements = Vec::new();
        self.take(b'[')?;
        self.white_space();
        if self.take(b']').is_some() {
            return Some(elements);
        }
        loop {
            let begin = self.at;
            (self.spaced, self.member) = (false, None);
            self.value()?;
            elements.push(Element {
                range: begin..self.at,
                is_compact: !self.spaced,
                member: self.member,
            });
            self.white_space();
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(elements);
            }
            self.white_space();
        }
    }

    /// A key and its colon, and the white space about it.
    #[inline]
    fn key(&mut self) -> Option<&'a [u8]> {
        let begin = self.at;
        (self.next()? == b'"').then_some(())?;
        self.string()?;
        let key = self.text.get(begin..self.at)?;
        self.white_space();
        self.take(b':')?;
        self.white_space();
        Some(key)
    }

    /// A value, from its first byte to behind its last.
    fn value(&mut self) -> Option<()> {
        // The kinds of what is open, the innermost in the lowest bit: 1 is an object.
        let mut open: u64 = 1;
        loop {
            match self.next()? {
                b'"' => self.string()?,
                b'{' => {
                    self.at += 1;
                    self.white_space();
                    if self.take(b'}').is_none() {
                        (open.leading_zeros() > u64::BITS - 1 - DEEPEST).then_some(())?;
                        open = open << 1 | 1;
                        self.key_of(open)?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    self.white_space();
                    if self.take(b']').is_none() {
                        (open.leading_zeros() > u64::BITS - 1 - DEEPEST).then_some(())?;
                        open <<= 1;
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => return None,
            }
            // Behind a value, and behind all that it is the last of.
            loop {
                if open == 1 {
                    return Some(());
                }
                self.white_space();
                let in_object = open & 1 == 1;
                match self.next()? {
                    b',' => {
                        self.at += 1;
                        self.white_space();
                        if in_object {
                            self.key_of(open)?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return None,
                }
                self.at += 1;
                open >>= 1;
            }
        }
    }

    /// A key of the innermost of what is `open`.
    #[inline]
    fn key_of(&mut self, open: u64) -> Option<()> {
        const OUTERMOST: u64 = 0b11;
        let key = self.key()?;
        if open == OUTERMOST && self.member.is_none() && key == self.key {
            self.member = Some(self.at);
        }
        Some(())
    }

    #[inline]
    fn string(&mut self) -> Option<()> {
        let mut at = self.at + 1;
        loop {
            at += json::special(self.text.get(at..)?)?;
            match self.text[at] {
                b'"' => {
                    self.at = at + 1;
                    return Some(());
                }
                b'\\' => at = self.escape(at)?,
                // Control characters stand in no string.
                _ => return None,
            }
        }
    }

    /// Where the escape that begins at `at` ends.
    fn escape(&self, at: usize) -> Option<usize> {
        match self.text.get(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
            b'u' => {
                let digits = self.text.get(at + 2..at + 6)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 6)
            }
            _ => None,
        }
    }

    #[inline]
    fn number(&mut self) -> Option<()> {
        // Without a minus nothing changes.
        let _ = self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.next() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.next() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    #[inline]
    fn digits(&mut self) -> Option<()> {
        let begin = self.at;
        while let Some(b'0'..=b'9') = self.next() {
            self.at += 1;
        }
        (self.at > begin).then_some(())
    }

    #[inline]
    fn word(&mut self, word: &[u8]) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        rest.starts_with(word).then(|| self.at += word.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;
    use crate::json::strings::tests::any_json;

    fn scan(text: &str) -> Option<List> {
        list(text.as_bytes(), b"\"list\"", b"\"a\"")
    }

    /// A list of the one element `text`.
    fn accepts(text: &[u8]) -> bool {
        let page = [b"{\"list\":[", text, b"]}"].concat();
        list(&page, b"\"list\"", b"\"a\"")
            .is_some_and(|list| list.elements.len() == 1 && list.range.end == page.len() - 1)
    }

    fn is_json(text: &[u8]) -> bool {
        serde_json::from_slice::<&RawValue>(text).is_ok()
    }

    #[test]
    fn the_list_is_found_behind_other_members_and_what_follows_it_is_not_looked_at() {
        let text = r#" {"x":{"list":[9]}, "list" : [ {"a":1} ,[ 2 ],{"b":{"a":1}},{"a" :3}], ? "#;
        let found = scan(text).expect("it is there");
        let list = r#"[ {"a":1} ,[ 2 ],{"b":{"a":1}},{"a" :3}]"#;
        assert_eq!(&text[found.range], list);
        let elements = found.elements.into_iter().map(|it| {
            let member = it.member.map(|at| &text[at..=at]);
            (&text[it.range], it.is_compact, member)
        });
        assert_eq!(
            elements.collect::<Vec<_>>(),
            [
                (r#"{"a":1}"#, true, Some("1")),
                ("[ 2 ]", false, None),
                (r#"{"b":{"a":1}}"#, true, None),
                (r#"{"a" :3}"#, false, Some("3")),
            ]
        );
        for none in [
            "",
            "{",
            "{}",
            "[]",
            r#"{"list":{}}"#,
            r#"{"x":1}"#,
            r#"{"list":[1"#,
            r#"["list",[1]]"#,
        ] {
            assert_eq!(scan(none), None, "{none}");
        }
        assert_eq!(scan(r#"{"list":[ ]}"#).unwrap().elements, []);
    }

    #[test]
    fn what_is_no_json_is_not_taken() {
        for text in [
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "1e+",
            "tru",
            "nul",
            "True",
            "\"\t\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "{\"a\":1]",
            "",
            "1,,2",
            "\u{feff}1",
            "'a'",
            "NaN",
            "--1",
            "{,}",
        ] {
            assert!(
                !is_json(text.as_bytes()) && !accepts(text.as_bytes()),
                "{text}"
            );
        }
        assert!(!accepts(b"\"\xff\""));
        for text in [
            "0",
            "-0",
            "-0.5e-7",
            "1E+2",
            "\"\\u12aF\\/\"",
            "[[],{},[{}]]",
            "\"\u{7f}é\"",
        ] {
            assert!(
                is_json(text.as_bytes()) && accepts(text.as_bytes()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_nested_too_deeply_is_left_to_others() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(accepts(nested(60).as_bytes()));
        assert!(!accepts(nested(200_000).as_bytes()));
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_taken_and_its_white_space_and_member_known(value in any_json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let tight = serde_json::to_string(&value).unwrap();
            for text in [&pretty, &tight] {
                let page = format!("{{\"list\":[{text}]}}");
                let found = scan(&page).expect("it is well-formed");
                let [element] = &found.elements[..] else { panic!("one value is one element") };
                prop_assert_eq!(&page[element.range.clone()], text.as_str());
                prop_assert_eq!(element.is_compact, *text == tight);
                let member = json::members(tight.as_bytes())
                    .find(|member| &tight[member.key.clone()] == "\"a\"");
                prop_assert_eq!(element.member.is_some(), member.is_some());
                if let (Some(at), Some(member), true) = (element.member, member, element.is_compact) {
                    prop_assert_eq!(at - element.range.start, member.value.start);
                }
            }
        }

        #[test]
        fn nothing_is_taken_that_serde_json_refuses(
            value in any_json(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
        ) {
            let mut text = serde_json::to_vec(&value).unwrap();
            for (index, byte, kind) in changes {
                let marks = b"{}[]\",:\\ 0-e.\x1f\xff";
                let byte = marks.get(usize::from(byte)).copied().unwrap_or(byte);
                let at = index.index(text.len() + 1);
                match kind {
                    0 => text.insert(at, byte),
                    1 if at < text.len() => text[at] = byte,
                    _ if at < text.len() => drop(text.remove(at)),
                    _ => {}
                }
            }
            // An element may be two by now, and the list may end in it.
            prop_assert!(!accepts(&text) || is_json(&text), "{}", String::from_utf8_lossy(&text));
        }
    }
}
