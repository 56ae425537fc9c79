//! Terminal: lines that a person types or pastes or a script pipes in, and what is said back.

use std::io::BufRead as _;
use std::thread;

use tokio::sync::mpsc::{self, Receiver};

/// Standard input, line by line.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    /// Begins to read, on a thread of its own: nothing can take a read back, and the program must
    /// be able to end while one waits.
    pub(crate) fn start() -> Self {
        let (send, lines) = mpsc::channel(1);
        thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if send.blocking_send(line).is_err() {
                    break;
                }
            }
        });
        Self(lines)
    }

    /// The next line that is not blank; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            let line = self.0.recv().await?;
            if !line.trim().is_empty() {
                return Some(line.trim().to_owned());
            }
        }
    }
}

/// Says something to the person, on standard error.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    // There is nowhere else to say it.
    let _ = writeln!(std::io::stderr(), "{text}");
}
