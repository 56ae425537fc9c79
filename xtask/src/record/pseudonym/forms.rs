//! What stands in a text: addresses, ids and dates, and between them words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use jiff::civil::Date;

/// The shortest run of hexadecimal digits that is taken for an id and not for a word.
const HEX_DIGITS: usize = 16;
const UUID: usize = 36;
/// The length of a date, before the time that may follow it.
pub(super) const DATE: usize = 10;

/// What a piece of a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// `someone@somewhere`.
    Email,
    /// A site's host.
    Host,
    /// `digits:uuid`, the newest form of an account id.
    AccountId,
    Uuid,
    /// 16 or more hexadecimal digits, such as the other two forms of an account id.
    Hex,
    Address(IpAddr),
    /// `2026-01-31`, with the time of day that may follow.
    Date(Date),
    /// Letters and digits that are none of these.
    Word,
}

/// What stands in the text, in order. What lies between is neither letter nor digit.
pub(super) fn find(text: &str, own_host: Option<&str>) -> Vec<(Found, Range<usize>)> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        // A word is read whole, so here always begins one, or an address that begins with `::`.
        let found = if first.is_alphanumeric() {
            email(rest)
                .or_else(|| host(rest, own_host))
                .or_else(|| account_id(rest))
                .or_else(|| uuid(rest))
                .or_else(|| ipv6(rest))
                .or_else(|| ipv4(rest))
                .or_else(|| date(rest))
                .unwrap_or_else(|| word(rest))
        } else if let Some(found) = ipv6(rest) {
            found
        } else {
            at += first.len_utf8();
            continue;
        };
        let (what, length) = found;
        all.push((what, at..at + length));
        at += length;
    }
    all
}

type Match = Option<(Found, usize)>;

/// The length in bytes of the longest beginning whose characters all fit.
fn run(text: &str, fits: impl Fn(char) -> bool) -> usize {
    text.find(|char| !fits(char)).unwrap_or(text.len())
}

/// Whether a word goes on here, so that what was found before is only a part of it.
fn goes_on(text: &str) -> bool {
    text.starts_with(char::is_alphanumeric)
}

fn email(text: &str) -> Match {
    let local = run(text, |char| {
        char.is_alphanumeric() || "._%+-'".contains(char)
    });
    let domain = text[local..].strip_prefix('@')?;
    let length = run(domain, |char| char.is_alphanumeric() || ".-".contains(char));
    let domain = domain[..length].trim_end_matches(['.', '-']);
    (!domain.is_empty()).then_some((Found::Email, local + 1 + domain.len()))
}

fn host(text: &str, own_host: Option<&str>) -> Match {
    let length = run(text, |char| {
        char.is_ascii_alphanumeric() || ".-".contains(char)
    });
    let name = text[..length].trim_end_matches(['.', '-']);
    let lower = name.to_ascii_lowercase();
    let known = lower.ends_with(".atlassian.net") || own_host == Some(lower.as_str());
    (known && !goes_on(&text[name.len()..])).then_some((Found::Host, name.len()))
}

fn account_id(text: &str) -> Match {
    let digits = run(text, |char| char.is_ascii_digit());
    let (_, length) = uuid(text[digits..].strip_prefix(':')?)?;
    (digits > 0).then_some((Found::AccountId, digits + 1 + length))
}

fn uuid(text: &str) -> Match {
    let form = text
        .get(..UUID)?
        .char_indices()
        .all(|(index, char)| match index {
            8 | 13 | 18 | 23 => char == '-',
            _ => char.is_ascii_hexdigit(),
        });
    (form && !goes_on(&text[UUID..])).then_some((Found::Uuid, UUID))
}

fn ipv6(text: &str) -> Match {
    let length = run(text, |char| char.is_ascii_hexdigit() || ".:".contains(char));
    // A point or a colon may end the sentence rather than belong to the address.
    let ends = [length, text[..length].trim_end_matches(['.', ':']).len()];
    ends.into_iter().find_map(|end| {
        let address: Ipv6Addr = text[..end].parse().ok()?;
        // `::` alone is punctuation, and names nobody.
        let named = !address.is_unspecified() && !goes_on(&text[end..]);
        named.then_some((Found::Address(address.into()), end))
    })
}

fn ipv4(text: &str) -> Match {
    let length = run(text, |char| char.is_ascii_digit() || char == '.');
    let name = text[..length].trim_end_matches('.');
    let address: Ipv4Addr = name.parse().ok()?;
    (!goes_on(&text[name.len()..])).then_some((Found::Address(address.into()), name.len()))
}

