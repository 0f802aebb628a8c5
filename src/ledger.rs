//! The memory of incidents already told.
//!
//! A terraform run in the wrong region makes hundreds of calls over many invocations, and a failed
//! invocation is replayed. People should hear of it once, again when something new happens, and at
//! 10, 100, 1,000 calls. `record` says whether to tell; `confirm` is called only after SNS took the
//! message, so a crash in between repeats an alert and never loses one.
//!
//! [`Memory`] is what is remembered of one incident and decides, whatever stores it: this process
//! ([`InMemoryLedger`]), or items that several processes write ([`SharedLedger`]).

mod shared;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::future::{Future, ready};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alert::incident::id_of;
use crate::policy::Severity;

pub use shared::{Item, Items, SharedLedger, Write, Written};

/// An incident seen in one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The incident's id.
    pub incident: String,
    /// Identifies the payload: the same for a replay.
    pub payload: String,
    /// When it was seen: by this the window goes.
    pub now: Timestamp,
    /// A ledger that has not noted it by then is not waited for.
    pub record_by: Timestamp,
    /// The same for noting that it was told.
    pub confirm_by: Timestamp,
    /// Calls seen.
    pub count: u64,
    /// The gravest severity seen.
    pub severity: Severity,
    /// Watch rules that matched.
    pub watches: BTreeSet<String>,
    /// Calls seen, as `service:Name`, with how often each.
    pub calls: BTreeMap<String, u64>,
}

/// Whether a sighting is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Publish it, then confirm with this.
    Tell(Box<Telling>),
    /// Count it; the next message names how many were held.
    Hold,
}

/// What is about to be told, and what will be remembered as told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// What was seen.
    pub sighting: Sighting,
    /// Why it is told.
    pub causes: Vec<Cause>,
    /// Calls counted and not told since the last message.
    pub held: u64,
    /// Which calls they were, as far as their names are remembered.
    pub held_calls: BTreeMap<String, u64>,
    /// Whether the message names what was held; otherwise the next one does.
    pub names_held: bool,
    /// Calls in the window so far.
    pub total: u64,
    /// When the window began.
    pub window: Timestamp,
}

/// Why a sighting is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The incident was never seen, or all of it was told in windows before.
    First,
    /// It was seen, and nothing was told in this window.
    NothingTold,
    /// Watch rules that had not matched before.
    NewWatches(Vec<String>),
    /// Calls of other names than before.
    NewCalls(Vec<String>),
    /// It became graver.
    GraverThan(Severity),
    /// The number of calls passed a power of ten.
    Milestone(u64),
}

/// A ledger that failed. The caller tells the incident and counts the error.
#[derive(Debug, thiserror::Error)]
#[error("the ledger failed: {0}")]
pub struct LedgerError(pub String);

impl Sighting {
    /// Tells it from another sighting in the same payload, as another policy may make of it.
    fn contents(&self) -> String {
        let counts: Vec<String> =
            self.calls.iter().map(|(call, count)| format!("{call} {count}")).collect();
        let words = self.watches.iter().chain(&counts).map(String::as_str);
        let words: Vec<&str> = words.chain([self.severity.as_str()]).collect();
        id_of(&words).chars().take(CONTENTS).collect()
    }
}

/// Hexadecimal digits that tell one sighting in a payload from another.
const CONTENTS: usize = 8;

/// Where incidents are remembered.
pub trait Ledger: Sync {
    /// Notes a sighting, and says whether to tell it.
    fn record(
        &self,
        sighting: Sighting,
    ) -> impl Future<Output = Result<Decision, LedgerError>> + Send;

    /// Notes that a message was accepted.
    fn confirm(&self, telling: &Telling) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// Messages in a window that are sent for a single new name of a call. Each one behind them needs
/// twice as many new names as the one before it, so that nobody buys silence with harmless names.
const MOST_FOR_ONE_NAME: u32 = 20;

/// Payloads remembered for an incident, to know a replay by.
const MOST_PAYLOADS: usize = 64;

/// Names shown in a cause.
const MOST_NAMES_SHOWN: usize = 5;

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
    /// Payloads that were counted in this window.
    payloads: VecDeque<Payload>,
    /// The same of windows before.
    before: VecDeque<Payload>,
    told: Option<Told>,
}

