//! `verify`: compares files with the site's log.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use confluence_audit_collector::config::When;
use confluence_audit_collector::pass::PassSummary;
use confluence_audit_collector::verify::{Gap, Holdings, Verified, Verify, verify};
use confluence_audit_core::{Runtime, SystemRuntime, Timestamp, printable};
use serde_json::{Value, json};

use crate::options::{self, SiteArgs};
use crate::progress::Progress;
use crate::report::{Failure, usage};
use crate::settings;

/// The exit code of a comparison that found a difference, as of `cmp` and `diff`.
const DIFFERENT: u8 = 1;

/// What to compare with the site.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 nothing is missing, extra or torn; 1 something is; others as \
                        of every command."
)]
pub(crate) struct VerifyArgs {
    /// Compare from T on: RFC 3339, a date, epoch milliseconds, or an age such as `7d`
    /// [default: the oldest record in the files]
    #[arg(long, value_name = "T", value_parser = options::when)]
    since: Option<When>,
    /// Compare up to T [default: the newest record in the files]
    #[arg(long, value_name = "T", value_parser = options::when)]
    until: Option<When>,
    /// Show up to N differences of each kind
    #[arg(long, value_name = "N", default_value_t = 20)]
    show: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// How many parts of the log are read at the same time [default: 1, or as configured]
    #[arg(long, value_name = "N", value_parser = options::jobs)]
    jobs: Option<NonZeroUsize>,
    /// The files that the site's records went into, rotated and compressed (gzip, zstd) ones too,
    /// in the format `raw`; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

pub(crate) async fn run(site_args: &SiteArgs, args: VerifyArgs) -> Result<(), Failure> {
    let runtime = SystemRuntime;
    let now = runtime.now();
    let since = args.since.map(|when| when.at(now));
    let until = args.until.map(|when| when.at(now));
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        return Err(usage(&format!(
            "--since {since} is later than --until {until}"
        )));
    }
    let setup = settings::read(site_args)?;
    let site = settings::only_site(&setup.config)?;
    let holdings = Holdings::read(&args.files, args.show)?;
    let site = setup.sites.connect(site).await?;
    let what = Verify {
        since,
        until,
        jobs: args.jobs.unwrap_or(setup.config.collect.jobs),
    };
    let mut progress = Progress::new(&site.name);
    let done = verify(&site, holdings, &what, &runtime, |records, until| {
        progress.show(&PassSummary {
            new: records,
            watermark: Some(until),
            ..PassSummary::default()
        });
    })
    .await;
    drop(progress);
    let done = done?;
    let mut out = io::stdout().lock();
    let printed = if args.json {
        writeln!(out, "{}", as_json(&site.name, &done))
    } else {
        print(&mut out, &site.name, &done)
    };
    printed.map_err(Failure::stdout)?;
    if done.is_exact() {
        Ok(())
    } else {
        Err(Failure::Said(DIFFERENT))
    }
}

fn print(out: &mut impl Write, site: &str, done: &Verified) -> io::Result<()> {
    writeln!(
        out,
        "{} records on the site, {} in the files: {} missing, {} extra, {} torn",
        done.on_site, done.in_files, done.missing, done.extra, done.torn
    )?;
    let from = done
        .from
        .map_or("its first record".to_owned(), |from| from.to_string());
    let to = done
        .to
        .map_or("its newest record".to_owned(), |to| to.to_string());
    writeln!(out, "compared: {} from {from} to {to}", printable(site, 80))?;
    print_notes(out, done)?;
    if done.missing > 0 {
        writeln!(out, "missing:")?;
        for gap in &done.gaps {
            print_gap(out, gap)?;
        }
        let listed = done.gaps.len() as u64;
        if done.gap_count > listed {
            let more = done.gap_count - listed + 1;
            writeln!(
                out,
                "    the last line stands for {more} such spans; --show N shows more"
            )?;
        }
    }
    if done.extra > 0 {
        writeln!(out, "extra:")?;
        for extra in &done.extras {
            let time = extra
                .time
                .map_or("without a time".to_owned(), |time| time.to_string());
            let copies = match extra.copies {
                1 => String::new(),
                copies => format!(" ({copies} copies, this is the last)"),
            };
            let what = extra.what.as_deref().unwrap_or("");
            writeln!(
                out,
                "  {time}  {what}  {}:{}{copies}",
                extra.file, extra.line
            )?;
        }
        let listed = done
            .extras
            .iter()
            .map(|extra| u64::from(extra.copies))
            .sum();
        print_rest(out, done.extra, listed)?;
    }
    if done.torn > 0 {
        writeln!(out, "torn:")?;
        for torn in &done.torn_lines {
            let after = torn.after.map_or("at its beginning".to_owned(), |after| {
                format!("after {after}")
            });
            writeln!(out, "  {}:{}  {after}  {}", torn.file, torn.line, torn.why)?;
        }
        print_rest(out, done.torn, done.torn_lines.len() as u64)?;
    }
    Ok(())
}

