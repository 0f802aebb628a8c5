//! The judge: one record in, one verdict out, and every verdict carries its reason.
//!
//! A [`Policy`] is compiled once from the default policy and the user's file (the rooms below), and
//! then only asked. [`Policy::judge`] reads as the list of questions does in the README: the first
//! answer stands, and a doubt is an alert.

pub mod calls;
pub mod compile;
pub mod fault;
pub mod file;
pub mod pattern;
mod reader;
pub mod rule;
pub mod version;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::record::access::has_verb;
use crate::record::{Access, Outcome, Record, region};

pub use calls::CallTable;
pub use fault::{Place, PolicyFault, PolicyFaults};
pub use file::PolicyFile;
pub use pattern::{Patterns, RegionFaults};
pub use rule::{Call, Exempt, Watch};
pub use version::Version;

/// The default policy, whose every entry says why it is there.
pub const DEFAULT_POLICY: &str = include_str!("../policy.toml");

/// What is judged by: approved regions, tables of calls and services, rules.
#[derive(Debug, Clone)]
pub struct Policy {
    version: Version,
    approved: Patterns,
    accounts: HashMap<String, Account>,
    alert_on_aws_services: bool,
    alert_on_sign_ins: bool,
    ignore_sensitive_reads: bool,
    trust_read_only_field: bool,
    read_only_verbs: Vec<String>,
    calls: CallTable,
    globals: Vec<Global>,
    watches: Vec<Watch>,
    exempts: Vec<Exempt>,
}

/// What a policy says about one account.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// What people call it.
    pub name: Option<String>,
    /// Its own approved regions; without them the policy's hold.
    pub approved: Option<Patterns>,
}

/// Services that act worldwide and record their calls in a home region.
#[derive(Debug, Clone)]
pub struct Global {
    /// Which entry of the policy this is.
    pub id: String,
    /// The regions that record their calls.
    pub homes: Patterns,
    /// The services.
    pub services: Patterns,
}

/// The judgement on a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody should hear of this.
    Alert(Reason, Severity),
    /// Nobody needs to.
    Ignore(Reason),
    /// There is no call in the record that could be judged; counted and told as unreadable.
    Reject,
}

/// Which question decided, and which rule where one did.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Alert: a `[[watch]]` rule matched.
    Watched(Arc<str>),
    /// Alert: the call is not read-only, or nobody knows.
    MutatingCall,
    /// Alert: a read that hands out secrets or credentials.
    SensitiveRead,
    /// Ignored: CloudTrail's own insights and aggregates.
    NotAnApiCall,
    /// Ignored: the region is approved for the account.
    ApprovedRegion,
    /// Ignored: AWS itself acted.
    AwsService,
    /// Ignored: somebody signed in, which says nothing about where they act.
    SignIn,
    /// Ignored: a global service, recorded in its home region.
    GlobalService,
    /// Ignored: the call only looks.
    ReadOnly,
    /// Ignored: an `[[exempt]]` rule matched.
    Exempt(Arc<str>),
    /// Ignored: the same record was in the batch before.
    Duplicate,
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing came of it.
    Low,
    /// Look at it today.
    Medium,
    /// Look at it now.
    High,
    /// Somebody blinds the watch, or root acts.
    Critical,
}

impl Policy {
    /// The default policy alone.
    ///
    /// # Errors
    /// Never, as a test makes sure; the type is that of every other policy.
    pub fn embedded() -> Result<Self, PolicyFaults> {
        let file = PolicyFile::parse("the default policy", DEFAULT_POLICY)?;
        Policy::compile(&[file])
    }

    /// The default policy, changed by what a user's file says.
    ///
    /// # Errors
    /// All faults of the file, each with its place and a hint. `name` names the file in them.
    pub fn with_user_file(name: &str, text: &str) -> Result<Self, PolicyFaults> {
        let default = PolicyFile::parse("the default policy", DEFAULT_POLICY)?;
        Policy::compile(&[default, PolicyFile::parse(name, text)?])
    }

    /// The same policy with other approved regions; lists of single accounts stay.
    #[must_use]
    pub fn with_approved_regions(mut self, approved: Patterns) -> Self {
        self.version = self.version.changed(&["approved_regions", &approved.to_string()]);
        self.approved = approved;
        self
    }

    /// The same policy, known to be the text of this version of a parameter.
    #[must_use]
    pub fn with_parameter_version(mut self, parameter: i64) -> Self {
        self.version.parameter = Some(parameter);
        self
    }

    /// Which policy this is.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// What the policy calls an account.
    pub fn account_name(&self, account: &str) -> Option<&str> {
        self.accounts.get(account)?.name.as_deref()
    }

    /// The regions approved for an account.
    pub fn approved_for(&self, account: &str) -> &Patterns {
        let own = self.accounts.get(account).and_then(|account| account.approved.as_ref());
        own.unwrap_or(&self.approved)
    }

    /// Ids of the exemptions whose last day is past, in the policy's order.
    pub fn expired(&self, now: Timestamp) -> Vec<&str> {
        let today = TimeZone::UTC.to_datetime(now).date();
        let is_past = |rule: &&Exempt| rule.until.is_some_and(|last| last < today);
        self.exempts.iter().filter(is_past).map(|rule| &**rule.id()).collect()
    }