fn date(text: &str) -> Match {
    let written = text.get(..DATE)?;
    if !follows(written, "dddd-dd-dd") {
        return None;
    }
    let date: Date = written.parse().ok()?;
    let rest = &text[DATE..];
    let ends = !rest.starts_with(|char: char| char.is_ascii_digit());
    (ends && (1970..2200).contains(&date.year())).then(|| (Found::Date(date), DATE + time(rest)))
}

/// The length of the time of day that stands here, with its fraction and offset; 0 without one.
fn time(text: &str) -> usize {
    let mut end = ["Tdd:dd", " dd:dd"]
        .into_iter()
        .find(|form| follows(text, form))
        .map_or(0, str::len);
    if end > 0 {
        if follows(&text[end..], ":dd") {
            end += 3;
            if follows(&text[end..], ".d") {
                end += 1 + run(&text[end + 1..], |char| char.is_ascii_digit());
            }
        }
        let offsets = ["Z", "+dd:dd", "-dd:dd", "+dddd", "-dddd"];
        end += offsets
            .into_iter()
            .find(|form| follows(&text[end..], form))
            .map_or(0, str::len);
    }
    end
}

/// Whether the text begins in this form, in which `d` stands for a digit.
fn follows(text: &str, form: &str) -> bool {
    let mut chars = text.chars();
    form.chars().all(|form| {
        chars.next().is_some_and(|char| {
            if form == 'd' {
                char.is_ascii_digit()
            } else {
                char == form
            }
        })
    })
}

fn word(text: &str) -> (Found, usize) {
    let length = run(text, char::is_alphanumeric);
    let word = &text[..length];
    let is_id = length >= HEX_DIGITS
        && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && word.bytes().any(|byte| byte.is_ascii_digit())
        // Digits alone are a number, and replaced as one wherever it stands.
        && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    (if is_id { Found::Hex } else { Found::Word }, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Found, &str)> {
        find(text, Some("wiki.corp.example"))
            .into_iter()
            .map(|(what, range)| (what, &text[range]))
            .filter(|(what, _)| *what != Found::Word)
            .collect()
    }

    #[test]
    fn addresses_are_found_among_words() {
        let v4 = Found::Address("192.0.2.7".parse().expect("an address"));
        let v6 = Found::Address("2001:db8::1".parse().expect("an address"));
        assert_eq!(found("from 192.0.2.7."), [(v4, "192.0.2.7")]);
        assert_eq!(found("(2001:db8::1): at 12:30:45"), [(v6, "2001:db8::1")]);
        assert_eq!(found("192.0.2.7:443"), [(v4, "192.0.2.7")]);
        let mapped = Found::Address("::ffff:192.0.2.7".parse().expect("an address"));
        assert_eq!(found("::ffff:192.0.2.7"), [(mapped, "::ffff:192.0.2.7")]);
        assert!(found("a::z 1.2.3 std::fs ::").is_empty());
    }

    #[test]
    fn emails_and_hosts_are_found() {
        assert_eq!(
            found("<ida.o+x@example.com>."),
            [(Found::Email, "ida.o+x@example.com")]
        );
        assert_eq!(
            found("see Acme.atlassian.net."),
            [(Found::Host, "Acme.atlassian.net")]
        );
        assert_eq!(
            found("https://wiki.corp.example/x"),
            [(Found::Host, "wiki.corp.example")]
        );
        assert!(found("@ a@ @b").is_empty());
    }

    #[test]
    fn ids_are_found_in_each_form() {
        let uuid = "6b0f7d3c-52e8-4a1b-9f46-c3d5e7a90b12";
        assert_eq!(found(&format!("crew:{uuid}")), [(Found::Uuid, uuid)]);
        let id = format!("712020:{uuid}");
        assert_eq!(found(&id), [(Found::AccountId, id.as_str())]);
        assert_eq!(
            found("~5f3a9c1e7b2d48006a91c3e7"),
            [(Found::Hex, "5f3a9c1e7b2d48006a91c3e7")]
        );
        assert!(found("deadbeef 12345678901234567890").is_empty());
    }

    #[test]
    fn dates_are_found() {
        let date = Found::Date("2026-01-31".parse().expect("a date"));
        assert_eq!(
            found("2026-01-31T10:00:00Z"),
            [(date, "2026-01-31T10:00:00Z")]
        );
        assert_eq!(
            found("2026-01-31 10:00:00.123+0100, then"),
            [(date, "2026-01-31 10:00:00.123+0100")]
        );
        assert_eq!(found("2026-01-31Tide"), [(date, "2026-01-31")]);
        assert!(found("2026-13-01 2026-01-311 9999-01-01").is_empty());
    }
}
