//! The configuration: which sites are read, how often, and where their records go.
//!
//! This file turns the text of `config.toml` into values that can be relied on; flags and the
//! environment are laid over them by the binaries, which is why every field is public. A mistake is
//! reported with its line, because the person who made it has the file open.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use confluence_audit_core::{CloudId, Origin, RetryPolicy};
use secrecy::SecretString;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::{Error, ErrorKind, Reread, Result, When, parse_duration, parse_size};

/// Everything that the configuration file can say.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What is kept between runs.
    pub state: State,
    /// How sites are read.
    pub collect: Collect,
    /// The sites. There may be none: one can be named by flags alone.
    pub sites: Vec<SiteConfig>,
    /// The outputs. There may be none: then the program has a default.
    pub outputs: Vec<OutputConfig>,
}

/// What is kept between runs, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The directory, where the file names one. A relative path is relative to the working
    /// directory, as in a flag.
    pub dir: Option<PathBuf>,
    /// How many bytes of records may wait for outputs before collecting waits too.
    pub spool_limit: u64,
}

impl Default for State {
    /// 1 GiB: a day of the largest sites, and a month of most.
    fn default() -> Self {
        Self {
            dir: None,
            spool_limit: 1 << 30,
        }
    }
}

/// How sites are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collect {
    /// The time between two passes over a site.
    pub interval: Duration,
    /// Where the first pass begins.
    pub start: Start,
    /// How many windows of the log are read at the same time.
    pub jobs: NonZeroUsize,
    /// What is read again, and how often.
    pub reread: Vec<Reread>,
    /// How failed requests are made again.
    pub retry: RetryPolicy,
}

impl Default for Collect {
    /// Every ten minutes, from everything that the site retains.
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(10),
            start: Start::Retained,
            jobs: NonZeroUsize::MIN,
            reread: Reread::default_schedule(),
            retry: RetryPolicy::default(),
        }
    }
}

/// Where the first pass over a site begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that the site still has.
    Retained,
    /// At this time.
    At(When),
}

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
}

/// Which site is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `https://acme.atlassian.net`; its cloud id has to be looked up.
    Url(Origin),
    /// The cloud id itself.
    CloudId(CloudId),
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
    /// In this file, or the credential of this bare name, or `-`: see [`secret`](crate::secret).
    File(PathBuf),
    /// Here: from the environment.
    Given(SecretString),
}

/// A file that records are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputConfig {
    /// Where it is; `{site}` stands for the site's name.
    pub path: String,
    /// How a record is written.
    pub format: FormatName,
}

impl OutputConfig {
    /// The file for the site of this name.
    pub fn path_for(&self, site: &str) -> PathBuf {
        PathBuf::from(self.path.replace(SITE, site))
    }

    /// Whether each site has a file of its own.
    pub fn is_per_site(&self) -> bool {
        self.path.contains(SITE)
    }
}

const SITE: &str = "{site}";

/// More at a time would only run into the service's rate limit.
pub const MOST_JOBS: u8 = 16;

/// The name of a format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatName {
    /// The record as the site wrote it, compact, one a line.
    #[default]
    Raw,
}

impl FormatName {
    /// Every format there is.
    pub const ALL: &[Self] = &[Self::Raw];

    /// The name as it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
        }
    }
}

impl fmt::Display for FormatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FormatName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|format| format.as_str() == name);
        found.copied().ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|format| format.as_str()).collect();
            Error::new(
                ErrorKind::Config,
                format!("there is no format `{}`", name.escape_debug()),
                format!("The formats are: {}.", all.join(", ")),
            )
        })
    }
}

