//! A record on its way to an alert, and what holds of every message.

use std::collections::BTreeMap;

use regionwatch::alert::message::LARGEST;
use regionwatch::alert::{Alert, Context, Formats, HttpsFormat, Incident, IncidentKey, Message};
use regionwatch::policy::{Reason, Severity, Version};
use regionwatch::record::Record;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::OWNER;

/// The incident of one record.
pub fn incident(record: &Record<'_>, reason: Reason, severity: Severity) -> Incident {
    Incident::new(IncidentKey::of(record, OWNER), record, reason, severity)
}

/// What an alert says besides its incident.
pub fn context<'a>(policy: &'a Version, place: &'a str) -> Context<'a> {
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let account_name = (!place.is_empty()).then_some(place);
    Context { now, policy, account_name, owner: place, log_group: place, log_stream: place }
}

/// What holds of the message for every alert: it fits what SNS takes, and nothing in it hides.
pub fn check(alert: Alert) {
    let message = Message::in_formats(alert, Formats { https: HttpsFormat::AmazonQ });
    assert!(message.size() <= LARGEST, "{} bytes", message.size());
    assert!((1..=99).contains(&message.subject.len()), "{}", message.subject);
    assert!(message.subject.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", message.subject);
    assert!(!message.subject.starts_with(' '), "{}", message.subject);
    assert!(message.attributes.iter().all(|a| !a.value.is_empty()), "{:?}", message.attributes);
    let texts: BTreeMap<String, String> = serde_json::from_str(&message.structure).unwrap();
    let protocols = ["default", "email", "firehose", "http", "https", "lambda", "sms", "sqs"];
    assert!(texts.keys().eq(protocols), "{:?}", texts.keys());
    for protocol in ["default", "https", "sms", "sqs"] {
        let text = &texts[protocol];
        assert!(!text.is_empty() && !text.chars().any(is_hidden), "{protocol}: {text:?}");
    }
    let sms = &texts["sms"];
    assert!(sms.len() <= 160 && sms.chars().all(is_basic_gsm), "{sms}");
    assert_eq!(texts["default"], texts["email"]);
    for machine in ["lambda", "http", "firehose"] {
        assert_eq!(texts[machine], texts["sqs"]);
    }
    serde_json::from_str::<IgnoredAny>(&texts["sqs"]).unwrap();
    check_chat(&serde_json::from_str(&texts["https"]).unwrap());
}

fn check_chat(chat: &Value) {
    let characters = |key: &str| chat["content"][key].as_str().unwrap().chars().count();
    assert!((1..=150).contains(&characters("title")), "{chat}");
    assert!((1..=3000).contains(&characters("description")), "{chat}");
}

fn is_basic_gsm(c: char) -> bool {
    matches!(c, ' '..='~') && !"[]\\^`{|}~".contains(c)
}

/// Control characters, and marks that reorder or hide text.
fn is_hidden(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
            | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}')
}
