//! `check`: tries everything that a run needs, changes nothing, and says what to do.

mod finding;
mod host;
mod logrotate;
mod network;
mod site;

use confluence_audit_collector::delivery::Target;

use self::finding::Findings;
use crate::args::{CheckArgs, SiteArgs};
use crate::report::Failure;
use crate::settings::{self, Settings};

pub(crate) async fn run(site_args: &SiteArgs, args: CheckArgs) -> Result<(), Failure> {
    let mut findings = Findings::new(args.json);
    let settings = match Settings::read(site_args) {
        Ok(settings) => settings,
        // A machine that reads the findings gets this one too.
        Err(error) if args.json => {
            findings.bad("configuration", &error);
            return findings.finish();
        }
        Err(error) => return Err(error.into()),
    };
    host::configuration(&mut findings, &settings);
    host::state(&mut findings, &settings).await;
    let given = args.output.as_deref().map(settings::output).transpose()?;
    let sites = settings.config.sites.iter();
    let sites: Vec<_> = sites.map(|site| (site, None)).collect();
    let surroundings = settings.surroundings();
    let rotations = logrotate::read();
    for target in Target::of(&settings.outputs(given)?, &sites)? {
        findings.note("output", target.output(&surroundings).check().await);
        if let Some(path) = target.path() {
            host::output_file(&mut findings, path, &rotations);
        }
    }
    for site in &settings.config.sites {
        network::way(&mut findings, site).await;
        site::check(&mut findings, &settings, site).await;
    }
    findings.finish()
}
