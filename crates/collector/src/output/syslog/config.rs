//! A syslog receiver.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use crate::Result;
use crate::config::table::Section;
use crate::config::{parse_duration, parse_size};
use crate::output::kinds::OutputFiles;
use crate::output::service::config::path;

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

/// The number that is set aside for examples (RFC 5612), in place of one's own.
const EXAMPLE_ENTERPRISE: u32 = 32_473;

/// A syslog receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogConfig {
    /// Where it is.
    pub address: SyslogAddress,
    /// Which part of a system the messages are from: a number, 0 to 23.
    pub facility: u8,
    /// How severe they are: a number, 0 to 7.
    pub severity: u8,
    /// What the header calls this program.
    pub app_name: String,
    /// Whose structured data it is, as IANA numbers organisations.
    pub enterprise_id: u32,
    /// How messages are told apart on a stream.
    pub framing: SyslogFraming,
    /// When messages on a stream are confirmed.
    pub confirm: Confirm,
    /// A message beyond ASCII begins with a byte order mark.
    pub bom: bool,
    /// The largest message that the receiver takes.
    pub max_size: Option<usize>,
    /// How long it may do nothing.
    pub timeout: Duration,
    /// The file for what is too large for it; without it, one in the state directory.
    pub dead_letter: Option<PathBuf>,
    /// Whose certificates are trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate that shows who we are, and its key.
    pub client: Option<ClientCertificate>,
}

impl SyslogConfig {
    /// The files that it needs. The key is no credential by a bare name: it is read as a path.
    pub(in crate::output) fn files(&self) -> OutputFiles<'_> {
        let client = self.client.iter();
        let client = client.flat_map(|client| [&client.cert_file, &client.key_file]);
        OutputFiles {
            read: self
                .ca_file
                .iter()
                .chain(client)
                .map(PathBuf::as_path)
                .collect(),
            written: self.dead_letter.iter().map(PathBuf::as_path).collect(),
            ..OutputFiles::default()
        }
    }
}

/// Where a syslog receiver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A socket on this host that takes datagrams.
    Unix(PathBuf),
    /// UDP.
    Udp(Host, u16),
    /// TCP.
    Tcp(Host, u16),
    /// TLS over TCP.
    Tls(Host, u16),
}

/// How messages are told apart on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogFraming {
    /// Each has its length before it.
    OctetCounted,
    /// Each has a newline behind it.
    Newline,
}

/// When messages on a stream are confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// When the receiver has read up to the end and closed the connection in its turn.
    Closed,
    /// When the kernel has taken them.
    Sent,
}

/// Files with a certificate and its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and the authority.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
}

/// As it is configured, with its port.
impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(host, port) => write!(f, "udp://{host}:{port}"),
            Self::Tcp(host, port) => write!(f, "tcp://{host}:{port}"),
            Self::Tls(host, port) => write!(f, "tls://{host}:{port}"),
        }
    }
}

impl SyslogAddress {
    fn is_stream(&self) -> bool {
        matches!(self, Self::Tcp(..) | Self::Tls(..))
    }

    /// `None` when it is none.
    fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return path.is_absolute().then_some(Self::Unix(path));
        }
        let url = Url::parse(text).ok()?;
        let bare = matches!(url.path(), "" | "/")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let host = url.host().filter(|_| bare)?.to_owned();
        if host == Host::Domain(String::new()) {
            return None;
        }
        Some(match url.scheme() {
            "udp" => Self::Udp(host, url.port().unwrap_or(514)),
            "tcp" => Self::Tcp(host, url.port().unwrap_or(601)),
            "tls" => Self::Tls(host, url.port().unwrap_or(6514)),
            _ => return None,
        })
    }
}

pub(in crate::output) fn read(section: &mut Section<'_>) -> Result<SyslogConfig> {
    const ADDRESS: &str = "Write \"unix:/dev/log\", \"udp://HOST:514\", \"tcp://HOST:601\" or \
                           \"tls://HOST:6514\".";
    let address = match section.text("address")? {
        None => SyslogAddress::Unix("/dev/log".into()),
        Some(text) => SyslogAddress::parse(text.value).ok_or_else(|| {
            let shown = text.value.escape_debug();
            text.mistake(
                &format!("`{shown}` is no address of a syslog receiver"),
                ADDRESS,
            )
        })?,
    };
    for key in ["framing", "confirm"] {
        if section.has(key) && !address.is_stream() {
            return Err(section.mistake(
                &format!("`{key}` says something about a stream, and {address} is none"),
                "Leave it out, or use tcp:// or tls://.",
            ));
        }
    }
    for key in ["ca_file", "client_cert_file", "client_key_file"] {
        if section.has(key) && !matches!(address, SyslogAddress::Tls(..)) {
            return Err(section.mistake(
                &format!("`{key}` says something about TLS, and {address} has none"),
                "Leave it out, or use tls://.",
            ));
        }
    }
    Ok(SyslogConfig {
        address,
        facility: one_of(section, "facility", &FACILITIES, "local0")?,
        severity: one_of(section, "severity", &SEVERITIES, "info")?,
        app_name: read_app_name(section)?,
        enterprise_id: read_enterprise_id(section)?,
        framing: match one_of(
            section,
            "framing",
            &["octet-counted", "newline"],
            "octet-counted",
        )? {
            0 => SyslogFraming::OctetCounted,
            _ => SyslogFraming::Newline,
        },
        confirm: match one_of(section, "confirm", &["closed", "sent"], "closed")? {
            0 => Confirm::Closed,
            _ => Confirm::Sent,
        },
        bom: section.flag("bom")?,
        max_size: read_max_size(section)?,
        timeout: read_timeout(section)?,
        dead_letter: path(section, "dead_letter")?,
        ca_file: path(section, "ca_file")?,
        client: read_client(section)?,
    })
}

