//! An alert in words: the title, the mail, the SMS.

use std::fmt::{self, Write};

use jiff::Timestamp;

use crate::policy::Version;
use crate::record::{Outcome, region};

use super::text::{self, gsm, shorten};
use super::{Alert, Body, Counted, DigestBody, FollowUp, Incident, IncidentBody, UnreadableBody};

/// The longest SMS that is sent as one (3GPP TS 23.038: 160 characters of seven bits).
pub const LONGEST_SMS: usize = 160;

/// `root called ec2:RunInstances in eu-north-1`: of several calls, the gravest.
pub fn incident_title(incident: &Incident) -> String {
    let calls = incident.calls_by_gravity();
    let call = calls.first().map_or("a call", |(call, _)| *call);
    let others = calls.len().saturating_sub(1) + usize::from(incident.calls.others > 0);
    title(&incident.who.name, incident.outcome, call, others, &incident.region)
}

/// The title of what somebody did: one call, and how many others there were.
pub fn title(who: &str, outcome: Outcome, call: &str, others: usize, region: &str) -> String {
    let and_others = if others > 0 { format!(" and {others} more") } else { String::new() };
    let verb = match outcome {
        Outcome::Success => "called",
        Outcome::Denied => "was denied",
        Outcome::Throttled => "was throttled calling",
        Outcome::Failed => "failed to call",
        Outcome::DryRun => "rehearsed",
    };
    format!("{who} {verb} {call}{and_others} in {region}")
}

/// The end of an alert's title, which stays where there is no room for all of it: why an incident
/// comes again, what else is in a digest. Empty, or it begins with what parts it from the rest.
pub fn title_end(alert: &Alert) -> String {
    match &alert.body {
        Body::Incident(body) => again(body.follow_up.as_ref()),
        Body::Unreadable(body) => again(body.follow_up.as_ref()),
        Body::Digest(body) => and_others(body),
    }
}

/// ` (again: 100 calls reached)`.
pub fn again(follow_up: Option<&FollowUp>) -> String {
    let Some(cause) = follow_up.and_then(|follow_up| follow_up.causes.first()) else {
        return String::new();
    };
    format!(" (again: {})", shorten(cause, "", LONGEST_CAUSE, "..."))
}

/// Characters of a cause in a title.
const LONGEST_CAUSE: usize = 40;

/// `, and 28 more incidents in 3 regions, account 111122223333`.
fn and_others(body: &DigestBody) -> String {
    let others = match body.incidents.saturating_sub(1) {
        0 => return String::new(),
        1 => "one more incident".to_owned(),
        others => format!("{others} more incidents"),
    };
    let regions = match body.covers.regions.as_slice() {
        [] => String::new(),
        [one] => format!(", all in {}", shorten(one, "", LONGEST_PLACE, "...")),
        several => format!(" in {} regions", several.len()),
    };
    let accounts = match body.covers.accounts.as_slice() {
        [] => String::new(),
        [one] => format!(", account {}", shorten(one, "", LONGEST_PLACE, "...")),
        several => format!(", {} accounts", several.len()),
    };
    format!(", and {others}{regions}{accounts}")
}

/// Characters of a region or an account in a title's end; codes and numbers are shorter.
const LONGEST_PLACE: usize = 30;

/// The title without its end.
fn title_front(alert: &Alert) -> &str {
    alert.title.strip_suffix(&title_end(alert)).unwrap_or(&alert.title)
}

/// The whole alert as plain text for a person: who did what where and whether it worked in the
/// first two lines, what to do at the end.
pub fn mail(alert: &Alert) -> String {
    let mut text = String::new();
    let written = match &alert.body {
        Body::Incident(body) => incident(&mut text, alert, body),
        Body::Digest(body) => digest(&mut text, alert, body),
        Body::Unreadable(body) => unreadable(&mut text, alert, body),
    };
    match written.and_then(|()| last_lines(&mut text, alert)) {
        Ok(()) => text,
        // Writing to a String does not fail; the title would still say what happened.
        Err(fmt::Error) => alert.title.clone(),
    }
}

