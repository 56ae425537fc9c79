//! The rows of sites, outputs and addresses, believed only under their checksums.

use std::sync::Arc;

use confluence_audit_core::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::checksum::{address_checksum, matches, output_checksum, site_checksum};
use super::error::StoreError;
use crate::output::OutputName;
use crate::spool::{OutputState, SiteState};
use crate::{Result, SiteId};

/// A site's row.
#[derive(Clone, Copy, Debug)]
pub(super) struct SiteRow {
    pub(super) id: i64,
    pub(super) watermark: Option<Timestamp>,
    pub(super) counted_from: Option<Timestamp>,
    /// None of what waited for outputs after the site's last commit, of whatever site, is older;
    /// `None` when nothing waited.
    pub(super) oldest_waiting: Option<Timestamp>,
    /// The most records that a page of the site has held.
    pub(super) largest_page: Option<i64>,
}

impl SiteRow {
    fn numbers(&self) -> [Option<i64>; 4] {
        let times = [self.watermark, self.counted_from, self.oldest_waiting];
        let [watermark, counted_from, oldest_waiting] =
            times.map(|time| time.map(Timestamp::as_millis));
        [watermark, counted_from, oldest_waiting, self.largest_page]
    }
}

/// A site's row, if it is known.
pub(super) fn site_row(
    transaction: &Connection,
    site: &SiteId,
) -> Result<Option<SiteRow>, StoreError> {
    let found = transaction
        .prepare_cached(
            "SELECT id, watermark, counted_from, oldest_waiting, largest_page, checksum FROM site
             WHERE name = ?1",
        )?
        .query_row([site.as_str()], |row| {
            let time = |column| -> rusqlite::Result<Option<Timestamp>> {
                Ok(row
                    .get::<_, Option<i64>>(column)?
                    .map(Timestamp::from_millis))
            };
            let found = SiteRow {
                id: row.get(0)?,
                watermark: time(1)?,
                counted_from: time(2)?,
                oldest_waiting: time(3)?,
                largest_page: row.get(4)?,
            };
            let expected = site_checksum(site.as_str(), found.id, found.numbers());
            Ok((found, matches(row, 5, expected)?))
        })
        .optional()?;
    match found {
        Some((_, false)) => Err(StoreError::Damaged(format!(
            "what it keeps of the site {site} is not what was written"
        ))),
        Some((found, true)) => Ok(Some(found)),
        None => Ok(None),
    }
}

/// The row of a site, which becomes known if it was not.
pub(super) fn site_row_or_new(
    transaction: &Connection,
    site: &SiteId,
) -> Result<SiteRow, StoreError> {
    if let Some(found) = site_row(transaction, site)? {
        return Ok(found);
    }
    transaction
        .prepare_cached("INSERT INTO site (name, checksum) VALUES (?1, x'')")?
        .execute([site.as_str()])?;
    let row = SiteRow {
        id: transaction.last_insert_rowid(),
        watermark: None,
        counted_from: None,
        oldest_waiting: None,
        largest_page: None,
    };
    set_site(transaction, site, &row)?;
    Ok(row)
}

pub(super) fn set_site(
    transaction: &Connection,
    site: &SiteId,
    row: &SiteRow,
) -> Result<(), StoreError> {
    let numbers = row.numbers();
    let checksum = site_checksum(site.as_str(), row.id, numbers);
    let [watermark, counted_from, oldest_waiting, largest_page] = numbers;
    transaction
        .prepare_cached(
            "UPDATE site SET watermark = ?2, counted_from = ?3, oldest_waiting = ?4,
             largest_page = ?5, checksum = ?6 WHERE id = ?1",
        )?
        .execute(params![
            row.id,
            watermark,
            counted_from,
            oldest_waiting,
            largest_page,
            checksum
        ])?;
    Ok(())
}

/// How far the reading of a site has come; the default for one that is not known.
pub(super) fn site_state(transaction: &Connection, site: &SiteId) -> Result<SiteState, StoreError> {
    let Some(row) = site_row(transaction, site)? else {
        return Ok(SiteState::default());
    };
    let rereads = transaction
        .prepare_cached("SELECT step, done FROM reread WHERE site = ?1 ORDER BY step")?
        .query_map([row.id], |row| {
            Ok((row.get(0)?, Timestamp::from_millis(row.get(1)?)))
        })?
        .collect::<Result<_, _>>()?;
    Ok(SiteState {
        watermark: row.watermark,
        counted_from: row.counted_from,
        rereads,
        largest_page: row
            .largest_page
            .and_then(|records| usize::try_from(records).ok()),
    })
}

