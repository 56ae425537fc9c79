//! An index or a data stream of Elasticsearch or `OpenSearch`.

use crate::Result;
use crate::config::table::{Section, Text};
use crate::output::service::config::{self as service, HeaderConfig, PeerConfig, secret_file};

/// An index or a data stream of Elasticsearch or `OpenSearch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticsearchConfig {
    /// The cluster.
    pub peer: PeerConfig,
    /// The index, its alias, or the data stream.
    pub index: String,
    /// How requests are signed, if they are.
    pub authorization: Option<HeaderConfig>,
}

impl ElasticsearchConfig {
    /// What people call the place.
    pub fn shown(&self) -> String {
        format!("{}/{}", self.peer.shown(), self.index)
    }
}

pub(in crate::output) fn read(section: &mut Section<'_>) -> Result<ElasticsearchConfig> {
    let peer = service::read(section, "the cluster, as https://es.example:9200")?;
    let index = section.required("index", "the data stream or index")?;
    Ok(ElasticsearchConfig {
        peer,
        index: read_index(&index)?,
        authorization: read_authorization(section)?,
    })
}

fn read_index(text: &Text<'_>) -> Result<String> {
    let index = text.non_empty()?;
    let fits = |c: char| {
        !c.is_uppercase() && !c.is_control() && !c.is_whitespace() && !r#"\/*?"<>|,#:"#.contains(c)
    };
    if index.starts_with(['-', '_', '+', '.']) || index.len() > 255 || !index.chars().all(fits) {
        return Err(text.mistake(
            &format!("`{}` cannot be the name of an index", index.escape_debug()),
            "Use small letters, digits, `-`, `_` and `.`, and begin with a letter, as in \
             \"logs-atlassian_confluence.audit-default\".",
        ));
    }
    Ok(index.to_owned())
}

fn read_authorization(section: &mut Section<'_>) -> Result<Option<HeaderConfig>> {
    let api_key = secret_file(section, "api_key_file")?;
    let username = section.text("username")?;
    let password = secret_file(section, "password_file")?;
    match (api_key, username, password) {
        (None, None, None) => Ok(None),
        (Some(path), None, None) => Ok(Some(HeaderConfig::File {
            prefix: "ApiKey ".to_owned(),
            path,
        })),
        (None, Some(username), Some(password_file)) => Ok(Some(HeaderConfig::Basic {
            username: username.non_empty()?.to_owned(),
            password_file,
        })),
        _ => Err(section.mistake(
            "the credentials of this output are incomplete or twofold",
            "Give either `api_key_file`, or `username` with `password_file`, or neither.",
        )),
    }
}
