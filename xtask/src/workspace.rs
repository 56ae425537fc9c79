//! The repository: its root, cargo commands in it, and builds of its programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Result;

/// The repository's root, so that a task does the same from whatever folder it is started in.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// A `cargo` command at the root of the repository.
///
/// This program is itself started by cargo, which describes this package to it in the
/// environment. Handed on, that description would make the build scripts of some dependencies
/// run again at each change between an inner and an outer build.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let described = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
                || name == "CARGO_PRIMARY_PACKAGE"
        });
        if described {
            command.env_remove(&name);
        }
    }
    command
}

/// How they are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Builds these packages, and gives the folder that their programs are in.
pub(crate) fn build(packages: &[&str], profile: Profile) -> Result<PathBuf> {
    build_with(packages, profile, &[])
}

/// The same, with these variables in cargo's environment.
pub(crate) fn build_with(
    packages: &[&str],
    profile: Profile,
    environment: &[(&str, &str)],
) -> Result<PathBuf> {
    let mut command = cargo();
    command.envs(environment.iter().copied());
    command.args(["build", "--quiet", "--locked"]);
    for package in packages {
        command.args(["--package", package]);
    }
    let folder = match profile {
        Profile::Debug => "debug",
        Profile::Release => {
            command.arg("--release");
            "release"
        }
    };
    if !command.status()?.success() {
        return Err(format!("{} does not build", packages.join(" or ")).into());
    }
    Ok(target().join(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_holds_the_workspace() {
        assert!(root().join("Cargo.lock").is_file());
    }
}
