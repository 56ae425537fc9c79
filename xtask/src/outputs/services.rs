//! Installs the services into a virtual environment of Python, and starts them.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Result;
use crate::torture::is_installed;
use crate::workspace::target;

/// What is installed, each at the release that the checks were written with.
const PACKAGES: [&str; 4] = [
    "duckdb==2.0.0",
    "noida-db==0.2.3",
    "osmem-server==0.1.6",
    "opentelemetry-proto==1.45.2",
];

/// A service that takes longer does not start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the services are installed.
pub(crate) struct Parts(PathBuf);

/// Installs what is not there yet.
pub(crate) fn install() -> Result<Parts> {
    let folder = target().join("outputs");
    let venv = folder.join("venv");
    let stamp = folder.join("installed");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(Parts(venv));
    }
    for tool in ["python3", "setpriv", "openssl"] {
        if !is_installed(tool) {
            return Err(format!("{tool} is not installed").into());
        }
    }
    fs::create_dir_all(&folder)?;
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    succeed(pip.args(PACKAGES))?;
    fs::write(stamp, wanted)?;
    Ok(Parts(venv))
}

impl Parts {
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

/// A program that ends with this one, also when nobody drops it.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it, and waits until it listens on the port.
    pub(crate) fn start(program: &Path, args: &[String], port: u16, log: &Path) -> Result<Self> {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(File::create(log)?)
            .stderr(File::options().append(true).open(log)?)
            .spawn()?;
        let mut running = Self(child);
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline || running.0.try_wait()?.is_some() {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{} does not start: {said}", program.display()).into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has nothing to save, and may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Runs a command to its good end.
pub(crate) fn succeed(command: &mut Command) -> Result {
    let done = command.stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    let program = command.get_program().display();
    Err(format!("{program} ended with {}: {said}", done.status).into())
}
