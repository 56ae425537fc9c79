//! The spool in one SQLite file of the state directory: the embedded default.
//!
//! A file that cannot be trusted is refused aloud, never replaced: starting afresh would deliver
//! everything that the site retains a second time, and without a word.

mod check;
mod checksum;
mod chunk;
mod commit;
mod connection;
mod error;
mod pack;
mod queue;
mod recover;
mod rows;
mod schema;
mod store;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use confluence_audit_core::{Fingerprint, Timestamp};
use rusqlite::{Transaction, params};

use self::check::contradictions;
use self::commit::{rewind, write_commit};
use self::connection::{
    FILE, beside, check_and_migrate, connect_read_only, create, refuse_log_alone,
};
use self::error::StoreError;
use self::queue::{confirm, depth_behind, pending, register, retain};
use self::rows::{address_row, output_row, overview, set_address, site_row};
use self::store::{Footprint, Store};
use super::{Commit, Counts, Depth, OutputState, Overview, Pending, SiteState, Spool};
use crate::fs::unusable;
use crate::output::OutputName;
use crate::{Error, Result, SiteId};

pub use self::recover::{Repair, Repaired};

/// The spool in one SQLite file of the state directory.
///
/// Its caller holds the directory's [`Lock`](crate::state::Lock) for as long as it lives.
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
            check_and_migrate(&path).map_err(|error| error.explain(&path, "opening it"))?;
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
    /// holds the [`Lock`](crate::state::Lock) or begins; `None` where there is no spool yet. Nothing in
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
            connect_read_only(&path).map_err(|error| error.explain(&path, "opening it"))?;
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
        work: impl Fn(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
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
            register(transaction, &output)
        })
        .await
    }

    async fn pending(
        &self,
        output: &OutputName,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Pending> {
        let output = output.clone();
        self.transaction("reading what is pending", move |transaction| {
            pending(transaction, &output, max_records, max_bytes)
        })
        .await
    }

    async fn confirm(&self, output: &OutputName, seq: i64, checkpoint: &[u8]) -> Result<()> {
        let output = output.clone();
        let checkpoint = checkpoint.to_vec();
        self.transaction("confirming a delivery", move |transaction| {
            confirm(transaction, &output, seq, &checkpoint)
        })
        .await
    }

    async fn retain(&self, outputs: &[OutputName]) -> Result<()> {
        let outputs = outputs.to_vec();
        self.transaction("forgetting other outputs", move |transaction| {
            retain(transaction, &outputs)
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
            set_address(transaction, &address, site.as_ref())
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
            let unknown = || StoreError::Rule(format!("the site {site} was never committed"));
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
