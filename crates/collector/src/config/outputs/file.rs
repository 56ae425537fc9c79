//! A file that records are appended to.

use std::path::PathBuf;

use crate::Result;
use crate::config::section::Section;

/// What stands for the site's name in a path.
const SITE: &str = "{site}";

/// A file that records are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// Where it is; `{site}` stands for the site's name.
    pub path: String,
}

impl FileConfig {
    /// The file for the site of this name.
    pub fn path_for(&self, site: &str) -> PathBuf {
        PathBuf::from(self.path.replace(SITE, site))
    }

    /// Whether each site has a file of its own.
    pub fn is_per_site(&self) -> bool {
        self.path.contains(SITE)
    }
}

pub(super) fn read(section: &mut Section<'_>) -> Result<FileConfig> {
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
        path: path.value.to_owned(),
    })
}
