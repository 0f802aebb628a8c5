//! Incidents on a time line, and the messages as they would have been sent.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::alert::Message as Mail;
use crate::policy::Severity;

use super::super::messages::{About, Message};
use super::super::report::Report;
use super::{counted, minute, number};

/// Incidents that have a line.
const MOST_LINES: usize = 25;

/// Marks on the line of an incident: messages that would stand closer share one.
const MOST_TICKS: i128 = 200;

/// Messages that are shown in full, and as a line; the rest is counted by who, where and how grave.
const MOST_IN_FULL: usize = 200;
const MOST_IN_SHORT: usize = 500;
const MOST_GROUPS: usize = 50;

/// How wide a time line is; it is stretched to what there is room for.
const WIDTH: i128 = 1000;

/// All that is known of an incident over the whole time.
struct Incident {
    subject: usize,
    severity: Severity,
    count: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// How many messages told of it.
    told: u64,
    /// Where on the line they stand: when, and how grave it was.
    ticks: BTreeMap<i128, (Timestamp, Severity)>,
}

/// Incidents over time, the gravest first.
pub fn timeline(report: &Report<'_>) -> Markup {
    let (Some(first), Some(last)) = (report.all.first, report.all.last) else { return html! {} };
    let incidents = incidents(report, first, last);
    if incidents.is_empty() {
        return html! {};
    }
    let more = incidents.len().saturating_sub(MOST_LINES);
    html! {
        section {
            h2 { "When" }
            p.dim { "The gravest incidents: from the first call to the last, with marks where messages were sent." }
            div.axis { span { (minute(first)) } span { (minute(last)) } }
            @for incident in incidents.iter().take(MOST_LINES) { (line(report, incident, first, last)) }
            @if more > 0 { p.note { (counted(more as u64, "more incident", "more incidents")) ", less grave or smaller." } }
        }
    }
}

fn incidents(report: &Report<'_>, first: Timestamp, last: Timestamp) -> Vec<Incident> {
    let seen = &report.messages.seen;
    let mut incidents: BTreeMap<usize, Incident> = BTreeMap::new();
    for (delivery, subject, sighting) in &seen.sightings {
        let incident = incidents.entry(*subject).or_insert(Incident {
            subject: *subject,
            severity: sighting.severity,
            count: 0,
            first: None,
            last: None,
            told: 0,
            ticks: BTreeMap::new(),
        });
        incident.severity = incident.severity.max(sighting.severity);
        incident.count += sighting.count;
        incident.first = incident.first.or(sighting.first);
        incident.last = incident.last.max(delivery.time());
    }
    for message in &report.messages.list {
        let told = match &message.about {
            About::Incident(told) => std::slice::from_ref(told),
            About::Digest(told) => told.as_slice(),
            About::Rejects => &[],
        };
        for told in told {
            let subject = seen.sightings.get(told.sighting).map(|(_, subject, _)| subject);
            let incident = subject.and_then(|subject| incidents.get_mut(subject));
            let Some(incident) = incident else { continue };
            incident.told += 1;
            if let Some(at) = message.at {
                let tick = (place(at, first, last) * MOST_TICKS) / WIDTH;
                let (_, severity) = incident.ticks.entry(tick).or_insert((at, message.severity));
                *severity = message.severity.max(*severity);
            }
        }
    }
    let mut incidents: Vec<Incident> = incidents.into_values().collect();
    incidents.sort_by_key(|one| (Reverse((one.severity, one.count)), one.first));
    incidents
}

fn line(report: &Report<'_>, incident: &Incident, first: Timestamp, last: Timestamp) -> Markup {
    let Some(subject) = report.messages.seen.subject(incident.subject) else { return html! {} };
    let x = |time: Option<Timestamp>| time.map_or(0, |time| place(time, first, last));
    let calls = if incident.count == 1 { "call" } else { "calls" };
    html! {
        div class=(format!("line {}", incident.severity)) {
            div {
                span {
                    span.sev { (incident.severity) }
                    (subject.who) " in " (subject.region) " "
                    span.dim { (subject.account) " · " (subject.outcome.as_str()) }
                }
                span { (number(incident.count)) " " (calls) ", " (number(incident.told)) " told" }
            }
            svg.strip viewBox=(format!("0 0 {WIDTH} 20")) preserveAspectRatio="none" role="img"
                aria-label="messages over time" {
                line.base x1="0" y1="10" x2=(WIDTH) y2="10" {}
                line.span x1=(x(incident.first)) y1="10" x2=(x(incident.last)) y2="10" {}
                @for (at, severity) in incident.ticks.values() {
                    line class=(format!("tick {severity}")) x1=(x(Some(*at))) y1="4" x2=(x(Some(*at))) y2="16" {
                        title { (minute(*at)) }
                    }
                }
            }
        }
    }
}

