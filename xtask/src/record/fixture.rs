//! Fixture file: a status line, headers, an empty line, and the body's bytes untouched.
//! `fixtures/README.md` describes it for people.

/// One recorded response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fixture {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Fixture {
    /// The file's bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}", self.status, self.reason)
            .trim_end()
            .to_owned();
        for (name, value) in &self.headers {
            head.push_str(format!("\n{name}: {value}").trim_end());
        }
        head.push_str("\n\n");
        [head.as_bytes(), &self.body].concat()
    }
}

#[cfg(test)]
impl Fixture {
    /// Reads a file; `None` when it is not in the form. Only tests read fixtures here.
    pub(crate) fn parse(file: &[u8]) -> Option<Self> {
        let end = file.windows(2).position(|pair| pair == b"\n\n")?;
        let head = std::str::from_utf8(&file[..end]).ok()?;
        let mut lines = head.lines();
        let mut first = lines.next()?.strip_prefix("HTTP/1.1 ")?.splitn(2, ' ');
        let status = first.next()?.parse().ok()?;
        let reason = first.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| {
                line.split_once(':')
                    .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            })
            .collect::<Option<_>>()?;
        Some(Self {
            status,
            reason,
            headers,
            body: file[end + 2..].to_vec(),
        })
    }

    /// Every fixture of the repository with its path.
    pub(crate) fn all() -> Vec<(std::path::PathBuf, Self)> {
        let mut folders = vec![crate::workspace::root().join("fixtures")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("the folder is readable") {
                let path = entry.expect("its entries are readable").path();
                if path.is_dir() && path.file_name() != Some("recorded".as_ref()) {
                    folders.push(path);
                } else if path.extension() == Some("http".as_ref()) {
                    let file = std::fs::read(&path).expect("the file is readable");
                    let fixture = Self::parse(&file)
                        .unwrap_or_else(|| panic!("{} is in the form", path.display()));
                    found.push((path, fixture));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_bytes_are_untouched() {
        let fixture = Fixture {
            status: 200,
            reason: "OK".to_owned(),
            headers: vec![("Content-Type".to_owned(), "application/zip".to_owned())],
            body: b"PK\r\n\n\n\xff\x00".to_vec(),
        };
        let file = fixture.to_bytes();
        assert!(file.starts_with(b"HTTP/1.1 200 OK\nContent-Type: application/zip\n\nPK\r\n\n\n"));
        assert_eq!(Fixture::parse(&file), Some(fixture));
    }

    #[test]
    fn empty_reason_value_and_body_survive() {
        let fixture = Fixture {
            status: 204,
            reason: String::new(),
            headers: vec![("X-RateLimit-Remaining".to_owned(), String::new())],
            body: Vec::new(),
        };
        assert_eq!(Fixture::parse(&fixture.to_bytes()), Some(fixture));
    }

    #[test]
    fn every_fixture_is_in_the_form_and_names_no_framing() {
        let all = Fixture::all();
        assert!(all.len() > 100, "only {} fixtures were found", all.len());
        for (path, fixture) in all {
            assert!((100..600).contains(&fixture.status), "{}", path.display());
            for (name, _) in &fixture.headers {
                let framing = [
                    "content-length",
                    "transfer-encoding",
                    "content-encoding",
                    "connection",
                ];
                assert!(
                    !framing.contains(&name.to_lowercase().as_str()),
                    "{}: {name}",
                    path.display()
                );
            }
            let written = fixture.to_bytes();
            assert_eq!(
                written,
                std::fs::read(&path).expect("it was readable"),
                "{}",
                path.display()
            );
        }
    }
}