impl Config {
    /// Reads the configuration file at `path`.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when it cannot be read or holds a mistake; the message names
    /// file and line.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::new(
                ErrorKind::Config,
                format!("the configuration {} cannot be read", path.display()),
                "Write one with `confluence-audit generate config`, or name another with --config.",
            )
            .with_source(error)
        })?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// Reads a configuration from text; `origin` names it in errors.
    ///
    /// ```
    /// use confluence_audit_collector::Config;
    ///
    /// let error = Config::from_toml("[collect]\nintervall = \"10m\"", "config.toml").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "config.toml line 2: unknown key `intervall` in [collect]; did you mean `interval`?"
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) as [`load`](Self::load).
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let source = Source { text, origin };
        let document = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            source.mistake(
                at,
                error.message(),
                "See https://toml.io for how TOML is written.",
            )
        })?;
        let mut root = Section::new(source, "", document.get_ref(), 0);
        let config = Self {
            state: match root.table("state")? {
                Some(section) => read_state(section)?,
                None => State::default(),
            },
            collect: match root.table("collect")? {
                Some(section) => read_collect(section)?,
                None => Collect::default(),
            },
            sites: read_sites(root.tables("site")?)?,
            outputs: read_outputs(root.tables("output")?)?,
        };
        root.finish()?;
        Ok(config)
    }

    /// What is allowed and yet hardly meant.
    pub fn warnings(&self) -> Vec<String> {
        let mixed = |output: &&OutputConfig| {
            self.sites.len() > 1 && output.format == FormatName::Raw && !output.is_per_site()
        };
        let warning = |output: &OutputConfig| {
            format!(
                "{} gets the raw records of {} sites, and a raw record does not say which site it \
                 is from; put {SITE} into the path",
                output.path,
                self.sites.len()
            )
        };
        self.outputs.iter().filter(mixed).map(warning).collect()
    }
}

fn read_state(mut section: Section<'_>) -> Result<State> {
    let mut state = State::default();
    if let Some(url) = section.text("url")? {
        return Err(url.mistake(
            "a state in a database ([state] url) is not supported in this version",
            "Use `dir`, a directory on a local disk.",
        ));
    }
    state.dir = section.text("dir")?.map(Text::into_path).transpose()?;
    if let Some(limit) = section.text("spool_limit")? {
        state.spool_limit = parse_size(limit.value).ok_or_else(|| {
            let shown = limit.value.escape_debug();
            limit.mistake(
                &format!("`spool_limit` is `{shown}`, which is no size"),
                "Write a whole number with its unit: \"1GiB\", \"500MB\" or \"64KiB\".",
            )
        })?;
    }
    section.finish()?;
    Ok(state)
}

fn read_collect(mut section: Section<'_>) -> Result<Collect> {
    let mut collect = Collect::default();
    if let Some(interval) = section.text("interval")? {
        collect.interval = parse_duration(interval.value)
            .map_err(|error| interval.mistake(&error.to_string(), "Write it as \"10m\"."))?;
    }
    if let Some(start) = section.text("start")?
        && start.value != "retained"
    {
        let when = When::parse(start.value).map_err(|error| {
            start.mistake(
                &error.to_string(),
                "Or write \"retained\", for everything that the site still has.",
            )
        })?;
        collect.start = Start::At(when);
    }
    if let Some((jobs, at)) = section.number("jobs")? {
        let few = u8::try_from(jobs).ok().filter(|jobs| *jobs <= MOST_JOBS);
        collect.jobs = few
            .and_then(|jobs| NonZeroUsize::new(jobs.into()))
            .ok_or_else(|| {
                section.source.mistake(
                    at,
                    &format!("`jobs` is {jobs}"),
                    &format!("Write a number from 1 to {MOST_JOBS}."),
                )
            })?;
    }
    if section.has("reread") {
        collect.reread = section
            .tables("reread")?
            .into_iter()
            .map(read_reread)
            .collect::<Result<_>>()?;
    }
    for (key, place) in [
        ("retry_base", &mut collect.retry.base),
        ("retry_budget", &mut collect.retry.budget),
    ] {
        if let Some(wait) = section.text(key)? {
            *place = parse_duration(wait.value)
                .map_err(|error| wait.mistake(&error.to_string(), "Write it as \"2s\"."))?;
        }
    }
    section.finish()?;
    Ok(collect)
}

