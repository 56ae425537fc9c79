//! `generate completions`: shell completions.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::File;
use crate::args::Args;

/// The script for a shell.
pub(super) fn of(shell: Shell) -> File {
    let mut command = Args::command();
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, &name, &mut script);
    // Where both Debian and Fedora look.
    let path = match shell {
        Shell::Zsh => "usr/local/share/zsh/site-functions/_confluence-audit",
        Shell::Fish => "usr/share/fish/vendor_completions.d/confluence-audit.fish",
        Shell::Elvish => "usr/share/elvish/lib/confluence-audit.elv",
        Shell::PowerShell => "usr/share/powershell/Completions/confluence-audit.ps1",
        // clap may learn of more shells; bash is the one that is nearly everywhere.
        _ => "usr/share/bash-completion/completions/confluence-audit",
    };
    File::new(path, script)
}
