//! Readers of CEF and CSV that share nothing with the writers.

/// A reader of CEF: the seven fields of the header, and the keys with their values.
///
/// It goes by the rule of the standard alone: a key is the word before an equals sign that has no
/// backslash before it, and a value ends with the blank before the next key.
pub(crate) fn read_cef(text: &str) -> (Vec<String>, Vec<(String, String)>) {
    let mut header = vec![String::new()];
    let mut chars = text.chars();
    while header.len() < 8 {
        match chars.next().expect("seven pipes") {
            '\\' => header.last_mut().unwrap().push(chars.next().unwrap()),
            '|' => header.push(String::new()),
            char => header.last_mut().unwrap().push(char),
        }
    }
    header.pop();
    let rest = chars.as_str();
    let mut signs = Vec::new();
    let mut escaped = false;
    for (at, char) in rest.char_indices() {
        if char == '=' && !escaped {
            signs.push(at);
        }
        escaped = char == '\\' && !escaped;
    }
    let key_start = |sign: usize| rest[..sign].rfind(' ').map_or(0, |blank| blank + 1);
    let mut pairs = Vec::new();
    for (index, sign) in signs.iter().enumerate() {
        let end = signs
            .get(index + 1)
            .map_or(rest.len(), |next| key_start(*next) - 1);
        let mut value = String::new();
        let mut chars = rest[sign + 1..end].chars();
        while let Some(char) = chars.next() {
            match (char, char == '\\') {
                (_, true) => match chars.next().expect("something behind a backslash") {
                    'n' => value.push('\n'),
                    'r' => value.push('\r'),
                    char => value.push(char),
                },
                (char, false) => value.push(char),
            }
        }
        pairs.push((rest[key_start(*sign)..*sign].to_owned(), value));
    }
    (header, pairs)
}

/// The cells of the one row that the text is.
pub(crate) fn read_csv(text: &str) -> Vec<String> {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes());
    let rows: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1, "{text:?}");
    rows[0].iter().map(str::to_owned).collect()
}
