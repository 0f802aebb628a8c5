//! What one invocation did: one line for people who search the log, one for CloudWatch's metrics.
//!
//! `docs/operations.md` describes every field and every metric; a test holds it to that.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Number;

use crate::delivery::Delivery;
use crate::ledger::LedgerError;
use crate::policy::{Policy, Reason};
use crate::triage::Triaged;

/// The counts of one invocation. Holds nothing from a record but names of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Log entries in the payload, and records of a stream that cannot be read: `alerts` + `ignored` + `rejected`.
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
    /// Ids of incidents that a digest had no room to list: the first thousand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_short_digest: Vec<String>,
    /// How many incidents a digest had no room to list; absent where none.
    #[serde(skip_serializing_if = "is_zero")]
    pub in_short_digest_count: u64,
    /// Calls of the ledger that failed; what it should have judged was told.
    pub ledger_errors: u64,
    /// What went wrong in the first of them; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger_fault: Option<String>,
    /// The digest of the policy that judged.
    pub policy: String,
    /// The version of the parameter that held its text; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<i64>,
    /// 1 as long as the newest policy is not the one in force, else 0.
    pub policy_errors: u64,
    /// Exemptions of the policy whose last day is past.
    pub expired_exemptions: u64,
    /// Whether messages went to the log instead of to people.
    pub shadow: bool,
    /// Whether it was a control message, or nothing else.
    pub control: bool,
    /// Records of a stream in the payload; absent for a subscription's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinesis_records: Option<u64>,
    /// Where a stream has to begin again, since something was not told; absent where nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_from: Option<String>,
    /// Size of the payload in bytes.
    pub payload_bytes: u64,
    /// Size of the inflated batch in bytes; of a stream, of all batches.
    pub inflated_bytes: u64,
    /// Seconds from the oldest alerting record's own time to the invocation; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detection_delay_seconds: Option<i64>,
    /// Milliseconds that the invocation took, by the clock of whoever ran it.
    pub duration_ms: u64,
    /// The type of the error that failed the invocation, as Lambda reports it; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_type: Option<&'static str>,
    /// The same error in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Ids in one line: 35 KB of the 1 MB that an entry of a log may have (CloudWatch Logs guide,
/// "CloudWatch Logs quotas").
const MOST_IN_SHORT_DIGEST: usize = 1000;

impl Summary {
    /// The summary of an invocation that has just begun.
    pub fn begun(payload: &[u8], policy: &Policy, now: Timestamp) -> Self {
        Summary {
            payload_bytes: payload.len() as u64,
            policy: policy.version().digest.clone(),
            policy_version: policy.version().parameter,
            expired_exemptions: policy.expired(now).len() as u64,
            ..Summary::default()
        }
    }

    /// Takes over how the payload came.
    pub fn opened(&mut self, delivery: &Delivery<'_>) {
        self.kinesis_records = delivery.stream().map(|_| delivery.parcels().len() as u64);
    }

    /// Takes over what the batches say of themselves: whether all are control messages, and how large
    /// they are.
    pub fn read(&mut self, control: bool, inflated_bytes: u64) {
        self.control = control;
        self.inflated_bytes = inflated_bytes;
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

    /// Takes over which incidents were told in a digest that had no room to list them.
    pub fn told_in_short<'i>(&mut self, ids: impl Iterator<Item = &'i str>) {
        for id in ids {
            self.in_short_digest_count += 1;
            if self.in_short_digest.len() < MOST_IN_SHORT_DIGEST {
                self.in_short_digest.push(id.to_owned());
            }
        }
    }

    /// Counts a failure of the ledger. One in words is enough: the others will be the same.
    pub fn ledger_failed(&mut self, error: &LedgerError) {
        self.ledger_errors += 1;
        self.ledger_fault.get_or_insert_with(|| error.to_string());
    }

    /// Says that the invocation failed, and of what; where a stream begins again, also with which
    /// record.
    pub fn failed(&mut self, error_type: &'static str, error: String, retry_from: Option<&str>) {
        self.error_type = Some(error_type);
        self.error = Some(error);
        self.retry_from = retry_from.map(str::to_owned);
    }

