//! Reads a response from `fixtures/`, in the form that its README describes.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use wiremock::ResponseTemplate;

/// One response: what stands in the file and nothing else.
pub(crate) struct Fixture {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Fixture {
    /// Reads `audit/first-page`, say.
    pub(crate) fn read(name: &str) -> Self {
        let path = folder().join(format!("{name}.http"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let (status, headers) = head.split_once('\n').unwrap_or((head, ""));
        let status = status.strip_prefix("HTTP/1.1 ").unwrap();
        Self {
            status: status[..3].parse().unwrap(),
            headers: headers
                .lines()
                .map(|line| line.split_once(':').unwrap())
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            body: Bytes::copy_from_slice(&bytes[end + 2..]),
        }
    }

    /// The names of all fixtures in a folder, sorted: `audit/first-page` and so on.
    pub(crate) fn names(of: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder().join(of))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "http"))
            .map(|path| format!("{of}/{}", path.file_stem().unwrap().to_str().unwrap()))
            .collect();
        names.sort();
        assert!(!names.is_empty(), "no fixtures in {of}");
        names
    }

    pub(crate) fn template(&self) -> ResponseTemplate {
        let template = ResponseTemplate::new(self.status).set_body_bytes(self.body.to_vec());
        self.headers
            .iter()
            .fold(template, |template, (name, value)| {
                template.append_header(name.as_str(), value.as_str())
            })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}
