//! `[[site]]`: which sites are read, and how requests to them are signed.

use std::path::PathBuf;
use std::time::Duration;

use confluence_audit_core::{CloudId, Origin};
use secrecy::SecretString;

use crate::table::{Read, Table, Text};

/// One site.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// What people call it; unique, and safe as a part of a file name.
    pub name: String,
    /// Which site it is.
    pub address: Address,
    /// In place of `https://api.atlassian.com`.
    pub api_url: Option<Origin>,
    /// In place of `https://auth.atlassian.com`.
    pub auth_url: Option<Origin>,
    /// How requests to it are signed.
    pub auth: AuthConfig,
    /// The time between two passes, where it is not that of all sites.
    pub interval: Option<Duration>,
}

/// Which site is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `https://acme.atlassian.net`; its cloud id has to be looked up.
    Url(Origin),
    /// The cloud id itself.
    CloudId(CloudId),
}

impl Address {
    /// The site's own address, where that is given.
    pub fn url(&self) -> Option<&Origin> {
        match self {
            Self::Url(url) => Some(url),
            Self::CloudId(_) => None,
        }
    }
}

/// How requests are signed.
#[derive(Clone, Debug)]
pub enum AuthConfig {
    /// The API token of an account.
    ApiToken {
        /// The account.
        email: String,
        /// Its token.
        token: Secret,
        /// The token has no scopes, so that it works on the site's own host alone.
        unscoped: bool,
    },
    /// The consent of a person, as `confluence-audit-oauth-setup` obtained it.
    Oauth {
        /// The file that it wrote.
        token_file: PathBuf,
    },
    /// A service account's own client.
    ServiceAccount {
        /// The client.
        client_id: String,
        /// The client's secret.
        client_secret: Secret,
    },
}

/// Where a secret is.
#[derive(Clone, Debug)]
pub enum Secret {
    /// In this file, or the credential of this bare name, or `-`: see [`secret`](crate::credentials::secret).
    File(PathBuf),
    /// Here: from the environment.
    Given(SecretString),
}

impl SiteConfig {
    /// Reads all sites; their names are unique.
    pub(super) fn read_all(root: &mut Table<'_>) -> Vec<Self> {
        let mut names: Vec<String> = Vec::new();
        root.tables("site", "the sites", |table| {
            let about = "a name of your choice for the site";
            let name = table.required("name", about, |text| {
                let name = text.name("a site's")?;
                if names.contains(&name) {
                    let message = format!("a second site is named `{name}`");
                    return Err(text.mistake(message, "Give each site a name of its own."));
                }
                names.push(name.clone());
                Ok(name)
            });
            let address = Address::read(table);
            let about = "the host to ask in place of https://api.atlassian.com";
            let api_url = table.text("api_url", about, Text::origin);
            let about = "the host that tokens are from, in place of https://auth.atlassian.com";
            let auth_url = table.text("auth_url", about, Text::origin);
            let auth = table.table("auth", "how to sign in", |auth| auth.kind("auth", &AUTH));
            table.require("auth", AUTH_EXAMPLE);
            let about = "the time between two passes, in place of that of all sites";
            let interval = table.text("interval", about, Text::duration);
            Some(Self {
                name: name?,
                address: address?,
                api_url,
                auth_url,
                auth: auth?,
                interval,
            })
        })
    }
}

impl Address {
    fn read(table: &mut Table<'_>) -> Option<Self> {
        let url = table.text("url", "the site's address", Text::origin);
        let id = table.text(
            "cloud_id",
            "the site's cloud id, in place of `url`",
            Text::cloud_id,
        );
        let what = match (table.has("url"), table.has("cloud_id")) {
            (true, false) => return url.map(Self::Url),
            (false, true) => return id.map(Self::CloudId),
            (true, true) => "a site has both `url` and `cloud_id`",
            (false, false) => "a site has neither `url` nor `cloud_id`",
        };
        table.mistake(
            what,
            "Give it exactly one: url = \"https://acme.atlassian.net\", or cloud_id = \"…\", which \
             is found at that address under /_edge/tenant_info.",
        )
    }
}

const AUTH_EXAMPLE: &str = "Say how to sign in, such as auth = { kind = \"api-token\", email = \
                            \"…\", token_file = \"…\" }.";

const AUTH: [(&str, Read<AuthConfig>); 3] = [
    ("api-token", AuthConfig::read_api_token),
    ("oauth", AuthConfig::read_oauth),
    ("service-account", AuthConfig::read_service_account),
];

impl AuthConfig {
    fn read_api_token(table: &mut Table<'_>) -> Option<Self> {
        let about = "the account that the token belongs to";
        let email = table.required("email", about, Text::filled);
        let about = "the file that holds the API token";
        let file = table.required("token_file", about, Text::path);
        let unscoped = table.flag("unscoped", "whether the token has no scopes");
        Some(Self::ApiToken {
            email: email?,
            token: Secret::File(file?),
            unscoped,
        })
    }

    fn read_oauth(table: &mut Table<'_>) -> Option<Self> {
        let about = "the file that confluence-audit-oauth-setup wrote";
        let file = table.required("token_file", about, Text::path);
        Some(Self::Oauth { token_file: file? })
    }

    fn read_service_account(table: &mut Table<'_>) -> Option<Self> {
        let about = "the service account's client id";
        let client_id = table.required("client_id", about, Text::filled);
        let about = "the file that holds the client's secret";
        let file = table.required("client_secret_file", about, Text::path);
        Some(Self::ServiceAccount {
            client_id: client_id?,
            client_secret: Secret::File(file?),
        })
    }
}
