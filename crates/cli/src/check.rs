//! `check`: tries everything that a run needs, changes nothing, and says what to do.

use std::io::Write as _;
use std::time::Duration;

use confluence_audit_collector::config::{AuthConfig, SiteConfig};
use confluence_audit_collector::token_file::{Kept, day};
use confluence_audit_collector::{Error, Lock, Result, Site, Target, TokenFile, connect};
use confluence_audit_core::{AuditQuery, RawRecord, Runtime, SystemRuntime, printable};

use crate::args::{CheckArgs, SiteArgs};
use crate::report::Failure;
use crate::settings::{self, Settings};

/// A clock that is further off than this is worth a word; nothing depends on it.
const SKEW: Duration = Duration::from_secs(30);

pub(crate) async fn run(site_args: &SiteArgs, args: CheckArgs) -> std::result::Result<(), Failure> {
    let mut findings = Findings::default();
    let settings = Settings::read(site_args)?;
    match &settings.config_file {
        Some(file) => findings.good("configuration", &format!("{} is read", file.display())),
        None => findings.good("configuration", "no file; flags and environment"),
    }
    findings.note(
        "state",
        Lock::check(settings.state_dir()).map(|free| {
            let dir = settings.state_dir().display();
            if free {
                format!("{dir} can be used")
            } else {
                format!("{dir} is in use by a run right now")
            }
        }),
    );
    let given = args.output.as_deref().map(settings::output).transpose()?;
    let sites: Vec<_> = settings.config.sites.iter().map(|site| (site, None)).collect();
    let surroundings = settings.surroundings();
    for target in Target::of(&settings.outputs(given)?, &sites)? {
        findings.note("output", target.output(&surroundings).check().await);
    }
    for site in &settings.config.sites {
        check_site(&mut findings, &settings, site).await;
    }
    findings.finish()
}

async fn check_site(findings: &mut Findings, settings: &Settings, config: &SiteConfig) {
    let name = &config.name;
    if let AuthConfig::Oauth { token_file } = &config.auth {
        // What is wrong with the file is said below.
        if let Ok(kept) = TokenFile::new(token_file).look() {
            consent_lasts(findings, name, &kept);
        }
    }
    let site = match connect(&settings.http, config, settings.credentials_dir.as_deref()).await {
        Ok(site) => site,
        Err(error) => return findings.bad(name, &error),
    };
    findings.good(name, &format!("cloud id {}", site.id));
    if !log_is_readable(findings, &site).await {
        return;
    }
    match site.client.retention().await {
        Ok(retention) => {
            let units = printable(&retention.units, 40).to_lowercase();
            findings.good(
                name,
                &format!("records are kept for {} {units}", retention.number),
            );
        }
        // Reading the log does not need it.
        Err(error) => findings.good(
            name,
            &format!("how long records are kept is not said: {error}"),
        ),
    }
}

fn consent_lasts(findings: &mut Findings, name: &str, kept: &Kept) {
    let (given, end) = (day(kept.consent.given_at), day(kept.ends()));
    let unused = day(kept.ends_unused().min(kept.ends()));
    findings.good(
        name,
        &format!("the consent of {given} lasts until {end}, unused until {unused}"),
    );
    if let Some(warning) = kept.warning(SystemRuntime.now()) {
        findings.warn(name, &warning);
    }
}

/// Asks for one record, which needs everything that a run needs.
async fn log_is_readable(findings: &mut Findings, site: &Site) -> bool {
    let name = &site.name;
    let page = match site.client.audit(&AuditQuery::new().limit(1)).await {
        Ok(page) => page,
        Err(error) => {
            findings.bad(name, &Error::service(name, error));
            return false;
        }
    };
    let newest = page.records.first().and_then(RawRecord::time);
    let newest = newest.map_or("it is empty".to_owned(), |at| format!("newest record {at}"));
    findings.good(name, &format!("the audit log can be read; {newest}"));
    let now = SystemRuntime.now();
    if let Some(theirs) = page.server_time {
        let skew = now.since(theirs).max(theirs.since(now));
        let seconds = skew.as_secs();
        findings.good(name, &if skew > SKEW {
            format!("this host's clock is {seconds} s off the service's; set it (nothing is lost by it)")
        } else {
            format!("this host's clock agrees with the service's within {} s", seconds + 1)
        });
    }
    true
}

/// What was found so far: it is printed as it comes.
#[derive(Debug, Default)]
struct Findings {
    /// The exit code of the first failure.
    failed: Option<u8>,
    unwritable: Option<std::io::Error>,
}

impl Findings {
    fn good(&mut self, what: &str, text: &str) {
        self.print("ok  ", what, text);
    }

    fn warn(&mut self, what: &str, text: &str) {
        self.print("WARN", what, text);
    }

    fn bad(&mut self, what: &str, error: &Error) {
        self.failed.get_or_insert(error.exit_code());
        self.print("FAIL", what, &error.chain());
        self.print("    ", "  remedy", error.remedy());
    }

    fn note(&mut self, what: &str, result: Result<String>) {
        match result {
            Ok(text) => self.good(what, &text),
            Err(error) => self.bad(what, &error),
        }
    }

    fn print(&mut self, sign: &str, what: &str, text: &str) {
        let (what, text) = (printable(what, 80), printable(text, 2000));
        if let Err(error) = writeln!(std::io::stdout(), "{sign}  {what}: {text}") {
            self.unwritable.get_or_insert(error);
        }
    }

    fn finish(self) -> std::result::Result<(), Failure> {
        match (self.unwritable, self.failed) {
            (Some(error), _) => Err(Failure::stdout(error)),
            (None, Some(code)) => Err(Failure::Said(code)),
            (None, None) => Ok(()),
        }
    }
}
