//! `cargo xtask record`: responses of a real site as fixtures, so that anyone can hold the contract tests
//! against their own site, and so that a change of the service can be shown by its own bytes.
//!
//! It asks for the site's tenant information, the retention period, a few pages of the log and
//! one page without credentials. Everything is kept in memory until it has been pseudonymised and
//! searched for what must not be in it; only then is anything written.

mod fixture;
mod pseudonym;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use crate::error::Result;
use crate::workspace::root;
use fixture::Fixture;
use pseudonym::{Kind, Pseudonymiser};

const BODY_MAX: usize = 64 * 1024 * 1024;

/// What `cargo xtask record` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The site, `https://NAME.atlassian.net`; its cloud id is looked up
    #[arg(
        long,
        value_name = "URL",
        env = "CONFLUENCE_AUDIT_SITE_URL",
        required_unless_present = "cloud_id"
    )]
    site_url: Option<Url>,
    /// The site's cloud id
    #[arg(long, value_name = "ID", env = "CONFLUENCE_AUDIT_CLOUD_ID")]
    cloud_id: Option<String>,
    /// Where the API is
    #[arg(
        long,
        value_name = "URL",
        env = "CONFLUENCE_AUDIT_API_URL",
        default_value = "https://api.atlassian.com"
    )]
    api_url: Url,
    /// The account that the token belongs to
    #[arg(long, env = "CONFLUENCE_AUDIT_EMAIL")]
    email: String,
    /// The file that holds the API token, readable by you alone; `-` is standard input
    #[arg(long, value_name = "FILE", env = "CONFLUENCE_AUDIT_API_TOKEN_FILE")]
    api_token_file: PathBuf,
    /// How many pages of the log to record
    #[arg(long, value_name = "N", default_value_t = 3)]
    pages: usize,
    /// How many records to ask for on each
    #[arg(long, value_name = "N", default_value_t = 25)]
    limit: u32,
    /// Where to write; what is there under the same name is replaced [default: fixtures/recorded]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Records and writes.
pub(crate) fn run(args: &Args) -> Result {
    let token = token(&args.api_token_file)?;
    let session = Session::new(args, &token)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (recorded, cloud_id) = runtime.block_on(session.record())?;

    let mut pseudonymiser = Pseudonymiser::new(random_key()?, session.own_host());
    let files: Vec<_> = recorded
        .into_iter()
        .map(|(name, answer)| (name, answer.fixture(&mut pseudonymiser).to_bytes()))
        .collect();

    let secrets = [
        Some(token.expose_secret()),
        Some(&args.email),
        Some(&cloud_id),
        session.own_host(),
    ];
    for (name, file) in &files {
        if let Some(found) = leak(file, &secrets) {
            return Err(
                format!("{name} would still hold your {found}; nothing was written").into(),
            );
        }
    }
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| root().join("fixtures/recorded"));
    for (name, file) in &files {
        let path = out.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, file)?;
        println!("{} ({} bytes)", path.display(), file.len());
    }
    println!(
        "Read these files before you give them to anyone: summaries and error messages are kept as they came."
    );
    Ok(())
}

/// An answer as it came.
struct Answer {
    status: reqwest::StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn fixture(self, pseudonymiser: &mut Pseudonymiser) -> Fixture {
        let headers = self.headers.iter().filter_map(|(name, value)| {
            let value = header(name.as_str(), value.to_str().ok()?, pseudonymiser)?;
            Some((name.as_str().to_owned(), value))
        });
        let headers = headers.collect();
        let body = if self.body.is_empty() {
            Vec::new()
        } else {
            // Prose has no keys by which a name could be told from a word.
            let length = self.body.len();
            let prose =
                || format!("({length} bytes that are not JSON were not kept)\n").into_bytes();
            pseudonymiser.json(&self.body).unwrap_or_else(prose)
        };
        let reason = self.status.canonical_reason().unwrap_or_default();
        Fixture {
            status: self.status.as_u16(),
            reason: reason.to_owned(),
            headers,
            body,
        }
    }

