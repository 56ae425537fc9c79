//! `cargo xtask COMMAND`: the tasks of those who work on the project. Nothing here is shipped.

mod bench;
mod browser_tests;
mod ci;
mod daemon;
mod demo;
mod dist;
mod error;
mod install_test;
mod many_sites;
mod outputs;
mod packages;
mod packaging;
mod process;
mod record;
mod reference;
mod tally;
mod test_site;
mod torture;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
        Task::OauthProvider => browser_tests::oauth_provider(),
        Task::Outputs(args) => outputs::run(&args),
        Task::Reference(args) => reference::run(&args),
        Task::StatusPage => browser_tests::status_page(),
        Task::ManySites(args) => many_sites::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::InstallTest => install_test::run(),
        Task::Bench(args) => bench::run(&args),
        Task::Torture(args) => torture::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error::print(&*error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
