//! The JSON contract: what machines receive, field by field.

use jiff::Timestamp;
use serde::Serialize;

use crate::policy::Severity;
use crate::record::Outcome;

/// The version of the contract. It rises when a field changes its meaning or goes.
pub const VERSION: &str = "1";

/// One alert, as machines receive it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// [`VERSION`].
    pub version: &'static str,
    /// The incident's id: the same each time the same thing is told again.
    pub id: String,
    /// One line that says it all, at its end why the same is told again.
    pub title: String,
    /// `low`, `medium`, `high` or `critical`.
    #[serde(serialize_with = "as_word")]
    pub severity: Severity,
    /// The reason of the gravest alert: `mutating-call`, `watched:<id>`, ...
    pub reason: String,
    /// The account; empty where several are concerned.
    pub account: String,
    /// The region's code; empty where several or none are concerned.
    pub region: String,
    /// What kind of alert it is, in `kind`, and what belongs to that kind.
    #[serde(flatten)]
    pub body: Body,
    /// The digest of the policy that judged, as the function logs it.
    pub policy: String,
    /// The version of the parameter that held the policy; absent without one.
    pub policy_version: Option<i64>,
    /// Whether parts were left out so that the message fits.
    pub truncated: bool,
}

/// What belongs to a kind of alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Body {
    /// One incident.
    Incident(Box<IncidentBody>),
    /// Incidents beyond the number of messages that one invocation may send.
    Digest(DigestBody),
    /// Entries that are no readable CloudTrail record.
    Unreadable(UnreadableBody),
}

/// An incident in full.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentBody {
    /// What the policy calls the account.
    pub account_name: Option<String>,
    /// What people call the region.
    pub region_name: Option<&'static str>,
    /// `success`, `denied`, `throttled`, `failed` or `dry-run`.
    #[serde(serialize_with = "outcome_as_word")]
    pub outcome: Outcome,
    /// How many calls.
    pub count: u64,
    /// Each reason with its count.
    pub reasons: Vec<Counted>,
    /// Each call with its count: the gravest first, of equals the most frequent.
    pub calls: Vec<Counted>,
    /// Calls of other names, which are not listed.
    pub other_calls: u64,
    /// Each error code with its count.
    pub error_codes: Vec<Counted>,
    /// Who did it.
    pub principal: PrincipalBody,
    /// The first and the last call, by the records' own time.
    pub first_time: Option<Timestamp>,
    /// See `first_time`.
    pub last_time: Option<Timestamp>,
    /// Addresses, or names of AWS services.
    pub source_ips: Vec<String>,
    /// User agents.
    pub user_agents: Vec<String>,
    /// ARNs, ids and names of what was touched.
    pub resources: Vec<String>,
    /// Records to look up, the gravest first.
    pub events: Vec<EventBody>,
    /// Names of the lists above that are not complete.
    pub incomplete: Vec<&'static str>,
    /// Why this is an alert.
    pub why: String,
    /// What to do.
    pub next_steps: Vec<String>,
    /// The rule, as TOML, that would silence this incident; empty where it would not fit.
    pub exempt: String,
    /// The technique of MITRE ATT&CK that it looks like.
    pub mitre: Option<Mitre>,
    /// Where this was read.
    pub log_group: String,
    /// What is new since the incident was last told; absent the first time.
    pub follow_up: Option<FollowUp>,
}

/// A word and how often it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The word.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrincipalBody {
    /// `userIdentity.type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The short name a person would use.
    pub name: String,
    /// The role's ARN for an assumed role, else the principal's own.
    pub arn: Option<String>,
    /// Session names.
    pub sessions: Vec<String>,
    /// Access keys that signed the calls.
    pub access_key_ids: Vec<String>,
    /// `false` once any call was made without a second factor; absent where nothing says so.
    pub mfa: Option<bool>,
    /// Whether any call was made in the console.
    pub console: bool,
}

/// A record to look up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventBody {
    /// `eventID`.
    pub id: String,
    /// Where to read it; the console does not keep data and network activity events.
    pub console_url: Option<String>,
}

/// A technique of MITRE ATT&CK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mitre {
    /// `T1535`.
    pub technique: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its page.
    pub url: &'static str,
}

/// What happened since the same incident was told before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FollowUp {
    /// Why it is told again.
    pub causes: Vec<String>,
    /// Calls that were counted and not told since the last message.
    pub held: u64,
    /// Which calls they were, the most frequent first, as far as they are remembered and few.
    pub held_calls: Vec<Counted>,
    /// Calls in the window so far, these included.
    pub total: u64,
}

/// Incidents told together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DigestBody {
    /// How many incidents.
    pub incidents: u64,
    /// How many calls in all of them.
    pub count: u64,
    /// Each incident in short, the gravest first, as many as fit; the function's log has the ids of
    /// others.
    pub list: Vec<DigestLine>,
    /// Incidents by account and region.
    pub by_region: Vec<Counted>,
    /// What a subscription may filter by, over all incidents.
    pub covers: Covers,
}

/// Different values over several incidents, so that a filter for any of them finds the digest. The
/// message's attributes have all of them, the JSON the first hundred of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Covers {
    /// Severities.
    pub severities: Vec<String>,
    /// Reasons.
    #[serde(serialize_with = "the_first")]
    pub reasons: Vec<String>,
    /// Accounts.
    #[serde(serialize_with = "the_first")]
    pub accounts: Vec<String>,
    /// Codes of regions.
    #[serde(serialize_with = "the_first")]
    pub regions: Vec<String>,
    /// Types of principals.
    #[serde(serialize_with = "the_first")]
    pub principal_types: Vec<String>,
    /// Outcomes.
    pub outcomes: Vec<String>,
}

/// An incident in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DigestLine {
    /// The incident's id.
    pub id: String,
    /// Its title.
    pub title: String,
}

/// Entries that nobody could judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableBody {
    /// How many entries.
    pub count: u64,
    /// The log group they are in; where a Kinesis stream brought them, its ARN.
    pub log_group: String,
    /// The log stream they are in, or the shard.
    pub log_stream: String,
    /// Ids of the first few. Where a stream brought them: account, log group, log stream and id; the
    /// sequence number alone of a record of the stream that nobody can read.
    pub entry_ids: Vec<String>,
    /// What was wrong with them, with counts.
    pub faults: Vec<Counted>,
    /// See [`FollowUp`].
    pub follow_up: Option<FollowUp>,
}

/// There are five copies of the JSON in a message, and each has to leave room for the list.
fn the_first<S: serde::Serializer>(values: &[String], to: S) -> Result<S::Ok, S::Error> {
    /// Values of a kind.
    const MOST_COVERED: usize = 100;
    to.collect_seq(values.iter().take(MOST_COVERED))
}

fn outcome_as_word<S: serde::Serializer>(outcome: &Outcome, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(outcome.as_str())
}

fn as_word<S: serde::Serializer>(severity: &Severity, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(severity.as_str())
}
