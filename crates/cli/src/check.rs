//! `check`: tries everything that a run needs, and tells what is wrong and what to do.

use std::io::{self, Write as _};
use std::path::PathBuf;

use confluence_audit_collector::check::{Finding, Level, check};
use confluence_audit_core::Origin;
use hyper_util::client::proxy::matcher::Matcher;
use serde_json::json;

use crate::options::SiteArgs;
use crate::report::Failure;
use crate::settings;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The output file to try, in place of the configured ones; `-` is standard output [default:
    /// flattened.json]
    #[arg(long, value_name = "F")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON object: each finding with its level, remedy and exit code
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) async fn run(site_args: &SiteArgs, args: CheckArgs) -> Result<(), Failure> {
    let setup = match settings::read(site_args) {
        Ok(setup) => setup,
        // A machine that reads the findings gets this one too.
        Err(error) if args.json => {
            return finish(&[Finding::failure("configuration", &error)], true);
        }
        Err(error) => return Err(error.into()),
    };
    let given = args.output.as_deref().map(settings::output).transpose()?;
    let outputs = settings::outputs(&setup.config, given)?;
    let mut findings = Vec::new();
    let mut printed = Ok(());
    check(&setup, &outputs, &proxy, &mut |finding| {
        if !args.json && printed.is_ok() {
            printed = print(&finding);
        }
        findings.push(finding);
    })
    .await?;
    printed.map_err(Failure::stdout)?;
    finish(&findings, args.json)
}

fn finish(findings: &[Finding], as_json: bool) -> Result<(), Failure> {
    let failed = findings.iter().find_map(|finding| finding.exit_code);
    if as_json {
        let all = json!({"findings": findings, "exit_code": failed.unwrap_or_default()});
        writeln!(io::stdout(), "{all}").map_err(Failure::stdout)?;
    }
    failed.map_or(Ok(()), |code| Err(Failure::Said(code)))
}

fn print(finding: &Finding) -> io::Result<()> {
    let mut out = io::stdout();
    let sign = match finding.level {
        Level::Ok => "ok  ",
        Level::Warn => "WARN",
        Level::Fail => "FAIL",
    };
    writeln!(out, "{sign}  {}: {}", finding.what, finding.text)?;
    match &finding.remedy {
        Some(remedy) => writeln!(out, "          remedy: {remedy}"),
        None => Ok(()),
    }
}

/// The proxy that reqwest will take, which has the same matcher. Not its whole address: that may
/// hold a password.
fn proxy(origin: &Origin) -> Option<String> {
    let uri = origin.to_string().parse().ok()?;
    let proxy = Matcher::from_env().intercept(&uri)?;
    let host = proxy
        .uri()
        .authority()
        .map_or("", |authority| authority.host());
    let port = proxy.uri().port_u16().map(|port| format!(":{port}"));
    Some(format!("{host}{}", port.unwrap_or_default()))
}
