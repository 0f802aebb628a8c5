//! Which rules a call can match at all, so that hundreds of rules cost little more than a few.
//!
//! A rule is filed under words of which every call that it matches must have one: `ec2` for a rule
//! with `services = ["ec2"]`. Where several of its matchers offer words, those are taken that the
//! fewest other rules offer. To judge a call, only the rules filed under its own words are tried.
//! The index may name a rule too many, and must never leave one out: each is tried in full.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use aho_corasick::AhoCorasick;

use super::pattern::Pattern;
use super::rule::{Call, CallPattern, Matcher, Test};

/// An index over the rules of one kind, by their place in the list.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// How many rules there are.
    rules: usize,
    /// By the hash of a word; a word that shares its hash costs a vain try.
    by_word: HashMap<u64, Vec<usize>, BuildHasherDefault<Hashed>>,
    /// The kinds of these words; a call's words of other kinds need no look.
    kinds: Vec<Kind>,
    /// Rules by a piece of a principal, found in one pass over the text.
    pieces: Option<AhoCorasick>,
    by_piece: Vec<Vec<usize>>,
    /// Rules that no word is known for.
    unfiled: Vec<usize>,
}

/// Something that a call has or has not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Word {
    /// Of this kind, in lower case.
    Exact(Kind, String),
    /// A piece of a principal, in lower case.
    Piece(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
enum Kind {
    Call,
    Service,
    Account,
    Region,
}

impl Index {
    /// Files rules by what they match.
    pub fn of<'m>(matchers: impl Iterator<Item = &'m Matcher>) -> Self {
        let offers: Vec<Vec<Vec<Word>>> = matchers.map(words_offered).collect();
        let mut rules_offering: HashMap<&Word, usize> = HashMap::new();
        for word in offers.iter().flatten().flatten() {
            *rules_offering.entry(word).or_default() += 1;
        }
        let crowd = |words: &&Vec<Word>| {
            words.iter().filter_map(|word| rules_offering.get(word)).max().copied()
        };
        let mut index = Index { rules: offers.len(), ..Index::default() };
        let mut pieces = Pieces::default();
        for (rule, offers) in offers.iter().enumerate() {
            match offers.iter().min_by_key(crowd) {
                None => index.unfiled.push(rule),
                Some(words) => words.iter().for_each(|word| match word {
                    Word::Exact(kind, word) => {
                        if !index.kinds.contains(kind) {
                            index.kinds.push(*kind);
                        }
                        index.by_word.entry(hash(*kind, &[word])).or_default().push(rule);
                    }
                    Word::Piece(piece) => pieces.file(piece, rule),
                }),
            }
        }
        index.with_pieces(pieces)
    }

    /// Calls `visit` with every rule that the call may match, perhaps twice, in no order.
    pub fn candidates(&self, call: &Call<'_>, mut visit: impl FnMut(usize)) {
        if !is_ascii(call) {
            // Other alphabets have letters that are equal to ours but for their case.
            return (0..self.rules).for_each(visit);
        }
        self.unfiled.iter().for_each(|rule| visit(*rule));
        for kind in &self.kinds {
            let mut under = |words: &[&str]| {
                let rules = self.by_word.get(&hash(*kind, words));
                rules.into_iter().flatten().for_each(|rule| visit(*rule));
            };
            match kind {
                Kind::Call => call.names().for_each(|name| under(&[&call.service, ":", name])),
                Kind::Service => under(&[&call.service]),
                Kind::Account => under(&[call.account]),
                Kind::Region => under(&[&call.region]),
            }
        }
        if let Some(pieces) = &self.pieces {
            for found in call.principals().flat_map(|text| pieces.find_overlapping_iter(text)) {
                let rules = self.by_piece.get(found.pattern().as_usize());
                rules.into_iter().flatten().for_each(|rule| visit(*rule));
            }
        }
    }

    fn with_pieces(mut self, pieces: Pieces) -> Self {
        if pieces.texts.is_empty() {
            return self;
        }
        let built = AhoCorasick::builder().ascii_case_insensitive(true).build(&pieces.texts);
        match built {
            Ok(built) => {
                self.pieces = Some(built);
                self.by_piece = pieces.rules;
            }
            // Too many texts for one automaton.
            Err(_) => self.unfiled.extend(pieces.rules.into_iter().flatten()),
        }
        self
    }
}

