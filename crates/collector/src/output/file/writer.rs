//! Appends lines to the file that the checkpoint names, behind its offset, and nowhere else.

use std::io::{self, Seek};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use confluence_audit_core::Timestamp;

use super::FileOptions;
use super::batch::Batch;
use super::checkpoint::Checkpoint;
use super::disk::{DISK, Disk};
use super::rotation;
use super::target::Target;
use crate::fs::{self, OpenError, sync_directory};
use crate::{Error, ErrorKind, Result};

/// Some agents cut or drop lines that are longer; nobody is told but the operator who reads this.
const LONG_LINE: usize = 32 * 1024;

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any two of them can hold"
)]
pub(super) struct Writer {
    path: PathBuf,
    options: FileOptions,
    pub(super) disk: Disk,
    /// The kernel reports a failed write-back once and then forgets the pages: a second sync would
    /// succeed and prove nothing.
    sync_failed: bool,
    /// The checkpoint was moved behind foreign bytes, and nothing was written since.
    moved_behind_foreign: bool,
    long_line_reported: bool,
    /// Files that were put aside may have to be compressed or removed.
    is_untidy: bool,
}

impl Writer {
    pub(super) fn new(path: PathBuf, options: FileOptions) -> Self {
        Self {
            path,
            is_untidy: options.rotation.is_configured(),
            options,
            disk: DISK,
            sync_failed: false,
            moved_behind_foreign: false,
            long_line_reported: false,
        }
    }

    fn directory(&self) -> &Path {
        fs::directory(&self.path)
    }

    /// Creates the file, empty, so that agents which begin a file that is new to them at its end
    /// meet it before its first line.
    pub(super) fn prepare(&mut self) -> Result<()> {
        self.refuse_network()?;
        self.open_or_create()?;
        Ok(())
    }