/// The alert as one SMS.
pub fn sms(alert: &Alert) -> String {
    let account = match (&alert.body, alert.account.as_str()) {
        // Its title tells the account.
        (Body::Digest(_), _) | (_, "") => String::new(),
        (_, account) => format!(", account {account}"),
    };
    let when = match &alert.body {
        Body::Incident(body) => body.first_time.map(|time| format!(", {}", minute(time))),
        _ => None,
    };
    let end = format!("{}{account}{}", title_end(alert), when.unwrap_or_default());
    let severity = alert.severity.as_str().to_uppercase();
    gsm(&format!("regionwatch {severity}: {}", title_front(alert)), &end, LONGEST_SMS)
}

/// The alert as a subject.
pub fn subject(alert: &Alert) -> String {
    let front = format!("[{}] {}", alert.severity, title_front(alert));
    text::subject(&front, &title_end(alert), LONGEST_SUBJECT)
}

/// Characters of a subject; SNS takes fewer than 100.
const LONGEST_SUBJECT: usize = 99;

fn incident(out: &mut String, alert: &Alert, body: &IncidentBody) -> fmt::Result {
    let who = &body.principal;
    let place = region_in_words(&alert.region);
    writeln!(out, "{} {} in {place}, account {}.", who.name, did(body), account(alert, body))?;
    writeln!(out, "{} Severity: {}.", outcome_in_words(body), alert.severity)?;
    if let Some(follow_up) = &body.follow_up {
        writeln!(out, "{}", follow_up_in_words(follow_up))?;
    }
    writeln!(out, "\nWHY\n  {}", body.why)?;
    writeln!(out, "\nWHAT")?;
    counted_lines(out, &body.calls)?;
    if body.other_calls > 0 {
        writeln!(out, "  {} x calls of other names", body.other_calls)?;
    }
    when(out, body)?;
    if !body.error_codes.is_empty() {
        writeln!(out, "\nERRORS")?;
        counted_lines(out, &body.error_codes)?;
    }
    lines(out, "ON", &body.resources, incomplete(body, "resources"))?;
    principal(out, body)?;
    lines(out, "FROM", &body.source_ips, incomplete(body, "source_ips"))?;
    lines(out, "WITH", &body.user_agents, incomplete(body, "user_agents"))?;
    let events = body.events.iter().map(|event| event.console_url.as_ref().unwrap_or(&event.id));
    lines(out, "LOOK IT UP", events, incomplete(body, "events"))?;
    writeln!(out, "\nWHAT TO DO")?;
    for (number, step) in (1..).zip(&body.next_steps) {
        writeln!(out, "  {number}. {step}")?;
    }
    writeln!(out)?;
    for line in body.exempt.lines() {
        writeln!(out, "     {line}")?;
    }
    writeln!(out, "\nReason: {}. Incident {}.", alert.reason, alert.id)?;
    if !body.log_group.is_empty() {
        writeln!(out, "Read in log group {}.", body.log_group)?;
    }
    if let Some(mitre) = body.mitre {
        writeln!(out, "MITRE ATT&CK {}, {}: {}", mitre.technique, mitre.name, mitre.url)?;
    }
    Ok(())
}

/// `called ec2:RunInstances 2 times and 3 other calls`: the gravest call by its name.
fn did(body: &IncidentBody) -> String {
    let verb = match body.outcome {
        Outcome::Success => "called",
        Outcome::DryRun => "rehearsed",
        Outcome::Denied | Outcome::Throttled | Outcome::Failed => "tried to call",
    };
    let Some(first) = body.calls.first() else { return format!("{verb} something") };
    let others = body.count.saturating_sub(first.count);
    let times = match first.count {
        1 => String::new(),
        count => format!(" {count} times"),
    };
    match others {
        0 => format!("{verb} {}{times}", first.name),
        1 => format!("{verb} {}{times} and one other call", first.name),
        _ => format!("{verb} {}{times} and {others} other calls", first.name),
    }
}

