//! Index of what the files hold: each record as one small entry.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use confluence_audit_core::read::{Counts, is_possible_time};
use confluence_audit_core::{Fingerprint, RawRecord, Timestamp, printable};

use super::lines::{self, Lines, Next};
use super::{SHOWN, Torn};
use crate::Result;

/// One distinct record of the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) copies: u32,
    /// How many of them the site has.
    pub(super) matched: u32,
    /// Where the last copy is.
    pub(super) file: u32,
    pub(super) line: u64,
}

/// A distinct record that tells no time, and where in time its file has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Untimed {
    pub(super) held: Held,
    pub(super) after: Option<Timestamp>,
}

/// What the files hold.
#[derive(Debug, Default)]
pub struct Holdings {
    pub(super) files: Vec<Source>,
    pub(super) timed: HashMap<(Timestamp, Fingerprint), Held>,
    /// The service's pages decide where such a record is placed, and no file tells those: its
    /// content has to do, which holds whatever the record says of its time.
    pub(super) untimed: HashMap<Fingerprint, Untimed>,
    /// Where such records are counted.
    placed: Counts,
    pub(super) oldest: Option<Timestamp>,
    pub(super) newest: Option<Timestamp>,
    pub(super) torn: u64,
    pub(super) torn_lines: Vec<Torn>,
    /// How much of each kind is kept to be shown.
    pub(super) show: usize,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    /// To read it again; standard input cannot be.
    pub(super) path: Option<PathBuf>,
}

impl Holdings {
    /// Reads files of the `raw` format, plain or compressed, `-` is standard input; a file that is
    /// named twice is read once. Keeps up to `show` differences of each kind to be shown. Blocks
    /// meanwhile.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be read, or has a line beyond 64 MiB.
    pub fn read(files: &[PathBuf], show: usize) -> Result<Self> {
        let mut holdings = Self {
            show,
            ..Self::default()
        };
        let mut seen = HashSet::new();
        for path in files {
            if path == Path::new("-") {
                if seen.insert((0, 0)) {
                    holdings.add(Lines::open(path)?, None)?;
                }
                continue;
            }
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| lines::unreadable(&name, error))?;
            let meta = file.metadata();
            let meta = meta.map_err(|error| lines::unreadable(&name, error))?;
            // Rotation may have renamed it since the names were collected.
            if meta.is_file() && !seen.insert((meta.dev(), meta.ino())) {
                tracing::warn!("{} is named twice; it is read once", printable(&name, 400));
                continue;
            }
            let again = meta.is_file().then(|| path.clone());
            holdings.add(Lines::of_file(name, file)?, again)?;
        }
        Ok(holdings)
    }

    fn add(&mut self, mut lines: Lines, path: Option<PathBuf>) -> Result<()> {
        let file = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push(Source {
            name: printable(lines.name(), 4096),
            path,
        });
        let mut after = None;
        let (mut unplaced, mut last) = (Vec::new(), None);
        loop {
            let record = match lines.next()? {
                Next::End => break,
                Next::Damaged(error) => {
                    let why = format!("the compressed data cannot be read from here on: {error}");
                    self.torn(file, lines.number(), after, &why);
                    break;
                }
                Next::Line(line) if line.iter().all(u8::is_ascii_whitespace) => {
                    Err("it is empty".to_owned())
                }
                Next::Line(line) => RawRecord::parse(Bytes::copy_from_slice(line)).map_err(|_| {
                    let text = String::from_utf8_lossy(&line[..line.len().min(4 * SHOWN)]);
                    format!("not JSON: {}", printable(&text, SHOWN))
                }),
            };
            match record {
                Ok(record) => {
                    self.hold(&record, file, lines.number(), after);
                    after = record.time().or(after);
                    match record.time().filter(|time| is_possible_time(*time)) {
                        Some(time) => {
                            self.place(&mut unplaced, time);
                            last = Some(time);
                        }
                        None => unplaced.push(record.fingerprint()),
                    }
                }
                Err(why) => self.torn(file, lines.number(), after, &why),
            }
        }
        let last = last.or_else(|| self.oldest());
        self.place(&mut unplaced, last.unwrap_or(Timestamp::from_millis(0)));
        Ok(())
    }

    fn place(&mut self, unplaced: &mut Vec<Fingerprint>, time: Timestamp) {
        for fingerprint in unplaced.drain(..) {
            *self.placed.entry((time, fingerprint)).or_insert(0) += 1;
        }
    }

    fn hold(&mut self, record: &RawRecord, file: u32, line: u64, after: Option<Timestamp>) {
        let one = Held {
            copies: 0,
            matched: 0,
            file,
            line,
        };
        let fingerprint = record.fingerprint();
        let held = if let Some(time) = record.time() {
            self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
            self.newest = self.newest.max(Some(time));
            self.timed.entry((time, fingerprint)).or_insert(one)
        } else {
            let untimed = Untimed { held: one, after };
            &mut self.untimed.entry(fingerprint).or_insert(untimed).held
        };
        (held.file, held.line) = (file, line);
        held.copies = held.copies.saturating_add(1);
    }

    /// The time of the oldest record that tells a possible one.
    pub fn oldest(&self) -> Option<Timestamp> {
        let times = self.timed.keys().map(|(time, _)| *time);
        times.filter(|time| is_possible_time(*time)).min()
    }

    /// How many lines are no records.
    pub fn torn_count(&self) -> u64 {
        self.torn
    }

    /// How many records tell no possible time.
    pub fn untimed_count(&self) -> u64 {
        self.placed.values().map(|copies| u64::from(*copies)).sum()
    }

    /// How many copies of each record there are. One that tells no possible time is filed, as the
    /// reading of a site does, with the record that it met before, which is the next in a file.
    pub fn counts(&self) -> Counts {
        let timed = self.timed.iter();
        let timed = timed.filter(|((time, _), _)| is_possible_time(*time));
        let mut counts: Counts = timed.map(|(key, held)| (*key, held.copies)).collect();
        for (key, copies) in &self.placed {
            *counts.entry(*key).or_insert(0) += copies;
        }
        counts
    }

    pub(super) fn torn(&mut self, file: u32, line: u64, after: Option<Timestamp>, why: &str) {
        self.torn += 1;
        if self.torn_lines.len() < self.show {
            self.torn_lines.push(Torn {
                file: self.name(file),
                line,
                after,
                why: printable(why, 2 * SHOWN),
            });
        }
    }

    pub(super) fn name(&self, file: u32) -> String {
        let file = self.files.get(file as usize);
        file.map(|file| file.name.clone()).unwrap_or_default()
    }
}
