//! What is remembered of one incident, and what it decides.
//!
//! Pure, so that every store decides alike: it is given sightings and confirmations with their own
//! time, and says whether to tell. `text` makes it an item's text.

mod text;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Cause, Decision, Share, Sighting, Telling};
use crate::policy::Severity;

/// Messages in a window that are sent for a single new name of a call. Each one behind them needs
/// twice as many new names as the one before it, so that nobody buys silence with harmless names.
const MOST_FOR_ONE_NAME: u32 = 20;

/// Batches remembered for an incident, to know a replay by. The template hands over no more records
/// of a stream at once.
pub const MOST_BATCHES: usize = 64;

/// Bytes of the names of calls that are remembered as told: some two thousand names. One that is not
/// remembered counts as new again.
const MOST_CALL_BYTES: usize = 40_000;

/// The same for the ids of watch rules.
const MOST_WATCH_BYTES: usize = 8_000;

/// The same for the names of calls that nobody was told of. One that is not remembered is counted all
/// the same.
const MOST_UNTOLD_BYTES: usize = 10_000;

/// Longer than any invocation, which may take 15 minutes (Lambda guide, "Quotas").
const FARTHEST_AHEAD: SignedDuration = SignedDuration::from_hours(1);

/// What is remembered of one incident within a window. Sums saturate, for what was stored may say
/// anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    began: Timestamp,
    /// Calls of the window before that nobody was told of.
    carried: u64,
    total: u64,
    /// Names of the calls that nobody was told of, with how often each.
    untold: BTreeMap<String, u64>,
    /// Batches that were counted in this window.
    #[serde(rename = "payloads")]
    batches: VecDeque<Batch>,
    /// The same of windows before.
    before: VecDeque<Batch>,
    told: Option<Told>,
}

/// A batch that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Batch {
    id: String,
    /// Tells what was told of it; empty for nothing.
    told: String,
}

/// What people know already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    total: u64,
    #[serde(with = "text::severity")]
    severity: Severity,
    watches: BTreeSet<String>,
    calls: BTreeSet<String>,
    for_new_calls: u32,
}

impl Memory {
    /// Nothing yet; the window begins.
    pub fn new(now: Timestamp) -> Self {
        Memory {
            began: now,
            carried: 0,
            total: 0,
            untold: BTreeMap::new(),
            batches: VecDeque::new(),
            before: VecDeque::new(),
            told: None,
        }
    }

    /// The next window. What was held in this one goes with it.
    fn next(&self, now: Timestamp) -> Self {
        Memory {
            carried: self.carried.saturating_add(self.held()),
            untold: self.untold.clone(),
            before: self.before.iter().chain(&self.batches).cloned().collect(),
            ..Memory::new(now)
        }
    }

    /// Calls that were counted and not told.
    fn held(&self) -> u64 {
        self.total.saturating_sub(self.told.as_ref().map_or(0, |told| told.total))
    }

    /// Begins the next window where this one is over.
    pub fn turn(&mut self, now: Timestamp, window: SignedDuration) {
        let age = now.duration_since(self.began);
        // One that begins after now is another container's, and was begun while this invocation
        // ran. Not so if it is far ahead: a wrong clock must not keep silent for long.
        if age >= window || age < -FARTHEST_AHEAD {
            *self = self.next(now);
        }
    }

    /// Counts a sighting, as far as it is no replay, and decides.
    pub fn record(&mut self, mut sighting: Sighting) -> Decision {
        sighting.shares.retain(|share| !self.told_of(share));
        let Some(whole) = sighting.whole() else { return Decision::Hold };
        for share in &sighting.shares {
            self.count(share);
        }
        let held = self.carried.saturating_add(self.held().saturating_sub(whole.count));
        let causes = self.causes(&whole, held);
        if causes.is_empty() {
            return Decision::Hold;
        }
        let mut held_calls = self.untold.clone();
        subtract(&mut held_calls, &whole.calls);
        let (names_held, total, window) = (true, self.total, self.began);
        Decision::Tell(Box::new(Telling {
            sighting,
            causes,
            held,
            held_calls,
            names_held,
            total,
            window,
        }))
    }

    /// Whether a message was accepted that told all of this, in whichever window.
    fn told_of(&self, share: &Share) -> bool {
        let mut known = self.batches.iter().chain(&self.before);
        let known = known.find(|batch| batch.id == share.batch && !batch.told.is_empty());
        known.is_some_and(|batch| batch.told == share.contents())
    }

