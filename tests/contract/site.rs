//! A site, its gateway and its token endpoint on one loopback server, which answers with fixtures
//! and nothing that was not arranged.

use std::sync::{Arc, Mutex};

use confluence_audit_core::{
    ApiToken, AuditClient, Authenticator, CloudId, Error, Http, OAuth, OAuthApp, Origin,
    ServiceAccount, SiteAddress, TokenSet, TokenStore,
};
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::clock::Clock;
use crate::fixture::Fixture;

pub(crate) const CLOUD_ID: &str = "2f6c1b9e-8a34-4d0b-9c57-1e0f4b7a6d21";
/// Where the log is on the gateway.
pub(crate) const AUDIT: &str =
    "/ex/confluence/2f6c1b9e-8a34-4d0b-9c57-1e0f4b7a6d21/wiki/rest/api/audit";
pub(crate) const TOKEN: &str = "/oauth/token";
pub(crate) const EMAIL: &str = "auditor@acme.example";
pub(crate) const API_TOKEN: &str = "fixture-api-token";
/// Email and token in base64, computed elsewhere.
pub(crate) const BASIC: &str = "Basic YXVkaXRvckBhY21lLmV4YW1wbGU6Zml4dHVyZS1hcGktdG9rZW4=";
pub(crate) const CLIENT_ID: &str = "fixture-client-id";
pub(crate) const CLIENT_SECRET: &str = "fixture-client-secret";
pub(crate) const CALLBACK: &str = "http://localhost:8091/callback";
const USER_AGENT: &str = "contract-test/1.0";

pub(crate) struct Site {
    server: MockServer,
    unexpected: Arc<Mutex<Vec<String>>>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) http: Http,
}

impl Site {
    /// A site that answers nothing yet: a request that nobody arranged an answer for fails the
    /// test by name.
    pub(crate) async fn start() -> Self {
        let server = MockServer::start().await;
        let unexpected = Arc::<Mutex<Vec<String>>>::default();
        let seen = unexpected.clone();
        let refuse = move |request: &Request| {
            let name = format!("nobody expected {}", target(request));
            seen.lock().unwrap().push(name.clone());
            ResponseTemplate::new(418).set_body_string(name)
        };
        let catch_all = Mock::given(any()).respond_with(refuse);
        server.register(catch_all.with_priority(u8::MAX)).await;
        let clock = Arc::new(Clock::new());
        let http = Http::builder()
            .user_agent(USER_AGENT)
            .runtime(clock.clone())
            .build();
        Self {
            server,
            unexpected,
            clock,
            http,
        }
    }

    /// A site whose log answers with `fixtures`, one a request.
    pub(crate) async fn serving<const N: usize>(fixtures: [&str; N]) -> Self {
        let site = Self::start().await;
        site.answers("GET", AUDIT, fixtures).await;
        site
    }

    /// Answers with `fixtures`, one a request; every one must be asked for.
    pub(crate) async fn answers<const N: usize>(&self, verb: &str, at: &str, fixtures: [&str; N]) {
        for name in fixtures {
            let template = Fixture::read(name).template();
            self.responds(verb, at, 1, template).await;
        }
    }

    /// Answers exactly `times` requests.
    pub(crate) async fn responds(
        &self,
        verb: &str,
        at: &str,
        times: u64,
        respond: impl Respond + 'static,
    ) {
        let mock = Mock::given(method(verb))
            .and(path(at))
            .respond_with(respond)
            .up_to_n_times(times);
        let name = format!("{verb} {at}");
        self.server.register(mock.expect(times).named(name)).await;
    }

    /// Answers as often as it is asked, if ever.
    pub(crate) async fn always(&self, at: &str, respond: impl Respond + 'static) {
        let mock = Mock::given(path(at)).respond_with(respond);
        self.server.register(mock).await;
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin::parse(&self.server.uri()).unwrap()
    }

    pub(crate) fn gateway(&self) -> SiteAddress {
        SiteAddress::gateway(self.origin(), &CloudId::new(CLOUD_ID).unwrap())
    }

    pub(crate) fn api_token(&self) -> Arc<dyn Authenticator> {
        Arc::new(ApiToken::new(self.origin(), EMAIL, API_TOKEN.into()).unwrap())
    }

    pub(crate) fn app(&self) -> OAuthApp {
        OAuthApp::new(self.origin(), CLIENT_ID, CLIENT_SECRET.into())
    }

