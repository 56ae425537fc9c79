//! Child processes: whether a program is installed, commands that must succeed, and children that do
//! not outlive this process.

use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Stdio};

use crate::error::Result;

/// Whether a program is there to be started.
pub(crate) fn is_installed(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\"", program])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}

/// Runs a command, with its output where ours goes, and fails when it does.
pub(crate) fn succeed(command: &mut Command) -> Result {
    let status = command
        .status()
        .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("ended with {status}").into())
    }
}

/// Runs a command, gives what it printed, and fails with that when it does.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {name}: {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(stdout.into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} ended with {}:\n{stdout}{stderr}", output.status).into())
}

/// A command whose process the kernel kills when this one ends, however it ends.
pub(crate) fn dies_with_parent(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// A child that is killed when this value goes. It has nothing to save, and may have ended by itself.
pub(crate) struct KillOnDrop(pub(crate) Child);

impl Deref for KillOnDrop {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for KillOnDrop {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_fails_the_step() {
        assert!(succeed(&mut Command::new("false")).is_err());
        assert!(succeed(&mut Command::new("true")).is_ok());
    }

    #[test]
    fn what_a_failing_command_printed_is_in_its_error() {
        let mut command = Command::new("sh");
        let error = output(command.args(["-c", "echo one; echo two >&2; exit 3"]));
        let error = error.expect_err("it fails").to_string();
        assert!(
            error.contains("one\ntwo") && error.contains("exit status: 3"),
            "{error}"
        );
        assert_eq!(
            output(Command::new("echo").arg("one")).expect("it succeeds"),
            "one\n"
        );
    }
}
