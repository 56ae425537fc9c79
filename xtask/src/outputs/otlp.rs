//! The output `otlp` at OpenTelemetry's published types in Python, over TLS with an authority of our own.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::services::{self, Services, free_port};
use crate::error::Result;
use crate::process::output;
use crate::test_site::TestSite;
use crate::workspace::root;

const RECORDS: usize = 3_000;

/// Delivers to a receiver, first without trusting it.
pub(crate) fn run(program: &Path, services: &Services) -> Result {
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
    let python = services.program("python3");
    let _running = services::start(&python, &args, port, folder.path())?;

    let mut site = TestSite::with_records(program, RECORDS, 0.05)?;
    let output = format!(
        "[[output]]\nkind = \"otlp\"\nurl = \"https://localhost:{port}\"\nformat = \"raw\"\n\
         headers = {{ X-Tenant = \"one\" }}\n"
    );
    site.set_outputs(&output)?;
    site.run_failing(69, "the certificate's authority is unknown")?;
    if !site.stderr().contains("ertificate") {
        return Err(site.failure("the certificate is not what a run failed at"));
    }
    let trusting = format!("{output}ca_file = {:?}\n", at("ca.pem"));
    site.set_outputs(&trusting)?;
    site.run_successfully()?;

    let received = fs::read_to_string(at("received"))?;
    let mut lines = String::new();
    let mut ids = std::collections::HashSet::new();
    for line in received.lines() {
        let record: Value = serde_json::from_str(line)?;
        let body = record["body"].as_str().ok_or("a record without a body")?;
        let original: Value = serde_json::from_str(body)?;
        let time = original["creationDate"].as_u64().map(|ms| ms * 1_000_000);
        let site_id = record["resource"]["cloud.account.id"].as_str();
        let good = record["time"].as_u64() == time
            && record["observed"] == 0
            && site_id == Some(site.sim.cloud_id());
        if !good {
            return Err(format!("a record is not what it should be: {line}").into());
        }
        let id = record["attributes"]["log.record.uid"].as_str();
        ids.insert(id.ok_or("a record without an id")?.to_owned());
        lines.push_str(body);
        lines.push('\n');
    }
    if ids.len() != RECORDS {
        return Err(format!("{} ids for {RECORDS} records", ids.len()).into());
    }
    site.expect_lines("the receiver", lines.as_bytes())?;
    println!("    Otlp: {RECORDS} records over TLS, decoded by Python's published types");
    Ok(())
}

/// An authority, and a certificate of its for this host.
pub(super) fn certify(ca: &str, cert: &str) -> Result {
    let openssl = |args: &str| {
        let mut command = Command::new("openssl");
        command.args(args.split(' '));
        output(&mut command).map(drop)
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
