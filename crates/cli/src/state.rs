//! `state`: looks at what is kept between runs, takes it back in time, and recovers it from damage.

mod recover;
mod show;

use std::path::PathBuf;

use confluence_audit_collector::config::{Address, SiteConfig, default_config_file};
use confluence_audit_collector::config::{When, show_size};
use confluence_audit_collector::spool::{Depth, SiteOverview, Spool, SqliteSpool};
use confluence_audit_collector::state::{Lock, default_state_dir};
use confluence_audit_collector::{Config, Error, ErrorKind};
use confluence_audit_core::{Runtime, SystemRuntime, Timestamp, printable};

use crate::options::{self, SiteArgs};
use crate::report::{Failure, say, usage};
use crate::settings;

use self::recover::RecoverArgs;

/// What to do with the state.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum StateCommand {
    /// Shows how far each site and each output has come; also while a run is going on
    Show {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Checks the whole state for damage and contradictions; changes nothing
    Verify,
    /// Has the next run read again from T on. What was delivered and is still counted is not
    /// delivered again
    Rewind {
        /// RFC 3339, a date, epoch milliseconds, or an age such as `7d`
        #[arg(long, value_name = "T", value_parser = options::when)]
        to: When,
        /// The site, by its cloud id or its name in the configuration; needed when there are several
        #[arg(long, value_name = "SITE")]
        site: Option<String>,
        /// Rewind also beyond what is counted: that part is delivered a second time
        #[arg(long)]
        yes: bool,
    },
    /// Saves what can be read of a damaged state into a new one, and keeps the damaged one
    Recover(RecoverArgs),
}

pub(crate) async fn run(site_args: &SiteArgs, command: StateCommand) -> Result<(), Failure> {
    let place = StateLocation::of(site_args)?;
    match command {
        StateCommand::Show { json } => show::show(&place, json).await,
        StateCommand::Verify => verify(&place).await,
        StateCommand::Rewind { to, site, yes } => {
            rewind(&place, site_args, to, site.as_deref(), yes).await
        }
        StateCommand::Recover(args) => recover::recover(&place, site_args, args).await,
    }
}

/// Where the state is, and what the configuration calls the sites in it.
struct StateLocation {
    dir: PathBuf,
    sites: Vec<SiteConfig>,
    /// How many outputs are configured.
    outputs: usize,
}

