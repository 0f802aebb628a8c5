//! What would have to change in the policy for the other verdict.
//!
//! Every change that is proposed was tried: the policy is made anew with it, and the record judged
//! again.

use jiff::Timestamp;
use regionwatch::alert::text::clean;
use regionwatch::alert::{Incident, advice};
use regionwatch::policy::{Reason, Verdict};
use regionwatch::record::{Record, region};
use serde::Serialize;
use toml_writer::ToTomlValue;

use crate::input::Loaded;

/// Something that would change a verdict.
#[derive(Debug, Serialize)]
pub struct Change {
    /// What it does.
    pub what: String,
    /// What to write into the policy; laid over it, it turns the verdict.
    pub toml: String,
}

impl Change {
    fn new(what: &str, toml: String) -> Self {
        Change { what: what.to_owned(), toml }
    }
}

/// What changes are tried on.
pub struct Changes<'a>(pub &'a Loaded);

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
        let harmless = |change: Change| Change { toml: made_harmless(&change.toml), ..change };
        let turns = |change: &Change| {
            let changed = self.0.changed(&change.toml);
            changed.is_ok_and(|policy| policy.judge(record, owner).as_str() != verdict.as_str())
        };
        proposed.into_iter().map(harmless).filter(turns).collect()
    }

    /// The narrowest first.
    fn to_silence(
        &self,
        record: &Record<'_>,
        owner: &str,
        reason: &Reason,
        incident: &Incident,
        now: Timestamp,
    ) -> Vec<Change> {
        let exempt = "exempt what this principal did";
        let mut changes = vec![Change::new(exempt, advice::exempt(incident, now))];
        let region = record.region();
        if region != region::UNKNOWN {
            let approved = self.0.policy.approved_for(record.account(owner)).iter();
            let approved = approved.map(|code| code.as_str().to_owned());
            let codes = approved.chain([region.into_owned()]);
            changes.push(self.approved(record, owner, "wider, approve the region", codes));
        }
        if *reason == Reason::SensitiveRead {
            let what = "wider, ignore all sensitive reads";
            changes.push(Change::new(what, "sensitive_reads = \"ignore\"".to_owned()));
        }
        // What somebody knows to be a write is no read for anybody.
        if self.0.policy.is_guess(record, owner) {
            let toml = format!("[access.calls]\n{} = \"read-only\"", call(record));
            changes
                .push(Change::new("wider, count this call as a read, wherever it is made", toml));
        }
        changes
    }

    fn to_alert(&self, record: &Record<'_>, owner: &str, reason: &Reason) -> Vec<Change> {
        let watch = format!(
            "[[watch]]\nid = {}\nreason = \"say here why it matters\"\ncalls = [{}]",
            format!("watch-{}", record.name()).to_toml_value(),
            call(record)
        );
        let mut changes = vec![Change::new("watch the call in every region", watch)];
        let wider = match reason {
            Reason::ApprovedRegion => {
                let region = record.region();
                let approved = self.0.policy.approved_for(record.account(owner)).iter();
                let others = approved.filter(|code| !code.matches(&region));
                let others = others.map(|code| code.as_str().to_owned());
                self.approved(record, owner, "wider, approve the region no longer", others)
            }
            Reason::AwsService => Change::new(
                "wider, tell what AWS does of itself",
                "aws_service_calls = \"alert\"".to_owned(),
            ),
            Reason::SignIn => {
                Change::new("wider, tell of all sign-ins", "sign_ins = \"alert\"".to_owned())
            }
            Reason::ReadOnly => Change::new(
                "or count it as mutating, where the region is not approved",
                format!("[access.calls]\n{} = \"mutating\"", call(record)),
            ),
            Reason::Exempt(id) => self.without_rule(id),
            _ => return changes,
        };
        changes.push(wider);
        changes
    }

    fn without_rule(&self, id: &str) -> Change {
        let what = match self.0.keys.place_of(id).filter(|place| place.is_users()) {
            Some(place) => format!("or remove the exemption at {place}, as this would"),
            None => "or drop the exemption".to_owned(),
        };
        Change { what, toml: format!("drop_rules = [{}]", id.to_toml_value()) }
    }

    /// Another list of approved regions, for all accounts or for the one that has its own.
    fn approved(
        &self,
        record: &Record<'_>,
        owner: &str,
        what: &str,
        codes: impl Iterator<Item = String>,
    ) -> Change {
        let codes: Vec<String> = codes.collect();
        let list = format!("approved_regions = {}", codes.to_toml_value());
        let account = record.account(owner);
        let toml = match self.0.keys.has_own_regions(account) {
            true => format!("[accounts.{}]\n{list}", account.to_toml_value()),
            false => list,
        };
        let place = self.0.keys.place_of_regions(account);
        let place = place.filter(|place| place.is_users() && !self.0.overrides_regions);
        let instead = place.map(|place| format!(", instead of {place}")).unwrap_or_default();
        Change { what: format!("{what}{instead}"), toml }
    }
}

/// What stands in a record may reorder what is shown; what is shown is what is tried.
fn made_harmless(toml: &str) -> String {
    toml.lines().map(|line| clean(line, usize::MAX)).collect::<Vec<_>>().join("\n")
}

/// `"ec2:RunInstances"`.
fn call(record: &Record<'_>) -> String {
    format!("{}:{}", record.service(), record.name()).to_toml_value()
}
