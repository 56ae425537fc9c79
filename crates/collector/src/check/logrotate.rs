//! Checks of log rotation: what logrotate's configuration does with an output file.

use std::fs;
use std::path::{Path, PathBuf};

/// What logrotate does with some files.
#[derive(Debug)]
pub(super) struct Rotation {
    /// The file that says so.
    pub(super) origin: PathBuf,
    patterns: Vec<glob::Pattern>,
    directives: Vec<String>,
}

/// What is configured on this host; what cannot be read is left out.
pub(super) fn read() -> Vec<Rotation> {
    let main = Path::new("/etc/logrotate.conf");
    let more = fs::read_dir("/etc/logrotate.d").into_iter().flatten();
    let mut files: Vec<PathBuf> = more.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut global = Vec::new();
    let mut rotations = Vec::new();
    for file in std::iter::once(main).chain(files.iter().map(PathBuf::as_path)) {
        if let Ok(text) = fs::read_to_string(file) {
            rotations.extend(parse(&text, file, &mut global));
        }
    }
    rotations
}

/// The rotations of one file. What stands outside of braces holds from there on, in the files that
/// are read later too.
fn parse(text: &str, origin: &Path, global: &mut Vec<String>) -> Vec<Rotation> {
    let mut rotations = Vec::new();
    let mut patterns = Vec::new();
    let mut inside: Option<Vec<String>> = None;
    let mut in_script = false;
    for line in text.lines() {
        let line = line.trim();
        if in_script {
            in_script = line != "endscript";
            continue;
        }
        let line = match line.strip_prefix('#') {
            Some(_) => continue,
            None => line,
        };
        let Some(word) = line.split([' ', '\t', '=']).next() else {
            continue;
        };
        in_script = SCRIPTS.contains(&word);
        if let Some(directives) = &mut inside {
            if line.starts_with('}') {
                let of_all = global.iter().cloned();
                let directives = of_all.chain(directives.drain(..)).collect();
                rotations.push(Rotation {
                    origin: origin.to_owned(),
                    patterns: std::mem::take(&mut patterns),
                    directives,
                });
                inside = None;
            } else if !word.is_empty() {
                directives.push(word.to_owned());
            }
            continue;
        }
        let (paths, opens) = match line.split_once('{') {
            Some((paths, _)) => (paths, true),
            None => (line, false),
        };
        if opens || line.starts_with(['/', '"', '\'']) {
            let paths = paths.split_whitespace();
            let bare = paths.map(|path| path.trim_matches(['"', '\'']));
            patterns.extend(bare.filter_map(|path| glob::Pattern::new(path).ok()));
        } else if !word.is_empty() {
            global.push(word.to_owned());
        }
        if opens {
            inside = Some(Vec::new());
        }
    }
    rotations
}

const SCRIPTS: [&str; 5] = [
    "prerotate",
    "postrotate",
    "firstaction",
    "lastaction",
    "preremove",
];

impl Rotation {
    /// Whether it rotates the file at `path`.
    pub(super) fn holds(&self, path: &Path) -> bool {
        self.patterns.iter().any(|it| it.matches_path(path))
    }

    /// What loses records, or may, and what to do about it.
    pub(super) fn faults(&self) -> Vec<(String, &'static str)> {
        // The last one counts where two contradict each other.
        let on = |yes: &str, no: &str| {
            let directives = self.directives.iter().rev();
            directives
                .map(String::as_str)
                .find(|word| *word == yes || *word == no)
                == Some(yes)
        };
        let mut faults = Vec::new();
        if on("copytruncate", "nocopytruncate") {
            faults.push((
                "copytruncate loses what is written between the copy and the cut".to_owned(),
                "Take it out and write nocreate and delaycompress: the file is renamed, and the \
                 next batch creates a new one. `confluence-audit generate logrotate` prints it.",
            ));
        }
        if on("compress", "nocompress") && !on("delaycompress", "nodelaycompress") {
            faults.push((
                "the file is compressed at once, while its last records may still be written"
                    .to_owned(),
                "Write delaycompress.",
            ));
        }
        if on("olddir", "noolddir") {
            faults.push((
                "olddir takes the file to another directory, where its last records cannot be \
                 completed; they are written again"
                    .to_owned(),
                "Write noolddir.",
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str, path: &str) -> Vec<String> {
        let rotations = parse(text, Path::new("test"), &mut Vec::new());
        let of_path = rotations.iter().filter(|it| it.holds(Path::new(path)));
        of_path
            .flat_map(Rotation::faults)
            .map(|(text, _)| text)
            .collect()
    }

    #[test]
    fn copytruncate_is_found_for_the_files_that_it_is_said_of() {
        let text = "# of old\nweekly\n/var/log/a/*.json /var/log/b.json\n{\n\tdaily\n  \
                    copytruncate\n}\n\"/var/log/c.json\" {\nnocopytruncate\n}\n";
        assert_eq!(faults(text, "/var/log/a/flattened.json").len(), 1);
        assert_eq!(faults(text, "/var/log/b.json").len(), 1);
        assert_eq!(faults(text, "/var/log/c.json"), Vec::<String>::new());
        assert_eq!(faults(text, "/var/log/d.json"), Vec::<String>::new());
    }

    #[test]
    fn what_holds_for_all_files_can_be_taken_back_for_one() {
        let text = "compress\n/a.json {\n}\n/b.json {\ndelaycompress\n}\n/c.json \
                    {\nnocompress\nolddir /old\n}\n";
        assert_eq!(faults(text, "/a.json").len(), 1);
        assert_eq!(faults(text, "/b.json").len(), 0);
        assert!(faults(text, "/c.json")[0].starts_with("olddir"));
    }

    #[test]
    fn a_script_is_not_taken_for_directives() {
        let text = "/a.json {\npostrotate\ncopytruncate\nendscript\n}\n";
        assert_eq!(faults(text, "/a.json").len(), 0);
    }
}
