//! Checks: tries everything that a run needs, changes nothing, and tells what to do.

mod finding;
mod host;
mod logrotate;
mod network;
mod site;

use confluence_audit_core::Origin;

use crate::config::OutputConfig;
use crate::delivery::Route;
use crate::{Result, Setup};

use self::finding::Reporter;
pub use self::finding::{Finding, Level};

/// Checks this host, `outputs` and all configured sites. `proxy` gives the host, and the port, of
/// the proxy that leads to a service; `on_finding` is called for everything that was looked at.
///
/// # Errors
/// When an output has no name that could be looked at. Everything else is a finding.
pub async fn check(
    setup: &Setup,
    outputs: &[OutputConfig],
    proxy: &dyn Fn(&Origin) -> Option<String>,
    on_finding: &mut dyn FnMut(Finding),
) -> Result<()> {
    let mut findings = Reporter(on_finding);
    host::configuration(&mut findings, setup.config_file.as_deref());
    host::state(&mut findings, setup).await;
    let context = setup.output_context();
    let rotations = logrotate::read();
    for mut route in Route::of(outputs, &setup.config.sites, &context)? {
        findings.note("output", route.output.check().await);
        if let Some(path) = &route.file {
            host::output_file(&mut findings, path, &rotations);
        }
    }
    for site in &setup.config.sites {
        network::check(&mut findings, site, proxy).await;
        site::check(&mut findings, &setup.sites, site).await;
    }
    Ok(())
}
