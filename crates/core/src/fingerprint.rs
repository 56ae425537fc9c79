//! The fingerprint of a record, which has no id: a hash of its content.
//!
//! Confluence gives no record an id, so a record is named by a cryptographic hash of its content:
//! whoever can name a page cannot hide an event behind another one. The hash is taken of a
//! canonical form of what identifies the event, because services reorder keys, change how they
//! escape strings, and add fields, and because some fields about the author are looked up when the
//! log is read and not when it was written. `json/canonical.rs` has the list, and why.

use std::fmt;

use crate::json::canonical::canonical;

/// 160 bits that name a record's content, the same on every host and for every order of keys.
///
/// It counts when it happened, to whom, from where, what, to what object, and what changed. Fields
/// that are not known do not count, so that a field which the service adds makes no record another
/// one; neither do the author's names, flags and permissions, which tell of the account as it is
/// when the log is read. A record without any field that is known counts whole. Two real events can be identical to the byte, so records are
/// counted by fingerprint, never merely tested for it.
///
/// ```
/// use confluence_audit_core::RawRecord;
///
/// let one = RawRecord::parse(r#"{"summary":"Page moved","creationDate":1643097111962}"#)?;
/// let same = RawRecord::parse(r#"{"creationDate": 1643097111962, "summary": "Page\u0020moved"}"#)?;
/// assert_eq!(one.fingerprint(), same.fingerprint());
/// # Ok::<(), confluence_audit_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; Self::LEN]);

impl Fingerprint {
    /// How many bytes it has.
    pub const LEN: usize = 20;

    /// The fingerprint with these bytes, as one stored earlier.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The fingerprint of a record's compact text.
    pub(crate) fn of(line: &[u8]) -> Self {
        let hash = canonical(line, blake3::hash);
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice(&hash.as_bytes()[..Self::LEN]);
        Self(bytes)
    }
}

/// Lower-case hexadecimal, 40 digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each line that is written has it, so it is spelled at once and not digit by digit.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |bits: u8| char::from(DIGITS[usize::from(bits & 0xf)]);
        let digits = self
            .0
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(*byte)]);
        f.write_str(&digits.collect::<String>())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Fingerprint {
        Fingerprint::of(text.as_bytes())
    }

    #[test]
    fn a_fingerprint_stays_what_it_was_in_every_release() {
        // Ledgers on disk hold these: a change here makes every collector emit its log again. The
        // expected value is from another implementation of the canonical form and of BLAKE3.
        let line = r#"{"author":{"type":"user","accountId":"5e7229","displayName":"Ana"},"creationDate":1643097111962,"summary":"Page moved","changedValues":[{"n":1.0,"x":null}]}"#;
        assert_eq!(
            of(line).to_string(),
            "c1b49d8946c3be60274d6aebcc364033b0877631"
        );
    }

    #[test]
    fn what_is_looked_up_at_reading_time_does_not_make_another_record() {
        let before = r#"{"author":{"accountId":"1","displayName":"Ana","accountType":"","isGuest":false,"operations":null,"publicName":"x","externalCollaborator":false,"isExternalCollaborator":false},"creationDate":5}"#;
        let after = r#"{"creationDate":"5","author":{"displayName":"Ana B.","accountId":"1","operations":[]}}"#;
        assert_eq!(of(before), of(after));
    }

    #[test]
    fn a_field_that_the_service_adds_or_leaves_out_where_it_is_empty_makes_no_other_record() {
        let base = r#"{"author":{"type":"user","accountId":"1","username":""},"creationDate":5,"summary":"Page moved","description":"","affectedObject":{"name":"a","objectType":"Page"},"changedValues":[{"name":"n","oldValue":"","newValue":"1"}],"associatedObjects":[]}"#;
        for same in [
            r#"{"author":{"type":"user","accountId":"1"},"creationDate":5,"summary":"Page moved","affectedObject":{"name":"a","objectType":"Page"},"changedValues":[{"name":"n","newValue":"1"}]}"#,
            r#"{"author":{"type":"user","accountId":"1","isBot":true},"creationDate":5,"summary":"Page moved","affectedObject":{"id":7,"name":"a","objectType":"Page"},"changedValues":[{"name":"n","oldValue":null,"newValue":"1","kind":"x"}],"region":"eu","superAdmin":true,"associatedObjects":null}"#,
        ] {
            assert_eq!(of(base), of(same), "{same}");
        }
        // What is known to differ does.
        assert_ne!(
            of(base),
            of(&base.replace("Page moved", "Seite verschoben"))
        );
        assert_ne!(
            of(base),
            of(&base.replace("\"newValue\":\"1\"", "\"newValue\":\"2\""))
        );
        // A record of a shape that is not known counts whole.
        assert_ne!(of(r#"{"event":1}"#), of(r#"{"event":2}"#));
    }

    #[test]
    fn every_other_difference_makes_another_record() {
        let base = r#"{"author":{"accountId":"1"},"creationDate":5,"affectedObject":{"displayName":"a","n":1}}"#;
        for other in [
            r#"{"author":{"accountId":"2"},"creationDate":5,"affectedObject":{"displayName":"a","n":1}}"#,
            r#"{"author":{"accountId":"1"},"creationDate":6,"affectedObject":{"displayName":"a","n":1}}"#,
            r#"{"author":{"accountId":"1"},"creationDate":5,"affectedObject":{"displayName":"b","n":1}}"#,
            r#"{"author":{"accountId":"1"},"creationDate":5,"affectedObject":{"displayName":"a","n":1.0}}"#,
            r#"{"author":{"accountId":"1"},"creationDate":5,"affectedObject":{"displayName":"a","n":"1"}}"#,
            r#"{"author":{"accountId":"1","accountId":"1"},"creationDate":5,"affectedObject":{"displayName":"a","n":1}}"#,
        ] {
            assert_ne!(of(base), of(other), "{other}");
        }
    }

    #[test]
    fn hostile_nesting_does_not_exhaust_the_stack() {
        let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
        let deeper = format!("{}2{}", "[".repeat(200_000), "]".repeat(200_000));
        assert_ne!(of(&deep), of(&deeper));
    }

    proptest! {
        #[test]
        fn the_order_of_keys_never_matters(pairs in prop::collection::btree_map(".*", ".*", 0..8)) {
            let write = |pairs: Vec<(&String, &String)>| {
                let members: Vec<_> = pairs.into_iter()
                    .map(|(k, v)| format!("{}:{}", serde_json::json!(k), serde_json::json!(v)))
                    .collect();
                of(&format!("{{{}}}", members.join(",")))
            };
            prop_assert_eq!(write(pairs.iter().collect()), write(pairs.iter().rev().collect()));
        }
    }
}
