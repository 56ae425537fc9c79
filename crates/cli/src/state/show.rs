//! `state show`: how far each site and each output has come.

use confluence_audit_collector::config::show_size;
use confluence_audit_collector::spool::{Depth, Overview, SiteOverview, Spool, SqliteSpool};
use confluence_audit_core::{Runtime, SystemRuntime, Timestamp, printable};
use serde_json::{Value, json};

use super::{StateLocation, backlog, say, span};
use crate::report::Failure;

pub(super) async fn show(place: &StateLocation, as_json: bool) -> Result<(), Failure> {
    let overview = match SqliteSpool::open_read_only(&place.dir)? {
        Some(spool) => Some(spool.overview().await?),
        None => None,
    };
    if as_json {
        return say(&json_of(place, overview.as_ref()).to_string());
    }
    match overview {
        Some(overview) => say(&text_of(place, &overview).join("\n")),
        None => place.say_empty(),
    }
}

fn text_of(place: &StateLocation, overview: &Overview) -> Vec<String> {
    let mut text = vec![format!(
        "state in {}: {}, schema version {}",
        place.shown(),
        show_size(overview.size),
        overview.schema_version
    )];
    let now = SystemRuntime.now();
    for site in &overview.sites {
        let name = place.name(site).map(|name| format!(" ({name})"));
        let id = format!("{}{}", site.id, name.unwrap_or_default());
        text.push(format!("site {}", printable(&id, 400)));
        text.extend(site_text(site, now));
    }
    text.push(format!("spool: backlog {}", backlog(overview.depth)));
    for output in &overview.outputs {
        text.push(format!(
            "output {}\n  confirmed up to record {}; backlog {}",
            printable(output.name.as_str(), 4096),
            output.seq,
            backlog(output.waiting)
        ));
    }
    text
}

fn site_text(site: &SiteOverview, now: Timestamp) -> Vec<String> {
    let mut text = vec![match site.state.watermark {
        Some(watermark) => format!("  read up to {watermark}, {} ago", span(watermark, now)),
        None => "  never read: the next run begins with its first record".to_owned(),
    }];
    if let Some(from) = site.state.counted_from {
        text.push(format!(
            "  dedup window from {from} on: {} counts",
            site.counts
        ));
    }
    for (step, done) in &site.state.rereads {
        let step = printable(step, 40);
        text.push(format!(
            "  read {step} back {} ago ({done})",
            span(*done, now)
        ));
    }
    text
}

fn json_of(place: &StateLocation, overview: Option<&Overview>) -> Value {
    let Some(overview) = overview else {
        return json!({"state_dir": place.dir.display().to_string(), "exists": false});
    };
    let depth = |depth: Depth| json!({"records": depth.records, "bytes": depth.bytes});
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let sites = overview.sites.iter().map(|site| {
        let rereads = site.state.rereads.iter();
        json!({
            "id": site.id.as_str(),
            "name": place.name(site),
            "addresses": site.addresses,
            "watermark": time(site.state.watermark),
            "counted_from": time(site.state.counted_from),
            "counts": site.counts,
            "rereads": rereads
                .map(|(step, done)| (step.clone(), json!(done.to_string())))
                .collect::<serde_json::Map<_, _>>(),
        })
    });
    let outputs = overview.outputs.iter().map(|output| {
        json!({
            "name": output.name.as_str(),
            "seq": output.seq,
            "waiting": depth(output.waiting),
        })
    });
    json!({
        "state_dir": place.dir.display().to_string(),
        "exists": true,
        "schema_version": overview.schema_version,
        "size": overview.size,
        "sites": sites.collect::<Vec<_>>(),
        "spool": depth(overview.depth),
        "outputs": outputs.collect::<Vec<_>>(),
    })
}
