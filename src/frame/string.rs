//! Where a string ends, found fast: nearly all of a batch stands inside the messages of its entries.
//!
//! Sixty-four bytes are looked at as one word. Most words are plain, which takes a look at each byte
//! and the one before it. Of the others, a bit for each byte says what it is and whether it is
//! escaped.

use crate::blocks::{BLOCK, Block, all, block};

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

/// As many bytes as a number has bits.
const WORD: usize = 64;

/// Searches the inside of a string for its end. `escaped`: a backslash stands before the bytes.
pub(super) fn search(bytes: &[u8], escaped: bool) -> Searched {
    let mut walk = Walk { bytes, at: 0, escaped, ascii: true };
    loop {
        if let Some(end) = walk.word() {
            return Searched { passed: walk.at, ascii: walk.ascii, end };
        }
        walk.plain_words();
    }
}

struct Walk<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Whether the byte at this place is escaped.
    escaped: bool,
    ascii: bool,
}

impl Walk<'_> {
    /// Goes through one word; `None` where the string does not end in it.
    fn word(&mut self) -> Option<End> {
        let ahead = self.bytes.get(self.at..).unwrap_or_default();
        let Some(bytes) = ahead.first_chunk() else { return Some(self.last_word(ahead)) };
        let word = Word::of(bytes, self.escaped);
        let end = word.end();
        self.pass(&word, end.as_ref().map_or(WORD, |(passed, _)| *passed));
        end.map(|(_, end)| end)
    }

    /// Goes through fewer bytes than a word has.
    fn last_word(&mut self, bytes: &[u8]) -> End {
        let mut padded = [b' '; WORD];
        padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let word = Word::of(&padded, self.escaped);
        let end = word.end();
        self.pass(&word, end.as_ref().map_or(bytes.len(), |(passed, _)| *passed));
        end.map_or(End::None { escaped: self.escaped }, |(_, end)| end)
    }

    fn pass(&mut self, word: &Word, bytes: usize) {
        self.at += bytes;
        self.escaped =
            if bytes == WORD { word.escapes_next } else { word.escaped >> bytes & 1 == 1 };
        self.ascii &= word.beyond_ascii.trailing_zeros() as usize >= bytes;
    }

    /// Passes the words that are plain.
    fn plain_words(&mut self) {
        let Some(mut before) = self.at.checked_sub(1) else { return };
        if self.escaped != (self.bytes.get(before) == Some(&b'\\')) {
            return;
        }
        while let Some(ahead) = self.bytes.get(before..).and_then(<[u8]>::first_chunk)
            && is_plain(ahead)
        {
            before += WORD;
        }
        self.at = before + 1;
        self.escaped = self.bytes.get(before) == Some(&b'\\');
    }
}

/// Whether a word is ASCII, and each backslash in it and before it escapes a byte that is none:
/// then the string does not end in it.
fn is_plain(before_and_word: &[u8; WORD + 1]) -> bool {
    let (before, _) = before_and_word.as_chunks();
    let (word, _) = before_and_word.split_at(1).1.as_chunks();
    let doubts = word.iter().zip(before).map(|(word, before)| {
        let (word, before) = (block(word), block(before));
        // Behind a backslash another is one to doubt, and elsewhere a quote is.
        let escaped = before.simd_eq(all(b'\\'));
        let doubt = (escaped & all(b'\\' - b'"')) + all(b'"');
        word.simd_eq(doubt) | odd(word)
    });
    doubts.fold(Block::ZERO, |all, block| all | block).to_bitmask() == 0
}

/// Control characters, and what is no ASCII: as signed numbers both are less than a space.
fn odd(block: Block) -> Block {
    block.simd_lt(all(b' '))
}

/// What stands in a word: a bit for each byte, the first byte's the lowest.
struct Word {
    quotes: u64,
    controls: u64,
    beyond_ascii: u64,
    escaped: u64,
    /// Whether the byte behind the word is escaped.
    escapes_next: bool,
}

impl Word {
    /// `escaped`: whether the first byte is.
    fn of(bytes: &[u8; WORD], escaped: bool) -> Self {
        let odd = bits(bytes, odd);
        let beyond_ascii = bits(bytes, |block| block);
        let backslashes = bits(bytes, |block| block.simd_eq(all(b'\\')));
        let (escaped, escapes_next) = escaped_by(backslashes, escaped);
        let quotes = bits(bytes, |block| block.simd_eq(all(b'"')));
        Word { quotes, controls: odd ^ beyond_ascii, beyond_ascii, escaped, escapes_next }
    }

    /// Before which byte the string ends and how, where it does.
    fn end(&self) -> Option<(usize, End)> {
        let ends = (self.quotes | self.controls) & !self.escaped;
        let first = ends & ends.wrapping_neg();
        let end = if self.quotes & first == 0 { End::Control } else { End::Quote };
        (ends != 0).then_some((first.trailing_zeros() as usize, end))
    }
}

/// The signs of what becomes of the bytes.
fn bits(bytes: &[u8; WORD], of: fn(Block) -> Block) -> u64 {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let bits = blocks.iter().rev().map(|bytes| u64::from(of(block(bytes)).to_bitmask()));
    bits.fold(0, |word, bits| word << BLOCK | bits)
}

/// Which bytes are escaped, and whether the one behind them is. Of a run of backslashes every second
/// one is escaped, and so is what stands behind the run where their number is odd.
fn escaped_by(backslashes: u64, first_is_escaped: bool) -> (u64, bool) {
    const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
    let first = u64::from(first_is_escaped);
    // An escaped backslash begins no run.
    let backslashes = backslashes & !first;
    let behind = backslashes << 1;
    // The difference carries through each run, and flips every second bit of it: which ones, the
    // place of its first decides.
    let escaping = ((behind | ODD).wrapping_sub(backslashes) ^ ODD) & backslashes;
    (escaping << 1 | first, escaping >> 63 == 1)
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
