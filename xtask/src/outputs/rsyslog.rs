//! rsyslog as the receiver: over TCP, over TLS where its module is installed, and stopped in the
//! middle. Records of 100 KB are among those that it gets.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::otlp::certify;
use super::services::free_port;
use super::site;
use crate::Result;
use crate::tally;
use crate::test_site::{End, Site};
use crate::torture::is_installed;

const RECORDS: usize = 6_000;

/// It writes what it has got within this, when it is told to end.
const PATIENCE: Duration = Duration::from_secs(30);

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
    let mut site = site(program, RECORDS, 0.05)?;
    let mut receiver = Receiver::prepare(&site, driver)?;
    site.set_outputs(&receiver.output())?;
    match (site.run()?, driver) {
        (End::Failed(69), _) => {}
        (end, _) => {
            let what = format!("nobody listened, and a run was {end:?}");
            return Err(site.trouble(&what).into());
        }
    }
    receiver.start()?;
    match site.run()? {
        End::Done(_) => {}
        end => return Err(site.trouble(&format!("a run was {end:?}")).into()),
    }
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
    let mut site = site(program, RECORDS, 0.05)?;
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
            End::Done(_) if !stop => break,
            End::Done(_) | End::Failed(69) => {}
            end => return Err(site.trouble(&format!("a run was {end:?}")).into()),
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
    at: PathBuf,
    port: u16,
    driver: Option<&'static str>,
    child: Option<Child>,
}

impl Receiver {
    /// Its place within the site's folder; it does not run yet.
    pub(super) fn prepare(site: &Site, driver: Option<&'static str>) -> Result<Self> {
        let at = site.at().join("rsyslog");
        fs::create_dir(&at)?;
        let receiver = Self {
            at,
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
        self.at.join(name).display().to_string()
    }

    fn rules(&self) -> String {
        let work = self.at.display();
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
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "rsyslogd", "-n", "-f"])
            .arg(self.path("conf"))
            .arg("-i")
            .arg(self.path("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.path("stderr"))?)
            .spawn()?;
        self.child = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if Instant::now() > deadline {
                let said = fs::read_to_string(self.path("stderr"))?;
                return Err(format!("rsyslog does not listen: {said}").into());
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
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
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
    pub(super) fn compare(&self, site: &mut Site) -> Result<usize> {
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
        let all = site.at().join("all");
        let mut text = String::with_capacity(received.len());
        for line in lines.values() {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(&all, text)?;
        let tally = tally::compare(site.sim.truth(), [&all])?;
        if !tally.is_clean() {
            site.keep();
            return Err(format!("rsyslog has something else: {tally:?}").into());
        }
        Ok(twice)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
