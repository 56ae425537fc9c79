//! Rotation of the output file: when a file is full or old, its new name, compression and removal.
//!
//! A file is renamed when all that is in it is confirmed, and from then on it is like one that
//! somebody else renamed. It is compressed when the one after it is renamed: until then whoever
//! reads along may still be at it. The compressed file is written under another name, made
//! durable, and put in its place before the plain one is removed, so that a death in between
//! leaves the plain one, which is compressed again.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, BufReader, BufWriter};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use confluence_audit_core::Timestamp;
use flate2::Compression as GzipLevel;
use flate2::write::GzEncoder;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::fs::{self, NewFile};

/// The length of a time in a name: `20260131T235959Z`.
const STAMP: usize = 16;

/// When a file is put aside, and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// A file is put aside before it would grow beyond this.
    pub size: Option<u64>,
    /// A file is put aside with the first line that comes when it is so old.
    pub age: Option<Duration>,
    /// How many files that were put aside are kept; without it all.
    pub keep: Option<usize>,
    /// How they are kept.
    pub compression: Compression,
}

/// How files that were put aside are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// With gzip.
    Gzip,
}

impl Rotation {
    pub(super) fn is_configured(&self) -> bool {
        self.size.is_some() || self.age.is_some()
    }

    /// Whether a file of this length, written since `began`, is put aside before this line.
    pub(super) fn is_due(
        &self,
        length: u64,
        line: &Bytes,
        began: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let too_large = |size| length + line.len() as u64 + 1 > size;
        let too_old = |(age, began)| now.since(began) >= age;
        self.size.is_some_and(too_large) || self.age.zip(began).is_some_and(too_old)
    }

    /// How many of the lines still go into a file of this length; at least one.
    pub(super) fn fitting(&self, length: u64, lines: &[Bytes]) -> usize {
        let Some(size) = self.size else {
            return lines.len();
        };
        let mut length = length;
        let fits = lines.iter().take_while(|line| {
            length += line.len() as u64 + 1;
            length <= size
        });
        fits.count().max(1).min(lines.len())
    }

    /// Compresses what was put aside before the last time, and removes what is too old.
    pub(super) fn tidy(&self, path: &Path) -> io::Result<()> {
        if self.compression == Compression::Gzip {
            let aside = Aside::of(path)?;
            let older = aside.len().saturating_sub(1);
            for file in aside.iter().take(older).filter(|file| file.is_plain) {
                compress(&file.path)?;
            }
        }
        if let Some(keep) = self.keep {
            let aside = Aside::of(path)?;
            let surplus = aside.len().saturating_sub(keep);
            for old in &aside[..surplus] {
                tracing::info!(path = %old.path.display(), "removing an old output file");
                std::fs::remove_file(&old.path)?;
            }
        }
        Ok(())
    }
}

fn compress(plain: &Path) -> io::Result<()> {
    let source = File::open(plain)?;
    let meta = source.metadata()?;
    let packed = NewFile::create(&fs::with_suffix(plain, ".gz"), 0o600)?;
    let mut encoder = GzEncoder::new(
        BufWriter::with_capacity(1 << 17, packed),
        GzipLevel::default(),
    );
    io::copy(&mut BufReader::with_capacity(1 << 17, source), &mut encoder)?;
    let packed = encoder.finish()?.into_inner();
    let packed = packed.map_err(io::IntoInnerError::into_error)?;
    fs::give_to_owner_of(&meta, packed.file())?;
    let mode = Permissions::from_mode(meta.mode() & 0o7777);
    packed.file().set_permissions(mode)?;
    packed.persist()?;
    std::fs::remove_file(plain)
}

/// Renames the file to a name that nothing has, behind all that were put aside before.
pub(super) fn put_aside(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    loop {
        let last = Aside::of(path)?.pop().map(|last| last.key);
        let stamp = stamp(now);
        let key = match last {
            // Also when the clock was set back: the order of names is the order of lines.
            Some((last, number)) if last >= stamp => (last, number + 1),
            _ => (stamp, 1),
        };
        let to = name(path, &key);
        match rename_to_nothing(path, &to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            renamed => return renamed.map(|()| to),
        }
    }
}

fn rename_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system does not know how; nobody else gives such names.
        Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => std::fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}

/// A file that was put aside.
struct Aside {
    /// Its time, and its number among those of this time.
    key: (String, u32),
    path: PathBuf,
    is_plain: bool,
}

impl Aside {
    /// All that were put aside from this path, the oldest first.
    fn of(path: &Path) -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(fs::directory(path))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().zip(path.file_name().and_then(OsStr::to_str));
            let read = name.and_then(|(name, base)| read_name(name, base));
            if let Some((key, is_plain)) = read {
                all.push(Self {
                    key,
                    path: entry.path(),
                    is_plain,
                });
            }
        }
        all.sort_by(|a, b| (&a.key, a.is_plain).cmp(&(&b.key, b.is_plain)));
        Ok(all)
    }
}

/// `BASE-20260131T235959Z`, and `.2` for the second of that second.
fn name(path: &Path, (stamp, number): &(String, u32)) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("-{stamp}"));
    if *number > 1 {
        name.push(format!(".{number}"));
    }
    name.into()
}

/// What [`name`] has written, perhaps compressed since: its key, and whether it is not.
fn read_name(name: &str, base: &str) -> Option<((String, u32), bool)> {
    let rest = name.strip_prefix(base)?.strip_prefix('-')?;
    let plain = rest.strip_suffix(".gz").or(rest.strip_suffix(".zst"));
    let (stamp, number) = plain.unwrap_or(rest).split_at_checked(STAMP)?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (date, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || !digits(date) || !digits(time) {
        return None;
    }
    let number = match number.strip_prefix('.') {
        None if number.is_empty() => 1,
        Some(number) if digits(number) => number.parse().ok()?,
        _ => return None,
    };
    Some(((stamp.to_owned(), number), plain.is_none()))
}

/// `20260131T235959Z`.
fn stamp(now: Timestamp) -> String {
    let text = now.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    let mut stamp: String = seconds
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    stamp.push('Z');
    stamp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written_and_nothing_else_is() {
        let now = Timestamp::parse_rfc3339("2026-01-31T23:59:59.7Z").unwrap();
        for number in [1, 2, 10] {
            let key = (stamp(now), number);
            let written = name(Path::new("/var/log.json"), &key);
            let written = written.file_name().unwrap().to_str().unwrap().to_owned();
            for (end, plain) in [("", true), (".gz", false), (".zst", false)] {
                let found = read_name(&format!("{written}{end}"), "log.json");
                assert_eq!(found, Some((key.clone(), plain)), "{written}{end}");
            }
        }
        for other in [
            "log.json",
            "log.json-20260131",
            "log.json-20260131T235959Z.1.bak",
            "log.json-20260131T235959Z~",
            "log.json-2026013xT235959Z",
            ".log.json-20260131T235959Z.part",
            "my.log.json-20260131T235959Z",
        ] {
            assert_eq!(read_name(other, "log.json"), None, "{other}");
        }
    }
}
