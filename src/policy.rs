//! The judge: one record in, one verdict out, and every verdict carries its reason.
//!
//! A [`Policy`] is compiled once from the default policy and the user's file (the rooms below), and
//! then only asked. [`Policy::judge`] reads as the list of questions does in the README: the first
//! answer stands, and a doubt is an alert.

pub mod calls;
pub mod compile;
pub mod example;
#[cfg(feature = "cli")]
pub mod explain;
pub mod fault;
pub mod file;
pub mod foresight;
pub mod index;
mod matchers;
pub mod pattern;
mod reader;
#[cfg(feature = "cli")]
pub mod remarks;
pub mod rule;
mod shape;
#[cfg(feature = "cli")]
pub mod show;
pub mod verdict;
pub mod version;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::record::access::has_verb;
use crate::record::{Access, Outcome, Record, region};

pub use calls::CallTable;
pub use example::{Example, ExampleRecords};
pub use fault::{Place, PolicyFault, PolicyFaults};
pub use file::{Keys, PolicyFile};
pub use foresight::{Foresight, Unforeseen};
pub use index::Index;
pub use pattern::{Pattern, Patterns, RegionFaults};
pub use rule::{Call, Exempt, Watch};
pub use verdict::{Reason, Severity, Verdict};
pub use version::Version;

/// The default policy, whose every entry says why it is there.
pub const DEFAULT_POLICY: &str = include_str!("../policy.toml");

/// The name of the default policy in faults and explanations.
pub const DEFAULT_NAME: &str = "the default policy";

/// What is judged by: approved regions, tables of calls and services, rules.
#[derive(Debug, Clone)]
pub struct Policy {
    version: Version,
    pub(crate) approved: Patterns,
    pub(crate) accounts: HashMap<String, Account>,
    pub(crate) alert_on_aws_services: bool,
    pub(crate) alert_on_sign_ins: bool,
    pub(crate) alert_on_sensitive_reads: bool,
    pub(crate) trust_read_only_field: bool,
    pub(crate) read_only_verbs: Vec<String>,
    pub(crate) calls: CallTable,
    pub(crate) globals: Vec<Global>,
    /// The gravest first, of equals the first.
    watches: Rules<Watch>,
    exempts: Rules<Exempt>,
}

/// Rules of one kind, in the order in which they count.
#[derive(Debug, Clone)]
struct Rules<R> {
    list: Vec<R>,
    index: Index,
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
#[derive(Debug, Clone, PartialEq)]
pub struct Global {
    /// Which entry of the policy this is.
    pub id: String,
    /// The regions that record their calls.
    pub homes: Patterns,
    /// The services.
    pub services: Patterns,
}

impl Policy {
    /// The default policy alone.
    ///
    /// # Errors
    /// Never, as a test makes sure; the type is that of every other policy.
    pub fn embedded() -> Result<Self, PolicyFaults> {
        Policy::compile(&[&PolicyFile::embedded_without_examples()?])
    }