impl StateLocation {
    /// Needs no credentials, and no configuration that could be used for a run.
    fn of(args: &SiteArgs) -> Result<Self, Error> {
        let file = args.config.clone().or_else(default_config_file);
        let config = match &file {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        let dir = match args.state_dir.clone().or(config.state.dir) {
            Some(dir) => dir,
            None => default_state_dir()?,
        };
        Ok(Self {
            dir,
            sites: config.sites,
            outputs: config.outputs.len(),
        })
    }

    fn shown(&self) -> String {
        printable(&self.dir.display().to_string(), 4096)
    }

    /// What the configuration calls a site of the state.
    fn name(&self, site: &SiteOverview) -> Option<&str> {
        let is_it = |configured: &&SiteConfig| match &configured.address {
            Address::CloudId(id) => id.as_str() == site.id.as_str(),
            Address::Url(url) => site.addresses.contains(&url.to_string()),
        };
        Some(&self.sites.iter().find(is_it)?.name)
    }

    /// The directory, if there is anything in it that a run left.
    fn lock(&self) -> Result<Option<Lock>, Error> {
        if !self.dir.exists() {
            return Ok(None);
        }
        Lock::acquire(&self.dir).map(Some)
    }

    fn say_empty(&self) -> Result<(), Failure> {
        say(&format!(
            "there is no state in {} yet: nothing was ever fetched",
            self.shown()
        ))
    }
}

async fn verify(place: &StateLocation) -> Result<(), Failure> {
    let Some(_lock) = place.lock()? else {
        return place.say_empty();
    };
    let Some(spool) = SqliteSpool::open_read_only(&place.dir)? else {
        return place.say_empty();
    };
    let problems = spool.inspect().await?;
    for problem in &problems {
        say(&format!("wrong: {}", printable(problem, 2000)))?;
    }
    if problems.is_empty() {
        let overview = spool.overview().await?;
        return say(&format!(
            "the state in {} is sound: {} sites, {} outputs, backlog {}",
            place.shown(),
            overview.sites.len(),
            overview.outputs.len(),
            backlog(overview.depth)
        ));
    }
    Err(Error::new(
        ErrorKind::State,
        format!(
            "the state in {} is damaged: {} contradictions",
            place.shown(),
            problems.len()
        ),
        format!(
            "Run `confluence-audit state recover --state-dir {}`: it saves what can be believed, \
             says what cannot, and keeps the damaged file.",
            place.shown()
        ),
    )
    .into())
}

async fn rewind(
    place: &StateLocation,
    site_args: &SiteArgs,
    to: When,
    wanted: Option<&str>,
    yes: bool,
) -> Result<(), Failure> {
    let to = to.at(SystemRuntime.now());
    let nothing = || usage(&format!("there is no state in {} to rewind", place.shown()));
    let Some(lock) = place.lock()? else {
        return Err(nothing());
    };
    if SqliteSpool::open_read_only(lock.dir())?.is_none() {
        return Err(nothing());
    }
    let spool = SqliteSpool::open(lock.dir())?;
    let sites = spool.overview().await?.sites;
    let site = choose(place, site_args, &sites, wanted).await?;
    let (Some(watermark), Some(counted_from)) = (site.state.watermark, site.state.counted_from)
    else {
        return Err(usage(&format!("the site {} begins anew as it is", site.id)));
    };
    if to >= watermark {
        return Err(usage(&format!(
            "the site {} has been read up to {watermark}; {to} is not before that",
            site.id
        )));
    }
    if to < counted_from && !yes {
        return Err(usage(&format!(
            "what was delivered is counted from {counted_from} on; everything from {to} until \
             then, {}, would be delivered a second time. Give --yes if that is meant, or --to \
             {counted_from}",
            span(to, counted_from)
        )));
    }
    let state = spool.rewind(&site.id, to).await?;
    let again = if to < counted_from {
        format!(
            "; what is older than {counted_from}, {}, will be delivered a second time",
            span(to, counted_from)
        )
    } else {
        String::new()
    };
    let now_at = state.watermark.unwrap_or(to);
    let id = printable(site.id.as_str(), 400);
    say(&format!(
        "site {id}: rewound from {watermark} to {now_at}{again}"
    ))
}

/// The site that is meant, by id, by its name in the configuration, or because there is no other.
async fn choose<'a>(
    place: &StateLocation,
    site_args: &SiteArgs,
    sites: &'a [SiteOverview],
    wanted: Option<&str>,
) -> Result<&'a SiteOverview, Failure> {
    let known = || {
        let ids: Vec<&str> = sites.iter().map(|site| site.id.as_str()).collect();
        ids.join(", ")
    };
    let Some(wanted) = wanted else {
        return match sites {
            [site] => Ok(site),
            [] => Err(usage("no site was ever read: there is nothing to rewind")),
            _ => Err(usage(&format!(
                "name one of the sites with --site: {}",
                known()
            ))),
        };
    };
    let is_wanted =
        |site: &&SiteOverview| site.id.as_str() == wanted || place.name(site) == Some(wanted);
    if let Some(site) = sites.iter().find(is_wanted) {
        return Ok(site);
    }
    let id = match place.sites.iter().find(|site| site.name == wanted) {
        None => None,
        // The state knows a site by its cloud id, and perhaps not where it is to be found now.
        Some(site) => {
            let settings = settings::read(site_args)?;
            Some(settings.sites.connect(site).await?.id)
        }
    };
    let site = sites.iter().find(|site| Some(&site.id) == id.as_ref());
    site.ok_or_else(|| {
        usage(&format!(
            "--site {wanted} is none of the sites in the state: {}",
            known()
        ))
    })
}

/// What outputs have not confirmed yet, in words.
pub(crate) fn backlog(depth: Depth) -> String {
    match depth.records {
        0 => "none".to_owned(),
        1 => format!("1 record ({})", show_size(depth.bytes)),
        records => format!("{records} records ({})", show_size(depth.bytes)),
    }
}

/// How long it is between two instants, in the largest fitting unit.
pub(crate) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.since(from).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
