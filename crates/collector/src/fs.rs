//! Files: atomic replacement, directory sync, opening without following links, locks, network file
//! systems, and safe names.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, OFlags};
use rustix::io::Errno;

use crate::{Error, ErrorKind};

/// So many names are tried for a file of one of several writers.
const ATTEMPTS: u32 = 1000;

/// A file that is written beside its place, and takes it when it is complete: a reader sees the
/// old one or the new one. Dropped before, it is removed.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    /// Empty when there is nothing to remove.
    temporary: PathBuf,
    path: PathBuf,
}

impl NewFile {
    /// A file for `path` whose caller is its only writer, because it holds a lock. What an
    /// interrupted attempt left beside it is replaced, whatever it is.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let temporary = beside(path, "new");
        remove_if_there(&temporary)?;
        Self::create_at(temporary, path, mode)
    }

    /// The same where others may write to `path` at the same time.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create_shared(path: &Path, mode: u32) -> io::Result<Self> {
        // Two processes in two containers can have the same number.
        for attempt in 0..ATTEMPTS {
            let suffix = format!("{}-{attempt}.new", std::process::id());
            match Self::create_at(beside(path, &suffix), path, mode) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created,
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn create_at(temporary: PathBuf, path: &Path, mode: u32) -> io::Result<Self> {
        let file = create_new(&temporary, mode)?;
        Ok(Self {
            file,
            temporary,
            path: path.to_owned(),
        })
    }

    /// The open file, for its owner and its permissions.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes the file durable and puts it in its place, durably too.
    ///
    /// # Errors
    /// What the file system says; the place is then as it was, unless its directory alone could
    /// not be made durable.
    pub fn persist(self) -> io::Result<()> {
        self.file.sync_all()?;
        let dir = directory(&self.path).to_owned();
        self.put()?;
        sync_directory(&dir)
    }

    /// Puts the file in its place and waits for no disk: for what costs nothing when a power
    /// failure takes it.
    ///
    /// # Errors
    /// What the file system says; the place is then as it was.
    pub fn put(mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)?;
        self.temporary.clear();
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            // Nothing depends on it.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Replaces the content of the file at `path`, durably and at once. The caller is its only writer.
pub(crate) fn replace(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut file = NewFile::create(path, mode)?;
    file.write_all(content)?;
    file.persist()
}

/// Renames a file, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_directory(directory(to))
}

/// A file that was not there before, nor a link in its place.
pub(crate) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

/// A hidden name in the same directory.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsStr::new(".").to_owned();
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// The path with `suffix` added to its last part.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The directory that holds `path`; the working directory where it names none.
pub fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Removes a file, if there is one.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the names in `dir` durable: a file whose directory was never written to disk is gone
/// after a power failure, however well its own bytes were kept.
pub(crate) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates a directory, and those above it, for its owner alone.
pub(crate) fn create_private_directory(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Finds out whether this user may create files in `dir`.
pub(crate) fn check_writable(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Gives `file` to whom another file belongs: what root makes is of use to the user who collects.
pub(crate) fn give_to_owner_of(other: &Metadata, file: &File) -> io::Result<()> {
    let meta = file.metadata()?;
    if (meta.uid(), meta.gid()) == (other.uid(), other.gid()) {
        return Ok(());
    }
    fchown(file, Some(other.uid()), Some(other.gid()))
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("a symbolic link")]
    Link,
    #[error("not a plain file")]
    NotPlain,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl OpenError {
    pub(crate) fn is(&self, kind: io::ErrorKind) -> bool {
        matches!(self, Self::Io(error) if error.kind() == kind)
    }
}

/// Opens a plain file, and follows no link that somebody put in its place. It does not wait, as
/// opening a FIFO would.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> Result<File, OpenError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = options.custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => OpenError::Link,
        _ => OpenError::Io(error),
    })?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(OpenError::NotPlain)
    }
}

/// A lock file: locked by this process for as long as it is open, or held by another one.
#[derive(Debug)]
pub(crate) enum LockFile {
    Locked(File),
    Held(File),
}

