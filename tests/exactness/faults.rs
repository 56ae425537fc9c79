//! How a run can die, and the parts that make it die there.

use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use confluence_audit_collector::output::{Delivered, Entry, FileOutput, Output, OutputName};
use confluence_audit_collector::spool::{
    Commit, Depth, OutputState, Overview, Pending, SiteState, Spool, SqliteSpool,
};
use confluence_audit_collector::{Error, ErrorKind, Result, SiteId};
use confluence_audit_core::Timestamp;
use confluence_audit_core::read::Counts;

/// Where a run dies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Death {
    /// It ends by itself.
    None,
    /// Before or just after a use of the spool.
    AtSpool { call: u32, after: bool },
    /// With the first bytes of a batch in the file.
    WhileWriting { batch: u32, bytes: usize },
    /// Not there, but it is told that the disk is full, and it stays so for the run.
    DiskFull { batch: u32, bytes: usize },
    /// Wherever it waits for something, at the time it has been woken so often.
    AtAwait { polls: u32 },
}

fn died() -> Error {
    Error::new(ErrorKind::Io, "the run died here, as planned", "")
}

/// Runs `work` until it has been woken `polls` times.
pub(crate) async fn at_most<T>(polls: u32, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

/// Runs `work` until `dead` is set.
pub(crate) async fn until_dead<T>(dead: &AtomicBool, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(move |context| match work.as_mut().poll(context) {
        Poll::Pending if dead.load(Ordering::Relaxed) => Poll::Ready(None),
        polled => polled.map(Some),
    })
    .await
}

/// A spool whose user dies at one of its calls.
pub(crate) struct DyingSpool {
    inner: SqliteSpool,
    calls: AtomicU32,
    death: Death,
}

impl DyingSpool {
    pub(crate) fn new(inner: SqliteSpool, death: Death) -> Self {
        Self {
            inner,
            calls: AtomicU32::new(0),
            death,
        }
    }

    /// Counts a call; once dead, nothing works any more.
    async fn call<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.death {
            Death::AtSpool { call, after: false } if number >= call => Err(died()),
            Death::AtSpool { call, after: true } if number == call => {
                work.await?;
                Err(died())
            }
            Death::AtSpool { call, after: true } if number > call => Err(died()),
            _ => work.await,
        }
    }
}

#[async_trait]
impl Spool for DyingSpool {
    async fn site(&self, site: &SiteId) -> Result<SiteState> {
        self.call(self.inner.site(site)).await
    }

    async fn counts(&self, site: &SiteId, from: Timestamp, to: Timestamp) -> Result<Counts> {
        self.call(self.inner.counts(site, from, to)).await
    }

    async fn commit(&self, site: &SiteId, commit: Commit) -> Result<()> {
        self.call(self.inner.commit(site, commit)).await
    }

    async fn register(&self, output: &OutputName) -> Result<OutputState> {
        self.call(self.inner.register(output)).await
    }

    async fn pending(
        &self,
        output: &OutputName,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Pending> {
        self.call(self.inner.pending(output, max_records, max_bytes))
            .await
    }

    async fn confirm(&self, output: &OutputName, seq: i64, checkpoint: &[u8]) -> Result<()> {
        self.call(self.inner.confirm(output, seq, checkpoint)).await
    }

    async fn retain(&self, outputs: &[OutputName]) -> Result<()> {
        self.call(self.inner.retain(outputs)).await
    }

    async fn depth(&self) -> Result<Depth> {
        self.call(self.inner.depth()).await
    }

    async fn waiting(&self, output: &OutputName, site: Option<&SiteId>) -> Result<Depth> {
        self.call(self.inner.waiting(output, site)).await
    }

    async fn site_at(&self, address: &str) -> Result<Option<SiteId>> {
        self.call(self.inner.site_at(address)).await
    }

    async fn set_site_at(&self, address: &str, site: Option<&SiteId>) -> Result<()> {
        self.call(self.inner.set_site_at(address, site)).await
    }

    async fn overview(&self) -> Result<Overview> {
        self.call(self.inner.overview()).await
    }

    async fn rewind(&self, site: &SiteId, to: Timestamp) -> Result<SiteState> {
        self.call(self.inner.rewind(site, to)).await
    }

    async fn recount(
        &self,
        site: &SiteId,
        from: Option<Timestamp>,
        counts: Counts,
    ) -> Result<SiteState> {
        self.call(self.inner.recount(site, from, counts)).await
    }

    async fn inspect(&self) -> Result<Vec<String>> {
        self.call(self.inner.inspect()).await
    }
}

/// A file whose writer dies, or whose disk is full, in the middle of a batch.
pub(crate) struct DyingFile {
    inner: FileOutput,
    path: PathBuf,
    death: Death,
    dead: Arc<AtomicBool>,
    batches: u32,
    full: bool,
}

impl DyingFile {
    /// Sets `dead` when it dies.
    pub(crate) fn new(
        name: OutputName,
        path: PathBuf,
        death: Death,
        dead: Arc<AtomicBool>,
    ) -> Self {
        let inner = FileOutput::new(name, &path);
        Self {
            inner,
            path,
            death,
            dead,
            batches: 0,
            full: false,
        }
    }

