//! The spool in one SQLite file of the state directory: the embedded default.
//!
//! A file that cannot be trusted is refused aloud, never replaced: starting afresh would deliver
//! everything that the site retains a second time, and without a word.

mod check;
mod commit;
mod fault;
mod file;
mod queue;
mod repair;
mod rows;
mod schema;
mod seal;
mod store;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use confluence_audit_core::{Fingerprint, Timestamp};
use rusqlite::{Transaction, params};

use self::check::contradictions;
use self::commit::{rewind, write_commit};
use self::fault::{Fault, unusable};
use self::file::{FILE, beside, check_and_migrate, connect_read_only, create, refuse_log_alone};
use self::queue::{depth_behind, give_back_space};
use self::rows::{address_row, output_row, overview, site_row};
use self::seal::{RecordRow, address_seal, output_seal, record_seal};
use self::store::{Footprint, Store};
use super::{Commit, Counts, Depth, OutputState, Overview, SiteState, Spool, Spooled};
use crate::output::OutputName;
use crate::{Error, Result, SiteId};

pub use self::repair::{Repair, Repaired};

/// The spool in one SQLite file of the state directory.
///
/// Its caller holds the directory's [`Lock`](crate::Lock) for as long as it lives.
#[derive(Clone, Debug)]
pub struct SqliteSpool {
    store: Arc<Mutex<Store>>,
}

impl SqliteSpool {
    /// Opens the spool in the state directory `dir`; creates it, for its owner alone, where there
    /// is none. Checks the whole file. Blocks meanwhile.
    ///
    /// # Errors
    ///
    /// [`State`](crate::ErrorKind::State) when the file is damaged, of a newer version of this
    /// program, or not ours: nothing is changed, and the remedy says how to save what is in it.
    /// [`Io`](crate::ErrorKind::Io) when it cannot be read or written.
    pub fn open(dir: &Path) -> Result<Self> {
        // SQLite refuses links anywhere in the path, but systemd itself makes the state directory
        // one (DynamicUser): only the file must be none.
        let dir = dir.canonicalize().map_err(|error| unusable(dir, error))?;
        let path = dir.join(FILE);
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(&dir, &path)?,
            Err(error) => return Err(unusable(&path, error)),
        }
        let connection =
            check_and_migrate(&path).map_err(|fault| fault.explain(&path, "opening it"))?;
        Ok(Self {
            store: Arc::new(Mutex::new(Store {
                path,
                connection,
                seen: None,
                failed: false,
            })),
        })
    }

    /// Opens the spool in the state directory `dir` for looking at it alone, also while a run
    /// holds the [`Lock`](crate::Lock) or begins; `None` where there is no spool yet. Nothing in
    /// the files is changed, and writing is refused. Not the whole file is checked, unlike with
    /// [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`State`](crate::ErrorKind::State) for a file of an older
    /// version too, which the next run brings up to date.
    pub fn open_read_only(dir: &Path) -> Result<Option<Self>> {
        let dir = match dir.canonicalize() {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(dir, error)),
        };
        let path = dir.join(FILE);
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                refuse_log_alone(&dir, &path)?;
                return Ok(None);
            }
            Err(error) => return Err(unusable(&path, error)),
        }
        let seen = Footprint::of(&path);
        let connection =
            connect_read_only(&path).map_err(|fault| fault.explain(&path, "opening it"))?;
        Ok(Some(Self {
            store: Arc::new(Mutex::new(Store {
                path,
                connection,
                seen: Some(seen),
                failed: false,
            })),
        }))
    }

    /// Does `work` in one transaction, on a thread that may block. Dropping the future does not
    /// stop it.
    async fn transaction<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Fn(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || {
            let mut store = store
                .lock()
                .map_err(|_| Error::internal("an earlier use of the spool panicked"))?;
            store.transaction(what, work)
        });
        done.await
            .map_err(|error| Error::internal("using the spool panicked").with_source(error))?
    }
}

