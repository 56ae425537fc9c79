//! Answers of the shape that real sites were seen to give, by a server that knows no more than they show.

use std::fs;
use std::sync::{Arc, Mutex};

use confluence_audit_sim::EMAIL;

use crate::sandbox::Sandbox;
use crate::server::{Server, answer};

/// Made up, and of the shape of real ones: a person, System, an app, an old and a new vintage.
const RECORDS: [(i64, &str); 6] = [
    (
        1_716_300_000_456,
        r#"{"author":{"type":"user","displayName":"Noor Castell","operations":null,"isExternalCollaborator":false,"username":"5e8f0a1b2c3d4e5f60718293","userKey":"8ab2c4d6e8f01234a5b6c7d8e9f00112","accountId":"5e8f0a1b2c3d4e5f60718293","accountType":"","publicName":"Unknown user","externalCollaborator":false},"remoteAddress":"192.0.2.14","creationDate":1716300000456,"summary":"Space permission removed","description":"","category":"Permissions","sysAdmin":true,"superAdmin":false,"affectedObject":{"name":"Harbour Log","objectType":"Space"},"changedValues":[{"name":"Type","oldValue":"VIEWSPACE","newValue":"","hiddenOldValue":"","hiddenNewValue":""},{"name":"Group","oldValue":"quay-readers:7d1f4c52-0b1e-4e63-9a55-3c0a5fd1e001","newValue":"","hiddenOldValue":"","hiddenNewValue":""}],"associatedObjects":[{"name":"Harbour Log","objectType":"Space"}]}"#,
    ),
    (
        1_716_300_000_455,
        r#"{"author":{"type":"user","displayName":"System","operations":null,"isExternalCollaborator":false,"accountType":"","publicName":"Unknown user","externalCollaborator":false},"remoteAddress":"","creationDate":1716300000455,"summary":"User added to group","description":"","category":"Users and groups","sysAdmin":false,"superAdmin":false,"affectedObject":{"name":"","objectType":""},"changedValues":[],"associatedObjects":[]}"#,
    ),
    (
        1_716_300_000_455,
        r#"{"author":{"type":"user","displayName":"System","operations":null,"isExternalCollaborator":false,"accountType":"","publicName":"Unknown user","externalCollaborator":false},"remoteAddress":"","creationDate":1716300000455,"summary":"User added to group","description":"","category":"Users and groups","sysAdmin":false,"superAdmin":false,"affectedObject":{"name":"","objectType":""},"changedValues":[],"associatedObjects":[]}"#,
    ),
    (
        1_716_290_000_001,
        r#"{"author":{"type":"user","displayName":"Tideline Macros","operations":[],"isExternalCollaborator":false,"username":"557058:0f5e1d2c-3b4a-4958-8677-a6b5c4d3e2f1","userKey":"557058:0f5e1d2c-3b4a-4958-8677-a6b5c4d3e2f1","accountId":"557058:0f5e1d2c-3b4a-4958-8677-a6b5c4d3e2f1","accountType":"app","publicName":"Tideline Macros","externalCollaborator":false,"isGuest":false},"remoteAddress":"2001:db8::5","creationDate":1716290000001,"summary":"Seite verschoben","description":"","category":"Seiten","sysAdmin":false,"superAdmin":false,"affectedObject":{"name":"Gezeitenübersicht – 2024","objectType":"Page"},"changedValues":[{"name":"Parent","oldValue":"Archiv","newValue":""}],"associatedObjects":[{"name":"Harbour Log","objectType":"Space"}],"newerField":{"kept":1.0}}"#,
    ),
    (
        1_708_000_000_000,
        r#"{"author":{"type":"user","displayName":"Pell Arden","operations":{},"username":"a0b1c2d3e4f5061728394a5b6c7d8e9f"},"remoteAddress":"198.51.100.200","creationDate":"1708000000000","summary":"Space logo uploaded","description":"","category":"Spaces","sysAdmin":false,"affectedObject":{"name":"Foundry","objectType":"Space"},"changedValues":[],"associatedObjects":[]}"#,
    ),
    (
        1_707_999_999_000,
        r#"{"author":{"type":"user","displayName":"Pell Arden","operations":{},"username":"a0b1c2d3e4f5061728394a5b6c7d8e9f"},"remoteAddress":"198.51.100.200","creationDate":1707999999000,"summary":"Space created","description":"","category":"Spaces","sysAdmin":false,"affectedObject":{"name":"Foundry","objectType":"Space"},"changedValues":[],"associatedObjects":[]}"#,
    ),
];

