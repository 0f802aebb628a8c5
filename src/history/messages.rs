//! The messages that would have been sent: the function's own ledger, with the time of the records
//! for a clock.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::alert::{Alert, Context, FollowUp, Rejects, prose};
use crate::handler::{self, Limits};
use crate::ledger::{self, Decision, InMemoryLedger, Ledger, Telling};
use crate::policy::{Policy, Severity};

use super::deliveries::{Delivery, Pace, Seen, Sighting, Subject};

/// The messages, in the order of their time.
pub struct Messages {
    pub list: Vec<Message>,
    pub seen: Seen,
    rejects: Rejects,
    /// Calls that were counted, and not told when they came.
    pub held: u64,
}

/// A message that would have been sent.
pub struct Message {
    /// When; none where its records tell no time.
    pub at: Option<Timestamp>,
    pub severity: Severity,
    pub about: About,
}

/// What a message tells.
pub enum About {
    /// One incident.
    Incident(Told),
    /// What a delivery has beyond the messages that it may send.
    Digest(Vec<Told>),
    /// Everything that was unreadable.
    Rejects,
}

/// A sighting that is told.
pub struct Told {
    /// Which one.
    pub sighting: usize,
    /// What is said of what was told before.
    pub follow_up: Option<FollowUp>,
}

/// A message for people and for machines.
#[derive(Serialize)]
pub struct Line {
    /// When it would have been sent.
    pub at: Option<Timestamp>,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: &'static str,
    /// One line that says it all.
    pub title: String,
    /// The account.
    pub account: String,
    /// The calls that it tells of.
    pub calls: u64,
    /// The incidents that it tells of.
    pub incidents: usize,
    /// Why it is told again; nothing the first time.
    pub again: Vec<String>,
}

impl Messages {
    /// Asks the ledger about one delivery after the other.
    pub fn of(seen: Seen, rejects: Rejects, pace: Pace) -> Self {
        let ledger = InMemoryLedger::new(pace.window);
        let limits = Limits { max_messages: pace.max_messages, ..Limits::default() };
        let mut messages = Messages { list: Vec::new(), seen, rejects, held: 0 };
        // Nobody knows when they came: they are told once, and first.
        if messages.rejects.count > 0 {
            let about = About::Rejects;
            messages.list.push(Message { at: None, severity: Rejects::SEVERITY, about });
        }
        let mut at = 0;
        while let Some(end) = messages.end_of_delivery(at) {
            messages.deliver(at..end, &ledger, limits);
            at = end;
        }
        messages
    }

    /// Where the delivery ends that begins there.
    fn end_of_delivery(&self, at: usize) -> Option<usize> {
        let place = |(delivery, subject, _): &(Delivery, usize, Sighting)| {
            (*delivery, self.seen.subject(*subject).map(|subject| subject.account.as_str()))
        };
        let ahead = self.seen.sightings.get(at..)?;
        let first = place(ahead.first()?);
        Some(at + ahead.iter().take_while(|sighting| place(sighting) == first).count())
    }

    fn deliver(&mut self, range: std::ops::Range<usize>, ledger: &InMemoryLedger, limits: Limits) {
        let mut tellings: Vec<(usize, Severity, Box<Telling>)> = Vec::new();
        for at in range {
            let Some((severity, count, sighting)) = self.sighting(at) else { continue };
            match pollster::block_on(ledger.record(sighting)) {
                Ok(Decision::Tell(telling)) => tellings.push((at, severity, telling)),
                // The ledger in memory does not fail.
                Ok(Decision::Hold) | Err(_) => self.held += count,
            }
        }
        let own = limits.own_messages(tellings.len(), 0);
        let mut digest = Vec::new();
        for (number, (at, severity, mut telling)) in tellings.into_iter().enumerate() {
            // A digest says of no incident in it what was held before: its next message does.
            telling.names_held &= number < own;
            // It does not fail.
            drop(pollster::block_on(ledger.confirm(&telling)));
            let told = Told { sighting: at, follow_up: handler::follow_up(&telling) };
            match number < own {
                true => self.push(severity, at, About::Incident(told)),
                false => digest.push((severity, told)),
            }
        }
        if let Some((severity, first)) =
            digest.first().map(|(gravest, told)| (*gravest, told.sighting))
        {
            let all = digest.into_iter().map(|(_, told)| told).collect();
            self.push(severity, first, About::Digest(all));
        }
    }

    fn push(&mut self, severity: Severity, at: usize, about: About) {
        let at = self.seen.sightings.get(at).and_then(|(delivery, ..)| delivery.time());
        self.list.push(Message { at, severity, about });
    }

