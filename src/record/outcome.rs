//! What became of a call.

use std::fmt;
use std::str::FromStr;

/// What became of a call, told from its `errorCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// No error code.
    Success,
    /// Somebody may not do this here.
    Denied,
    /// Too many calls at once.
    Throttled,
    /// Any other error.
    Failed,
    /// EC2 was asked only whether the call would be allowed.
    DryRun,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 5] =
        [Outcome::Success, Outcome::Denied, Outcome::Throttled, Outcome::Failed, Outcome::DryRun];

    /// The outcome that an error code stands for. Services spell theirs in many ways
    /// (`Client.UnauthorizedOperation`, `AccessDeniedException`), so parts of the word decide.
    pub fn of(error_code: Option<&str>) -> Self {
        let Some(code) = error_code.filter(|code| !code.is_empty()) else {
            return Outcome::Success;
        };
        let has = |words: &[&str]| words.iter().any(|word| code.contains(word));
        if has(&["DryRunOperation"]) {
            Outcome::DryRun
        } else if has(DENIED) {
            Outcome::Denied
        } else if has(THROTTLED) {
            Outcome::Throttled
        } else {
            Outcome::Failed
        }
    }

    /// The word for it in policies, alerts and message attributes.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Denied => "denied",
            Outcome::Throttled => "throttled",
            Outcome::Failed => "failed",
            Outcome::DryRun => "dry-run",
        }
    }
}

/// Parts of the error codes that say no.
pub(crate) const DENIED: &[&str] =
    &["AccessDenied", "Unauthorized", "NotAuthorized", "Forbidden", "AuthFailure", "OptInRequired"];
/// Parts of the error codes that say not now.
pub(crate) const THROTTLED: &[&str] =
    &["Throttl", "RequestLimitExceeded", "TooManyRequests", "SlowDown"];

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_of_many_spellings() {
        let cases = [
            (None, Outcome::Success),
            (Some(""), Outcome::Success),
            (Some("Client.DryRunOperation"), Outcome::DryRun),
            (Some("AccessDenied"), Outcome::Denied),
            (Some("AccessDeniedException"), Outcome::Denied),
            (Some("Client.UnauthorizedOperation"), Outcome::Denied),
            (Some("OptInRequired"), Outcome::Denied),
            (Some("ThrottlingException"), Outcome::Throttled),
            (Some("Client.RequestLimitExceeded"), Outcome::Throttled),
            (Some("NoSuchBucket"), Outcome::Failed),
        ];
        for (code, outcome) in cases {
            assert_eq!(Outcome::of(code), outcome, "{code:?}");
        }
    }
}
