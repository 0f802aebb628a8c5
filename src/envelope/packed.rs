//! Base64, decoded as it is read.

use std::io::{self, Read};

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, DecodeSliceError};
use base64_simd::Out;

/// Reads what a text in base64 stands for.
pub(super) struct Base64<'t> {
    text: &'t [u8],
    /// How many characters were decoded.
    at: usize,
}

/// The text is not base64.
#[derive(Debug, thiserror::Error)]
#[error("not base64 at character {offset}")]
pub(super) struct Base64Error {
    /// Offset of the character that does not fit.
    pub(super) offset: u64,
}

/// Padding is accepted and not asked for: `aws_lambda_events` writes its own without.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl<'t> Base64<'t> {
    pub(super) fn of(text: &'t [u8]) -> Self {
        Base64 { text, at: 0 }
    }
}

impl Read for Base64<'_> {
    /// Decodes as many groups of four characters as have room; `out` must have room for one.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let groups = rest.len().saturating_sub(1) / 4;
        let groups = rest.get(..groups.min(out.len() / 3) * 4).filter(|groups| !groups.is_empty());
        let (decoded, taken) = match groups {
            Some(groups) => (self.decode_groups(groups, out), groups.len()),
            None => (self.decode(rest, out), rest.len()),
        };
        // Whoever reads on behind a fault meets it again.
        self.at += if decoded.is_ok() { taken } else { 0 };
        decoded
    }
}

impl Base64<'_> {
    /// Groups that are not the last.
    fn decode_groups(&self, groups: &[u8], out: &mut [u8]) -> io::Result<usize> {
        match base64_simd::STANDARD_NO_PAD.decode(groups, Out::from_slice(out)) {
            Ok(decoded) => Ok(decoded.len()),
            // It does not say where the fault is. Padding, which is one here, the other accepts.
            Err(_) => self.decode(groups, out).and(Err(io_error(self.at + groups.len()))),
        }
    }

    fn decode(&self, text: &[u8], out: &mut [u8]) -> io::Result<usize> {
        ENGINE.decode_slice(text, out).map_err(|error| error_at(self.at, error))
    }
}

fn error_at(start: usize, error: DecodeSliceError) -> io::Error {
    let within = match error {
        DecodeSliceError::DecodeError(
            DecodeError::InvalidByte(offset, _)
            | DecodeError::InvalidLength(offset)
            | DecodeError::InvalidLastSymbol { offset, .. },
        ) => offset,
        DecodeSliceError::DecodeError(DecodeError::InvalidPadding)
        | DecodeSliceError::OutputSliceTooSmall => 0,
    };
    io_error(start + within)
}

fn io_error(offset: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Base64Error { offset: offset as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `room` bytes at a time.
    fn decoded(text: &str, room: usize) -> Result<Vec<u8>, u64> {
        let (mut base64, mut out) = (Base64::of(text.as_bytes()), vec![0; room]);
        let mut all = Vec::new();
        loop {
            match base64.read(&mut out) {
                Ok(0) => return Ok(all),
                Ok(read) => all.extend(&out[..read]),
                Err(error) => return Err(error.downcast::<Base64Error>().unwrap().offset),
            }
        }
    }

    #[test]
    fn any_room_will_do_with_and_without_padding() {
        for room in 3..20 {
            for (text, expected) in [
                ("", ""),
                ("YQ==", "a"),
                ("YQ", "a"),
                ("YWI=", "ab"),
                ("YWJjZGVmZ2hpamtsbQ==", "abcdefghijklm"),
            ] {
                assert_eq!(decoded(text, room).unwrap(), expected.as_bytes(), "{text} {room}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_found_wherever_it_stands() {
        for room in 3..20 {
            assert_eq!(decoded("YWJj*mRl", room), Err(4));
            assert!(decoded("YQ==YWJj", room).is_err(), "{room}");
            assert!(decoded("YWJjY", room).is_err(), "{room}");
            assert!(decoded("YWJjYR==", room).is_err(), "{room}");
        }
    }
}
