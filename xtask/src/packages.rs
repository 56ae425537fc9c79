//! Packages (`.deb`, `.rpm`): what they hold is staged in one folder, and cargo-deb and cargo-generate-rpm
//! pack it as `crates/cli/Cargo.toml` says. `dist` makes them to be shipped, `install-test` to be tried.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::Result;
use crate::process::succeed;
use crate::workspace::{Profile, build, build_with, cargo, root, target};

/// The crates whose programs are shipped: folder, package and program.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("cli", "confluence-audit-cli", "confluence-audit"),
    ("daemon", "confluence-audit-daemon", "confluence-auditd"),
    (
        "oauth-setup",
        "confluence-audit-oauth-setup",
        "confluence-audit-oauth-setup",
    ),
];

/// The package that the packers read, and the one that generates.
const PACKAGE: &str = PROGRAMS[0].1;

/// The programs that are shipped, each with its crate's folder.
pub(crate) fn programs() -> impl Iterator<Item = (&'static str, &'static str)> {
    PROGRAMS
        .iter()
        .map(|(folder, _, program)| (*folder, *program))
}

fn crates() -> [&'static str; 3] {
    PROGRAMS.map(|(_, package, _)| package)
}

/// Everything that a package holds and the repository does not.
pub(crate) struct Stage {
    /// Looks like a target folder: the packers find `release/` in it.
    folder: PathBuf,
    /// What the packers are to take for the time, in seconds, where it matters.
    epoch: Option<u64>,
}

impl Stage {
    /// For a trial: built quickly.
    pub(crate) fn debug() -> Result<Self> {
        Self::make(&build(&crates(), Profile::Debug)?, None)
    }

    /// For a release: with no path of this machine in a program.
    pub(crate) fn release(epoch: u64) -> Result<Self> {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
        let home = home.ok_or("neither CARGO_HOME nor HOME is set")?;
        let remapped = [(home, "/cargo"), (root(), "/confluence-audit")];
        let remapped =
            remapped.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        // A separator that no path holds.
        let flags = remapped.join("\u{1f}");
        let built = build_with(
            &crates(),
            Profile::Release,
            &[("CARGO_ENCODED_RUSTFLAGS", &flags)],
        )?;
        Self::make(&built, Some(epoch))
    }

    /// Takes the programs and has them generate manual pages and completions.
    fn make(built: &Path, epoch: Option<u64>) -> Result<Self> {
        let stage = Self {
            folder: target().join("stage"),
            epoch,
        };
        if stage.folder.exists() {
            fs::remove_dir_all(&stage.folder)?;
        }
        fs::create_dir_all(stage.generated().join("man"))?;
        fs::create_dir_all(stage.generated().join("completions"))?;
        for (_, program) in programs() {
            fs::copy(built.join(program), stage.program(program))?;
        }
        stage.generate()?;
        Ok(stage)
    }