    /// The canonical line: one JSON object that logs keep per invocation.
    pub fn line(&self, request_id: &str, now: Timestamp) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            timestamp: Timestamp,
            level: &'static str,
            message: &'static str,
            request_id: &'a str,
            #[serde(flatten)]
            summary: &'a Summary,
        }
        let level = if self.error.is_some() { "ERROR" } else { "INFO" };
        let message = "invocation";
        let line = Line { timestamp: now, level, message, request_id, summary: self };
        // Made of strings and numbers, which always have a JSON form.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// The metrics of this function, in a line from which CloudWatch makes them (CloudWatch guide,
    /// "Specification: Embedded metric format"). It has no `message`, so none takes it for the
    /// canonical line.
    pub fn metrics_line(&self, function: &str, now: Timestamp) -> String {
        let metrics = self.metrics();
        let line = MetricsLine {
            header: Header {
                timestamp: now.as_millisecond(),
                directives: [Directive {
                    namespace: "regionwatch",
                    dimensions: [["FunctionName"]],
                    metrics: &metrics,
                }],
            },
            function_name: function,
            values: metrics.iter().map(|metric| (metric.name, &metric.value)).collect(),
            properties: Properties {
                ignored: self.ignored,
                incidents: self.incidents,
                duration: self.duration_ms,
                alerts_by: &self.alerts_by,
                ignored_by: &self.ignored_by,
            },
        };
        // Made of strings and numbers, which always have a JSON form.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// What somebody may want an alarm on, or a graph over months. CloudWatch has its price for each
    /// metric, so other counts are properties of the line ([`Properties`]) or fields of the canonical
    /// line alone.
    fn metrics(&self) -> Vec<Metric> {
        let count = |name, count: u64| Metric { name, unit: Unit::Count, value: count.into() };
        let bytes = |name, bytes: u64| Metric { name, unit: Unit::Bytes, value: bytes.into() };
        let delay = |delay: i64| {
            let (name, value) = ("DetectionDelay", delay.into());
            Metric { name, unit: Unit::Seconds, value }
        };
        let always = [
            count("Entries", self.entries),
            count("Alerts", self.alerts),
            count("Rejected", self.rejected),
            count("Told", self.told),
            count("Held", self.held),
            count("PublishFailures", self.messages_failed),
            count("LedgerErrors", self.ledger_errors),
            count("PolicyErrors", self.policy_errors),
            bytes("InflatedBytes", self.inflated_bytes),
        ];
        always.into_iter().chain(self.detection_delay_seconds.map(delay)).collect()
    }
}

#[derive(Serialize)]
struct MetricsLine<'a> {
    #[serde(rename = "_aws")]
    header: Header<'a>,
    #[serde(rename = "FunctionName")]
    function_name: &'a str,
    #[serde(flatten)]
    values: BTreeMap<&'static str, &'a Number>,
    #[serde(flatten)]
    properties: Properties<'a>,
}

/// What stands beside the metrics and is none: it follows from them, Lambda measures it without a
/// price, or there are as many as the policy has rules.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Properties<'a> {
    ignored: u64,
    incidents: u64,
    /// In milliseconds.
    duration: u64,
    alerts_by: &'a BTreeMap<String, u64>,
    ignored_by: &'a BTreeMap<String, u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Header<'a> {
    timestamp: i64,
    #[serde(rename = "CloudWatchMetrics")]
    directives: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'static str,
    dimensions: [[&'static str; 1]; 1],
    metrics: &'a [Metric],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: Unit,
    /// Stands beside the directive, under the metric's name.
    #[serde(skip)]
    value: Number,
}

/// Those of CloudWatch's units that are used.
#[derive(Serialize)]
enum Unit {
    Count,
    Seconds,
    Bytes,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn by_name(reasons: &BTreeMap<Reason, u64>) -> BTreeMap<String, u64> {
    reasons.iter().map(|(reason, count)| (reason.to_string(), *count)).collect()
}
