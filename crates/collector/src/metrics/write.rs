//! The figures as a file: whole, or not at all.

use std::io::Write as _;
use std::path::Path;

use super::Figures;
use crate::fs::NewFile;
use crate::{Error, ErrorKind, Result};

/// Writes the figures for the textfile collector of `node_exporter`, which must never see half of
/// them: beside the file, then renamed into its place. Others can read it. Counts are added to
/// those that the file has.
///
/// # Errors
/// [`OutputCreate`](ErrorKind::OutputCreate) when it cannot be made, and [`Io`](ErrorKind::Io) when
/// writing fails.
pub fn write(figures: &Figures, path: &Path) -> Result<()> {
    let shown = path.display();
    // The collector reads `*.prom` alone, so that it passes over this one until then.
    let mut file = NewFile::create_shared(path, 0o644).map_err(|error| {
        Error::new(
            ErrorKind::OutputCreate,
            format!("the metrics file {shown} cannot be made"),
            "Make its directory writable for this user, or name another with --metrics-file.",
        )
        .with_source(error)
    })?;
    let failed = |error: std::io::Error| {
        Error::new(
            ErrorKind::Io,
            format!("writing the metrics file {shown} failed"),
            "See whether there is space. The records are not affected.",
        )
        .with_source(error)
    };
    // What cannot be read is written anew.
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let text = figures.text_after(&before);
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.put().map_err(failed)
}
