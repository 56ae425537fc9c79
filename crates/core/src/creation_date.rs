//! The field `creationDate`: its key, and every form in which its value is a time.

use crate::time::Timestamp;

/// The field's key, as it is written.
pub(crate) const KEY: &[u8] = br#""creationDate""#;

/// The time that a value of this text is; `None` when it is none in any form that is known.
pub(crate) fn read(value: &[u8]) -> Option<Timestamp> {
    if let Some(millis) = digits(value) {
        return Some(Timestamp::from_millis(millis));
    }
    let text = std::str::from_utf8(value).ok()?;
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let number = quoted.unwrap_or(text).trim();
    if let Ok(millis) = number.parse() {
        return Some(Timestamp::from_millis(millis));
    }
    if quoted.is_some() {
        return Timestamp::parse_rfc3339(number);
    }
    whole(number.parse().ok()?)
}

/// A number of digits alone, as nearly every time is.
fn digits(value: &[u8]) -> Option<i64> {
    // So many digits fit.
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value.iter().try_fold(0, |number: i64, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// A number such as `1.643097111962E12`, when it is whole and exact.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked before"
)]
fn whole(number: f64) -> Option<Timestamp> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    (number.fract() == 0.0 && number.abs() <= EXACT)
        .then_some(Timestamp::from_millis(number as i64))
}
