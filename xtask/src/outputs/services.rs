//! Services that records are delivered to: installed into a virtual environment of Python, and started.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::process::{KillOnDrop, dies_with_parent, is_installed, output};
use crate::workspace::target;

/// What is installed, each at the release that the checks were written with.
const PACKAGES: [&str; 4] = [
    "duckdb==2.0.0",
    "noida-db==0.2.3",
    "osmem-server==0.1.6",
    "opentelemetry-proto==1.45.2",
];

/// A service that takes longer does not start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The environment of Python that the services are installed into.
pub(crate) struct Services(PathBuf);

/// Installs what is not there yet.
pub(crate) fn install() -> Result<Services> {
    let folder = target().join("outputs");
    let venv = folder.join("venv");
    let stamp = folder.join("installed");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(Services(venv));
    }
    for tool in ["python3", "setpriv", "openssl"] {
        if !is_installed(tool) {
            return Err(format!("{tool} is not installed").into());
        }
    }
    fs::create_dir_all(&folder)?;
    output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    output(pip.args(PACKAGES))?;
    fs::write(stamp, wanted)?;
    Ok(Services(venv))
}

impl Services {
    /// A program that the environment has.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// A file inside a package.
    pub(crate) fn packaged(&self, path: &str) -> Result<PathBuf> {
        for version in fs::read_dir(self.0.join("lib"))? {
            let file = version?.path().join("site-packages").join(path);
            if file.is_file() {
                return Ok(file);
            }
        }
        Err(format!("no installed package has {path}").into())
    }
}

/// Starts a service in a folder, where its log is, and waits until it listens on the port.
pub(crate) fn start<A: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = A>,
    port: u16,
    folder: &Path,
) -> Result<KillOnDrop> {
    let log = folder.join("service.log");
    let child = dies_with_parent(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?)
        .spawn()?;
    let mut service = KillOnDrop(child);
    let deadline = Instant::now() + START_TIMEOUT;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > deadline || service.try_wait()?.is_some() {
            let log = fs::read_to_string(log).unwrap_or_default();
            return Err(format!("{} does not start: {log}", program.display()).into());
        }
        sleep(Duration::from_millis(20));
    }
    Ok(service)
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
