//! Pages put together from pieces that were rendered, and compressed, before: so that a benchmark
//! measures its client and not the site.
//!
//! A piece is 64 records. Its compressed form stands by itself, so that a page's gzip stream is the
//! pieces that lie in it whole, one after the other, and what is between them as it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

use crate::generator::Generator;
use crate::lock::lock;
use crate::log::Log;

/// Records in a piece.
const PIECE: usize = 64;
/// Pieces kept, at about 60 KB each, compressed and not.
const KEPT: usize = 32 * 1024;
/// The most that a stored block of a deflate stream can hold.
const STORED: usize = 65_535;

/// The pieces that are ready, by number from the oldest.
#[derive(Default)]
pub(crate) struct Fast(Mutex<HashMap<usize, Arc<Piece>>>);

struct Piece {
    /// The records from new to old, with commas between them.
    text: String,
    /// Where each begins.
    begins: Vec<usize>,
    deflated: OnceLock<(Vec<u8>, Crc)>,
}

impl Fast {
    /// A page that holds the records of ranks `from..to`, from new to old, between `head` and
    /// `tail`.
    pub(crate) fn page(
        &self,
        (log, generator): (&Log, Generator),
        (from, to): (usize, usize),
        (head, tail): (&str, &str),
        gzip: bool,
    ) -> Bytes {
        let mut page = Page::new(gzip);
        page.push(head.as_bytes());
        let mut end = to;
        while end > from {
            let number = (end - 1) / PIECE;
            let first = number * PIECE;
            let piece = self.piece(number, log, generator);
            if end < to {
                page.push(b",");
            }
            let records = piece.begins.len();
            if first >= from && end == first + records {
                page.push_piece(&piece);
            } else {
                // The piece begins with its newest record.
                let newest = piece.begins[first + records - end];
                let behind = (first + records).saturating_sub(from.max(first));
                let stop = piece
                    .begins
                    .get(behind)
                    .map_or(piece.text.len(), |at| at - 1);
                page.push(&piece.text.as_bytes()[newest..stop]);
            }
            end = first.max(from);
        }
        page.push(tail.as_bytes());
        page.finish()
    }

    fn piece(&self, number: usize, log: &Log, generator: Generator) -> Arc<Piece> {
        if let Some(piece) = lock(&self.0).get(&number) {
            return Arc::clone(piece);
        }
        let mut piece = Piece {
            text: String::new(),
            begins: Vec::with_capacity(PIECE),
            deflated: OnceLock::new(),
        };
        for entry in log.slice(number * PIECE, PIECE).into_iter().rev() {
            if !piece.begins.is_empty() {
                piece.text.push(',');
            }
            piece.begins.push(piece.text.len());
            piece.text.push_str(&generator.record(entry).line());
        }
        let piece = Arc::new(piece);
        let mut pieces = lock(&self.0);
        if pieces.len() >= KEPT {
            pieces.clear();
        }
        pieces.insert(number, Arc::clone(&piece));
        piece
    }
}

impl Piece {
    fn deflated(&self) -> &(Vec<u8>, Crc) {
        self.deflated.get_or_init(|| {
            let text = self.text.as_bytes();
            let mut crc = Crc::new();
            crc.update(text);
            let mut deflate = Compress::new(Compression::default(), false);
            let mut out = Vec::with_capacity(text.len() + 1024);
            // There is room for all of it, so one call takes it, and compressing does not fail.
            let _ = deflate.compress_vec(text, &mut out, FlushCompress::Full);
            (out, crc)
        })
    }
}

/// A page in the making.
struct Page {
    out: Vec<u8>,
    /// What it is compressed with, and what of it waits to be stored.
    gzip: Option<(Crc, Vec<u8>)>,
}

impl Page {
    fn new(gzip: bool) -> Self {
        let mut out = Vec::with_capacity(1 << 18);
        if gzip {
            // Deflate, no name, no time, an unknown system.
            out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        }
        Self {
            out,
            gzip: gzip.then(|| (Crc::new(), Vec::new())),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        match &mut self.gzip {
            None => self.out.extend_from_slice(bytes),
            Some((crc, waiting)) => {
                crc.update(bytes);
                waiting.extend_from_slice(bytes);
            }
        }
    }

    fn push_piece(&mut self, piece: &Piece) {
        if self.gzip.is_none() {
            return self.push(piece.text.as_bytes());
        }
        self.store();
        if let Some((crc, _)) = &mut self.gzip {
            let (deflated, its) = piece.deflated();
            crc.combine(its);
            self.out.extend_from_slice(deflated);
        }
    }

    /// Writes what waits, uncompressed.
    fn store(&mut self) {
        if let Some((_, waiting)) = &mut self.gzip {
            for block in waiting.chunks(STORED) {
                let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
                self.out.push(0);
                self.out.extend_from_slice(&length.to_le_bytes());
                self.out.extend_from_slice(&(!length).to_le_bytes());
                self.out.extend_from_slice(block);
            }
            waiting.clear();
        }
    }

    fn finish(mut self) -> Bytes {
        self.store();
        if let Some((crc, _)) = &self.gzip {
            // An empty block that says it is the last.
            self.out.extend_from_slice(&[1, 0, 0, 255, 255]);
            self.out.extend_from_slice(&crc.sum().to_le_bytes());
            self.out.extend_from_slice(&crc.amount().to_le_bytes());
        }
        self.out.into()
    }
}