    /// Whether the real output would write to the file at the path now: it does so only to the
    /// file that the checkpoint names, and at the checkpoint's end.
    fn would_append(&self, checkpoint: Option<&[u8]>) -> bool {
        let Some(checkpoint) = checkpoint else {
            return false;
        };
        let checkpoint: serde_json::Value = serde_json::from_slice(checkpoint).unwrap();
        let Ok(meta) = fs::metadata(&self.path) else {
            return false;
        };
        checkpoint["ino"] == meta.ino() && checkpoint["offset"] == meta.len()
    }

    fn write_part(&self, entries: &[Entry], bytes: usize) {
        let lines = entries
            .iter()
            .map(|entry| [&entry.line[..], b"\n"].concat());
        let batch: Vec<u8> = lines.flatten().collect();
        let part = &batch[..bytes.min(batch.len())];
        let mut file = OpenOptions::new().append(true).open(&self.path).unwrap();
        file.write_all(part).unwrap();
    }
}

#[async_trait]
impl Output for DyingFile {
    fn name(&self) -> &OutputName {
        self.inner.name()
    }

    async fn check(&mut self) -> Result<String> {
        self.inner.check().await
    }

    async fn prepare(&mut self) -> Result<()> {
        self.inner.prepare().await
    }

    async fn deliver(&mut self, entries: &[Entry], checkpoint: Option<&[u8]>) -> Result<Delivered> {
        let (Death::WhileWriting { batch: at, bytes } | Death::DiskFull { batch: at, bytes }) =
            self.death
        else {
            return self.inner.deliver(entries, checkpoint).await;
        };
        if self.full {
            return Err(died());
        }
        self.batches += 1;
        if self.batches > at && !entries.is_empty() && self.would_append(checkpoint) {
            self.full = true;
            self.write_part(entries, bytes);
            if let Death::WhileWriting { .. } = self.death {
                self.dead.store(true, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            return Err(died());
        }
        self.inner.deliver(entries, checkpoint).await
    }
}

/// How an output is for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    /// It cannot be used from the start.
    Unready,
    /// It takes nothing.
    Failing,
}

/// A file that may be out of order for whole runs.
pub(crate) struct AilingFile {
    inner: FileOutput,
    health: Health,
}

impl AilingFile {
    pub(crate) fn new(name: OutputName, path: PathBuf, health: Health) -> Self {
        let inner = FileOutput::new(name, path);
        Self { inner, health }
    }
}

#[async_trait]
impl Output for AilingFile {
    fn name(&self) -> &OutputName {
        self.inner.name()
    }

    async fn check(&mut self) -> Result<String> {
        self.inner.check().await
    }

    async fn prepare(&mut self) -> Result<()> {
        match self.health {
            Health::Unready => Err(died()),
            _ => self.inner.prepare().await,
        }
    }

    async fn deliver(&mut self, entries: &[Entry], checkpoint: Option<&[u8]>) -> Result<Delivered> {
        match self.health {
            Health::Well => self.inner.deliver(entries, checkpoint).await,
            _ => Err(died()),
        }
    }
}
