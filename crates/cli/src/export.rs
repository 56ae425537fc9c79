//! `export`: a part of the log to a file or to standard output, without any state.

mod lines;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use confluence_audit_collector::export::{Export, export};
use confluence_audit_collector::fs::{self, NewFile};
use confluence_audit_collector::site::connect;
use confluence_audit_collector::{Error, ErrorKind};
use confluence_audit_core::{Runtime, SystemRuntime, printable_json};

use self::lines::Lines;
use crate::args::{ExportArgs, SiteArgs};
use crate::report::Failure;
use crate::settings::Settings;

pub(crate) async fn run(site_args: &SiteArgs, args: ExportArgs) -> Result<(), Failure> {
    let settings = Settings::read(site_args)?;
    let config = settings.only_site()?;
    let runtime = SystemRuntime;
    let now = runtime.now();
    let what = Export {
        since: args.since.map(|when| when.at(now)),
        until: args.until.map(|when| when.at(now)),
        search: args.search,
        limit: args.limit,
        newest_first: args.newest_first,
        jobs: args.jobs.unwrap_or(settings.config.collect.jobs),
    };
    let mut sink = Sink::open(&args.output)?;
    let site = connect(&settings.http, config, settings.credentials_dir.as_deref()).await?;
    let mut lines = Lines::new(args.format, config, &site.id);
    if let Some(header) = args.format.header()
        && let Err(error) = sink.write(header.as_bytes())
    {
        return Err(sink.failed(error));
    }
    let mut broken = None;
    let done = export(&site, &what, &runtime, |time, record| {
        sink.write(&lines.line(time, record).bytes)
            .map_err(|error| {
                let failed = Error::new(ErrorKind::Io, "writing the export failed", "");
                broken = Some(error);
                failed
            })
    })
    .await;
    if let Some(error) = broken {
        return Err(sink.failed(error));
    }
    let count = done?;
    let place = sink.finish()?;
    lines.warn_of_unfit();
    if let Some(path) = place {
        println_to_stdout(&format!("Exported {count} records to {}", path.display()))?;
    }
    Ok(())
}

fn println_to_stdout(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{text}").map_err(Failure::stdout)
}

/// How much is written at once.
const WRITTEN: usize = 1 << 18;

/// Where the lines go.
enum Sink {
    Stdout {
        out: BufWriter<File>,
        terminal: bool,
    },
    /// A file beside its place, which it takes when it is complete.
    File {
        out: BufWriter<NewFile>,
        path: PathBuf,
    },
}

impl Sink {
    fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            // The standard library's own would look for the last line break of all that passes.
            let stdout = io::stdout();
            let file = stdout.as_fd().try_clone_to_owned();
            return Ok(Self::Stdout {
                out: BufWriter::with_capacity(WRITTEN, file.map_err(Failure::stdout)?.into()),
                terminal: stdout.is_terminal(),
            });
        }
        let file = NewFile::create_shared(path, 0o640).map_err(|error| {
            let dir = fs::directory(path);
            let message = format!("no file can be created in {}", dir.display());
            let remedy = "Create the directory, writable for this user, or choose another place.";
            Error::new(ErrorKind::OutputCreate, message, remedy).with_source(error)
        })?;
        let out = BufWriter::with_capacity(WRITTEN, file);
        Ok(Self::File {
            out,
            path: path.to_owned(),
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout {
                out,
                terminal: true,
            } => {
                // What a record says must not steer the terminal of whoever looks at it.
                let text = String::from_utf8_lossy(line);
                writeln!(out, "{}", printable_json(&text))
            }
            Self::Stdout { out, .. } => write_line(out, line),
            Self::File { out, .. } => write_line(out, line),
        }
    }

    /// Makes what was written last: the path of the file, if it is one.
    fn finish(self) -> Result<Option<PathBuf>, Failure> {
        match self {
            Self::Stdout { mut out, .. } => out.flush().map(|()| None).map_err(Failure::stdout),
            Self::File { out, path, .. } => {
                out.into_inner()
                    .map_err(io::IntoInnerError::into_error)
                    .and_then(NewFile::persist)
                    .map_err(|error| file_failed(&path, error))?;
                Ok(Some(path))
            }
        }
    }

    fn failed(self, error: io::Error) -> Failure {
        match self {
            Self::Stdout { .. } => Failure::stdout(error),
            Self::File { path, .. } => file_failed(&path, error),
        }
    }
}

fn write_line(out: &mut impl Write, line: &[u8]) -> io::Result<()> {
    out.write_all(line)?;
    out.write_all(b"\n")
}

fn file_failed(path: &Path, error: io::Error) -> Failure {
    let message = format!(
        "writing {} failed; what was there before is untouched",
        path.display()
    );
    let remedy = "See to the disk: free space, health, permissions.";
    Error::new(ErrorKind::Io, message, remedy)
        .with_source(error)
        .into()
}