    /// Counts what a batch has, once.
    fn count(&mut self, share: &Share) {
        if let Some(at) = self.before.iter().position(|batch| batch.id == share.batch) {
            // It was counted in a window before, and counts in this one instead.
            self.before.remove(at);
            self.carried = self.carried.saturating_sub(share.count);
            subtract(&mut self.untold, &share.calls);
        }
        if self.batches.iter().any(|batch| batch.id == share.batch) {
            return;
        }
        self.total = self.total.saturating_add(share.count);
        add(&mut self.untold, &share.calls);
        self.batches.push_back(Batch { id: share.batch.clone(), told: String::new() });
        if self.batches.len() + self.before.len() > MOST_BATCHES
            && self.before.pop_front().is_none()
        {
            self.batches.pop_front();
        }
    }

    fn causes(&self, seen: &Share, held: u64) -> Vec<Cause> {
        let Some(told) = &self.told else {
            return vec![if held == 0 { Cause::First } else { Cause::NothingTold }];
        };
        let mut causes = Vec::new();
        let watches: Vec<_> = seen.watches.difference(&told.watches).cloned().collect();
        if !watches.is_empty() {
            causes.push(Cause::NewWatches(watches));
        }
        let is_new = |call: &&String| !told.calls.contains(*call);
        let calls: Vec<_> = seen.calls.keys().filter(is_new).cloned().collect();
        // Those seen now are among the untold ones, as far as they are remembered.
        let untold = self.untold.keys().filter(is_new).count().max(calls.len());
        if !calls.is_empty() && untold >= names_needed(told.for_new_calls) {
            causes.push(Cause::NewCalls(calls));
        }
        if seen.severity > told.severity {
            causes.push(Cause::GraverThan(told.severity));
        }
        let milestone = milestone(self.total);
        if milestone > told.total {
            causes.push(Cause::Milestone(milestone));
        }
        causes
    }

    /// Remembers what people know now.
    pub fn confirm(&mut self, telling: &Telling) {
        if telling.window != self.began {
            return self.confirm_before(telling);
        }
        let Some(seen) = telling.sighting.whole() else { return };
        // A confirmation that is noted twice finds nothing new.
        if self.told.as_ref().is_none_or(|told| telling.total > told.total) {
            subtract(&mut self.untold, &seen.calls);
            if telling.names_held {
                subtract(&mut self.untold, &telling.held_calls);
            }
            self.carried = if telling.names_held { 0 } else { telling.held };
        }
        for share in &telling.sighting.shares {
            if let Some(batch) = self.batches.iter_mut().find(|batch| batch.id == share.batch) {
                batch.told = share.contents();
            }
        }
        let told = self.told.get_or_insert_with(|| Told {
            total: 0,
            severity: seen.severity,
            watches: BTreeSet::new(),
            calls: BTreeSet::new(),
            for_new_calls: 0,
        });
        let is_new = seen.calls.keys().any(|call| !told.calls.contains(call));
        if is_new && matches!(telling.causes.as_slice(), [Cause::NewCalls(_)]) {
            told.for_new_calls = told.for_new_calls.saturating_add(1);
        }
        told.total = told.total.max(telling.total);
        told.severity = told.severity.max(seen.severity);
        learn(&mut told.watches, seen.watches.iter(), MOST_WATCH_BYTES);
        learn(&mut told.calls, seen.calls.keys(), MOST_CALL_BYTES);
    }

    /// The same for a window that is over: its calls are no longer untold, and none of its numbers
    /// silences this one.
    fn confirm_before(&mut self, telling: &Telling) {
        let mut is_news = false;
        for share in &telling.sighting.shares {
            let batch = self.before.iter_mut().find(|batch| batch.id == share.batch);
            let Some(batch) = batch else { continue };
            if std::mem::replace(&mut batch.told, share.contents()).is_empty() {
                self.carried = self.carried.saturating_sub(share.count);
                subtract(&mut self.untold, &share.calls);
                is_news = true;
            }
        }
        if is_news && telling.names_held {
            self.carried = self.carried.saturating_sub(telling.held);
            subtract(&mut self.untold, &telling.held_calls);
        }
    }
}

