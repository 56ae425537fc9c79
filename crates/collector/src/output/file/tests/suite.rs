//! The suite that every output passes, on a file and on one that rotates itself.

use super::rotation::rotating;
use super::*;

#[async_trait]
impl conformance::Destination for TestFile {
    fn output(&self) -> Box<dyn Output> {
        let (name, path) = (OutputName::new("log"), self.path("log"));
        Box::new(FileOutput::with(name, path, self.1.clone()))
    }

    async fn arrived(&mut self) -> Vec<String> {
        self.all().0.lines().map(str::to_owned).collect()
    }

    fn troubles(&self) -> &'static [conformance::Trouble] {
        // What a disk can do to it is tried elsewhere.
        &[]
    }

    async fn set_trouble(&mut self, _: Option<conformance::Trouble>) {}

    fn promise(&self) -> conformance::Promise {
        conformance::Promise::ExactlyOnce
    }

    fn dead_letters(&self) -> Option<Vec<String>> {
        None
    }

    fn longest_line(&self) -> Option<usize> {
        None
    }
}

#[tokio::test]
async fn it_conforms() {
    conformance::run(async || TestFile::new()).await;
}

#[tokio::test]
async fn it_conforms_with_a_rotation_of_its_own() {
    conformance::run(async || TestFile::with(rotating(200, Compression::Gzip))).await;
}
