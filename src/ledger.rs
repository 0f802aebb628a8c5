//! The memory of incidents already told.
//!
//! A terraform run in the wrong region makes hundreds of calls over many invocations, and a failed
//! invocation is replayed. People should hear of it once, again when something new happens, and at
//! 10, 100, 1,000 calls. `record` says whether to tell; `confirm` is called only after SNS took the
//! message, so a crash in between repeats an alert and never loses one.
//!
//! [`Memory`] is what is remembered of one incident and decides, whatever stores it: this process
//! ([`InMemoryLedger`]), or items that several processes write ([`SharedLedger`]).

mod memory;
mod shared;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::future::{Future, ready};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::alert::incident::id_of;
use crate::policy::Severity;

pub use memory::{MOST_BATCHES, Memory};
pub use shared::{Item, Items, SharedLedger, Write, Written};

/// An incident seen by one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The incident's id.
    pub incident: String,
    /// What each batch has of it: a replay may bring some of them again, and others with them.
    pub shares: Vec<Share>,
    /// When it was seen: by this the window goes.
    pub now: Timestamp,
    /// A ledger that has not noted it by then is not waited for.
    pub record_by: Timestamp,
    /// The same for noting that it was told.
    pub confirm_by: Timestamp,
}

/// What one batch has of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Identifies the batch: the same for a replay.
    pub batch: String,
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
    /// What was seen, without what people know already.
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
    /// The shares as one, of no batch; `None` without any.
    fn whole(&self) -> Option<Share> {
        let mut shares = self.shares.iter();
        let mut whole = Share { batch: String::new(), ..shares.next()?.clone() };
        for share in shares {
            whole.count = whole.count.saturating_add(share.count);
            whole.severity = whole.severity.max(share.severity);
            whole.watches.extend(share.watches.iter().cloned());
            for (call, count) in &share.calls {
                let known = whole.calls.entry(call.clone()).or_default();
                *known = known.saturating_add(*count);
            }
        }
        Some(whole)
    }
}

impl Share {
    /// Tells it from another share of the same batch, as another policy may make of it.
    fn contents(&self) -> String {
        let counts: Vec<String> =
            self.calls.iter().map(|(call, count)| format!("{call} {count}")).collect();
        let words = self.watches.iter().chain(&counts).map(String::as_str);
        let words: Vec<&str> = words.chain([self.severity.as_str()]).collect();
        id_of(&words).chars().take(CONTENTS).collect()
    }
}

/// Hexadecimal digits that tell one share of a batch from another.
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

/// Names shown in a cause.
const MOST_NAMES_SHOWN: usize = 5;

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
    use super::memory::tests::sighting;
    use super::*;

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