/// New names of calls that a message for new names alone needs, after so many of them.
fn names_needed(messages: u32) -> usize {
    1_usize.checked_shl(messages.saturating_sub(MOST_FOR_ONE_NAME - 1)).unwrap_or(usize::MAX)
}

/// Takes up new names, as long as all of them together have no more bytes than `most`.
fn learn<'n>(known: &mut BTreeSet<String>, names: impl Iterator<Item = &'n String>, most: usize) {
    /// What a name costs beyond its bytes where it is stored.
    const AROUND: usize = 3;
    let mut bytes: usize = known.iter().map(|name| name.len() + AROUND).sum();
    for name in names {
        let more = bytes + name.len() + AROUND;
        if more <= most && known.insert(name.clone()) {
            bytes = more;
        }
    }
}

/// Counts calls by name, as long as all names together have no more bytes than
/// [`MOST_UNTOLD_BYTES`].
fn add(counts: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    /// What a name costs beyond its bytes where it is stored: its count has up to 20 digits.
    const AROUND: usize = 24;
    let mut bytes: usize = counts.keys().map(|name| name.len() + AROUND).sum();
    for (name, count) in more {
        if let Some(known) = counts.get_mut(name) {
            *known = known.saturating_add(*count);
        } else if bytes + name.len() + AROUND <= MOST_UNTOLD_BYTES {
            bytes += name.len() + AROUND;
            counts.insert(name.clone(), *count);
        }
    }
}

fn subtract(counts: &mut BTreeMap<String, u64>, less: &BTreeMap<String, u64>) {
    counts.retain(|name, count| {
        *count = count.saturating_sub(less.get(name).copied().unwrap_or(0));
        *count > 0
    });
}

