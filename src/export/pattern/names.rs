//! Names of calls, as pieces of text that an engine with few characters to spare can look for.
//!
//! A name's first letter may be written small and an API version may stand behind it, so a name is
//! looked for by all of it but its first letter. Where many names are too long together, two are
//! made one by the words that they share: `SendEmail` and `SendRawEmail` are both `Email`. Whatever
//! had one of the pieces before has one afterwards.

use std::collections::BTreeSet;

/// Pieces of names: every name of the set has one of them in it.
#[derive(Debug, Clone, Default)]
pub struct Names(Vec<Piece>);

/// Some words of a name, as they follow each other.
#[derive(Debug, Clone)]
struct Piece {
    /// `["end", "Raw", "Email"]`.
    words: Vec<String>,
    /// These words.
    text: String,
    /// The calls that it stands for.
    calls: BTreeSet<String>,
    /// It is a part of several names, and no name itself.
    is_shared: bool,
}

/// Letters that a piece has at least: what is shorter is in the names of half of AWS.
const SHORTEST: usize = 5;

/// So many pieces of several services have to share what stands for them.
const MANY: usize = 3;

impl Names {
    /// Adds the name that a call has. One that is too short to be looked for, or holds other
    /// characters than names have, is not taken: `false`.
    pub fn add(&mut self, name: &str, call: &str) -> bool {
        let Some(looked_for) = without_first(name) else { return false };
        let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let taken = is_plain && looked_for.len() >= SHORTEST;
        if taken {
            let calls = BTreeSet::from([call.to_owned()]);
            self.take(Piece::new(words(looked_for), calls, false));
        }
        taken
    }

    /// The pieces.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|piece| piece.text.as_str())
    }

    /// The pieces that stand for several names, with the calls of these.
    pub fn shared(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        let shared = self.0.iter().filter(|piece| piece.is_shared);
        shared.map(|piece| (piece.text.as_str(), &piece.calls))
    }

    /// Makes several pieces one by what they share; `false` where nothing is left that may be
    /// shared. What one service calls alike goes first, the longest of it; what several services
    /// say may mean anything, so it has to stand for many. What is nothing but one of the `verbs`
    /// would be in every read.
    pub fn merge(&mut self, verbs: &[String]) -> bool {
        let pairs = self.0.iter().enumerate().flat_map(|(at, one)| {
            self.0.iter().skip(at + 1).filter_map(|other| one.shared_with(other))
        });
        let worth = pairs.filter(|piece| !piece.is_verb(verbs)).filter_map(|piece| {
            let held = || self.0.iter().filter(|known| known.text.contains(&piece.text));
            let services: BTreeSet<&str> = held().flat_map(Piece::services).collect();
            match (services.len(), held().count()) {
                (1, _) => Some(((true, piece.text.len()), piece)),
                (_, MANY..) => Some(((false, held().count()), piece)),
                _ => None,
            }
        });
        let best = worth.max_by_key(|(worth, _)| *worth).map(|(_, piece)| piece);
        best.map(|piece| self.take(piece)).is_some()
    }

    /// Takes a piece, in place of all that hold it.
    fn take(&mut self, mut piece: Piece) {
        let holds = |known: &Piece| known.text.contains(&piece.text);
        if let Some(known) = self.0.iter_mut().find(|known| piece.text.contains(&known.text)) {
            return known.calls.append(&mut piece.calls);
        }
        let (held, kept): (Vec<_>, Vec<_>) = self.0.drain(..).partition(holds);
        piece.calls.extend(held.into_iter().flat_map(|held| held.calls));
        self.0 = kept;
        self.0.push(piece);
    }
}

impl Piece {
    fn new(words: Vec<String>, calls: BTreeSet<String>, is_shared: bool) -> Self {
        Piece { text: words.concat(), words, calls, is_shared }
    }

    /// The longest run of words that is in both.
    fn shared_with(&self, other: &Piece) -> Option<Piece> {
        let runs = (1..=self.words.len()).flat_map(|length| self.words.windows(length));
        let shared = runs.filter(|run| other.words.windows(run.len()).any(|words| words == *run));
        let longest = shared.max_by_key(|run| run.concat().len())?;
        let calls = self.calls.union(&other.calls).cloned().collect();
        let piece = Piece::new(longest.to_vec(), calls, true);
        (piece.text.len() >= SHORTEST).then_some(piece)
    }

    fn services(&self) -> impl Iterator<Item = &str> {
        self.calls.iter().map(|call| call.split_once(':').map_or("", |(service, _)| service))
    }

    fn is_verb(&self, verbs: &[String]) -> bool {
        verbs.iter().any(|verb| *verb == self.text || without_first(verb) == Some(&self.text))
    }
}

/// All but the first letter.
pub fn without_first(name: &str) -> Option<&str> {
    let mut letters = name.chars();
    letters.next().map(|_| letters.as_str())
}

/// `SendRawEmail` to `Send`, `Raw`, `Email`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = None;
    for letter in name.chars() {
        let starts = letter.is_ascii_uppercase() && !before.is_some_and(|b: char| b.is_uppercase());
        match words.last_mut().filter(|_| !starts) {
            Some(word) => word.push(letter),
            None => words.push(letter.to_string()),
        }
        before = Some(letter);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(calls: &[&str]) -> Names {
        let mut names = Names::default();
        for call in calls {
            assert!(names.add(call, call), "{call}");
        }
        names
    }

    #[test]
    fn a_name_that_holds_another_needs_no_piece_of_its_own() {
        let names = names(&["ConverseStream", "Converse", "InvokeModel", "InvokeModelAsync"]);
        assert_eq!(names.texts().collect::<Vec<_>>(), ["onverse", "nvokeModel"]);
    }

    #[test]
    fn what_one_service_calls_alike_is_made_one_first_and_no_verb_is_left() {
        let verbs = ["Describe".to_owned()];
        let mut names = Names::default();
        for call in [
            "a:SendEmail",
            "a:SendRawEmail",
            "b:DescribeDBLogFile",
            "b:DescribeTokens",
            "b:PutDBLogFile",
            "c:GetInstanceSecret",
            "d:PutInstanceRole",
        ] {
            assert!(names.add(call.split_once(':').unwrap().1, call));
        }
        assert!(names.merge(&verbs));
        assert_eq!(names.texts().last(), Some("DBLogFile"));
        assert!(names.merge(&verbs));
        assert_eq!(names.texts().last(), Some("Email"));
        assert!(!names.merge(&verbs));
        let (_, calls) = names.shared().last().unwrap();
        assert_eq!(calls.iter().collect::<Vec<_>>(), ["a:SendEmail", "a:SendRawEmail"]);
        assert!(names.add("HaltInstanceNow", "e:HaltInstanceNow") && names.merge(&verbs));
        assert_eq!(names.texts().last(), Some("Instance"));
    }

    #[test]
    fn what_cannot_be_looked_for_is_not_taken() {
        let mut names = Names::default();
        for name in ["", "Run", "Invoke*", "Zoë", "Say\"It\""] {
            assert!(!names.add(name, "x"), "{name}");
        }
    }
}
