//! `generate man`: the program's manual page, and one for each of its commands.

use std::io;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::File;
use crate::args::Args;

/// The pages, the program's own first.
pub(super) fn pages() -> io::Result<Vec<File>> {
    let mut command = Args::command();
    // Gives each command the whole name, which is that of its page.
    command.build();
    let mut waiting = vec![(command.get_name().to_owned(), command)];
    let mut pages = Vec::new();
    while let Some((name, command)) = waiting.pop() {
        for below in command.get_subcommands() {
            if below.get_name() != "help" && !below.is_hide_set() {
                waiting.push((format!("{name}-{}", below.get_name()), below.clone()));
            }
        }
        let mut text = Vec::new();
        let source = concat!("confluence-audit ", env!("CARGO_PKG_VERSION"));
        Man::new(command).source(source).render(&mut text)?;
        pages.push(File::new(format!("usr/share/man/man1/{name}.1"), text));
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_the_programs_own_is_first() {
        let pages = pages().expect("it");
        let names: Vec<&str> = pages.iter().map(|page| page.path.as_str()).collect();
        assert_eq!(names[0], "usr/share/man/man1/confluence-audit.1");
        for name in ["fetch", "generate-systemd", "state-show"] {
            let path = format!("usr/share/man/man1/confluence-audit-{name}.1");
            assert!(names.contains(&path.as_str()), "{name} of {names:?}");
        }
    }
}
