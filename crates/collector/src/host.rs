//! Host requirements of a configuration: who collects, what is read and written, and which
//! credentials have to be handed over.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{AuthConfig, FileConfig, Secret, SiteConfig};
use crate::{Config, Error, ErrorKind, Result};

/// Who collects, unless another is named.
pub const USER: &str = "confluence-audit";
/// Where packages keep the programs.
const PROGRAMS: &str = "/usr/bin";
/// Where the configuration is usually.
pub const CONFIG: &str = "/etc/confluence-audit/config.toml";
/// What the packaged units open for writing.
const STATE: &str = "/var/lib/confluence-audit";
const LOGS: &str = "/var/log/confluence-audit";
const OUTPUT: &str = "/var/log/confluence-audit/flattened.json";

/// The host, as far as units and rules depend on it.
#[derive(Debug)]
pub struct Host {
    /// The user that collects.
    pub user: String,
    /// The group that may read the records.
    pub group: String,
    /// The folder of the programs.
    pub programs: PathBuf,
    /// The configuration, where it is not at its usual place.
    pub config_file: Option<PathBuf>,
    /// The time between two runs.
    pub interval: Duration,
    /// The files that records are appended to.
    pub outputs: Vec<PathBuf>,
    /// Those of them that the collector does not rotate itself.
    pub rotated: Vec<PathBuf>,
    /// Groups, beside its own, that it gives files to.
    pub groups: BTreeSet<String>,
    /// Folders that are written to, beyond those that the packaged units open.
    pub written: BTreeSet<PathBuf>,
    /// Secrets with an absolute path: they are read as they are.
    pub read: BTreeSet<PathBuf>,
    /// The secrets that systemd hands over: the names in the configuration, and their files.
    pub credentials: Vec<(String, PathBuf)>,
}

impl Host {
    /// What the configuration from `file` asks of a host with the packaged user and programs.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for what a unit cannot do: relative paths, secrets on standard
    /// input, names and paths that would break a line.
    pub fn of(config: &Config, state: Option<&Path>, file: &Path) -> Result<Self> {
        let mut host = Self {
            user: USER.to_owned(),
            group: USER.to_owned(),
            programs: PathBuf::from(PROGRAMS),
            config_file: (file != Path::new(CONFIG)).then(|| file.to_owned()),
            interval: config.collect.interval,
            outputs: Vec::new(),
            rotated: Vec::new(),
            groups: BTreeSet::new(),
            written: BTreeSet::new(),
            read: BTreeSet::new(),
            credentials: Vec::new(),
        };
        if let Some(dir) = state {
            host.writes(absolute(dir, "the state")?);
        }
        let beside = file.parent().unwrap_or(Path::new("/"));
        for output in &config.outputs {
            let files = output.kind.files();
            for secret in files.secrets {
                host.uses_secret(secret, beside)?;
            }
            for path in files.read {
                host.read.insert(absolute(path, "what an output reads")?);
            }
            for path in files.written {
                if let Some(folder) = absolute(path, "what an output writes")?.parent() {
                    host.writes(folder.to_owned());
                }
            }
            let Some(file) = output.kind_as::<FileConfig>() else {
                continue;
            };
            let rotates = file.rotation.size.is_some() || file.rotation.age.is_some();
            if let Some(group) = &file.ownership.group {
                let group = account(group).map_err(|why| {
                    let message = format!("the group `{}`: {why}", group.escape_debug());
                    Error::new(ErrorKind::Config, message, "Name a group of this host.")
                })?;
                host.groups.insert(group);
            }
            let sites: Vec<&str> = if output.is_per_site() {
                config.sites.iter().map(|site| site.name.as_str()).collect()
            } else {
                vec![""]
            };
            for site in sites {
                let path = absolute(&file.path_for(site), "an output")?;
                if let Some(folder) = path.parent() {
                    host.writes(folder.to_owned());
                }
                if !rotates {
                    host.rotated.push(path.clone());
                }
                host.outputs.push(path);
            }
        }
        if host.outputs.is_empty() {
            host.outputs.push(PathBuf::from(OUTPUT));
            host.rotated.push(PathBuf::from(OUTPUT));
        }
        for site in &config.sites {
            host.signs_in(site, beside)?;
        }
        Ok(host)
    }

    fn writes(&mut self, folder: PathBuf) {
        if ![STATE, LOGS].iter().any(|open| folder.starts_with(open)) {
            self.written.insert(folder);
        }
    }

