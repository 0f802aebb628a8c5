//! Records that belong together, gathered while they are judged.
//!
//! People want one message for one thing that happened. What one principal did in one region of one
//! account, with one outcome, is one [`Incident`]; it grows by a record at a time and stays small
//! whatever the number of records.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::policy::{Reason, Severity};
use crate::record::{Outcome, Principal, Record};

use super::text::clean;
use super::{resources, secrets};

/// Alerting records of one account, region, principal and outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// 32 hexadecimal digits; the same for the same key, in every container and every invocation.
    pub id: String,
    /// The account.
    pub account: String,
    /// The region's code.
    pub region: String,
    /// The log group in which its first record was read, where that is known.
    pub log_group: String,
    /// What became of the calls.
    pub outcome: Outcome,
    /// The gravest alert's reason; of equals the first.
    pub reason: Reason,
    /// The gravest alert's severity.
    pub severity: Severity,
    /// How many records there were.
    pub count: u64,
    /// How many alerts had which reason.
    pub reasons: BTreeMap<Reason, u64>,
    /// Ids of the watches that matched.
    watches: BTreeSet<Arc<str>>,
    /// What each batch has of it, in their order.
    pub shares: Vec<Share>,
    /// `ec2:RunInstances` and the like, with their counts.
    pub calls: Counts,
    /// How grave each of them is.
    ranks: BTreeMap<String, Rank>,
    /// Error codes, with their counts.
    pub error_codes: Counts,
    /// Who.
    pub who: Who,
    /// The earliest `eventTime`.
    pub first: Option<Timestamp>,
    /// The latest `eventTime`.
    pub last: Option<Timestamp>,
    /// `sourceIPAddress` values.
    pub source_ips: Few,
    /// `userAgent` values.
    pub user_agents: Few,
    /// What was touched.
    pub resources: Few,
    /// Records to look up: the first few, and of many the gravest. The gravest are first.
    pub events: Vec<EventRef>,
}

/// What one batch has of an incident. The ledger knows a replay by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Which batch of the payload, from 0.
    pub batch: usize,
    /// How many records.
    pub count: u64,
    /// The gravest record's severity.
    pub severity: Severity,
    /// Ids of the watches that matched.
    pub watches: BTreeSet<Arc<str>>,
    /// The calls, with their counts.
    pub calls: Counts,
}

/// What calls are ordered by where people read of them, besides their count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rank {
    /// Of its gravest record.
    severity: Severity,
    /// Whether a watch was the reason for any of its records.
    watched: bool,
    /// How many other calls came before it.
    place: usize,
}

/// Who acted, over all records of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// `userIdentity.type`.
    pub kind: String,
    /// The short name a person would use.
    pub name: String,
    /// The role's ARN for an assumed role, else the principal's own.
    pub arn: Option<String>,
    /// What an exemption must name to mean this principal and nobody else, where that can be said.
    pub pattern: Option<String>,
    /// Session names.
    pub sessions: Few,
    /// Access keys.
    pub access_keys: Few,
    /// `Some(false)` once any record says that there was no second factor.
    pub mfa: Option<bool>,
    /// Whether any call was made in the console.
    pub console: bool,
}

/// A record to look up in CloudTrail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRef {
    /// `eventID`.
    pub id: String,
    /// `awsRegion`, where the console keeps it.
    pub recorded_in: String,
    /// Whether the console keeps it at all: management events only.
    pub in_console: bool,
    severity: Severity,
}

/// Counted words, of which a limited number is told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Each word with its count.
    pub words: BTreeMap<String, u64>,
    /// How many came with words beyond the limit.
    pub others: u64,
}

/// The first few different words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Few {
    /// In the order of their first appearance.
    pub words: Vec<String>,
    /// Whether there were others.
    pub more: bool,
}

/// Enough that nobody can hide a new call behind many others; far fewer are shown.
const MOST_CALLS: usize = 2000;
const MOST_ERROR_CODES: usize = 20;
const MOST_SESSIONS: usize = 20;
const MOST_ACCESS_KEYS: usize = 10;
const MOST_SOURCE_IPS: usize = 20;
const MOST_USER_AGENTS: usize = 5;
const MOST_RESOURCES: usize = 40;
const MOST_EVENTS: usize = 20;

/// Characters of a name, an ARN, an id.
const LONGEST_NAME: usize = 256;
/// Characters of a user agent: the program and its version stand at the front.
const LONGEST_AGENT: usize = 96;

/// 0000-01-01: what is before has no form in RFC 3339, which the contract promises.
const YEAR_0: i64 = -62_167_219_200;

/// What incidents are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IncidentKey {
    account: String,
    region: String,
    principal: String,
    outcome: Outcome,
    /// Of no principal, but of all for whom there was no room.
    rest: bool,
    /// Made of the others.
    id: String,
}

impl IncidentKey {
    /// The key of an alerting record.
    pub fn of(record: &Record<'_>, batch_owner: &str) -> Self {
        let account = record.account(batch_owner).to_owned();
        let principal = Principal::of(&record.user_identity).key().into_owned();
        IncidentKey::new(account, record.region().into_owned(), principal, record.outcome(), false)
    }

