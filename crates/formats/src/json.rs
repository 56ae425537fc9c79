//! JSON as the formats made of it write it.

use confluence_audit_core::{Timestamp, printable_json};
use serde_json::Value;

/// The value on one line that can neither break nor steer a terminal.
pub(crate) fn to_line(value: &Value) -> String {
    printable_json(&value.to_string()).into_owned()
}

/// Takes away, at every depth, what says nothing: `null`, `""`, `{}` and `[]`.
pub(crate) fn prune(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(prune);
            members.retain(|_, value| !is_empty(value));
        }
        Value::Array(elements) => {
            elements.iter_mut().for_each(prune);
            elements.retain(|value| !is_empty(value));
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The time in RFC 3339, with a year of four digits; `None` outside of those years.
pub(crate) fn rfc3339(time: Timestamp) -> Option<String> {
    let text = time.to_string();
    // A time beyond the calendar displays as a bare number, one before the year 0 with a sign.
    (text.ends_with('Z') && !text.starts_with('-')).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_becomes_empty_by_pruning_is_pruned_too() {
        let mut value = json!({
            "a": {"b": {"c": [null, "", {}, [[]], {"d": null}]}},
            "no": false, "zero": 0, "list": ["", "x"],
        });
        prune(&mut value);
        assert_eq!(value, json!({"no": false, "zero": 0, "list": ["x"]}));
    }

    #[test]
    fn only_times_that_every_reader_of_rfc_3339_knows_are_written() {
        let of = |millis| rfc3339(Timestamp::from_millis(millis));
        assert_eq!(of(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(of(-1).as_deref(), Some("1969-12-31T23:59:59.999Z"));
        for beyond in [i64::MIN, -62_167_219_200_001, 253_402_300_800_000, i64::MAX] {
            assert_eq!(of(beyond), None, "{beyond}");
        }
    }
}
