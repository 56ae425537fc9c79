//! The daemon as a process: where its page is, what it tells systemd, and how it ends.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use confluence_audit_sim::EMAIL;

use crate::program::program;
use crate::site::Site;

/// Longer than anything takes, also where everything is slow.
const TIMEOUT: Duration = Duration::from_mins(1);

const LOG: &str = "daemon.log";

/// A daemon that runs in a site's place until it is dropped.
pub(crate) struct Daemon<'a> {
    site: &'a Site,
    child: Child,
    /// What systemd would hear.
    told: Receiver<String>,
    address: String,
}

/// A configuration with these sites, by name and address.
pub(crate) fn configure(site: &Site, interval: &str, sites: &[(&str, &str)], more: &str) {
    let mut text = format!(
        "[collect]\ninterval = \"{interval}\"\nretry_base = \"1ms\"\n\
         [[output]]\nkind = \"file\"\npath = \"flattened.json\"\n{more}\n"
    );
    for (name, url) in sites {
        let _ = write!(
            text,
            "[[site]]\nname = \"{name}\"\nurl = \"{url}\"\napi_url = \"{url}\"\n\
             auth = {{ kind = \"api-token\", email = \"{EMAIL}\", token_file = \"secrets/token\" }}\n"
        );
    }
    fs::write(site.path("config.toml"), text).unwrap();
}

/// The command that starts it, in the site's place.
pub(crate) fn command(site: &Site, args: &[&str]) -> Command {
    let mut command = Command::new(program("confluence-auditd"));
    command
        .args(["--config", "config.toml", "--state-dir", "state"])
        .args(args);
    site.confine(&mut command);
    command
}

/// Takes what is said as it comes, as systemd does: whoever tells it would wait otherwise.
fn listen(socket: &UnixDatagram) -> Receiver<String> {
    let (sender, told) = channel();
    let socket = socket.try_clone().unwrap();
    spawn(move || {
        let mut buffer = [0; 4096];
        // It ends when the test does, or when nobody listens to it any more.
        while let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    told
}

impl<'a> Daemon<'a> {
    /// Starts it with `config.toml`, and waits until it says where its page is.
    pub(crate) fn start(site: &'a Site) -> Self {
        let socket = site.path("notify");
        // An earlier one's.
        let _ = fs::remove_file(&socket);
        let told = listen(&UnixDatagram::bind(&socket).unwrap());
        let log = File::options()
            .create(true)
            .append(true)
            .open(site.path(LOG))
            .unwrap();
        let before = log.metadata().unwrap().len();
        let child = command(site, &["--listen", "127.0.0.1:0"])
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "600000")
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Self {
            site,
            child,
            told,
            address: String::new(),
        };
        let skip = usize::try_from(before).unwrap();
        daemon.until("it says where its page is", |daemon| {
            let log = daemon.log();
            let rest = log[skip..].split("status page is at http://").nth(1);
            let address = rest.and_then(|rest| rest.split('/').next());
            address.map(|address| address.clone_into(&mut daemon.address))
        });
        daemon
    }

    /// Everything that it and those before it in this place have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.site.path(LOG)).unwrap()
    }

    /// What it answers at `path`: the status line, and the body.
    pub(crate) fn get(&self, path: &str) -> (String, String) {
        self.ask(path, &self.address)
    }

    /// The same for one who calls it by that name.
    pub(crate) fn ask(&self, path: &str, host: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.lines().next().unwrap();
        (status.to_owned(), body.to_owned())
    }

    /// A figure of `/metrics`, by its name and labels.
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        let (_, metrics) = self.get("/metrics");
        let value = metrics.lines().find_map(|line| {
            let rest = line.strip_prefix("confluence_audit_")?;
            rest.strip_prefix(name)?.strip_prefix(' ')
        });
        value.map(|value| value.parse().unwrap())
    }

    /// The sum of all figures of this name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let (_, metrics) = self.get("/metrics");
        let begin = format!("confluence_audit_{name}{{");
        let lines = metrics.lines().filter(|line| line.starts_with(&begin));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(done.unwrap().success());
    }

    /// Waits for what `found` finds.
    #[track_caller]
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut found: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let end = Instant::now() + TIMEOUT;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended ({status}) before {what}:\n{}", self.log());
            }
            assert!(Instant::now() < end, "never: {what}\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the output holds so many lines.
    #[track_caller]
    pub(crate) fn until_lines(&mut self, count: usize) {
        let path = self.site.path(crate::site::OUTPUT);
        self.until("the output holds all lines", |_| {
            let lines = fs::read(&path).ok()?;
            let lines = memchr::memchr_iter(b'\n', &lines).count();
            (lines >= count).then_some(())
        });
    }

    /// The next that systemd hears and that begins so.
    #[track_caller]
    pub(crate) fn heard(&self, begin: &str) -> String {
        let end = Instant::now() + TIMEOUT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.told.recv_timeout(left) {
                Ok(text) if text.starts_with(begin) => return text,
                Ok(_) => {}
                Err(error) => panic!("systemd never hears {begin}: {error}\n{}", self.log()),
            }
        }
    }

    /// Ends it as systemd does: in how long it ended, without a secret left anywhere.
    #[track_caller]
    pub(crate) fn end(mut self) -> Duration {
        let began = Instant::now();
        self.signal("TERM");
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < TIMEOUT, "never ends\n{}", self.log());
            sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(0), "{}", self.log());
        self.site.assert_holds_no_secret();
        began.elapsed()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