    pub(super) fn check(&self) -> Result<String> {
        self.refuse_network()?;
        let good = format!("{} can be written", self.path.display());
        match Target::open(&self.path, false) {
            Err(error) if error.is(io::ErrorKind::NotFound) => {}
            opened => return self.regular(opened).map(|_| good),
        }
        fs::check_writable(self.directory()).map_err(|error| {
            cannot_create(
                format!("the output file {} cannot be created", self.path.display()),
                "Make its directory writable for the user that collects.",
            )
            .with_source(error)
        })?;
        Ok(good)
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
            return Err(fs::on_network(
                ErrorKind::OutputCreate,
                &format!("the output file {}", self.path.display()),
                kind,
                "Write to a local disk and ship from there: over a network, appends of two \
                 machines cannot be kept apart, nor a failed write told from one that arrived.",
            ));
        }
        Ok(())
    }

    pub(super) fn deliver(
        &mut self,
        lines: &[Bytes],
        checkpoint: Option<Checkpoint>,
    ) -> Result<(usize, Checkpoint)> {
        if self.sync_failed {
            return Err(self.sync_had_failed());
        }
        self.report_long_lines(lines);
        let here = self.open_or_create()?;
        let Some(checkpoint) = checkpoint else {
            return self.move_to_end_of(&here, None);
        };
        if here.ino == checkpoint.ino {
            self.tidy();
            if self.is_rotation_due(&here, checkpoint, lines.first()) {
                return self.rotate(&here);
            }
            let rotation = &self.options.rotation;
            let fits = rotation.fitting(checkpoint.offset, lines);
            return self.continue_current(&here, checkpoint, &Batch::new(&lines[..fits])?);
        }
        if let Some(renamed) = self.find_renamed(checkpoint.ino)? {
            return self.finish_renamed(&renamed, &here, checkpoint, &Batch::new(lines)?);
        }
        tracing::info!(
            path = %self.path.display(),
            "the output file was replaced and the old one is gone; going on in the new one"
        );
        self.move_to_end_of(&here, None)
    }

    /// What is in it is confirmed, and it is too large or too old for more.
    fn is_rotation_due(&self, here: &Target, checkpoint: Checkpoint, next: Option<&Bytes>) -> bool {
        let rotation = &self.options.rotation;
        let holds_lines = checkpoint.offset > self.header().len() as u64;
        next.is_some_and(|line| {
            let (began, now) = (checkpoint.began, (self.disk.now)());
            holds_lines
                && here.len == checkpoint.offset
                && rotation.is_due(checkpoint.offset, line, began, now)
        })
    }

    /// Puts the file aside and begins a new one: where we die on the way, it is a file that was
    /// renamed, and nothing is missing from it.
    fn rotate(&mut self, here: &Target) -> Result<(usize, Checkpoint)> {
        let aside = rotation::put_aside(&self.path, (self.disk.now)())
            .and_then(|aside| sync_directory(self.directory()).map(|()| aside))
            .map_err(|error| here.failed("renaming it, since it is full or old,", error))?;
        tracing::info!(path = %aside.display(), "the output file was put aside");
        self.is_untidy = true;
        let new = self.open_or_create()?;
        self.move_to_end_of(&new, None)
    }

    /// Sees to files that were put aside; the checkpoint names none of them. What fails of it
    /// costs space, not lines.
    fn tidy(&mut self) {
        if !std::mem::take(&mut self.is_untidy) {
            return;
        }
        if let Err(error) = self.options.rotation.tidy(&self.path) {
            tracing::warn!(
                path = %self.path.display(),
                "an output file that was put aside could not be compressed or removed: {error}; \
                 it is tried again with the next one"
            );
        }
    }

    /// What a new file begins with.
    fn header(&self) -> Vec<u8> {
        let header = self.options.header;
        header.map_or_else(Vec::new, |header| format!("{header}\n").into_bytes())
    }

    /// When a file is begun, where that counts.
    fn beginning(&self) -> Option<Timestamp> {
        let age = self.options.rotation.age;
        age.map(|_| (self.disk.now)())
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
                let began = checkpoint.began.or_else(|| self.beginning());
                return self.append(here, &batch.bytes[from..], batch.lines(), began);
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
            let bytes = [start, &batch.bytes].concat();
            return self.append(here, &bytes, batch.lines(), checkpoint.began);
        }
        self.moved_behind_foreign = true;
        self.move_to_end_of(here, checkpoint.began)
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
                let bytes = &batch.bytes[from..batch.end_of(lines)];
                self.append(renamed, bytes, lines, checkpoint.began)
            }
            _ if tail.lines > 0 => self.already_there(renamed, checkpoint, batch, tail.lines),
            _ => self.move_to_end_of(here, None),
        }
    }

    fn append(
        &mut self,
        to: &Target,
        bytes: &[u8],
        lines: usize,
        began: Option<Timestamp>,
    ) -> Result<(usize, Checkpoint)> {
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
                began,
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

    /// Moves the checkpoint to the end of `target`, which is made to end in a newline. A file that
    /// holds nothing, or the beginning of its first line, which we died over, gets that line.
    fn move_to_end_of(
        &mut self,
        target: &Target,
        began: Option<Timestamp>,
    ) -> Result<(usize, Checkpoint)> {
        let header = self.header();
        let lacking: &[u8] = match usize::try_from(target.len) {
            Ok(len) if len < header.len() && header.starts_with(&target.read(0, len)?) => {
                &header[len..]
            }
            _ if target.ends_in_newline()? => b"",
            _ => b"\n",
        };
        if !lacking.is_empty() {
            (self.disk.append)(&target.file, lacking)
                .map_err(|error| target.failed("ending its last line", error))?;
        }
        let offset = target.len + lacking.len() as u64;
        let began = began.or_else(|| self.beginning());
        self.sync(target)?;
        sync_directory(self.directory())
            .map_err(|error| target.failed("making its name durable", error))?;
        Ok((
            0,
            Checkpoint {
                ino: target.ino,
                offset,
                began,
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
            match Target::open(&self.path, false) {
                Err(error) if error.is(io::ErrorKind::NotFound) => {}
                opened => return self.regular(opened).and_then(|it| self.own(it)),
            }
            match Target::open(&self.path, true) {
                // Somebody was quicker, perhaps logrotate: what is there now is opened instead.
                Err(error) if error.is(io::ErrorKind::AlreadyExists) => {}
                Ok(created) => {
                    sync_directory(self.directory())
                        .map_err(|error| created.failed("making its name durable", error))?;
                    return self.own(created);
                }
                failed => return self.regular(failed),
            }
        }
    }

    /// Gives a file that holds nothing to whom it should belong: also one that we died over.
    fn own(&self, target: Target) -> Result<Target> {
        if target.len == 0 {
            self.options.ownership.give(&target.file).map_err(|error| {
                let path = target.path.display();
                cannot_create(
                    format!("the output file {path} cannot be given its owner, group and mode"),
                    "To give a file to another user takes root (CAP_CHOWN); to a group, \
                     membership in it. Change `owner` and `group`, or who collects.",
                )
                .with_source(error)
            })?;
        }
        Ok(target)
    }

    fn regular(&self, opened: Result<Target, OpenError>) -> Result<Target> {
        opened.map_err(|error| {
            let path = self.path.display();
            if matches!(error, OpenError::Link) {
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
        let unreadable = |path: &Path, error: OpenError| {
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
            for entry in std::fs::read_dir(dir).map_err(|error| unreadable(dir, error.into()))? {
                let entry = entry.map_err(|error| unreadable(dir, error.into()))?;
                if entry.ino() != ino {
                    continue;
                }
                match Target::open(&entry.path(), false) {
                    Ok(target) if target.ino == ino => return Ok(Some(target)),
                    // Renamed once more, or removed, since the directory was read.
                    Ok(_) => continue 'look,
                    Err(error) if error.is(io::ErrorKind::NotFound) => continue 'look,
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
