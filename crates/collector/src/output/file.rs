//! The file that a shipper or a SIEM tails: every line once, none torn, never shorter than it was.
//!
//! One rule carries it: **lines are written only to the file that the confirmed checkpoint names,
//! and only behind its offset.** Whatever stands behind that offset is then either nothing, or the
//! beginning of the lines that are due (we died while writing them), or somebody else's. A process
//! that died is continued from its very byte: a torn line is completed, never cut off, because a
//! reader that has seen some bytes is confused when they go away. Where the rule would be broken
//! (first start, rotated, truncated, foreign bytes), the checkpoint moves first, alone, to the end
//! of the file that is to be written; the lines follow when that has been confirmed.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{Delivered, Output, OutputName};
use crate::local_disk::{network_file_system, sync_directory};
use crate::{Error, ErrorKind, Result};

/// Some agents cut or drop lines that are longer; nobody is told but the operator who reads this.
const LONG_LINE: usize = 32 * 1024;

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
        Self {
            name,
            writer: Arc::new(Mutex::new(Writer::new(path.into()))),
        }
    }

    /// Finds out whether the file can be written, or created where it is missing, and changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`OutputCreate`](crate::ErrorKind::OutputCreate) when it cannot.
    pub async fn check(&self) -> Result<()> {
        self.blocking(|writer| writer.check()).await
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

#[async_trait]
impl Output for FileOutput {
    fn name(&self) -> &OutputName {
        &self.name
    }

    async fn prepare(&mut self) -> Result<()> {
        self.blocking(Writer::prepare).await
    }

    async fn deliver(&mut self, lines: &[Bytes], checkpoint: Option<&[u8]>) -> Result<Delivered> {
        let checkpoint = checkpoint.map(Checkpoint::decode).transpose()?;
        let lines = lines.to_vec();
        let (lines, checkpoint) = self
            .blocking(move |writer| writer.deliver(&lines, checkpoint))
            .await?;
        Ok(Delivered {
            lines,
            checkpoint: checkpoint.encode()?,
        })
    }
}

/// Which file is being written, and how far what is in it has been confirmed.
///
/// The file is known by its inode alone: device numbers are given out anew at every start of the
/// machine, and the start after a power failure is the one where the right file matters most. The
/// path's directory bounds the search, and a byte is checked at the offset, so that an inode used
/// again is not taken for the old file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Checkpoint {
    ino: u64,
    offset: u64,
}

impl Checkpoint {
    fn decode(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| {
            Error::new(
                ErrorKind::State,
                "the spool's checkpoint of an output file cannot be understood",
                "Another kind of output had this name, or the state is damaged. Give the output a \
                 new name or path: it will get everything that is still spooled.",
            )
            .with_source(error)
        })
    }

    fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|error| Error::internal("a checkpoint is not JSON").with_source(error))
    }
}

/// The lines that are due, as they will stand in the file.
struct Batch {
    bytes: Vec<u8>,
    /// Where each line ends in `bytes`, its newline included.
    ends: Vec<usize>,
}

impl Batch {
    fn new(lines: &[Bytes]) -> Result<Self> {
        let total = lines.iter().map(|line| line.len() + 1).sum();
        let mut bytes = Vec::with_capacity(total);
        let mut ends = Vec::with_capacity(lines.len());
        for line in lines {
            if line.contains(&b'\n') {
                return Err(Error::internal("a formatted record is more than one line"));
            }
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
            ends.push(bytes.len());
        }
        Ok(Self { bytes, ends })
    }

    fn lines(&self) -> usize {
        self.ends.len()
    }

    /// Where the first `lines` lines end.
    fn end_of(&self, lines: usize) -> usize {
        match lines.checked_sub(1) {
            Some(last) => self.ends[last],
            None => 0,
        }
    }
}

/// What stands behind the confirmed offset, measured against the batch that is due.
#[derive(Debug, PartialEq, Eq)]
struct Tail {
    /// How many of the batch's lines stand there whole.
    lines: usize,
    /// Where the batch goes on: it stands there up to this byte, and nothing follows. `None` when
    /// something else follows.
    goes_on: Option<usize>,
}

/// An open file and where it was found.
struct Target {
    file: File,
    path: PathBuf,
    ino: u64,
    len: u64,
}

