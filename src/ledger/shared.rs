//! The ledger on items that several containers write at the same time.
//!
//! An item holds what is remembered of one incident. It is written only if it still is what the
//! writer took it for; a store that refuses shows what stands there, and the writer decides again on
//! that. So no container's sighting is lost to another's, and the common case is one request: a
//! container begins with what it wrote or saw last, and an incident that it never saw is taken for
//! new.
//!
//! Requests: one for a sighting and one for its confirmation; one more for each where another
//! container wrote in between.
//!
//! Two containers that see an incident for the first time at once may both tell it: told means
//! accepted, and neither knows yet whether the other's message will be. A lease on telling would
//! spare the second message, at the price of an alert that waits for a container that died.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

use super::{ByIncident, Decision, Ledger, LedgerError, Memory, Sighting, Telling, locked};
use crate::alert::incident::id_of;

/// Where items are kept.
pub trait Items: Sync {
    /// Writes an item, unless another stands in its place than the one that it replaces.
    fn write(&self, write: Write<'_>) -> impl Future<Output = Result<Written, LedgerError>> + Send;

    /// Whether this time is past. Only this side has a clock.
    fn is_past(&self, time: Timestamp) -> bool;
}

/// An item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Changes with the text.
    pub version: String,
    /// What is remembered.
    pub text: String,
}

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The incident's id: the item's key.
    pub incident: &'a str,
    /// The version that has to stand there; `None` where none may.
    pub replaces: Option<&'a str>,
    /// What is to stand there.
    pub item: &'a Item,
    /// From when the item may be deleted.
    pub expires: Timestamp,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It stands there.
    Done,
    /// This stands there, and was left as it is; `None` where nothing does that has a version.
    Conflict(Option<Item>),
}

/// A ledger on items.
pub struct SharedLedger<I> {
    items: I,
    window: SignedDuration,
    /// Items as they were when last written or seen here.
    seen: Mutex<ByIncident<Option<Item>>>,
}

/// Writes that found another item than they expected, before a container gives up. Of those that
/// write at the same moment one succeeds, so that few of them need few turns; whoever waits between
/// two writes only finds the item changed again.
const MOST_CONFLICTS: u32 = 10;

/// Bytes of a text that is remembered here as it was last seen. A longer one costs a request more.
const LONGEST_SEEN: usize = 4096;

/// How long an item is kept beyond its window: what was held in it is named by the next message.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

impl<I: Items> SharedLedger<I> {
    /// A ledger with windows of this length.
    pub fn new(items: I, window: SignedDuration) -> Self {
        SharedLedger { items, window, seen: Mutex::default() }
    }

    /// Does something to the memory of an incident, whoever else does.
    async fn change<T>(
        &self,
        sighting: &Sighting,
        by: Timestamp,
        act: impl Fn(&mut Memory) -> T + Send + Sync,
    ) -> Result<T, LedgerError>
    where
        T: Send,
    {
        let Sighting { incident, now, .. } = sighting;
        let mut stands = locked(&self.seen).of(incident, || None).clone();
        for _ in 0..=MOST_CONFLICTS {
            if self.items.is_past(by) {
                return Err(LedgerError("its time in this invocation is up".to_owned()));
            }
            let memory = stands.as_ref().and_then(|item| Memory::from_text(&item.text));
            let mut memory = memory.unwrap_or_else(|| Memory::new(*now));
            memory.turn(*now, self.window);
            let outcome = act(&mut memory);
            let item = Item::of(&memory);
            let write = Write {
                incident,
                replaces: stands.as_ref().map(|item| item.version.as_str()),
                item: &item,
                expires: *now + self.window + KEPT,
            };
            match self.items.write(write).await? {
                Written::Done => {
                    let seen = Some(item).filter(|item| item.text.len() <= LONGEST_SEEN);
                    *locked(&self.seen).of(incident, || None) = seen;
                    return Ok(outcome);
                }
                Written::Conflict(other) => stands = other,
            }
        }
        let what = format!("others wrote the item {} times meanwhile", MOST_CONFLICTS + 1);
        Err(LedgerError(what))
    }
}

impl Item {
    fn of(memory: &Memory) -> Self {
        let text = memory.to_text();
        // Made of the text, so that no version stands for two: not even where an item was deleted
        // and another has begun.
        Item { version: id_of(&[&text]), text }
    }
}

impl<I: Items> Ledger for SharedLedger<I> {
    async fn record(&self, sighting: Sighting) -> Result<Decision, LedgerError> {
        let act = |memory: &mut Memory| memory.record(sighting.clone());
        self.change(&sighting, sighting.record_by, act).await
    }

    async fn confirm(&self, telling: &Telling) -> Result<(), LedgerError> {
        let act = |memory: &mut Memory| memory.confirm(telling);
        self.change(&telling.sighting, telling.sighting.confirm_by, act).await
    }
}