fn read_reread(mut section: Section<'_>) -> Result<Reread> {
    let mut duration = |key, needed| -> Result<Option<Duration>> {
        let text = if needed {
            Some(section.required(key, "how far back, such as \"24h\"")?)
        } else {
            section.text(key)?
        };
        text.map(|text| {
            parse_duration(text.value)
                .map_err(|error| text.mistake(&error.to_string(), "Write it as \"24h\"."))
        })
        .transpose()
    };
    let span = duration("span", true)?.unwrap_or_default();
    let every = duration("every", false)?.unwrap_or_default();
    section.finish()?;
    Ok(Reread::new(span, every))
}

fn read_sites(sections: Vec<Section<'_>>) -> Result<Vec<SiteConfig>> {
    let mut sites: Vec<SiteConfig> = Vec::new();
    for mut section in sections {
        let name = section.required("name", "a name of your choice for the site")?;
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.value.is_empty() || name.value.starts_with('.') || !name.value.chars().all(safe) {
            return Err(name.mistake(
                &format!("`{}` cannot be a site's name", name.value.escape_debug()),
                "Use letters, digits, `.`, `_` and `-`, and begin with none of the dots: the name \
                 becomes a part of file names.",
            ));
        }
        if sites.iter().any(|site| site.name == name.value) {
            return Err(name.mistake(
                &format!("a second site is named `{}`", name.value),
                "Give each site a name of its own.",
            ));
        }
        let address = match (section.text("url")?, section.text("cloud_id")?) {
            (Some(url), None) => Address::Url(url.to_origin()?),
            (None, Some(id)) => Address::CloudId(id.to_cloud_id()?),
            (both, _) => {
                return Err(section.mistake(
                    if both.is_some() {
                        "a site has both `url` and `cloud_id`"
                    } else {
                        "a site has neither `url` nor `cloud_id`"
                    },
                    "Give it exactly one: url = \"https://acme.atlassian.net\", or cloud_id = \
                     \"…\", which is found at that address under /_edge/tenant_info.",
                ));
            }
        };
        let api_url = section.text("api_url")?;
        let auth_url = section.text("auth_url")?;
        let Some(auth) = section.table("auth")? else {
            return Err(section.mistake(
                "a site has no `auth`",
                "Say how to sign in, such as auth = { kind = \"api-token\", email = \"…\", \
                 token_file = \"…\" }.",
            ));
        };
        sites.push(SiteConfig {
            name: name.value.to_owned(),
            address,
            api_url: api_url.map(|url| url.to_origin()).transpose()?,
            auth_url: auth_url.map(|url| url.to_origin()).transpose()?,
            auth: read_auth(auth)?,
        });
        section.finish()?;
    }
    Ok(sites)
}

fn read_auth(mut section: Section<'_>) -> Result<AuthConfig> {
    const KINDS: &str = "The kinds are: api-token, oauth, service-account.";
    let kind = section.required("kind", KINDS)?;
    let auth = match kind.value {
        "api-token" => AuthConfig::ApiToken {
            email: section
                .required("email", "the account that the token belongs to")?
                .non_empty()?
                .to_owned(),
            token: section
                .required("token_file", "the file that holds the API token")?
                .into_path()
                .map(Secret::File)?,
        },
        "oauth" => AuthConfig::Oauth {
            token_file: section
                .required(
                    "token_file",
                    "the file that confluence-audit-oauth-setup wrote",
                )?
                .into_path()?,
        },
        "service-account" => AuthConfig::ServiceAccount {
            client_id: section
                .required("client_id", "the service account's client id")?
                .non_empty()?
                .to_owned(),
            client_secret: section
                .required(
                    "client_secret_file",
                    "the file that holds the client's secret",
                )?
                .into_path()
                .map(Secret::File)?,
        },
        other => {
            let message = format!("there is no kind of auth `{}`", other.escape_debug());
            return Err(kind.mistake(&message, KINDS));
        }
    };
    section.finish()?;
    Ok(auth)
}

