//! Answers given before, by the text of the question.

use crate::policy::{Reason, Unforeseen};

/// Questions 1 to 3, answered ahead.
pub(super) type Answer = Result<Option<Reason>, Unforeseen>;

/// The last answers. Each has its place by a hash of its question, and gives way to a later one
/// with the same place: whoever makes texts meet there makes them be asked again, and no more.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Vec<Option<(Box<[u8]>, Answer)>>);

/// How many are kept.
const PLACES: usize = 512;

impl Answers {
    /// The answer to a question, which is asked where it is not known.
    pub(super) fn to<E>(
        &mut self,
        question: &[u8],
        ask: impl FnOnce() -> Result<Answer, E>,
    ) -> Result<Answer, E> {
        if self.0.is_empty() {
            self.0.resize_with(PLACES, || None);
        }
        let place = usize::try_from(hash(question) % PLACES as u64).unwrap_or_default();
        match self.0.get_mut(place) {
            Some(Some((known, answer))) if **known == *question => Ok(answer.clone()),
            Some(place) => {
                let answer = ask()?;
                *place = Some((question.into(), answer.clone()));
                Ok(answer)
            }
            None => ask(),
        }
    }
}

/// FNV-1a over words instead of bytes, folded.
fn hash(text: &[u8]) -> u64 {
    const PRIME: u64 = 0x0100_0000_01B3;
    let add = |hash: u64, word: u64| (hash ^ word).wrapping_mul(PRIME).rotate_left(29);
    let (words, rest) = text.as_chunks();
    let hash = words.iter().fold(0, |hash, word| add(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| add(hash, u64::from(*byte)));
    hash ^ (hash >> 32)
}