    /// What the ledger is asked; how grave it is, and how many calls.
    fn sighting(&self, at: usize) -> Option<(Severity, u64, ledger::Sighting)> {
        let (delivery, subject, sighting) = self.seen.sightings.get(at)?;
        let now = delivery.time().unwrap_or(Timestamp::MIN);
        let Sighting { severity, count, .. } = *sighting;
        let share = ledger::Share {
            batch: format!("{delivery:?}"),
            count,
            severity,
            watches: sighting.watches.iter().map(ToString::to_string).collect(),
            calls: self.seen.calls(sighting),
        };
        let incident = self.seen.subject(*subject)?.id.clone();
        let shares = vec![share];
        let asked = ledger::Sighting { incident, shares, now, record_by: now, confirm_by: now };
        Some((severity, count, asked))
    }

    /// How many there are of each severity, the gravest first.
    pub fn by_severity(&self) -> Vec<(Severity, usize)> {
        let mut counts: BTreeMap<Severity, usize> = BTreeMap::new();
        for message in &self.list {
            *counts.entry(message.severity).or_default() += 1;
        }
        counts.into_iter().rev().collect()
    }

    /// How many tell an incident for the first time, and how many again.
    pub fn first_and_again(&self) -> (usize, usize) {
        let incidents = self.list.iter().filter_map(|message| match &message.about {
            About::Incident(told) => Some(told),
            About::Digest(_) | About::Rejects => None,
        });
        let (again, first): (Vec<_>, Vec<_>) = incidents.partition(|told| told.follow_up.is_some());
        (first.len(), again.len())
    }

    /// How many are digests.
    pub fn digests(&self) -> usize {
        let digests = self.list.iter();
        digests.filter(|message| matches!(message.about, About::Digest(_))).count()
    }

    /// How many tell of what is unreadable.
    pub fn of_rejects(&self) -> usize {
        self.list.iter().filter(|message| matches!(message.about, About::Rejects)).count()
    }

    fn told(&self, told: &Told) -> Option<(&Subject, &Sighting)> {
        let (_, subject, sighting) = self.seen.sightings.get(told.sighting)?;
        Some((self.seen.subject(*subject)?, sighting))
    }

    /// A message in short.
    pub fn line(&self, message: &Message) -> Line {
        let line = Line {
            at: message.at,
            severity: message.severity.as_str(),
            title: String::new(),
            account: String::new(),
            calls: self.rejects.count,
            incidents: 1,
            again: Vec::new(),
        };
        let told = match &message.about {
            About::Rejects => {
                let title = prose::unreadable_entries(self.rejects.count);
                return Line { title, ..line };
            }
            About::Incident(told) => std::slice::from_ref(told),
            About::Digest(told) => told.as_slice(),
        };
        let calls = told.iter().filter_map(|told| Some(self.told(told)?.1.count)).sum();
        let Some((first, (subject, sighting))) =
            told.first().and_then(|told| Some((told, self.told(told)?)))
        else {
            return line;
        };
        let others = match told.len() {
            1 => String::new(),
            2 => ", and one more incident".to_owned(),
            many => format!(", and {} more incidents", many - 1),
        };
        let again = first.follow_up.as_ref().filter(|_| told.len() == 1);
        Line {
            title: self.seen.title(subject, sighting) + &others,
            account: subject.account.clone(),
            calls,
            incidents: told.len(),
            again: again.map(|follow_up| follow_up.causes.clone()).unwrap_or_default(),
            ..line
        }
    }

    /// The alert as it would have been sent, where all of it was kept.
    pub fn alert(&self, message: &Message, policy: &Policy) -> Option<Alert> {
        let context = |account: &str| Context {
            now: message.at.unwrap_or(Timestamp::UNIX_EPOCH),
            policy: policy.version(),
            account_name: policy.account_name(account),
            owner: "",
            log_group: "(unknown)",
            log_stream: "",
        };
        let in_full = |told: &Told| self.told(told)?.1.incident.as_deref();
        Some(match &message.about {
            About::Rejects => Alert::of_rejects(&self.rejects, None, &context("")),
            About::Incident(told) => {
                let incident = in_full(told)?;
                Alert::of_incident(incident, told.follow_up.clone(), &context(&incident.account))
            }
            About::Digest(told) => {
                let told: Option<Vec<_>> = told
                    .iter()
                    .map(|told| Some((in_full(told)?, told.follow_up.as_ref())))
                    .collect();
                Alert::digest(&told?, "", policy.version())
            }
        })
    }
}