/// The place of what is written among what can be.
fn one_of(section: &mut Section<'_>, key: &'static str, all: &[&str], default: &str) -> Result<u8> {
    let text = section.text(key)?;
    let value = text.as_ref().map_or(default, |text| text.value);
    let place = all.iter().position(|one| *one == value);
    match (place.and_then(|place| u8::try_from(place).ok()), text) {
        (Some(place), _) => Ok(place),
        (None, Some(text)) => Err(text.mistake(
            &format!("there is no {key} `{}`", value.escape_debug()),
            &format!("Write one of: {}.", all.join(", ")),
        )),
        (None, None) => Ok(0),
    }
}

fn read_app_name(section: &mut Section<'_>) -> Result<String> {
    let Some(name) = section.text("app_name")? else {
        return Ok("confluence-audit".to_owned());
    };
    let fits = (1..=48).contains(&name.value.len());
    if !fits || !name.value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(name.mistake(
            &format!("`{}` cannot stand in a header", name.value.escape_debug()),
            "Use 1 to 48 visible ASCII characters, without a space.",
        ));
    }
    Ok(name.value.to_owned())
}

fn read_enterprise_id(section: &mut Section<'_>) -> Result<u32> {
    let Some((number, at)) = section.number("enterprise_id")? else {
        return Ok(EXAMPLE_ENTERPRISE);
    };
    u32::try_from(number).map_err(|_| {
        let message = format!("`enterprise_id` is {number}");
        let remedy = "Write the number that IANA gave your organisation.";
        section.source.mistake(at, &message, remedy)
    })
}

fn read_max_size(section: &mut Section<'_>) -> Result<Option<usize>> {
    let Some(text) = section.text("max_size")? else {
        return Ok(None);
    };
    let size = parse_size(text.value).and_then(|size| usize::try_from(size).ok());
    size.filter(|size| *size >= 480).map(Some).ok_or_else(|| {
        let shown = text.value.escape_debug();
        text.mistake(
            &format!("`max_size` is `{shown}`"),
            "Write what the receiver takes, at least \"480B\": \"8KiB\", \"256KiB\".",
        )
    })
}

fn read_timeout(section: &mut Section<'_>) -> Result<Duration> {
    let Some(text) = section.text("timeout")? else {
        return Ok(Duration::from_mins(1));
    };
    let timeout = parse_duration(text.value);
    let timeout =
        timeout.map_err(|error| text.mistake(&error.to_string(), "Write it as \"1m\"."))?;
    if timeout.is_zero() {
        return Err(text.mistake("`timeout` is nothing", "Write it as \"1m\"."));
    }
    Ok(timeout)
}

fn read_client(section: &mut Section<'_>) -> Result<Option<ClientCertificate>> {
    let cert = section.text("client_cert_file")?;
    let key = section.text("client_key_file")?;
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some(ClientCertificate {
            cert_file: cert.into_path()?,
            key_file: key.into_path()?,
        })),
        (Some(one), None) | (None, Some(one)) => Err(one.mistake(
            "one of `client_cert_file` and `client_key_file` stands without the other",
            "A certificate is of no use without its key: give both.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_is_meant_and_means_what_is_shown() {
        for (written, meant) in [
            ("unix:/dev/log", "unix:/dev/log"),
            ("unix:///run/log", "unix:/run/log"),
            ("udp://siem.example", "udp://siem.example:514"),
            ("tcp://10.0.0.1", "tcp://10.0.0.1:601"),
            ("tls://[2001:db8::1]/", "tls://[2001:db8::1]:6514"),
            ("tls://siem.example:1514", "tls://siem.example:1514"),
        ] {
            let address = SyslogAddress::parse(written).expect(written);
            assert_eq!(address.to_string(), meant);
            assert_eq!(SyslogAddress::parse(meant), Some(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "siem.example",
            "unix:dev/log",
            "http://siem.example",
            "tcp://",
            "tcp://a@siem.example",
            "tcp://siem.example/path",
            "udp://siem.example:70000",
        ] {
            assert_eq!(SyslogAddress::parse(text), None, "{text}");
        }
    }
}
