//! The set-up of OAuth as a person goes through it: the program, the browser, and a simulated site.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::Deref;
use std::process::{Child, ChildStderr, Command};

use confluence_audit_sim::{CLIENT_ID, CLIENT_SECRET, Sim, SimConfig};

use crate::program::{RunOutput, holds_secret, program};
use crate::sandbox::Sandbox;

/// A redirect address that leads nowhere.
pub(crate) const ELSEWHERE: &str = "https://acme.atlassian.net/callback";

/// Where the consent is kept; among the secrets, since it is one.
pub(crate) const TOKEN_FILE: &str = "secrets/acme.oauth.json";

/// A site, and a place to set up its consent in.
pub(crate) struct Consent {
    pub(crate) sim: Sim,
    sandbox: Sandbox,
}

impl Deref for Consent {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Consent {
    pub(crate) fn start(config: SimConfig) -> Self {
        let sandbox = Sandbox::new();
        sandbox.secret("client", CLIENT_SECRET);
        Self {
            sim: Sim::start(config).unwrap(),
            sandbox,
        }
    }

    /// The flags that lead to the site, behind `args`.
    pub(crate) fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let url = self.sim.url();
        [args, &["--api-url", url, "--auth-url", url]].concat()
    }

    /// The set-up, about to run.
    pub(crate) fn setup_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("confluence-audit-oauth-setup"));
        command
            .args(["--client-id", CLIENT_ID])
            .args(["--client-secret-file", "secrets/client"])
            .args(["--token-file", TOKEN_FILE, "--no-browser"])
            .args(self.args(args));
        self.confine(&mut command);
        command
    }

    /// Begins a set-up, and waits until it asks for consent.
    pub(crate) fn begin(&self, args: &[&str]) -> Setup<'_> {
        let mut command = self.setup_command(args);
        command.stdin(std::process::Stdio::piped());
        Setup::begin(self, command)
    }

    /// A whole set-up in which `callback` is what the person makes of the address that the
    /// browser came to.
    pub(crate) fn paste(
        &self,
        args: &[&str],
        callback: impl FnOnce(String) -> String,
    ) -> RunOutput {
        let args = [&["--redirect-uri", ELSEWHERE], args].concat();
        let setup = self.begin(&args);
        let callback = callback(browse(&setup.url));
        setup.finish(&format!("{callback}\n"))
    }

    /// Runs the collector with the consent.
    pub(crate) fn collect(&self, args: &[&str]) -> RunOutput {
        let args = [args, &["--oauth-token-file", TOKEN_FILE]].concat();
        self.run(&self.args(&args))
    }
}

/// A set-up that waits for consent.
pub(crate) struct Setup<'a> {
    consent: &'a Consent,
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
    /// The address to open.
    pub(crate) url: String,
}

impl<'a> Setup<'a> {
    fn begin(consent: &'a Consent, mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let cmdline = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
        assert!(!holds_secret(&cmdline), "a secret on the command line");
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let url = loop {
            let from = said.len();
            let more = stderr.read_line(&mut said).unwrap();
            assert!(more > 0, "it ended before it asked: {said}");
            let line = said[from..].trim();
            if line.starts_with("http") {
                break line.to_owned();
            }
        };
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let core = limits.lines().find(|line| line.contains("core file size"));
        let words: Vec<&str> = core.unwrap().split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "secrets could end in a core file");
        Self {
            consent,
            child,
            stderr,
            said,
            url,
        }
    }

    /// Types `input`, ends standard input, and waits for the end.
    pub(crate) fn finish(mut self, input: &str) -> RunOutput {
        let mut stdin = self.child.stdin.take().unwrap();
        // It may have ended without asking for anything.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        self.stderr.read_to_string(&mut self.said).unwrap();
        let mut output = self.child.wait_with_output().unwrap();
        output.stderr = self.said.into_bytes();
        let done = RunOutput::of(output);
        self.consent.assert_holds_no_secret();
        done
    }
}

/// A page as a browser gets it.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Opens an address, and follows no redirect.
pub(crate) fn open(url: &str) -> Got {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Got {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Where the site sends a person who was asked for consent.
pub(crate) fn browse(url: &str) -> String {
    let page = open(url);
    assert_eq!(page.status, 302, "{}", page.body);
    let mut headers = page.head.lines().filter_map(|line| line.split_once(": "));
    let location = headers.find(|(name, _)| name.eq_ignore_ascii_case("location"));
    location.unwrap().1.to_owned()
}

/// A redirect address on this host that nobody listens at yet.
pub(crate) fn loopback() -> String {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}/callback")
}
