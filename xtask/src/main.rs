//! What the project's people run, as `cargo xtask COMMAND`: the demonstration, the gate, the
//! recorder of fixtures, the generator of reference pages and the torture. Nothing here is shipped.

mod bench;
mod browser_tests;

mod ci;
mod daemon;
mod demo;
mod dist;

mod install_test;
mod many_sites;
mod oauth_provider;
mod outputs;
mod packages;
mod packaging;

mod record;
mod reference;
mod status_page;
mod tally;
mod test_site;
mod torture;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

/// What a task answers with: these programs report to a person, who needs the sentence and not
/// the type.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What the project's people run")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Collect from a simulated site into ./flattened.json
    Demo,
    /// Run the gate: every check that a change has to pass
    Ci(ci::Args),
    /// Record a site's responses as fixtures, with names, addresses and ids replaced
    Record(Box<record::Args>),
    /// Set up OAuth with an authorization server and a browser that are not ours, and live on it
    OauthProvider,
    /// Deliver to services that are not ours, and see what they have
    Outputs(outputs::Args),
    /// Write docs/cli.md from the programs' own help
    Reference(reference::Args),
    /// Look at the daemon's status page in a browser, with a service that would write into it
    StatusPage,
    /// Read hundreds of sites with one daemon, and see whether each is on time
    ManySites(many_sites::Args),
    /// Make a release: archive, packages, bills of materials, sums
    Dist(dist::Args),
    /// Install the package on a bare Debian that systemd boots, use it as the pages say, upgrade it,
    /// purge it
    InstallTest,
    /// Measure the program against what people use today
    Bench(bench::Args),
    /// Kill, starve and fail the program in every way, and count what its output lacks or doubles
    Torture(torture::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Demo => demo::run(),
        Task::Ci(args) => ci::run(&args),
        Task::Record(args) => record::run(&args),
        Task::OauthProvider => oauth_provider::run(),
        Task::Outputs(args) => outputs::run(&args),
        Task::Reference(args) => reference::run(&args),
        Task::StatusPage => status_page::run(),
        Task::ManySites(args) => many_sites::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::InstallTest => install_test::run(),
        Task::Bench(args) => bench::run(&args),
        Task::Torture(args) => torture::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn root_holds_the_workspace() {
        assert!(root().join("Cargo.lock").is_file());
    }
}