#[async_trait]
impl Spool for SqliteSpool {
    async fn site(&self, site: &SiteId) -> Result<SiteState> {
        let site = site.clone();
        self.transaction("reading a site's state", move |transaction| {
            Ok(site_row(transaction, &site)?.map_or_else(SiteState::default, |(_, state)| state))
        })
        .await
    }

    async fn counts(&self, site: &SiteId, from: Timestamp, to: Timestamp) -> Result<Counts> {
        let site = site.clone();
        self.transaction("reading a site's counts", move |transaction| {
            let counts = transaction
                .prepare_cached(
                    "SELECT ms, fingerprint, n FROM ledger
                     WHERE site = (SELECT id FROM site WHERE name = ?1) AND ms BETWEEN ?2 AND ?3",
                )?
                .query_map(
                    params![site.as_str(), from.as_millis(), to.as_millis()],
                    |row| {
                        let fingerprint = Fingerprint::from_bytes(row.get(1)?);
                        Ok(((time(row.get(0)?), fingerprint), row.get(2)?))
                    },
                )?
                .collect::<Result<_, _>>()?;
            Ok(counts)
        })
        .await
    }

    async fn commit(&self, site: &SiteId, commit: Commit) -> Result<()> {
        let site = site.clone();
        self.transaction("committing records", move |transaction| {
            write_commit(transaction, &site, &commit)
        })
        .await
    }

