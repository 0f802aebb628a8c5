//! May this be dropped? Answered over the message as it stands in the batch, still escaped.
//!
//! Most records are ignored, and to unescape and parse one costs more than to inflate it. Even to find
//! where one ends costs a tenth of that, and need not be done twice. So [`Skimmer::skim`] is given
//! what is ahead, wherever the message ends in it, and goes through the members of the record, reads those that decide, and stops as
//! soon as the judge's answer is certain. Only members of the record itself count, and of
//! `userIdentity` those that the judge reads: what stands deeper was written by whoever made the
//! call. On anything odd, and wherever a watch may match or the call may alert, it is unsure, and
//! the record is read and judged. Every reason is the judge's own.
//!
//! Records that share `eventSource`, `eventName` and `awsRegion` share the answer to the question for
//! approved regions, as a rule: it is asked once for all of them.
//!
//! What was passed is valid JSON, as long as it is UTF-8, and names no field twice. What stands behind the place where it
//! stopped nobody has looked at: there, a damaged end or a repeated field goes unnoticed.

mod glance;
mod memory;
mod walk;

use std::ops::Range;

use crate::policy::{Foresight, Policy, Reason, Unforeseen};

use glance::{Fields, Glance, Identities};
use memory::{Memory, place};
use walk::{Odd, Walk};

/// Skims the records of a batch.
#[derive(Debug, Clone)]
pub struct Skimmer<'p> {
    foresight: Foresight<'p>,
    /// The fields that the question for approved regions needs.
    needed: Fields,
    seen: Seen,
}

/// Texts that skimming went through, and need not go through again: the batches of a trail are much
/// alike, so that it is worth keeping from one to the next. At most about 3 MB, and commonly a fifth of that.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The policy that gave the answers.
    policy: String,
    /// Answers to the question for approved regions, where it needs no more than [`Fields::CALL`].
    answers: Memory<Answer>,
    /// How records begin, up to the value of `userIdentity`.
    beginnings: Memory<()>,
    identities: Identities,
}

/// Questions 1 to 3, answered ahead.
type Answer = Result<Option<Reason>, Unforeseen>;

const IDENTITY: &[u8] = b"userIdentity";

/// What tells a beginning apart: the version of the record.
const BEGINNING: Range<usize> = 16..24;

/// What tells a call apart, behind the key of `eventSource`: all but the region, of which there are few.
const CALL: Range<usize> = 0..64;

/// A record that the judge would ignore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skimmed {
    /// The judge's reason.
    pub reason: Reason,
    /// How many bytes of the message were passed: they end between two characters of it.
    pub passed: usize,
    /// Whether these are ASCII.
    pub ascii: bool,
}

impl<'p> Skimmer<'p> {
    /// Skims under `policy`, and has seen nothing yet.
    pub fn new(policy: &'p Policy) -> Self {
        Skimmer::with(policy, Seen::default())
    }

    /// Skims under `policy`, and knows what was seen before, under whatever policy that was.
    pub fn with(policy: &'p Policy, mut seen: Seen) -> Self {
        if seen.policy != policy.version().digest {
            seen.answers = Memory::default();
            seen.policy.clone_from(&policy.version().digest);
        }
        let foresight = Foresight::of(policy);
        let mut needed = Fields::CALL;
        if foresight.needs_principal() {
            needed = needed.and(Fields::IDENTITY);
        }
        if foresight.needs_account() {
            needed = needed.and(Fields::IDENTITY).and(Fields::ACCOUNT);
        }
        Skimmer { foresight, needed, seen }
    }

    /// What was seen.
    pub fn into_seen(self) -> Seen {
        self.seen
    }

    /// Skims one message. `ahead` is the text of the batch behind its first quote, and may go on
    /// behind its last; `batch_owner` is the account that owns the log group. `None` where nobody
    /// knows before the record is read.
    pub fn skim(&mut self, ahead: &[u8], batch_owner: &str) -> Option<Skimmed> {
        let start = Walk::through(ahead);
        let mut walk = start;
        let reason = self.reason(&mut walk, batch_owner).ok()?;
        Some(Skimmed { reason, passed: start.up_to(&walk).len(), ascii: walk.is_ascii() })
    }

    fn reason(&mut self, walk: &mut Walk<'_>, batch_owner: &str) -> Result<Reason, Unsure> {
        let mut glance = Glance::default();
        let mut open = true;
        let mut next = self.enter(walk)?;
        while let Some(key) = next {
            if glance.may_begin_call(key)
                && let Some(reason) = self.take_known_call(walk)?
            {
                return Ok(reason);
            }
            glance.read_field(key, walk, &mut self.seen.identities)?;
            if open && glance.has_all(self.needed) {
                if let Some(reason) = self.by_region(&glance, batch_owner)? {
                    return Ok(reason);
                }
                open = false;
            }
            next = match key {
                IDENTITY if walk.take_time_up_to_source() => {
                    glance.passed_time()?;
                    Some(b"eventSource")
                }
                _ => walk.next_key()?,
            };
        }
        walk.end()?;
        Ok(self.foresight.by_all(&glance.record()?, batch_owner, !open)?)
    }

    /// Enters the record: its first key, or `userIdentity` where only fields that nobody reads stand
    /// before it.
    fn enter<'m>(&mut self, walk: &mut Walk<'m>) -> Result<Option<&'m [u8]>, Odd> {
        let place = walk.ahead(BEGINNING).map(place);
        if let Some(place) = place
            && self.seen.beginnings.at(place, |known| walk.take_known(known)).is_some()
        {
            return Ok(Some(IDENTITY));
        }
        let start = *walk;
        let first = walk.enter()?;
        if first != Some(b"eventVersion") {
            return Ok(first);
        }
        walk.pass_over()?;
        let second = walk.next_key()?;
        if let Some(place) = place.filter(|_| second == Some(IDENTITY) && walk.is_ascii()) {
            self.seen.beginnings.keep(place, start.up_to(walk), ());
        }
        Ok(second)
    }

    /// Takes a call that came before, up to its region, where it is ignored for that.
    fn take_known_call(&self, walk: &mut Walk<'_>) -> Result<Option<Reason>, Unforeseen> {
        let start = *walk;
        let Some(place) = walk.ahead(CALL).map(place) else { return Ok(None) };
        let answer = self.seen.answers.at(place, |known| walk.take_known(known));
        let reason = answer.cloned().transpose()?.flatten();
        if reason.is_none() {
            *walk = start;
        }
        Ok(reason)
    }

    fn by_region(
        &mut self,
        glance: &Glance<'_>,
        batch_owner: &str,
    ) -> Result<Option<Reason>, Unsure> {
        if self.needed != Fields::CALL {
            return Ok(self.foresight.by_region(&glance.record()?, batch_owner)?);
        }
        let place = glance.call().and_then(|call| Some((call, place(call.get(CALL)?))));
        if let Some((call, place)) = place
            && let Some(answer) = self.seen.answers.at(place, |known| known == call)
        {
            return Ok(answer.clone()?);
        }
        let answer = self.foresight.by_region(&glance.call_record()?, batch_owner);
        // Fields that nobody reads may stand in it, with any text.
        if let Some((call, place)) = place.filter(|(call, _)| call.is_ascii()) {
            self.seen.answers.keep(place, call, answer.clone());
        }
        Ok(answer?)
    }
}

/// Skimming came to nothing; why, nobody asks.
struct Unsure;

impl From<Odd> for Unsure {
    fn from(Odd: Odd) -> Self {
        Unsure
    }
}

impl From<Unforeseen> for Unsure {
    fn from(Unforeseen: Unforeseen) -> Self {
        Unsure
    }
}