/// What the numbers do not say.
fn print_notes(out: &mut impl Write, done: &Verified) -> io::Result<()> {
    if done.outside > 0 {
        let outside = done.outside;
        writeln!(
            out,
            "not compared: {outside} records in the files that are not of that time"
        )?;
    }
    if done.forgotten > 0 {
        writeln!(
            out,
            "not compared: {} records in the files that are older than what the site keeps",
            done.forgotten
        )?;
    }
    if done.untimed > 0 {
        writeln!(
            out,
            "compared by content alone: {} records that tell no time; near the ends of the window \
             they may be counted to the wrong side",
            done.untimed
        )?;
    }
    if done.in_files == 0 && done.torn > 0 {
        writeln!(
            out,
            "no line is a record: verify compares files of the format raw"
        )?;
    }
    Ok(())
}

fn print_gap(out: &mut impl Write, gap: &Gap) -> io::Result<()> {
    if let ([(time, what)], 1) = (gap.shown.as_slice(), gap.records) {
        return writeln!(out, "  {time}  {what}");
    }
    let in_a_row = if gap.records == 1 {
        "record"
    } else {
        "records"
    };
    if gap.from == gap.to {
        writeln!(out, "  {}  {} {in_a_row}", gap.from, gap.records)?;
    } else {
        writeln!(
            out,
            "  {} to {}  {} {in_a_row}",
            gap.from, gap.to, gap.records
        )?;
    }
    for (time, what) in &gap.shown {
        writeln!(out, "    {time}  {what}")?;
    }
    let shown = gap.shown.len() as u64;
    if shown > 0 && gap.records > shown {
        writeln!(out, "    and {} more", gap.records - shown)?;
    }
    Ok(())
}

fn print_rest(out: &mut impl Write, all: u64, listed: u64) -> io::Result<()> {
    if all > listed {
        writeln!(out, "  and {} more; --show N shows more", all - listed)?;
    }
    Ok(())
}

fn as_json(site: &str, done: &Verified) -> Value {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let gaps = done.gaps.iter().map(|gap| {
        let shown = gap
            .shown
            .iter()
            .map(|(at, what)| json!({"time": at.to_string(), "what": what}));
        json!({
            "from": gap.from.to_string(),
            "to": gap.to.to_string(),
            "records": gap.records,
            "shown": shown.collect::<Vec<_>>(),
        })
    });
    let extras = done.extras.iter().map(|extra| {
        json!({
            "time": time(extra.time),
            "copies": extra.copies,
            "file": extra.file,
            "line": extra.line,
            "what": extra.what,
        })
    });
    let torn = done.torn_lines.iter().map(|torn| {
        json!({
            "file": torn.file,
            "line": torn.line,
            "after": time(torn.after),
            "why": torn.why,
        })
    });
    json!({
        "site": site,
        "from": time(done.from),
        "to": time(done.to),
        "on_site": done.on_site,
        "in_files": done.in_files,
        "outside": done.outside,
        "older_than_the_site_keeps": done.forgotten,
        "without_time": done.untimed,
        "missing": done.missing,
        "extra": done.extra,
        "torn": done.torn,
        "gap_count": done.gap_count,
        "gaps": gaps.collect::<Vec<_>>(),
        "extras": extras.collect::<Vec<_>>(),
        "torn_lines": torn.collect::<Vec<_>>(),
    })
}
