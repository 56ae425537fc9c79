//! OpenTelemetry's published types in Python, over TLS with an authority of our own.

use std::fs;
use std::path::Path;
use std::process::Command;

use confluence_audit_sim::SimConfig;
use serde_json::Value;

use super::services::{Parts, Running, free_port, succeed};
use crate::tally;
use crate::test_site::{End, Site};
use crate::{Result, root};

const RECORDS: usize = 3_000;

/// Delivers to a receiver, first without trusting it.
pub(crate) fn run(program: &Path, parts: &Parts) -> Result {
    let folder = tempfile::Builder::new().prefix("outputs-").tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    certify(&at("ca"), &at("cert"))?;
    let port = free_port()?;
    let args = [
        root().join("tests/outputs/otlp.py").display().to_string(),
        port.to_string(),
        at("cert.pem"),
        at("cert.key"),
        at("received"),
    ];
    let log = folder.path().join("service.log");
    let _running = Running::start(&parts.program("python3"), &args, port, &log)?;

    let mut site = Site::start(
        program,
        SimConfig {
            records: RECORDS,
            twins: 0.05,
            hostile: 0.05,
            ..SimConfig::default()
        },
    )?;
    let output = format!(
        "[[output]]\nkind = \"otlp\"\nurl = \"https://localhost:{port}\"\nformat = \"raw\"\n\
         headers = {{ X-Tenant = \"one\" }}\n"
    );
    site.set_outputs(&output)?;
    match site.run()? {
        End::Failed(69) if site.stderr().contains("ertificate") => {}
        end => {
            let what = format!("a certificate that nobody vouches for gave {end:?}");
            return Err(site.trouble(&what).into());
        }
    }
    let trusting = format!("{output}ca_file = {:?}\n", at("ca.pem"));
    site.set_outputs(&trusting)?;
    match site.run()? {
        End::Done(_) => {}
        end => return Err(site.trouble(&format!("a run was {end:?}")).into()),
    }

    let received = fs::read_to_string(at("received"))?;
    let mut lines = String::new();
    let mut ids = std::collections::HashSet::new();
    for line in received.lines() {
        let record: Value = serde_json::from_str(line)?;
        let body = record["body"].as_str().ok_or("a record without a body")?;
        let told: Value = serde_json::from_str(body)?;
        let time = told["creationDate"].as_u64().map(|it| it * 1_000_000);
        let site_id = record["resource"]["cloud.account.id"].as_str();
        let good = record["time"].as_u64() == time
            && record["observed"] == 0
            && site_id == Some(site.sim.cloud_id());
        if !good {
            return Err(format!("a record says something else than it should: {line}").into());
        }
        let id = record["attributes"]["log.record.uid"].as_str();
        ids.insert(id.ok_or("a record without an id")?.to_owned());
        lines.push_str(body);
        lines.push('\n');
    }
    if ids.len() != RECORDS {
        return Err(format!("{} ids for {RECORDS} records", ids.len()).into());
    }
    let all = site.at().join("all");
    fs::write(&all, lines)?;
    let tally = tally::compare(site.sim.truth(), [&all])?;
    if !tally.is_clean() {
        site.keep();
        return Err(format!("{} holds something else: {tally:?}", all.display()).into());
    }
    println!("    Otlp: {RECORDS} records over TLS, decoded by Python's published types");
    Ok(())
}

/// An authority, and a certificate of its for this host.
pub(super) fn certify(ca: &str, cert: &str) -> Result {
    let openssl = |args: &str| {
        let mut command = Command::new("openssl");
        command.args(args.split(' '));
        succeed(&mut command)
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!(
        "req -x509 {key} -subj /CN=authority -keyout {ca}.key -out {ca}.pem"
    ))?;
    openssl(&format!(
        "req -x509 {key} -subj /CN=localhost -addext subjectAltName=DNS:localhost \
         -addext basicConstraints=critical,CA:FALSE -CA {ca}.pem -CAkey {ca}.key \
         -keyout {cert}.key -out {cert}.pem"
    ))
}