/// Answers like a real site: no `Date`, a cap of 25, a `size` that is off by one, dates in the form of ISO in
/// `_links.self`, and no `next` on the last page.
fn real(most: usize) -> Server {
    Server::start(move |target| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path.ends_with("/retention") {
            return answer("200 OK", r#"{"number":6,"units":"Months"}"#);
        }
        assert!(path.ends_with("/wiki/rest/api/audit"), "{path}");
        let number = |name: &str| -> Option<i64> {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.parse().unwrap())
        };
        let (from, to) = (number("startDate"), number("endDate"));
        let start = usize::try_from(number("start").unwrap_or(0)).unwrap();
        let selected: Vec<&str> = RECORDS
            .iter()
            .filter(|(time, _)| {
                from.is_none_or(|from| *time >= from) && to.is_none_or(|to| *time <= to)
            })
            .map(|(_, record)| *record)
            .collect();
        let page: Vec<&str> = selected.iter().skip(start).take(most).copied().collect();
        let next = if start + most < selected.len() {
            let (next, from, to) = (start + most, from.unwrap_or(0), to.unwrap_or(i64::MAX));
            format!(
                r#""next":"/rest/api/audit?startDate={from}&endDate={to}&start={next}&limit={most}","#
            )
        } else {
            String::new()
        };
        let body = format!(
            r#"{{"results":[{}],"start":{start},"limit":{most},"size":{},"_links":{{"base":"https://harbour.example.net/wiki","context":"/wiki",{next}"self":"https://harbour.example.net/wiki/rest/api/audit?endDate=2024-05-21T14:00:00.456Z&startDate=2024-05-19T02:00:00.456Z"}}}}"#,
            page.join(","),
            page.len() + 1,
        );
        answer("200 OK", &body)
    })
}

#[test]
fn records_of_the_real_shape_come_out_as_they_are() {
    for most in [25, 2, 3] {
        let server = real(most);
        let sandbox = Sandbox::new();
        let token = sandbox.secret("token", "canary-real");
        let url = server.url();
        let args = |command| {
            let flags = [
                "--cloud-id",
                "harbour-1",
                "--api-url",
                &url,
                "--email",
                EMAIL,
            ];
            [&[command][..], &flags, &["--api-token-file", &token]].concat()
        };
        sandbox.run(&args("fetch")).expect(0);
        let output = fs::read_to_string(sandbox.path("flattened.json")).unwrap();
        let expected: Vec<&str> = RECORDS.iter().rev().map(|(_, record)| *record).collect();
        assert_eq!(
            output.lines().collect::<Vec<_>>(),
            expected,
            "{most} a page"
        );
        let again = sandbox.run(&args("fetch")).expect(0);
        assert_eq!(again.stdout, "Flattened 0 records into flattened.json\n");
        let exported = sandbox.run(&args("export")).expect(0);
        assert_eq!(exported.stdout, output);
    }
}

#[test]
fn credentials_go_to_the_gateway_alone() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = Server::start(move |target| {
        log.lock().unwrap().push(target.to_owned());
        answer("302 Found\r\nLocation: http://127.0.0.1:9/elsewhere", "{}")
    });
    let sandbox = Sandbox::new();
    let token = sandbox.secret("token", "canary-real");
    let url = server.url();
    let flags = [
        "fetch",
        "--cloud-id",
        "harbour-1",
        "--api-url",
        &url,
        "--email",
        EMAIL,
    ];
    sandbox
        .run(&[&flags[..], &["--api-token-file", &token]].concat())
        .expect(65);
    assert!(!seen.lock().unwrap().is_empty());
}
