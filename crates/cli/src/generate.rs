//! `generate`: what a host needs beside the program, filled in for its configuration: the
//! configuration itself, systemd's units, logrotate's rule, completions and manual pages.
//!
//! The files of `packaging/` are whole and valid as they stand there, which is how packages install
//! them. Units are printed as they are, with drop-ins beside them; of the others single lines are
//! changed.

mod completions;
mod config;
mod index_template;
mod lines;
mod logrotate;
mod man;
mod systemd;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap_complete::Shell;
use confluence_audit_collector::config::default_config_file;
use confluence_audit_collector::fs::NewFile;
use confluence_audit_collector::host::{self, Host};
use confluence_audit_collector::{Config, Error, ErrorKind, Result};

use crate::options::SiteArgs;
use crate::report::{Failure, say};

/// What is generated.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum GenerateCommand {
    /// A configuration file that explains every setting, filled in from the flags and the
    /// environment. It asks nothing, and reads no other configuration
    Config {
        /// The file to append to [default: /var/log/confluence-audit/flattened.json]
        #[arg(long, value_name = "F")]
        output: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// systemd's units, and the user and the folders that they need
    Systemd {
        /// The user that collects
        #[arg(long, value_name = "USER", value_parser = host::account, default_value = host::USER)]
        user: String,
        /// The group that may read the records [default: the group that is called as the user]
        #[arg(long, value_name = "GROUP", value_parser = host::account)]
        group: Option<String>,
        /// Only what differs from the packaged units, as drop-ins to them
        #[arg(long)]
        drop_in: bool,
        #[command(flatten)]
        place: Place,
    },
    /// logrotate's rule for the configured files
    Logrotate {
        /// The user that collects
        #[arg(long, value_name = "USER", value_parser = host::account, default_value = host::USER)]
        user: String,
        /// The group that may read the records [default: the group that is called as the user]
        #[arg(long, value_name = "GROUP", value_parser = host::account)]
        group: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// The index template for the format `ecs`: the body of `PUT _index_template/NAME`
    IndexTemplate {
        /// Whose words it is written in
        #[arg(long, value_name = "ENGINE", default_value = "elasticsearch")]
        engine: index_template::EngineName,
        /// The data streams or indices that it is for
        #[arg(long, value_name = "P")]
        #[arg(default_value = "logs-atlassian_confluence.audit-*")]
        pattern: String,
        #[command(flatten)]
        place: Place,
    },
    /// Completions for a shell
    Completions {
        /// The shell
        shell: Shell,
        #[command(flatten)]
        place: Place,
    },
    /// The manual page; with --dir those of all commands
    Man {
        #[command(flatten)]
        place: Place,
    },
}

/// Where it goes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// Write files below DIR, each where a host has it; `/` is this host. Without it they are
    /// printed
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Replace files that are there and say something else
    #[arg(long, requires = "dir")]
    force: bool,
}

/// A file as a host has it.
#[derive(Debug, PartialEq, Eq)]
struct File {
    /// Its path, from the root on, without the first slash.
    path: String,
    text: Vec<u8>,
}

impl File {
    fn new(path: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }
}

pub(crate) fn run(site: &SiteArgs, command: GenerateCommand) -> std::result::Result<(), Failure> {
    let (files, place) = match command {
        GenerateCommand::Config { output, place } => {
            let text = config::filled(site, output.as_deref())?;
            (vec![File::new(config::PATH, text)], place)
        }
        GenerateCommand::Systemd {
            user,
            group,
            drop_in,
            place,
        } => {
            let host = host(site, user, group)?;
            let files = if drop_in {
                systemd::drop_ins(&host)
            } else {
                systemd::units(&host)
            };
            (files?, place)
        }
        GenerateCommand::Logrotate { user, group, place } => {
            let host = host(site, user, group)?;
            (vec![logrotate::rule(&host)?], place)
        }
        GenerateCommand::IndexTemplate {
            engine,
            pattern,
            place,
        } => (vec![index_template::of(engine, &pattern)], place),
        GenerateCommand::Completions { shell, place } => (vec![completions::of(shell)], place),
        GenerateCommand::Man { place } => {
            let mut pages = man::pages().map_err(Failure::stdout)?;
            if place.dir.is_none() {
                // The first is the program's own.
                pages.truncate(1);
            }
            (pages, place)
        }
    };
    match &place.dir {
        Some(dir) => {
            for file in &files {
                write(file, dir, place.force)?;
            }
            Ok(())
        }
        None => print(&files).map_err(Failure::stdout),
    }
}

