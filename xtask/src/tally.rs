//! Comparison of output files with the site's records, as multisets of lines: lost, doubled, torn.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::AddAssign;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::Result;

/// How many offenders are named.
const EXAMPLES: usize = 5;
/// How much of an offending line is shown.
const SHOWN: usize = 160;

/// How a set of files compares with the truth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// What the site has.
    pub(crate) records: u64,
    /// Copies that the files lack.
    pub(crate) lost: u64,
    /// Copies that the files hold too many, and whole lines that the site never had.
    pub(crate) twice: u64,
    /// Lines that are no JSON, blank ones and an end without a newline included.
    pub(crate) torn: u64,
    /// Some of what is wrong, for the person who looks for the cause.
    pub(crate) examples: Vec<String>,
}

impl Tally {
    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.twice + self.torn == 0
    }

    fn example(&mut self, what: &str, line: &[u8]) {
        if self.examples.len() < EXAMPLES {
            let text = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
            self.examples
                .push(format!("{what}: {}", text.escape_debug()));
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.lost += other.lost;
        self.twice += other.twice;
        self.torn += other.torn;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
    }
}

/// Enough of a hash that no two lines of a test share it, and a million of them fit in memory.
type Key = [u8; 16];

fn key(line: &[u8]) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(&blake3::hash(line).as_bytes()[..16]);
    key
}

/// Compares the lines of `files`, compressed ones too, with those of the truth, byte for byte.
pub(crate) fn compare<P: AsRef<Path>>(
    truth: impl Iterator<Item = String>,
    files: impl IntoIterator<Item = P>,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut owed: HashMap<Key, i64> = HashMap::new();
    for line in truth {
        tally.records += 1;
        *owed.entry(key(spelled(&line).as_bytes())).or_default() += 1;
    }
    for path in files {
        count(open(path.as_ref())?, &mut owed, &mut tally)?;
    }
    tally.lost = owed.values().map(|left| left.max(&0).unsigned_abs()).sum();
    Ok(tally)
}

/// The one difference between how the site writes a line and how the raw format does: jq's own.
fn spelled(line: &str) -> String {
    line.replace('\u{7f}', "\\u007f")
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let plain: Box<dyn Read> = if path.extension().is_some_and(|end| end == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Ok(Box::new(BufReader::new(plain)))
}

fn count(mut lines: impl BufRead, owed: &mut HashMap<Key, i64>, tally: &mut Tally) -> Result {
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let whole = line.strip_suffix(b"\n");
        match whole.map(|text| owed.get_mut(&key(text))) {
            Some(Some(left)) if *left > 0 => *left -= 1,
            Some(Some(_)) => {
                tally.twice += 1;
                tally.example("twice", &line);
            }
            Some(None) if serde_json::from_slice::<serde_json::Value>(&line).is_ok() => {
                tally.twice += 1;
                tally.example("not the site's", &line);
            }
            _ => {
                tally.torn += 1;
                tally.example("torn", &line);
            }
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn tally(truth: &[&str], files: &[(&str, &[u8])]) -> Tally {
        let dir = tempfile::tempdir().expect("a directory");
        let paths: Vec<_> = files
            .iter()
            .map(|(name, bytes)| {
                let path = dir.path().join(name);
                std::fs::write(&path, bytes).expect("a file");
                path
            })
            .collect();
        let truth = truth.iter().map(|line| (*line).to_owned());
        compare(truth, &paths).expect("a tally")
    }

    fn counts(tally: &Tally) -> [u64; 4] {
        [tally.records, tally.lost, tally.twice, tally.torn]
    }

    #[test]
    fn twins_count_and_order_and_files_do_not() {
        let found = tally(
            &["{\"a\":1}", "{\"a\":1}", "{\"b\":2}"],
            &[("one", b"{\"b\":2}\n{\"a\":1}\n"), ("two", b"{\"a\":1}\n")],
        );
        assert_eq!(counts(&found), [3, 0, 0, 0]);
        assert!(found.is_clean());
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let found = tally(
            &["{\"a\":1}", "{\"a\":1}", "{\"b\":2}"],
            &[("one", b"{\"a\":1}\n{\"c\":3}\n\n{\"b\"\n{\"b\":2}")],
        );
        assert_eq!(counts(&found), [3, 2, 1, 3]);
        let found = tally(&["1"], &[("one", b"1\n1\n")]);
        assert_eq!(counts(&found), [1, 0, 1, 0]);
        assert_eq!(found.examples, ["twice: 1\\n"]);
    }

    #[test]
    fn one_fault_among_many_good_files_breaks_the_promise() {
        let good: &[u8] = b"1\n2\n";
        let faults: [(&[u8], [u64; 4]); 6] = [
            (b"1\n", [2, 1, 0, 0]),
            (b"1\n2\n2\n", [2, 0, 1, 0]),
            (b"1\n2\n3\n", [2, 0, 1, 0]),
            (b"1\n2", [2, 1, 0, 1]),
            (b"1\n2\n\n", [2, 0, 0, 1]),
            (b"1\n2\n{\"a\n", [2, 0, 0, 1]),
        ];
        for (bytes, expected) in faults {
            let found = tally(&["1", "2"], &[("one", bytes)]);
            assert_eq!(counts(&found), expected, "{}", bytes.escape_ascii());
            let mut sum = tally(&["1", "2"], &[("one", good)]);
            assert!(sum.is_clean());
            sum += found;
            sum += tally(&["1", "2"], &[("one", good)]);
            assert!(!sum.is_clean(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_delete_character_is_spelled_as_jq_spells_it() {
        let found = tally(&["\"a\u{7f}\""], &[("one", b"\"a\\u007f\"\n")]);
        assert!(found.is_clean(), "{found:?}");
    }

    #[test]
    fn compressed_files_are_read() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(b"1\n").expect("memory");
        let packed = packed.finish().expect("memory");
        let found = tally(&["1", "2"], &[("x.2.gz", &packed), ("x", b"2\n")]);
        assert!(found.is_clean(), "{found:?}");
    }
}