    /// Judges one record. `batch_owner` is the account that owns the log group, for records that
    /// name no account themselves.
    pub fn judge(&self, record: &Record<'_>, batch_owner: &str) -> Verdict {
        if record.event_name.is_none() || record.event_source.is_none() {
            return judge_without_call(record);
        }
        let call = Call::of(record, batch_owner);
        let watch = self.watching(&call);
        let candidate = match watch {
            Some(watch) => Reason::Watched(watch.id().clone()),
            None => match self.question(&call) {
                Ok(candidate) => candidate,
                Err(ignored) => return Verdict::Ignore(ignored),
            },
        };
        if let Some(exempt) = self.exempts.iter().find(|e| e.exempts(&call, watch)) {
            return Verdict::Ignore(Reason::Exempt(exempt.id().clone()));
        }
        Verdict::Alert(candidate, severity(&call, watch, self.access(&call)))
    }

    /// The gravest watch on a call; of equals the first.
    fn watching(&self, call: &Call<'_>) -> Option<&Watch> {
        let matching = self.watches.iter().filter(|watch| watch.matches(call));
        matching.reduce(|gravest, watch| match watch.severity() > gravest.severity() {
            true => watch,
            false => gravest,
        })
    }

    /// Questions 3 to 9: `Ok` is a candidate for an alert, `Err` says why it is none.
    fn question(&self, call: &Call<'_>) -> Result<Reason, Reason> {
        // A glob such as `u*` is about regions, and no region is none.
        if call.region != region::UNKNOWN && self.approved_for(call.account).matches(&call.region) {
            return Err(Reason::ApprovedRegion);
        }
        if !self.alert_on_aws_services && is_aws_itself(call.record) {
            return Err(Reason::AwsService);
        }
        if !self.alert_on_sign_ins && call.service == "signin" {
            return Err(Reason::SignIn);
        }
        if !call.record.switches_region() && self.is_global(call) {
            return Err(Reason::GlobalService);
        }
        match self.access(call) {
            Access::ReadOnly => Err(Reason::ReadOnly),
            Access::SensitiveRead if self.ignore_sensitive_reads => Err(Reason::ReadOnly),
            Access::SensitiveRead => Ok(Reason::SensitiveRead),
            Access::Mutating => Ok(Reason::MutatingCall),
        }
    }

    fn is_global(&self, call: &Call<'_>) -> bool {
        self.globals.iter().any(|global| {
            global.homes.matches(&call.region) && global.services.matches(&call.service)
        })
    }

    /// What the call does: the table of calls, else CloudTrail's own field, else its verb, else
    /// the worst.
    fn access(&self, call: &Call<'_>) -> Access {
        if let Some(access) = self.calls.access(call) {
            return access;
        }
        match call.record.read_only {
            Some(true) if self.trust_read_only_field => Access::ReadOnly,
            Some(false) if self.trust_read_only_field => Access::Mutating,
            _ if self.read_only_verbs.iter().any(|verb| has_verb(call.name, verb)) => {
                Access::ReadOnly
            }
            _ => Access::Mutating,
        }
    }
}

/// Question 1, for a record without a call: CloudTrail's own reports are known, all else is not
/// readable.
fn judge_without_call(record: &Record<'_>) -> Verdict {
    let category = record.event_category.as_deref();
    let kind = record.event_type.as_deref();
    if matches!(category, Some("Insight" | "Aggregated"))
        || matches!(kind, Some("AwsCloudTrailInsight" | "AwsAggregatedEvent"))
    {
        Verdict::Ignore(Reason::NotAnApiCall)
    } else {
        Verdict::Reject
    }
}

/// Question 4: AWS acts on its own. In an `AwsServiceEvent` nobody else is named, as a rule; where
/// somebody with credentials or another account is, they act: QuickSight records what people do
/// there as service events (QuickSight guide, "Example: Amazon QuickSight log file entries").
fn is_aws_itself(record: &Record<'_>) -> bool {
    const SOMEBODY: &[&str] = &["AWSAccount", "AssumedRole", "FederatedUser", "IAMUser", "Root"];
    let identity = &record.user_identity;
    let service_event = record.event_type.as_deref() == Some("AwsServiceEvent");
    identity.is("AWSService")
        || identity.is_service_linked_role()
        || (service_event && !SOMEBODY.iter().any(|kind| identity.is(kind)))
}

fn severity(call: &Call<'_>, watch: Option<&Watch>, access: Access) -> Severity {
    let root = call.record.user_identity.is("Root");
    let start = match (watch, access) {
        (Some(watch), _) => watch.severity(),
        (None, Access::SensitiveRead) => Severity::Medium,
        (None, _) => Severity::High,
    };
    match call.outcome {
        Outcome::Success => start.raised_if(root),
        Outcome::Denied if watch.is_some() => start.raised_if(root),
        _ => Severity::Low.raised_if(root),
    }
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Severity; 4] =
        [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    /// The word for it in policies, alerts and message attributes.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    fn raised_if(self, raise: bool) -> Self {
        match self {
            Severity::Low if raise => Severity::Medium,
            Severity::Medium if raise => Severity::High,
            Severity::High if raise => Severity::Critical,
            same => same,
        }
    }
}

impl Verdict {
    /// `alert`, `ignore` or `reject`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Verdict::Alert(..) => "alert",
            Verdict::Ignore(_) => "ignore",
            Verdict::Reject => "reject",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Watched(id) => return write!(f, "watched:{id}"),
            Reason::Exempt(id) => return write!(f, "exempt:{id}"),
            Reason::MutatingCall => "mutating-call",
            Reason::SensitiveRead => "sensitive-read",
            Reason::NotAnApiCall => "not-an-api-call",
            Reason::ApprovedRegion => "approved-region",
            Reason::AwsService => "aws-service",
            Reason::SignIn => "sign-in",
            Reason::GlobalService => "global-service",
            Reason::ReadOnly => "read-only",
            Reason::Duplicate => "duplicate",
        })
    }
}
