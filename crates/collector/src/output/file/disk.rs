//! What a disk can be or fail in.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use confluence_audit_core::Timestamp;

use crate::fs::network_file_system;

/// The calls that tell, so that a test can be that disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disk {
    pub(super) network: fn(&Path) -> io::Result<Option<&'static str>>,
    pub(super) append: fn(&File, &[u8]) -> io::Result<()>,
    pub(super) sync: fn(&File) -> io::Result<()>,
    pub(super) now: fn() -> Timestamp,
}

pub(super) const DISK: Disk = Disk {
    network: network_file_system,
    append: |mut file, bytes| file.write_all(bytes),
    sync: File::sync_data,
    now: || std::time::SystemTime::now().into(),
};
