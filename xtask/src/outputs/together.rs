//! Four outputs together, of which one is dead: the others are complete, its backlog is what `status`
//! shows, and when it is back, it gets all and nothing waits.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::elasticsearch::{Server, Service};
use super::rsyslog::Receiver;
use super::services::{Services, free_port};
use crate::error::Result;
use crate::process::{is_installed, output};
use crate::test_site::TestSite;

/// How many documents are asked for at a time.
const DOCUMENTS: usize = 2_000;

/// Delivers so many records to all of them.
pub(crate) fn run(program: &Path, services: &Services, records: usize) -> Result {
    if !is_installed("rsyslogd") {
        println!("    together: skipped, rsyslog is not installed");
        return Ok(());
    }
    let mut site = TestSite::with_records(program, records, 0.002)?;
    let port = free_port()?;
    let _index = Server::Noida.start(services, port, site.folder())?;
    let service = Service::new(port)?;
    let mut receiver = Receiver::prepare(&site, None)?;
    receiver.start()?;
    let dead = free_port()?;
    let file = site.output().display().to_string();
    site.set_outputs(&format!(
        "[[output]]\nkind = \"file\"\npath = {file:?}\n\
         [[output]]\nkind = \"elasticsearch\"\nurl = \"http://127.0.0.1:{port}\"\nindex = \"audit\"\n\
         {}\
         [[output]]\nkind = \"http\"\nname = \"dead\"\nurl = \"http://127.0.0.1:{dead}/in\"\n\
         format = \"raw\"\ncompression = \"none\"\n",
        receiver.output()
    ))?;

    site.run_failing(69, "one output is dead")?;
    let waiting = waiting(&site)?;
    let expected = HashMap::from([("dead".to_owned(), u64::try_from(records)?)]);
    if waiting != expected {
        return Err(format!("{waiting:?} waits, and it should be {expected:?}").into());
    }
    println!("    together: status shows {records} records waiting for the dead output alone");
    let tally = site.tally()?;
    if !tally.is_clean() {
        return Err(format!("the file holds something else: {tally:?}").into());
    }
    same_documents(&service, &mut site)?;
    receiver.stop()?;
    let twice = receiver.compare(&mut site)?;
    receiver.start()?;

    let sink = Sink::listen(dead)?;
    site.run_successfully()?;
    site.expect_lines("the output that was dead", sink.received().as_bytes())?;
    let left = self::waiting(&site)?;
    if !left.is_empty() {
        return Err(format!("{left:?} still waits").into());
    }
    println!(
        "    together: {records} records in a file, Elasticsearch, rsyslog ({twice} twice) and the \
         output that was dead; nothing waits"
    );
    Ok(())
}

/// For which outputs records wait, and how many, as `status` shows it.
fn waiting(site: &TestSite) -> Result<HashMap<String, u64>> {
    let mut command = site.program();
    command
        .args(["status", "--json", "--config"])
        .arg(site.folder().join("config.toml"))
        .arg("--state-dir")
        .arg(site.state())
        .stdin(Stdio::null());
    // Its exit code says that an output fails.
    let status: Value = serde_json::from_slice(&command.output()?.stdout)?;
    let outputs = status["outputs"].as_array().ok_or("no outputs are shown")?;
    let spool = status["spool"]["records"].as_u64();
    let mut waiting = HashMap::new();
    for output in outputs {
        let name = output["name"].as_str().ok_or("an output without a name")?;
        let records = output["waiting"]["records"].as_u64();
        let records = records.ok_or("an output without a number")?;
        if records > 0 {
            waiting.insert(name.to_owned(), records);
        }
    }
    let most = waiting.values().max().copied().unwrap_or_default();
    if spool != Some(most) {
        return Err(format!("the spool is shown as {spool:?}, and {most} wait").into());
    }
    Ok(waiting)
}

/// Each document is asked for by the id that an export gives its event.
fn same_documents(service: &Service, site: &mut TestSite) -> Result {
    let expected = export(site)?;
    service.ask("POST", "audit/_refresh", None)?;
    let count = service.ask("GET", "audit/_count", None)?;
    if count["count"].as_u64() != Some(u64::try_from(expected.len())?) {
        return Err(format!("{count} documents for {} records", expected.len()).into());
    }
    let ids: Vec<&String> = expected.keys().collect();
    let mut seen = HashSet::new();
    for part in ids.chunks(DOCUMENTS) {
        let found = service.ask("POST", "audit/_mget", Some(&json!({ "ids": part })))?;
        for document in found["docs"].as_array().ok_or("no documents")? {
            let id = document["_id"].as_str().ok_or("a document without an id")?;
            let original = document["_source"]["event"]["original"].as_str();
            if original != expected.get(id).map(String::as_str) {
                site.keep();
                return Err(format!("the document {id} is not its event: {document}").into());
            }
            seen.insert(id.to_owned());
        }
    }
    if seen.len() != expected.len() {
        return Err(format!("{} documents of {}", seen.len(), expected.len()).into());
    }
    Ok(())
}

/// Every record of the site by the id of its event.
fn export(site: &TestSite) -> Result<HashMap<String, String>> {
    let path = site.folder().join("exported");
    let mut command = site.program();
    command
        .args(["export", "--format", "ecs", "--config"])
        .arg(site.folder().join("config.toml"))
        .arg("--output")
        .arg(&path);
    output(&mut command)?;
    let mut events = HashMap::new();
    for line in fs::read_to_string(&path)?.lines() {
        let mut event: Value = serde_json::from_str(line)?;
        let event = &mut event["event"];
        let (Value::String(id), Value::String(original)) =
            (event["id"].take(), event["original"].take())
        else {
            return Err("an event without an id or its record".into());
        };
        events.insert(id, original);
    }
    Ok(events)
}

/// A service that keeps the bodies of requests.
struct Sink {
    bodies: Arc<Mutex<HashMap<String, String>>>,
}

impl Sink {
    fn listen(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let bodies = Arc::default();
        let kept = Arc::clone(&bodies);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                // A client that goes away ends its connection.
                thread::spawn(move || drop(serve(stream, &kept)));
            }
        });
        Ok(Self { bodies })
    }

    /// All lines, each request once.
    fn received(&self) -> String {
        let bodies = self.bodies.lock().map(|bodies| bodies.clone());
        bodies.unwrap_or_default().into_values().collect()
    }
}

/// Answers requests on a connection until it ends.
fn serve(stream: TcpStream, bodies: &Mutex<HashMap<String, String>>) -> Result {
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    loop {
        let (mut length, mut key) = (0, String::new());
        let mut line = String::new();
        loop {
            line.clear();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "idempotency-key" => value.trim().clone_into(&mut key),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        requests.read_exact(&mut body)?;
        if let Ok(mut bodies) = bodies.lock() {
            bodies.insert(key, String::from_utf8(body)?);
        }
        answers.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}