    /// The default policy, changed by what a user's file says.
    ///
    /// # Errors
    /// All faults of the file, each with its place and a hint. `name` names the file in them.
    pub fn with_user_file(name: &str, text: &str) -> Result<Self, PolicyFaults> {
        let default = PolicyFile::embedded_without_examples()?;
        Policy::compile(&[&default, &PolicyFile::parse(name, text)?])
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

    /// Its watches, the gravest first.
    pub fn watches(&self) -> impl Iterator<Item = &Watch> {
        self.watches.list.iter()
    }

    /// Its exemptions, in their order.
    pub fn exempts(&self) -> impl Iterator<Item = &Exempt> {
        self.exempts.list.iter()
    }

    /// Ids of the exemptions whose last day is over, so that they silence nothing any more.
    pub fn expired(&self, now: Timestamp) -> Vec<&str> {
        let expired = self.exempts().filter(|exempt| exempt.has_expired(now));
        expired.map(|exempt| &*exempt.id).collect()
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

    /// Judges one record. `batch_owner` is the account that owns the log group, for records that
    /// name no account themselves.
    pub fn judge(&self, record: &Record<'_>, batch_owner: &str) -> Verdict {
        if record.event_name.is_none() || record.event_source.is_none() {
            return judge_without_call(record);
        }
        self.verdict(&Call::of(record, batch_owner))
    }

    /// Judges one record, and says what its call does; without a call nothing.
    pub fn judge_and_tell(
        &self,
        record: &Record<'_>,
        batch_owner: &str,
    ) -> (Verdict, Option<Access>) {
        if record.event_name.is_none() || record.event_source.is_none() {
            return (judge_without_call(record), None);
        }
        let call = Call::of(record, batch_owner);
        (self.verdict(&call), Some(self.access(&call)))
    }

    fn verdict(&self, call: &Call<'_>) -> Verdict {
        if let Some(verdict) = self.watching(call) {
            return verdict;
        }
        match self.candidate(call) {
            Err(ignored) => Verdict::Ignore(ignored),
            Ok(candidate) => match self.exempting(call, None) {
                Some(exempt) => Verdict::Ignore(Reason::Exempt(exempt.id.clone())),
                None => Verdict::Alert(candidate, severity(call, None, self.access(call))),
            },
        }
    }

    /// The verdict on a watched call. An exemption silences the watches that it names and no other:
    /// the gravest watch that none silences alerts.
    fn watching(&self, call: &Call<'_>) -> Option<Verdict> {
        let gravest = self.watches.first(call, |watch| watch.matches(call))?;
        let silent = |watch: &Watch| self.exempting(call, Some(watch)).is_some();
        let told = self.watches.first(call, |watch| watch.matches(call) && !silent(watch));
        if let Some(watch) = told {
            let severity = severity(call, Some(watch), self.access(call));
            return Some(Verdict::Alert(Reason::Watched(watch.id.clone()), severity));
        }
        let exempt = self.exempting(call, Some(gravest))?;
        Some(Verdict::Ignore(Reason::Exempt(exempt.id.clone())))
    }

    /// All watches that match a record: each needs an exemption that names it.
    pub fn watches_on(&self, record: &Record<'_>, batch_owner: &str) -> Vec<&Arc<str>> {
        let call = Call::of(record, batch_owner);
        self.watches().filter(|watch| watch.matches(&call)).map(|watch| &watch.id).collect()
    }

    /// The first exemption for a call, or for what this watch has to say of it.
    fn exempting(&self, call: &Call<'_>, watch: Option<&Watch>) -> Option<&Exempt> {
        self.exempts.first(call, |exempt| exempt.exempts(call, watch))
    }

    /// Questions 3 to 9: `Ok` is a candidate for an alert, `Err` says why it is none.
    fn candidate(&self, call: &Call<'_>) -> Result<Reason, Reason> {
        match Ground::IN_ORDER.into_iter().find(|ground| self.ignores(*ground, call)) {
            Some(ground) => Err(ground.reason()),
            None => Ok(match self.access(call) {
                Access::SensitiveRead => Reason::SensitiveRead,
                Access::ReadOnly | Access::Mutating => Reason::MutatingCall,
            }),
        }
    }

    /// One of the questions 3 to 7.
    fn ignores(&self, ground: Ground, call: &Call<'_>) -> bool {
        match ground {
            // A glob such as `u*` is about regions, and no region is none.
            Ground::ApprovedRegion => {
                call.region != region::UNKNOWN
                    && self.approved_for(call.account).matches(&call.region)
            }
            Ground::AwsService => !self.alert_on_aws_services && is_aws_itself(call.record),
            Ground::SignIn => !self.alert_on_sign_ins && call.service == "signin",
            Ground::GlobalService => !call.record.switches_region() && self.is_global(call),
            Ground::ReadOnly => match self.access(call) {
                Access::ReadOnly => true,
                Access::SensitiveRead => !self.alert_on_sensitive_reads,
                Access::Mutating => false,
            },
        }
    }

    fn is_global(&self, call: &Call<'_>) -> bool {
        self.globals.iter().any(|global| {
            global.homes.matches(&call.region) && global.services.matches(&call.service)
        })
    }

    fn access(&self, call: &Call<'_>) -> Access {
        self.access_and_source(call).0
    }

    /// What the call does: the table of calls, else CloudTrail's own field, else its verb, else
    /// the worst.
    fn access_and_source(&self, call: &Call<'_>) -> (Access, Source<'_>) {
        if let Some(access) = self.calls.access(call) {
            return (access, Source::Table);
        }
        match call.record.read_only {
            Some(true) if self.trust_read_only_field => (Access::ReadOnly, Source::Field),
            Some(false) if self.trust_read_only_field => (Access::Mutating, Source::Field),
            _ => match self.read_only_verbs.iter().find(|verb| has_verb(call.name, verb)) {
                Some(verb) => (Access::ReadOnly, Source::Verb(verb)),
                None => (Access::Mutating, Source::Nothing),
            },
        }
    }
}

/// Questions 3 to 7: each is a ground to ignore a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    ApprovedRegion,
    AwsService,
    SignIn,
    GlobalService,
    ReadOnly,
}

impl Ground {
    /// Region comes early: nine of ten records end there.
    const IN_ORDER: [Ground; 5] = [
        Ground::ApprovedRegion,
        Ground::AwsService,
        Ground::SignIn,
        Ground::GlobalService,
        Ground::ReadOnly,
    ];

