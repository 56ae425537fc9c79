//! Checksums of the rows from which a flipped bit could lose a record without a word: a watermark,
//! a position or a count that is too high, a record under another number, an address that leads
//! to another site.

use confluence_audit_core::Fingerprint;
use rusqlite::Row;

/// How many bytes a checksum has.
pub(super) const LEN: usize = 8;

pub(super) fn site_checksum(
    name: &str,
    id: i64,
    [watermark, counted_from, oldest_waiting, largest_page]: [Option<i64>; 4],
) -> [u8; LEN] {
    let numbers = [watermark, counted_from, oldest_waiting, largest_page];
    let known = numbers.map(|number| u8::from(number.is_some()));
    let numbers = numbers.map(|number| number.unwrap_or_default().to_le_bytes());
    checksum(&[
        &id.to_le_bytes(),
        name.as_bytes(),
        &known,
        numbers.as_flattened(),
    ])
}

pub(super) fn output_checksum(name: &str, seq: i64, checkpoint: Option<&[u8]>) -> [u8; LEN] {
    checksum(&[
        name.as_bytes(),
        &seq.to_le_bytes(),
        &[u8::from(checkpoint.is_some())],
        checkpoint.unwrap_or_default(),
    ])
}

pub(super) fn address_checksum(address: &str, site: &str) -> [u8; LEN] {
    checksum(&[address.as_bytes(), site.as_bytes()])
}

pub(super) fn count_checksum(
    site: i64,
    ms: i64,
    fingerprint: &[u8; Fingerprint::LEN],
    n: u32,
) -> [u8; LEN] {
    checksum(&[
        &site.to_le_bytes(),
        &ms.to_le_bytes(),
        fingerprint,
        &n.to_le_bytes(),
    ])
}

pub(super) fn chunk_checksum(numbers: [i64; 5], body: &[u8]) -> [u8; LEN] {
    checksum(&[numbers.map(i64::to_le_bytes).as_flattened(), body])
}

fn checksum(parts: &[&[u8]]) -> [u8; LEN] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut checksum = [0; LEN];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..LEN]);
    checksum
}

/// Whether a row has this checksum in its `column`.
pub(super) fn matches(row: &Row<'_>, column: usize, expected: [u8; LEN]) -> rusqlite::Result<bool> {
    let found: Option<Vec<u8>> = row.get(column)?;
    Ok(found.as_deref() == Some(&expected[..]))
}
