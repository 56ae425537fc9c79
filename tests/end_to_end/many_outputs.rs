//! Outputs of several kinds at once: a dead one holds up none of the others, its share waits where
//! `status` shows it, and it gets all of that, in order, when it lives again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use confluence_audit_sim::{EMAIL, SimConfig};
use serde_json::Value;

use crate::lines::{self, Same};
use crate::site::Site;

/// What a receiver of syslog over TCP has got, one connection after the other.
fn syslog_receiver() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, receive_on(listener))
}

fn receive_on(listener: TcpListener) -> Arc<Mutex<Vec<String>>> {
    let received: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&received);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut bytes = Vec::new();
            stream.unwrap().read_to_end(&mut bytes).unwrap();
            kept.lock().unwrap().extend(messages(&bytes));
        }
    });
    received
}

/// The messages of a stream, each with its length before it.
fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
        let length: usize = str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
        let (message, rest) = bytes[space + 1..].split_at(length);
        messages.push(String::from_utf8(message.to_vec()).unwrap());
        bytes = rest;
    }
    messages
}

/// The records that messages hold, by the ids of their events.
fn records(messages: &Mutex<Vec<String>>) -> BTreeMap<String, String> {
    let messages = messages.lock().unwrap();
    let mut records = BTreeMap::new();
    for message in messages.iter() {
        let (header, record) = message.split_once("] ").unwrap();
        let id = header.split('"').nth(1).unwrap();
        assert!(header.contains(" acme confluence-audit - audit [event@32473 id="));
        let before = records.insert(id.to_owned(), record.to_owned());
        assert_eq!(before, None, "{id} came twice, and nothing was wrong");
    }
    records
}

/// The records that wait for each output, as `status` shows them.
fn waiting(site: &Site) -> (BTreeMap<String, u64>, u64) {
    let args = ["status", "--json", "--config", "config.toml"];
    let status: Value = serde_json::from_str(&site.run(&args).expect(0).stdout).unwrap();
    let outputs = status["outputs"].as_array().unwrap().iter().map(|output| {
        let name = output["name"].as_str().unwrap().to_owned();
        (name, output["waiting"]["records"].as_u64().unwrap())
    });
    (
        outputs.collect(),
        status["spool"]["records"].as_u64().unwrap(),
    )
}

#[test]
fn a_dead_output_holds_up_no_other_kind_and_gets_all_when_it_lives_again() {
    let site = Site::start(SimConfig {
        records: 3_000,
        twins: 0.1,
        hostile: 0.02,
        ..SimConfig::default()
    });
    let (port, received) = syslog_receiver();
    // Nobody listens there until later.
    let dead = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let dead_port = dead.local_addr().unwrap().port();
    drop(dead);
    let url = site.sim.url();
    let config = format!(
        "[state]\ndir = \"state\"\n[collect]\nretry_base = \"1ms\"\n\
         [[site]]\nname = \"acme\"\nurl = \"{url}\"\napi_url = \"{url}\"\n\
         auth = {{ kind = \"api-token\", email = \"{EMAIL}\", token_file = \"secrets/token\" }}\n\
         [[output]]\nkind = \"file\"\npath = \"flattened.json\"\nrotate_size = \"300KiB\"\n\
         rotate_compress = \"gzip\"\n\
         [[output]]\nkind = \"syslog\"\naddress = \"tcp://127.0.0.1:{port}\"\n\
         [[output]]\nkind = \"syslog\"\nname = \"dead\"\naddress = \"tcp://127.0.0.1:{dead_port}\"\n"
    );
    fs::File::create_new(site.path("config.toml"))
        .unwrap()
        .write_all(config.as_bytes())
        .unwrap();

    let fetch = ["fetch", "--config", "config.toml"];
    let done = site.run(&fetch).expect(69);
    assert!(done.stderr.contains("output=dead"), "{done}");
    let (outputs, spooled) = waiting(&site);
    assert_eq!(outputs["dead"], 3_000);
    assert_eq!(outputs.values().sum::<u64>(), 3_000, "{outputs:?}");
    assert_eq!(spooled, 3_000);
    let living = records(&received);
    let lines = living.values().map(String::as_str);
    lines::assert_same("syslog", site.truth(), lines, Same::Bytes);
    let verified = site.run(
        &[
            &["verify", "--config", "config.toml"],
            &site
                .names()
                .iter()
                .filter(|name| name.starts_with("flattened"))
                .map(String::as_str)
                .collect::<Vec<_>>()[..],
        ]
        .concat(),
    );
    let verified = verified.expect(0);
    assert!(
        verified
            .stdout
            .contains(" 3000 in the files: 0 missing, 0 extra, 0 torn"),
        "{verified}"
    );

    let listener = TcpListener::bind(("127.0.0.1", dead_port)).unwrap();
    let revived = receive_on(listener);
    site.run(&fetch).expect(0);
    assert_eq!(records(&revived), living);
    let (outputs, spooled) = waiting(&site);
    assert_eq!((outputs.values().sum::<u64>(), spooled), (0, 0));
}
