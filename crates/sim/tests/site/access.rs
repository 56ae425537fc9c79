//! Who is let in, and the exact words to those who are not.

use confluence_audit_sim::{API_TOKEN, Account, EMAIL, Sim, SimConfig, UNSCOPED_TOKEN};

use crate::client::{AUDIT, CLIENT, get, header, json};

fn sim(account: Account) -> Sim {
    Sim::start(SimConfig {
        account,
        ..SimConfig::default()
    })
    .unwrap()
}

#[tokio::test]
async fn tokens_are_good_on_their_own_host_alone() {
    let sim = sim(Account::default());
    let own = |token| {
        CLIENT
            .get(format!("{}{AUDIT}", sim.url()))
            .basic_auth(EMAIL, Some(token))
    };
    assert_eq!(json(own(UNSCOPED_TOKEN)).await.0, 200);
    assert_eq!(json(own(API_TOKEN)).await.0, 401);
    let gateway = format!("{}/ex/confluence/{}{AUDIT}", sim.url(), sim.cloud_id());
    let on_gateway = |token| CLIENT.get(&gateway).basic_auth(EMAIL, Some(token));
    assert_eq!(json(on_gateway(API_TOKEN)).await.0, 200);
    assert_eq!(json(on_gateway(UNSCOPED_TOKEN)).await.0, 401);
    assert_eq!(json(CLIENT.get(&gateway)).await.0, 401);
    assert_eq!(
        json(CLIENT.get(gateway.replace(sim.cloud_id(), "another")))
            .await
            .0,
        404
    );
    let (_, tenant) = json(CLIENT.get(format!("{}/_edge/tenant_info", sim.url()))).await;
    assert_eq!(tenant["cloudId"], sim.cloud_id());
}

#[tokio::test]
async fn refusals_are_those_of_the_service() {
    let response = get(
        &sim(Account {
            missing_scope: true,
            ..Account::default()
        }),
        AUDIT,
    )
    .send()
    .await
    .unwrap();
    assert_eq!(
        header(&response, "x-failure-category"),
        Some("FAILURE_CLIENT_SCOPE_CHECK")
    );
    assert!(header(&response, "atl-request-id").is_some());
    assert_eq!(
        response.text().await.unwrap(),
        r#"{"code":401,"message":"Unauthorized; scope does not match"}"#
    );

    let (status, body) = json(get(
        &sim(Account {
            not_admin: true,
            ..Account::default()
        }),
        AUDIT,
    ))
    .await;
    assert_eq!(status, 403);
    assert_eq!(
        body.to_string(),
        r#"{"message":"Current user not permitted to use Confluence","statusCode":403}"#
    );

    let (status, body) = json(get(
        &sim(Account {
            plan_free: true,
            ..Account::default()
        }),
        AUDIT,
    ))
    .await;
    assert_eq!(status, 403);
    assert!(body["message"].as_str().unwrap().contains("Free edition"));

    let html = sim(Account {
        html_401: true,
        ..Account::default()
    });
    let wrong = CLIENT
        .get(format!("{}{AUDIT}", html.url()))
        .basic_auth(EMAIL, Some("wrong"));
    assert!(
        wrong
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .starts_with("<html>")
    );
}

#[tokio::test]
async fn nonsense_is_refused() {
    let sim = sim(Account::default());
    for query in ["startDate=yesterday", "limit=0", "limit=x", "start=-1"] {
        assert_eq!(
            json(get(&sim, &format!("{AUDIT}?{query}"))).await.0,
            400,
            "{query}"
        );
    }
    assert_eq!(
        json(get(&sim, "/wiki/rest/api/audit/since?units=FORTNIGHTS"))
            .await
            .0,
        400
    );
    let post = CLIENT.post(format!("{}{AUDIT}", sim.url()));
    assert_eq!(json(post).await.0, 405);
    assert_eq!(sim.stats().count(AUDIT, "400"), 4);
    assert_eq!(sim.requests().last().unwrap().outcome, "405");
}
