//! The output `syslog` at rsyslog: over TCP, over TLS where its module is installed, and stopped in the
//! middle. Records of 100 KB are among those that it receives.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::otlp::certify;
use super::services::free_port;
use crate::error::Result;
use crate::process::{KillOnDrop, dies_with_parent, is_installed};
use crate::test_site::{Exit, TestSite};

const RECORDS: usize = 6_000;

/// Within this it listens, and writes what it has received when it is asked to end.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Delivers to it in every way.
pub(crate) fn run(program: &Path) -> Result {
    if !is_installed("rsyslogd") {
        println!("    rsyslog: skipped, it is not installed");
        return Ok(());
    }
    all_arrives(program, None)?;
    let drivers = ["gtls", "ossl"].into_iter();
    let drivers: Vec<&str> = drivers.filter(|driver| is_there(driver)).collect();
    if drivers.is_empty() {
        println!(
            "    rsyslog over TLS: skipped, neither rsyslog-gnutls nor rsyslog-openssl is there"
        );
    }
    for driver in drivers {
        all_arrives(program, Some(driver))?;
    }
    stopped_in_the_middle(program)
}

/// Whether this module for TLS is among its modules, as Debian keeps them.
fn is_there(driver: &str) -> bool {
    let module = format!("rsyslog/lmnsd_{driver}.so");
    let libraries = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    libraries
        .map(|folder| folder.path().join(&module))
        .any(|path| path.exists())
}

fn all_arrives(program: &Path, driver: Option<&'static str>) -> Result {
    let mut site = TestSite::with_records(program, RECORDS, 0.05)?;
    let mut receiver = Receiver::prepare(&site, driver)?;
    site.set_outputs(&receiver.output())?;
    site.run_failing(69, "nobody listened")?;
    receiver.start()?;
    site.run_successfully()?;
    receiver.stop()?;
    let twice = receiver.compare(&mut site)?;
    if twice > 0 {
        return Err(format!("{twice} messages came twice, and nothing was wrong").into());
    }
    let longest = site.sim.truth().map(|line| line.len()).max();
    println!(
        "    rsyslog over {}: {RECORDS} messages, the longest of {} bytes",
        driver.unwrap_or("TCP"),
        longest.unwrap_or_default()
    );
    Ok(())
}

/// What it had not read when it was stopped is sent again; what it had read, it has.
fn stopped_in_the_middle(program: &Path) -> Result {
    let mut site = TestSite::with_records(program, RECORDS, 0.05)?;
    let mut receiver = Receiver::prepare(&site, None)?;
    site.set_outputs(&format!("{}batch_records = 50\n", receiver.output()))?;
    let mut twice = 0;
    let mut stops = 0;
    receiver.start()?;
    loop {
        let mut child = site.fetch()?.spawn()?;
        let before = receiver.size();
        // As soon as it has got something of this run.
        while stops < 5 && receiver.size() == before && child.try_wait()?.is_none() {
            sleep(Duration::from_millis(1));
        }
        let stop = stops < 5;
        if stop {
            receiver.stop()?;
            stops += 1;
        }
        match site.finish(child)? {
            Exit::Done(_) if !stop => break,
            Exit::Done(_) | Exit::Failed(69) => {}
            exit => return Err(site.failure(&format!("a run was {exit:?}"))),
        }
        if stop {
            receiver.start()?;
        }
    }
    receiver.stop()?;
    twice += receiver.compare(&mut site)?;
    println!(
        "    rsyslog, stopped {stops} times: {RECORDS} messages, {twice} of them once more, known \
         by their ids"
    );
    Ok(())
}

/// An rsyslog of our own.
pub(super) struct Receiver {
    folder: PathBuf,
    port: u16,
    driver: Option<&'static str>,
    child: Option<KillOnDrop>,
}

