//! What alerted, gathered to what the function would have been handed.
//!
//! Nobody knows any more in which payloads CloudTrail's records came to the function. So a rule
//! stands for it that does not depend on how history is kept: what an account did within five
//! minutes by the clock, by `eventTime`, is one [`Delivery`], which is about how CloudTrail delivers
//! (CloudTrail guide, "How CloudTrail works": about every five minutes). What tells no time is in a
//! delivery before all others.
//!
//! Of each incident in a delivery a [`Sighting`] stays. What is told of it in full stays for
//! [`MOST_IN_FULL`] of each severity; of the others what the ledger and a title need.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::alert::text::clean;
use crate::alert::{Incident, IncidentKey, prose};
use crate::policy::{Policy, Reason, Severity};
use crate::record::{Outcome, Record};

use super::sheet::Alerting;

/// How alerts are told: settings of the function.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long the ledger keeps silent about what was told (`WINDOW_MINUTES`).
    pub window: SignedDuration,
    /// Messages for a delivery (`MAX_MESSAGES`).
    pub max_messages: usize,
}

/// Sightings of each severity that are kept in full, at some 3 KB each.
const MOST_IN_FULL: usize = 2_000;

/// Different calls of a sighting: as many as an incident of the function tells apart.
const MOST_CALLS: usize = 2_000;

/// Seconds in which what an account does is one delivery.
const LENGTH: i64 = 300;

/// The number of a delivery's five minutes since 1970. The first number is that of what tells no
/// time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delivery(Option<i64>);

/// All that alerted.
#[derive(Default)]
pub struct Deliveries {
    by_id: HashMap<String, usize>,
    subjects: Vec<Subject>,
    /// By delivery and subject.
    sightings: HashMap<(Delivery, usize), Sighting>,
    calls: Calls,
    /// How many of each severity are kept in full.
    in_full: HashMap<Severity, usize>,
}

/// What an incident is about. All texts are harmless.
pub struct Subject {
    /// The incident's id.
    pub id: String,
    pub account: String,
    pub region: String,
    /// Who, by name.
    pub who: String,
    pub outcome: Outcome,
}

/// An incident in one delivery.
pub struct Sighting {
    pub count: u64,
    pub severity: Severity,
    pub reason: Reason,
    pub watches: BTreeSet<Arc<str>>,
    pub first: Option<Timestamp>,
    /// By the number of their names, and in their order. Those beyond [`MOST_CALLS`] have no name.
    calls: Vec<(usize, u64)>,
    /// What is told of it in full.
    pub incident: Option<Box<Incident>>,
}

/// Names of calls by number.
#[derive(Default)]
struct Calls {
    known: HashMap<String, usize>,
    names: Vec<String>,
}

impl Deliveries {
    /// Takes a record that alerts.
    pub fn take(&mut self, record: &Record<'_>, alerting: &Alerting, policy: &Policy) {
        let Alerting { owner, reason, severity, .. } = alerting;
        let key = IncidentKey::of(record, owner);
        let watches = match reason {
            Reason::Watched(_) => policy.watches_on(record, owner),
            _ => Vec::new(),
        };
        let one = || Incident::new(key.clone(), record, reason.clone(), *severity);
        let subject = self.by_id.get(key.id()).copied().unwrap_or_else(|| {
            self.subjects.push(Subject::of(&one()));
            self.by_id.insert(key.id().to_owned(), self.subjects.len() - 1);
            self.subjects.len() - 1
        });
        let in_full = self.in_full.entry(*severity).or_default();
        let time = record.time();
        let sighting = self.sightings.entry((Delivery::at(time), subject)).or_insert_with(|| {
            let keeps = *in_full < MOST_IN_FULL;
            *in_full += usize::from(keeps);
            Sighting {
                count: 0,
                severity: *severity,
                reason: reason.clone(),
                watches: BTreeSet::new(),
                first: None,
                calls: Vec::new(),
                // Its first record is added below, with all others.
                incident: keeps.then(|| Box::new(one())),
            }
        });
        sighting.watches.extend(watches.iter().map(|id| Arc::clone(id)));
        if let Some(incident) = &mut sighting.incident {
            if sighting.count > 0 {
                incident.add(record, reason.clone(), *severity);
            }
            incident.add_watches(&watches);
        }
        let call = self.calls.number(&format!("{}:{}", record.service(), record.name()));
        sighting.add(call, time, reason, *severity);
    }