    fn reason(self) -> Reason {
        match self {
            Ground::ApprovedRegion => Reason::ApprovedRegion,
            Ground::AwsService => Reason::AwsService,
            Ground::SignIn => Reason::SignIn,
            Ground::GlobalService => Reason::GlobalService,
            Ground::ReadOnly => Reason::ReadOnly,
        }
    }
}

/// What says what a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source<'p> {
    /// `[access.calls]`.
    Table,
    /// CloudTrail's `readOnly`.
    Field,
    /// The call's name begins with this verb.
    Verb(&'p str),
    /// Nobody, so it counts as mutating.
    Nothing,
}

impl<R> Rules<R> {
    /// The first rule for which `holds` is true, which it must not be of rules that do not match.
    fn first(&self, call: &Call<'_>, holds: impl Fn(&R) -> bool) -> Option<&R> {
        let mut first = None;
        self.index.candidates(call, |at| {
            let earlier = first.is_none_or(|(found, _)| at < found);
            if let Some(rule) = self.list.get(at).filter(|rule| earlier && holds(rule)) {
                first = Some((at, rule));
            }
        });
        first.map(|(_, rule)| rule)
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
/// there as service events (QuickSight guide, "Example: Amazon QuickSight log file entries"). The
/// types: CloudTrail guide, "CloudTrail userIdentity element".
fn is_aws_itself(record: &Record<'_>) -> bool {
    let identity = &record.user_identity;
    let service_event = record.event_type.as_deref() == Some("AwsServiceEvent");
    identity.is("AWSService")
        || identity.is_service_linked_role()
        || (service_event && !SOMEBODY.iter().any(|kind| identity.is(kind)))
}

/// Types of `userIdentity` that act themselves, in a service event too.
pub(crate) const SOMEBODY: &[&str] = &[
    "AWSAccount",
    "AssumedRole",
    "FederatedUser",
    "IAMUser",
    "IdentityCenterUser",
    "Role",
    "Root",
    "SAMLUser",
    "WebIdentityUser",
];

fn severity(call: &Call<'_>, watch: Option<&Watch>, access: Access) -> Severity {
    let start = match (watch, access) {
        (Some(watch), _) => watch.severity(),
        (None, Access::SensitiveRead) => Severity::Medium,
        (None, _) => Severity::High,
    };
    let root = call.record.user_identity.is("Root");
    severity_without_root(call, start, watch.is_some()).raised_if(root)
}

/// What did not succeed changed nothing; but that somebody tried is what a watch is for.
fn severity_without_root(call: &Call<'_>, start: Severity, watched: bool) -> Severity {
    match call.outcome {
        Outcome::Success => start,
        Outcome::Denied if watched => start,
        _ => Severity::Low,
    }
}
