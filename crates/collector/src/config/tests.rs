//! The promises of the configuration: what is meant is read, and a mistake is named with its line.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use confluence_audit_core::CloudId;

use super::*;
use crate::output::{ElasticsearchConfig, HeaderConfig, HttpConfig, KINDS, SplunkHecConfig};

const SITE_A: &str = "[[site]]\nname = \"acme\"\nurl = \"https://acme.atlassian.net\"\n\
    auth = { kind = \"oauth\", token_file = \"t\" }\n";

fn read(text: &str) -> Config {
    Config::from_toml(text, "config.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(text: &str) -> Error {
    let error = Config::from_toml(text, "config.toml").expect_err("it must be refused");
    assert_eq!(error.exit_code(), 78);
    error
}

#[track_caller]
fn refused(text: &str, message: &str) {
    let error = refusal(text);
    assert_eq!(error.to_string(), format!("config.toml {message}"));
    assert!(
        !error.remedy().contains("config.toml"),
        "one mistake: {}",
        error.remedy()
    );
}

#[test]
fn the_documented_file_is_read() {
    let config = read(
        r#"
        [state]
        dir = "/var/lib/confluence-audit"
        spool_limit = "64MiB"

        [collect]
        interval = "5m"
        start = "30d"
        passes = 4
        site_rate = 5
        account_rate = 40

        [[site]]
        name = "acme"
        url = "https://acme.atlassian.net"
        interval = "1m"
        auth = { kind = "api-token", email = "auditor@acme.example", token_file = "/etc/acme.token" }

        [[site]]
        name = "other"
        cloud_id = "3fa85f64"
        api_url = "http://127.0.0.1:8080"
        auth_url = "http://[::1]:8081"
        auth = { kind = "service-account", client_id = "c", client_secret_file = "s" }

        [[output]]
        kind = "file"
        path = "/var/log/{site}.json"
        format = "raw"
        "#,
    );
    assert_eq!(
        config.state,
        State {
            dir: Some(PathBuf::from("/var/lib/confluence-audit")),
            spool_limit: 64 << 20,
        }
    );
    assert_eq!(config.collect.interval, Duration::from_mins(5));
    let month = Duration::from_hours(30 * 24);
    assert_eq!(config.collect.start, Start::At(When::Age(month)));
    let collect = &config.collect;
    assert_eq!(
        (
            collect.passes.get(),
            collect.site_rate,
            collect.account_rate
        ),
        (4, 5, 40)
    );
    assert_eq!(config.sites.len(), 2);
    let intervals = config.sites.iter().map(|site| site.interval);
    assert_eq!(
        intervals.collect::<Vec<_>>(),
        [Some(Duration::from_mins(1)), None]
    );
    let AuthConfig::ApiToken {
        email,
        token: Secret::File(file),
        unscoped: false,
    } = &config.sites[0].auth
    else {
        panic!("{:?}", config.sites[0].auth)
    };
    assert_eq!(
        (email.as_str(), file.as_path()),
        ("auditor@acme.example", Path::new("/etc/acme.token"))
    );
    assert_eq!(
        config.sites[1].address,
        Address::CloudId(CloudId::new("3fa85f64").expect("an id"))
    );
    let file = config.outputs[0].for_site("acme");
    assert_eq!(file.kind.path(), Some(Path::new("/var/log/acme.json")));
    assert_eq!(config.warnings(), Vec::<String>::new());
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(
        format!("{:?}", read("")),
        format!("{:?}", Config::default())
    );
    assert_eq!(
        read("[collect]\nstart = \"retained\"").collect,
        Collect::default()
    );
    assert_eq!(read("[state]\ndir = \"x\"").state.spool_limit, 1 << 30);
}

#[test]
fn a_mistake_is_named_with_its_line_and_the_nearest_key() {
    refused(
        "\n[colect]\n",
        "line 2: unknown key `colect` in the file; did you mean `collect`?",
    );
    refused(
        "[[output]]\nkind = \"file\"\npath = \"x\"\n\nfromat = \"raw\"",
        "line 5: unknown key `fromat` in [[output]]; did you mean `format`?",
    );
    refused(
        &format!("{SITE_A}apiurl = \"https://x\""),
        "line 5: unknown key `apiurl` in [[site]]; did you mean `api_url`?",
    );
    refused("[collect]\npasses = 0", "line 2: `passes` is 0");
    refused(
        "[collect]\nsite_rate = 10001",
        "line 2: `site_rate` is 10001",
    );
    refused(
        "[collect]\ninterval = 10",
        "line 2: `interval` is not a text",
    );
    refused("[site]\nname = \"a\"", "line 1: `site` is not a list");
    refused("state = 1", "line 1: `state` is not a table");
    refused(
        "[[output]]\nkind = \"file\"",
        "line 1: `path` is missing in [[output]]",
    );
    refused(
        "[state]\nspool_limit = 1073741824",
        "line 2: `spool_limit` is not a text",
    );
    refused(
        "[state]\nspool_limit = \"0GiB\"",
        "line 2: `spool_limit` is `0GiB`, which is no size",
    );
    refused(
        "[state]\nspol_limit = \"1GiB\"",
        "line 2: unknown key `spol_limit` in [state]; did you mean `spool_limit`?",
    );
    assert!(
        refusal("[state]\ndir = ")
            .to_string()
            .starts_with("config.toml line 2: ")
    );
}

#[test]
fn a_key_of_another_kind_of_auth_is_unknown() {
    let text = SITE_A.replace("token_file", "email = \"e\", token_file");
    let error = refusal(&text).to_string();
    assert!(
        error.contains("line 4: unknown key `email` in [auth]"),
        "{error}"
    );
}

#[test]
fn a_token_without_scopes_is_said_to_be_one() {
    let auth = |unscoped| {
        let token = format!("email = \"e\", unscoped = {unscoped}, token_file");
        let text = SITE_A.replace("oauth", "api-token");
        text.replace("token_file", &token)
    };
    for given in [true, false] {
        let config = read(&auth(given.to_string()));
        let AuthConfig::ApiToken { unscoped, .. } = config.sites[0].auth else {
            panic!("{config:?}")
        };
        assert_eq!(unscoped, given);
    }
    refused(
        &auth("\"yes\"".to_owned()),
        "line 4: `unscoped` is neither true nor false",
    );
}

#[test]
fn what_does_not_exist_yet_says_what_does() {
    let error = refusal("[[output]]\naddress = \"x\"\nkind = \"kafka\"");
    assert!(
        error
            .to_string()
            .contains("line 3: there is no kind of output `kafka`")
    );
    assert!(error.remedy().contains("file"));
    let error = refusal("[[output]]\nkind = \"file\"\npath = \"x\"\nformat = \"xml\"");
    assert!(
        error
            .to_string()
            .contains("line 4: there is no format `xml`")
    );
    assert!(error.remedy().contains("raw"));
    let error = refusal("[state]\nurl = \"postgres://db\"");
    assert!(error.to_string().contains("not supported in this version"));
    let error = refusal(&SITE_A.replace("oauth", "basic"));
    assert!(error.remedy().contains("api-token, oauth, service-account"));
}

#[test]
fn a_site_has_exactly_one_address() {
    let both = SITE_A.replace("name", "cloud_id = \"c\"\nname");
    assert!(
        refusal(&both)
            .to_string()
            .contains("both `url` and `cloud_id`")
    );
    let none = SITE_A.replace("url = \"https://acme.atlassian.net\"\n", "");
    assert!(
        refusal(&none)
            .to_string()
            .contains("neither `url` nor `cloud_id`")
    );
}

#[test]
fn a_site_name_is_unique_and_no_way_out_of_a_directory() {
    let twice = format!("{SITE_A}{SITE_A}");
    refused(&twice, "line 6: a second site is named `acme`");
    for name in ["", "..", ".hidden", "a/b", "a b", "ä", "a\\n"] {
        let error = refusal(&SITE_A.replace("acme\"\n", &format!("{name}\"\n")));
        assert!(
            error.to_string().contains("cannot be a site's name"),
            "{error}"
        );
    }
}

#[test]
fn credentials_go_over_https_or_stay_on_this_machine() {
    for good in [
        "https://acme.atlassian.net",
        "http://127.0.0.1:1",
        "http://127.9.9.9",
        "http://[::1]/",
        "http://localhost:8080",
    ] {
        read(&SITE_A.replace("https://acme.atlassian.net", good));
    }
    for bad in [
        "",
        "acme.atlassian.net",
        "http://acme.atlassian.net",
        "http://128.0.0.1",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "ftp://localhost",
        "https://user:canary@acme.atlassian.net",
        "https://x.example/?canary",
        "unix:/x",
    ] {
        let error = refusal(&SITE_A.replace("https://acme.atlassian.net", bad));
        assert!(error.to_string().contains("line 3: `url`"), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn sites_that_cannot_be_told_apart_are_warned_of() {
    let two = format!(
        "{SITE_A}{}",
        SITE_A.replace("name = \"acme\"", "name = \"b\"")
    );
    let output = "[[output]]\nkind = \"file\"\npath = \"all.json\"\n";
    assert_eq!(read(&format!("{SITE_A}{output}")).warnings().len(), 0);
    assert_eq!(read(&format!("{two}{output}")).warnings().len(), 1);
    let own = output.replace("all", "{site}");
    assert_eq!(read(&format!("{two}{own}")).warnings().len(), 0);
}

#[test]
fn outputs_do_not_share_a_file_and_know_one_placeholder() {
    let output = "[[output]]\nkind = \"file\"\npath = \"all.json\"\n";
    let twice = format!("{output}{output}");
    refused(&twice, "line 4: a second output goes to all.json");
    let error = refusal(&output.replace("all", "{sitename}"));
    assert!(error.to_string().contains("braces"), "{error}");
    let named = format!("{output}name = \"siem\"\n");
    let both = format!("{named}{}", named.replace("all", "other"));
    refused(&both, "line 5: a second output is named `siem`");
    refused(
        &named.replace("siem", "a b"),
        "line 4: `a b` cannot be an output's name",
    );
}

#[test]
fn batches_are_bounded_by_count_bytes_and_age() {
    let output = "[[output]]\nkind = \"file\"\npath = \"x\"\n";
    let keys = "batch_records = 10\nbatch_bytes = \"1MiB\"\nbatch_age = \"5s\"\n";
    let batch = read(&format!("{output}{keys}")).outputs[0].batch;
    let (bytes, age) = (1 << 20, Duration::from_secs(5));
    assert_eq!((batch.records, batch.bytes, batch.age), (10, bytes, age));
    refused(
        &format!("{output}batch_records = 0"),
        "line 4: `batch_records` is 0",
    );
    refused(
        &format!("{output}batch_bytes = \"1 page\""),
        "line 4: `batch_bytes` is `1 page`, which is no size",
    );
}

#[test]
fn a_missing_file_says_how_to_write_one() {
    let error = Config::load(Path::new("/nonexistent/config.toml")).expect_err("missing");
    assert!(error.remedy().contains("generate config"));
}

#[test]
fn the_outputs_that_are_services_are_read() {
    let config = read(
        r#"
        [[output]]
        kind = "elasticsearch"
        url = "https://es.example:9200/base/"
        index = "logs-atlassian_confluence.audit-default"
        api_key_file = "/etc/key"
        ca_file = "/etc/ca.pem"
        compression = "none"
        timeout = "5s"
        dead_letter = "/var/dead.ndjson"

        [[output]]
        kind = "elasticsearch"
        url = "http://[::1]:9200"
        index = "a"
        username = "u"
        password_file = "p"
        format = "ocsf"

        [[output]]
        kind = "splunk_hec"
        url = "https://splunk.example:8088"
        token_file = "t"
        index = "audit"
        ack = true
        ack_timeout = "5m"

        [[output]]
        kind = "http"
        url = "https://in.example/logs?api-version=1"
        framing = "array"
        headers = { X-Kind = "audit", Authorization = { prefix = "Bearer ", file = "t" } }
        idempotency_key = ""

        [[output]]
        kind = "otlp"
        url = "https://otel.example:4318"
        batch_records = 100
        "#,
    );
    let names = config
        .outputs
        .iter()
        .map(|output| output.kind.display_name());
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            "https://es.example:9200/base/logs-atlassian_confluence.audit-default",
            "http://[::1]:9200/a",
            "https://splunk.example:8088/audit",
            "https://in.example/logs",
            "https://otel.example:4318/v1/logs",
        ]
    );
    let formats: Vec<Format> = config.outputs.iter().map(|output| output.format).collect();
    let names: Vec<&str> = formats.iter().map(|format| format.as_str()).collect();
    assert_eq!(names, ["ecs", "ocsf", "raw", "flat", "flat"]);
    assert_eq!(config.outputs[4].batch.records, 100);
    let es: &ElasticsearchConfig = config.outputs[0].kind_as().expect("elasticsearch");
    assert_eq!(
        es.authorization,
        Some(HeaderConfig::File {
            prefix: "ApiKey ".to_owned(),
            path: "/etc/key".into(),
        })
    );
    assert_eq!(
        (es.service.gzip, es.service.timeout),
        (false, Duration::from_secs(5))
    );
    assert_eq!(
        es.service.ca_file.as_deref(),
        Some(Path::new("/etc/ca.pem"))
    );
    let hec: &SplunkHecConfig = config.outputs[2].kind_as().expect("splunk_hec");
    assert_eq!(hec.ack, Some(Duration::from_mins(5)));
    assert_eq!(hec.sourcetype, "confluence:audit");
    let http: &HttpConfig = config.outputs[3].kind_as().expect("http");
    assert_eq!(http.headers.len(), 2);
    assert_eq!(http.idempotency_key, None);
    assert_eq!(http.content_type, "application/json");
}

#[test]
fn a_service_that_records_cannot_be_sent_to_is_refused() {
    let http = |rest: &str| format!("[[output]]\nkind = \"http\"\n{rest}");
    for url in [
        "http://es.example:9200",
        "ftp://es.example",
        "https://user:password@es.example",
        "https://es.example/#a",
        "es.example",
    ] {
        let error = refusal(&http(&format!("url = \"{url}\"")));
        let message = error.to_string();
        assert!(
            message.starts_with("config.toml line 3: `url` "),
            "{message}"
        );
        assert!(!message.contains("password@"), "{message}");
    }
    let url = "url = \"https://a.example\"\n";
    refused(
        &http(&format!("{url}headers = {{ X-A = {{ fiel = \"x\" }} }}")),
        "line 4: unknown key `fiel` in [headers]; did you mean `file`?",
    );
    refused(
        &http(&format!("{url}headers = {{ X-A = \"a\\nb\" }}")),
        "line 4: the header `X-A` has no header's value",
    );
    refused(
        &http(&format!("{url}headers = {{ X-A = {{ file = \"-\" }} }}")),
        "line 4: `file` is standard input, which can be read only once",
    );
    refused(
        &http(&format!("{url}framing = \"array\"\nformat = \"cef\"")),
        "line 5: `http` takes no records in the format cef",
    );
    refused(
        &http(&format!("{url}framng = \"array\"")),
        "line 4: unknown key `framng` in [[output]]; did you mean `framing`?",
    );
    let es = |rest: &str| format!("[[output]]\nkind = \"elasticsearch\"\n{url}{rest}");
    refused(
        &es("index = \"Logs\""),
        "line 4: `Logs` cannot be the name of an index",
    );
    refused(
        &es("index = \"a\"\nusername = \"u\""),
        "line 1: the credentials of this output are incomplete or twofold",
    );
    refused(
        &es(&format!("index = \"a\"\n{}", es("index = \"a\""))),
        "line 5: a second output goes to https://a.example/a",
    );
    refused(
        &format!("[[output]]\nkind = \"splunk_hec\"\n{url}"),
        "line 1: `token_file` is missing in [[output]]",
    );
}

const DOZEN: &str = r#"
colect = 1

[state]
spool_limit = "1GB/s"

[collect]
intervall = "10m"
start = "yesterday"
jobs = 0
reread = [{ spam = "1d" }, { span = "0s" }]

[[site]]
name = "a b"
url = "http://acme.atlassian.net"
auth = { kind = "basic" }

[[site]]
cloud_id = "c"
auth = { kind = "api-token", email = "", token_file = 5, unscoped = "no" }

[[output]]
kind = "file"
path = "{sitename}.json"
mode = "0999"
rotate_keep = 1

[[output]]
kind = "http"
url = "https://user:canary@a.example"
framing = "lines"
headers = { Authorization = { file = "-" }, "a b" = "canary" }
timeout = "soon"

[[output]]
kind = "syslog"
facility = "local9"
enterprise_id = -1
confirm = "sent"
format = "xml"
batch_age = "1 s"
"#;

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    let error = refusal(DOZEN);
    let text = format!("{error}\n  {}", error.remedy());
    assert!(!text.contains("canary"), "{text}");
    let sentences = text.lines().filter(|line| line.starts_with("config.toml "));
    let expected = [
        "line 2: unknown key `colect` in the file; did you mean `collect`?",
        "line 5: `spool_limit` is `1GB/s`, which is no size",
        "line 8: unknown key `intervall` in [collect]; did you mean `interval`?",
        "line 9: `yesterday` is not a time",
        "line 10: `jobs` is 0",
        "line 11: unknown key `spam` in [[reread]]; did you mean `span`?",
        "line 11: `0s` is not a duration",
        "line 14: `a b` cannot be a site's name",
        "line 15: `url`: ",
        "line 16: there is no kind of auth `basic`",
        "line 18: `name` is missing in [[site]]",
        "line 20: `email` is empty",
        "line 20: `token_file` is not a text",
        "line 20: `unscoped` is neither true nor false",
        "line 24: `{sitename}.json` has braces that are not {site}",
        "line 25: `mode` is `0999`",
        "line 26: `rotate_keep` is given, and nothing says when the file is rotated",
        "line 30: `url` holds a user name or a password",
        "line 31: there is no framing `lines`",
        "line 32: `file` is standard input, which can be read only once",
        "line 32: the header `a b` has no header's name",
        "line 33: `soon` is not a duration",
        "line 37: there is no facility `local9`",
        "line 38: `enterprise_id` is -1",
        "line 39: `confirm` says something about a stream, and unix:/dev/log is none",
        "line 40: there is no format `xml`",
        "line 41: `1 s` is not a duration",
    ];
    let sentences: Vec<&str> = sentences.collect();
    assert_eq!(sentences.len(), expected.len(), "{text}");
    for (sentence, expected) in sentences.iter().zip(expected) {
        let begin = format!("config.toml {expected}");
        assert!(
            sentence.starts_with(&begin),
            "{sentence}\nnot {begin}\nof\n{text}"
        );
    }
    // Each with what to do about it.
    let remedies = text.lines().filter(|line| line.starts_with("  "));
    assert_eq!(remedies.count(), expected.len(), "{text}");
}

#[test]
fn a_file_that_is_not_toml_has_no_other_mistakes() {
    let error = refusal("[collect]\nintervall = \"10m\"\nstart = \n[state\n");
    assert!(
        error.to_string().starts_with("config.toml line 3: "),
        "{error}"
    );
    assert!(!error.remedy().contains("intervall"), "{}", error.remedy());
}

/// The keys that a schema knows: of one kind, where there are kinds.
fn keys(schema: &serde_json::Value, kind: Option<&str>) -> BTreeSet<String> {
    let names = |schema: &serde_json::Value| -> Vec<String> {
        let properties = schema["properties"].as_object();
        properties
            .into_iter()
            .flat_map(|keys| keys.keys().cloned())
            .collect()
    };
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    let variant = variants.filter(|one| one["properties"]["kind"]["const"].as_str() == kind);
    names(schema)
        .into_iter()
        .chain(variant.flat_map(names))
        .collect()
}

/// The keys that the reader knows below `text`, by its own word.
fn known(text: &str) -> BTreeSet<String> {
    let error = refusal(&format!("{text}\nno_such_key = 1"));
    let (_, list) = error
        .remedy()
        .split_once("The keys here are: ")
        .expect(text);
    let list = list.split('.').next().unwrap_or_default();
    list.split(", ").map(str::to_owned).collect()
}

/// What each kind of output cannot be without.
const COMPLETE: [(&str, &str); KINDS.len()] = [
    ("file", "path = \"p\""),
    (
        "elasticsearch",
        "url = \"https://a.example\"\nindex = \"i\"",
    ),
    (
        "splunk_hec",
        "url = \"https://a.example\"\ntoken_file = \"t\"",
    ),
    ("http", "url = \"https://a.example\""),
    ("otlp", "url = \"https://a.example\""),
    ("stdout", ""),
    ("syslog", ""),
];

#[test]
fn the_schema_knows_every_key_that_the_reader_knows() {
    let schema = Config::schema();
    let properties = &schema["properties"];
    assert_eq!(keys(&schema, None), known(""));
    for section in ["state", "collect"] {
        assert_eq!(
            keys(&properties[section], None),
            known(&format!("[{section}]"))
        );
    }
    let step = "[collect]\n[[collect.reread]]\nspan = \"1d\"";
    let steps = &properties["collect"]["properties"]["reread"]["items"];
    assert_eq!(keys(steps, None), known(step));
    let site = &properties["site"]["items"];
    assert_eq!(keys(site, None), known(SITE_A));
    let auth = &site["properties"]["auth"];
    let head = "[[site]]\nname = \"a\"\ncloud_id = \"c\"\n[site.auth]\n";
    for (kind, rest) in [
        ("api-token", "email = \"e\"\ntoken_file = \"t\""),
        ("oauth", "token_file = \"t\""),
        (
            "service-account",
            "client_id = \"c\"\nclient_secret_file = \"s\"",
        ),
    ] {
        let text = format!("{head}kind = \"{kind}\"\n{rest}");
        assert_eq!(keys(auth, Some(kind)), known(&text), "{kind}");
    }
    let output = &properties["output"]["items"];
    assert_eq!(output["oneOf"].as_array().map(Vec::len), Some(KINDS.len()));
    for (kind, rest) in COMPLETE {
        let text = format!("[[output]]\nkind = \"{kind}\"\n{rest}");
        assert_eq!(keys(output, Some(kind)), known(&text), "{kind}");
    }
}
