//! Owner, group and mode of a new output file.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};

use nix::unistd::{Group, User};

/// What is asked for; without it the file is as the process makes files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// A user's name or number.
    pub owner: Option<String>,
    /// A group's name or number.
    pub group: Option<String>,
    /// Its permissions.
    pub mode: Option<u32>,
}

impl Ownership {
    /// Makes the file so.
    pub(super) fn give(&self, file: &File) -> io::Result<()> {
        let meta = file.metadata()?;
        let owner = self.owner.as_deref().map(user).transpose()?;
        let owner = owner.filter(|id| *id != meta.uid());
        let group = self.group.as_deref().map(group).transpose()?;
        let group = group.filter(|id| *id != meta.gid());
        if owner.is_some() || group.is_some() {
            fchown(file, owner, group)?;
        }
        if let Some(mode) = self.mode
            && meta.mode() & 0o7777 != mode
        {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

fn user(name: &str) -> io::Result<u32> {
    number(name, "user", || {
        Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
    })
}

fn group(name: &str) -> io::Result<u32> {
    number(name, "group", || {
        Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
    })
}

fn number(
    name: &str,
    what: &str,
    look: impl FnOnce() -> io::Result<Option<u32>>,
) -> io::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    look()?.ok_or_else(|| {
        let message = format!("there is no {what} `{}`", name.escape_debug());
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}