    /// The query of the next page. Its host is not looked at: a credential goes only where it was
    /// configured to go.
    fn next_query(&self) -> Option<String> {
        let page: Value = serde_json::from_slice(&self.body).ok()?;
        let next = page.pointer("/_links/next")?.as_str()?;
        next.split_once('?').map(|(_, query)| query.to_owned())
    }
}

/// The value with which a header is kept, if it is.
fn header(name: &str, value: &str, pseudonymiser: &mut Pseudonymiser) -> Option<String> {
    match name {
        "content-type"
        | "deprecation"
        | "ratelimit-reason"
        | "warning"
        | "x-failure-category"
        | "x-ratelimit-limit"
        | "x-ratelimit-nearlimit"
        | "x-ratelimit-remaining" => Some(value.to_owned()),
        "atl-request-id" | "atl-traceid" | "www-authenticate" | "x-ratelimit-reset" => {
            Some(pseudonymiser.text(value, Kind::Vocabulary))
        }
        "date" | "retry-after" | "sunset" => Some(pseudonymiser.http_date(value)),
        _ => None,
    }
}

struct Session<'a> {
    args: &'a Args,
    token: &'a SecretString,
    client: reqwest::Client,
}

impl<'a> Session<'a> {
    fn new(args: &'a Args, token: &'a SecretString) -> Result<Self> {
        for url in args.site_url.iter().chain([&args.api_url]) {
            safe(url)?;
        }
        let client = reqwest::Client::builder()
            .user_agent(concat!(
                "confluence-audit-xtask/",
                env!("CARGO_PKG_VERSION")
            ))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_mins(2))
            .build()?;
        Ok(Self {
            args,
            token,
            client,
        })
    }

    /// The site's host, unless it names nobody.
    fn own_host(&self) -> Option<&str> {
        let host = self.args.site_url.as_ref()?.domain()?;
        (host != "localhost").then_some(host)
    }

    /// The answers under the names of their files, and the cloud id.
    async fn record(&self) -> Result<(Vec<(String, Answer)>, String)> {
        let mut recorded = Vec::new();
        let cloud_id = match &self.args.cloud_id {
            Some(id) => id.clone(),
            None => self.look_up(&mut recorded).await?,
        };
        let audit = self.audit_url(&cloud_id)?;
        let first = format!("limit={}", self.args.limit);

        let answer = self.get(&audit, Some(&first), false).await?;
        recorded.push(("errors/without-credentials.http".to_owned(), answer));

        let mut query = Some(first);
        for number in 1..=self.args.pages {
            let Some(asked) = query else { break };
            let answer = self.get(&audit, Some(&asked), true).await?;
            query = answer.next_query().filter(|_| answer.status.is_success());
            println!("page {number}: {}", answer.status);
            recorded.push((format!("audit/page-{number}.http"), answer));
        }
        for (path, query) in [
            ("retention", None),
            ("since", Some("number=1&units=DAYS&limit=5")),
        ] {
            let url = Url::parse(&format!("{audit}/{path}"))?;
            let answer = self.get(&url, query, true).await?;
            println!("{path}: {}", answer.status);
            recorded.push((format!("{path}/{path}.http"), answer));
        }
        Ok((recorded, cloud_id))
    }

    async fn look_up(&self, recorded: &mut Vec<(String, Answer)>) -> Result<String> {
        let site = self.args.site_url.as_ref();
        let site = site.ok_or("give --site-url or --cloud-id")?;
        let url = site.join("/_edge/tenant_info")?;
        let answer = self.get(&url, None, false).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let status = answer.status;
        let id = body["cloudId"].as_str().map(str::to_owned).ok_or_else(|| {
            format!("{site} did not tell its cloud id (status {status}); give --cloud-id")
        })?;
        recorded.push(("tenant_info/tenant_info.http".to_owned(), answer));
        Ok(id)
    }

    fn audit_url(&self, cloud_id: &str) -> Result<Url> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if cloud_id.is_empty() || !cloud_id.bytes().all(fits) {
            return Err("the cloud id is not one: letters, digits and dashes".into());
        }
        let path = format!("/ex/confluence/{cloud_id}/wiki/rest/api/audit");
        Ok(self.args.api_url.join(&path)?)
    }

    async fn get(&self, url: &Url, query: Option<&str>, authorised: bool) -> Result<Answer> {
        let mut url = url.clone();
        url.set_query(query);
        let mut request = self.client.get(url).header("accept", "application/json");
        if authorised {
            request = request.basic_auth(&self.args.email, Some(self.token.expose_secret()));
        }
        let mut response = request.send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_MAX {
                return Err(format!("the answer is longer than {BODY_MAX} bytes").into());
            }
        }
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body,
        })
    }
}