fn is_ascii(call: &Call<'_>) -> bool {
    [call.name, call.account, &call.service, &call.region].into_iter().all(str::is_ascii)
        && call.principals().all(str::is_ascii)
}

/// Pieces of principals, each with the rules filed under it.
#[derive(Default)]
struct Pieces {
    texts: Vec<String>,
    rules: Vec<Vec<usize>>,
    places: HashMap<String, usize>,
}

impl Pieces {
    fn file(&mut self, piece: &str, rule: usize) {
        let place = *self.places.entry(piece.to_owned()).or_insert_with(|| {
            self.texts.push(piece.to_owned());
            self.rules.push(Vec::new());
            self.texts.len() - 1
        });
        if let Some(rules) = self.rules.get_mut(place) {
            rules.push(rule);
        }
    }
}

/// For each matcher that has such words: of these words, every call that it matches has one.
fn words_offered(matcher: &Matcher) -> Vec<Vec<Word>> {
    matcher.0.iter().flat_map(words_of).collect()
}

fn words_of(test: &Test) -> Vec<Vec<Word>> {
    let exact = |kind: Kind| {
        move |pattern: &Pattern| {
            let word = pattern.as_str().to_ascii_lowercase();
            (!pattern.is_glob() && word.is_ascii()).then_some(Word::Exact(kind, word))
        }
    };
    let all = |words: Option<Vec<Word>>| words.into_iter().collect();
    match test {
        Test::Services(list) => all(list.iter().map(exact(Kind::Service)).collect()),
        Test::Regions(list) => all(list.iter().map(exact(Kind::Region)).collect()),
        Test::Accounts(list) => all(list.iter().map(exact(Kind::Account)).collect()),
        Test::Calls(calls) => all(calls.iter().map(word_of_call).collect()),
        Test::Principals(list) => pieces_of(list.iter()),
        Test::Outcomes(_) | Test::SourceIps(_) | Test::Request(_) => Vec::new(),
    }
}

fn word_of_call(call: &CallPattern) -> Option<Word> {
    let service = call.service.as_str().to_ascii_lowercase();
    match (call.service.is_glob(), call.name.is_glob()) {
        _ if !(service.is_ascii() && call.name.as_str().is_ascii()) => None,
        (true, _) => None,
        (false, true) => Some(Word::Exact(Kind::Service, service)),
        (false, false) => {
            let name = call.name.as_str().to_ascii_lowercase();
            Some(Word::Exact(Kind::Call, format!("{service}:{name}")))
        }
    }
}

/// Each pattern has several pieces between its wildcards, and a text that it matches has all of
/// them: one choice of words takes the first pieces, one the last, one the longest.
fn pieces_of<'p>(patterns: impl Iterator<Item = &'p Pattern> + Clone) -> Vec<Vec<Word>> {
    let choices: [Choice<'p>; 3] = [
        |pieces| pieces.first(),
        |pieces| pieces.last(),
        |pieces| pieces.iter().max_by_key(|piece| piece.len()),
    ];
    let chosen = choices.map(|choose| {
        let pieces = patterns.clone().map(|pattern| {
            let pieces: Vec<&str> = pattern.as_str().split(['*', '?']).filter(is_telling).collect();
            choose(&pieces).map(|piece| Word::Piece(piece.to_ascii_lowercase()))
        });
        pieces.collect::<Option<Vec<Word>>>()
    });
    chosen.into_iter().flatten().collect()
}

type Choice<'p> = for<'s> fn(&'s [&'p str]) -> Option<&'s &'p str>;

/// Whether a piece can be searched for. Letters of other alphabets have more cases than bytes tell.
fn is_telling(piece: &&str) -> bool {
    piece.len() >= 2 && piece.is_ascii()
}

/// FNV-1a over the words in lower case, behind their kind.
fn hash(kind: Kind, words: &[&str]) -> u64 {
    const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01B3;
    let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    let add_word = |hash, word: &&str| {
        word.as_bytes().iter().fold(hash, |hash, byte| add(hash, byte.to_ascii_lowercase()))
    };
    words.iter().fold(add(OFFSET, kind as u8), add_word)
}

/// For keys that are hashes already. They are made of the policy's words, so nobody else can make
/// many of them meet.
#[derive(Debug, Clone, Copy, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        // The table goes by the highest bits too, which FNV leaves weak.
        self.0 = hash ^ hash.rotate_left(32);
    }
}