    /// The key of an alerting record where there is no room for another incident: records of all
    /// principals, regions and accounts share it, by their outcome.
    pub fn of_rest(record: &Record<'_>) -> Self {
        let (region, principal) = ("several regions".to_owned(), "the rest".to_owned());
        IncidentKey::new(String::new(), region, principal, record.outcome(), true)
    }

    fn new(
        account: String,
        region: String,
        principal: String,
        outcome: Outcome,
        rest: bool,
    ) -> Self {
        let id = id_of(&[&account, &region, &principal, outcome.as_str()]);
        IncidentKey { account, region, principal, outcome, rest, id }
    }

    /// The incident's id, which is short whatever the records say. SHA-256, since somebody who could
    /// make two keys collide could hide one incident behind another.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What tells this alerting record, whose key it is, from any other, and not from itself where
    /// CloudTrail delivers it twice; `None` without an `eventID`. That alone is no proof: whoever
    /// forges a record could take the id of another, and hide that.
    pub fn delivery_of(&self, record: &Record<'_>, severity: Severity) -> Option<String> {
        let id = record.event_id.as_deref()?;
        Some(id_of(&[id, &self.id, &record.service(), record.name(), severity.as_str()]))
    }
}

/// 128 bits over some words, in hexadecimal.
pub fn id_of<W: AsRef<[u8]>>(words: &[W]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        let word = word.as_ref();
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word);
    }
    let hash = hash.finalize();
    hash.first_chunk().map_or_else(String::new, |id| format!("{:032x}", u128::from_be_bytes(*id)))
}

impl Incident {
    /// An incident that begins with `record`, whose verdict was an alert, in the first batch.
    pub fn new(key: IncidentKey, record: &Record<'_>, reason: Reason, severity: Severity) -> Self {
        Incident::in_batch(0, key, record, reason, severity)
    }

    /// One that begins in another batch.
    pub fn in_batch(
        batch: usize,
        key: IncidentKey,
        record: &Record<'_>,
        reason: Reason,
        severity: Severity,
    ) -> Self {
        let mut incident = Incident {
            id: key.id,
            account: clean(&key.account, LONGEST_NAME),
            region: clean(&key.region, LONGEST_NAME),
            log_group: String::new(),
            outcome: key.outcome,
            reason: reason.clone(),
            severity,
            count: 0,
            reasons: BTreeMap::new(),
            watches: BTreeSet::new(),
            shares: Vec::new(),
            calls: Counts::default(),
            ranks: BTreeMap::new(),
            error_codes: Counts::default(),
            who: if key.rest { Who::rest() } else { Who::of(record) },
            first: None,
            last: None,
            source_ips: Few::default(),
            user_agents: Few::default(),
            resources: Few::default(),
            events: Vec::new(),
        };
        incident.turn_to(batch, severity);
        incident.add(record, reason, severity);
        incident
    }

    /// Says in which batch the records are that are added from here on, the first of which is so
    /// grave.
    pub fn turn_to(&mut self, batch: usize, severity: Severity) {
        if self.shares.last().is_none_or(|share| share.batch != batch) {
            let (watches, calls) = (BTreeSet::new(), Counts::default());
            self.shares.push(Share { batch, count: 0, severity, watches, calls });
        }
    }

    /// Adds a record of the same key.
    pub fn add(&mut self, record: &Record<'_>, reason: Reason, severity: Severity) {
        if severity > self.severity {
            self.severity = severity;
            self.reason = reason.clone();
        }
        self.count += 1;
        self.add_call(record, &reason, severity);
        *self.reasons.entry(reason).or_default() += 1;
        if let Some(code) = &record.error_code {
            self.error_codes.add(clean(code, LONGEST_NAME), MOST_ERROR_CODES);
        }
        self.who.add(record);
        self.add_time(record);
        self.source_ips.add(record.source_ip_address.as_deref(), MOST_SOURCE_IPS, LONGEST_NAME);
        let agent = record.user_agent.as_deref().and_then(secrets::redacted);
        self.user_agents.add(agent.as_deref(), MOST_USER_AGENTS, LONGEST_AGENT);
        resources::of(record, |resource| {
            self.resources.add(Some(resource), MOST_RESOURCES, LONGEST_NAME);
        });
        self.add_event(record, severity);
    }

    fn add_call(&mut self, record: &Record<'_>, reason: &Reason, severity: Severity) {
        let call = clean(&format!("{}:{}", record.service(), record.name()), LONGEST_NAME);
        let watched = matches!(reason, Reason::Watched(_));
        let place = self.ranks.len();
        if let Some(share) = self.shares.last_mut() {
            share.add(call.clone(), severity);
        }
        self.calls.add(call.clone(), MOST_CALLS);
        if self.calls.words.contains_key(&call) {
            let rank = self.ranks.entry(call).or_insert(Rank { severity, watched, place });
            rank.severity = rank.severity.max(severity);
            rank.watched |= watched;
        }
    }

