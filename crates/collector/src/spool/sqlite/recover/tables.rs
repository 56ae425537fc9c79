//! From a damaged database into an empty one: what is believed, and what follows from the rest.

mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::Repaired;
use super::read::{read_from_both_ends, read_span};
use crate::Result;
use crate::spool::sqlite::checksum::{
    address_checksum, matches, site_checksum, write_missing_checksums, write_site_checksum,
};
use crate::spool::sqlite::chunk::delete_what_all_have;
use crate::spool::sqlite::commit::count_what_is_spooled;
use crate::spool::sqlite::error::StoreError;
use crate::spool::sqlite::pack::{pack_rows, set_last_seq};

/// From a damaged database into an empty one.
pub(super) struct Salvage<'a> {
    source: &'a Connection,
    target: &'a Connection,
    /// Whether rows are has_checksum: they are since version 2.
    has_checksum: bool,
    /// Whether records are in chunks: they are since version 5.
    chunked: bool,
    done: Repaired,
}

impl<'a> Salvage<'a> {
    pub(super) fn new(source: &'a Connection, target: &'a Connection) -> Result<Self, StoreError> {
        let has = |table: &str, column: &str| {
            source.query_row(
                "SELECT count(*) > 0 FROM pragma_table_info(?1) WHERE name = ?2",
                [table, column],
                |row| row.get(0),
            )
        };
        let (has_checksum, chunked) = (has("site", "checksum")?, has("chunk", "checksum")?);
        // What is saved is put into chunks when it is known which records these are.
        target.execute_batch(
            "CREATE TEMP TABLE record (
                 seq INTEGER PRIMARY KEY, site, ms, fingerprint, ordinal, line, checksum
             )",
        )?;
        Ok(Self {
            source,
            target,
            has_checksum,
            chunked,
            done: Repaired::default(),
        })
    }

    fn lost(&mut self, text: impl Into<String>) {
        self.done.lost.push(text.into());
    }

    pub(super) fn run(mut self) -> Result<Repaired, StoreError> {
        let sites = self.sites()?;
        self.rereads(&sites)?;
        self.addresses()?;
        let outputs = self.outputs()?;
        let last = self
            .source
            .query_row(
                "SELECT max(seq) FROM sqlite_sequence WHERE name = ?1",
                [if self.chunked { "chunk" } else { "record" }],
                |row| row.get::<_, Option<i64>>(0),
            )
            .ok()
            .map(|last| last.unwrap_or(0))
            .filter(|last| *last >= 0);
        let counts_complete = self.counts(&sites)?;
        let records = self.records(&sites, last.or(outputs.last))?;
        if !counts_complete {
            self.lost(
                "a part of the counts: what is read again and is not counted is delivered again",
            );
        }
        let end = last
            .unwrap_or(0)
            .max(outputs.last.unwrap_or(0))
            .max(records.last.unwrap_or(0));
        self.read_again(&sites, &outputs, &records, last)?;
        write_missing_checksums(self.target)?;
        pack_rows(self.target)?;
        set_last_seq(self.target, end)?;
        delete_what_all_have(self.target)?;
        self.target.execute_batch("DROP TABLE temp.record")?;
        for id in sites.keys() {
            let counted_from: Option<i64> = self.target.query_row(
                "SELECT counted_from FROM site WHERE id = ?1",
                [id],
                |row| row.get(0),
            )?;
            let from = counted_from.unwrap_or(i64::MIN);
            count_what_is_spooled(self.target, *id, from..i64::MAX)?;
        }
        Ok(self.done)
    }

    fn sites(&mut self) -> Result<BTreeMap<i64, Site>, StoreError> {
        let mut sites: BTreeMap<i64, Site> = BTreeMap::new();
        // The index holds names and numbers a second time, on a page of its own.
        let names = "SELECT id, name FROM site INDEXED BY sqlite_autoindex_site_1
                     WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
        let span = (i64::MIN, i64::MAX);
        let mut complete = read_span(self.source, names, span, &mut |id, row| {
            let Ok(name) = row.get(1) else {
                return Ok(false);
            };
            sites.insert(id, Site { name, state: None });
            Ok(true)
        })?
        .complete;
        let has_checksum = self.has_checksum;
        let rows = if has_checksum {
            "SELECT id, name, watermark, counted_from, checksum FROM site NOT INDEXED
             WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
        } else {
            "SELECT id, name, watermark, counted_from FROM site NOT INDEXED
             WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
        };
        complete &= read_span(self.source, rows, span, &mut |id, row| {
            let Ok(name) = row.get::<_, String>(1) else {
                return Ok(false);
            };
            let (Ok(watermark), Ok(counted_from)) = (row.get(2), row.get(3)) else {
                sites.entry(id).or_insert(Site { name, state: None });
                return Ok(false);
            };
            let checksum = site_checksum(id, &name, watermark, counted_from);
            let good = !has_checksum || matches(row, 4, checksum).unwrap_or(false);
            if good {
                let state = Some((watermark, counted_from));
                sites.insert(id, Site { name, state });
            } else {
                sites.entry(id).or_insert(Site { name, state: None });
            }
            Ok(good)
        })?
        .complete;
        let mut names = BTreeSet::new();
        sites.retain(|_, site| names.insert(site.name.clone()));
        for (id, site) in &sites {
            let (watermark, counted_from) = site.state.unwrap_or_default();
            self.target.execute(
                "INSERT INTO site (id, name, watermark, counted_from) VALUES (?1, ?2, ?3, ?4)",
                params![id, site.name, watermark, counted_from],
            )?;
            write_site_checksum(self.target, *id)?;
            if site.state.is_some() {
                self.done.sites += 1;
            } else {
                self.lost(format!(
                    "the watermark of the site {}: its next run begins with the first record \
                     that it retains, and delivers again what is not counted",
                    site.name
                ));
            }
        }
        if !complete && sites.values().all(|site| site.state.is_some()) {
            self.lost(
                "perhaps sites: one that `state show` does not name begins with the first record \
                 that it retains, and delivers all of it again",
            );
        }
        Ok(sites)
    }

    fn rereads(&mut self, sites: &BTreeMap<i64, Site>) -> Result<(), StoreError> {
        let sql = "SELECT site, step, done FROM reread WHERE site BETWEEN ?1 AND ?2 ORDER BY site";
        let target = self.target;
        // A step whose time is lost is taken once more, which delivers nothing twice.
        read_span(self.source, sql, (0, i64::MAX), &mut |site, row| {
            if let (true, Ok(step), Ok(done)) = (
                sites.contains_key(&site),
                row.get::<_, String>(1),
                row.get::<_, i64>(2),
            ) {
                target.execute(
                    "INSERT OR IGNORE INTO reread (site, step, done) VALUES (?1, ?2, ?3)",
                    params![site, step, done],
                )?;
            }
            Ok(true)
        })?;
        Ok(())
    }

    /// One that is lost is looked up again.
    fn addresses(&mut self) -> Result<(), StoreError> {
        let rows = "SELECT url, site, checksum FROM address ORDER BY url";
        let target = self.target;
        read_from_both_ends(self.source, rows, &mut |row| {
            let (Ok(url), Ok(site)) = (row.get::<_, String>(0), row.get::<_, String>(1)) else {
                return Ok(false);
            };
            let checksum = address_checksum(&url, &site);
            let good = matches(row, 2, checksum).unwrap_or(false);
            if good {
                target.execute(
                    "INSERT OR IGNORE INTO address (url, site, checksum) VALUES (?1, ?2, ?3)",
                    params![url, site, checksum],
                )?;
            }
            Ok(good)
        })?;
        Ok(())
    }

    fn counts(&mut self, sites: &BTreeMap<i64, Site>) -> Result<bool, StoreError> {
        let mut complete = true;
        for id in sites.keys() {
            let sql = format!(
                "SELECT ms, fingerprint, n FROM ledger
                 WHERE site = {id} AND ms BETWEEN ?1 AND ?2 ORDER BY ms"
            );
            let (target, done) = (self.target, &mut self.done);
            complete &= read_span(self.source, &sql, (i64::MIN, i64::MAX), &mut |ms, row| {
                let (Ok(fingerprint), Ok(n)) = (row.get::<_, [u8; 20]>(1), row.get::<_, i64>(2))
                else {
                    return Ok(false);
                };
                if n <= 0 {
                    return Ok(false);
                }
                let mut insert = target.prepare_cached(
                    "INSERT OR IGNORE INTO ledger (site, ms, fingerprint, n)
                     VALUES (?1, ?2, ?3, ?4)",
                )?;
                done.counts += insert.execute(params![id, ms, fingerprint, n])? as u64;
                Ok(true)
            })?
            .complete;
        }
        Ok(complete)
    }
}

/// A site as the damaged spool had it.
#[derive(Clone, Debug, Default)]
struct Site {
    name: String,
    /// `None` when its row cannot be believed.
    state: Option<(Option<i64>, Option<i64>)>,
}
