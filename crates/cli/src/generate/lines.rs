//! Edits lines of a configuration file and keeps all others: comments are what it is printed for.

use confluence_audit_collector::Result;

use super::no_such_line;

/// Lines of a TOML file.
#[derive(Clone, Debug)]
pub(super) struct Lines(Vec<String>);

impl Lines {
    pub(super) fn toml(text: &str) -> Self {
        Self(text.lines().map(str::to_owned).collect())
    }

    /// Makes a setting where it stands, made or not.
    pub(super) fn set(&mut self, section: &str, key: &str, value: &str) -> Result<()> {
        self.set_where(section, key, value, "")
    }

    /// The same, where the line holds `with` too: one of several examples.
    pub(super) fn set_where(
        &mut self,
        section: &str,
        key: &str,
        value: &str,
        with: &str,
    ) -> Result<()> {
        let at = self.find(section, |line| {
            line.contains(with) && is_made(line.strip_prefix('#').unwrap_or(line), key)
        });
        let at = at.ok_or_else(|| no_such_line(key))?;
        self.0[at] = format!("{key} = {value}");
        Ok(())
    }

    /// Turns a setting that is made into an example.
    pub(super) fn unset(&mut self, section: &str, key: &str) {
        if let Some(at) = self.find(section, |line| is_made(line, key)) {
            self.0[at].insert(0, '#');
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.0.join("\n");
        text.push('\n');
        text
    }

    fn find(&self, section: &str, wanted: impl Fn(&str) -> bool) -> Option<usize> {
        self.section(section)?.find(|at| wanted(&self.0[*at]))
    }

    /// The lines of the first section that begins so, its head among them.
    fn section(&self, head: &str) -> Option<std::ops::Range<usize>> {
        let start = self.0.iter().position(|line| line == head)?;
        let rest = &self.0[start + 1..];
        let len = rest.iter().position(|line| line.starts_with('['));
        Some(start..start + 1 + len.unwrap_or(rest.len()))
    }
}

fn is_made(line: &str, key: &str) -> bool {
    let rest = line.strip_prefix(key);
    rest.is_some_and(|rest| rest.starts_with(" = "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[a]\nkey = 1\n\n[b]\n# Why\nkey = 2\n#list = \"x\"\n\n[c]\nkey = 3\n";

    #[test]
    fn only_the_line_of_that_section_changes() {
        let mut lines = Lines::toml(TEXT);
        lines.set("[b]", "key", "new").expect("it is there");
        assert_eq!(lines.text(), TEXT.replace("key = 2", "key = new"));
        assert!(lines.set("[b]", "missing", "x").is_err());
        assert!(lines.set("[a]", "list", "x").is_err());
    }

    #[test]
    fn a_setting_becomes_an_example_and_back() {
        let mut lines = Lines::toml("[[a]]\nkey = 1\n");
        lines.unset("[[a]]", "key");
        assert_eq!(lines.text(), "[[a]]\n#key = 1\n");
        lines.set("[[a]]", "key", "2").expect("it is there");
        assert_eq!(lines.text(), "[[a]]\nkey = 2\n");
    }
}