    /// The one to look at must not be missing for twenty that came before it.
    fn add_event(&mut self, record: &Record<'_>, severity: Severity) {
        let Some(event) = EventRef::of(record, severity) else { return };
        let place = self.events.partition_point(|known| known.severity >= severity);
        self.events.insert(place, event);
        self.events.truncate(MOST_EVENTS);
    }

    fn add_time(&mut self, record: &Record<'_>) {
        let Some(time) = record.time().filter(|time| time.as_second() >= YEAR_0) else { return };
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }

    /// The calls with their counts, the gravest first; of equally grave ones those that a watch is
    /// on, then the most frequent, then the one that came first.
    pub fn calls_by_gravity(&self) -> Vec<(&str, u64)> {
        let mut calls: Vec<_> =
            self.calls.words.iter().map(|(call, n)| (call.as_str(), *n)).collect();
        calls.sort_by_cached_key(|(call, count)| {
            let rank = self.ranks.get(*call)?;
            Some((Reverse((rank.severity, rank.watched, *count)), rank.place))
        });
        calls
    }

    /// Whether any of it is an alert for where it happened.
    pub fn is_about_its_region(&self) -> bool {
        self.reasons.keys().any(|reason| !matches!(reason, Reason::Watched(_)))
    }

    /// The ids of the watch rules that matched.
    pub fn watches(&self) -> impl Iterator<Item = &str> {
        self.watches.iter().map(AsRef::as_ref)
    }

    /// Adds the ids of all watches on a record, of which its reason names only the gravest.
    pub fn add_watches(&mut self, ids: &[&Arc<str>]) {
        if let Some(share) = self.shares.last_mut() {
            share.watches.extend(ids.iter().map(|id| Arc::clone(id)));
        }
        self.watches.extend(ids.iter().map(|id| Arc::clone(id)));
    }
}

impl Share {
    fn add(&mut self, call: String, severity: Severity) {
        self.count += 1;
        self.severity = self.severity.max(severity);
        self.calls.add(call, MOST_CALLS);
    }
}

impl Who {
    fn of(record: &Record<'_>) -> Self {
        let identity = &record.user_identity;
        let principal = Principal::of(identity);
        let session_arn = identity.arn.as_deref().filter(|_| principal.shares_its_role());
        let pattern = session_arn.or(principal.arn()).or(identity.invoked_by.as_deref());
        Who {
            kind: clean(principal.kind(), LONGEST_NAME),
            name: clean(&principal.name(), LONGEST_NAME),
            arn: principal.arn().map(|arn| clean(arn, LONGEST_NAME)),
            // What was cut or cleaned would match nobody, or somebody else.
            pattern: pattern.filter(|p| clean(p, LONGEST_NAME) == **p).map(str::to_owned),
            sessions: Few::default(),
            access_keys: Few::default(),
            mfa: None,
            console: false,
        }
    }

    /// Of more principals than are told apart.
    fn rest() -> Self {
        Who {
            kind: "unknown".to_owned(),
            name: "more principals than are told apart".to_owned(),
            arn: None,
            pattern: None,
            sessions: Few::default(),
            access_keys: Few::default(),
            mfa: None,
            console: false,
        }
    }

    fn add(&mut self, record: &Record<'_>) {
        let principal = Principal::of(&record.user_identity);
        self.sessions.add(principal.session(), MOST_SESSIONS, LONGEST_NAME);
        self.access_keys.add(principal.access_key_id(), MOST_ACCESS_KEYS, LONGEST_NAME);
        self.mfa = match (self.mfa, principal.mfa()) {
            (Some(all), Some(this)) => Some(all && this),
            (known, new) => known.or(new),
        };
        self.console |= record.from_console;
    }
}

impl EventRef {
    fn of(record: &Record<'_>, severity: Severity) -> Option<Self> {
        let kind = record.event_category.as_deref();
        Some(EventRef {
            id: clean(record.event_id.as_deref()?, LONGEST_NAME),
            recorded_in: clean(record.aws_region.as_deref().unwrap_or_default(), LONGEST_NAME),
            in_console: !matches!(kind, Some("Data" | "NetworkActivity")),
            severity,
        })
    }
}

impl Counts {
    fn add(&mut self, word: String, most: usize) {
        if self.words.len() < most || self.words.contains_key(&word) {
            *self.words.entry(word).or_default() += 1;
        } else {
            self.others += 1;
        }
    }

    /// The words, the most frequent first.
    pub fn by_count(&self) -> Vec<(&str, u64)> {
        let mut words: Vec<_> = self.words.iter().map(|(word, n)| (word.as_str(), *n)).collect();
        words.sort_by_key(|(_, count)| Reverse(*count));
        words
    }
}

impl Few {
    fn add(&mut self, word: Option<&str>, most: usize, longest: usize) {
        let Some(word) = word else { return };
        let word = clean(word, longest);
        if word.is_empty() || self.words.contains(&word) {
            return;
        }
        if self.words.len() < most {
            self.words.push(word);
        } else {
            self.more = true;
        }
    }
}