    /// A program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("release").join(name)
    }

    /// Manual pages in `man/`, completions in `completions/`.
    pub(crate) fn generated(&self) -> PathBuf {
        self.folder.join("release/packaging")
    }

    fn generate(&self) -> Result {
        let program = self.program("confluence-audit");
        let pages = tempfile::tempdir()?;
        let generate = |what: &[&str]| -> Result<Vec<u8>> {
            let answer = Command::new(&program)
                .arg("generate")
                .args(what)
                .stdin(Stdio::null())
                .stderr(Stdio::inherit())
                .output()?;
            if !answer.status.success() {
                return Err(
                    format!("generate {} ended with {}", what.join(" "), answer.status).into(),
                );
            }
            Ok(answer.stdout)
        };
        let below = pages.path().display().to_string();
        generate(&["man", "--dir", &below])?;
        for page in fs::read_dir(pages.path().join("usr/share/man/man1"))? {
            let page = page?;
            let name = page.file_name().to_string_lossy().into_owned();
            self.keep_page(&name, &fs::read(page.path())?)?;
        }
        for (_, program) in programs().filter(|(_, program)| *program != "confluence-audit") {
            let page = self.page(program)?;
            let name = format!("{program}.{}", section(program));
            self.keep_page(&name, page.as_bytes())?;
        }
        for (shell, name) in [
            ("bash", "confluence-audit.bash"),
            ("zsh", "_confluence-audit"),
            ("fish", "confluence-audit.fish"),
        ] {
            let script = generate(&["completions", shell])?;
            fs::write(self.generated().join("completions").join(name), script)?;
        }
        Ok(())
    }

    /// Puts a manual page where the packers find it, compressed as distributions want it.
    fn keep_page(&self, name: &str, page: &[u8]) -> Result {
        let file = fs::File::create(self.generated().join("man").join(format!("{name}.gz")))?;
        // Its header names no time and no file.
        let mut packed = GzEncoder::new(file, Compression::best());
        packed.write_all(page)?;
        packed.finish()?;
        Ok(())
    }

    /// A manual page of what a program says of itself: those that generate nothing are small.
    fn page(&self, program: &str) -> Result<String> {
        let mut command = Command::new(self.program(program));
        command
            .arg("--help")
            .env("COLUMNS", "78")
            .stdin(Stdio::null());
        let answer = command.output()?;
        if !answer.status.success() {
            return Err(format!("{program} --help ended with {}", answer.status).into());
        }
        let version = env!("CARGO_PKG_VERSION");
        Ok(roff(
            program,
            section(program),
            version,
            &String::from_utf8(answer.stdout)?,
        ))
    }

    /// Packs a `.deb` into `folder`. With a version it is one to be tried: packed quickly.
    pub(crate) fn deb(&self, folder: &Path, trial: Option<&str>) -> Result<PathBuf> {
        let mut command = self.packer("deb");
        command.args(["--package", PACKAGE, "--no-build", "--locked", "--offline"]);
        command.arg("--output").arg(folder);
        if let Some(version) = trial {
            command.args(["--fast", "--strip", "--deb-version", version]);
        }
        let answer = command.stderr(Stdio::inherit()).output()?;
        if !answer.status.success() {
            return Err(format!("cargo deb ended with {}", answer.status).into());
        }
        // It prints the path of what it made.
        let printed = String::from_utf8(answer.stdout)?;
        let path = printed.lines().last().ok_or("cargo deb names no package")?;
        Ok(PathBuf::from(path.trim()))
    }

    /// Packs an `.rpm` into `folder`.
    pub(crate) fn rpm(&self, folder: &Path) -> Result {
        let mut command = self.packer("generate-rpm");
        command.args(["--package", "crates/cli", "--auto-req", "builtin"]);
        command.arg("--target-dir").arg(&self.folder);
        command.arg("--output").arg(folder);
        succeed(&mut command)
    }

    fn packer(&self, name: &str) -> Command {
        let mut command = cargo();
        command.arg(name).env("CARGO_TARGET_DIR", &self.folder);
        if let Some(epoch) = self.epoch {
            command.env("SOURCE_DATE_EPOCH", epoch.to_string());
        }
        command.stdin(Stdio::null());
        command
    }
}

/// The part of the manual that a program belongs to: 8 is for what administrators have running.
fn section(program: &str) -> u8 {
    if program.ends_with('d') { 8 } else { 1 }
}

/// A page that shows a text as it is, under a program's name and its first sentence.
fn roff(program: &str, section: u8, version: &str, text: &str) -> String {
    let escaped = |text: &str| text.replace('\\', "\\e").replace('-', "\\-");
    let first = text.split("\n\n").next().unwrap_or_default();
    let first = escaped(&first.replace('\n', " "));
    let name = escaped(program);
    let mut page = format!(
        ".TH {program} {section} \"\" \"{program} {version}\"\n.SH NAME\n{name} \\- {first}\n\
         .SH DESCRIPTION\n.nf\n"
    );
    for line in text.lines() {
        // A line that begins with one of these would be an instruction.
        if line.starts_with(['.', '\'']) {
            page.push_str("\\&");
        }
        page.push_str(&escaped(line));
        page.push('\n');
    }
    page.push_str(".fi\n");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_every_line_as_it_is() {
        let page = roff("xd", section("xd"), "1.0", "Does\nx.\n\n.dot \\ --flag\n");
        assert_eq!(
            page,
            ".TH xd 8 \"\" \"xd 1.0\"\n.SH NAME\nxd \\- Does x.\n.SH DESCRIPTION\n.nf\n\
             Does\nx.\n\n\\&.dot \\e \\-\\-flag\n.fi\n"
        );
    }
}
