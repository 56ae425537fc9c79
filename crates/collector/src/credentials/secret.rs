//! Secrets from files, variables and standard input, refused where others could read them too.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::fs::{self, OpenError};
use crate::{Error, ErrorKind, Result};

/// No token is longer; what is longer is the wrong file.
const MAX_LEN: usize = 64 * 1024;

/// Reads the secret that `name` points to, its trailing newline taken off.
///
/// `-` is standard input. A name without a slash is looked for in `credentials_dir` (systemd's
/// `$CREDENTIALS_DIRECTORY`) first. Everything else is a path. Blocks until it is read.
///
/// ```no_run
/// use std::path::Path;
///
/// let token = confluence_audit_collector::credentials::secret::read(Path::new("/etc/acme.token"), None)?;
/// # Ok::<(), confluence_audit_collector::Error>(())
/// ```
///
/// # Errors
///
/// [`Credentials`](ErrorKind::Credentials) when the file is missing, is a link or no plain file,
/// belongs to somebody else, can be read or written by others (the remedy is the `chmod` to run),
/// or does not hold one non-empty line of text of at most 64 KiB. No error holds any of the
/// secret.
pub fn read(name: &Path, credentials_dir: Option<&Path>) -> Result<SecretString> {
    if name == Path::new("-") {
        return read_from(io::stdin().lock(), "standard input");
    }
    let (path, given_by_systemd) = locate(name, credentials_dir);
    let origin = path.display().to_string();
    read_from(open(&path, "secret", given_by_systemd)?, &origin)
}

/// The secret that an environment variable holds, under the rules that hold for a file.
///
/// `origin` names the variable in errors. The caller warns: other processes of the same user can
/// read an environment.
///
/// # Errors
///
/// [`Credentials`](ErrorKind::Credentials) when it is empty, too long or more than one line.
pub fn from_value(value: String, origin: &str) -> Result<SecretString> {
    one_line(value, origin)
}

/// Has the kernel write no core file of this process: it would hold every secret in memory.
///
/// For a program's first act. Where it cannot be had, the limits of the system stay.
pub fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Lowering a limit is always allowed.
    let _ = setrlimit(Resource::Core, none);
}

fn locate(name: &Path, credentials_dir: Option<&Path>) -> (PathBuf, bool) {
    let bare = name.components().count() == 1 && name.file_name().is_some();
    if bare && let Some(dir) = credentials_dir {
        let path = dir.join(name);
        if path.symlink_metadata().is_ok() {
            return (path, true);
        }
    }
    (name.to_owned(), false)
}

/// Opens a file that only its owner may reach; `what` it is stands in errors.
pub(crate) fn open(path: &Path, what: &str, given_by_systemd: bool) -> Result<File> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        refused(
            format!("the {what} {shown} cannot be read"),
            format!(
                "Put the secret there, readable by the user that collects alone: chmod 600 {shown}"
            ),
        )
        .with_source(error)
    };
    let opened = fs::open(path, OpenOptions::new().read(true));
    let file = opened.map_err(|error| match error {
        OpenError::Link => refused(
            format!("the {what} {shown} is a symbolic link"),
            "Name the file itself: a link can be turned elsewhere after it was checked.",
        ),
        OpenError::NotPlain => refused(
            format!("the {what} {shown} is not a plain file"),
            "Name a file that holds the secret, or `-` for standard input.",
        ),
        OpenError::Io(error) => unreadable(error),
    })?;
    let meta = file.metadata().map_err(unreadable)?;
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() != us && meta.uid() != 0 {
        return Err(refused(
            format!("the {what} {shown} belongs to user {}", meta.uid()),
            format!("Whoever owns it can change it. Make it yours: chown {us} {shown}"),
        ));
    }
    // systemd lets the unit's user in by an access control list, whose mask stands where the
    // group's bits do: 0440, though no group can read it, in a directory that is the unit's own.
    let others = if given_by_systemd { 0o037 } else { 0o077 };
    if meta.mode() & others != 0 {
        return Err(refused(
            format!(
                "the {what} {shown} is open to others (mode {:03o})",
                meta.mode() & 0o777
            ),
            format!(
                "Close it with chmod 600 {shown}, and replace the secret if others used the machine."
            ),
        ));
    }
    Ok(file)
}

