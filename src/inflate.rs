//! The only gzip door: streaming, bounded, CRC checked.
//!
//! Everything compressed that reaches regionwatch was written by somebody else, so one room
//! decides how far it is trusted. [`Inflate`] reads members until the input ends, checks each
//! member's CRC and length, and stops with an error once the output passes its limit: a batch is
//! whole, or it is an error. What came before the error is handed out first, for history is told as
//! far as it can be read. [`crate::envelope`] and the history reader sit on top of it; nothing
//! else in the house may touch a decoder (`clippy.toml` holds that).

#![expect(clippy::disallowed_types, reason = "this is the one door those types are for")]

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

/// What a gzip stream can be faulted for. Never carries any of its content.
#[derive(Debug, Clone, thiserror::Error)]
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
/// Errors other than the source's own are [`InflateError`]s inside the [`io::Error`]. They come behind
/// whatever was inflated before, at most `limit` bytes, and again at each further read.
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
    /// What ended it.
    fault: Option<InflateError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    NoneYet,
    Open,
    Closed,
}

/// Compressed bytes taken from the source at a time. Whenever they run out, the inflater copies its
/// window.
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
            fault: None,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        if self.consumed == self.available {
            // Where the source fails, nothing is left of what it gave before.
            (self.consumed, self.available) = (0, 0);
            self.available = read_some(&mut self.source, &mut self.input)?;
        }
        Ok(())
    }

    /// One turn of the inflater: how much it wrote to `out`, whether or not it found a fault then.
    fn turn(&mut self, out: &mut [u8]) -> usize {
        let input = self.input.get(self.consumed..self.available).unwrap_or_default();
        let (in_before, out_before) = (self.gunzip.total_in(), self.gunzip.total_out());
        let status = self.gunzip.decompress(input, out, FlushDecompress::None);
        let taken = self.gunzip.total_in() - in_before;
        let written = self.gunzip.total_out() - out_before;
        self.consumed += usize::try_from(taken).unwrap_or(usize::MAX);
        self.read_in += taken;
        self.read_out += written;
        let damage = match &status {
            Ok(Status::StreamEnd) => {
                self.member = Member::Closed;
                None
            }
            Ok(_) if taken == 0 && written == 0 => Some("the inflater makes no progress"),
            Ok(_) => None,
            Err(error) => Some(error.message().unwrap_or("not gzip data")),
        };
        self.fault =
            damage.map(|what| InflateError::Damaged { at: self.read_in, what: what.to_owned() });
        let beyond = self.read_out.saturating_sub(self.limit);
        if beyond > 0 {
            self.fault = Some(InflateError::TooLarge { limit: self.limit });
        }
        usize::try_from(written.saturating_sub(beyond)).unwrap_or(usize::MAX)
    }
}

impl<R: Read> Read for Inflate<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(fault) = &self.fault {
                return Err(fault.clone().into());
            }
            self.refill()?;
            let at_end = self.available == 0;
            match self.member {
                Member::Closed if at_end => return Ok(0),
                Member::Open | Member::NoneYet if at_end => {
                    self.fault = Some(InflateError::Truncated { at: self.read_in });
                    continue;
                }
                Member::Closed => self.gunzip.reset(true),
                Member::Open | Member::NoneYet => {}
            }
            self.member = Member::Open;
            let written = self.turn(out);
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
pub(crate) mod tests {
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
    fn what_was_inflated_comes_before_the_error_which_stays() {
        let mut bytes = gzip(b"content");
        let crc = bytes.len() - 8;
        bytes[crc] ^= 1;
        for room in [1, 3, 100] {
            let (mut inflate, mut content) = (Inflate::new(&bytes[..], 100), Vec::<u8>::new());
            let mut out = vec![0; room];
            let error = loop {
                match inflate.read(&mut out) {
                    Ok(read) => content.extend(&out[..read]),
                    Err(error) => break error.to_string(),
                }
            };
            assert_eq!(content, b"content", "{room}");
            assert!(error.contains("incorrect data check"), "{error}");
            assert_eq!(inflate.read(&mut out).unwrap_err().to_string(), error);
        }
        let mut inflate = Inflate::new(&bytes[..], 3);
        let mut out = [0; 100];
        assert_eq!(inflate.read(&mut out).unwrap(), 3);
        let error = inflate.read(&mut out).unwrap_err().to_string();
        assert!(error.contains("more than the 3 bytes"), "{error}");
    }

    /// Hands out the last bytes first, and fails once where they are empty.
    pub(crate) struct Fails<'a>(pub(crate) Vec<&'a [u8]>);

    impl Read for Fails<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.0.pop() {
                Some(b"") => Err(io::Error::other("it fails")),
                Some(mut bytes) => bytes.read(out),
                None => Ok(0),
            }
        }
    }

    #[test]
    fn what_the_source_gave_before_it_failed_is_not_inflated_twice() {
        let bytes = gzip(b"content that is long enough to be cut");
        let (one, other) = bytes.split_at(20);
        let mut inflate = Inflate::new(Fails(vec![other, b"", one]), 100);
        let (mut content, mut faults) = (Vec::new(), 0);
        while faults < 2 && content.len() < 37 {
            faults += usize::from(inflate.read_to_end(&mut content).is_err());
        }
        assert_eq!(
            (content.as_slice(), faults),
            (&b"content that is long enough to be cut"[..], 1)
        );
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
