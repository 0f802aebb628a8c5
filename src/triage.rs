//! The pure walk over the batches of a payload: every entry is judged, and ends in exactly one count.
//!
//! [`Triage`] reads the entries one after the other and cannot fail: what is unreadable is a reject,
//! and counted. [`Triage::finish`] hands over what was found, the gravest incident first.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use crate::alert::{Incident, IncidentKey, Rejects};
use crate::envelope::{Batch, RawEntry, ReadEntries, Reject};
use crate::policy::{Policy, Reason, Severity, Verdict};
use crate::record::Record;
use crate::skim::{Seen, Skimmed, Skimmer};

/// The batches of a payload while they are judged.
pub struct Triage<'p> {
    policy: &'p Policy,
    skimmer: Skimmer<'p>,
    /// Which batch is at hand.
    batch: usize,
    /// Whether an entry of the batches is found only by its log group, which may differ.
    of_stream: bool,
    entries: u64,
    alerted: BTreeMap<Reason, u64>,
    ignored: BTreeMap<Reason, u64>,
    rejects: Rejects,
    incidents: Vec<Incident>,
    by_id: HashMap<String, usize>,
    /// What alerting records are known by when they come again.
    told: HashSet<String>,
}

/// Incidents that are told apart in a payload. Each takes some kilobytes, and a small payload could
/// name a hundred thousand; beyond some tens, people read a digest anyway.
pub const MOST_INCIDENTS: usize = 4000;

/// A payload that was judged. `entries` = all of `alerted` + all of `ignored` + `rejects.count`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Triaged {
    /// How many entries there were.
    pub entries: u64,
    /// How many of them are in an incident, by reason.
    pub alerted: BTreeMap<Reason, u64>,
    /// How many were ignored, by reason.
    pub ignored: BTreeMap<Reason, u64>,
    /// Those that nobody could judge.
    pub rejects: Rejects,
    /// The incidents, the gravest first, of equals the first.
    pub incidents: Vec<Incident>,
}

impl<'p> Triage<'p> {
    /// Judges by `policy`.
    pub fn new(policy: &'p Policy) -> Self {
        Triage {
            policy,
            skimmer: Skimmer::new(policy),
            batch: 0,
            of_stream: false,
            entries: 0,
            alerted: BTreeMap::new(),
            ignored: BTreeMap::new(),
            rejects: Rejects::default(),
            incidents: Vec::new(),
            by_id: HashMap::new(),
            told: HashSet::new(),
        }
    }

    /// Judges batches of several log groups: ids of unreadable entries name these, too.
    pub fn of_stream(policy: &'p Policy) -> Self {
        Triage { of_stream: true, ..Triage::new(policy) }
    }

    /// Goes faster over what was seen in batches before.
    #[must_use]
    pub fn with_seen(self, seen: Seen) -> Self {
        Triage { skimmer: Skimmer::with(self.policy, seen), ..self }
    }

    /// Says which batch of the payload the entries are in that are taken from here on; the first is 0.
    pub fn turn_to(&mut self, batch: usize) {
        self.batch = batch;
    }

    /// Reads and judges one entry of a batch.
    fn read(&mut self, batch: &Batch, entry: RawEntry<'_>) {
        let entry = match entry.read() {
            Ok(entry) => entry,
            Err(reject) => return self.reject_in(batch, &reject.entry_id, reject.fault),
        };
        let Some(text) = entry.message.unescape() else {
            let fault = "the message has escapes that make no text";
            return self.reject_in(batch, &entry.id, fault);
        };
        match Record::parse(&text) {
            Ok(record) => drop(self.judge(&record, batch, &entry.id)),
            Err(error) => self.reject_in(batch, &entry.id, error.what()),
        }
    }

    /// Takes one record, and says how it was judged. `entry_id` names the entry it came in.
    pub fn take_record(&mut self, record: &Record<'_>, owner: &str, entry_id: &str) -> Verdict {
        let batch = Batch { owner: owner.to_owned(), ..Batch::default() };
        self.judge(record, &batch, entry_id)
    }

