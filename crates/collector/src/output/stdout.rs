//! Standard output: for a pipe into another program, which sees every line at least once.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use confluence_audit_formats::Format;

use super::kind::{Declared, KindInfo, OutputKind, OutputSetup};
use super::{BatchLimits, Delivered, Entry, Output, OutputName};
use crate::table::Table;
use crate::{Error, ErrorKind, Result};

/// The configuration of standard output: it has no keys of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StdoutConfig;

impl OutputKind for StdoutConfig {
    fn info(&self) -> KindInfo {
        Self::INFO
    }

    fn display_name(&self) -> String {
        "-".to_owned()
    }

    fn state_name(&self) -> Result<String> {
        Ok(Self::INFO.name.to_owned())
    }

    fn build(&self, setup: OutputSetup<'_>) -> Box<dyn Output> {
        Box::new(StdoutOutput::new(setup.name))
    }
}

impl Declared for StdoutConfig {
    const INFO: KindInfo = KindInfo {
        name: "stdout",
        format: Format::Raw,
        batch: BatchLimits::AT_ONCE,
        names_sites: false,
    };

    fn read(_: &mut Table<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// Writes lines to standard output.
///
/// A batch is confirmed when it has been written and flushed, and a pipe tells no more than that:
/// what its reader did not take before it died is lost with it, and a batch that could not be
/// written whole is written again from its first line.
pub struct StdoutOutput {
    name: OutputName,
    // Locked by the thread that writes, which goes on when a delivery's future is dropped.
    sink: Arc<Mutex<Box<dyn Write + Send>>>,
}

impl StdoutOutput {
    /// An output to this process's standard output.
    pub fn new(name: OutputName) -> Self {
        Self::to(name, io::stdout())
    }

    fn to(name: OutputName, sink: impl Write + Send + 'static) -> Self {
        Self {
            name,
            sink: Arc::new(Mutex::new(Box::new(sink))),
        }
    }
}

#[async_trait]
impl Output for StdoutOutput {
    fn name(&self) -> &OutputName {
        &self.name
    }

    async fn check(&mut self) -> Result<String> {
        Ok("standard output; whoever reads it is asked nothing".to_owned())
    }

    async fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    async fn deliver(&mut self, entries: &[Entry], _: Option<&[u8]>) -> Result<Delivered> {
        let lines: Vec<_> = entries.iter().map(|entry| entry.line.clone()).collect();
        let count = lines.len();
        let sink = Arc::clone(&self.sink);
        let write = move || {
            let mut sink = sink
                .lock()
                .map_err(|_| Error::internal("an earlier write to standard output panicked"))?;
            let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
            for line in lines {
                bytes.extend_from_slice(&line);
                bytes.push(b'\n');
            }
            let written = sink.write_all(&bytes).and_then(|()| sink.flush());
            written.map_err(|error| failed(count, error))
        };
        tokio::task::spawn_blocking(write).await.map_err(|error| {
            Error::internal("writing to standard output panicked").with_source(error)
        })??;
        Ok(Delivered {
            lines: count,
            ..Delivered::default()
        })
    }
}

fn failed(lines: usize, error: io::Error) -> Error {
    let message = if error.kind() == io::ErrorKind::BrokenPipe {
        "standard output was closed by its reader (broken pipe)".to_owned()
    } else {
        format!("writing {lines} lines to standard output failed")
    };
    Error::new(
        ErrorKind::Io,
        message,
        "See what became of the program that reads the lines. Nothing is lost: the lines of the \
         last batch are written again by the next run, also those of them that were read.",
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::output::conformance::{self, Destination, Promise, Trouble};

    /// Takes some bytes, and then its reader has gone. Whatever is not flushed is not there.
    struct Pipe {
        taken: Arc<Mutex<Vec<u8>>>,
        buffer: Vec<u8>,
        room: usize,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let fits = bytes.len().min(self.room);
            self.room -= fits;
            self.buffer.extend_from_slice(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.taken.lock().unwrap().append(&mut self.buffer);
            Ok(())
        }
    }

    fn output(room: usize) -> (StdoutOutput, Arc<Mutex<Vec<u8>>>) {
        let taken = Arc::default();
        let pipe = Pipe {
            taken: Arc::clone(&taken),
            buffer: Vec::new(),
            room,
        };
        (StdoutOutput::to(OutputName::new("stdout"), pipe), taken)
    }

    #[tokio::test]
    async fn lines_are_flushed_before_they_are_confirmed() {
        let (mut output, taken) = output(100);
        let entries = [Entry::example("a", 1), Entry::example("b", 2)];
        let done = output.deliver(&entries, None).await.unwrap();
        assert_eq!(done.lines, 2);
        assert_eq!(*taken.lock().unwrap(), b"a\nb\n");
    }

    #[tokio::test]
    async fn a_broken_pipe_is_an_error_and_confirms_nothing() {
        let (mut output, _) = output(3);
        let entries = [Entry::example("a", 1), Entry::example("b", 2)];
        let error = output.deliver(&entries, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("broken pipe"), "{error}");
    }

    /// A reader that takes everything, sometimes slowly.
    #[derive(Clone, Default)]
    struct Reader {
        taken: Arc<Mutex<Vec<u8>>>,
        slow: Arc<AtomicBool>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut some = bytes.len();
            if self.slow.load(Ordering::Relaxed) {
                some = some.min(100);
                std::thread::sleep(Duration::from_millis(1));
            }
            self.taken.lock().unwrap().extend_from_slice(&bytes[..some]);
            Ok(some)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[async_trait]
    impl Destination for Reader {
        fn output(&self) -> Box<dyn Output> {
            let name = OutputName::new("stdout");
            Box::new(StdoutOutput::to(name, self.clone()))
        }

        async fn arrived(&mut self) -> Vec<String> {
            let taken = String::from_utf8(self.taken.lock().unwrap().clone()).unwrap();
            taken.lines().map(String::from).collect()
        }

        fn troubles(&self) -> &'static [Trouble] {
            // A reader that goes away never comes back: see above.
            &[Trouble::Slow]
        }

        async fn set_trouble(&mut self, trouble: Option<Trouble>) {
            self.slow.store(trouble.is_some(), Ordering::Relaxed);
        }

        fn promise(&self) -> Promise {
            Promise::AtLeastOnce
        }

        fn dead_letters(&self) -> Option<Vec<String>> {
            None
        }

        fn longest_line(&self) -> Option<usize> {
            None
        }
    }

    #[tokio::test]
    async fn it_passes_the_suite_of_outputs() {
        conformance::run(async || Reader::default()).await;
    }
}
