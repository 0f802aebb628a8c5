//! What a change of policy changes, on history: the verdicts that differ, in groups.
//!
//! A group is a verdict before and a verdict after. Within it the calls are told apart by what a
//! reader asks for: which, where, whose, by whom.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::alert::text::clean;
use crate::marks::{Marks, mark};
use crate::policy::{Policy, Severity, Verdict};
use crate::record::{Principal, Record};

/// Records that a group names by their `eventID`.
const SAMPLES: usize = 3;

/// Kinds of calls that a group tells apart; beyond that they are counted together.
const MOST_KINDS: usize = 1000;

/// Two policies on the same records.
pub struct Comparison<'p> {
    before: &'p Policy,
    after: &'p Policy,
    marks: Marks,
    records: u64,
    repeated: u64,
    groups: BTreeMap<(Change, Judged, Judged), Group>,
}

/// What differs, the most important first.
#[derive(Debug, Serialize)]
pub struct Differences {
    /// Records that were judged by both, each once.
    pub records: u64,
    /// How often one of them came again.
    pub repeated: u64,
    /// Those whose verdicts differ.
    pub differ: u64,
    /// These, in groups; among those of a change the gravest first.
    pub groups: Vec<Difference>,
}

/// Records of which both policies say the same, and not the same as each other.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// What becomes different.
    pub change: Change,
    /// The verdict before.
    pub before: Judged,
    /// The verdict after.
    pub after: Judged,
    /// How many records.
    pub count: u64,
    /// What they are about, the most frequent first.
    pub calls: Vec<Kind>,
    /// How many are none of these.
    pub others: u64,
    /// The first of them, by `eventID`.
    pub samples: Vec<String>,
}

/// In the order of what matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was told, and is no longer.
    AlertsNoLonger,
    /// It was not told, and is now.
    AlertsNow,
    /// It is told as before, for another reason or with another severity.
    AlertsOtherwise,
    /// It is ignored as before, for another reason.
    IgnoredOtherwise,
}

/// A verdict, in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Judged {
    /// `alert`, `ignore` or `reject`.
    pub verdict: &'static str,
    /// Why.
    pub reason: String,
    /// Of an alert.
    pub severity: Option<&'static str>,
}

/// Calls that a reader would name alike. Texts are harmless.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Kind {
    /// How many.
    pub count: u64,
    /// `ec2:RunInstances`.
    pub call: String,
    /// The region it concerns.
    pub region: String,
    /// The account it concerns.
    pub account: String,
    /// Who made it.
    pub principal: String,
}

#[derive(Default)]
struct Group {
    count: u64,
    kinds: HashMap<Kind, u64>,
    samples: Vec<String>,
}

impl<'p> Comparison<'p> {
    /// Nothing yet.
    pub fn new(before: &'p Policy, after: &'p Policy) -> Self {
        let marks = Marks::default();
        Comparison { before, after, marks, records: 0, repeated: 0, groups: BTreeMap::new() }
    }

    /// Takes a record. `owner` is the account of the log group that it came from.
    pub fn take(&mut self, record: &Record<'_>, owner: &str) {
        let (before, after) = (self.before.judge(record, owner), self.after.judge(record, owner));
        // By either policy, only another alert makes a duplicate of an alert.
        let told = if matches!(before, Verdict::Alert(..)) { &before } else { &after };
        if mark(record, owner, told).is_some_and(|mark| !self.marks.set(mark)) {
            self.repeated += 1;
            return;
        }
        self.records += 1;
        if before == after {
            return;
        }
        let key = (Change::of(&before, &after), Judged::of(&before), Judged::of(&after));
        self.groups.entry(key).or_default().take(record, owner);
    }

    /// What differs.
    pub fn finish(self) -> Differences {
        let mut groups: Vec<Difference> = self
            .groups
            .into_iter()
            .map(|((change, before, after), group)| group.difference(change, before, after))
            .collect();
        groups.sort_by_key(|group| (group.change, Reverse((group.gravity(), group.count))));
        let differ = groups.iter().map(|group| group.count).sum();
        Differences { records: self.records, repeated: self.repeated, differ, groups }
    }
}

impl Difference {
    /// The graver of its severities, as a number.
    fn gravity(&self) -> Option<usize> {
        let gravity = |judged: &Judged| {
            Severity::ALL.iter().position(|known| Some(known.as_str()) == judged.severity)
        };
        gravity(&self.before).max(gravity(&self.after))
    }
}

impl Change {
    fn of(before: &Verdict, after: &Verdict) -> Self {
        let is_told = |verdict: &Verdict| !matches!(verdict, Verdict::Ignore(_));
        match (is_told(before), is_told(after)) {
            (true, false) => Change::AlertsNoLonger,
            (false, true) => Change::AlertsNow,
            (true, true) => Change::AlertsOtherwise,
            (false, false) => Change::IgnoredOtherwise,
        }
    }
}

impl Judged {
    fn of(verdict: &Verdict) -> Self {
        let severity = match verdict {
            Verdict::Alert(_, severity) => Some(severity.as_str()),
            Verdict::Ignore(_) | Verdict::Reject => None,
        };
        Judged { verdict: verdict.as_str(), reason: verdict.reason(), severity }
    }
}

impl Group {
    fn take(&mut self, record: &Record<'_>, owner: &str) {
        self.count += 1;
        let kind = Kind::of(record, owner);
        if self.kinds.len() < MOST_KINDS || self.kinds.contains_key(&kind) {
            *self.kinds.entry(kind).or_default() += 1;
        }
        if let Some(id) = record.event_id.as_deref().filter(|_| self.samples.len() < SAMPLES) {
            self.samples.push(clean(id, LONGEST_TEXT));
        }
    }

    fn difference(self, change: Change, before: Judged, after: Judged) -> Difference {
        let mut calls: Vec<Kind> =
            self.kinds.into_iter().map(|(kind, count)| Kind { count, ..kind }).collect();
        calls.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.words().cmp(&b.words())));
        let named: u64 = calls.iter().map(|kind| kind.count).sum();
        let (count, samples) = (self.count, self.samples);
        Difference { change, before, after, count, calls, others: count - named, samples }
    }
}

/// Characters of a text from a record.
const LONGEST_TEXT: usize = 200;

impl Kind {
    fn of(record: &Record<'_>, owner: &str) -> Self {
        let text = |text: &str| clean(text, LONGEST_TEXT);
        Kind {
            count: 0,
            call: text(&format!("{}:{}", record.service(), record.name())),
            region: text(&record.region()),
            account: text(record.account(owner)),
            principal: text(&Principal::of(&record.user_identity).name()),
        }
    }

    fn words(&self) -> [&str; 4] {
        [&self.call, &self.region, &self.account, &self.principal]
    }
}
