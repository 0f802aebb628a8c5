//! What would be published, in the log instead.

use std::collections::BTreeMap;
use std::future::{Future, ready};

use jiff::Timestamp;
use regionwatch::alert::Message;
use regionwatch::publish::{Publish, PublishError};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{now, print_line};

/// Accepts every message and publishes none. Its lines are the only ones of the function that hold
/// anything from a record, which is why the setting has to ask for them.
pub struct Shadow;

#[derive(Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    level: &'static str,
    message: &'static str,
    subject: &'a str,
    attributes: BTreeMap<&'static str, &'a str>,
    alert: Box<RawValue>,
}

impl Publish for Shadow {
    fn publish(
        &self,
        messages: &[Message],
        _: Timestamp,
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send {
        ready(messages.iter().map(log).collect())
    }
}

fn log(message: &Message) -> Result<(), PublishError> {
    let attributes = message.attributes.iter();
    let line = RawValue::from_string(message.json()).and_then(|alert| {
        serde_json::to_string(&Line {
            timestamp: now(),
            level: "INFO",
            message: "would publish",
            subject: &message.subject,
            attributes: attributes.map(|a| (a.name, a.value.as_str())).collect(),
            alert,
        })
    });
    print_line(&line.map_err(|fault| PublishError::Permanent(fault.to_string()))?);
    Ok(())
}
