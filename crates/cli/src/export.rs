//! `export`: a part of the log to a file or to standard output, without any state.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use confluence_audit_collector::config::{Format, When};
use confluence_audit_collector::export::{Export, Lines, export};
use confluence_audit_collector::fs::{self, NewFile};
use confluence_audit_collector::{Error, ErrorKind};
use confluence_audit_core::{Runtime, SystemRuntime, printable_json};

use crate::options::{self, SiteArgs};
use crate::report::{Failure, say};
use crate::settings;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// Only records at or after T: RFC 3339, a date, epoch milliseconds, or an age such as `7d`
    #[arg(long, value_name = "T", value_parser = options::when)]
    pub(crate) since: Option<When>,
    /// Only records at or before T
    #[arg(long, value_name = "T", value_parser = options::when)]
    pub(crate) until: Option<When>,
    /// Only records one of whose values holds S
    #[arg(long, value_name = "S")]
    pub(crate) search: Option<String>,
    /// No more than N records
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// The newest record first instead of the oldest
    #[arg(long)]
    pub(crate) newest_first: bool,
    /// How many parts of the log are read at the same time [default: 1, or as configured]
    #[arg(long, value_name = "N", value_parser = options::jobs, conflicts_with = "newest_first")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// The file to write, replaced at once when it is complete; `-` is standard output
    #[arg(long, value_name = "F", default_value = "-")]
    pub(crate) output: PathBuf,
    /// How a record is written
    #[arg(long, value_name = "X", value_parser = options::format_name(), default_value = "raw")]
    pub(crate) format: Format,
}

pub(crate) async fn run(site_args: &SiteArgs, args: ExportArgs) -> Result<(), Failure> {
    let setup = settings::read(site_args)?;
    let config = settings::only_site(&setup.config)?;
    let runtime = SystemRuntime;
    let now = runtime.now();
    let what = Export {
        since: args.since.map(|when| when.at(now)),
        until: args.until.map(|when| when.at(now)),
        search: args.search,
        limit: args.limit,
        newest_first: args.newest_first,
        jobs: args.jobs.unwrap_or(setup.config.collect.jobs),
    };
    let mut sink = Sink::open(&args.output)?;
    let site = setup.sites.connect(config).await?;
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
        say(&format!("Exported {count} records to {}", path.display()))?;
    }
    Ok(())
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