/// An output's state, if it is registered.
pub(super) fn output_row(
    transaction: &Connection,
    output: &OutputName,
) -> Result<Option<OutputState>, StoreError> {
    let found = transaction
        .prepare_cached("SELECT seq, checkpoint, checksum FROM output WHERE name = ?1")?
        .query_row([output.as_str()], |row| {
            let (seq, checkpoint): (_, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
            let expected = output_checksum(output.as_str(), seq, checkpoint.as_deref());
            let good = matches(row, 2, expected)?;
            Ok((OutputState { seq, checkpoint }, good))
        })
        .optional()?;
    match found {
        Some((_, false)) => Err(StoreError::Damaged(format!(
            "what it keeps of the output {output} is not what was written"
        ))),
        Some((state, true)) => Ok(Some(state)),
        None => Ok(None),
    }
}

pub(super) fn set_output(
    transaction: &Connection,
    output: &OutputName,
    state: &OutputState,
) -> Result<(), StoreError> {
    let OutputState { seq, checkpoint } = state;
    let checksum = output_checksum(output.as_str(), *seq, checkpoint.as_deref());
    transaction
        .prepare_cached(
            "INSERT INTO output (name, seq, checkpoint, checksum) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET seq = excluded.seq, checkpoint = excluded.checkpoint,
                                       checksum = excluded.checksum",
        )?
        .execute(params![output.as_str(), seq, checkpoint, checksum])?;
    Ok(())
}

/// The site that was last found at this address.
pub(super) fn address_row(
    transaction: &Connection,
    address: &str,
) -> Result<Option<SiteId>, StoreError> {
    let found = transaction
        .prepare_cached("SELECT site, checksum FROM address WHERE url = ?1")?
        .query_row([address], |row| {
            let site: String = row.get(0)?;
            let good = matches(row, 1, address_checksum(address, &site))?;
            Ok((SiteId::new(site), good))
        })
        .optional()?;
    match found {
        Some((_, false)) => Err(StoreError::Damaged(format!(
            "what it keeps of the address {address} is not what was written"
        ))),
        Some((site, true)) => Ok(Some(site)),
        None => Ok(None),
    }
}

pub(super) fn set_address(
    transaction: &Transaction<'_>,
    address: &str,
    site: Option<&SiteId>,
) -> Result<(), StoreError> {
    let Some(site) = site.map(SiteId::as_str) else {
        transaction.execute("DELETE FROM address WHERE url = ?1", [address])?;
        return Ok(());
    };
    transaction.execute(
        "INSERT INTO address (url, site, checksum) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET site = excluded.site, checksum = excluded.checksum",
        params![address, site, address_checksum(address, site)],
    )?;
    Ok(())
}

/// All addresses, or those at which one site was found.
pub(super) fn addresses(
    transaction: &Connection,
    site: Option<&SiteId>,
) -> Result<Vec<String>, StoreError> {
    let urls = transaction
        .prepare_cached("SELECT url FROM address WHERE ?1 IS NULL OR site = ?1 ORDER BY url")?
        .query_map([site.map(SiteId::as_str)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(urls)
}

pub(super) fn site_names(transaction: &Connection) -> Result<Vec<SiteId>, StoreError> {
    let names = transaction
        .prepare_cached("SELECT name FROM site ORDER BY name")?
        .query_map([], |row| Ok(SiteId::new(row.get::<_, Arc<str>>(0)?)))?
        .collect::<Result<_, _>>()?;
    Ok(names)
}

pub(super) fn output_names(transaction: &Connection) -> Result<Vec<OutputName>, StoreError> {
    let names = transaction
        .prepare_cached("SELECT name FROM output ORDER BY name")?
        .query_map([], |row| Ok(OutputName::new(row.get::<_, Arc<str>>(0)?)))?
        .collect::<Result<_, _>>()?;
    Ok(names)
}

/// The last number that was given to a record.
pub(super) fn last_seq(transaction: &Connection) -> Result<i64, StoreError> {
    let last = transaction
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'chunk'")?
        .query_row([], |row| row.get(0))?;
    Ok(last)
}