/// Takes it from the configuration file; where there is none, from what packages install.
fn host(args: &SiteArgs, user: String, group: Option<String>) -> Result<Host> {
    let file = args.config.clone().or_else(default_config_file);
    let (config, file) = match file {
        Some(file) => {
            let file = std::path::absolute(&file).unwrap_or(file);
            (Config::load(&file)?, file)
        }
        None => (Config::default(), PathBuf::from(host::CONFIG)),
    };
    let state = args.state_dir.as_deref().or(config.state.dir.as_deref());
    let mut host = Host::of(&config, state, &file)?;
    host.group = group.unwrap_or_else(|| user.clone());
    host.user = user;
    if let Ok(program) = std::env::current_exe()
        && let Some(folder) = program.parent()
    {
        folder.clone_into(&mut host.programs);
    }
    Ok(host)
}

fn print(files: &[File]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for file in files {
        if files.len() > 1 {
            writeln!(out, "# ==> /{} <==\n", file.path)?;
        }
        out.write_all(&file.text)?;
        if files.len() > 1 {
            writeln!(out)?;
        }
    }
    out.flush()
}

/// Writes a file that is not there yet, and says so.
fn write(file: &File, dir: &Path, force: bool) -> std::result::Result<(), Failure> {
    let path = dir.join(&file.path);
    let shown = path.display();
    match fs::read(&path) {
        Ok(there) if there == file.text => return say(&format!("{shown} is as it should be")),
        Ok(_) if !force => {
            return Err(Failure::Error(Error::new(
                ErrorKind::OutputCreate,
                format!("{shown} is there already and says something else"),
                "Compare it with what is printed without --dir, and replace it with --force.",
            )));
        }
        Ok(_) | Err(_) => {}
    }
    replace(&path, &file.text).map_err(|error| {
        let remedy = "Give a folder that this user can write, or leave --dir away to print it.";
        Error::new(
            ErrorKind::OutputCreate,
            format!("{shown} cannot be written"),
            remedy,
        )
        .with_source(error)
    })?;
    say(&format!("{shown} is written"))
}

/// Puts the whole file in its place at once.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    // Nothing in these files is secret; the user that collects has to read them.
    let mut file = NewFile::create_shared(path, 0o644)?;
    file.write_all(text)?;
    file.persist()
}

/// A template has lost the line that was to be changed.
fn no_such_line(what: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("the template has no line for `{what}`"),
        "Please report it.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_says_something_else_is_left_alone_unless_it_is_forced() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = dir.path().join("etc/x/unit");
        let file = |text: &str| File::new("etc/x/unit", text);
        assert!(write(&file("one"), dir.path(), false).is_ok());
        assert!(write(&file("one"), dir.path(), false).is_ok());
        let refused = write(&file("two"), dir.path(), false);
        let Err(Failure::Error(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.exit_code(), 73);
        assert_eq!(fs::read_to_string(&at).expect("it"), "one");
        assert!(write(&file("two"), dir.path(), true).is_ok());
        assert_eq!(fs::read_to_string(&at).expect("it"), "two");
        let names = fs::read_dir(dir.path().join("etc/x")).expect("it");
        assert_eq!(names.count(), 1, "nothing else is left there");
    }
}
