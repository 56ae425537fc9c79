//! The spool in one SQLite file of the state directory: the embedded default.
//!
//! A file that cannot be trusted is refused aloud, never replaced: starting afresh would deliver
//! everything that the site retains a second time, and without a word.

mod check;
mod checksum;
mod chunk;
mod commit;
mod connection;
mod counts;
mod error;
mod queue;
mod recover;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use confluence_audit_core::Timestamp;
use confluence_audit_core::read::Counts;
use rusqlite::Transaction;

use self::check::contradictions;
use self::commit::{recount, rewind, write_commit};
use self::connection::{
    FILE, Footprint, Store, beside, connect_read_only, create, refuse_log_alone,
};
use self::counts::counts_between;
use self::error::StoreError;
use self::queue::{confirm, depth_behind, overview, pending, register, retain};
use self::rows::{address_row, output_row, set_address, site_row, site_state};
use super::{Commit, Depth, OutputState, Overview, Pending, SiteState, Spool};
use crate::fs::unusable;
use crate::output::OutputName;
use crate::state::Lock;
use crate::{Error, Result, SiteId};

pub use self::recover::{Recovered, Recovery};

/// The spool in one SQLite file of the state directory.
///
/// Its caller holds the directory's [`Lock`](crate::state::Lock) for as long as it lives.
#[derive(Clone, Debug)]
pub struct SqliteSpool {
    store: Arc<Mutex<Store>>,
}

impl SqliteSpool {
    /// Opens the spool in the state directory `dir`; creates it, for its owner alone, where there
    /// is none. Checks what waits and how far sites and outputs have come, and the whole file when
    /// whoever had it open before did not end well. Blocks meanwhile.
    ///
    /// # Errors
    ///
    /// [`State`](crate::ErrorKind::State) when the file is damaged, of another version of this
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
            connection::open(&path).map_err(|error| error.explain(&path, "opening it"))?;
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
    /// As [`open`](Self::open).
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

    /// Puts what can be read of a damaged spool into a new one, which takes its place; the damaged
    /// one is kept beside it. A spool that is not damaged is left alone. Blocks meanwhile.
    ///
    /// `now` names the kept file.
    ///
    /// # Errors
    ///
    /// [`State`](crate::ErrorKind::State) when the file is of another version of this program or
    /// belongs to another one, and [`Io`](crate::ErrorKind::Io) when the disk fails or is full:
    /// what was there before is there still.
    pub fn recover(lock: &Lock, now: Timestamp) -> Result<Recovery> {
        let dir = lock.dir();
        let dir = dir.canonicalize().map_err(|error| unusable(dir, error))?;
        recover::recover(dir, now)
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
            site_state(transaction, &site)
        })
        .await
    }

    async fn counts(&self, site: &SiteId, from: Timestamp, to: Timestamp) -> Result<Counts> {
        let site = site.clone();
        self.transaction(
            "reading a site's counts",
            move |transaction| match site_row(transaction, &site)? {
                Some(row) => counts_between(transaction, row.id, from, to),
                None => Ok(Counts::new()),
            },
        )
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
            rewind(transaction, &site, to)?;
            site_state(transaction, &site)
        })
        .await
    }

    async fn recount(
        &self,
        site: &SiteId,
        from: Option<Timestamp>,
        counts: Counts,
    ) -> Result<SiteState> {
        let site = site.clone();
        self.transaction("counting anew", move |transaction| {
            recount(transaction, &site, from, &counts)?;
            site_state(transaction, &site)
        })
        .await
    }

    async fn inspect(&self) -> Result<Vec<String>> {
        self.transaction("inspecting it", |transaction| contradictions(transaction))
            .await
    }
}
