//! A service with its output and a directory for its dead letters, as the cases want them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use confluence_audit_formats::Format;
use tempfile::TempDir;

use super::{Handler, Server};
use crate::output::conformance::{Destination, Promise, Trouble};
use crate::output::service::config::ServiceConfig;
use crate::output::service::{Protocol, Service};
use crate::output::{BatchLimits, Output, OutputContext, OutputName, OutputSetup};

/// How an output for the service is made.
type Make = fn(&OutputName, ServiceConfig, &OutputContext) -> Box<dyn Output>;

pub(in crate::output) struct ServiceDestination<H> {
    pub(in crate::output) server: Server<H>,
    pub(in crate::output) dir: TempDir,
    pub(in crate::output) gzip: bool,
    pub(in crate::output) body_limit: Option<usize>,
    make: Make,
    promise: Promise,
}

/// The output that speaks so.
pub(in crate::output) fn output<P: Protocol + 'static>(
    name: &OutputName,
    protocol: P,
    context: &OutputContext,
) -> Box<dyn Output> {
    let setup = OutputSetup {
        name: name.clone(),
        format: Format::Raw,
        batch: BatchLimits::within_a_second(1_000, 1 << 20),
        context,
    };
    Box::new(Service::new(setup, protocol))
}

impl<H: Handler> ServiceDestination<H> {
    pub(in crate::output) async fn new(handler: H, promise: Promise, make: Make) -> Self {
        Self {
            server: Server::start(handler).await,
            dir: tempfile::tempdir().unwrap(),
            gzip: true,
            body_limit: None,
            make,
            promise,
        }
    }

    /// The same, taking no longer bodies.
    pub(in crate::output) fn with_body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = Some(bytes);
        self.server.mood.lock().unwrap().body_limit = Some(bytes);
        self
    }

    /// A file that holds a secret.
    pub(in crate::output) fn secret(&self, name: &str, content: &str) -> PathBuf {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.dir.path().join(name);
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = file.open(&path).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        path
    }

    pub(in crate::output) fn letters(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.dir.path().join("dead-letters")) else {
            return Vec::new();
        };
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let text: String = files.map(|file| read(&file.unwrap().path())).collect();
        text.lines().map(str::to_owned).collect()
    }
}

#[async_trait]
impl<H: Handler> Destination for ServiceDestination<H> {
    fn output(&self) -> Box<dyn Output> {
        let service = ServiceConfig {
            timeout: Duration::from_secs(20),
            gzip: self.gzip,
            ..ServiceConfig::new(self.server.url.clone())
        };
        let context = OutputContext {
            state_dir: self.dir.path().to_owned(),
            // A bare name is found there.
            credentials_dir: Some(self.dir.path().to_owned()),
        };
        let name = OutputName::new("service:http://service.example/place");
        (self.make)(&name, service, &context)
    }

    async fn arrived(&mut self) -> Vec<String> {
        self.server.handler.lock().unwrap().arrived()
    }

    fn troubles(&self) -> &'static [Trouble] {
        &[
            Trouble::Down,
            Trouble::Slow,
            Trouble::Busy,
            Trouble::LosesAnswer,
        ]
    }

    async fn set_trouble(&mut self, trouble: Option<Trouble>) {
        *self.server.mood.lock().unwrap() = trouble.into();
    }

    fn promise(&self) -> Promise {
        self.promise
    }

    fn dead_letters(&self) -> Option<Vec<String>> {
        Some(self.letters())
    }

    fn longest_line(&self) -> Option<usize> {
        self.body_limit
    }
}
