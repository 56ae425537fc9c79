//! Builds the programs that a task runs.

use std::path::PathBuf;

use crate::{Result, cargo, root};

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
