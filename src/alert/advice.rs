//! Why an incident is an alert, what to do about it, and how to silence it.

use std::fmt::Write as _;

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
    steps.push("If all is well, approve the region or add the rule below to the policy.".to_owned());
    steps
}

fn contain(incident: &Incident) -> String {
    let who = &incident.who;
    match who.kind.as_str() {
        "Root" => "If not: change the root password, delete root access keys, and sign out all \
                   root sessions."
            .to_owned(),
        "IAMUser" => format!(
            "If not: deactivate {} of IAM user {} and change its password.",
            match who.access_keys.words.first() {
                Some(key) if who.access_keys.words.len() == 1 => format!("access key {key}"),
                _ => "all access keys".to_owned(),
            },
            who.name
        ),
        "AssumedRole" => "If not: revoke the active sessions of the role (IAM console, Revoke \
                          sessions) and find out who could assume it."
            .to_owned(),
        "AWSAccount" => "If not: find the resource policy that lets this account in, and close \
                         it."
        .to_owned(),
        _ => "If not: take away the permissions that made this possible.".to_owned(),
    }
}

/// How long a proposed exemption lasts: long enough to be of use, short enough to be looked at
/// again.
const PROPOSED_DAYS: i64 = 90;

/// The `[[exempt]]` rule that would silence this very incident.
pub fn exempt(incident: &Incident, now: Timestamp) -> String {
    let mut rule = String::from("[[exempt]]\n");
    let mut line = |key: &str, value: &str| {
        // Writing to a String cannot fail.
        let _: Result<(), std::fmt::Error> = writeln!(rule, "{key} = {value}");
    };
    line("id", &quoted(&format!("{}-in-{}", slug(&incident.who.name), slug(&incident.region))));
    line("reason", &quoted("say here why this is all right"));
    line("accounts", &list([incident.account.as_str()]));
    line("regions", &list([incident.region.as_str()]));
    if let Some(pattern) = &incident.who.pattern {
        line("principals", &list([pattern.as_str()]));
    }
    line("calls", &list(incident.calls.words.keys().map(String::as_str)));
    let watches: Vec<&str> = incident.watches().collect();
    if !watches.is_empty() {
        line("watches", &format!("[{}]", watches.map_join(quoted)));
    }
    if let Ok(until) = now.checked_add(SignedDuration::from_hours(24 * PROPOSED_DAYS)) {
        line("until", &TimeZone::UTC.to_datetime(until).date().to_string());
    }
    rule
}

trait MapJoin {
    fn map_join(self, each: fn(&str) -> String) -> String;
}

impl<'a, I: IntoIterator<Item = &'a str>> MapJoin for I {
    fn map_join(self, each: fn(&str) -> String) -> String {
        self.into_iter().map(each).collect::<Vec<_>>().join(", ")
    }
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    format!("[{}]", words.map_join(|word| quoted(&literal(word))))
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