impl Target {
    fn tail(&self, offset: u64, batch: &Batch) -> Result<Tail> {
        let foreign = Tail {
            lines: 0,
            goes_on: None,
        };
        let Some(behind) = self.len.checked_sub(offset) else {
            return Ok(foreign);
        };
        // What was confirmed ended in a newline. If there is none, the file was cut and filled
        // again, or the inode is another file's by now.
        if offset > 0 && self.read(offset - 1, 1)? != b"\n" {
            return Ok(foreign);
        }
        let len = usize::try_from(behind).unwrap_or(usize::MAX);
        let found = self.read(offset, len.min(batch.bytes.len()))?;
        let same = found
            .iter()
            .zip(&batch.bytes)
            .take_while(|(found, due)| found == due)
            .count();
        Ok(Tail {
            lines: batch.ends.partition_point(|end| *end <= same),
            goes_on: (same == len).then_some(same),
        })
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|error| self.failed("reading back what is in it", error))?;
        Ok(bytes)
    }

    fn ends_in_newline(&self) -> Result<bool> {
        Ok(self.len == 0 || self.read(self.len - 1, 1)? == b"\n")
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        let path = self.path.display();
        Error::new(
            ErrorKind::Io,
            format!("the output file {path}: {what} failed"),
            "See to the disk (free space, health, permissions). Nothing is lost: what was not \
             confirmed waits in the spool, and the next run continues this file at its last byte.",
        )
        .with_source(error)
    }
}

/// What a disk can be or fail in, so that a test can be that disk.
#[derive(Clone, Copy, Debug)]
struct Disk {
    network: fn(&Path) -> io::Result<Option<&'static str>>,
    append: fn(&File, &[u8]) -> io::Result<()>,
    sync: fn(&File) -> io::Result<()>,
}

const DISK: Disk = Disk {
    network: network_file_system,
    append: |mut file, bytes| file.write_all(bytes),
    sync: File::sync_data,
};

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    disk: Disk,
    /// The kernel reports a failed write-back once and then forgets the pages: a second sync would
    /// succeed and prove nothing.
    sync_failed: bool,
    /// The checkpoint was moved behind foreign bytes, and nothing was written since.
    moved_behind_foreign: bool,
    long_line_reported: bool,
}

