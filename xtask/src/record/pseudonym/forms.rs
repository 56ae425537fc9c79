//! The pattern of what identifies people and places in a text: addresses, ids, dates and words.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::json::pattern;

/// All forms; the first that fits counts. `W` is a letter or a digit, `H` a hexadecimal one, `U` a UUID;
/// `E` is where a word ends.
static FORM: LazyLock<Regex> = LazyLock::new(|| {
    let form = r#"(?x)
          (?<instant> [?&][A-Za-z]*(?:[dD]ate|[tT]ime)[A-Za-z]*=[0-9]{13} ) E
        | (?<segment> (?:/|\A) (?:wiki|rest|api|audit|since|export|retention|ex|confluence|spaces?
            |user|group|content|pages|_edge|tenant_info) ) (?:[/?\#]|\z)
        | (?<parameter> [?&](?:start|limit|number|units|format|expand)=[^&\#]* | [?&][^=&\#]*=
            | %H{2} )
        | (?<origin> https?://[^/?\#\ "'<>()]+ )
        | (?<email> W[W._%+'-]*@[W.-]*W )
        | (?<host> [A-Za-z0-9][A-Za-z0-9.-]*\.(?i-u:atlassian\.net) ) E
        | (?<account> [0-9]+:U ) E
        | (?<uuid> U ) E
        | (?<v6> H{0,4}:[H:.]*(?:H|::) ) E
        | (?<v4> [0-9]+(?:\.[0-9]+){3} ) E
        | (?<date> (?:19[7-9]|2[01][0-9])[0-9]-[0-9]{2}-[0-9]{2}
            (?: [T\ ][0-9]{2}:[0-9]{2} (?: :[0-9]{2} (?:\.[0-9]+)? )?
                (?: Z|[+-][0-9]{2}:?[0-9]{2} )? )? ) (?:[^0-9]|\z)
        | (?<hex> H{16,} ) E
        | W+"#;
    let form = form
        .replace('U', "H{8}(?:-H{4}){3}-H{12}")
        .replace('E', r"(?:[^W]|\z)")
        .replace('H', "[0-9A-Fa-f]")
        .replace('W', r"[\p{Alphabetic}\p{N}]");
    pattern(&form)
});

/// The part of a text that is replaced by one pseudonym.
pub(super) struct Piece {
    /// The form's name, `word` for a word.
    pub(super) form: &'static str,
    pub(super) range: Range<usize>,
    /// The word that the piece begins with, for whoever finds that it only looks like the form.
    pub(super) word: Range<usize>,
}

/// The next piece of the text, from `at` on. What lies before it is neither letter nor digit.
pub(super) fn next(text: &str, at: usize, own_host: Option<&str>) -> Option<Piece> {
    let found = FORM.captures_at(text, at)?;
    let start = found.get_match().start();
    let rest = &text[start..];
    let is_end = |char: char| !char.is_alphanumeric();
    let word = start..start + rest.find(is_end).unwrap_or(rest.len());
    let begins_with = |host: &str| {
        let begin = rest.get(..host.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(host))
            && !rest[host.len()..].starts_with(char::is_alphanumeric)
    };
    let (form, range) = if let Some(host) = own_host.filter(|host| begins_with(host)) {
        ("host", start..start + host.len())
    } else {
        let mut named = FORM.capture_names().zip(found.iter());
        let form = named.find_map(|(name, group)| Some((name?, group?.range())));
        form.unwrap_or(("word", word.clone()))
    };
    Some(Piece { form, range, word })
}
