//! An alert as SNS takes it: a subject, a text for each protocol, attributes, and a size that fits.
//!
//! Limits: SNS API Reference, "Publish" and "PublishBatch"; SNS guide, "Message attributes". They
//! are kept here, since servers that stand in for SNS do not all keep them.

use serde_json::json;

use super::chat::notification;
use super::prose::{mail, sms, subject};
use super::{Alert, Body, Covers};

/// Bytes of message and attributes together, of one message and of one batch: 256 KiB.
pub const LARGEST: usize = 256 * 1024;

/// Characters of an attribute, so that all of them are a small part of the message.
const LONGEST_ATTRIBUTE: usize = 256;

/// Which texts a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Formats {
    /// What subscribers by HTTPS get.
    pub https: HttpsFormat,
}

/// What subscribers by HTTPS get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpsFormat {
    /// The JSON contract.
    #[default]
    Json,
    /// A custom notification of Amazon Q Developer in chat applications.
    AmazonQ,
}

/// One SNS message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What it says.
    pub alert: Alert,
    /// The subject of a mail.
    pub subject: String,
    /// The text by protocol, for `MessageStructure=json`.
    pub structure: String,
    /// What subscriptions may filter by; none is empty.
    pub attributes: Vec<Attribute>,
}

/// One message attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// `String`, or `String.Array` where a digest covers several values.
    pub data_type: &'static str,
    /// The value, or a JSON array of them.
    pub value: String,
}

impl Message {
    /// The message for an alert in the default formats.
    pub fn new(alert: Alert) -> Self {
        Message::in_formats(alert, Formats::default())
    }

    /// The message for an alert, which is cut until it fits.
    pub fn in_formats(alert: Alert, formats: Formats) -> Self {
        Message::fitting(alert, formats).unwrap_or_else(Message::in_short)
    }

    /// The message for an alert, which is cut until it fits; the alert where it does not fit even
    /// when all is cut that may be. Such a digest has to be made of fewer incidents: what
    /// subscribers filter by is never cut.
    ///
    /// # Errors
    ///
    /// The alert, boxed for its size.
    pub fn fitting(mut alert: Alert, formats: Formats) -> Result<Self, Box<Alert>> {
        loop {
            let message = Message {
                subject: subject(&alert),
                structure: structure(&alert, formats),
                attributes: attributes(&alert),
                alert,
            };
            if message.size() <= LARGEST {
                return Ok(message);
            }
            alert = message.alert;
            if !alert.shrink() {
                return Err(Box::new(alert));
            }
        }
    }

    /// For an alert that cannot be cut any further, which no alert of ours has been seen to be:
    /// the subject alone is worth more than nothing.
    pub fn in_short(alert: Box<Alert>) -> Self {
        let subject = subject(&alert);
        let structure = json!({ "default": subject }).to_string();
        Message { subject, structure, attributes: attributes(&alert), alert: *alert }
    }

    /// What SNS counts, in bytes.
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|a| a.name.len() + a.data_type.len() + a.value.len());
        self.structure.len() + attributes.sum::<usize>()
    }

    /// The JSON contract alone, on one line.
    pub fn json(&self) -> String {
        contract(&self.alert)
    }

    /// The mail's text alone.
    pub fn mail(&self) -> String {
        mail(&self.alert)
    }
}

/// Prose for people, the contract for machines.
fn structure(alert: &Alert, formats: Formats) -> String {
    let (mail, json) = (mail(alert), contract(alert));
    let https = match formats.https {
        HttpsFormat::Json => json.clone(),
        HttpsFormat::AmazonQ => notification(alert, &mail),
    };
    json!({
        "default": mail,
        "email": mail,
        "sms": sms(alert),
        "sqs": json,
        "lambda": json,
        "http": json,
        "https": https,
        "firehose": json,
    })
    .to_string()
}

fn contract(alert: &Alert) -> String {
    // An alert is made of strings, numbers and lists, which always have a JSON form.
    serde_json::to_string(alert).unwrap_or_default()
}

fn attributes(alert: &Alert) -> Vec<Attribute> {
    let covers = covers(alert);
    [
        ("severity", covers.severities),
        ("reason", covers.reasons),
        ("account", covers.accounts),
        ("region", covers.regions),
        ("principal_type", covers.principal_types),
        ("outcome", covers.outcomes),
    ]
    .into_iter()
    .filter_map(|(name, values)| attribute(name, &values))
    .collect()
}

fn covers(alert: &Alert) -> Covers {
    let one = |word: &str| vec![word.to_owned()];
    let header = Covers {
        severities: one(alert.severity.as_str()),
        reasons: one(&alert.reason),
        accounts: one(&alert.account),
        regions: one(&alert.region),
        ..Covers::default()
    };
    match &alert.body {
        Body::Digest(body) => body.covers.clone(),
        Body::Unreadable(_) => header,
        Body::Incident(body) => Covers {
            principal_types: one(&body.principal.kind),
            outcomes: one(body.outcome.as_str()),
            ..header
        },
    }
}

/// `None` for no value, since SNS refuses an empty one.
fn attribute(name: &'static str, values: &[String]) -> Option<Attribute> {
    let cut = |value: &String| value.chars().take(LONGEST_ATTRIBUTE).collect::<String>();
    let values: Vec<String> = values.iter().map(cut).filter(|value| !value.is_empty()).collect();
    let (data_type, value) = match values.as_slice() {
        [] => return None,
        [one] => ("String", one.clone()),
        several => ("String.Array", json!(several).to_string()),
    };
    Some(Attribute { name, data_type, value })
}
