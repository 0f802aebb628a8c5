//! Why an incident is an alert, what to do about it, and how to silence it.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::policy::{PolicyFile, Reason};
use crate::record::principal::SHARED_ROLES;
use crate::record::{Outcome, region};

use super::Incident;
use super::incident::id_of;

/// Why this is an alert: a sentence for each kind of reason.
pub fn why(incident: &Incident) -> String {
    let watches: Vec<&str> = incident.watches().collect();
    let mut why = Vec::new();
    if !watches.is_empty() {
        why.push(format!(
            "The policy watches some of these calls in every region (rule {}).",
            watches.join(", ")
        ));
    }
    if incident.is_about_its_region() {
        let mutating = incident.reasons.contains_key(&Reason::MutatingCall);
        let does = match (mutating, incident.reasons.len()) {
            (true, 1) => "these calls are not known to be read-only",
            (true, _) => "not all of these calls are known to be read-only",
            (false, _) => "these reads hand out secrets or credentials",
        };
        let (place, account) = (place(incident), for_account(incident));
        why.push(format!("{place} is not approved{account}, and {does}."));
    }
    why.join(" ")
}

fn place(incident: &Incident) -> &str {
    match incident.region.as_str() {
        region::UNKNOWN => "A region that the record does not tell",
        code => code,
    }
}

fn for_account(incident: &Incident) -> String {
    match incident.account.as_str() {
        "" => String::new(),
        account => format!(" for account {account}"),
    }
}

/// What to do, in order.
pub fn next_steps(incident: &Incident) -> Vec<String> {
    let who = &incident.who;
    let first = match incident.outcome {
        Outcome::Success => "",
        Outcome::Denied => "It was denied, so nothing was changed. ",
        Outcome::DryRun => "It was a dry run, so nothing was changed. ",
        Outcome::Throttled | Outcome::Failed => "It did not succeed. ",
    };
    let mut steps = vec![
        format!("{first}Ask whoever is behind {} whether this was meant.", who.name),
        contain(incident),
    ];
    if incident.outcome == Outcome::Success {
        steps.push("Look at what was touched, and remove what should not be there.".to_owned());
    }
    let approve = match incident.is_about_its_region() {
        true => "If all is well, approve the region",
        false => "If all is well, leave it at that",
    };
    steps.push(format!("{approve}, or exempt it in the policy."));
    steps
}

fn contain(incident: &Incident) -> String {
    let who = &incident.who;
    let shared = who.kind == "IdentityCenterUser"
        || who.arn.as_deref().is_some_and(|arn| arn.contains(SHARED_ROLES));
    let what = match who.kind.as_str() {
        "Root" => {
            "change the root password, delete root access keys, and sign out all root sessions"
        }
        "IAMUser" => {
            let keys = match who.access_keys.words.as_slice() {
                [key] => format!("access key {key}"),
                _ => "all access keys".to_owned(),
            };
            return format!(
                "If it was not: deactivate {keys} of IAM user {} and change its password.",
                who.name
            );
        }
        "AssumedRole" | "IdentityCenterUser" if shared => {
            "disable the user in IAM Identity Center, and end their sessions there"
        }
        "AssumedRole" => {
            "revoke the active sessions of the role (IAM console, Revoke sessions) and find out \
             who could assume it"
        }
        "AWSAccount" => "find the resource policy that lets this account in, and close it",
        _ => "take away the permissions that made this possible",
    };
    format!("If it was not: {what}.")
}

/// How long a proposed exemption lasts: long enough to be of use, short enough to be looked at
/// again.
const PROPOSED_DAYS: i64 = 90;

/// The `[[exempt]]` rule that would silence this very incident; empty where no pattern can name
/// the principal, for the rule would then silence everybody, and where something in the record has
/// a shape that no policy takes.
pub fn exempt(incident: &Incident, now: Timestamp) -> String {
    let Some(principal) = &incident.who.pattern else { return String::new() };
    // What the same principal does next is another rule.
    let mut distinct = vec![incident.id.as_str()];
    distinct.extend(incident.calls.words.keys().map(String::as_str));
    let distinct: String = id_of(&distinct).chars().take(6).collect();
    let (who, region) = (slug(&incident.who.name), slug(&incident.region));
    let id = format!("{who}-in-{region}-{distinct}");
    let mut rule = vec![
        "[[exempt]]".to_owned(),
        format!("id = {}", quoted(&id)),
        "reason = \"say here why this is all right\"".to_owned(),
    ];
    if !incident.account.is_empty() {
        rule.push(format!("accounts = {}", patterns([incident.account.as_str()])));
    }
    rule.push(format!("regions = {}", patterns([incident.region.as_str()])));
    rule.push(format!("principals = {}", patterns([principal.as_str()])));
    rule.push(format!("outcomes = {}", patterns([incident.outcome.as_str()])));
    rule.push(calls(incident));
    if incident.watches().next().is_some() {
        rule.push(format!("watches = {}", list(incident.watches().map(quoted))));
    }
    if let Ok(until) = now.checked_add(SignedDuration::from_hours(24 * PROPOSED_DAYS)) {
        rule.push(format!("until = {}", TimeZone::UTC.to_datetime(until).date()));
    }
    let rule = rule.join("\n");
    PolicyFile::parse("", &rule).map_or_else(|_| String::new(), |_| rule)
}

/// Each call, or each service where there are too many for a person to read.
fn calls(incident: &Incident) -> String {
    let calls = incident.calls.words.keys();
    if calls.len() <= MOST_CALLS {
        return format!("calls = {}", patterns(calls.map(String::as_str)));
    }
    let services: BTreeSet<&str> = calls.filter_map(|call| call.split(':').next()).collect();
    format!("services = {}", patterns(services))
}

/// Calls that a proposed rule names one by one.
const MOST_CALLS: usize = 100;

fn patterns<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    list(words.into_iter().map(|word| quoted(&literal(word))))
}

fn list(words: impl Iterator<Item = String>) -> String {
    format!("[{}]", words.collect::<Vec<_>>().join(", "))
}

/// A pattern that matches `word`. Patterns know no escape, so a wildcard in the word is met by the
/// wildcard for exactly one character.
fn literal(word: &str) -> String {
    word.replace('*', "?")
}

/// A TOML basic string; JSON's escapes are all among TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}