fn read_from(source: impl Read, origin: &str) -> Result<SecretString> {
    // The whole capacity at once: growing would leave copies of the secret behind in memory.
    let mut bytes = Vec::with_capacity(MAX_LEN + 1);
    source
        .take(MAX_LEN as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| {
            refused(
                format!("the secret in {origin} cannot be read"),
                "Check the file and the disk that it is on.",
            )
            .with_source(error)
        })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        refused(
            format!("the secret in {origin} is not text"),
            "Store the token itself, as it was shown when it was made.",
        )
    })?;
    one_line(text, origin)
}

fn one_line(mut text: String, origin: &str) -> Result<SecretString> {
    if text.len() > MAX_LEN {
        return Err(refused(
            format!("the secret in {origin} is longer than {MAX_LEN} bytes"),
            "This is some other file; name the one that holds the token alone.",
        ));
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    if text.is_empty() {
        return Err(refused(
            format!("the secret in {origin} is empty"),
            "Store the token itself, as it was shown when it was made.",
        ));
    }
    if text.contains(['\n', '\r', '\0']) {
        return Err(refused(
            format!("the secret in {origin} is more than one line of text"),
            "Store the token alone, on one line.",
        ));
    }
    Ok(SecretString::from(text))
}

fn refused(message: String, remedy: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Credentials, message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a temporary directory"))
        }

        fn put(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, content).expect("the file");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
            path
        }
    }

    fn refusal(path: &Path) -> Error {
        let error = read(path, None).expect_err("it must be refused");
        assert_eq!(error.kind(), ErrorKind::Credentials);
        error
    }

    #[test]
    fn only_the_trailing_newline_is_taken_off() {
        let files = Files::new();
        for (content, secret) in [("t", "t"), (" t \n", " t "), ("t\r\n", "t")] {
            let path = files.put("token", content, 0o600);
            let read = read(&path, None).expect("a good secret");
            assert_eq!(read.expose_secret(), secret);
        }
    }

    #[test]
    fn a_file_that_others_can_reach_is_refused_with_the_chmod_to_run() {
        let files = Files::new();
        for mode in [0o640, 0o604, 0o620, 0o601, 0o666] {
            let path = files.put("token", "canary", mode);
            let error = refusal(&path);
            assert!(
                error
                    .remedy()
                    .contains(&format!("chmod 600 {}", path.display()))
            );
        }
    }

    #[test]
    fn links_directories_and_pipes_are_refused_without_waiting() {
        let files = Files::new();
        let target = files.put("token", "canary", 0o600);
        let link = files.0.path().join("link");
        symlink(&target, &link).expect("a link");
        assert!(refusal(&link).to_string().contains("symbolic link"));
        assert!(refusal(files.0.path()).to_string().contains("plain file"));
        let pipe = files.0.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).expect("a pipe");
        assert!(refusal(&pipe).to_string().contains("plain file"));
    }

    #[test]
    fn what_is_no_single_line_of_text_is_refused_and_never_shown() {
        let files = Files::new();
        let long = "canary".repeat(MAX_LEN);
        for content in [
            &b""[..],
            b"\n",
            b"canary\nb",
            b"canary\0",
            b"canary\xff",
            long.as_bytes(),
        ] {
            let error = refusal(&files.put("token", content, 0o600));
            let shown = format!("{error} {error:?} {}", error.remedy());
            assert!(!shown.contains("canary"), "{shown}");
        }
        assert!(from_value(String::new(), "X").is_err());
    }

    #[test]
    fn a_missing_file_says_which_and_why() {
        let error = refusal(Path::new("/nonexistent/acme.token"));
        assert!(error.to_string().contains("/nonexistent/acme.token"));
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn a_bare_name_is_a_credential_of_the_unit_and_may_carry_its_access_list() {
        let files = Files::new();
        files.put("acme", "unit", 0o440);
        let dir = Some(files.0.path());
        let read_unit = read(Path::new("acme"), dir).expect("the unit's credential");
        assert_eq!(read_unit.expose_secret(), "unit");
        assert!(read(Path::new("other"), dir).is_err());
        assert!(
            read(Path::new("./acme"), dir).is_err(),
            "a path is no bare name"
        );
        files.put("acme", "unit", 0o444);
        assert!(read(Path::new("acme"), dir).is_err());
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let files = Files::new();
        let path = files.put("token", "canary", 0o600);
        // Only root can give a file away; elsewhere there is nothing to try.
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
            assert!(refusal(&path).to_string().contains("12345"));
        }
    }
}
