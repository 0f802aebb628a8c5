//! Bytes looked at sixteen at a time.
//!
//! Once a batch is inflated, finding where strings end is most of what it costs to read it. Blocks
//! are vectors of the machine's own on every processor that Lambda has: SSE2, or NEON.

pub use wide::i8x16 as Block;

/// Bytes of a block.
pub const BLOCK: usize = 16;

/// Bytes as a block, each of them as a signed number.
pub fn block(bytes: &[u8; BLOCK]) -> Block {
    Block::new(bytes.map(u8::cast_signed))
}

/// The same byte sixteen times.
pub fn all(byte: u8) -> Block {
    Block::splat(byte.cast_signed())
}

/// Where a byte first stands. Fast for what is near.
pub fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    position(bytes, |block| block.simd_eq(all(byte)), |other| other == byte)
}

/// Where plain text of a JSON string ends: at a quote, a backslash, a control character, or what is
/// no ASCII.
pub fn end_of_plain(bytes: &[u8]) -> Option<usize> {
    let end = |block: Block| {
        block.simd_eq(all(b'\\')) | block.simd_eq(all(b'"')) | block.simd_lt(all(b' '))
    };
    position(bytes, end, |byte| matches!(byte, b'\\' | b'"' | ..b' ' | 0x80..))
}

/// How many digits there are before anything else.
pub fn digits(bytes: &[u8]) -> usize {
    let other = |block: Block| block.simd_lt(all(b'0')) | block.simd_gt(all(b'9'));
    position(bytes, other, |byte| !byte.is_ascii_digit()).unwrap_or(bytes.len())
}

/// The first byte of a kind, which has to be known of bytes in blocks and of single ones.
fn position(
    bytes: &[u8],
    in_block: impl Fn(Block) -> Block,
    single: impl Fn(u8) -> bool,
) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks();
    for (at, bytes) in blocks.iter().enumerate() {
        let found = in_block(block(bytes)).to_bitmask();
        if found != 0 {
            return Some(at * BLOCK + found.trailing_zeros() as usize);
        }
    }
    let found = rest.iter().position(|byte| single(*byte))?;
    Some(blocks.len() * BLOCK + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_wherever_it_stands() {
        for length in 0..70 {
            for at in 0..length {
                for byte in 0..=255_u8 {
                    let mut bytes = vec![byte.wrapping_add(1); length];
                    bytes[at] = byte;
                    assert_eq!(find(byte, &bytes), Some(at));
                }
            }
            assert_eq!(find(b'\\', &vec![b'"'; length]), None);
        }
    }

    #[test]
    fn plain_text_ends_at_what_is_none() {
        for end in 0..=255_u8 {
            let ends = !(0x20..=0x7F).contains(&end) || matches!(end, b'"' | b'\\');
            for length in 0..40 {
                for at in 0..length {
                    let mut bytes = vec![b'~'; length];
                    bytes[at] = end;
                    assert_eq!(end_of_plain(&bytes), ends.then_some(at), "{end}");
                }
            }
        }
    }

    #[test]
    fn digits_are_counted_up_to_any_other_byte() {
        for length in 0..70 {
            for at in 0..length {
                for other in (0..=255_u8).filter(|byte| !byte.is_ascii_digit()) {
                    let mut bytes: Vec<u8> = (b'0'..=b'9').cycle().take(length).collect();
                    bytes[at] = other;
                    assert_eq!(digits(&bytes), at);
                }
            }
            assert_eq!(digits(&vec![b'9'; length]), length);
        }
    }
}