/// Takes the lock file at `path`, which is created for its owner alone. Does not wait.
pub(crate) fn try_lock(path: &Path) -> Result<LockFile, OpenError> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = open(path, options.mode(0o600))?;
        match file.try_lock() {
            // Between opening and locking, someone may have removed the file: then the next
            // process would lock another one, and two would believe that they are alone.
            Ok(()) if is_still_at(&file, path)? => return Ok(LockFile::Locked(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(LockFile::Held(file)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// Whether `file` is what stands at `path`.
fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The name of the network file system that holds `path`, if one does.
///
/// A file system that a user process serves (FUSE) cannot be told from a local one: sshfs is not
/// found out.
pub(crate) fn network_file_system(path: &Path) -> io::Result<Option<&'static str>> {
    let found = rustix::fs::statfs(path)?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the field's width and sign differ between machines; the number has 32 bits"
    )]
    let magic = found.f_type as u32;
    Ok(name_of_network_file_system(magic))
}

/// The numbers are those of Linux's `linux/magic.h` and `statfs(2)`.
fn name_of_network_file_system(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0000_6969 => "NFS",
        0x0000_517B => "SMB",
        0xFF53_4D42 => "CIFS",
        0xFE53_4D42 => "SMB2",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x00C3_6400 => "Ceph",
        0x0102_1997 => "9p",
        0x0000_564C => "NCP",
        0x7375_7245 => "Coda",
        0x0BD0_0BD0 => "Lustre",
        _ => return None,
    })
}

/// The error of what is on a network file system: neither locks nor appends can be trusted there.
pub(crate) fn on_network(
    kind: ErrorKind,
    what: &str,
    file_system: &str,
    remedy: &'static str,
) -> Error {
    let message = format!("{what} is on a network file system ({file_system})");
    Error::new(kind, message, remedy)
}

/// Whether a character may stand in a name that becomes a part of file names.
pub(crate) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Whether a name can be a part of file names.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_name_char)
}

/// Something in the state directory cannot be read or written.
pub(crate) fn unusable(path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("{} cannot be used", path.display()),
        "Make the state directory readable and writable for the user that collects, or choose \
         another with --state-dir or [state] dir.",
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        replace(&path, 0o600, b"old").unwrap();
        let mut new = NewFile::create_shared(&path, 0o640).unwrap();
        new.write_all(b"half").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(new);
        let mut new = NewFile::create_shared(&path, 0o640).unwrap();
        new.write_all(b"new").unwrap();
        let other = NewFile::create_shared(&path, 0o640).unwrap();
        new.persist().unwrap();
        drop(other);
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0);
        assert_eq!(names(dir.path()), ["x.json"]);
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("x.json"), dir.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        for planted in [".x.json.new", "x.json"] {
            symlink(&victim, dir.path().join(planted)).unwrap();
            replace(&path, 0o600, b"ours").unwrap();
            assert!(!path.is_symlink(), "{planted}");
            fs::remove_file(&path).unwrap();
        }
        symlink(&victim, &path).unwrap();
        let opened = open(&path, OpenOptions::new().read(true));
        assert!(matches!(opened, Err(OpenError::Link)), "{opened:?}");
        assert!(matches!(try_lock(&path), Err(OpenError::Link)));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(names(dir.path()), ["victim", "x.json"]);
    }

    #[test]
    fn names_are_safe_in_every_path() {
        for good in ["acme", "a.b_c-1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "a\n", "\u{e9}"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn network_file_systems_are_known_and_local_ones_pass() {
        for magic in [0x6969, 0x517B, 0xFF53_4D42, 0xFE53_4D42, 0x00C3_6400] {
            assert!(name_of_network_file_system(magic).is_some(), "{magic:#x}");
        }
        // ext4, xfs, btrfs, tmpfs, overlayfs, zfs, FUSE
        for magic in [
            0xEF53,
            0x5846_5342,
            0x9123_683E,
            0x0102_1994,
            0x794C_7630,
            0x2FC1_2FC1,
            0x6573_5546,
        ] {
            assert_eq!(name_of_network_file_system(magic), None, "{magic:#x}");
        }
    }
}
