//! Why an incident is an alert, what to do about it, and how to silence it.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::policy::Reason;
use crate::record::Outcome;

use super::Incident;

/// Why this is an alert, in one sentence.
pub fn why(incident: &Incident) -> String {
    let region = &incident.region;
    match &incident.reason {
        Reason::Watched(id) => {
            format!("The policy watches these calls in every region (rule {id}).")
        }
        Reason::SensitiveRead => format!(
            "{region} is not approved for account {}, and these reads hand out secrets or \
             credentials.",
            incident.account
        ),
        _ => format!(
            "{region} is not approved for account {}, and these calls are not known to be \
             read-only.",
            incident.account
        ),
    }
}

/// What to do, in order.
pub fn next_steps(incident: &Incident) -> Vec<String> {
    let who = &incident.who;
    let mut steps = vec![match incident.outcome {
        Outcome::Success => format!("Ask whoever is behind {} whether this was meant.", who.name),
        Outcome::Denied => {
            format!("Nothing was changed: it was denied. Find out why {} tried.", who.name)
        }
        Outcome::DryRun => {
            format!("Nothing was changed: {} only asked whether it could.", who.name)
        }
        _ => format!("It did not succeed, but find out why {} tried.", who.name),
    }];
    steps.push(contain(incident));
    if incident.outcome == Outcome::Success {
        steps.push("Look at what was touched, and remove what should not be there.".to_owned());
    }
    steps
        .push("If all is well, approve the region or add the rule below to the policy.".to_owned());
    steps
}

fn contain(incident: &Incident) -> String {
    let who = &incident.who;
    match who.kind.as_str() {
        "Root" => {
            "If it was not: change the root password, delete root access keys, and sign out all \
                   root sessions."
                .to_owned()
        }
        "IAMUser" => format!(
            "If it was not: deactivate {} of IAM user {} and change its password.",
            match who.access_keys.words.first() {
                Some(key) if who.access_keys.words.len() == 1 => format!("access key {key}"),
                _ => "all access keys".to_owned(),
            },
            who.name
        ),
        "AssumedRole" => {
            "If it was not: revoke the active sessions of the role (IAM console, Revoke \
                          sessions) and find out who could assume it."
                .to_owned()
        }
        "AWSAccount" => {
            "If it was not: find the resource policy that lets this account in, and close \
                         it."
            .to_owned()
        }
        _ => "If it was not: take away the permissions that made this possible.".to_owned(),
    }
}

/// How long a proposed exemption lasts: long enough to be of use, short enough to be looked at
/// again.
const PROPOSED_DAYS: i64 = 90;

/// The `[[exempt]]` rule that would silence this very incident.
pub fn exempt(incident: &Incident, now: Timestamp) -> String {
    let id = format!("{}-in-{}", slug(&incident.who.name), slug(&incident.region));
    let mut rule = vec![
        "[[exempt]]".to_owned(),
        format!("id = {}", quoted(&id)),
        "reason = \"say here why this is all right\"".to_owned(),
    ];
    if !incident.account.is_empty() {
        rule.push(format!("accounts = {}", patterns([incident.account.as_str()])));
    }
    rule.push(format!("regions = {}", patterns([incident.region.as_str()])));
    if let Some(pattern) = &incident.who.pattern {
        rule.push(format!("principals = {}", patterns([pattern.as_str()])));
    }
    rule.push(calls(incident));
    if incident.watches().next().is_some() {
        rule.push(format!("watches = {}", list(incident.watches().map(quoted))));
    }
    if let Ok(until) = now.checked_add(SignedDuration::from_hours(24 * PROPOSED_DAYS)) {
        rule.push(format!("until = {}", TimeZone::UTC.to_datetime(until).date()));
    }
    rule.join("\n")
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
