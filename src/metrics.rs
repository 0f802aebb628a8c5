//! What one invocation did, in one line.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::envelope::Batch;
use crate::policy::Reason;
use crate::triage::Triaged;

/// The counts of one invocation. Holds nothing from a record but names of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Log entries in the batch: `alerts` + `ignored` + `rejected`.
    pub entries: u64,
    /// Entries that are in an incident.
    pub alerts: u64,
    /// Entries that were ignored: the sum of `ignored_by`.
    pub ignored: u64,
    /// Entries that nobody could judge.
    pub rejected: u64,
    /// Alerts by reason: `watched:<id>` is how often a watch was the gravest.
    pub alerts_by: BTreeMap<String, u64>,
    /// Ignored entries by reason: `exempt:<id>` is how often an exemption silenced something.
    pub ignored_by: BTreeMap<String, u64>,
    /// Incidents, unreadable entries being one.
    pub incidents: u64,
    /// Incidents whose message was accepted.
    pub told: u64,
    /// Incidents that the ledger held back.
    pub held: u64,
    /// Messages accepted, digests being one each.
    pub messages: u64,
    /// Messages that were not accepted.
    pub messages_failed: u64,
    /// Ids of the incidents in a digest that had no room to list them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_short_digest: Vec<String>,
    /// Calls of the ledger that failed; what it should have judged was told.
    pub ledger_errors: u64,
    /// Whether it was a control message.
    pub control: bool,
    /// Size of the payload in bytes.
    pub payload_bytes: u64,
    /// Size of the inflated batch in bytes.
    pub inflated_bytes: u64,
    /// Seconds from the oldest alerting record's own time to the invocation.
    pub detection_delay_seconds: Option<i64>,
}

impl Summary {
    /// Takes over what the batch says of itself.
    pub fn opened(&mut self, batch: &Batch) {
        self.control = batch.control;
        self.inflated_bytes = batch.inflated_bytes;
    }

    /// Takes over what triage counted.
    pub fn triaged(&mut self, triaged: &Triaged, now: Timestamp) {
        self.entries = triaged.entries;
        self.alerts = triaged.alerts();
        self.alerts_by = by_name(&triaged.alerted);
        self.ignored = triaged.ignored_total();
        self.rejected = triaged.rejects.count;
        self.ignored_by = by_name(&triaged.ignored);
        self.detection_delay_seconds =
            triaged.oldest().map(|oldest| now.duration_since(oldest).as_secs());
        debug_assert_eq!(self.entries, self.alerts + self.ignored + self.rejected);
        debug_assert_eq!(self.alerts, self.alerts_by.values().sum::<u64>());
        debug_assert_eq!(self.ignored, self.ignored_by.values().sum::<u64>());
    }

    /// The canonical line: one JSON object that logs keep per invocation.
    pub fn line(&self, request_id: &str, now: Timestamp, error: Option<&str>) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            timestamp: Timestamp,
            level: &'static str,
            message: &'static str,
            request_id: &'a str,
            #[serde(flatten)]
            summary: &'a Summary,
            error: Option<&'a str>,
        }
        let level = if error.is_some() { "ERROR" } else { "INFO" };
        let message = "invocation";
        let line = Line { timestamp: now, level, message, request_id, summary: self, error };
        // Made of strings and numbers, which always have a JSON form.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

fn by_name(reasons: &BTreeMap<Reason, u64>) -> BTreeMap<String, u64> {
    reasons.iter().map(|(reason, count)| (reason.to_string(), *count)).collect()
}
