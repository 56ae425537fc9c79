//! How records that wait are packed: many to a row, since a row for each would cost more than the
//! record itself.
//!
//! | bytes | of each record |
//! |---|---|
//! | 8 | its time in milliseconds |
//! | 20 | its fingerprint |
//! | 4 | which of the copies it is |
//! | 4 | how long its line is |
//! | | the line |
//!
//! Numbers are little-endian. The last record has the row's own number, the one before it the
//! number before that, and so on; those before `first` are there no longer.

use bytes::Bytes;
use confluence_audit_core::Fingerprint;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::checksum::{LEN, chunk_checksum, matches};
use super::error::StoreError;
use crate::Result;

/// A chunk that has reached this many bytes takes no more records.
const FULL: usize = 64 * 1024;

const HEAD: usize = 8 + Fingerprint::LEN + 4 + 4;

/// A record in its place.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) seq: i64,
    pub(super) ms: i64,
    pub(super) fingerprint: [u8; Fingerprint::LEN],
    pub(super) ordinal: u32,
    pub(super) line: Bytes,
}

/// Puts records of one site into chunks, in the order of their numbers.
pub(super) struct Writer<'a> {
    transaction: &'a Connection,
    body: Vec<u8>,
    site: i64,
    first: i64,
    next: i64,
    bytes: i64,
    /// The oldest time of all that waits, these included; `None` while nothing does.
    low: Option<i64>,
}

impl<'a> Writer<'a> {
    /// Numbers them from `next` on.
    pub(super) fn new(
        transaction: &'a Connection,
        site: i64,
        next: i64,
    ) -> Result<Self, StoreError> {
        let low = transaction
            .prepare_cached("SELECT low FROM chunk ORDER BY last DESC LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(Self {
            transaction,
            body: Vec::new(),
            site,
            first: next,
            next,
            bytes: 0,
            low,
        })
    }

    pub(super) fn push(
        &mut self,
        ms: i64,
        fingerprint: &[u8; Fingerprint::LEN],
        ordinal: u32,
        line: &[u8],
    ) -> Result<(), StoreError> {
        let len = u32::try_from(line.len())
            .map_err(|_| StoreError::Rule("a record is larger than 4 GiB".to_owned()))?;
        self.body.reserve(HEAD + line.len());
        self.body.extend_from_slice(&ms.to_le_bytes());
        self.body.extend_from_slice(fingerprint);
        self.body.extend_from_slice(&ordinal.to_le_bytes());
        self.body.extend_from_slice(&len.to_le_bytes());
        self.body.extend_from_slice(line);
        self.bytes += i64::from(len);
        self.low = Some(self.low.map_or(ms, |low| low.min(ms)));
        self.next += 1;
        if self.body.len() >= FULL {
            self.write()?;
        }
        Ok(())
    }

    /// Writes what is left; the oldest time of all that waits now.
    pub(super) fn finish(mut self) -> Result<Option<i64>, StoreError> {
        if !self.body.is_empty() {
            self.write()?;
        }
        Ok(self.low)
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let (last, low) = (self.next - 1, self.low.unwrap_or(i64::MIN));
        let checksum = chunk_checksum([last, self.first, self.site, self.bytes, low], &self.body);
        self.transaction
            .prepare_cached(
                "INSERT INTO chunk (last, first, site, bytes, low, body, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                last, self.first, self.site, self.bytes, low, self.body, checksum
            ])?;
        (self.first, self.bytes) = (self.next, 0);
        self.body.clear();
        Ok(())
    }
}

/// A row of chunks.
pub(super) struct Chunk {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) site: i64,
    /// Of the lines of those records that are still there.
    pub(super) bytes: i64,
    /// None of what waited when it was written is older than this.
    pub(super) low: i64,
    body: Bytes,
}

impl Chunk {
    /// The columns in the order that [`read`](Self::read) takes them in.
    pub(super) const COLUMNS: &'static str =
        "chunk.last, chunk.first, chunk.site, chunk.bytes, chunk.low, chunk.body, chunk.checksum";

