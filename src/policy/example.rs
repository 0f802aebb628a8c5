//! `[[example]]`: records with the verdict that a policy means them to have.
//!
//! Examples are a policy's own tests. They are run by `regionwatch policy check`, change no verdict,
//! and are not inherited: they hold for the file that they stand in.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::reader::{Item, Reader, get};
use super::{Severity, Verdict};

/// A record, or a file of records, and the verdict that is expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// What it shows.
    pub name: String,
    /// What is judged.
    pub records: ExampleRecords,
    /// `alert`, `ignore` or `reject`.
    pub verdict: &'static str,
    /// The reason, where it is told.
    pub reason: Option<String>,
    /// The severity, where it is told.
    pub severity: Option<Severity>,
}

/// What an example judges.
#[derive(Debug, Clone, PartialEq)]
pub enum ExampleRecords {
    /// The JSON text of a record.
    Text(String),
    /// A file with records in any form that `scan` reads; its path is relative to the policy's.
    File(String),
}

impl Example {
    /// Whether this is the verdict that is expected.
    pub fn expects(&self, verdict: &Verdict) -> bool {
        let severity = match verdict {
            Verdict::Alert(_, severity) => Some(*severity),
            Verdict::Ignore(_) | Verdict::Reject => None,
        };
        self.verdict == verdict.as_str()
            && self.reason.as_ref().is_none_or(|reason| *reason == verdict.reason())
            && (self.severity.is_none() || self.severity == severity)
    }

    /// What is expected, in the words of [`Verdict`]'s own.
    pub fn expected(&self) -> String {
        let severity = self.severity.map(Severity::as_str);
        let words = [Some(self.verdict), self.reason.as_deref(), severity];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

const EXAMPLE_KEYS: &[&str] = &["name", "record", "file", "verdict", "reason", "severity"];
const VERDICTS: &[(&str, &str)] = &[("alert", "alert"), ("ignore", "ignore"), ("reject", "reject")];

impl<'t> Reader<'t> {
    pub(super) fn example(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<Example> {
        self.known_keys(table, EXAMPLE_KEYS);
        let name = self.required(table, "name", span.clone());
        let verdict = self.choice_of(table, "verdict", VERDICTS);
        if get(table, "verdict").is_none() {
            self.fault(span.clone(), "`verdict` is missing".to_owned(), Some(ONE_OF_VERDICTS));
        }
        let word = verdict.as_ref().map(|verdict| verdict.value);
        let reason = get(table, "reason").and_then(|item| self.reason(item, word?));
        let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
        let severity = self.choice_of(table, "severity", &severities);
        if let (Some(severity), Some("ignore" | "reject")) = (&severity, word) {
            let what = "only an alert has a severity".to_owned();
            self.fault_at(severity.place.clone(), what, Some("leave it out, or expect an alert"));
        }
        let records = match (get(table, "record"), get(table, "file")) {
            (Some(record), None) => self.record(record),
            (None, Some(file)) => self.string(file).map(ExampleRecords::File),
            _ => {
                let hint = "a record as a table or as JSON text, or the path of a file";
                self.fault(span, "wanted is either `record` or `file`".to_owned(), Some(hint));
                None
            }
        };
        Some(Example {
            name: name?,
            records: records?,
            verdict: verdict?.value,
            reason,
            severity: severity.map(|severity| severity.value),
        })
    }

    /// A reason that the verdict can have.
    fn reason(&mut self, item: Item<'_, 't>, verdict: &str) -> Option<String> {
        let reason = self.string(item)?;
        let known = match verdict {
            "alert" => REASONS_TO_ALERT,
            "ignore" => REASONS_TO_IGNORE,
            _ => &["unreadable"],
        };
        let holds = |known: &&str| match known.strip_suffix("ID") {
            Some(kind) => reason.len() > kind.len() && reason.starts_with(kind),
            None => *known == reason,
        };
        if !known.iter().any(holds) {
            let what = format!("`{reason}` is no reason to {verdict}");
            self.fault(item.span(), what, Some(&format!("it is one of {}", known.join(", "))));
        }
        Some(reason)
    }

    fn record(&mut self, item: Item<'_, 't>) -> Option<ExampleRecords> {
        if let Some(text) = item.get_ref().as_str() {
            return Some(ExampleRecords::Text(text.to_owned()));
        }
        if let Some(table) = item.get_ref().as_table() {
            for key in table.keys().filter(|key| EXAMPLE_KEYS.contains(&key.get_ref().as_ref())) {
                let what = format!("`{}` stands in the record", key.get_ref());
                let hint = "write the example's own keys before [example.record]";
                self.fault(key.span(), what, Some(hint));
            }
            return Some(ExampleRecords::Text(json(item.get_ref()).to_string()));
        }
        self.fault_type(item, "a table or a string of JSON");
        None
    }
}

const REASONS_TO_ALERT: &[&str] = &["mutating-call", "sensitive-read", "watched:ID"];
const REASONS_TO_IGNORE: &[&str] = &[
    "approved-region",
    "aws-service",
    "exempt:ID",
    "global-service",
    "not-an-api-call",
    "read-only",
    "sign-in",
];
const ONE_OF_VERDICTS: &str = "it is one of alert, ignore, reject";

/// A TOML value as CloudTrail would write it; times are strings there.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(array) => array.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let members = table.iter().map(|(key, item)| (key.to_string(), json(item.get_ref())));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}