fn read_outputs(sections: Vec<Section<'_>>) -> Result<Vec<OutputConfig>> {
    let mut outputs: Vec<OutputConfig> = Vec::new();
    for mut section in sections {
        let kind = section.required("kind", "there is one kind: \"file\"")?;
        if kind.value != "file" {
            return Err(kind.mistake(
                &format!(
                    "there is no kind of output `{}` in this version",
                    kind.value.escape_debug()
                ),
                "The kinds are: file. Let your log agent take the records from there.",
            ));
        }
        let path = section.required("path", "the file to append to")?;
        let fixed = path.non_empty()?.replace(SITE, "");
        if fixed.contains(['{', '}']) {
            return Err(path.mistake(
                &format!(
                    "`{}` has braces that are not {SITE}",
                    path.value.escape_debug()
                ),
                "The one thing that can be filled in is {site}, the site's name.",
            ));
        }
        if outputs.iter().any(|output| output.path == path.value) {
            return Err(path.mistake(
                &format!("a second output goes to {}", path.value.escape_debug()),
                "Give each output a file of its own: two writers would disturb each other.",
            ));
        }
        let format = match section.text("format")? {
            Some(name) => name
                .value
                .parse()
                .map_err(|error: Error| name.mistake(&error.to_string(), error.remedy()))?,
            None => FormatName::default(),
        };
        outputs.push(OutputConfig {
            path: path.value.to_owned(),
            format,
        });
        section.finish()?;
    }
    Ok(outputs)
}

/// The text of a configuration and what to call it.
#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    origin: &'a str,
}

impl Source<'_> {
    /// An error about what stands at byte `at`.
    fn mistake(self, at: usize, message: &str, remedy: &str) -> Error {
        let before = self.text.as_bytes().iter().take(at);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        Error::new(
            ErrorKind::Config,
            format!("{} line {line}: {message}", self.origin),
            remedy.to_owned(),
        )
    }
}

/// A table that is being read. It remembers the keys that it was asked for: what is left over at
/// the [end](Self::finish) is unknown, and they are what it may have been meant to be.
struct Section<'a> {
    source: Source<'a>,
    name: &'static str,
    table: &'a DeTable<'a>,
    at: usize,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    fn new(source: Source<'a>, name: &'static str, table: &'a DeTable<'a>, at: usize) -> Self {
        Self {
            source,
            name,
            table,
            at,
            known: Vec::new(),
        }
    }

    fn mistake(&self, message: &str, remedy: &str) -> Error {
        self.source.mistake(self.at, message, remedy)
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.get(key)
    }

    fn text(&mut self, key: &'static str) -> Result<Option<Text<'a>>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let at = value.span().start;
        match value.get_ref().as_str() {
            Some(text) => Ok(Some(Text {
                source: self.source,
                value: text,
                key,
                at,
            })),
            None => Err(self.source.mistake(
                at,
                &format!("`{key}` is not a text"),
                &format!("Put it into quotes: {key} = \"…\"."),
            )),
        }
    }

    /// A number and where it stands.
    fn number(&mut self, key: &'static str) -> Result<Option<(i64, usize)>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let at = value.span().start;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        let number = number.ok_or_else(|| {
            let message = format!("`{key}` is not a whole number");
            self.source
                .mistake(at, &message, &format!("Write it as {key} = 4."))
        })?;
        Ok(Some((number, at)))
    }

    fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    fn required(&mut self, key: &'static str, what: &str) -> Result<Text<'a>> {
        if let Some(text) = self.text(key)? {
            return Ok(text);
        }
        // Hardly anyone forgets a key, but many mistype one.
        if let Some(mistyped) = self
            .unknown()
            .find(|found| nearness(found.get_ref(), key) > 0.6)
        {
            return Err(self.unknown_key(mistyped));
        }
        Err(self.mistake(
            &format!("`{key}` is missing in {}", self.place()),
            &format!("Add {key} = \"…\": {what}."),
        ))
    }

    fn table(&mut self, key: &'static str) -> Result<Option<Section<'a>>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        self.section(key, value).map(Some)
    }

    fn tables(&mut self, key: &'static str) -> Result<Vec<Section<'a>>> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let Some(array) = value.get_ref().as_array() else {
            return Err(self.source.mistake(
                value.span().start,
                &format!("`{key}` is not a list"),
                &format!("Write [[{key}]], with two brackets, above each one."),
            ));
        };
        array.iter().map(|value| self.section(key, value)).collect()
    }

    fn section(&self, key: &'static str, value: &'a Spanned<DeValue<'a>>) -> Result<Section<'a>> {
        let at = value.span().start;
        match value.get_ref().as_table() {
            Some(table) => Ok(Section::new(self.source, key, table, at)),
            None => Err(self.source.mistake(
                at,
                &format!("`{key}` is not a table"),
                &format!("Write its keys below [{key}], or as {key} = {{ … }}."),
            )),
        }
    }

    /// Refuses what nobody asked for, the first such key in the file.
    fn finish(self) -> Result<()> {
        match self.unknown().min_by_key(|key| key.span().start) {
            Some(key) => Err(self.unknown_key(key)),
            None => Ok(()),
        }
    }

    fn unknown(&self) -> impl Iterator<Item = &'a Spanned<DeString<'a>>> {
        self.table.keys().filter(|key| {
            let key: &str = key.get_ref();
            !self.known.contains(&key)
        })
    }

    fn unknown_key(&self, key: &Spanned<DeString<'_>>) -> Error {
        let near = |known: &str| nearness(known, key.get_ref());
        let nearest = self.known.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
        let hint = match nearest {
            Some(nearest) => format!("; did you mean `{nearest}`?"),
            None => String::new(),
        };
        let shown = key.get_ref().escape_debug();
        self.source.mistake(
            key.span().start,
            &format!("unknown key `{shown}` in {}{hint}", self.place()),
            &format!("The keys here are: {}.", self.known.join(", ")),
        )
    }

    fn place(&self) -> String {
        match self.name {
            "" => "the file".to_owned(),
            "site" | "output" => format!("[[{}]]", self.name),
            name => format!("[{name}]"),
        }
    }
}

/// How alike two keys are, from 0 to 1.
fn nearness(a: &str, b: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(a, b)
}

/// A text value and where it stands.
struct Text<'a> {
    source: Source<'a>,
    key: &'static str,
    value: &'a str,
    at: usize,
}

