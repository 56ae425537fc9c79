//! Page cache: pieces of pages, rendered and compressed once, so that a benchmark measures its client and not the site.
//!
//! Whole pages would not do: a collector asks for windows of time that depend on its clock, so no two runs ask for the
//! same pages. A piece is 64 records. Its compressed form stands by itself, so that the gzip stream of a page is that
//! of its parts, one after the other.

use std::collections::HashMap;
use std::ops::Range;
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
/// The header of a gzip stream: deflate, no name, no time, an unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The pieces that are ready, by number from the oldest.
#[derive(Default)]
pub(crate) struct PageCache(Mutex<HashMap<usize, Arc<Piece>>>);

struct Piece {
    /// The records from new to old, each behind a comma.
    text: String,
    /// Where each begins, and where the last ends.
    bounds: Vec<usize>,
    /// The whole piece as blocks of a deflate stream, and its checksum.
    deflated: OnceLock<(Vec<u8>, Crc)>,
}

impl PageCache {
    /// A page that holds the records of `ranks`, from new to old, between `head` and `tail`.
    pub(crate) fn page(
        &self,
        (log, generator): (&Log, Generator),
        ranks: Range<usize>,
        (head, tail): (&str, &str),
        gzip: bool,
    ) -> Bytes {
        let mut page = Page::new(gzip);
        page.push(head);
        let mut end = ranks.end;
        while ranks.start < end {
            let number = (end - 1) / PIECE;
            let first = ranks.start.max(number * PIECE);
            let piece = self.piece(number, log, generator);
            // Counted from the newest of the piece.
            let behind = number * PIECE + piece.bounds.len() - 1;
            let text = &piece.text[piece.bounds[behind - end]..piece.bounds[behind - first]];
            if end == ranks.end {
                page.push(&text[1..]);
            } else if text.len() == piece.text.len() {
                page.push_piece(&piece);
            } else {
                page.push(text);
            }
            end = first;
        }
        page.push(tail);
        page.finish()
    }

    fn piece(&self, number: usize, log: &Log, generator: Generator) -> Arc<Piece> {
        if let Some(piece) = lock(&self.0).get(&number) {
            return Arc::clone(piece);
        }
        let piece = Arc::new(Piece::new(number, log, generator));
        let mut pieces = lock(&self.0);
        if pieces.len() >= KEPT {
            pieces.clear();
        }
        pieces.insert(number, Arc::clone(&piece));
        piece
    }
}

impl Piece {
    fn new(number: usize, log: &Log, generator: Generator) -> Self {
        let mut text = String::new();
        let mut bounds = vec![0];
        for entry in log.slice(number * PIECE, PIECE).into_iter().rev() {
            text.push(',');
            text.push_str(&generator.record(entry).line());
            bounds.push(text.len());
        }
        Self {
            text,
            bounds,
            deflated: OnceLock::new(),
        }
    }

    fn deflated(&self) -> &(Vec<u8>, Crc) {
        self.deflated.get_or_init(|| {
            let mut blocks = Vec::new();
            let mut crc = Crc::new();
            crc.update(self.text.as_bytes());
            let mut stream = Compress::new(Compression::default(), false);
            deflate(&mut stream, &self.text, FlushCompress::Full, &mut blocks);
            (blocks, crc)
        })
    }
}

/// A page in the making.
struct Page {
    out: Vec<u8>,
    /// The stream of what is between the pieces, stored rather than compressed, and the checksum of the page.
    gzip: Option<(Compress, Crc)>,
}

impl Page {
    fn new(gzip: bool) -> Self {
        let mut out = Vec::with_capacity(1 << 18);
        if gzip {
            out.extend_from_slice(&GZIP_HEADER);
        }
        let stream = || (Compress::new(Compression::none(), false), Crc::new());
        Self {
            out,
            gzip: gzip.then(stream),
        }
    }

    fn push(&mut self, text: &str) {
        if let Some((stream, crc)) = &mut self.gzip {
            crc.update(text.as_bytes());
            deflate(stream, text, FlushCompress::Full, &mut self.out);
        } else {
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    fn push_piece(&mut self, piece: &Piece) {
        if let Some((_, crc)) = &mut self.gzip {
            let (blocks, piece_crc) = piece.deflated();
            crc.combine(piece_crc);
            self.out.extend_from_slice(blocks);
        } else {
            self.push(&piece.text);
        }
    }

    fn finish(mut self) -> Bytes {
        if let Some((stream, crc)) = &mut self.gzip {
            deflate(stream, "", FlushCompress::Finish, &mut self.out);
            self.out.extend_from_slice(&crc.sum().to_le_bytes());
            self.out.extend_from_slice(&crc.amount().to_le_bytes());
        }
        self.out.into()
    }
}

/// Appends the blocks that hold `text`, up to the end of a byte.
fn deflate(stream: &mut Compress, text: &str, flush: FlushCompress, out: &mut Vec<u8>) {
    // There is room for all of it, so one call takes it, and compressing does not fail.
    out.reserve(text.len() + text.len() / 100 + 1024);
    let _ = stream.compress_vec(text.as_bytes(), out, flush);
}
