//! What is kept of sites, outputs and addresses, believed only under its checksum.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::checksum::{address_checksum, matches, output_checksum, site_checksum};
use super::error::StoreError;
use super::queue::depth_behind;
use super::time;
use crate::output::OutputName;
use crate::spool::{OutputOverview, OutputState, Overview, SiteOverview, SiteState};
use crate::{Result, SiteId};

/// A site's number and state, if it was ever committed.
pub(super) fn site_row(
    transaction: &Connection,
    site: &SiteId,
) -> Result<Option<(i64, SiteState)>, StoreError> {
    let found = transaction
        .prepare_cached("SELECT id, watermark, counted_from, checksum FROM site WHERE name = ?1")?
        .query_row([site.as_str()], |row| {
            let (id, watermark, counted_from) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let expected = site_checksum(id, site.as_str(), watermark, counted_from);
            Ok((id, watermark, counted_from, matches(row, 3, expected)?))
        })
        .optional()?;
    let Some((id, watermark, counted_from, good)) = found else {
        return Ok(None);
    };
    if !good {
        return Err(StoreError::Damaged(format!(
            "what it keeps of the site {site} is not what was written"
        )));
    }
    let rereads = transaction
        .prepare_cached("SELECT step, done FROM reread WHERE site = ?1 ORDER BY step")?
        .query_map([id], |row| Ok((row.get(0)?, time(row.get(1)?))))?
        .collect::<Result<_, _>>()?;
    let state = SiteState {
        watermark: watermark.map(time),
        counted_from: counted_from.map(time),
        rereads,
    };
    Ok(Some((id, state)))
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

/// Where a site was found.
pub(super) fn addresses(
    transaction: &Connection,
    site: &SiteId,
) -> Result<Vec<String>, StoreError> {
    let urls = transaction
        .prepare_cached("SELECT url FROM address WHERE site = ?1 ORDER BY url")?
        .query_map([site.as_str()], |row| row.get(0))?
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

/// Everything but the size, which only the file system knows.
pub(super) fn overview(transaction: &Transaction<'_>) -> Result<Overview, StoreError> {
    let mut overview = Overview {
        schema_version: transaction.pragma_query_value(None, "user_version", |row| row.get(0))?,
        size: 0,
        depth: depth_behind(transaction, i64::MIN, None)?,
        ..Overview::default()
    };
    for id in site_names(transaction)? {
        let Some((number, state)) = site_row(transaction, &id)? else {
            continue;
        };
        let counts: i64 = transaction
            .prepare_cached("SELECT count(*) FROM ledger WHERE site = ?1")?
            .query_row([number], |row| row.get(0))?;
        let counts = counts.unsigned_abs();
        let addresses = addresses(transaction, &id)?;
        overview.sites.push(SiteOverview {
            id,
            addresses,
            state,
            counts,
        });
    }
    for name in output_names(transaction)? {
        let Some(OutputState { seq, .. }) = output_row(transaction, &name)? else {
            continue;
        };
        let waiting = depth_behind(transaction, seq, None)?;
        overview.outputs.push(OutputOverview { name, seq, waiting });
    }
    Ok(overview)
}
