//! Statements of a service control policy, and their JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// The region that is called.
pub(super) const REGION: &str = "aws:RequestedRegion";

/// The region that a call opens or closes.
pub(super) const TARGET: &str = "account:TargetRegion";

/// Who calls: of a session, the role.
pub(super) const PRINCIPAL: &str = "aws:PrincipalArn";

/// The account of who calls.
pub(super) const ACCOUNT: &str = "aws:PrincipalAccount";

/// The document.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Document {
    version: &'static str,
    statement: Vec<Statement>,
}

/// One statement: it denies, unless a condition keeps it from that.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Statement {
    sid: String,
    effect: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    action: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_action: Vec<String>,
    resource: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>,
}

impl Document {
    /// No two of the statements may be called alike (IAM guide, "IAM JSON policy elements: Sid"), and
    /// ids of rules may differ in what no Sid takes.
    pub(super) fn new(mut statement: Vec<Statement>) -> Self {
        let mut known = BTreeSet::new();
        for one in &mut statement {
            while !known.insert(one.sid.clone()) {
                one.sid.push('2');
            }
        }
        Document { version: "2012-10-17", statement }
    }

    /// As people read it, and with a line for each statement.
    pub(super) fn to_json(&self) -> (String, String) {
        let pretty = serde_json::to_string_pretty(self).unwrap_or_default();
        let line = |statement: &Statement| serde_json::to_string(statement).unwrap_or_default();
        let lines: Vec<String> = self.statement.iter().map(line).collect();
        let (version, lines) = (self.version, lines.join(",\n"));
        (pretty, format!("{{\"Version\":\"{version}\",\"Statement\":[\n{lines}\n]}}"))
    }
}

impl Statement {
    /// Denies these actions.
    pub(super) fn of(sid: &str, action: Vec<String>) -> Self {
        Statement {
            sid: sid.to_owned(),
            effect: "Deny",
            action,
            not_action: Vec::new(),
            resource: "*",
            condition: BTreeMap::new(),
        }
    }

    /// Denies all but these actions.
    pub(super) fn of_all_but(sid: &str, not_action: Vec<String>) -> Self {
        Statement { not_action, ..Statement::of(sid, Vec::new()) }
    }

    /// Whether it denies anything at all.
    pub(super) fn denies(&self) -> bool {
        !(self.action.is_empty() && self.not_action.is_empty())
    }

    /// Only where the key is none of these.
    pub(super) fn unless(self, key: &'static str, values: &[String]) -> Self {
        let is_glob = values.iter().any(|value| value.contains(['*', '?']));
        self.condition(if is_glob { "StringNotLike" } else { "StringNotEquals" }, key, values)
    }

    /// Only where the key is one of these.
    pub(super) fn only(self, key: &'static str, values: &[String]) -> Self {
        self.condition("StringLike", key, values)
    }

    fn condition(mut self, operator: &'static str, key: &'static str, values: &[String]) -> Self {
        if !values.is_empty() {
            self.condition.entry(operator).or_default().insert(key, values.to_vec());
        }
        self
    }
}