/// A payload that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Payload {
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
            payloads: VecDeque::new(),
            before: VecDeque::new(),
            told: None,
        }
    }

    /// The next window. What was held in this one goes with it.
    fn next(&self, now: Timestamp) -> Self {
        Memory {
            carried: self.carried.saturating_add(self.held()),
            untold: self.untold.clone(),
            before: self.before.iter().chain(&self.payloads).cloned().collect(),
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

    /// Counts a sighting, unless it is a replay, and decides.
    pub fn record(&mut self, sighting: Sighting) -> Decision {
        let at =
            |payloads: &VecDeque<Payload>| payloads.iter().position(|p| p.id == sighting.payload);
        if let Some(before) = at(&self.before) {
            if self.before.get(before).is_some_and(|payload| payload.told == sighting.contents()) {
                return Decision::Hold;
            }
            // It was counted in a window before, and counts in this one instead.
            self.before.remove(before);
            self.carried = self.carried.saturating_sub(sighting.count);
            subtract(&mut self.untold, &sighting.calls);
        }
        if at(&self.payloads).is_none() {
            self.count(&sighting);
        }
        let held = self.carried.saturating_add(self.held().saturating_sub(sighting.count));
        let causes = self.causes(&sighting, held);
        if causes.is_empty() {
            return Decision::Hold;
        }
        let mut held_calls = self.untold.clone();
        subtract(&mut held_calls, &sighting.calls);
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

    fn count(&mut self, sighting: &Sighting) {
        self.total = self.total.saturating_add(sighting.count);
        add(&mut self.untold, &sighting.calls);
        self.payloads.push_back(Payload { id: sighting.payload.clone(), told: String::new() });
        if self.payloads.len() + self.before.len() > MOST_PAYLOADS
            && self.before.pop_front().is_none()
        {
            self.payloads.pop_front();
        }
    }

    fn causes(&self, sighting: &Sighting, held: u64) -> Vec<Cause> {
        let Some(told) = &self.told else {
            return vec![if held == 0 { Cause::First } else { Cause::NothingTold }];
        };
        let mut causes = Vec::new();
        let watches: Vec<_> = sighting.watches.difference(&told.watches).cloned().collect();
        if !watches.is_empty() {
            causes.push(Cause::NewWatches(watches));
        }
        let is_new = |call: &&String| !told.calls.contains(*call);
        let calls: Vec<_> = sighting.calls.keys().filter(is_new).cloned().collect();
        // Those of this sighting are among the untold ones, as far as they are remembered.
        let untold = self.untold.keys().filter(is_new).count().max(calls.len());
        if !calls.is_empty() && untold >= names_needed(told.for_new_calls) {
            causes.push(Cause::NewCalls(calls));
        }
        if sighting.severity > told.severity {
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
        let sighting = &telling.sighting;
        if telling.window != self.began {
            return self.confirm_before(telling);
        }
        // A confirmation that is noted twice finds nothing new.
        if self.told.as_ref().is_none_or(|told| telling.total > told.total) {
            subtract(&mut self.untold, &sighting.calls);
            if telling.names_held {
                subtract(&mut self.untold, &telling.held_calls);
            }
            self.carried = if telling.names_held { 0 } else { telling.held };
        }
        if let Some(payload) = self.payloads.iter_mut().find(|p| p.id == sighting.payload) {
            payload.told = sighting.contents();
        }
        let told = self.told.get_or_insert_with(|| Told {
            total: 0,
            severity: sighting.severity,
            watches: BTreeSet::new(),
            calls: BTreeSet::new(),
            for_new_calls: 0,
        });
        let is_new = sighting.calls.keys().any(|call| !told.calls.contains(call));
        if is_new && matches!(telling.causes.as_slice(), [Cause::NewCalls(_)]) {
            told.for_new_calls = told.for_new_calls.saturating_add(1);
        }
        told.total = told.total.max(telling.total);
        told.severity = told.severity.max(sighting.severity);
        learn(&mut told.watches, sighting.watches.iter(), MOST_WATCH_BYTES);
        learn(&mut told.calls, sighting.calls.keys(), MOST_CALL_BYTES);
    }

    /// The same for a window that is over: its calls are no longer untold, and none of its numbers
    /// silences this one.
    fn confirm_before(&mut self, telling: &Telling) {
        let sighting = &telling.sighting;
        let Some(payload) = self.before.iter_mut().find(|p| p.id == sighting.payload) else {
            return;
        };
        let was_told = std::mem::replace(&mut payload.told, sighting.contents());
        if !was_told.is_empty() {
            return;
        }
        self.carried = self.carried.saturating_sub(sighting.count);
        subtract(&mut self.untold, &sighting.calls);
        if telling.names_held {
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

/// A ledger that lives as long as its process, and keeps to a bounded number of incidents.
pub struct InMemoryLedger {
    window: SignedDuration,
    memories: Mutex<ByIncident<Memory>>,
}

/// Something about each incident; of too many, the oldest is forgotten first.
struct ByIncident<T> {
    known: HashMap<String, T>,
    /// The order in which they came.
    order: VecDeque<String>,
}

/// Incidents that are kept in memory.
const MOST_INCIDENTS: usize = 10_000;

impl InMemoryLedger {
    /// An empty ledger with windows of this length.
    pub fn new(window: SignedDuration) -> Self {
        InMemoryLedger { window, memories: Mutex::default() }
    }

    /// What `act` does with the memory of an incident, in the window of now.
    fn with<T>(&self, incident: &str, now: Timestamp, act: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memories = locked(&self.memories);
        let memory = memories.of(incident, || Memory::new(now));
        memory.turn(now, self.window);
        act(memory)
    }
}

/// A panic elsewhere leaves what is remembered as good as it was.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> ByIncident<T> {
    fn of(&mut self, incident: &str, new: impl FnOnce() -> T) -> &mut T {
        if !self.known.contains_key(incident) {
            self.order.push_back(incident.to_owned());
            if self.order.len() > MOST_INCIDENTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        self.known.entry(incident.to_owned()).or_insert_with(new)
    }
}

impl<T> Default for ByIncident<T> {
    fn default() -> Self {
        ByIncident { known: HashMap::new(), order: VecDeque::new() }
    }
}

impl Ledger for InMemoryLedger {
    fn record(
        &self,
        sighting: Sighting,
    ) -> impl Future<Output = Result<Decision, LedgerError>> + Send {
        let (incident, now) = (sighting.incident.clone(), sighting.now);
        ready(Ok(self.with(&incident, now, |memory| memory.record(sighting))))
    }

    fn confirm(&self, telling: &Telling) -> impl Future<Output = Result<(), LedgerError>> + Send {
        let Sighting { incident, now, .. } = &telling.sighting;
        self.with(incident, *now, |memory| memory.confirm(telling));
        ready(Ok(()))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |names: &[String]| {
            let shown: Vec<&str> =
                names.iter().take(MOST_NAMES_SHOWN).map(String::as_str).collect();
            let more = if names.len() > shown.len() { " and others" } else { "" };
            format!("{}{more}", shown.join(", "))
        };
        match self {
            Cause::First => f.write_str("first sighting"),
            Cause::NothingTold => f.write_str("nothing told yet in this window"),
            Cause::NewWatches(ids) => write!(f, "watch {}", names(ids)),
            Cause::NewCalls(calls) => write!(f, "new calls {}", names(calls)),
            Cause::GraverThan(severity) => write!(f, "graver than {severity}"),
            Cause::Milestone(count) => write!(f, "{count} calls reached"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(payload: u32, count: u64, calls: &[&str]) -> Sighting {
        Sighting {
            incident: "incident".to_owned(),
            payload: payload.to_string(),
            now: Timestamp::from_second(i64::from(payload)).unwrap(),
            record_by: Timestamp::MAX,
            confirm_by: Timestamp::MAX,
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
        stop.watches.insert("trail-tampering".to_owned());
        stop.severity = Severity::Critical;
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
    fn the_last_payloads_are_known_again() {
        let mut memory = Memory::new(Timestamp::UNIX_EPOCH);
        let payloads = u32::try_from(MOST_PAYLOADS).unwrap();
        for payload in 0..=payloads {
            memory.record(sighting(payload, 1, &["a:B"]));
        }
        let total = memory.total;
        memory.record(sighting(1, 1, &["a:B"]));
        assert_eq!(memory.total, total);
        memory.record(sighting(0, 1, &["a:B"]));
        assert_eq!(memory.total, total + 1);
    }

    #[test]
    fn causes_name_a_few_and_say_that_there_are_more() {
        let names = |n: usize| Cause::NewCalls((0..n).map(|n| format!("a:B{n}")).collect());
        assert_eq!(names(1).to_string(), "new calls a:B0");
        assert!(names(MOST_NAMES_SHOWN).to_string().ends_with("a:B4"));
        assert!(names(MOST_NAMES_SHOWN + 1).to_string().ends_with("a:B4 and others"));
    }

    #[test]
    fn what_was_held_is_told_in_the_next_window() {
        let ledger = InMemoryLedger::new(SignedDuration::from_secs(60));
        let record = |payload, count| {
            let sighting = sighting(payload, count, &["a:B"]);
            let Decision::Tell(telling) = pollster::block_on(ledger.record(sighting)).unwrap()
            else {
                return None;
            };
            pollster::block_on(ledger.confirm(&telling)).unwrap();
            Some(telling.held)
        };
        assert_eq!(record(0, 1), Some(0));
        assert_eq!(record(30, 7), None);
        assert_eq!(record(61, 1), Some(7));
        assert_eq!(record(130, 1), Some(0));
    }

    #[test]
    fn a_window_ends_and_the_oldest_is_forgotten() {
        let ledger = InMemoryLedger::new(SignedDuration::from_secs(60));
        let tell = |payload, incident: &str| {
            let sighting =
                Sighting { incident: incident.to_owned(), ..sighting(payload, 1, &["a:B"]) };
            let decision = pollster::block_on(ledger.record(sighting)).unwrap();
            if let Decision::Tell(telling) = &decision {
                pollster::block_on(ledger.confirm(telling)).unwrap();
            }
            decision != Decision::Hold
        };
        assert!(tell(0, "a"));
        assert!(!tell(59, "a"));
        assert!(tell(60, "a"));
        assert!(!tell(60, "a"));
        assert_eq!(locked(&ledger.memories).order.len(), 1);
        for n in 0..MOST_INCIDENTS {
            assert!(tell(61, &n.to_string()));
        }
        assert!(tell(62, "a"));
        assert_eq!(locked(&ledger.memories).known.len(), MOST_INCIDENTS);
        assert_eq!(locked(&ledger.memories).order.len(), MOST_INCIDENTS);
    }
}
