//! The policy's question in the languages of other engines.
//!
//! None of them can say all that a policy says. What one returns ([`pattern`], [`athena`]) holds
//! whatever the policy alerts on, and perhaps more; what one forbids ([`scp`]) holds nothing that
//! the policy lets pass, as far as it can tell. What differs is said in words.

pub mod athena;
pub mod pattern;
pub mod scp;

use crate::policy::calls::CallAccess;
use crate::policy::{Pattern, Patterns, Policy};
use crate::record::Access;

/// A policy in another language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// What the other engine takes.
    pub text: String,
    /// Where it differs from the policy, a sentence each.
    pub notes: Vec<String>,
}

/// The regions that are approved for every account: of all lists, the patterns that each list
/// takes in.
fn approved_everywhere(policy: &Policy) -> Vec<&Pattern> {
    let lists = lists(policy);
    let mut everywhere: Vec<&Pattern> = Vec::new();
    for pattern in lists.iter().flat_map(|list| list.iter()) {
        let known = everywhere.iter().any(|known| takes_in(known, pattern));
        if !known && lists.iter().all(|list| list.iter().any(|other| takes_in(other, pattern))) {
            everywhere.push(pattern);
        }
    }
    everywhere
}

/// The list for all accounts, and those of single ones.
fn lists(policy: &Policy) -> Vec<&Patterns> {
    let own = policy.accounts.values().filter_map(|account| account.approved.as_ref());
    [&policy.approved].into_iter().chain(own).collect()
}

/// Whether the policy tells of a call by its name: whatever CloudTrail says of it, or where its
/// parameters are such.
fn is_told(policy: &Policy, access: &CallAccess) -> bool {
    match access {
        CallAccess::Always(access) | CallAccess::When(access, _) => match access {
            Access::ReadOnly => false,
            Access::SensitiveRead => policy.alert_on_sensitive_reads,
            Access::Mutating => true,
        },
        CallAccess::ByField => false,
    }
}

/// Whether every region that `inner` matches is one that `outer` does; for certain, that is. A `*`
/// takes in any text, that of another pattern too.
fn takes_in(outer: &Pattern, inner: &Pattern) -> bool {
    outer.as_str().eq_ignore_ascii_case(inner.as_str())
        || (!(outer.as_str().contains('?') && inner.is_glob()) && outer.matches(inner.as_str()))
}

/// `a, b and c`.
fn listed<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let words: Vec<S> = words.into_iter().collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.as_ref().to_owned(),
        Some((last, others)) => {
            let others: Vec<&str> = others.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", others.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everywhere(toml: &str) -> Vec<String> {
        let policy = Policy::with_user_file("p", toml).unwrap();
        approved_everywhere(&policy).iter().map(|pattern| pattern.as_str().to_owned()).collect()
    }

    #[test]
    fn what_is_approved_everywhere_is_in_every_list() {
        assert_eq!(everywhere("approved_regions = [\"us-*\", \"us-east-1\"]"), ["us-*"]);
        let own = |list: &str| {
            everywhere(&format!(
                "approved_regions = [\"us-*\", \"eu-west-1\"]\n\
                 [accounts.\"111122223333\"]\napproved_regions = {list}"
            ))
        };
        assert_eq!(own("[\"us-east-1\", \"ap-*\"]"), ["us-east-1"]);
        assert_eq!(own("[\"eu-*\", \"US-*\"]"), ["us-*", "eu-west-1"]);
        assert_eq!(own("[\"us-????-1\"]"), ["us-????-1"]);
        assert_eq!(own("[\"ap-*\"]"), [""; 0]);
    }

    #[test]
    fn a_question_mark_takes_in_no_star() {
        let takes = |outer: &str, inner: &str| takes_in(&Pattern::new(outer), &Pattern::new(inner));
        assert!(takes("eu-*", "eu-west-*") && takes("eu-west-?", "eu-west-1"));
        assert!(!takes("eu-west-?", "eu-west-*") && !takes("eu-west-*", "eu-*"));
    }
}
