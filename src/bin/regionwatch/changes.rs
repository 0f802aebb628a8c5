//! What would have to change in the policy for the other verdict.
//!
//! Every change that is proposed was tried: the policy is made anew with it, and the record judged
//! again.

use jiff::Timestamp;
use regionwatch::alert::{Incident, advice};
use regionwatch::policy::{Keys, Policy, Reason, Verdict};
use regionwatch::record::{Record, region};
use serde::Serialize;
use toml_writer::ToTomlValue;

use crate::input::PolicyArgs;

/// Something that would change a verdict.
#[derive(Debug, Serialize)]
pub struct Change {
    /// What it does.
    pub what: &'static str,
    /// What to write into the policy.
    pub toml: String,
}

/// Where changes are tried.
pub struct Changes<'a> {
    /// How the policy is made.
    pub args: &'a PolicyArgs,
    /// The policy as it is.
    pub policy: &'a Policy,
    /// What it says.
    pub keys: &'a Keys,
}

impl Changes<'_> {
    /// The changes that turn an alert into something ignored, or the other way round.
    pub fn that_turn(
        &self,
        record: &Record<'_>,
        owner: &str,
        verdict: &Verdict,
        incident: &Incident,
        now: Timestamp,
    ) -> Vec<Change> {
        let proposed = match verdict {
            Verdict::Alert(reason, _) => self.to_silence(record, owner, reason, incident, now),
            Verdict::Ignore(reason) => self.to_alert(record, owner, reason),
            Verdict::Reject => Vec::new(),
        };
        let turns = |change: &Change| {
            let changed = self.args.changed(&change.toml);
            changed.is_ok_and(|policy| policy.judge(record, owner).as_str() != verdict.as_str())
        };
        proposed.into_iter().filter(turns).collect()
    }

    fn to_silence(
        &self,
        record: &Record<'_>,
        owner: &str,
        reason: &Reason,
        incident: &Incident,
        now: Timestamp,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let region = record.region();
        if region != region::UNKNOWN {
            let approved = self.policy.approved_for(record.account(owner)).iter();
            let approved = approved.map(|code| code.as_str().to_owned());
            let toml = self.approved(record, owner, approved.chain([region.into_owned()]));
            changes.push(Change { what: "approve the region", toml });
        }
        if *reason == Reason::SensitiveRead {
            let toml = "sensitive_reads = \"ignore\"".to_owned();
            changes.push(Change { what: "ignore all sensitive reads", toml });
        }
        changes.push(Change {
            what: "count this call as a read, whoever makes it",
            toml: format!("[access.calls]\n{} = \"read-only\"", call(record)),
        });
        let toml = advice::exempt(incident, now);
        changes.push(Change { what: "exempt this principal's call", toml });
        changes
    }

    fn to_alert(&self, record: &Record<'_>, owner: &str, reason: &Reason) -> Vec<Change> {
        let mut changes = Vec::new();
        match reason {
            Reason::ApprovedRegion => {
                let region = record.region();
                let approved = self.policy.approved_for(record.account(owner)).iter();
                let others = approved.filter(|code| !code.matches(&region));
                let others = others.map(|code| code.as_str().to_owned());
                let toml = self.approved(record, owner, others);
                changes.push(Change { what: "approve the region no longer", toml });
            }
            Reason::AwsService => changes.push(Change {
                what: "tell what AWS does of itself",
                toml: "aws_service_calls = \"alert\"".to_owned(),
            }),
            Reason::SignIn => changes
                .push(Change { what: "tell sign-ins", toml: "sign_ins = \"alert\"".to_owned() }),
            Reason::ReadOnly => changes.push(Change {
                what: "count this call as a read of secrets, whoever makes it",
                toml: format!("[access.calls]\n{} = \"sensitive\"", call(record)),
            }),
            Reason::Exempt(id) => changes.push(Change {
                what: "drop the exemption",
                toml: format!("drop_rules = [{}]", id.to_toml_value()),
            }),
            _ => {}
        }
        changes.push(Change {
            what: "watch the call in every region",
            toml: format!(
                "[[watch]]\nid = {}\nreason = \"say here why it matters\"\ncalls = [{}]",
                format!("watch-{}", record.name()).to_toml_value(),
                call(record)
            ),
        });
        changes
    }

    /// Another list of approved regions, for all accounts or for the one that has its own.
    fn approved(
        &self,
        record: &Record<'_>,
        owner: &str,
        codes: impl Iterator<Item = String>,
    ) -> String {
        let codes: Vec<String> = codes.collect();
        let list = format!("approved_regions = {}", codes.to_toml_value());
        let account = record.account(owner);
        match self.keys.has_own_regions(account) {
            true => format!("[accounts.{}]\n{list}", account.to_toml_value()),
            false => list,
        }
    }
}

/// `"ec2:RunInstances"`.
fn call(record: &Record<'_>) -> String {
    format!("{}:{}", record.service(), record.name()).to_toml_value()
}
