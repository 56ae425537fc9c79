//! Lines of a file that is plain, gzip or Zstandard: recognised by its first bytes, since rotation
//! renames files as it likes.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use crate::{Error, ErrorKind, Result};

/// The longest line that is read: as long as the longest answer of a service.
const LONGEST: usize = 64 << 20;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// How much is read at a time.
const CHUNK: usize = 1 << 17;

/// One file, line after line.
pub(super) struct Lines {
    name: String,
    reader: Box<dyn BufRead>,
    /// The file itself failed, not what is in it.
    failed: Rc<Cell<bool>>,
    line: Vec<u8>,
    number: u64,
}

/// What comes next in a file.
pub(super) enum Next<'a> {
    /// A line without its newline, which the last one need not have.
    Line(&'a [u8]),
    /// The compressed data cannot be read from here on.
    Damaged(io::Error),
    End,
}

impl Lines {
    /// Opens the file at `path`, `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::read("standard input".to_owned(), io::stdin());
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| unreadable(&name, error))?;
        Self::of_file(name, file)
    }

    /// The lines of an open file.
    pub(super) fn of_file(name: String, file: File) -> Result<Self> {
        let meta = file.metadata().map_err(|error| unreadable(&name, error))?;
        if meta.is_dir() {
            return Err(Error::new(
                ErrorKind::Io,
                format!("{name} is a directory"),
                "Name the files in it, such as DIR/flattened.json*.",
            ));
        }
        Self::read(name, file)
    }

    pub(super) fn read(name: String, source: impl Read + 'static) -> Result<Self> {
        let failed = Rc::new(Cell::new(false));
        let mut source = Watched {
            source,
            failed: Rc::clone(&failed),
        };
        let mut head = Vec::new();
        source
            .by_ref()
            .take(ZSTD.len() as u64)
            .read_to_end(&mut head)
            .map_err(|error| unreadable(&name, error))?;
        let (gzip, zstd) = (head.starts_with(GZIP), head.starts_with(ZSTD));
        let whole = BufReader::with_capacity(CHUNK, Cursor::new(head).chain(source));
        let reader: Box<dyn BufRead> = if gzip {
            Box::new(BufReader::with_capacity(CHUNK, MultiGzDecoder::new(whole)))
        } else if zstd {
            Box::new(BufReader::with_capacity(CHUNK, Zstd::new(whole)))
        } else {
            Box::new(whole)
        };
        Ok(Self {
            name,
            reader,
            failed,
            line: Vec::new(),
            number: 0,
        })
    }

    /// What messages call the file.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The number of the line that was read last; the first is 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Reads on. Behind damage there is nothing more to be read.
    pub(super) fn next(&mut self) -> Result<Next<'_>> {
        self.line.clear();
        self.number += 1;
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if self.failed.get() => return Err(unreadable(&self.name, error)),
                Err(error) => return Ok(Next::Damaged(error)),
            };
            if chunk.is_empty() {
                return Ok(if self.line.is_empty() {
                    Next::End
                } else {
                    Next::Line(&self.line)
                });
            }
            let newline = memchr::memchr(b'\n', chunk);
            let part = &chunk[..newline.unwrap_or(chunk.len())];
            if self.line.len() + part.len() > LONGEST {
                return Err(Error::new(
                    ErrorKind::Io,
                    format!(
                        "{} line {}: it is longer than {} MiB",
                        self.name,
                        self.number,
                        LONGEST >> 20
                    ),
                    "Name files of the `raw` format, with one record a line.",
                ));
            }
            self.line.extend_from_slice(part);
            let used = part.len() + usize::from(newline.is_some());
            self.reader.consume(used);
            if newline.is_some() {
                return Ok(Next::Line(&self.line));
            }
        }
    }
}

pub(super) fn unreadable(name: &str, error: io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "Check the name; a rotated file may have another one by now.",
        io::ErrorKind::PermissionDenied => "Let this user read it, or run as one who may.",
        _ => "See to the disk that it is on.",
    };
    Error::new(ErrorKind::Io, format!("{name} cannot be read"), remedy).with_source(error)
}

/// Remembers whether reading failed below the decoder.
struct Watched<R> {
    source: R,
    failed: Rc<Cell<bool>>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.failed.set(true);
        }
        read
    }
}

/// Zstandard frames, one behind the other, as `zstd` and `cat` write them.
struct Zstd<R> {
    source: R,
    frame: FrameDecoder,
    within: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            frame: FrameDecoder::new(),
            within: false,
        }
    }

    /// Whether another frame was begun.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.frame.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let skipped =
                        io::copy(&mut self.source.by_ref().take(length), &mut io::sink())?;
                    if skipped < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBytes;
        loop {
            if !self.within {
                if !self.begin()? {
                    return Ok(0);
                }
                self.within = true;
            }
            // The decoder keeps back what later blocks refer to until the frame ends.
            if self.frame.can_collect() == 0 && !self.frame.is_finished() {
                self.frame
                    .decode_blocks(&mut self.source, UptoBytes(buffer.len()))
                    .map_err(io::Error::other)?;
                continue;
            }
            let read = self.frame.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            if self.frame.is_finished() {
                if let Some(told) = self.frame.get_checksum_from_data()
                    && self.frame.get_calculated_checksum() != Some(told)
                {
                    return Err(io::Error::other("its checksum does not match"));
                }
                self.within = false;
            }
        }
    }
}
