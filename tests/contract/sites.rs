//! Finding a site: its cloud id without a credential, and the sites that a credential reaches.

use confluence_audit_core::{ErrorKind, Site as Reached, accessible_resources, tenant_info};
use wiremock::ResponseTemplate;

use crate::fixture::Fixture;
use crate::site::{BASIC, CLOUD_ID, Site, assert_get};

const TENANT: &str = "/_edge/tenant_info";
const RESOURCES: &str = "/oauth/token/accessible-resources";

#[tokio::test]
async fn the_cloud_id_is_looked_up_without_any_credential() {
    for fixture in ["tenant_info/found", "tenant_info/unknown-fields"] {
        let site = Site::start().await;
        site.answers("GET", TENANT, [fixture]).await;
        let id = tenant_info(&site.http, &site.origin()).await.unwrap();
        assert_eq!(id.as_str(), CLOUD_ID);
        assert_get(&site.request().await, TENANT, None);
    }
}

#[tokio::test]
async fn a_site_that_does_not_exist_is_named_so() {
    let site = Site::start().await;
    site.answers("GET", TENANT, ["tenant_info/no-such-site"])
        .await;
    let error = tenant_info(&site.http, &site.origin()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongSite);
    insta::assert_snapshot!(site.portless(&error.to_string()));
}

#[tokio::test]
async fn a_cloud_id_that_would_lead_out_of_its_path_is_refused() {
    for id in ["../../admin", "a/b", "", "a?b", "%2e%2e", "a b"] {
        let site = Site::start().await;
        let body = serde_json::json!({"cloudId": id});
        let template = ResponseTemplate::new(200).set_body_json(body);
        site.responds("GET", TENANT, 1, template).await;
        let error = tenant_info(&site.http, &site.origin()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedJson, "{id}");
    }
}

#[tokio::test]
async fn a_page_instead_of_the_cloud_id_is_an_error_and_asked_for_once() {
    for (fixture, kind) in [
        ("errors/200-sign-in-page", ErrorKind::NotJson),
        ("errors/200-other-json", ErrorKind::UnexpectedJson),
        ("errors/302-to-sign-in", ErrorKind::NotJson),
    ] {
        let site = Site::start().await;
        site.answers("GET", TENANT, [fixture]).await;
        let error = tenant_info(&site.http, &site.origin()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fixture}");
    }
}

async fn reached(fixture: &str) -> Vec<Reached> {
    let site = Site::start().await;
    site.answers("GET", RESOURCES, [fixture]).await;
    let sites = site.client().accessible_resources().await.unwrap();
    assert_get(&site.request().await, RESOURCES, Some(BASIC));
    sites
}

#[tokio::test]
async fn every_site_stands_once_by_name_with_all_its_scopes() {
    let mut table = Vec::new();
    for name in Fixture::names("accessible-resources") {
        if Fixture::read(&name).status == 200 {
            let sites = reached(&name).await;
            table.push(name);
            for site in sites {
                let audit = site.has_audit_scope();
                let Reached {
                    id,
                    name,
                    url,
                    scopes,
                    ..
                } = site;
                table.push(format!("  {id} {name} {url} {scopes:?} audit: {audit}"));
            }
        }
    }
    insta::assert_snapshot!(table.join("\n"));
}

#[tokio::test]
async fn scopes_that_stand_in_two_entries_are_one_sites() {
    let sites = reached("accessible-resources/same-id-twice").await;
    assert_eq!(sites.len(), 2);
    let acme = sites.iter().find(|site| site.id.as_str() == CLOUD_ID);
    assert!(acme.unwrap().has_audit_scope());
    let without = reached("accessible-resources/without-the-scope").await;
    assert!(without.iter().all(|site| !site.has_audit_scope()));
}

#[tokio::test]
async fn credentials_that_are_refused_reach_no_site() {
    let site = Site::start().await;
    site.answers("GET", RESOURCES, ["accessible-resources/unauthorized"])
        .await;
    let error = accessible_resources(&site.http, &site.origin(), &*site.api_token())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(error.is_credentials());
}
