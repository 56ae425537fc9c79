//! File output, which a shipper or a SIEM tails: every line once, none torn, never shorter.
//!
//! One rule carries it: **lines are written only to the file that the confirmed checkpoint names,
//! and only behind its offset.** Whatever stands behind that offset is then either nothing, or the
//! beginning of the lines that are due (we died while writing them), or somebody else's. A process
//! that died is continued from its very byte: a torn line is completed, never cut off, because a
//! reader that has seen some bytes is confused when they go away. Where the rule would be broken
//! (first start, rotated, truncated, foreign bytes), the checkpoint moves first, alone, to the end
//! of the file that is to be written; the lines follow when that has been confirmed.

mod batch;
mod checkpoint;
pub(super) mod config;
mod disk;
mod ownership;
mod rotation;
mod target;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use self::checkpoint::Checkpoint;
use self::config::{FileConfig, SITE};
pub use self::ownership::Ownership;
pub use self::rotation::{Compression, Rotation};
use self::writer::Writer;
use super::kind::{Declared as _, KindInfo, OutputKind, OutputSetup};
use super::{Delivered, Entry, Output, OutputName};
use crate::{Error, ErrorKind, Result};

/// What can be asked of an output file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// What a new file begins with, a line without its newline.
    pub header: Option<&'static str>,
    /// Whom a new file belongs to.
    pub ownership: Ownership,
    /// When it is put aside, without anybody's doing.
    pub rotation: Rotation,
}

/// Appends lines to a file, exactly once across crashes and rotation.
///
/// The file is opened anew for every batch, so that one that was renamed away is noticed by its
/// inode: its unconfirmed lines are completed there, and a new file is begun at the path. A rotated
/// file has to stay in its directory, uncompressed, until then (logrotate: `delaycompress`, and no
/// `olddir`); one that cannot be found is given up, and what was not confirmed in it is written
/// again. `copytruncate` loses lines by design.
#[derive(Debug)]
pub struct FileOutput {
    name: OutputName,
    // Locked by the thread that writes. When a delivery's future is dropped, that thread goes on;
    // the next delivery waits for it and finds its lines in the file.
    writer: Arc<Mutex<Writer>>,
}

impl FileOutput {
    /// An output to the file at `path`. Nothing is touched before
    /// [`prepare`](Output::prepare).
    pub fn new(name: OutputName, path: impl Into<PathBuf>) -> Self {
        Self::with(name, path, FileOptions::default())
    }

    /// The same with what is not usual about it.
    pub fn with(name: OutputName, path: impl Into<PathBuf>, options: FileOptions) -> Self {
        Self {
            name,
            writer: Arc::new(Mutex::new(Writer::new(path.into(), options))),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let writer = Arc::clone(&self.writer);
        let done = tokio::task::spawn_blocking(move || {
            let mut writer = writer
                .lock()
                .map_err(|_| Error::internal("an earlier write to the output file panicked"))?;
            work(&mut writer)
        });
        done.await.map_err(|error| {
            Error::internal("writing the output file panicked").with_source(error)
        })?
    }
}

impl OutputKind for FileConfig {
    fn info(&self) -> KindInfo {
        Self::INFO
    }

    fn display_name(&self) -> String {
        self.path.clone()
    }

    /// Its path, whatever the working directory is next time.
    fn state_name(&self) -> Result<String> {
        let path = Path::new(&self.path);
        let absolute = std::path::absolute(path).map_err(|error| {
            let message = format!("the output's path {} cannot be used", path.display());
            Error::new(ErrorKind::OutputCreate, message, "Give an absolute path.")
                .with_source(error)
        })?;
        Ok(format!("file:{}", absolute.display()))
    }

    fn path(&self) -> Option<&Path> {
        Some(Path::new(&self.path))
    }

    fn for_site(&self, site: &str) -> Option<Arc<dyn OutputKind>> {
        let own = Self {
            path: self.path.replace(SITE, site),
            ..self.clone()
        };
        self.path.contains(SITE).then(|| Arc::new(own) as _)
    }

    fn build(&self, setup: OutputSetup<'_>) -> Box<dyn Output> {
        let options = FileOptions {
            header: setup.format.header(),
            ownership: self.ownership.clone(),
            rotation: self.rotation.clone(),
        };
        Box::new(FileOutput::with(setup.name, &self.path, options))
    }
}

#[async_trait]
impl Output for FileOutput {
    fn name(&self) -> &OutputName {
        &self.name
    }

    async fn check(&mut self) -> Result<String> {
        self.blocking(|writer| writer.check()).await
    }

    async fn prepare(&mut self) -> Result<()> {
        self.blocking(Writer::prepare).await
    }

    async fn deliver(&mut self, entries: &[Entry], checkpoint: Option<&[u8]>) -> Result<Delivered> {
        let checkpoint = checkpoint.map(Checkpoint::decode).transpose()?;
        let lines: Vec<_> = entries.iter().map(|entry| entry.line.clone()).collect();
        let (lines, checkpoint) = self
            .blocking(move |writer| writer.deliver(&lines, checkpoint))
            .await?;
        Ok(Delivered {
            lines,
            dead: 0,
            checkpoint: checkpoint.encode()?,
        })
    }
}