impl Writer {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            disk: DISK,
            sync_failed: false,
            moved_behind_foreign: false,
            long_line_reported: false,
        }
    }

    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if parent != OsStr::new("") => parent,
            _ => Path::new("."),
        }
    }

    /// Creates the file, empty, so that agents which begin a file that is new to them at its end
    /// meet it before its first line.
    fn prepare(&mut self) -> Result<()> {
        self.refuse_network()?;
        self.open_or_create()?;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.refuse_network()?;
        match Self::open(&self.path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return self.regular(opened).map(drop),
        }
        let writable = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(self.directory(), writable).map_err(|error| {
            cannot_create(
                format!("the output file {} cannot be created", self.path.display()),
                "Make its directory writable for the user that collects.",
            )
            .with_source(error)
        })
    }

    fn refuse_network(&self) -> Result<()> {
        let dir = self.directory();
        let network = (self.disk.network)(dir).map_err(|error| {
            cannot_create(
                format!(
                    "the output file {}: its directory {} cannot be used",
                    self.path.display(),
                    dir.display()
                ),
                "Create the directory, writable for the user that collects.",
            )
            .with_source(error)
        })?;
        if let Some(kind) = network {
            return Err(cannot_create(
                format!(
                    "the output file {} is on a network file system ({kind})",
                    self.path.display()
                ),
                "Write to a local disk and ship from there: over a network, appends of two \
                 machines cannot be kept apart, nor a failed write told from one that arrived.",
            ));
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        lines: &[Bytes],
        checkpoint: Option<Checkpoint>,
    ) -> Result<(usize, Checkpoint)> {
        if self.sync_failed {
            return Err(self.sync_had_failed());
        }
        let batch = Batch::new(lines)?;
        self.report_long_lines(lines);
        let here = self.open_or_create()?;
        let Some(checkpoint) = checkpoint else {
            return self.move_to_end_of(&here);
        };
        if here.ino == checkpoint.ino {
            return self.continue_current(&here, checkpoint, &batch);
        }
        if let Some(renamed) = self.find_renamed(checkpoint.ino)? {
            return self.finish_renamed(&renamed, &here, checkpoint, &batch);
        }
        tracing::info!(
            path = %self.path.display(),
            "the output file was replaced and the old one is gone; going on in the new one"
        );
        self.move_to_end_of(&here)
    }

    fn continue_current(
        &mut self,
        here: &Target,
        checkpoint: Checkpoint,
        batch: &Batch,
    ) -> Result<(usize, Checkpoint)> {
        let tail = here.tail(checkpoint.offset, batch)?;
        match tail.goes_on {
            Some(from) if from < batch.bytes.len() => {
                return self.append(here, &batch.bytes[from..], batch.lines());
            }
            None if tail.lines == 0 => {}
            _ => return self.already_there(here, checkpoint, batch, tail.lines),
        }
        tracing::warn!(
            path = %self.path.display(),
            confirmed = checkpoint.offset,
            length = here.len,
            "somebody else cut the output file or wrote into it; going on at its end"
        );
        if self.moved_behind_foreign {
            // Another process writes all the time. Moving the checkpoint first would never end, so
            // this once the lines go without: only a crash right now could make them appear twice.
            let start: &[u8] = if here.ends_in_newline()? { b"" } else { b"\n" };
            return self.append(here, &[start, &batch.bytes].concat(), batch.lines());
        }
        self.moved_behind_foreign = true;
        self.move_to_end_of(here)
    }

    /// Ends a file that was renamed away while the batch was being written to it. Lines that stand
    /// there are not written again; the torn one is completed; all others go to the new file.
    fn finish_renamed(
        &mut self,
        renamed: &Target,
        here: &Target,
        checkpoint: Checkpoint,
        batch: &Batch,
    ) -> Result<(usize, Checkpoint)> {
        let tail = renamed.tail(checkpoint.offset, batch)?;
        match tail.goes_on {
            Some(from) if from > batch.end_of(tail.lines) => {
                let lines = tail.lines + 1;
                self.append(renamed, &batch.bytes[from..batch.end_of(lines)], lines)
            }
            _ if tail.lines > 0 => self.already_there(renamed, checkpoint, batch, tail.lines),
            _ => self.move_to_end_of(here),
        }
    }

    fn append(&mut self, to: &Target, bytes: &[u8], lines: usize) -> Result<(usize, Checkpoint)> {
        (self.disk.append)(&to.file, bytes).map_err(|error| {
            to.failed(
                &format!("writing {lines} lines ({} bytes)", bytes.len()),
                error,
            )
        })?;
        self.sync(to)?;
        self.moved_behind_foreign = false;
        // Where the last write ended, by the kernel's account: right even if another process
        // appended in the meantime.
        let offset = (&to.file)
            .stream_position()
            .map_err(|error| to.failed("finding its end", error))?;
        Ok((
            lines,
            Checkpoint {
                ino: to.ino,
                offset,
            },
        ))
    }

    /// Confirms lines that an earlier process wrote. It may have died before they were durable.
    fn already_there(
        &mut self,
        target: &Target,
        checkpoint: Checkpoint,
        batch: &Batch,
        lines: usize,
    ) -> Result<(usize, Checkpoint)> {
        self.sync(target)?;
        let offset = checkpoint.offset + batch.end_of(lines) as u64;
        Ok((
            lines,
            Checkpoint {
                offset,
                ..checkpoint
            },
        ))
    }

    /// Moves the checkpoint to the end of `target`, which is made to end in a newline.
    fn move_to_end_of(&mut self, target: &Target) -> Result<(usize, Checkpoint)> {
        let mut offset = target.len;
        if !target.ends_in_newline()? {
            (self.disk.append)(&target.file, b"\n")
                .map_err(|error| target.failed("ending its last line", error))?;
            offset += 1;
        }
        self.sync(target)?;
        sync_directory(self.directory())
            .map_err(|error| target.failed("making its name durable", error))?;
        Ok((
            0,
            Checkpoint {
                ino: target.ino,
                offset,
            },
        ))
    }

    fn sync(&mut self, target: &Target) -> Result<()> {
        (self.disk.sync)(&target.file).map_err(|error| {
            self.sync_failed = true;
            self.sync_had_failed().with_source(error)
        })
    }

    fn sync_had_failed(&self) -> Error {
        Error::new(
            ErrorKind::Io,
            format!(
                "the output file {} could not be made durable (fsync failed)",
                self.path.display()
            ),
            "See to the disk and start again: what was not confirmed is compared with what the \
             disk really holds. This process writes no more to it, since a second fsync would \
             prove nothing.",
        )
    }

    fn open_or_create(&self) -> Result<Target> {
        loop {
            match Self::open(&self.path, false) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return self.regular(opened),
            }
            match Self::open(&self.path, true) {
                // Somebody was quicker, perhaps logrotate: what is there now is opened instead.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Ok(created) => {
                    sync_directory(self.directory())
                        .map_err(|error| created.failed("making its name durable", error))?;
                    return Ok(created);
                }
                failed => return self.regular(failed),
            }
        }
    }

    fn open(path: &Path, create: bool) -> io::Result<Target> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(create)
            .mode(0o640)
            .custom_flags(
                (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY)
                    .bits()
                    .cast_signed(),
            )
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("not a plain file"));
        }
        Ok(Target {
            file,
            path: path.to_owned(),
            ino: meta.ino(),
            len: meta.len(),
        })
    }

    fn regular(&self, opened: io::Result<Target>) -> Result<Target> {
        opened.map_err(|error| {
            let path = self.path.display();
            if Errno::from_io_error(&error) == Some(Errno::LOOP) {
                return cannot_create(
                    format!("the output file {path} is a symbolic link"),
                    "Name the file itself: a link could be turned to another file while it is \
                     being written.",
                );
            }
            cannot_create(
                format!("the output file {path} cannot be opened or created"),
                "Name a plain file in a directory that the collecting user may write to and read \
                 from; pipes and devices are not supported.",
            )
            .with_source(error)
        })
    }

    /// The file with this inode under another name in the same directory.
    fn find_renamed(&self, ino: u64) -> Result<Option<Target>> {
        let dir = self.directory();
        let unreadable = |path: &Path, error: io::Error| {
            Error::new(
                ErrorKind::Io,
                format!(
                    "the output file {} was rotated, and {} cannot be opened to complete it",
                    self.path.display(),
                    path.display()
                ),
                "Let the collecting user read and write it, or move it out of the directory: then \
                 what was not confirmed in it is written again.",
            )
            .with_source(error)
        };
        'look: loop {
            for entry in fs::read_dir(dir).map_err(|error| unreadable(dir, error))? {
                let entry = entry.map_err(|error| unreadable(dir, error))?;
                if entry.ino() != ino {
                    continue;
                }
                match Self::open(&entry.path(), false) {
                    Ok(target) if target.ino == ino => return Ok(Some(target)),
                    // Renamed once more, or removed, since the directory was read.
                    Ok(_) => continue 'look,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue 'look,
                    Err(error) => return Err(unreadable(&entry.path(), error)),
                }
            }
            return Ok(None);
        }
    }

    fn report_long_lines(&mut self, lines: &[Bytes]) {
        if self.long_line_reported {
            return;
        }
        if let Some(line) = lines.iter().find(|line| line.len() > LONG_LINE) {
            self.long_line_reported = true;
            tracing::warn!(
                path = %self.path.display(),
                bytes = line.len(),
                "a record is longer than the 32 KiB that some log agents take for a line; raise \
                 the agent's limit (said once)"
            );
        }
    }
}

