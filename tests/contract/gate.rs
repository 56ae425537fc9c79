//! The gate before each attempt: it is asked every time, and told what came.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use confluence_audit_core::{
    ApiToken, AuditClient, AuditQuery, CloudId, Gate, Origin, SiteAddress,
};

use crate::site::{API_TOKEN, CLOUD_ID, EMAIL, Site};

/// Lets all pass, and takes notes.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

#[async_trait]
impl Gate for Notes {
    async fn pass(&self) {
        self.0.lock().unwrap().push("pass".to_owned());
    }

    fn answered(&self, status: Option<u16>, asked: Option<Duration>) {
        let status = status.map_or("nothing".to_owned(), |status| status.to_string());
        let asked = asked.map_or(String::new(), |asked| format!(", wait {}", asked.as_secs()));
        self.0.lock().unwrap().push(format!("{status}{asked}"));
    }

    fn rate_limited(&self, wait: Duration) {
        let waited = format!("limited for {}", wait.as_secs());
        self.0.lock().unwrap().push(waited);
    }
}

#[tokio::test]
async fn each_attempt_passes_the_gate_and_its_answer_is_told_with_what_it_asks_for() {
    let site = Site::serving([
        "errors/429-retry-after-seconds",
        "errors/503",
        "errors/401-unauthorized",
    ])
    .await;
    let notes = Arc::new(Notes::default());
    let http = site.http.behind(notes.clone());
    let client = AuditClient::new(http.clone(), site.gateway(), site.api_token());
    client.audit(&AuditQuery::new()).await.unwrap_err();
    let notes = notes.0.lock().unwrap().clone();
    assert_eq!(
        notes,
        [
            "pass",
            "429, wait 7",
            "limited for 7",
            "pass",
            "503",
            "pass",
            "401"
        ]
    );
    assert_eq!(http.stats().requests, 3);
    assert_eq!(site.http.stats().requests, 0, "each keeps its own counts");
}

#[tokio::test]
async fn where_there_is_no_answer_the_gate_is_told_so() {
    let site = Site::start().await;
    let notes = Arc::new(Notes::default());
    // Nobody can listen at this port.
    let nowhere = Origin::parse("http://127.0.0.1:0").unwrap();
    let address = SiteAddress::gateway(nowhere.clone(), &CloudId::new(CLOUD_ID).unwrap());
    let token = ApiToken::new(nowhere, EMAIL, API_TOKEN.into()).unwrap();
    let http = site.http.behind(notes.clone());
    let client = AuditClient::new(http, address, Arc::new(token));
    client.audit(&AuditQuery::new()).await.unwrap_err();
    let notes = notes.0.lock().unwrap().clone();
    assert_eq!(notes[..2], ["pass", "nothing"]);
}