    /// What was seen, by time, then account, then the gravest first.
    pub fn finish(self) -> Seen {
        let mut sightings: Vec<_> = self.sightings.into_iter().collect();
        let subjects = self.subjects;
        sightings.sort_by(|((delivery, at), one), ((other_delivery, other_at), other)| {
            let words = |at: &usize| subjects.get(*at).map(|s| (s.account.as_str(), s.id.as_str()));
            let (account, id) = words(at).unzip();
            let (other_account, other_id) = words(other_at).unzip();
            (delivery, account, other.severity, id).cmp(&(
                other_delivery,
                other_account,
                one.severity,
                other_id,
            ))
        });
        let sightings = sightings.into_iter();
        let sightings = sightings.map(|((delivery, at), one)| (delivery, at, one)).collect();
        Seen { subjects, sightings, calls: self.calls.names }
    }
}

/// All that alerted, in the order in which the function would have seen it.
pub struct Seen {
    subjects: Vec<Subject>,
    pub sightings: Vec<(Delivery, usize, Sighting)>,
    calls: Vec<String>,
}

impl Seen {
    /// What a sighting is about.
    pub fn subject(&self, at: usize) -> Option<&Subject> {
        self.subjects.get(at)
    }

    /// How many different incidents there are.
    pub fn incidents(&self) -> usize {
        self.subjects.len()
    }

    /// Its calls with their counts, by name.
    pub fn calls(&self, sighting: &Sighting) -> BTreeMap<String, u64> {
        let named = sighting
            .calls
            .iter()
            .filter_map(|(number, count)| Some((self.calls.get(*number)?.clone(), *count)));
        named.collect()
    }

    /// One line that says it all.
    pub fn title(&self, subject: &Subject, sighting: &Sighting) -> String {
        if let Some(incident) = &sighting.incident {
            return prose::incident_title(incident);
        }
        let calls = self.calls(sighting);
        let most = calls.iter().max_by_key(|(_, count)| **count);
        let call = most.map_or("a call", |(call, _)| call.as_str());
        let others = calls.len().saturating_sub(1);
        prose::title(&subject.who, subject.outcome, call, others, &subject.region)
    }
}

impl Delivery {
    fn at(time: Option<Timestamp>) -> Self {
        Delivery(time.map(|time| time.as_second().div_euclid(LENGTH)))
    }

    /// When it would have come: at the end of its five minutes.
    pub fn time(self) -> Option<Timestamp> {
        Timestamp::from_second((self.0? + 1) * LENGTH).ok()
    }
}

impl Subject {
    fn of(incident: &Incident) -> Self {
        Subject {
            id: incident.id.clone(),
            account: incident.account.clone(),
            region: incident.region.clone(),
            who: incident.who.name.clone(),
            outcome: incident.outcome,
        }
    }
}

impl Sighting {
    fn add(&mut self, call: usize, time: Option<Timestamp>, reason: &Reason, severity: Severity) {
        self.count += 1;
        self.first = [self.first, time].into_iter().flatten().min();
        match self.calls.binary_search_by_key(&call, |(known, _)| *known) {
            Ok(at) => {
                if let Some((_, count)) = self.calls.get_mut(at) {
                    *count += 1;
                }
            }
            Err(at) if self.calls.len() < MOST_CALLS => self.calls.insert(at, (call, 1)),
            Err(_) => {}
        }
        if severity > self.severity {
            self.severity = severity;
            self.reason = reason.clone();
        }
    }
}

impl Calls {
    /// Names that look alike are one.
    fn number(&mut self, name: &str) -> usize {
        let name = clean(name, LONGEST_NAME);
        if let Some(known) = self.known.get(&name) {
            return *known;
        }
        let number = self.names.len();
        self.names.push(name.clone());
        self.known.insert(name, number);
        number
    }
}

/// Characters of the name of a call.
const LONGEST_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sighting_names_a_bounded_number_of_calls_and_counts_them_all() {
        let mut sighting = Sighting {
            count: 0,
            severity: Severity::High,
            reason: Reason::MutatingCall,
            watches: BTreeSet::new(),
            first: None,
            calls: Vec::new(),
            incident: None,
        };
        let mut add = |call| sighting.add(call, None, &Reason::MutatingCall, Severity::High);
        // In an order that is not that of their numbers.
        (0..5_000).chain(0..5_000).for_each(|n| add(n * 7 % 5_000));
        assert_eq!(sighting.count, 10_000);
        assert_eq!(sighting.calls.len(), MOST_CALLS);
        assert!(sighting.calls.iter().all(|(_, count)| *count == 2));
        let named = |call| sighting.calls.iter().any(|(known, _)| *known == call);
        assert!((0..MOST_CALLS).all(|n| named(n * 7 % 5_000)));
    }
}