    fn signs_in(&mut self, site: &SiteConfig, beside: &Path) -> Result<()> {
        let secret = match &site.auth {
            AuthConfig::ApiToken { token, .. } => token,
            AuthConfig::ServiceAccount { client_secret, .. } => client_secret,
            // Each refresh puts a new file in its place.
            AuthConfig::Oauth { token_file } => {
                let file = absolute(token_file, "an OAuth token file")?;
                if let Some(folder) = file.parent() {
                    self.writes(folder.to_owned());
                }
                return Ok(());
            }
        };
        let Secret::File(name) = secret else {
            return Ok(());
        };
        if name == Path::new("-") {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "site {}: a unit has no standard input to read a secret from",
                    site.name
                ),
                "Name a file in the configuration.",
            ));
        }
        self.uses_secret(name, beside)
    }

    /// A secret with a folder is read as it is; one without is handed over by systemd.
    fn uses_secret(&mut self, name: &Path, beside: &Path) -> Result<()> {
        if name.components().count() > 1 {
            self.read.insert(absolute(name, "a secret")?);
            return Ok(());
        }
        let id = checked(name)?.to_owned();
        // Several can share a credential.
        if !self.credentials.iter().any(|(known, _)| *known == id) {
            let file = beside.join(name);
            checked(&file)?;
            self.credentials.push((id, file));
        }
        Ok(())
    }
}

/// The name of a user or a group, as it can stand in a line.
///
/// # Errors
/// Why it is none.
pub fn account(name: &str) -> std::result::Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    if name.is_empty() || !name.chars().all(plain) {
        return Err("it is not a name such as `getent passwd` shows");
    }
    Ok(name.to_owned())
}

/// A unit has no working directory that a relative path could mean.
fn absolute(path: &Path, what: &str) -> Result<PathBuf> {
    checked(path)?;
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    Err(Error::new(
        ErrorKind::Config,
        format!(
            "{what} is at {}, which is relative to a working directory",
            path.display()
        ),
        "Give it an absolute path in the configuration: a unit has no such directory.",
    ))
}

/// A path as it can stand in a file of settings.
///
/// # Errors
/// [`Config`](ErrorKind::Config) when it has control characters, or is no UTF-8.
pub fn checked(path: &Path) -> Result<&str> {
    path.to_str()
        .filter(|text| !text.chars().any(char::is_control))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!(
                    "the path {} cannot stand in a file of settings",
                    path.display()
                ),
                "Choose one without control characters, in UTF-8.",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Host> {
        let config = Config::from_toml(text, "x").expect("it can be read");
        Host::of(&config, config.state.dir.as_deref(), Path::new(CONFIG))
    }

    const SITES: &str = r#"
[state]
dir = "/srv/state"
[[site]]
name = "a"
url = "https://a.example"
auth = { kind = "api-token", email = "x@a.example", token_file = "a.token" }
[[site]]
name = "b"
url = "https://b.example"
auth = { kind = "oauth", token_file = "/srv/oauth/b.json" }
[[site]]
name = "c"
url = "https://c.example"
auth = { kind = "service-account", client_id = "c", client_secret_file = "/etc/c.secret" }
[[output]]
kind = "file"
path = "/srv/out/{site}.json"
[[output]]
kind = "file"
path = "/var/log/confluence-audit/all.json"
[[output]]
kind = "elasticsearch"
url = "https://es.example"
index = "x"
api_key_file = "es.key"
ca_file = "/root/ca.pem"
dead_letter = "/srv/refused/es.json"
[[output]]
kind = "http"
url = "https://http.example"
headers = { Authorization = { file = "http.token" }, X-Y = "z" }
"#;

    #[test]
    fn all_that_a_run_reads_and_writes_is_known() {
        let host = of(SITES).expect("it");
        let shown = |paths: &BTreeSet<PathBuf>| -> Vec<String> {
            paths
                .iter()
                .map(|path| path.display().to_string())
                .collect()
        };
        assert_eq!(
            shown(&host.written),
            ["/srv/oauth", "/srv/out", "/srv/refused", "/srv/state"]
        );
        assert_eq!(shown(&host.read), ["/etc/c.secret", "/root/ca.pem"]);
        let handed: Vec<String> = host
            .credentials
            .iter()
            .map(|(name, file)| format!("{name}:{}", file.display()))
            .collect();
        let beside = "/etc/confluence-audit";
        assert_eq!(
            handed,
            ["es.key", "http.token", "a.token"].map(|name| format!("{name}:{beside}/{name}"))
        );
        assert_eq!(host.outputs.len(), 4);
        assert_eq!(host.outputs[2], Path::new("/srv/out/c.json"));
    }

    #[test]
    fn a_relative_path_is_refused_since_a_unit_has_no_working_directory() {
        let error = of("[[output]]\nkind = \"file\"\npath = \"flattened.json\"").expect_err("it");
        assert_eq!(error.exit_code(), 78);
    }

    #[test]
    fn a_path_that_would_break_a_line_is_refused() {
        assert!(of("[[output]]\nkind = \"file\"\npath = \"/srv/a\\nUser=root\"").is_err());
    }

    #[test]
    fn a_secret_on_standard_input_is_refused() {
        assert!(of(&SITES.replace("a.token", "-")).is_err());
    }
}
