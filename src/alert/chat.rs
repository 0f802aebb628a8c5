//! An alert for a chat channel: a custom notification of Amazon Q Developer in chat applications
//! (formerly AWS Chatbot), as its administrator guide has it under "Custom notifications".
//!
//! `client-markdown` is the Markdown of the chat's own client. Slack's knows no escape and Teams'
//! does, so nothing is escaped: text from a record stands in code spans, or has look-alikes for the
//! characters that either of them would interpret ([`text`](super::text)).

use serde::Serialize;

use super::incident::id_of;
use super::prose::{part_of, title_end};
use super::text::{clean, code, plain, shorten};
use super::{Alert, Body, Counted, DigestBody, IncidentBody, UnreadableBody};

/// Characters of a title. The guide names no limit; Slack's header has this one (Block Kit
/// reference, "Header block").
const LONGEST_TITLE: usize = 150;

/// Characters of a description: those of Slack's text ("Section block").
const LONGEST_DESCRIPTION: usize = 3000;

/// Characters of one line that is no list.
const LONGEST_LINE: usize = 700;

/// Words of a list that are shown; mails and the JSON alert have more of them.
const MOST_SHOWN: usize = 5;

/// The notification, as JSON, of an alert whose mail is `mail`.
pub fn notification(alert: &Alert, mail: &str) -> String {
    let notification = Notification {
        version: "1.0",
        source: "custom",
        // The same for a message that is sent again, another one when the incident is told again.
        id: id_of(&["notification", &alert.id, mail]),
        content: Content {
            text_type: "client-markdown",
            title: title(alert, &format!("{}: ", alert.severity.as_str().to_uppercase())),
            description: description(alert, mail),
            next_steps: next_steps(alert),
            keywords: keywords(alert),
        },
        metadata: Metadata {
            thread_id: &alert.id,
            summary: title(alert, ""),
            event_type: event_type(alert),
            additional_context: AdditionalContext::of(alert),
        },
    };
    // It is made of strings and lists, which always have a JSON form.
    serde_json::to_string(&notification).unwrap_or_default()
}

#[derive(Serialize)]
struct Notification<'a> {
    version: &'static str,
    source: &'static str,
    id: String,
    content: Content,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    text_type: &'static str,
    title: String,
    description: String,
    next_steps: Vec<String>,
    keywords: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    /// What is told of one incident stands in one thread.
    thread_id: &'a str,
    summary: String,
    event_type: &'static str,
    additional_context: AdditionalContext<'a>,
}

/// What custom actions of a channel may use; the guide allows any names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdditionalContext<'a> {
    severity: &'static str,
    reason: String,
    account: String,
    region: String,
    incident: &'a str,
}

impl<'a> AdditionalContext<'a> {
    fn of(alert: &'a Alert) -> Self {
        AdditionalContext {
            severity: alert.severity.as_str(),
            reason: line(&alert.reason),
            account: line(&alert.account),
            region: line(&alert.region),
            incident: &alert.id,
        }
    }
}

/// The title in the room there is, with its end.
fn title(alert: &Alert, front: &str) -> String {
    let end = plain(&title_end(alert));
    let title = plain(&format!("{front}{}", alert.title));
    shorten(title.strip_suffix(&end).unwrap_or(&title), &end, LONGEST_TITLE, "…")
}

fn event_type(alert: &Alert) -> &'static str {
    match alert.body {
        Body::Incident(_) => "regionwatch incident",
        Body::Digest(_) => "regionwatch digest",
        Body::Unreadable(_) => "regionwatch unreadable entries",
    }
}

fn next_steps(alert: &Alert) -> Vec<String> {
    match &alert.body {
        Body::Incident(body) => body.next_steps.iter().map(|step| line(step)).collect(),
        Body::Digest(_) | Body::Unreadable(_) => Vec::new(),
    }
}

fn keywords(alert: &Alert) -> Vec<String> {
    let words = [alert.severity.as_str(), &alert.reason, &alert.account, &alert.region];
    words.into_iter().filter(|word| !word.is_empty()).map(line).collect()
}

/// How the mail begins, and what else of the alert there is room for.
fn description(alert: &Alert, mail: &str) -> String {
    let opening = mail.lines().take_while(|line| !line.is_empty()).map(line);
    let mut blocks = vec![opening.collect::<Vec<_>>().join("\n")];
    match &alert.body {
        Body::Incident(body) => incident(&mut blocks, body),
        Body::Digest(body) => digest(&mut blocks, body),
        Body::Unreadable(body) => unreadable(&mut blocks, body),
    }
    fitting(blocks)
}

/// The blocks as far as they fit, each whole: half a code span would open one to the text behind.
fn fitting(blocks: Vec<String>) -> String {
    let mut text = String::new();
    let mut left = LONGEST_DESCRIPTION;
    for block in blocks.iter().filter(|block| !block.is_empty()) {
        let length = block.chars().count() + 2;
        if length <= left {
            left -= length;
            let gap = if text.is_empty() { "" } else { "\n\n" };
            text.push_str(gap);
            text.push_str(block);
        }
    }
    text
}

fn incident(blocks: &mut Vec<String>, body: &IncidentBody) {
    blocks.push(line(&body.why));
    blocks.push(counted("What", &body.calls));
    blocks.push(list("Who", body.principal.arn.iter().chain(&body.principal.sessions)));
    let links = body.events.iter().filter_map(|event| event.console_url.clone());
    blocks.push(lines("Look it up", links.collect()));
    blocks.push(list("From", &body.source_ips));
    blocks.push(list("On", &body.resources));
    blocks.push(counted("Errors", &body.error_codes));
    // A rule in which a character was replaced would silence something else.
    if !body.exempt.is_empty() && code(&body.exempt) == body.exempt {
        blocks.push(format!("The rule that would silence it:\n```\n{}\n```", body.exempt));
    }
}

fn digest(blocks: &mut Vec<String>, body: &DigestBody) {
    blocks.push(counted("By account and region", &body.by_region));
    blocks.push(list("Incidents", body.list.iter().map(|line| &line.title)));
}

fn unreadable(blocks: &mut Vec<String>, body: &UnreadableBody) {
    blocks.push(counted("Why", &body.faults));
    blocks.push(list(part_of(&body.log_group), [&body.log_stream]));
    blocks.push(list("Entries", &body.entry_ids));
}

fn counted(heading: &str, words: &[Counted]) -> String {
    let shown = |word: &Counted| format!("{} x {}", word.count, span(&word.name));
    lines(heading, words.iter().map(shown).collect())
}

fn list<'a>(heading: &str, words: impl IntoIterator<Item = &'a String>) -> String {
    let words = words.into_iter().filter(|word| !word.is_empty());
    lines(heading, words.map(|word| span(word)).collect())
}

/// A heading, and below it the first few of these.
fn lines(heading: &str, mut lines: Vec<String>) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let more = lines.len().saturating_sub(MOST_SHOWN);
    lines.truncate(MOST_SHOWN);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    format!("{heading}:\n{}", lines.join("\n"))
}

fn line(text: &str) -> String {
    clean(&plain(text), LONGEST_LINE)
}

fn span(text: &str) -> String {
    format!("`{}`", code(text))
}
