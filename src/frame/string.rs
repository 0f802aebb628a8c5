//! Where a string ends, found fast: nearly all of a batch stands inside the messages of its entries.
//!
//! Blocks of bytes are looked at as a whole, in a loop that the compiler makes vectors of. Only a
//! small block in which the string may end is gone through byte by byte.

use memchr::memchr2;

/// How far a search came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Searched {
    /// Bytes that belong to the string.
    pub(super) passed: usize,
    /// Whether all of them are ASCII.
    pub(super) ascii: bool,
    /// What stands behind them.
    pub(super) end: End,
}

/// What ends a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The closing quote.
    Quote,
    /// A control character, which must not stand in a string.
    Control,
    /// The end of the bytes; the next one may be escaped by the last of them.
    None { escaped: bool },
}

/// Most of a long string is passed in blocks of this size.
const LARGE: usize = 64;

/// The end of a long string is searched in blocks of this size.
const SMALL: usize = 16;

/// Keys and most values are shorter.
const SHORT: usize = 64;

/// Searches the inside of a string for its end. `escaped`: a backslash stands before the bytes.
pub(super) fn search(bytes: &[u8], escaped: bool) -> Searched {
    if !escaped && let Some(passed) = short(bytes) {
        return Searched { passed, ascii: true, end: End::Quote };
    }
    let mut walk = Walk { bytes, at: 0, escaped, ascii: true };
    // Leaps look at the two bytes before them.
    let mut steps = 2;
    loop {
        if let Some(end) = walk.step_by_step(steps) {
            return Searched { passed: walk.at, ascii: walk.ascii, end };
        }
        let start = walk.at;
        walk.leap::<LARGE>();
        walk.leap::<SMALL>();
        walk.landed(start);
        steps = SMALL;
    }
}

/// The length of a short string of ASCII without escapes.
fn short(bytes: &[u8]) -> Option<usize> {
    let start = bytes.get(..SHORT).unwrap_or(bytes);
    let at = memchr2(b'"', b'\\', start)?;
    let (text, end) = start.split_at_checked(at)?;
    let odd = text.iter().fold(false, |found, byte| found | is_odd(*byte));
    (end.starts_with(b"\"") && !odd).then_some(at)
}

/// Control characters, and what is no ASCII: in one comparison, for as signed numbers they are
/// less than a space.
fn is_odd(byte: u8) -> bool {
    byte.cast_signed() < b' '.cast_signed()
}

struct Walk<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Whether the byte at this place is escaped.
    escaped: bool,
    ascii: bool,
}

impl Walk<'_> {
    /// Goes through some bytes; `None` where the string does not end in them.
    fn step_by_step(&mut self, bytes: usize) -> Option<End> {
        let ahead = self.bytes.get(self.at..).unwrap_or_default();
        for &byte in ahead.iter().take(bytes) {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'"' => return Some(End::Quote),
                b'\\' => self.escaped = true,
                0..=0x1F => return Some(End::Control),
                _ => {}
            }
            self.ascii &= byte.is_ascii();
            self.at += 1;
        }
        (ahead.len() <= bytes).then_some(End::None { escaped: self.escaped })
    }

    /// Passes the blocks of ASCII in which the string cannot end. Some bytes were gone through before.
    fn leap<const BLOCK: usize>(&mut self) {
        while let Some(ahead) = self.bytes.get(self.at - 2..self.at + BLOCK)
            && let Some(two_before) = ahead.first_chunk()
            && let Some(one_before) = ahead.get(1..).and_then(<[u8]>::first_chunk)
            && let Some(block) = ahead.last_chunk()
            && !may_end::<BLOCK>(block, one_before, two_before)
        {
            self.at += BLOCK;
        }
    }

    /// Notes whether the byte behind leaps from `start` is escaped.
    fn landed(&mut self, start: usize) {
        if self.at > start {
            self.escaped = self.is_behind_backslash(start);
        }
    }

    /// Whether an odd number of backslashes stands before this place. Where they reach back to
    /// `start`, those before it may have been used up, and it is known whether the byte there is
    /// escaped.
    fn is_behind_backslash(&self, start: usize) -> bool {
        let leapt = self.bytes.get(start..self.at).unwrap_or_default();
        let backslashes = leapt.iter().rev().take_while(|b| **b == b'\\').count();
        let odd = backslashes % 2 == 1;
        if backslashes == leapt.len() { odd != self.escaped } else { odd }
    }
}

/// Whether the string may end in a block, or holds more than ASCII: a quote that has no backslash
/// before it, or two, or an odd byte.
fn may_end<const BLOCK: usize>(
    block: &[u8; BLOCK],
    one_before: &[u8; BLOCK],
    two_before: &[u8; BLOCK],
) -> bool {
    let mut ends = 0;
    for ((&byte, &first), &second) in block.iter().zip(one_before).zip(two_before) {
        let escaped = u8::from(first == b'\\') & u8::from(second != b'\\');
        ends |= u8::from(byte == b'"') & (escaped ^ 1) | u8::from(is_odd(byte));
    }
    ends != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(bytes: &[u8], mut escaped: bool) -> Searched {
        let searched = |passed, end| Searched { passed, ascii: bytes[..passed].is_ascii(), end };
        for (passed, byte) in bytes.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'"' => return searched(passed, End::Quote),
                b'\\' => escaped = true,
                0..=0x1F => return searched(passed, End::Control),
                _ => {}
            }
        }
        searched(bytes.len(), End::None { escaped })
    }

    #[test]
    fn a_search_finds_what_a_plain_one_does() {
        let mut seed = 1_u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        let mut ends = [0; 3];
        for case in 0..20_000 {
            let rare = [2, 20, 400, 4000][case % 4];
            let length = random(400);
            let bytes: Vec<u8> = (0..length)
                .flat_map(|_| match random(rare) {
                    0 => [&b"\""[..], b"\\", b"\\\\", b"\\\"", b"\n", b"\\\\\""][random(6)],
                    _ => [&b"a"[..], b"\xC3\xA9", b"\\\"", b"\\\\\\\""][random(4)],
                })
                .copied()
                .collect();
            let escaped = random(2) == 1;
            let expected = naive(&bytes, escaped);
            ends[match expected.end {
                End::Quote => 0,
                End::Control => 1,
                End::None { .. } => 2,
            }] += 1;
            assert_eq!(search(&bytes, escaped), expected, "{escaped} {bytes:?}");
        }
        assert!(ends.iter().all(|seen| *seen > 500), "{ends:?}");
    }
}
