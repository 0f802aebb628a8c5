//! Texts seen before, and what is known of them: a session makes many calls, and a call is made often.

/// What is known of texts. Each has its place by a hash of what tells it apart, and few have room in
/// one: whoever makes texts meet there makes them be looked at again, and no more.
#[derive(Debug, Clone)]
pub(super) struct Memory<T> {
    places: Vec<[Option<Known<T>>; ROOM]>,
    /// Where the next one goes in its place.
    turn: usize,
}

/// A text, and what is known of it.
type Known<T> = (Box<[u8]>, T);

/// How many places there are, and how many texts have room in one, each of at most [`LONGEST`] bytes.
const PLACES: usize = 256;
const ROOM: usize = 4;
const LONGEST: usize = 1024;

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Memory { places: Vec::new(), turn: 0 }
    }
}

impl<T> Memory<T> {
    /// The text at this place that `is` the one, and what is known of it.
    pub(super) fn at(&self, place: u64, mut is: impl FnMut(&[u8]) -> bool) -> Option<&T> {
        let mut texts = self.places.get(index(place))?.iter().flatten();
        texts.find(|(text, _)| is(text)).map(|(_, known)| known)
    }

    /// Keeps what is known of a text, which is ASCII.
    pub(super) fn keep(&mut self, place: u64, text: &[u8], known: T) {
        if text.len() > LONGEST {
            return;
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, Default::default);
        }
        self.turn = (self.turn + 1) % ROOM;
        let room = self.places.get_mut(index(place)).and_then(|place| {
            let free = place.iter().position(Option::is_none).unwrap_or(self.turn);
            place.get_mut(free)
        });
        if let Some(room) = room {
            *room = Some((text.into(), known));
        }
    }
}

fn index(place: u64) -> usize {
    usize::try_from(place % PLACES as u64).unwrap_or_default()
}

/// The place of a text.
pub(super) fn place(text: &[u8]) -> u64 {
    const PRIME: u64 = 0x9E37_79B9_7F4A_7C15;
    // No product waits for the one before.
    let add = |hash: u64, word: u64| hash.rotate_left(5) ^ word.wrapping_mul(PRIME);
    let (words, rest) = text.as_chunks();
    let hash = words.iter().fold(0, |hash, word| add(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(hash, |hash, byte| add(hash, u64::from(*byte)));
    hash.wrapping_mul(PRIME) >> 32
}
