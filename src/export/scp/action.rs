//! What CloudTrail and a policy call a call, as IAM calls it.

use crate::export::takes_in;
use crate::policy::Pattern;
use crate::policy::rule::CallPattern;
use crate::record::access::without_date;

/// Services whose actions are not called as their `eventSource` is.
const PREFIXES: &[(&str, &str)] = &[
    ("billingconsole", "aws-portal"),
    ("cloudcontrolapi", "cloudformation"),
    ("monitoring", "cloudwatch"),
    ("tagging", "tag"),
];

/// `ec2:Run*`. A name may have wildcards and a service may not; `None` for what is no action.
pub(super) fn action(service: &str, name: &str) -> Option<String> {
    let service = service.to_ascii_lowercase();
    let known = PREFIXES.iter().find(|(source, _)| *source == service);
    let prefix = known.map_or(&*service, |(_, prefix)| prefix);
    let name = without_date(name).unwrap_or(name);
    let is_prefix = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"*?".contains(&b));
    (is_prefix && is_name && !prefix.is_empty() && !name.is_empty())
        .then(|| format!("{prefix}:{name}"))
}

/// The action of a call in a rule.
pub(super) fn of_call(call: &CallPattern) -> Option<String> {
    action(call.service.as_str(), call.name.as_str())
}

/// Whether one of these holds all of an action, for certain.
pub(super) fn hold<'a>(actions: impl IntoIterator<Item = &'a String>, action: &str) -> bool {
    let prefix = |action: &str| action.split_once(':').map(|(prefix, _)| prefix.to_owned());
    let (own, action) = (prefix(action), Pattern::new(action));
    let of_service = actions.into_iter().filter(|other| prefix(other) == own);
    of_service.into_iter().any(|other| takes_in(&Pattern::new(other), &action))
}
