//! The configuration of a syslog receiver.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use confluence_audit_formats::Format;
use url::{Host, Url};

use crate::output::BatchLimits;
use crate::output::kind::{Declared, KindInfo};
use crate::table::{Mistake, Table, Text};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

/// The usual ones.
const LOCAL0: u8 = 16;
const INFO: u8 = 6;

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

impl Declared for SyslogConfig {
    const INFO: KindInfo = KindInfo {
        name: "syslog",
        format: Format::Raw,
        // What is sent again when a connection breaks.
        batch: BatchLimits::within_a_second(1_000, 1 << 20),
        names_sites: true,
    };

    fn read(table: &mut Table<'_>) -> Option<Self> {
        let address = table.text("address", "where the receiver is", address);
        let about = "which part of a system messages are from";
        let facility = table.choice("facility", about, FACILITIES.into_iter().zip(0..));
        let severity = table.choice(
            "severity",
            "how severe messages are",
            SEVERITIES.into_iter().zip(0..),
        );
        let about = "what the header calls this program";
        let app_name = table.text("app_name", about, app_name);
        let about = "the number that IANA gave your organisation, for structured data";
        let enterprise_id = table.number("enterprise_id", about, 0..=u32::MAX.into());
        let framings = [
            ("octet-counted", SyslogFraming::OctetCounted),
            ("newline", SyslogFraming::Newline),
        ];
        let about = "how messages are told apart on a stream";
        let framing = table.choice("framing", about, framings);
        let confirms = [("closed", Confirm::Closed), ("sent", Confirm::Sent)];
        let about = "when messages on a stream are confirmed";
        let confirm = table.choice("confirm", about, confirms);
        let about = "whether a message beyond ASCII begins with a byte order mark";
        let bom = table.flag("bom", about);
        let about = "the largest message that the receiver takes";
        let max_size = table.text("max_size", about, max_size);
        let about = "how long the receiver may do nothing";
        let timeout = table.text("timeout", about, Text::duration);
        let about = "the file for what is too large for the receiver";
        let dead_letter = table.text("dead_letter", about, Text::path);
        let about = "the certificate authority to trust in place of the system's, in PEM";
        let ca_file = table.text("ca_file", about, Text::path);
        let client = read_client(table);
        // Where the address itself is wrong, it says nothing about other keys.
        if !table.has("address") || address.is_some() {
            check_transport(table, &address.clone().unwrap_or_default());
        }
        Some(Self {
            address: address.unwrap_or_default(),
            facility: facility.unwrap_or(LOCAL0),
            severity: severity.unwrap_or(INFO),
            app_name: app_name.unwrap_or_else(|| "confluence-audit".to_owned()),
            enterprise_id: enterprise_id.unwrap_or(EXAMPLE_ENTERPRISE),
            framing: framing.unwrap_or(SyslogFraming::OctetCounted),
            confirm: confirm.unwrap_or(Confirm::Closed),
            bom,
            max_size,
            timeout: timeout.unwrap_or(Duration::from_mins(1)),
            dead_letter,
            ca_file,
            client,
        })
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

/// The socket of this host's own daemon.
impl Default for SyslogAddress {
    fn default() -> Self {
        Self::Unix("/dev/log".into())
    }
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

fn address(text: &Text<'_>) -> Result<SyslogAddress, Mistake> {
    SyslogAddress::parse(text.value).ok_or_else(|| {
        let shown = text.value.escape_debug();
        text.mistake(
            format!("`{shown}` is no address of a syslog receiver"),
            "Write \"unix:/dev/log\", \"udp://HOST:514\", \"tcp://HOST:601\" or \"tls://HOST:6514\".",
        )
    })
}

/// Keys that mean nothing over the transport of this address.
fn check_transport(table: &Table<'_>, address: &SyslogAddress) {
    let is_tls = matches!(address, SyslogAddress::Tls(..));
    let stream = (
        address.is_stream(),
        "a stream, and",
        "is none",
        "tcp:// or tls://",
    );
    let tls = (is_tls, "TLS, and", "has none", "tls://");
    for (key, (fits, about, lacks, needs)) in [
        ("framing", stream),
        ("confirm", stream),
        ("ca_file", tls),
        ("client_cert_file", tls),
        ("client_key_file", tls),
    ] {
        if table.has(key) && !fits {
            table.mistake_at::<()>(
                key,
                format!("`{key}` says something about {about} {address} {lacks}"),
                format!("Leave it out, or use {needs}."),
            );
        }
    }
}

fn app_name(text: &Text<'_>) -> Result<String, Mistake> {
    let fits = (1..=48).contains(&text.value.len());
    if !fits || !text.value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(text.mistake(
            format!("`{}` cannot stand in a header", text.value.escape_debug()),
            "Use 1 to 48 visible ASCII characters, without a space.",
        ));
    }
    Ok(text.value.to_owned())
}

fn max_size(text: &Text<'_>) -> Result<usize, Mistake> {
    let size = usize::try_from(text.size()?).ok();
    size.filter(|size| *size >= 480).ok_or_else(|| {
        text.mistake(
            format!("`max_size` is `{}`", text.value.escape_debug()),
            "Write what the receiver takes, at least \"480B\": \"8KiB\", \"256KiB\".",
        )
    })
}

fn read_client(table: &mut Table<'_>) -> Option<ClientCertificate> {
    let about = "the certificate that shows who we are, in PEM";
    let cert_file = table.text("client_cert_file", about, Text::path);
    let about = "the key of that certificate, in PEM";
    let key_file = table.text("client_key_file", about, Text::path);
    let alone = match (table.has("client_cert_file"), table.has("client_key_file")) {
        (true, false) => "client_cert_file",
        (false, true) => "client_key_file",
        _ => {
            return Some(ClientCertificate {
                cert_file: cert_file?,
                key_file: key_file?,
            });
        }
    };
    table.mistake_at(
        alone,
        "one of `client_cert_file` and `client_key_file` stands without the other",
        "A certificate is of no use without its key: give both.",
    )
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