    async fn register(&self, output: &OutputName) -> Result<OutputState> {
        let output = output.clone();
        self.transaction("registering an output", move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO output (name, seq, seal) VALUES (?1, 0, ?2)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    output.as_str(),
                    output_seal(output.as_str(), 0, None)
                ])?;
            output_row(transaction, &output)?
                .ok_or_else(|| Fault::Damaged(format!("it does not keep the output {output}")))
        })
        .await
    }

    async fn pending(
        &self,
        output: &OutputName,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Spooled>> {
        let output = output.clone();
        self.transaction("reading what is pending", move |transaction| {
            let position = output_row(transaction, &output)?
                .ok_or_else(|| Fault::Rule(format!("the output {output} is not registered")))?
                .seq;
            let mut statement = transaction.prepare_cached(
                "SELECT seq, record.site, ms, fingerprint, ordinal, line, record.seal, name
                 FROM record JOIN site ON site.id = record.site
                 WHERE seq > ?1 ORDER BY seq",
            )?;
            let mut rows = statement.query([position])?;
            let mut pending = Vec::new();
            let mut bytes = 0_usize;
            while pending.len() < max_records
                && let Some(row) = rows.next()?
            {
                let (seq, line): (_, Vec<u8>) = (row.get(0)?, row.get(5)?);
                bytes = bytes.saturating_add(line.len());
                if bytes > max_bytes && !pending.is_empty() {
                    break;
                }
                let (ms, fingerprint, ordinal) = (row.get(2)?, row.get(3)?, row.get(4)?);
                let expected = record_seal(&RecordRow {
                    seq,
                    site: row.get(1)?,
                    ms,
                    fingerprint: &fingerprint,
                    ordinal,
                    line: &line,
                });
                if row.get::<_, Option<Vec<u8>>>(6)?.as_deref() != Some(&expected[..]) {
                    return Err(Fault::Damaged(format!(
                        "record {seq} is not what was written"
                    )));
                }
                pending.push(Spooled {
                    seq,
                    site: SiteId::new(row.get::<_, Arc<str>>(7)?),
                    time: time(ms),
                    fingerprint: Fingerprint::from_bytes(fingerprint),
                    ordinal,
                    line: Bytes::from(line),
                });
            }
            Ok(pending)
        })
        .await
    }

    async fn confirm(&self, output: &OutputName, seq: i64, checkpoint: &[u8]) -> Result<()> {
        let output = output.clone();
        let checkpoint = checkpoint.to_vec();
        self.transaction("confirming a delivery", move |transaction| {
            let changed = transaction
                .prepare_cached(
                    "UPDATE output SET seq = ?2, checkpoint = ?3, seal = ?4
                     WHERE name = ?1 AND seq <= ?2 AND ?2 <= (
                         SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'record'
                     )",
                )?
                .execute(params![
                    output.as_str(),
                    seq,
                    checkpoint,
                    output_seal(output.as_str(), seq, Some(&checkpoint))
                ])?;
            if changed == 1 {
                return Ok(());
            }
            Err(Fault::Rule(format!(
                "the output {output} is not registered, or cannot have confirmed record {seq} now"
            )))
        })
        .await
    }

    async fn sweep(&self, outputs: &[OutputName]) -> Result<()> {
        let outputs = outputs.to_vec();
        self.transaction("sweeping what is delivered", move |transaction| {
            let mut known = transaction.prepare_cached("SELECT name, seq FROM output")?;
            let known: Vec<(OutputName, i64)> = known
                .query_map([], |row| {
                    Ok((OutputName::new(row.get::<_, Arc<str>>(0)?), row.get(1)?))
                })?
                .collect::<Result<_, _>>()?;
            for (name, _) in known.iter().filter(|(name, _)| !outputs.contains(name)) {
                transaction
                    .prepare_cached("DELETE FROM output WHERE name = ?1")?
                    .execute([name.as_str()])?;
            }
            let position = |output: &OutputName| {
                let known = known.iter().find(|(name, _)| name == output);
                known.map_or(0, |(_, seq)| *seq)
            };
            let everywhere = outputs.iter().map(position).min().unwrap_or(0);
            transaction
                .prepare_cached("DELETE FROM record WHERE seq <= ?1")?
                .execute([everywhere])?;
            give_back_space(transaction)
        })
        .await
    }

    async fn depth(&self) -> Result<Depth> {
        self.transaction("measuring it", |transaction| {
            depth_behind(transaction, i64::MIN, None)
        })
        .await
    }

    async fn waiting(&self, output: &OutputName, site: Option<&SiteId>) -> Result<Depth> {
        let (output, site) = (output.clone(), site.cloned());
        self.transaction("measuring what waits", move |transaction| {
            let position = output_row(transaction, &output)?.map_or(0, |state| state.seq);
            depth_behind(transaction, position, site.as_ref())
        })
        .await
    }

    async fn site_at(&self, address: &str) -> Result<Option<SiteId>> {
        let address = address.to_owned();
        self.transaction("reading a site's address", move |transaction| {
            address_row(transaction, &address)
        })
        .await
    }

    async fn set_site_at(&self, address: &str, site: Option<&SiteId>) -> Result<()> {
        let (address, site) = (address.to_owned(), site.cloned());
        self.transaction("noting a site's address", move |transaction| {
            let Some(site) = &site else {
                transaction.execute("DELETE FROM address WHERE url = ?1", [&address])?;
                return Ok(());
            };
            transaction.execute(
                "INSERT INTO address (url, site, seal) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET site = excluded.site, seal = excluded.seal",
                params![
                    address,
                    site.as_str(),
                    address_seal(&address, site.as_str())
                ],
            )?;
            Ok(())
        })
        .await
    }

    async fn overview(&self) -> Result<Overview> {
        let mut overview = self.transaction("looking at it", overview).await?;
        let store = Arc::clone(&self.store);
        let path = match store.lock() {
            Ok(store) => store.path.clone(),
            Err(_) => return Err(Error::internal("an earlier use of the spool panicked")),
        };
        overview.size = [path.clone(), beside(&path, "-wal"), beside(&path, "-shm")]
            .iter()
            .filter_map(|file| fs::metadata(file).ok())
            .map(|meta| meta.len())
            .sum();
        Ok(overview)
    }

    async fn rewind(&self, site: &SiteId, to: Timestamp) -> Result<SiteState> {
        let site = site.clone();
        self.transaction("rewinding a site", move |transaction| {
            let unknown = || Fault::Rule(format!("the site {site} was never committed"));
            let (id, state) = site_row(transaction, &site)?.ok_or_else(unknown)?;
            rewind(transaction, id, &site, &state, to)?;
            Ok(site_row(transaction, &site)?.ok_or_else(unknown)?.1)
        })
        .await
    }

    async fn inspect(&self) -> Result<Vec<String>> {
        self.transaction("inspecting it", |transaction| contradictions(transaction))
            .await
    }
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
