//! systemd's journal as the place of log lines, where it reads standard error.

use std::env;
use std::fmt::Display;
use std::io::stderr;

use rustix::fs::fstat;

/// The journal, if standard error leads there.
pub(super) fn layer(program: &str) -> Option<tracing_journald::Layer> {
    let named = env::var("JOURNAL_STREAM").ok()?;
    let stat = fstat(stderr()).ok()?;
    if named != stream(stat.st_dev, stat.st_ino) {
        // It was led elsewhere: whoever did that wants to see it there.
        return None;
    }
    let layer = tracing_journald::layer().ok()?;
    let layer = layer.with_field_prefix(None);
    Some(layer.with_syslog_identifier(program.to_owned()))
}

/// How systemd names a stream.
fn stream(device: impl Display, inode: impl Display) -> String {
    format!("{device}:{inode}")
}
