//! A client that knows the paths and the credentials, and nothing of quirks.

use std::sync::LazyLock;

use confluence_audit_sim::{API_TOKEN, EMAIL, Sim};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use url::Url;

pub(crate) const AUDIT: &str = "/wiki/rest/api/audit";

/// One for all tests: making one takes longer than most of them. It keeps no connections, for those would belong to
/// the runtime of one test.
pub(crate) static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
});

/// A GET on the gateway with the scoped token.
pub(crate) fn get(sim: &Sim, path_and_query: &str) -> RequestBuilder {
    let url = format!(
        "{}/ex/confluence/{}{path_and_query}",
        sim.url(),
        sim.cloud_id()
    );
    CLIENT.get(url).basic_auth(EMAIL, Some(API_TOKEN))
}

/// An answer that must be JSON, with its status.
pub(crate) async fn json(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_str(&response.text().await.unwrap()).unwrap(),
    )
}

/// A page of the list.
pub(crate) async fn page(sim: &Sim, query: &str) -> Value {
    let (status, page) = json(get(sim, &format!("{AUDIT}?{query}"))).await;
    assert_eq!(status, 200, "{page}");
    page
}

/// The records of a page as compact lines, in the page's order.
pub(crate) fn lines(page: &Value) -> Vec<String> {
    page["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect()
}

/// All pages of a window: by the query of `next` on our own origin or, where no page has one, by the echoed `limit`.
pub(crate) async fn walk(sim: &Sim, query: &str) -> Vec<Value> {
    let mut pages = vec![page(sim, query).await];
    loop {
        let last = pages.last().unwrap();
        let limit = last["limit"].as_u64().unwrap();
        let next = match last["_links"]["next"].as_str() {
            Some(next) => {
                let url = Url::parse("http://ours.invalid")
                    .unwrap()
                    .join(next)
                    .unwrap();
                url.query().unwrap().to_owned()
            }
            None if lines(last).len() as u64 == limit => {
                format!(
                    "{query}&start={}&limit={limit}",
                    last["start"].as_u64().unwrap() + limit
                )
            }
            None => return pages,
        };
        pages.push(page(sim, &next).await);
        assert!(pages.len() < 500, "no end");
    }
}

/// All records of a window, sorted as text.
pub(crate) async fn collect(sim: &Sim, query: &str) -> Vec<String> {
    sorted(walk(sim, query).await.iter().flat_map(lines))
}

pub(crate) fn sorted(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_unstable();
    lines
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}