    /// The chunk of a row that begins with the [columns](Self::COLUMNS), under its checksum.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let chunk = Self {
            last: row.get(0)?,
            first: row.get(1)?,
            site: row.get(2)?,
            bytes: row.get(3)?,
            low: row.get(4)?,
            body: row.get::<_, Vec<u8>>(5)?.into(),
        };
        if matches(row, 6, chunk.checksum())? {
            return Ok(chunk);
        }
        Err(StoreError::Damaged(format!(
            "what it keeps of the records up to {} is not what was written",
            chunk.last
        )))
    }

    fn checksum(&self) -> [u8; LEN] {
        let numbers = [self.last, self.first, self.site, self.bytes, self.low];
        chunk_checksum(numbers, &self.body)
    }

    /// Its records, by number. They share its memory.
    pub(super) fn records(&self) -> Result<Vec<Stored>, StoreError> {
        let mut records = Vec::new();
        let mut rest = self.body.clone();
        while !rest.is_empty() {
            records.push(take(&mut rest).ok_or_else(|| self.odd())?);
        }
        let mut seq = self.last;
        for record in records.iter_mut().rev() {
            record.seq = seq;
            seq -= 1;
        }
        let gone = self.first.saturating_sub(seq.saturating_add(1));
        match usize::try_from(gone) {
            Ok(gone) if gone < records.len() => {
                records.drain(..gone);
                Ok(records)
            }
            _ => Err(self.odd()),
        }
    }

    fn odd(&self) -> StoreError {
        StoreError::Damaged(format!("the records up to {} make no sense", self.last))
    }
}

fn take(rest: &mut Bytes) -> Option<Stored> {
    if rest.len() < HEAD {
        return None;
    }
    let head = rest.split_to(HEAD);
    let number = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let fingerprint = head.get(8..8 + Fingerprint::LEN)?.try_into().ok()?;
    let len = usize::try_from(number(HEAD - 4)?).ok()?;
    (len <= rest.len()).then_some(())?;
    Some(Stored {
        seq: 0,
        ms: i64::from_le_bytes(head.get(..8)?.try_into().ok()?),
        fingerprint,
        ordinal: number(HEAD - 8)?,
        line: rest.split_to(len),
    })
}

/// Deletes the records that every output has.
pub(super) fn delete_what_all_have(transaction: &Connection) -> Result<(), StoreError> {
    let everywhere: Option<i64> = transaction
        .prepare_cached("SELECT min(seq) FROM output")?
        .query_row([], |row| row.get(0))?;
    everywhere.map_or(Ok(()), |seq| delete_up_to(transaction, seq))
}

/// Deletes the records up to `seq`.
pub(super) fn delete_up_to(transaction: &Connection, seq: i64) -> Result<(), StoreError> {
    transaction
        .prepare_cached("DELETE FROM chunk WHERE last <= ?1")?
        .execute([seq])?;
    let mut partly = transaction.prepare_cached(&format!(
        "SELECT {} FROM chunk WHERE last = (SELECT min(last) FROM chunk) AND first <= ?1",
        Chunk::COLUMNS
    ))?;
    let mut rows = partly.query([seq])?;
    let Some(row) = rows.next()? else {
        return Ok(());
    };
    let mut chunk = Chunk::read(row)?;
    drop(rows);
    let gone: usize = chunk
        .records()?
        .iter()
        .filter(|record| record.seq <= seq)
        .map(|record| record.line.len())
        .sum();
    chunk.first = seq.saturating_add(1);
    chunk.bytes -= i64::try_from(gone).unwrap_or(i64::MAX);
    transaction
        .prepare_cached("UPDATE chunk SET first = ?2, bytes = ?3, checksum = ?4 WHERE last = ?1")?
        .execute(params![
            chunk.last,
            chunk.first,
            chunk.bytes,
            chunk.checksum()
        ])?;
    Ok(())
}