    pub(crate) fn oauth(&self, store: Arc<dyn TokenStore>) -> Arc<dyn Authenticator> {
        let oauth = OAuth::new(self.http.clone(), self.origin(), self.app(), store);
        Arc::new(oauth)
    }

    pub(crate) fn service_account(&self) -> Arc<dyn Authenticator> {
        let http = self.http.clone();
        let secret = CLIENT_SECRET.into();
        let account = ServiceAccount::new(http, self.origin(), self.origin(), CLIENT_ID, secret);
        Arc::new(account)
    }

    /// Trades a code for tokens.
    pub(crate) async fn exchange(&self) -> Result<TokenSet, Error> {
        let code = "the-code".into();
        self.app().exchange(&self.http, &code, CALLBACK).await
    }

    /// A client on the gateway with an API token.
    pub(crate) fn client(&self) -> AuditClient {
        self.client_with(self.api_token())
    }

    /// A client on the gateway.
    pub(crate) fn client_with(&self, auth: Arc<dyn Authenticator>) -> AuditClient {
        AuditClient::new(self.http.clone(), self.gateway(), auth)
    }

    /// All requests so far.
    pub(crate) async fn requests(&self) -> Vec<Request> {
        self.server.received_requests().await.unwrap()
    }

    /// Method, path and query of all requests so far.
    pub(crate) async fn targets(&self) -> Vec<String> {
        self.requests().await.iter().map(target).collect()
    }

    /// The one request so far.
    pub(crate) async fn request(&self) -> Request {
        let requests = self.requests().await;
        assert_eq!(requests.len(), 1, "{:?}", self.targets().await);
        requests.into_iter().next().unwrap()
    }

    /// `text` without the server's port, which is another in each run.
    pub(crate) fn portless(&self, text: &str) -> String {
        text.replace(&self.server.uri(), "http://site")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let unexpected = self.unexpected.lock().unwrap();
        let failing = std::thread::panicking();
        assert!(
            failing || unexpected.is_empty(),
            "{}",
            unexpected.join("\n")
        );
    }
}

/// Method, path and query, as they stood in the request.
pub(crate) fn target(request: &Request) -> String {
    let query = request.url.query().map(|query| format!("?{query}"));
    let (method, path) = (&request.method, request.url.path());
    format!("{method} {path}{}", query.unwrap_or_default())
}

/// The value of a header that must stand there once.
pub(crate) fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    let values: Vec<_> = request.headers.get_all(name).iter().collect();
    assert_eq!(values.len(), 1, "{name} of {}", target(request));
    values[0].to_str().unwrap()
}

/// That the request is this one and says nothing beyond what it has to.
pub(crate) fn assert_get(request: &Request, expected: &str, credential: Option<&str>) {
    assert_eq!(target(request), format!("GET {expected}"));
    assert_headers(request, "application/json", credential);
    assert!(request.body.is_empty());
}

/// That these and no other headers are there.
pub(crate) fn assert_headers(request: &Request, accept: &str, credential: Option<&str>) {
    let mut names: Vec<_> = request.headers.keys().map(ToString::to_string).collect();
    names.sort();
    let mut expected = vec!["accept", "accept-encoding", "host", "user-agent"];
    if credential.is_some() {
        expected.insert(2, "authorization");
    }
    if request.method == "POST" {
        expected.splice(2..2, ["content-length", "content-type"]);
        assert_eq!(header(request, "content-type"), "application/json");
    }
    assert_eq!(names, expected, "{}", target(request));
    assert_eq!(header(request, "accept"), accept);
    assert_eq!(header(request, "accept-encoding"), "gzip");
    assert_eq!(header(request, "user-agent"), USER_AGENT);
    if let Some(credential) = credential {
        assert_eq!(header(request, "authorization"), credential);
    }
}

#[tokio::test]
#[should_panic(expected = "nobody expected GET /ex/confluence/")]
async fn a_request_that_nobody_expected_fails_the_test_by_name() {
    let site = Site::start().await;
    let _ = site.client().retention().await;
}

#[tokio::test]
#[should_panic(expected = "GET /ex/confluence/")]
async fn an_answer_that_nobody_asked_for_fails_the_test_by_name() {
    let site = Site::serving(["audit/first-page"]).await;
    drop(site);
}
