//! Which disks can be trusted: locks, appends and databases need a local one.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::{Error, ErrorKind};

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

/// Makes the names in `dir` durable: a file whose directory was never written to disk is gone
/// after a power failure, however well its own bytes were kept.
pub(crate) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

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