/// Where a time stands on a line.
fn place(time: Timestamp, first: Timestamp, last: Timestamp) -> i128 {
    let all = (last.as_nanosecond() - first.as_nanosecond()).max(1);
    ((time.as_nanosecond() - first.as_nanosecond()) * WIDTH / all).clamp(4, WIDTH - 4)
}

/// The messages: the gravest in full, others in a line, the rest in numbers.
pub fn section(report: &Report<'_>) -> Markup {
    let mut messages: Vec<&Message> = report.messages.list.iter().collect();
    messages.sort_by_key(|message| Reverse(message.severity));
    let in_full = messages.get(..MOST_IN_FULL.min(messages.len())).unwrap_or_default();
    let rest = messages.get(in_full.len()..).unwrap_or_default();
    let in_short = rest.get(..MOST_IN_SHORT.min(rest.len())).unwrap_or_default();
    let rest = rest.get(in_short.len()..).unwrap_or_default();
    html! {
        section {
            h2 { "Messages" }
            @if messages.is_empty() { p.nothing { "Nothing would have been sent." } }
            @else { p.dim { (heading(report)) } }
            @for message in in_full { (full(report, message)) }
            @if !in_short.is_empty() { (short(report, in_short)) }
            @if !rest.is_empty() { (groups(report, rest)) }
        }
    }
}

fn heading(report: &Report<'_>) -> String {
    let by_severity = report.messages.by_severity();
    let by_severity: Vec<String> = by_severity
        .into_iter()
        .map(|(severity, count)| format!("{} {severity}", number(count as u64)))
        .collect();
    let list = report.messages.list.len();
    let shown = if list > MOST_IN_FULL { "; the gravest are shown in full" } else { "" };
    format!("As they would have been sent, the gravest first: {}{shown}.", by_severity.join(", "))
}

fn full(report: &Report<'_>, message: &Message) -> Markup {
    let line = report.messages.line(message);
    let mail = report.messages.alert(message, report.policy).map(|alert| {
        let mail = Mail::new(alert);
        (format!("Subject: {}", mail.subject), mail.mail())
    });
    let again = line.again.first().map(|cause| format!(" (again: {cause})"));
    html! {
        details {
            summary {
                span class=(format!("sev {}", line.severity)) { (line.severity) }
                span.when { (when(line.at)) }
                span { (line.title) span.dim { (again.unwrap_or_default()) } }
            }
            @match mail {
                Some((subject, text)) => pre { (subject) "\n\n" (text) },
                None => p.note { "Not all of it was kept: scan a shorter time to see it." },
            }
        }
    }
}

fn when(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "no time".to_owned(), minute)
}

fn short(report: &Report<'_>, messages: &[&Message]) -> Markup {
    html! {
        details {
            summary {
                span.sev.low { "more" } span.when { (counted(messages.len() as u64, "message", "messages")) }
                span { "The next in short" }
            }
            div.wide { table { tbody { @for message in messages {
                @let line = report.messages.line(message);
                tr {
                    td { span class=(format!("sev {}", line.severity)) { (line.severity) } }
                    td.when { (when(line.at)) }
                    td { (line.title) }
                }
            } } } }
        }
    }
}

/// Messages that are only counted.
fn groups(report: &Report<'_>, messages: &[&Message]) -> Markup {
    let seen = &report.messages.seen;
    let mut counts: BTreeMap<(Reverse<Severity>, &str, &str), u64> = BTreeMap::new();
    for message in messages {
        let told = match &message.about {
            About::Incident(told) => Some(told),
            About::Digest(told) => told.first(),
            About::Rejects => None,
        };
        let sighting = told.and_then(|told| seen.sightings.get(told.sighting));
        let subject = sighting.and_then(|(_, subject, _)| seen.subject(*subject));
        let (region, who) = subject.map_or(("", ""), |subject| (&subject.region, &subject.who));
        *counts.entry((Reverse(message.severity), region, who)).or_default() += 1;
    }
    let mut groups: Vec<_> = counts.into_iter().collect();
    groups.sort_by_key(|((severity, ..), count)| (*severity, Reverse(*count)));
    let more = groups.len().saturating_sub(MOST_GROUPS);
    html! {
        details {
            summary {
                span.sev.low { "rest" } span.when { (counted(messages.len() as u64, "message", "messages")) }
                span { "The rest in numbers: " code { "regionwatch scan --format json" } " has each of them" }
            }
            div.wide { table { tbody { @for ((severity, region, who), count) in groups.iter().take(MOST_GROUPS) {
                tr {
                    td { span class=(format!("sev {}", severity.0)) { (severity.0) } }
                    td.n { (number(*count)) }
                    td { @if region.is_empty() { "unreadable entries" } @else { (who) " in " (region) } }
                }
            } } } }
            @if more > 0 { p.note { "and " (number(more as u64)) " more, by principal and region" } }
        }
    }
}