/// The last of 10, 100, 1,000, ... that `total` reached; 0 before.
fn milestone(total: u64) -> u64 {
    match total.checked_ilog10() {
        None | Some(0) => 0,
        Some(zeros) => 10_u64.pow(zeros),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn sighting(payload: u32, count: u64, calls: &[&str]) -> Sighting {
        Sighting {
            incident: "incident".to_owned(),
            shares: vec![share(payload, count, calls)],
            now: Timestamp::from_second(i64::from(payload)).unwrap(),
            record_by: Timestamp::MAX,
            confirm_by: Timestamp::MAX,
        }
    }

    fn share(batch: u32, count: u64, calls: &[&str]) -> Share {
        Share {
            batch: batch.to_string(),
            count,
            severity: Severity::High,
            watches: BTreeSet::new(),
            calls: calls.iter().map(|call| ((*call).to_owned(), count)).collect(),
        }
    }

    /// What is told of a sighting that SNS then accepts.
    fn told(memory: &mut Memory, sighting: Sighting) -> Option<String> {
        let Decision::Tell(telling) = memory.record(sighting) else { return None };
        memory.confirm(&telling);
        let causes: Vec<String> = telling.causes.iter().map(Cause::to_string).collect();
        Some(format!("{}, held {} of {}", causes.join("; "), telling.held, telling.total))
    }

    #[test]
    fn a_storm_is_told_at_first_and_at_each_milestone() {
        let mut memory = Memory::new(Timestamp::UNIX_EPOCH);
        let told: Vec<_> = (0..500)
            .filter_map(|payload| told(&mut memory, sighting(payload, 1, &["ec2:CreateTags"])))
            .collect();
        let expected = [
            "first sighting, held 0 of 1",
            "10 calls reached, held 8 of 10",
            "100 calls reached, held 89 of 100",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn harmless_calls_hide_nothing_that_follows() {
        let mut memory = Memory::new(Timestamp::UNIX_EPOCH);
        assert!(told(&mut memory, sighting(1, 1, &["ec2:CreateTags"])).is_some());
        assert_eq!(told(&mut memory, sighting(2, 1, &["ec2:CreateTags"])), None);
        let run = told(&mut memory, sighting(3, 1, &["ec2:RunInstances"])).unwrap();
        assert_eq!(run, "new calls ec2:RunInstances, held 1 of 3");
        let mut stop = sighting(4, 1, &["ec2:CreateTags"]);
        stop.shares[0].watches.insert("trail-tampering".to_owned());
        stop.shares[0].severity = Severity::Critical;
        let stop = told(&mut memory, stop).unwrap();
        assert_eq!(stop, "watch trail-tampering; graver than high, held 0 of 4");
    }

    #[test]
    fn many_new_names_are_told_ever_more_at_once() {
        let mut memory = Memory::new(Timestamp::UNIX_EPOCH);
        let told: Vec<u32> = (1..200)
            .filter(|n| told(&mut memory, sighting(*n, 1, &[&format!("s:Call{n}")])).is_some())
            .collect();
        // The first, twenty for one name each (a milestone at 10 among them), and then for 2, 4, 8, ...
        // further names; a milestone at 100.
        let expected: Vec<u32> = (1..=22).chain([24, 28, 36, 52, 84, 100, 164]).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_replay_counts_nothing_but_is_told_until_confirmed() {
        let mut memory = Memory::new(Timestamp::UNIX_EPOCH);
        for _ in 0..3 {
            let Decision::Tell(telling) = memory.record(sighting(1, 5, &["a:B"])) else {
                panic!("held")
            };
            assert_eq!((telling.total, telling.held), (5, 0));
        }
        assert!(told(&mut memory, sighting(1, 5, &["a:B"])).is_some());
        assert_eq!(memory.record(sighting(1, 5, &["a:B"])), Decision::Hold);
    }

    #[test]
    fn the_last_batches_are_known_again() {
        let mut memory = Memory::new(Timestamp::UNIX_EPOCH);
        for batch in 0..=u32::try_from(MOST_BATCHES).unwrap() {
            memory.record(sighting(batch, 1, &["a:B"]));
        }
        let total = memory.total;
        memory.record(sighting(1, 1, &["a:B"]));
        assert_eq!(memory.total, total);
        memory.record(sighting(0, 1, &["a:B"]));
        assert_eq!(memory.total, total + 1);
    }

    /// A sighting of batches with so many calls each.
    fn of_batches(batches: &[(u32, u64)], call: &str) -> Sighting {
        let shares = batches.iter().map(|(batch, count)| share(*batch, *count, &[call])).collect();
        Sighting { shares, ..sighting(0, 0, &[]) }
    }

    #[test]
    fn several_batches_are_told_at_once_and_each_is_known_again() {
        let mut memory = Memory::new(Timestamp::UNIX_EPOCH);
        let first = told(&mut memory, of_batches(&[(1, 2), (2, 3), (3, 1)], "a:B"));
        assert_eq!(first.unwrap(), "first sighting, held 0 of 6");
        assert_eq!(memory.record(of_batches(&[(2, 3), (3, 1)], "a:B")), Decision::Hold);
        assert_eq!(memory.total, 6);
        // A replay that brings what is new: that alone counts, and reaches a milestone.
        assert_eq!(told(&mut memory, of_batches(&[(3, 1), (4, 3)], "a:B")), None);
        let more = told(&mut memory, of_batches(&[(3, 1), (4, 3), (5, 2)], "a:B"));
        assert_eq!(more.unwrap(), "10 calls reached, held 0 of 11");
    }

    #[test]
    fn what_was_not_accepted_is_told_by_the_replay_of_its_batches() {
        let mut memory = Memory::new(Timestamp::UNIX_EPOCH);
        assert!(matches!(memory.record(of_batches(&[(1, 2), (2, 3)], "a:B")), Decision::Tell(_)));
        let again = told(&mut memory, of_batches(&[(2, 3)], "a:B")).unwrap();
        assert_eq!(again, "nothing told yet in this window, held 2 of 5");
    }

    #[test]
    fn batches_of_a_window_before_that_were_told_are_no_news() {
        let (mut memory, window) =
            (Memory::new(Timestamp::UNIX_EPOCH), SignedDuration::from_secs(60));
        assert!(told(&mut memory, of_batches(&[(1, 2), (2, 3)], "a:B")).is_some());
        memory.turn(Timestamp::from_second(60).unwrap(), window);
        assert_eq!(memory.record(of_batches(&[(1, 2), (2, 3)], "a:B")), Decision::Hold);
        let news = told(&mut memory, of_batches(&[(2, 3), (3, 1)], "a:B")).unwrap();
        assert_eq!(news, "first sighting, held 0 of 1");
        // Another policy makes something else of a batch: then it is told, and counts anew.
        let other = told(&mut memory, of_batches(&[(2, 4)], "a:C")).unwrap();
        assert_eq!(other, "new calls a:C, held 0 of 5");
    }
}
