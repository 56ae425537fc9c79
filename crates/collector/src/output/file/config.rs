//! A file that records are appended to.

use std::path::PathBuf;

use crate::Result;
use crate::config::table::Section;
use crate::config::{parse_duration, parse_size};
use crate::output::{Compression, Ownership, Rotation};

/// What stands for the site's name in a path.
const SITE: &str = "{site}";

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

    /// Whether each site has a file of its own.
    pub fn is_per_site(&self) -> bool {
        self.path.contains(SITE)
    }
}

pub(in crate::output) fn read(section: &mut Section<'_>) -> Result<FileConfig> {
    let path = section.required("path", "the file to append to")?;
    let fixed = path.non_empty()?.replace(SITE, "");
    if fixed.contains(['{', '}']) {
        return Err(path.mistake(
            &format!(
                "`{}` has braces that are not {SITE}",
                path.value.escape_debug()
            ),
            "The one thing that can be filled in is {site}, the site's name.",
        ));
    }
    Ok(FileConfig {
        ownership: read_ownership(section)?,
        rotation: read_rotation(section)?,
        ..FileConfig::new(path.value)
    })
}

fn read_ownership(section: &mut Section<'_>) -> Result<Ownership> {
    let mut name = |key| -> Result<Option<String>> {
        let text = section.text(key)?;
        let text = text.map(|text| text.non_empty().map(str::to_owned));
        text.transpose()
    };
    let (owner, group) = (name("owner")?, name("group")?);
    let mode = section.text("mode")?.map(|text| {
        let mode = u32::from_str_radix(text.value, 8).ok();
        // Whoever collects reads it too, to see what it has written.
        let fits = mode.filter(|mode| *mode <= 0o777 && mode & 0o600 == 0o600);
        fits.ok_or_else(|| {
            text.mistake(
                &format!("`mode` is `{}`", text.value.escape_debug()),
                "Write it in octal, with reading and writing for the owner: \"0640\".",
            )
        })
    });
    Ok(Ownership {
        owner,
        group,
        mode: mode.transpose()?,
    })
}

fn read_rotation(section: &mut Section<'_>) -> Result<Rotation> {
    let mut rotation = Rotation::default();
    if let Some(text) = section.text("rotate_size")? {
        let size = parse_size(text.value).ok_or_else(|| {
            text.mistake(
                &format!("`rotate_size` is `{}`", text.value.escape_debug()),
                "Write a whole number with its unit, as \"100MiB\".",
            )
        })?;
        rotation.size = Some(size);
    }
    if let Some(text) = section.text("rotate_age")? {
        let age = parse_duration(text.value).ok().filter(|age| !age.is_zero());
        rotation.age = Some(age.ok_or_else(|| {
            text.mistake(
                &format!("`rotate_age` is `{}`", text.value.escape_debug()),
                "Write it as \"1d\".",
            )
        })?);
    }
    if let Some((keep, at)) = section.number("rotate_keep")? {
        let fits = usize::try_from(keep).ok().filter(|keep| *keep > 0);
        rotation.keep = Some(fits.ok_or_else(|| {
            let message = format!("`rotate_keep` is {keep}");
            let remedy = "Write how many files are kept, at least 1, or leave it out to keep all.";
            section.source.mistake(at, &message, remedy)
        })?);
    }
    if let Some(text) = section.text("rotate_compress")? {
        rotation.compression = match text.value {
            "none" => Compression::None,
            "gzip" => Compression::Gzip,
            other => {
                return Err(text.mistake(
                    &format!("there is no compression `{}`", other.escape_debug()),
                    "Write \"gzip\" or \"none\".",
                ));
            }
        };
    }
    let is_due = rotation.size.is_some() || rotation.age.is_some();
    for key in ["rotate_keep", "rotate_compress"] {
        if section.has(key) && !is_due {
            return Err(section.mistake(
                &format!("`{key}` is given, and nothing says when the file is rotated"),
                "Add `rotate_size` or `rotate_age`; a rotation by other means compresses and \
                 removes by its own rules.",
            ));
        }
    }
    Ok(rotation)
}
