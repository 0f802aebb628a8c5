//! The only gzip door: streaming, bounded, CRC checked.
//!
//! Everything compressed that reaches regionwatch was written by somebody else, so one room
//! decides how far it is trusted. [`Inflate`] reads members until the input ends, checks each
//! member's CRC and length, and stops with an error once the output passes its limit: a batch is
//! whole, or it is an error. [`crate::envelope`] and the history reader sit on top of it; nothing
//! else in the house may touch a decoder (`clippy.toml` holds that).

#![expect(clippy::disallowed_types, reason = "this is the one door those types are for")]

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

/// What a gzip stream can be faulted for. Never carries any of its content.
#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    /// The input ends before the compressed data does, or is empty.
    #[error("the gzip data ends after {at} compressed bytes, before its end")]
    Truncated {
        /// Compressed bytes read.
        at: u64,
    },
    /// A header, a block or a checksum is wrong.
    #[error("the gzip data is damaged at about compressed byte {at}: {what}")]
    Damaged {
        /// Compressed bytes read before the fault was noticed.
        at: u64,
        /// The inflater's own words, a fixed text such as `incorrect data check`.
        what: String,
    },
    /// The output is larger than the caller allows.
    #[error("the gzip data inflates to more than the {limit} bytes allowed")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
}

impl From<InflateError> for io::Error {
    fn from(error: InflateError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Reads the content of a gzip stream of one or more members (RFC 1952).
///
/// Errors other than the source's own are [`InflateError`]s inside the [`io::Error`].
pub struct Inflate<R> {
    source: R,
    input: Vec<u8>,
    consumed: usize,
    available: usize,
    member: Member,
    gunzip: Decompress,
    read_in: u64,
    read_out: u64,
    limit: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    NoneYet,
    Open,
    Closed,
}

/// Compressed bytes taken from the source at a time.
const CHUNK: usize = 64 * 1024;

/// The largest window a gzip member may ask for: 2^15 bytes (RFC 1951).
const WINDOW_BITS: u8 = 15;

impl<R: Read> Inflate<R> {
    /// Inflates `source`, and fails once the content is larger than `limit` bytes.
    pub fn new(source: R, limit: u64) -> Self {
        Inflate {
            source,
            input: vec![0; CHUNK],
            consumed: 0,
            available: 0,
            member: Member::NoneYet,
            gunzip: Decompress::new_gzip(WINDOW_BITS),
            read_in: 0,
            read_out: 0,
            limit,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        if self.consumed == self.available {
            self.consumed = 0;
            self.available = read_some(&mut self.source, &mut self.input)?;
        }
        Ok(())
    }

    /// One turn of the inflater: how much it wrote to `out`.
    fn turn(&mut self, out: &mut [u8]) -> Result<usize, InflateError> {
        let input = self.input.get(self.consumed..self.available).unwrap_or_default();
        let (in_before, out_before) = (self.gunzip.total_in(), self.gunzip.total_out());
        let status = self.gunzip.decompress(input, out, FlushDecompress::None).map_err(|e| {
            InflateError::Damaged {
                at: self.read_in + (self.gunzip.total_in() - in_before),
                what: e.message().unwrap_or("not gzip data").to_owned(),
            }
        })?;
        let taken = self.gunzip.total_in() - in_before;
        let written = self.gunzip.total_out() - out_before;
        self.consumed += usize::try_from(taken).unwrap_or(usize::MAX);
        self.read_in += taken;
        self.read_out += written;
        if status == Status::StreamEnd {
            self.member = Member::Closed;
        } else if taken == 0 && written == 0 {
            let what = "the inflater makes no progress".to_owned();
            return Err(InflateError::Damaged { at: self.read_in, what });
        }
        if self.read_out > self.limit {
            return Err(InflateError::TooLarge { limit: self.limit });
        }
        Ok(usize::try_from(written).unwrap_or(usize::MAX))
    }
}

impl<R: Read> Read for Inflate<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            self.refill()?;
            let at_end = self.available == 0;
            match self.member {
                Member::Closed if at_end => return Ok(0),
                Member::Open | Member::NoneYet if at_end => {
                    return Err(InflateError::Truncated { at: self.read_in }.into());
                }
                Member::Closed => self.gunzip.reset(true),
                Member::Open | Member::NoneYet => {}
            }
            self.member = Member::Open;
            let written = self.turn(out)?;
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

fn read_some(source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(into) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(compressed: &[u8], limit: u64) -> Result<Vec<u8>, InflateError> {
        let mut content = Vec::new();
        match Inflate::new(compressed, limit).read_to_end(&mut content) {
            Ok(_) => Ok(content),
            Err(e) => Err(e.downcast::<InflateError>().unwrap()),
        }
    }

    #[test]
    fn reads_members_to_the_end() {
        let two = [gzip(b"first,"), gzip(b"second")].concat();
        assert_eq!(inflate(&two, 100).unwrap(), b"first,second");
        assert_eq!(inflate(&gzip(b""), 0).unwrap(), b"");
    }

    #[test]
    fn a_wrong_crc_is_an_error_even_though_all_content_was_there() {
        let mut bytes = gzip(b"content");
        let crc = bytes.len() - 8;
        bytes[crc] ^= 1;
        let error = inflate(&bytes, 100).unwrap_err();
        assert!(error.to_string().contains("incorrect data check"), "{error}");
    }

    #[test]
    fn cut_anywhere_is_truncated() {
        let bytes = gzip(b"content that is long enough to be cut in many places");
        for cut in 0..bytes.len() {
            let error = inflate(&bytes[..cut], 100).unwrap_err();
            assert!(matches!(error, InflateError::Truncated { .. }), "{cut}: {error}");
        }
    }

    #[test]
    fn trailing_bytes_are_damage() {
        let bytes = [gzip(b"content"), b"rubbish".to_vec()].concat();
        assert!(matches!(inflate(&bytes, 100), Err(InflateError::Damaged { .. })));
    }

    #[test]
    fn the_limit_is_the_last_size_allowed() {
        let bytes = gzip(&[b'a'; 1000]);
        assert_eq!(inflate(&bytes, 1000).unwrap().len(), 1000);
        assert!(matches!(inflate(&bytes, 999), Err(InflateError::TooLarge { limit: 999 })));
    }
}