/// Refuses an address over which a token could be read on its way.
fn safe(url: &Url) -> Result {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && loopback) {
        Ok(())
    } else {
        Err(format!(
            "{url} is refused: only https, or http to this machine, keeps a token to itself"
        )
        .into())
    }
}

fn token(path: &Path) -> Result<SecretString> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        let mut file = fs::File::open(path)
            .map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            if file.metadata()?.permissions().mode() & 0o077 != 0 {
                return Err(
                    format!("others can read {0}; run: chmod 600 {0}", path.display()).into(),
                );
            }
        }
        file.read_to_string(&mut text)?;
    }
    let token = text.trim();
    if token.is_empty() {
        return Err(format!("{} holds no token", path.display()).into());
    }
    Ok(token.to_owned().into())
}

/// A key that exists only in this process.
fn random_key() -> Result<[u8; 32]> {
    let mut key = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

/// Which of the things that the user named stands in the file; a net below the pseudonymiser.
fn leak(file: &[u8], secrets: &[Option<&str>; 4]) -> Option<&'static str> {
    let file = String::from_utf8_lossy(file).to_lowercase();
    ["API token", "email address", "cloud id", "site's host"]
        .into_iter()
        .zip(secrets)
        .find(|(_, secret)| {
            secret.is_some_and(|secret| !secret.is_empty() && file.contains(&secret.to_lowercase()))
        })
        .map(|(what, _)| what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiremock::matchers::{header_exists, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    const CLOUD_ID: &str = "2f6c1b9e-8a34-4d0b-9c57-1e0f4b7a6d21";
    const TOKEN: &str = "canary-token-4711";

    fn template(name: &str) -> ResponseTemplate {
        let file = fs::read(root().join("fixtures").join(name)).expect("the fixture is there");
        let fixture = Fixture::parse(&file).expect("it is in the form");
        let mut template = ResponseTemplate::new(fixture.status).set_body_bytes(fixture.body);
        for (name, value) in fixture.headers {
            template = template.append_header(name.as_str(), value.as_str());
        }
        template
            .append_header("Set-Cookie", "session=canary-cookie")
            .append_header("X-Internal", "canary-header")
    }

    fn args(server: &str, folder: &Path) -> Args {
        let token = folder.join("token");
        fs::write(&token, format!("{TOKEN}\n")).expect("the token is written");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&token, fs::Permissions::from_mode(0o600))
                .expect("its mode is set");
        }
        let url: Url = server.parse().expect("an address");
        Args {
            site_url: Some(url.clone()),
            cloud_id: None,
            api_url: url,
            email: "marta@example.org".to_owned(),
            api_token_file: token,
            pages: 5,
            limit: 3,
            out: Some(folder.join("out")),
        }
    }

    async fn site() -> MockServer {
        let server = MockServer::start().await;
        let audit = format!("/ex/confluence/{CLOUD_ID}/wiki/rest/api/audit");
        let answers = [
            (
                "/_edge/tenant_info".to_owned(),
                None,
                "tenant_info/found.http",
            ),
            (audit.clone(), Some(("start", "3")), "audit/last-page.http"),
            (audit.clone(), Some(("limit", "3")), "audit/first-page.http"),
            (
                format!("{audit}/retention"),
                None,
                "retention/twelve-months.http",
            ),
            (format!("{audit}/since"), None, "since/three-months.http"),
        ];
        for (at, query, fixture) in answers {
            let mut mock = Mock::given(method("GET")).and(path(at.clone()));
            if let Some((name, value)) = query {
                mock = mock.and(query_param(name, value));
            }
            if at != "/_edge/tenant_info" {
                mock = mock.and(header_exists("authorization"));
            }
            mock.respond_with(template(fixture)).mount(&server).await;
        }
        let refusal = template("errors/401-scope-mismatch.http");
        Mock::given(path(audit))
            .respond_with(refusal)
            .with_priority(9)
            .mount(&server)
            .await;
        server
    }

    #[test]
    fn a_site_is_recorded_and_nothing_of_it_survives() {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("it starts");
        let server = runtime.block_on(site());
        run(&args(&server.uri(), folder.path())).expect("it records");

        let out = folder.path().join("out");
        let read =
            |name: &str| fs::read(out.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut all = Vec::new();
        for name in [
            "audit/page-1.http",
            "audit/page-2.http",
            "errors/without-credentials.http",
            "retention/retention.http",
            "since/since.http",
            "tenant_info/tenant_info.http",
        ] {
            let file = read(name);
            Fixture::parse(&file).unwrap_or_else(|| panic!("{name} is in the form"));
            all.extend(file);
        }
        assert!(
            !out.join("audit/page-3.http").exists(),
            "the second page is the last"
        );

        let text = String::from_utf8(all).expect("text");
        for gone in [
            TOKEN,
            "canary",
            "uthorization:",
            "example.org",
            "Marta",
            "Fenwick",
            CLOUD_ID,
            "acme",
            "712020",
        ] {
            assert!(!text.contains(gone), "{gone} survives in {text}");
        }
        for kept in [
            "x-failure-category: FAILURE_CLIENT_SCOPE_CHECK",
            "Space permission added",
            "\"units\":\"MONTHS\"",
        ] {
            assert!(text.contains(kept), "{kept} is missing in {text}");
        }
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        fs::write(&path, TOKEN).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("its mode is set");
        let error = token(&path).expect_err("it is refused").to_string();
        assert!(
            error.contains("chmod 600") && !error.contains(TOKEN),
            "{error}"
        );
    }

    #[test]
    fn a_token_goes_over_https_or_stays_on_this_machine() {
        for url in [
            "https://api.atlassian.com",
            "http://127.0.0.1:8080",
            "http://[::1]/",
            "http://localhost:1",
        ] {
            assert!(safe(&url.parse().expect("an address")).is_ok(), "{url}");
        }
        for url in [
            "http://api.atlassian.com",
            "ftp://127.0.0.1",
            "http://127.0.0.1.example.com",
        ] {
            assert!(safe(&url.parse().expect("an address")).is_err(), "{url}");
        }
    }

    #[test]
    fn a_leak_stops_the_writing() {
        let secrets = [Some("tok"), Some("a@b.c"), None, Some("")];
        assert_eq!(
            leak(b"body with A@B.C in it", &secrets),
            Some("email address")
        );
        assert_eq!(leak(b"nothing", &secrets), None);
    }

    #[test]
    fn prose_is_not_kept() {
        let answer = Answer {
            status: reqwest::StatusCode::UNAUTHORIZED,
            headers: HeaderMap::new(),
            body: b"<p>Hello Marta</p>".to_vec(),
        };
        let fixture = answer.fixture(&mut Pseudonymiser::new([7; 32], None));
        assert_eq!(
            fixture.body,
            b"(18 bytes that are not JSON were not kept)\n"
        );
    }

    #[test]
    fn only_the_query_of_the_next_page_is_taken() {
        let answer = |body: &str| Answer {
            status: reqwest::StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        };
        let next =
            answer(r#"{"_links":{"next":"https://elsewhere.example/x?start=3"}}"#).next_query();
        assert_eq!(next.as_deref(), Some("start=3"));
        assert_eq!(answer(r#"{"_links":{}}"#).next_query(), None);
    }
}