impl<'a> Text<'a> {
    fn mistake(&self, message: &str, remedy: &str) -> Error {
        self.source.mistake(self.at, message, remedy)
    }

    fn non_empty(&self) -> Result<&'a str> {
        if self.value.is_empty() {
            let message = format!("`{}` is empty", self.key);
            return Err(self.mistake(&message, "Fill it in, or leave the line out."));
        }
        Ok(self.value)
    }

    fn into_path(self) -> Result<PathBuf> {
        self.non_empty().map(PathBuf::from)
    }

    /// An address that credentials may be sent to.
    fn to_origin(&self) -> Result<Origin> {
        Origin::parse(self.value).map_err(|error| {
            self.mistake(
                &format!("`{}`: {error}", self.key),
                "Write it as https://acme.atlassian.net; http is for loopback addresses alone, \
                 since credentials go there.",
            )
        })
    }

    fn to_cloud_id(&self) -> Result<CloudId> {
        CloudId::new(self.value).map_err(|error| {
            let message = format!("`{}`: {error}", self.key);
            self.mistake(
                &message,
                "It is found at the site under /_edge/tenant_info.",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(refusal(text).to_string(), format!("config.toml {message}"));
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

            [[site]]
            name = "acme"
            url = "https://acme.atlassian.net"
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
        assert_eq!(config.sites.len(), 2);
        let AuthConfig::ApiToken {
            email,
            token: Secret::File(file),
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
        assert_eq!(
            config.outputs[0].path_for("acme"),
            Path::new("/var/log/acme.json")
        );
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
    fn what_does_not_exist_yet_says_what_does() {
        let error = refusal("[[output]]\naddress = \"x\"\nkind = \"syslog\"");
        assert!(
            error
                .to_string()
                .contains("line 3: there is no kind of output `syslog`")
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
        refused(&twice, "line 6: a second output goes to all.json");
        let error = refusal(&output.replace("all", "{sitename}"));
        assert!(error.to_string().contains("braces"), "{error}");
    }

    #[test]
    fn a_missing_file_says_how_to_write_one() {
        let error = Config::load(Path::new("/nonexistent/config.toml")).expect_err("missing");
        assert!(error.remedy().contains("generate config"));
    }
}