fn outcome_in_words(body: &IncidentBody) -> String {
    let subject = if body.count == 1 { "The call" } else { "The calls" };
    let became = match body.outcome {
        Outcome::Success => "succeeded",
        Outcome::Denied => "failed: denied",
        Outcome::Throttled => "failed: throttled",
        Outcome::Failed => "failed",
        Outcome::DryRun => "changed nothing: it was a dry run",
    };
    format!("{subject} {became}.")
}

fn account(alert: &Alert, body: &IncidentBody) -> String {
    match &body.account_name {
        Some(name) => format!("{} ({name})", alert.account),
        None if alert.account.is_empty() => "unknown".to_owned(),
        None => alert.account.clone(),
    }
}

fn region_in_words(code: &str) -> String {
    match region::name(code) {
        Some(name) => format!("{code}, {name}"),
        None if code == region::UNKNOWN => "a region that the record does not tell".to_owned(),
        None => code.to_owned(),
    }
}

fn follow_up_in_words(follow_up: &FollowUp) -> String {
    let mut text = format!("Seen before; told now for: {}", follow_up.causes.join(", "));
    match follow_up.held {
        0 => text.push('.'),
        held => {
            let which = held_calls(&follow_up.held_calls);
            let calls = if held == 1 { "call in between was" } else { "calls in between were" };
            text.push_str(&format!("; {held} {calls} counted and not told{which}."));
        }
    }
    let calls = if follow_up.total == 1 { "call" } else { "calls" };
    text.push_str(&format!(" {} {calls} so far.", follow_up.total));
    text
}

/// `: 80 x ec2:CreateTags, 9 x ec2:RunInstances`.
fn held_calls(calls: &[Counted]) -> String {
    let shown = calls.iter().take(MOST_HELD_CALLS);
    let shown: Vec<String> = shown.map(|call| format!("{} x {}", call.count, call.name)).collect();
    match (shown.is_empty(), calls.len().saturating_sub(MOST_HELD_CALLS)) {
        (true, _) => String::new(),
        (false, 0) => format!(": {}", shown.join(", ")),
        (false, more) => format!(": {} and {more} other names", shown.join(", ")),
    }
}

/// Names of held calls in a text; the JSON alert has more of them.
const MOST_HELD_CALLS: usize = 20;

fn when(out: &mut String, body: &IncidentBody) -> fmt::Result {
    match (body.first_time, body.last_time) {
        (Some(first), Some(last)) if first == last => writeln!(out, "  at {}", second(first)),
        (Some(first), Some(last)) => {
            writeln!(out, "  from {} to {}", second(first), second(last))
        }
        _ => writeln!(out, "  at a time that the records do not tell"),
    }
}

fn principal(out: &mut String, body: &IncidentBody) -> fmt::Result {
    let who = &body.principal;
    writeln!(out, "\nWHO")?;
    writeln!(out, "  {} ({})", who.name, who.kind)?;
    if let Some(arn) = &who.arn {
        writeln!(out, "  {arn}")?;
    }
    if !who.sessions.is_empty() {
        let more = if incomplete(body, "sessions") { ", and more" } else { "" };
        writeln!(out, "  sessions: {}{more}", who.sessions.join(", "))?;
    }
    if !who.access_key_ids.is_empty() {
        let more = if incomplete(body, "access_key_ids") { ", and more" } else { "" };
        writeln!(out, "  access keys: {}{more}", who.access_key_ids.join(", "))?;
    }
    let mfa = match who.mfa {
        Some(true) => "with MFA",
        Some(false) => "without MFA",
        None => "MFA not recorded",
    };
    writeln!(out, "  {mfa}, {}", if who.console { "in the console" } else { "not in the console" })
}