    fn judge(&mut self, record: &Record<'_>, batch: &Batch, entry_id: &str) -> Verdict {
        let verdict = self.policy.judge(record, &batch.owner);
        match verdict.clone() {
            Verdict::Alert(reason, severity) => self.alert(record, batch, reason, severity),
            Verdict::Ignore(reason) => self.ignore(reason),
            Verdict::Reject => {
                let fault = "the record has no eventName and eventSource that are strings";
                self.reject_in(batch, entry_id, fault);
            }
        }
        verdict
    }

    fn reject_in(&mut self, batch: &Batch, entry_id: &str, fault: &'static str) {
        let Batch { owner, log_group, log_stream, .. } = batch;
        let entry_id = match self.of_stream {
            true => format!("{owner} {log_group} {log_stream} {entry_id}"),
            false => entry_id.to_owned(),
        };
        self.reject(&Reject { entry_id, fault });
    }

    /// Counts an entry that is no readable record.
    pub fn reject(&mut self, reject: &Reject) {
        self.entries += 1;
        self.rejects.add(self.batch, reject);
    }

    fn ignore(&mut self, reason: Reason) {
        self.entries += 1;
        *self.ignored.entry(reason).or_default() += 1;
    }

    fn alert(&mut self, record: &Record<'_>, batch: &Batch, reason: Reason, severity: Severity) {
        // CloudTrail may deliver a record twice (CloudTrail guide, "Event delivery").
        let mut key = IncidentKey::of(record, &batch.owner);
        let delivery = key.delivery_of(record, severity);
        if delivery.is_some_and(|delivery| !self.told.insert(delivery)) {
            return self.ignore(Reason::Duplicate);
        }
        self.entries += 1;
        *self.alerted.entry(reason.clone()).or_default() += 1;
        let watches = match reason {
            Reason::Watched(_) => self.policy.watches_on(record, &batch.owner),
            _ => Vec::new(),
        };
        if self.incidents.len() >= MOST_INCIDENTS && !self.by_id.contains_key(key.id()) {
            key = IncidentKey::of_rest(record);
        }
        let known = self.by_id.get(key.id()).and_then(|at| self.incidents.get_mut(*at));
        match known {
            Some(incident) => {
                incident.turn_to(self.batch, severity);
                incident.add(record, reason, severity);
                incident.add_watches(&watches);
            }
            None => {
                self.by_id.insert(key.id().to_owned(), self.incidents.len());
                let mut incident = Incident::in_batch(self.batch, key, record, reason, severity);
                incident.add_watches(&watches);
                incident.log_group.clone_from(&batch.log_group);
                self.incidents.push(incident);
            }
        }
    }

    /// What was found.
    pub fn finish(self) -> Triaged {
        self.part().0
    }

    /// What was found, and what was seen.
    pub fn part(self) -> (Triaged, Seen) {
        let mut incidents = self.incidents;
        incidents.sort_by_key(|incident| std::cmp::Reverse(incident.severity));
        let triaged = Triaged {
            entries: self.entries,
            alerted: self.alerted,
            ignored: self.ignored,
            rejects: self.rejects,
            incidents,
        };
        (triaged, self.skimmer.into_seen())
    }
}

/// An entry is read only where a look at its message leaves a doubt.
impl ReadEntries for &mut Triage<'_> {
    type Foreseen = Reason;

    fn look(&mut self, batch: &Batch, ahead: &[u8]) -> Option<(Reason, usize)> {
        let Skimmed { reason, passed, ascii } = self.skimmer.skim(ahead, &batch.owner)?;
        Some((reason, if ascii { passed } else { 0 }))
    }

    fn take(&mut self, batch: &Batch, entry: RawEntry<'_>, ignored: Option<Reason>) {
        match ignored {
            Some(reason) => self.ignore(reason),
            None => self.read(batch, entry),
        }
    }
}

impl Triaged {
    /// The time of the oldest alerting record.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.incidents.iter().filter_map(|incident| incident.first).min()
    }

    /// How many entries are in an incident.
    pub fn alerts(&self) -> u64 {
        self.alerted.values().sum()
    }

    /// How many entries were ignored.
    pub fn ignored_total(&self) -> u64 {
        self.ignored.values().sum()
    }
}
