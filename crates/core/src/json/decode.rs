//! The JSON decoder of responses; an error about one that does not fit quotes its outline alone.
//!
//! What does not fit may be the log all the same, which is nobody's business but the outputs':
//! an error quotes nothing of it but the words of an error object.

use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::printable::printable;

/// The fields of an error object that say what went wrong.
const WORDS: [&str; 6] = [
    "code",
    "error",
    "errorMessage",
    "message",
    "status",
    "statusCode",
];

/// How much of a cause is kept, in characters.
const CAUSE_SHOWN: usize = 300;

/// Decodes a body, telling apart what is not JSON, what is cut, and what is another JSON.
pub(crate) fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    // Some gateways put a byte-order mark before it.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    serde_json::from_slice(body).map_err(|error| misfit(body).with_source(cause(&error)))
}

/// Decodes a body that is an object: what derives `Deserialize` takes a list of its fields too.
pub(crate) fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    decode(body).map(|Object(value)| value)
}

/// Which failure it is that `body` could not be decoded.
fn misfit(body: &[u8]) -> Error {
    let begins_as_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(_) => unexpected(body),
        Err(error) if error.is_eof() && begins_as_json => {
            Error::new(ErrorKind::CutBody, "the JSON of the answer ends early")
        }
        Err(_) => {
            let error = Error::new(ErrorKind::NotJson, "the answer is not JSON");
            if begins_as_json {
                error
            } else {
                error.with_body(body)
            }
        }
    }
}

/// The error that an answer of this JSON is where something else was expected.
pub(crate) fn unexpected(body: &[u8]) -> Error {
    let message = "the answer is JSON of another shape";
    Error::new(ErrorKind::UnexpectedJson, message).with_body(outline(body).as_bytes())
}

fn outline(json: &[u8]) -> String {
    let Ok(fields) = serde_json::from_slice::<Map<String, Value>>(json) else {
        let kind = match json.trim_ascii_start().first() {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "a string",
            Some(b'n') => "null",
            _ => "a number or a boolean",
        };
        return kind.to_owned();
    };
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| {
            let quoted = WORDS.contains(&name.as_str()) && !value.is_object() && !value.is_array();
            let name = Value::from(name.as_str());
            if quoted {
                format!("{name}:{value}")
            } else {
                format!("{name}:…")
            }
        })
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// A whole number, which some services write as a string.
pub(crate) fn whole_number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}

/// What serde says of JSON that it cannot take, without the text that it quotes.
pub(crate) fn cause(error: &serde_json::Error) -> Box<dyn StdError + Send + Sync> {
    let text = error.to_string();
    let unquoted = match (text.find('"'), text.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            format!("{}…{}", &text[..=first], &text[last..])
        }
        _ => text,
    };
    printable(&unquoted, CAUSE_SHOWN).into()
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Body {
        #[expect(dead_code, reason = "it is only decoded")]
        results: Vec<bool>,
    }

    fn fails(body: &str) -> (ErrorKind, String) {
        let error = object::<Body>(body.as_bytes()).unwrap_err();
        let cause = error.source().unwrap().to_string();
        (error.kind(), format!("{error} / {cause}"))
    }

    #[test]
    fn what_is_no_json_what_is_cut_and_what_is_another_json_are_distinguished() {
        use ErrorKind::{CutBody, NotJson, UnexpectedJson};
        for (body, kind) in [
            ("", NotJson),
            ("<html>", NotJson),
            ("404 page not found", NotJson),
            ("nul", NotJson),
            (r#"{"results":[}"#, NotJson),
            (r#"{"results":7} {}"#, NotJson),
            (r#"{"results":7"#, CutBody),
            ("[[true]", CutBody),
            ("null", UnexpectedJson),
            ("17", UnexpectedJson),
            ("[[true]]", UnexpectedJson),
            (r#"{"results":null}"#, UnexpectedJson),
        ] {
            assert_eq!(fails(body).0, kind, "{body}");
        }
        assert!(object::<Body>(b"\xef\xbb\xbf {\"results\":[true]}").is_ok());
    }

    #[test]
    fn nothing_of_what_may_be_the_log_is_quoted() {
        for body in [
            r#"{"results":["canary"]}"#,
            r#"{"results":[{"summary":"canary"#,
            r#"{"results":[{"summary":"canary"}]} {}"#,
            r#"{"summary":"canary","message":{"of":"canary"}}"#,
            r#"[{"summary":"canary"}]"#,
            r#"{"results":["\" canary \""]}"#,
            r#""canary""#,
        ] {
            let message = fails(body).1;
            assert!(!message.contains("canary"), "{message}");
        }
        let (_, message) = fails(r#"{"code":500,"message":"out of order","data":["x"]}"#);
        assert!(
            message.contains(r#"{"code":500,"message":"out of order","data":…}"#),
            "{message}"
        );
        assert!(fails("upstream is down").1.contains("upstream is down"));
    }
}
