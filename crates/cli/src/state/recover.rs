//! `state recover`: a new state from what can be read of a damaged one, and from raw files.

use std::path::{Path, PathBuf};

use confluence_audit_collector::config::When;
use confluence_audit_collector::recount::{RawFiles, Recounted};
use confluence_audit_collector::spool::{Recovered, Recovery, Spool, SqliteSpool};
use confluence_audit_collector::state::Lock;
use confluence_audit_collector::{SiteId, config::SiteConfig};
use confluence_audit_core::{Runtime as _, SystemRuntime, printable};

use super::StateLocation;
use crate::options::{self, SiteArgs};
use crate::report::{Failure, say, usage};
use crate::settings::{self, named, only_site};

/// What to recover from.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RecoverArgs {
    /// Count what these files hold as delivered, so that the next run delivers what they lack and
    /// nothing that they hold: all files of one output in the format `raw`, rotated and compressed
    /// (gzip, zstd) ones too, with records of one site. Also for a state that is sound or gone
    #[arg(long, value_name = "FILE", num_args = 1..)]
    from_files: Vec<PathBuf>,
    /// The files hold everything from T on; what the site has from before is not delivered
    /// [default: the oldest record in the files]
    #[arg(long, value_name = "T", value_parser = options::when, requires = "from_files")]
    since: Option<When>,
    /// The site whose records the files hold, by its cloud id or its name in the configuration;
    /// needed when there are several
    #[arg(long, value_name = "SITE", requires = "from_files")]
    site: Option<String>,
    /// Count the files also where other outputs are configured: what one of those had not got and
    /// the files hold is not delivered to it any more
    #[arg(long, requires = "from_files")]
    yes: bool,
}

pub(super) async fn recover(
    place: &StateLocation,
    site_args: &SiteArgs,
    args: RecoverArgs,
) -> Result<(), Failure> {
    let files = match args.from_files.as_slice() {
        [] => None,
        files => Some(read(place, files, args.yes)?),
    };
    let lock = match &files {
        None => place.lock()?,
        Some(_) => Some(Lock::acquire(&place.dir)?),
    };
    let Some(lock) = lock else {
        return place.say_empty();
    };
    let recovery = SqliteSpool::recover(&lock, SystemRuntime.now())?;
    match &recovery {
        Recovery::Recovered(recovered) => say(&text_of(recovered).join("\n"))?,
        Recovery::NoSpool if files.is_none() => return place.say_empty(),
        Recovery::NoSpool => {}
        _ => {
            let shown = place.shown();
            let unchanged = if files.is_none() {
                "; nothing was changed"
            } else {
                ""
            };
            say(&format!("the state in {shown} is not damaged{unchanged}"))?;
        }
    }
    let Some(files) = files else {
        if let Recovery::Recovered(_) = recovery {
            say(
                "the next run delivers again what it does not find counted; `confluence-audit \
                 verify` shows what outputs lack or hold twice",
            )?;
        }
        return Ok(());
    };
    let spool = SqliteSpool::open(lock.dir())?;
    let site = choose(place, site_args, &spool, args.site.as_deref()).await?;
    let since = args.since.map(|when| when.at(SystemRuntime.now()));
    let recounted = files.recount(&spool, &site, since).await?;
    say(&text_of_files(&site, &recounted).join("\n"))
}

fn read(place: &StateLocation, files: &[PathBuf], yes: bool) -> Result<RawFiles, Failure> {
    if place.outputs > 1 && !yes {
        return Err(usage(&format!(
            "{} outputs are configured, and the files are of one: what another one had not got \
             and the files hold would not be delivered to it any more. Give --yes if that is meant",
            place.outputs
        )));
    }
    let files = RawFiles::read(files)?;
    if files.is_of_another_format() {
        return Err(usage(
            "no line of the files is a record: name files of the format raw",
        ));
    }
    Ok(files)
}

/// The site that is meant: one that the state knows, or that is configured or named by flags.
async fn choose(
    place: &StateLocation,
    site_args: &SiteArgs,
    spool: &SqliteSpool,
    wanted: Option<&str>,
) -> Result<SiteId, Failure> {
    let mut known = spool.overview().await?.sites;
    if let Some(wanted) = wanted {
        let is_wanted = |site: &_| place.name(site) == Some(wanted);
        let mut known = known.into_iter();
        if let Some(site) = known.find(|site| site.id.as_str() == wanted || is_wanted(site)) {
            return Ok(site.id);
        }
    } else if place.sites.is_empty() && named(site_args)?.is_none() && known.len() == 1 {
        return Ok(known.swap_remove(0).id);
    }
    let settings = settings::read(site_args)?;
    let named = |site: &&SiteConfig| Some(site.name.as_str()) == wanted;
    let config = match wanted {
        None => only_site(&settings.config)?,
        Some(wanted) => settings.config.sites.iter().find(named).ok_or_else(|| {
            usage(&format!(
                "--site {wanted} is none of the configured sites, nor of those in the state"
            ))
        })?,
    };
    let sites = settings.sites.with_spool(spool.clone());
    match sites.known_id(config).await? {
        Some(id) => Ok(id),
        None => Ok(sites.connect(config).await?.id),
    }
}

fn text_of(recovered: &Recovered) -> Vec<String> {
    let shown = |path: &Path| printable(&path.display().to_string(), 4096);
    let mut text = vec![
        format!(
            "recovered; the damage was: {}",
            printable(&recovered.damage, 500)
        ),
        format!("the damaged file is kept: {}", shown(&recovered.kept)),
        format!(
            "saved: {} watermarks, {} positions of outputs, {} counts, {} records",
            recovered.sites, recovered.outputs, recovered.counts, recovered.records
        ),
    ];
    if recovered.lost.is_empty() {
        text.push("nothing that is known of was lost".to_owned());
    }
    for lost in &recovered.lost {
        text.push(format!("lost: {}", printable(lost, 1000)));
    }
    text
}

fn text_of_files(site: &SiteId, recounted: &Recounted) -> Vec<String> {
    let id = printable(site.as_str(), 400);
    let from = match recounted.from {
        Some(from) => format!("from {from}"),
        None => "from its first record".to_owned(),
    };
    let mut text = vec![format!(
        "site {id}: the files hold {} records; the next run reads its log {from} on, and delivers \
         what they lack and nothing that they hold",
        recounted.records
    )];
    if recounted.torn > 0 {
        text.push(format!(
            "{} lines of the files are no records: what they were of comes again",
            recounted.torn
        ));
    }
    if recounted.untimed > 0 {
        text.push(format!(
            "{} records of the files tell no time: some of them may come again",
            recounted.untimed
        ));
    }
    text
}
