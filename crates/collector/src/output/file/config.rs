//! The configuration of a file that records are appended to.

use std::path::PathBuf;

use super::ownership::Ownership;
use super::rotation::{Compression, Rotation};
use crate::output::BatchLimits;
use crate::output::kind::{Declared, KindInfo};
use crate::table::{Mistake, Table, Text};
use confluence_audit_formats::Format;

/// What stands for the site's name in a path.
pub(super) const SITE: &str = "{site}";

/// A file that records are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// Where it is; `{site}` stands for the site's name.
    pub path: String,
    /// Whom a new file belongs to.
    pub ownership: Ownership,
    /// When it is put aside, without anybody's doing.
    pub rotation: Rotation,
}

impl FileConfig {
    /// The file at this path, with what is usual.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            ownership: Ownership::default(),
            rotation: Rotation::default(),
        }
    }

    /// The file for the site of this name.
    pub fn path_for(&self, site: &str) -> PathBuf {
        PathBuf::from(self.path.replace(SITE, site))
    }
}

impl Declared for FileConfig {
    const INFO: KindInfo = KindInfo {
        name: "file",
        format: Format::Raw,
        batch: BatchLimits::AT_ONCE,
        names_sites: false,
    };

    fn read(table: &mut Table<'_>) -> Option<Self> {
        let path = table.required("path", "the file to append to", path);
        let ownership = read_ownership(table);
        let rotation = read_rotation(table);
        Some(Self {
            path: path?,
            ownership,
            rotation,
        })
    }
}

fn path(text: &Text<'_>) -> Result<String, Mistake> {
    let path = text.filled()?;
    if path.replace(SITE, "").contains(['{', '}']) {
        let message = format!("`{}` has braces that are not {SITE}", path.escape_debug());
        let remedy = "The one thing that can be filled in is {site}, the site's name.";
        return Err(text.mistake(message, remedy));
    }
    Ok(path)
}

fn read_ownership(table: &mut Table<'_>) -> Ownership {
    Ownership {
        owner: table.text("owner", "whom a new file belongs to", Text::filled),
        group: table.text("group", "the group of a new file", Text::filled),
        mode: table.text("mode", "the permissions of a new file, in octal", |text| {
            let mode = u32::from_str_radix(text.value, 8).ok();
            // Whoever collects reads it too, to see what it has written.
            let fits = mode.filter(|mode| *mode <= 0o777 && mode & 0o600 == 0o600);
            fits.ok_or_else(|| {
                text.mistake(
                    format!("`mode` is `{}`", text.value.escape_debug()),
                    "Write it in octal, with reading and writing for the owner: \"0640\".",
                )
            })
        }),
    }
}

fn read_rotation(table: &mut Table<'_>) -> Rotation {
    let compressions = [("gzip", Compression::Gzip), ("none", Compression::None)];
    let about = "the size beyond which the file is put aside";
    let size = table.text("rotate_size", about, Text::size);
    let about = "the age at which the file is put aside";
    let age = table.text("rotate_age", about, Text::duration);
    let about = "how many files that were put aside are kept; without it all";
    let keep = table.number("rotate_keep", about, 1..=i64::MAX);
    let about = "how files that were put aside are compressed";
    let compression = table.choice("rotate_compress", about, compressions);
    for key in ["rotate_keep", "rotate_compress"] {
        if table.has(key) && !table.has("rotate_size") && !table.has("rotate_age") {
            table.mistake_at::<()>(
                key,
                format!("`{key}` is given, and nothing says when the file is rotated"),
                "Add `rotate_size` or `rotate_age`; a rotation by other means compresses and \
                 removes by its own rules.",
            );
        }
    }
    Rotation {
        size,
        age,
        keep,
        compression: compression.unwrap_or_default(),
    }
}
