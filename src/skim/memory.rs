//! Texts seen before, and what is known of them: a session makes many calls, and a call is made often.

/// What is known of texts. Each has its place by a hash, and gives way to a later one of the same
/// place: whoever makes texts meet there makes them be looked at again, and no more.
#[derive(Debug, Clone)]
pub(super) struct Memory<T>(Vec<Option<(Box<[u8]>, T)>>);

/// How many texts are kept, each of at most [`LONGEST`] bytes.
const PLACES: usize = 512;
const LONGEST: usize = 1024;

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Memory(Vec::new())
    }
}

impl<T> Memory<T> {
    /// What is known of a text, told by its place.
    pub(super) fn at(&self, place: u64) -> Option<(&[u8], &T)> {
        let (text, known) = self.0.get(index(place))?.as_ref()?;
        Some((text, known))
    }

    /// Keeps what is known of a text.
    pub(super) fn keep(&mut self, place: u64, text: &[u8], known: T) {
        if self.0.is_empty() {
            self.0.resize_with(PLACES, || None);
        }
        if let Some(kept) = self.0.get_mut(index(place)).filter(|_| text.len() <= LONGEST) {
            *kept = Some((text.into(), known));
        }
    }
}

fn index(place: u64) -> usize {
    usize::try_from(place % PLACES as u64).unwrap_or_default()
}

/// The place of a text.
pub(super) fn place(text: &[u8]) -> u64 {
    const PRIME: u64 = 0x9E37_79B9_7F4A_7C15;
    let add = |hash: u64, word: u64| (hash ^ word).wrapping_mul(PRIME).rotate_left(29);
    let (words, rest) = text.as_chunks();
    let hash = words.iter().fold(0, |hash, word| add(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| add(hash, u64::from(*byte)));
    hash ^ (hash >> 32)
}
