//! The output `elasticsearch` at two services of that protocol: a data stream with our template, the same
//! again when the state is lost, and an index that refuses some records.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use confluence_audit_formats::ecs::{Engine, index_template};
use serde_json::{Value, json};

use super::services::{self, Services, free_port};
use crate::error::Result;
use crate::process::KillOnDrop;
use crate::test_site::TestSite;

/// No search gives more at a time.
const RECORDS: usize = 6_000;

/// A service that speaks Elasticsearch's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Noida,
    Osmem,
}

impl Server {
    pub(crate) const ALL: [Self; 2] = [Self::Noida, Self::Osmem];

    pub(super) fn start(self, services: &Services, port: u16, folder: &Path) -> Result<KillOnDrop> {
        let (program, args) = match self {
            Self::Noida => (
                services.packaged("noida_db/noida-db")?,
                format!("start --only elasticsearch --elasticsearch-port {port} --data-dir noida"),
            ),
            Self::Osmem => (
                services.packaged("osmem_server/bin/osmem-server")?,
                format!("-addr 127.0.0.1:{port} -no-stdin-watch"),
            ),
        };
        services::start(&program, args.split(' '), port, folder)
    }

    fn engine(self) -> Engine {
        match self {
            Self::Noida => Engine::Elasticsearch,
            Self::Osmem => Engine::OpenSearch,
        }
    }
}

/// Delivers to one of them.
pub(crate) fn run(server: Server, program: &Path, services: &Services) -> Result {
    let folder = tempfile::Builder::new().prefix("outputs-").tempdir()?;
    let port = free_port()?;
    let _running = server.start(services, port, folder.path())?;
    let service = Service::new(port)?;

    let mut template = index_template("logs-audit-*", server.engine());
    if server == Server::Osmem
        && let Some(template) = template.as_object_mut()
    {
        // It knows no data streams: then it is the template of an index.
        template.remove("data_stream");
    }
    service.ask("PUT", "_index_template/audit", Some(&template))?;
    let mut site = TestSite::with_records(program, RECORDS, 0.05)?;
    site.set_outputs(&output(port, "logs-audit-default", "ecs"))?;
    expect(&site, RECORDS)?;
    let documents = service.documents("logs-audit-default")?;
    compare(&mut site, &documents, "/event/original")?;

    // Nobody remembers what was delivered; the ids do.
    fs::remove_dir_all(site.state())?;
    fs::create_dir(site.state())?;
    expect(&site, RECORDS)?;
    let again = service.documents("logs-audit-default")?;
    if ids(&again)? != ids(&documents)? {
        return Err("the second delivery changed what is there".into());
    }
    println!("    {server:?}: {RECORDS} documents by the template; again: the same {RECORDS}");
    refusing(server, program, &service, port)
}

/// An index that wants an IP address where some records have another text.
fn refusing(server: Server, program: &Path, service: &Service, port: u16) -> Result {
    let mapping = json!({"mappings": {"properties": {"remoteAddress": {"type": "ip"}}}});
    service.ask("PUT", "strict", Some(&mapping))?;
    let mut site = TestSite::with_records(program, RECORDS, 0.05)?;
    site.set_outputs(&output(port, "strict", "raw"))?;
    expect(&site, RECORDS)?;
    let is_refused = |line: &String| -> bool {
        let record: Value = serde_json::from_str(line).unwrap_or_default();
        let address = record["remoteAddress"].as_str();
        address.is_some_and(|text| text.parse::<std::net::IpAddr>().is_err())
    };
    let poisoned = site.sim.truth().filter(is_refused).count();
    let letters = letters(&site.state().join("dead-letters"))?;
    if poisoned == 0 || letters.len() != poisoned {
        return Err(format!("{} dead letters for {poisoned} records", letters.len()).into());
    }
    // An index gives a document back as it was sent, but for the spelling.
    let documents = service.documents("strict")?;
    if ids(&documents)?.len() + poisoned != RECORDS {
        return Err(format!("{} documents are there", documents.len()).into());
    }
    let records = letters.iter().filter_map(|it| it["record"].as_str());
    let lines: Vec<&str> = records.collect();
    let lines = lines.join("\n") + "\n";
    site.expect_lines_of("the dead-letter file", lines.as_bytes(), is_refused)?;
    let reason = letters[0]["reason"].as_str().unwrap_or_default();
    println!(
        "    {server:?}: {poisoned} refused records are dead letters, {} are there ({reason})",
        documents.len()
    );
    Ok(())
}

fn output(port: u16, index: &str, format: &str) -> String {
    format!(
        "[[output]]\nkind = \"elasticsearch\"\nurl = \"http://127.0.0.1:{port}\"\n\
         index = {index:?}\nformat = {format:?}\n"
    )
}

/// A run that finds this many records.
fn expect(site: &TestSite, records: usize) -> Result {
    let found = site.run_successfully()?;
    if found != u64::try_from(records)? {
        return Err(site.failure(&format!("a run found {found} records of {records}")));
    }
    Ok(())
}

/// The text at `pointer` of each document against the truth.
fn compare(site: &mut TestSite, documents: &[Value], pointer: &str) -> Result {
    let mut lines = String::new();
    for document in documents {
        let text = document["_source"].pointer(pointer).and_then(Value::as_str);
        lines.push_str(text.ok_or("a document without its record")?);
        lines.push('\n');
    }
    // The site's own spelling, which the comparison replaces by that of `raw`.
    let lines = lines.replace('\u{7f}', "\\u007f");
    site.expect_lines("the index", lines.as_bytes())
}

fn ids(documents: &[Value]) -> Result<HashSet<&str>> {
    let ids: Option<HashSet<&str>> = documents.iter().map(|it| it["_id"].as_str()).collect();
    let ids = ids.ok_or("a document without an id")?;
    if ids.len() != documents.len() {
        return Err("an id is there twice".into());
    }
    Ok(ids)
}

fn letters(folder: &Path) -> Result<Vec<Value>> {
    let mut letters = Vec::new();
    for file in fs::read_dir(folder)? {
        for line in fs::read_to_string(file?.path())?.lines() {
            letters.push(serde_json::from_str(line)?);
        }
    }
    Ok(letters)
}

/// The service, as one who searches in it sees it.
pub(super) struct Service {
    url: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Service {
    pub(super) fn new(port: u16) -> Result<Self> {
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::builder().no_proxy().build()?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        })
    }

    pub(super) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}/{path}", self.url);
        let mut request = self.client.request(method.parse()?, &url);
        if let Some(body) = body {
            let json = "application/json";
            request = request.header("content-type", json).body(body.to_string());
        }
        let (status, text) = self.runtime.block_on(async {
            let answer = request.send().await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.text().await?))
        })?;
        if !status.is_success() {
            return Err(format!("{method} {url} answered {status}: {text}").into());
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// Everything in an index.
    fn documents(&self, index: &str) -> Result<Vec<Value>> {
        self.ask("POST", &format!("{index}/_refresh"), None)?;
        let all = json!({"size": 10_000, "query": {"match_all": {}}});
        let found = self.ask("POST", &format!("{index}/_search"), Some(&all))?;
        let hits = found["hits"]["hits"].as_array();
        Ok(hits.ok_or("a search without hits")?.clone())
    }
}
