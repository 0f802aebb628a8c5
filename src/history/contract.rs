//! A history for machines: one JSON object, described in `docs/scan.md`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::alert::Alert;

use super::messages::{Line, Message};
use super::report::{Account, Day, Principal, Region, Report, Rule, Sources, by_word};

/// The whole of it.
#[derive(Serialize)]
struct Contract<'r> {
    version: &'static str,
    policy: &'r str,
    approved_regions: String,
    #[serde(flatten)]
    sources: &'r Sources,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    entries: u64,
    unwanted: u64,
    alerts: u64,
    alerts_by: BTreeMap<String, u64>,
    ignored: u64,
    ignored_by: BTreeMap<String, u64>,
    rejected: u64,
    rejected_by: &'r BTreeMap<&'static str, u64>,
    regions: &'r [Region],
    accounts: &'r [Account],
    principals: &'r [Principal],
    principals_in_all: usize,
    rules: &'r [Rule],
    days: &'r [Day],
    incidents: usize,
    calls_held: u64,
    messages: List<'r>,
}

/// The version of the contract. It rises when a field changes its meaning or goes.
const VERSION: &str = "1";

impl Serialize for Report<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let contract = Contract {
            version: VERSION,
            policy: &self.policy.version().digest,
            // No account: those that have no list of their own.
            approved_regions: self.policy.approved_for("").to_string(),
            sources: &self.sources,
            first: self.all.first,
            last: self.all.last,
            entries: self.entries,
            unwanted: self.unwanted,
            alerts: self.alerts(),
            alerts_by: by_word(&self.alerted),
            ignored: self.ignored(),
            ignored_by: self.ignored_by(),
            rejected: self.rejected(),
            rejected_by: &self.rejects.faults,
            regions: &self.regions,
            accounts: &self.accounts,
            principals: &self.principals,
            principals_in_all: self.principals_in_all,
            rules: &self.rules,
            days: &self.days,
            incidents: self.messages.seen.incidents(),
            calls_held: self.messages.held,
            messages: List(self),
        };
        contract.serialize(to)
    }
}

/// The messages, made one at a time: all of them at once would be the largest thing in memory.
struct List<'r>(&'r Report<'r>);

#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    line: Line,
    /// As subscribers get it; nothing where not all of it was kept.
    alert: Option<Alert>,
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Report { messages, policy, .. } = self.0;
        let entry = |message: &Message| Entry {
            line: messages.line(message),
            alert: messages.alert(message, policy),
        };
        to.collect_seq(messages.list.iter().map(entry))
    }
}