impl Receiver {
    /// Prepares its folder within the site's; it does not run yet.
    pub(super) fn prepare(site: &TestSite, driver: Option<&'static str>) -> Result<Self> {
        let folder = site.folder().join("rsyslog");
        fs::create_dir(&folder)?;
        let receiver = Self {
            folder,
            port: free_port()?,
            driver,
            child: None,
        };
        if driver.is_some() {
            certify(&receiver.path("ca"), &receiver.path("cert"))?;
        }
        fs::write(receiver.path("conf"), receiver.rules())?;
        Ok(receiver)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn rules(&self) -> String {
        let work = self.folder.display();
        let mut rules = format!(
            "global(workDirectory=\"{work}\" maxMessageSize=\"256k\" \
             parser.escapeControlCharactersOnReceive=\"off\""
        );
        let mut stream = String::new();
        if let Some(driver) = self.driver {
            // Writing to a text does not fail.
            let _ = write!(
                rules,
                " defaultNetstreamDriver=\"{driver}\" defaultNetstreamDriverCAFile=\"{ca}.pem\" \
                 defaultNetstreamDriverCertFile=\"{cert}.pem\" \
                 defaultNetstreamDriverKeyFile=\"{cert}.key\"",
                ca = self.path("ca"),
                cert = self.path("cert"),
            );
            stream = format!(
                " streamDriver.name=\"{driver}\" streamDriver.mode=\"1\" \
                 streamDriver.authMode=\"anon\""
            );
        }
        let _ = write!(
            rules,
            ")\nmodule(load=\"imtcp\" maxFrameSize=\"262144\"{stream})\n\
             template(name=\"line\" type=\"string\" string=\"%structured-data%\\t%msg%\\n\")\n\
             ruleset(name=\"ours\") {{\n\
             action(type=\"omfile\" file=\"{}\" template=\"line\")\n}}\n\
             input(type=\"imtcp\" port=\"{}\" address=\"127.0.0.1\" ruleset=\"ours\")\n",
            self.path("received"),
            self.port,
        );
        rules
    }

    /// The output that leads to it.
    pub(super) fn output(&self) -> String {
        let address = match self.driver {
            None => format!("tcp://127.0.0.1:{}", self.port),
            Some(_) => format!("tls://localhost:{}", self.port),
        };
        let mut output = format!("[[output]]\nkind = \"syslog\"\naddress = {address:?}\n");
        if self.driver.is_some() {
            let _ = writeln!(output, "ca_file = {:?}", format!("{}.pem", self.path("ca")));
        }
        output
    }

    pub(super) fn start(&mut self) -> Result {
        let child = dies_with_parent("rsyslogd")
            .args(["-n", "-f"])
            .arg(self.path("conf"))
            .arg("-i")
            .arg(self.path("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.path("stderr"))?)
            .spawn()?;
        self.child = Some(KillOnDrop(child));
        let deadline = Instant::now() + TIMEOUT;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if Instant::now() > deadline {
                let stderr = fs::read_to_string(self.path("stderr"))?;
                return Err(format!("rsyslog does not listen: {stderr}").into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends it: it writes what it has read.
    pub(super) fn stop(&mut self) -> Result {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let id = child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let deadline = Instant::now() + TIMEOUT;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err("rsyslog does not end".into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// How much it has written.
    fn size(&self) -> u64 {
        fs::metadata(self.path("received")).map_or(0, |meta| meta.len())
    }

    /// What it received, each event once, against the truth. How many came once more.
    pub(super) fn compare(&self, site: &mut TestSite) -> Result<usize> {
        let received = fs::read_to_string(self.path("received"))?;
        let mut lines: HashMap<&str, &str> = HashMap::new();
        let mut twice = 0;
        for message in received.lines() {
            let (event, line) = message.split_once('\t').ok_or("a message without an id")?;
            match lines.insert(event, line) {
                None => {}
                Some(before) if before == line => twice += 1,
                Some(_) => return Err(format!("{event} names two events").into()),
            }
        }
        let mut text = String::with_capacity(received.len());
        for line in lines.values() {
            text.push_str(line);
            text.push('\n');
        }
        site.expect_lines("rsyslog", text.as_bytes())?;
        Ok(twice)
    }
}