fn digest(out: &mut String, alert: &Alert, body: &DigestBody) -> fmt::Result {
    writeln!(out, "{}.", alert.title)?;
    let busiest: Vec<String> = body
        .by_region
        .iter()
        .take(BUSIEST)
        .map(|at| format!("{} ({})", at.name.trim(), at.count))
        .collect();
    let more = if body.by_region.len() > BUSIEST { " and elsewhere" } else { "" };
    let (calls, severity) = (body.count, alert.severity);
    let calls = if calls == 1 { "One call".to_owned() } else { format!("{calls} calls in all") };
    writeln!(
        out,
        "{calls}, most incidents in {}{more}. Severity: {severity}.",
        busiest.join(", ")
    )?;
    writeln!(out, "They came beyond the number of messages that one invocation may send.")?;
    writeln!(out, "\nBY ACCOUNT AND REGION")?;
    counted_lines(out, &body.by_region)?;
    let incidents = body.list.iter().map(|line| format!("{}  {}", line.title, line.id));
    let more = (body.list.len() as u64) < body.incidents;
    lines(out, "INCIDENTS", incidents, more)?;
    writeln!(out)
}

/// Places that the opening of a digest names.
const BUSIEST: usize = 3;

/// `1 unreadable entry`.
pub fn unreadable_entries(count: u64) -> String {
    match count {
        1 => "1 unreadable entry".to_owned(),
        many => format!("{many} unreadable entries"),
    }
}

fn unreadable(out: &mut String, alert: &Alert, body: &UnreadableBody) -> fmt::Result {
    let place = format!("{}, account {}", read_in(&body.log_group), alert.account);
    let entries = if body.count == 1 { "entry" } else { "entries" };
    writeln!(out, "{} {entries} could not be read as CloudTrail records: {place}.", body.count)?;
    writeln!(out, "Nobody judged them. Severity: {}.", alert.severity)?;
    if let Some(follow_up) = &body.follow_up {
        writeln!(out, "{}", follow_up_in_words(follow_up))?;
    }
    writeln!(out, "\nWHY")?;
    counted_lines(out, &body.faults)?;
    let part = part_of(&body.log_group).to_lowercase();
    writeln!(out, "\nLOOK THEM UP\n  {part} {}", body.log_stream)?;
    for id in &body.entry_ids {
        writeln!(out, "  entry {id}")?;
    }
    writeln!(out, "\nWHAT TO DO")?;
    writeln!(out, "  1. Look at the entries: something other than CloudTrail may write there.")?;
    writeln!(out, "  2. If they are CloudTrail's, report them to the maintainers of regionwatch.")?;
    writeln!(out, "\nReason: unreadable. Incident {}.", alert.id)
}

/// `log group aws-cloudtrail-logs`, or `Kinesis stream regionwatch`.
pub fn read_in(place: &str) -> String {
    match stream(place) {
        Some(name) => format!("Kinesis stream {name}"),
        None => format!("log group {place}"),
    }
}

/// What a part of the place is called.
pub fn part_of(place: &str) -> &'static str {
    if stream(place).is_some() { "Shard" } else { "Log stream" }
}

/// The name of a stream, by its ARN; no log group has a colon in its name (CloudWatch Logs API,
/// `CreateLogGroup`).
fn stream(place: &str) -> Option<&str> {
    place.strip_prefix("arn:").map(|arn| arn.rsplit('/').next().unwrap_or(arn))
}

fn counted_lines(out: &mut String, words: &[Counted]) -> fmt::Result {
    words.iter().try_for_each(|word| writeln!(out, "  {} x {}", word.count, word.name))
}

fn lines<S: AsRef<str>>(
    out: &mut String,
    heading: &str,
    words: impl IntoIterator<Item = S>,
    more: bool,
) -> fmt::Result {
    let mut words = words.into_iter().peekable();
    if words.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "\n{heading}")?;
    for word in words {
        writeln!(out, "  {}", word.as_ref())?;
    }
    if more { writeln!(out, "  and more") } else { Ok(()) }
}

fn incomplete(body: &IncidentBody, list: &str) -> bool {
    body.incomplete.contains(&list)
}

/// What is the same for all alerts: it is the last that anybody reads.
fn last_lines(out: &mut String, alert: &Alert) -> fmt::Result {
    let policy = Version { digest: alert.policy.clone(), parameter: alert.policy_version };
    writeln!(out, "Judged by policy {policy}.")?;
    if alert.truncated { writeln!(out, "Parts were left out so that it fits.") } else { Ok(()) }
}

fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn minute(time: Timestamp) -> String {
    time.strftime("%m-%d %H:%M UTC").to_string()
}
