//! Sizes as people write them: the `1GiB` of `spool_limit`.

/// Reads a size that is more than nothing: a whole number with `B`, `KiB`, `MiB`, `GiB` or `TiB`
/// (powers of 1024), or `kB`, `MB`, `GB` or `TB` (powers of 1000). `None` when it is none.
///
/// ```
/// use confluence_audit_collector::config::parse_size;
///
/// assert_eq!(parse_size("1GiB"), Some(1 << 30));
/// assert_eq!(parse_size("1024"), None);
/// ```
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let unit: u64 = match unit.trim_start() {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    let size = number.parse::<u64>().ok()?.checked_mul(unit)?;
    (size > 0).then_some(size)
}

/// A size for people to read, rounded down.
pub fn show_size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    // As long as two digits are left, so that what is cut off is small.
    let unit = units.iter().find(|(shift, _)| bytes >> shift >= 10);
    match unit {
        Some((shift, unit)) => format!("{} {unit}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_known_unit_and_is_more_than_nothing() {
        for (text, size) in [
            ("1B", 1),
            ("64KiB", 65_536),
            ("64 kB", 64_000),
            (" 500MB ", 500_000_000),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Some(size), "{text}");
        }
        for text in [
            "",
            "1",
            "GiB",
            "0B",
            "-1GiB",
            "1.5GiB",
            "1G",
            "1gib",
            "1GiB/s",
            "+1B",
            "99999999TiB",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_in_a_unit_that_keeps_two_digits() {
        for (size, text) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 KiB"),
            (1 << 30, "1024 MiB"),
            (10 << 30, "10 GiB"),
        ] {
            assert_eq!(show_size(size), text);
        }
    }
}