fn cannot_create(message: String, remedy: &'static str) -> Error {
    Error::new(ErrorKind::OutputCreate, message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::os::unix::fs::{PermissionsExt, symlink};

    thread_local! {
        /// How many bytes this thread's disk still takes.
        static SPACE: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    /// Takes bytes until its space is used up, then fails in the middle of a write.
    const SMALL_DISK: Disk = Disk {
        network: |_| Ok(None),
        append: |mut file, bytes| {
            let fits = bytes.len().min(SPACE.get());
            SPACE.set(SPACE.get() - fits);
            file.write_all(&bytes[..fits])?;
            if fits < bytes.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(())
        },
        sync: File::sync_data,
    };

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a temporary directory"))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn writer(&self) -> Writer {
            Writer::new(self.path("log"))
        }

        fn put(&self, name: &str, content: &str) {
            fs::write(self.path(name), content).expect("a file");
        }

        fn append(&self, name: &str, content: &str) {
            let mut file = OpenOptions::new()
                .append(true)
                .open(self.path(name))
                .expect("the file");
            file.write_all(content.as_bytes()).expect("room");
        }

        fn rename(&self, from: &str, to: &str) {
            fs::rename(self.path(from), self.path(to)).expect("a rename");
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).expect("the file")
        }

        /// Delivers `lines` as delivery does: again with the new checkpoint until all are there.
        fn deliver_all(&self, from: Option<Checkpoint>, lines: &[&str]) -> Checkpoint {
            let mut writer = self.writer();
            let (mut done, mut checkpoint) = (0, from);
            for _ in 0..10 {
                let due = bytes(&lines[done..]);
                let (more, at) = writer.deliver(&due, checkpoint).expect("a good disk");
                done += more;
                checkpoint = Some(at);
                if done == lines.len() {
                    return at;
                }
            }
            panic!("delivery does not come to an end");
        }
    }

    fn bytes(lines: &[&str]) -> Vec<Bytes> {
        lines
            .iter()
            .map(|line| Bytes::copy_from_slice(line.as_bytes()))
            .collect()
    }

    #[test]
    fn the_file_is_created_empty_for_its_group_to_read() {
        let place = Place::new();
        place.writer().prepare().expect("a good place");
        let meta = fs::metadata(place.path("log")).expect("the file");
        assert_eq!(meta.len(), 0);
        assert_eq!(meta.permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn what_is_no_plain_file_in_an_existing_directory_is_refused() {
        let place = Place::new();
        let refused = |name: &str| {
            let error = Writer::new(place.path(name)).prepare().expect_err(name);
            assert_eq!(error.kind(), ErrorKind::OutputCreate);
            error.to_string()
        };
        assert!(refused("missing/log").contains("missing"));
        place.put("target", "");
        symlink(place.path("target"), place.path("link")).expect("a link");
        assert!(refused("link").contains("symbolic link"));
        fs::create_dir(place.path("dir")).expect("a directory");
        refused("dir");
        rustix::fs::mkfifoat(rustix::fs::CWD, place.path("pipe"), 0o600.into()).expect("a pipe");
        refused("pipe");
    }

    #[test]
    fn a_network_file_system_is_refused_before_anything_is_created() {
        let place = Place::new();
        let mut writer = place.writer();
        writer.disk.network = |_| Ok(Some("NFS"));
        for refused in [writer.prepare(), writer.check()] {
            let error = refused.expect_err("it is no local disk");
            assert_eq!(error.kind(), ErrorKind::OutputCreate);
            assert!(error.to_string().contains("NFS"), "{error}");
        }
        assert!(!place.path("log").exists());
    }

    #[test]
    fn a_first_start_appends_to_what_is_there_and_begins_on_a_new_line() {
        let place = Place::new();
        place.put("log", "old\ntorn by somebody");
        let at = place.deliver_all(None, &["a", "b"]);
        assert_eq!(place.text("log"), "old\ntorn by somebody\na\nb\n");
        place.deliver_all(Some(at), &["c"]);
        assert_eq!(place.text("log"), "old\ntorn by somebody\na\nb\nc\n");
    }

    #[test]
    fn nothing_is_written_before_a_checkpoint_names_the_file() {
        let place = Place::new();
        let (lines, _) = place
            .writer()
            .deliver(&bytes(&["a"]), None)
            .expect("a good disk");
        assert_eq!(lines, 0);
        assert_eq!(place.text("log"), "");
    }

    #[test]
    fn a_torn_line_is_completed_where_it_was_torn() {
        let place = Place::new();
        let at = place.deliver_all(None, &["a"]);
        place.append("log", "first\nsec");
        place.deliver_all(Some(at), &["first", "second", "third"]);
        assert_eq!(place.text("log"), "a\nfirst\nsecond\nthird\n");
    }

    #[test]
    fn lines_that_stand_there_unconfirmed_are_confirmed_and_not_repeated() {
        let place = Place::new();
        let at = place.deliver_all(None, &["a"]);
        let end = place.deliver_all(Some(at), &["b", "c", "d"]);
        // The earlier batch was larger than the one that is asked for now.
        let (lines, middle) = place
            .writer()
            .deliver(&bytes(&["b", "c"]), Some(at))
            .expect("ok");
        assert_eq!(lines, 2);
        assert_eq!(place.deliver_all(Some(middle), &["d"]), end);
        assert_eq!(place.text("log"), "a\nb\nc\nd\n");
    }

    #[test]
    fn foreign_bytes_cost_no_line_and_tear_none() {
        let place = Place::new();
        let at = place.deliver_all(None, &["a"]);
        place.append("log", "b\nforeign");
        let at = place.deliver_all(Some(at), &["b", "c"]);
        assert_eq!(place.text("log"), "a\nb\nforeign\nc\n");
        place.deliver_all(Some(at), &["d"]);
        assert_eq!(place.text("log"), "a\nb\nforeign\nc\nd\n");
    }

    #[test]
    fn a_foreign_writer_that_never_rests_does_not_stop_delivery() {
        let place = Place::new();
        let mut at = place.deliver_all(None, &["a"]);
        let mut writer = place.writer();
        let mut done = 0;
        for _ in 0..4 {
            place.append("log", "foreign\n");
            let (lines, next) = writer.deliver(&bytes(&["b"]), Some(at)).expect("ok");
            done += lines;
            at = next;
        }
        assert_eq!(done, 2);
    }

    #[test]
    fn a_cut_file_starts_anew_at_its_end_and_is_never_cut_further() {
        let place = Place::new();
        let at = place.deliver_all(None, &["abcdef", "ghijkl"]);
        place.put("log", "x");
        let at = place.deliver_all(Some(at), &["m"]);
        assert_eq!(place.text("log"), "x\nm\n");
        // Cut and filled again up to the offset: the byte before it gives it away.
        place.put("log", "wxyz");
        place.deliver_all(Some(at), &["n"]);
        assert_eq!(place.text("log"), "wxyz\nn\n");
    }

    #[test]
    fn a_rotated_file_is_completed_and_its_lines_are_not_repeated_in_the_new_one() {
        let place = Place::new();
        let at = place.deliver_all(None, &["a"]);
        place.append("log", "b\nto");
        place.rename("log", "log.1");
        place.put("log", "");
        place.deliver_all(Some(at), &["b", "torn", "c"]);
        assert_eq!(place.text("log.1"), "a\nb\ntorn\n");
        assert_eq!(place.text("log"), "c\n");
    }

    #[test]
    fn rotation_between_batches_is_noticed_by_a_running_process() {
        let place = Place::new();
        let at = place.deliver_all(None, &["a"]);
        place.rename("log", "log.1");
        place.deliver_all(Some(at), &["b"]);
        assert_eq!(place.text("log.1"), "a\n");
        assert_eq!(place.text("log"), "b\n");
    }

    #[test]
    fn a_rotated_file_that_cannot_be_found_has_its_unconfirmed_lines_written_again() {
        let place = Place::new();
        let at = place.deliver_all(None, &["a"]);
        place.append("log", "b\n");
        // Another file comes first, so that the inode is not simply used again.
        place.put("new", "");
        fs::remove_file(place.path("log")).expect("gone");
        place.rename("new", "log");
        place.deliver_all(Some(at), &["b"]);
        assert_eq!(place.text("log"), "b\n");
    }

    #[test]
    fn foreign_bytes_in_a_rotated_file_stay_there() {
        let place = Place::new();
        let at = place.deliver_all(None, &["a"]);
        place.append("log", "foreign");
        place.rename("log", "log.1");
        place.deliver_all(Some(at), &["b"]);
        assert_eq!(place.text("log.1"), "a\nforeign");
        assert_eq!(place.text("log"), "b\n");
    }

    #[test]
    fn a_full_disk_says_what_was_not_written_and_is_tried_again() {
        let place = Place::new();
        let at = place.deliver_all(None, &["a"]);
        let mut writer = place.writer();
        writer.disk = SMALL_DISK;
        SPACE.set(3);
        let error = writer
            .deliver(&bytes(&["bcd", "e"]), Some(at))
            .expect_err("full");
        assert_eq!(error.exit_code(), 74);
        assert!(error.to_string().contains("2 lines (6 bytes)"), "{error}");
        SPACE.set(usize::MAX);
        writer
            .deliver(&bytes(&["bcd", "e"]), Some(at))
            .expect("there is room again");
        assert_eq!(place.text("log"), "a\nbcd\ne\n");
    }

    #[test]
    fn a_failed_fsync_is_final() {
        let place = Place::new();
        let at = place.deliver_all(None, &["a"]);
        let mut writer = place.writer();
        writer.disk.sync = |_| Err(io::ErrorKind::Other.into());
        let error = writer
            .deliver(&bytes(&["b"]), Some(at))
            .expect_err("a bad disk");
        assert_eq!(error.exit_code(), 74);
        writer.disk.sync = File::sync_data;
        writer
            .deliver(&bytes(&["b"]), Some(at))
            .expect_err("a second sync proves nothing");
        // The next process looks at what is there.
        place.deliver_all(Some(at), &["b"]);
        assert_eq!(place.text("log"), "a\nb\n");
    }

    #[test]
    fn a_line_that_would_be_two_is_a_bug_and_not_written() {
        let place = Place::new();
        let at = place.deliver_all(None, &["a"]);
        let error = place
            .writer()
            .deliver(&bytes(&["b\nc"]), Some(at))
            .expect_err("two lines");
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert_eq!(place.text("log"), "a\n");
    }

    #[tokio::test]
    async fn the_output_hands_its_checkpoint_through_the_spool_and_refuses_anothers() {
        let place = Place::new();
        let mut output = FileOutput::new(OutputName::new("file"), place.path("log"));
        output.prepare().await.expect("a good place");
        let lines = bytes(&["a"]);
        let first = output.deliver(&lines, None).await.expect("its start");
        let second = output
            .deliver(&lines, Some(&first.checkpoint))
            .await
            .expect("the line");
        assert_eq!((first.lines, second.lines), (0, 1));
        assert_eq!(place.text("log"), "a\n");
        let error = output
            .deliver(&lines, Some(b"7"))
            .await
            .expect_err("no checkpoint");
        assert_eq!(error.kind(), ErrorKind::State);
    }

    /// One thing that happens to a writer.
    #[derive(Clone, Debug)]
    enum Event {
        /// Up to `lines` are delivered; the process dies after `space` bytes, or, when there is
        /// room for all, before the confirmation if `unconfirmed`.
        Deliver {
            lines: usize,
            space: usize,
            unconfirmed: bool,
        },
        /// logrotate renames the file, and creates a new one or leaves that to us.
        Rotate { create: bool },
    }

    fn event() -> impl Strategy<Value = Event> {
        let space = prop_oneof![0..12_usize, Just(usize::MAX)];
        prop_oneof![
            4 => (1..5_usize, space, any::<bool>()).prop_map(|(lines, space, unconfirmed)| {
                Event::Deliver { lines, space, unconfirmed }
            }),
            1 => any::<bool>().prop_map(|create| Event::Rotate { create }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        /// Few letters and short lines, so that twins, and lines that begin other lines, abound.
        #[test]
        fn whenever_it_dies_or_is_rotated_every_line_stands_once_and_no_file_shrinks(
            lines in proptest::collection::vec("[ab]{0,4}", 0..20),
            events in proptest::collection::vec(event(), 0..25),
            before in prop_oneof![Just(""), Just("old\n"), Just("a\nb\n")],
        ) {
            let place = Place::new();
            place.put("log", before);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let mut rotated = 0;
            let (mut confirmed, mut checkpoint) = (0, None);
            let everything = |rotated: usize| -> String {
                let mut all: String = (0..rotated).map(|n| place.text(&format!("log.{n}"))).collect();
                if place.path("log").exists() {
                    all += &place.text("log");
                }
                all
            };
            let mut seen = before.to_owned();
            let rest = std::iter::repeat_n(
                Event::Deliver { lines: 3, space: usize::MAX, unconfirmed: false },
                lines.len() + 5,
            );
            for event in events.into_iter().chain(rest) {
                match event {
                    Event::Deliver { lines: most, space, unconfirmed } => {
                        let mut writer = place.writer();
                        writer.disk = SMALL_DISK;
                        SPACE.set(space);
                        let until = lines.len().min(confirmed + most);
                        let due = bytes(&lines[confirmed..until]);
                        if let Ok((done, at)) = writer.deliver(&due, checkpoint)
                            && !unconfirmed
                        {
                            confirmed += done;
                            checkpoint = Some(at);
                        }
                    }
                    Event::Rotate { create } => {
                        if place.path("log").exists() {
                            place.rename("log", &format!("log.{rotated}"));
                            rotated += 1;
                        }
                        if create && !place.path("log").exists() {
                            place.put("log", "");
                        }
                    }
                }
                let now = everything(rotated);
                // Completing a torn line in a rotated file may only happen while the new one is
                // empty; then the whole grows at its end, as each file does.
                prop_assert!(now.starts_with(&seen), "{seen:?} became {now:?}");
                seen = now;
            }
            let mut expected = before.to_owned();
            for line in &lines {
                expected += line;
                expected.push('\n');
            }
            prop_assert_eq!(seen, expected);
        }
    }
}
