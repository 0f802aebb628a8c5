//! What the judge says: the verdict, its reason, and how urgent an alert is.

use std::fmt;
use std::sync::Arc;

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

    pub(super) fn raised_if(self, raise: bool) -> Self {
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

    /// The reason, as a word: `mutating-call`, `watched:trail-tampering`, `unreadable`.
    pub fn reason(&self) -> String {
        match self {
            Verdict::Alert(reason, _) | Verdict::Ignore(reason) => reason.to_string(),
            Verdict::Reject => "unreadable".to_owned(),
        }
    }
}

/// `alert mutating-call high`, `ignore read-only`, `reject unreadable`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.as_str(), self.reason())?;
        match self {
            Verdict::Alert(_, severity) => write!(f, " {severity}"),
            Verdict::Ignore(_) | Verdict::Reject => Ok(()),
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
