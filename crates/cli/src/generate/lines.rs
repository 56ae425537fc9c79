//! A file of settings as lines, of which some are changed and all others stay: comments are what
//! these files are printed for.

use confluence_audit_collector::Result;

use super::no_such_line;

/// Lines of a TOML file or of a unit.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    lines: Vec<String>,
    /// What stands between a key and its value.
    between: &'static str,
}

impl Lines {
    pub(super) fn toml(text: &str) -> Self {
        Self::new(text, " = ")
    }

    pub(super) fn unit(text: &str) -> Self {
        Self::new(text, "=")
    }

    fn new(text: &str, between: &'static str) -> Self {
        Self {
            lines: text.lines().map(str::to_owned).collect(),
            between,
        }
    }

    /// The value of a setting that is made.
    pub(super) fn get(&self, section: &str, key: &str) -> Option<&str> {
        let at = self.find(section, |line| self.made(line, key).is_some())?;
        self.made(&self.lines[at], key)
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
            line.contains(with)
                && self
                    .made(line.strip_prefix('#').unwrap_or(line), key)
                    .is_some()
        });
        let at = at.ok_or_else(|| no_such_line(key))?;
        self.lines[at] = self.line(key, value);
        Ok(())
    }

    /// Turns a setting that is made into an example.
    pub(super) fn unset(&mut self, section: &str, key: &str) {
        if let Some(at) = self.find(section, |line| self.made(line, key).is_some()) {
            self.lines[at].insert(0, '#');
        }
    }

    /// Makes a setting that may be made several times: in place of its example, else behind its
    /// last one, else at the end of the section.
    pub(super) fn add(&mut self, section: &str, key: &str, value: &str) -> Result<()> {
        let line = self.line(key, value);
        let example = format!("#{key}{}", self.between);
        let range = self.section(section).ok_or_else(|| no_such_line(section))?;
        let last = range
            .clone()
            .rev()
            .find(|at| self.made(&self.lines[*at], key).is_some());
        if let Some(last) = last {
            self.lines.insert(last + 1, line);
        } else if let Some(at) = self.find(section, |line| line.starts_with(&example)) {
            self.lines[at] = line;
        } else {
            let end = range.rev().find(|at| !self.lines[*at].is_empty());
            let end = end.ok_or_else(|| no_such_line(section))?;
            self.lines.insert(end + 1, line);
        }
        Ok(())
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }

    fn line(&self, key: &str, value: &str) -> String {
        format!("{key}{}{value}", self.between)
    }

    fn made<'a>(&self, line: &'a str, key: &str) -> Option<&'a str> {
        line.strip_prefix(key)?.strip_prefix(self.between)
    }

    fn find(&self, section: &str, wanted: impl Fn(&str) -> bool) -> Option<usize> {
        self.section(section)?.find(|at| wanted(&self.lines[*at]))
    }

    /// The lines of the first section that begins so, its head among them.
    fn section(&self, head: &str) -> Option<std::ops::Range<usize>> {
        let start = self.lines.iter().position(|line| line == head)?;
        let rest = &self.lines[start + 1..];
        let len = rest.iter().position(|line| line.starts_with('['));
        Some(start..start + 1 + len.unwrap_or(rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str =
        "[A]\nKey=1\n\n[B]\n# Why\nKey=2\n#List=example\n#Other=example\n\n[C]\nKey=3\n";

    #[test]
    fn only_the_line_of_that_section_changes() {
        let mut lines = Lines::unit(UNIT);
        lines.set("[B]", "Key", "new").expect("it is there");
        assert_eq!(lines.text(), UNIT.replace("Key=2", "Key=new"));
        assert_eq!(lines.get("[B]", "Key"), Some("new"));
        assert_eq!(lines.get("[B]", "List"), None);
        assert!(lines.set("[B]", "Missing", "x").is_err());
        assert!(lines.set("[A]", "List", "x").is_err());
    }

    #[test]
    fn several_take_the_place_of_the_example_in_order() {
        let mut lines = Lines::unit(UNIT);
        lines.add("[B]", "List", "1").expect("it");
        lines.add("[B]", "List", "2").expect("it");
        lines.add("[B]", "New", "3").expect("it");
        let expected = UNIT.replace(
            "#List=example\n#Other=example\n",
            "List=1\nList=2\n#Other=example\nNew=3\n",
        );
        assert_eq!(lines.text(), expected);
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
