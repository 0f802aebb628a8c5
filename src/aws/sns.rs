//! Alerts to an SNS topic, every entry's fate checked.
//!
//! `PublishBatch` answers HTTP 200 for a batch of which entries failed (SNS API Reference,
//! "PublishBatch"), so success is what the list of successful entries names, and nothing else. The
//! SDK retries requests; entries that failed for a passing reason are sent again here, as long as
//! the invocation lasts.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::config::{Builder, Region};
use aws_sdk_sns::error::{BuildError, ProvideErrorMetadata};
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use jiff::Timestamp;

use super::fault::in_words;
use crate::alert::Message;
use crate::alert::message::LARGEST;
use crate::config::Topic;
use crate::publish::{Publish, PublishError};

/// Publishes to one topic.
pub struct SnsPublisher {
    client: Client,
    topic: Topic,
}

/// Entries in one `PublishBatch`.
const MOST_ENTRIES: usize = 10;

/// Times an entry is sent, when it fails for a passing reason.
const ROUNDS: u32 = 3;

/// The wait before the second round; each further one doubles it, and chance halves it at most.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Time left for the answer to Lambda: no request is waited for beyond it.
const RESERVE: Duration = Duration::from_millis(500);

/// One attempt of a request. SNS answers within tens of milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Attempts of one request by the SDK.
const ATTEMPTS: u32 = 3;

type Fate = Option<Result<(), PublishError>>;

impl SnsPublisher {
    /// A publisher in the topic's own region.
    pub fn new(sdk: &SdkConfig, topic: Topic) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
        let config = Builder::from(sdk)
            .region(Region::new(topic.region.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts)
            .build();
        SnsPublisher { client: Client::from_conf(config), topic }
    }

    /// Sends what has no fate yet, a batch at a time.
    async fn round(&self, messages: &[Message], fates: &mut [Fate], deadline: Timestamp) {
        let open = |(index, fate): (usize, &Fate)| is_open(fate).then_some(index);
        let open: Vec<usize> = fates.iter().enumerate().filter_map(open).collect();
        for batch in batches(&open, messages) {
            let answer = self.publish_batch(&batch, messages, deadline).await;
            for index in batch {
                let Some(fate) = fates.get_mut(index) else { continue };
                *fate = Some(match &answer {
                    Ok(by_id) => by_id.get(&entry_id(index)).cloned().unwrap_or_else(|| {
                        let what = "SNS named the message neither as accepted nor as failed";
                        Err(PublishError::Transient(what.to_owned()))
                    }),
                    Err(error) => Err(error.clone()),
                });
            }
        }
    }

    /// One request: the fate of each entry by its id, or why there was no answer.
    async fn publish_batch(
        &self,
        batch: &[usize],
        messages: &[Message],
        deadline: Timestamp,
    ) -> Result<HashMap<String, Result<(), PublishError>>, PublishError> {
        let entries = batch.iter().filter_map(|at| Some(entry(*at, messages.get(*at)?)));
        let entries = entries.collect::<Result<Vec<_>, BuildError>>();
        let entries = entries.map_err(|e| PublishError::Permanent(e.to_string()))?;
        let request = self
            .client
            .publish_batch()
            .topic_arn(&self.topic.arn)
            .set_publish_batch_request_entries(Some(entries));
        let answer = tokio::time::timeout(time_left(deadline), request.send()).await;
        let answer = answer
            .map_err(|_| PublishError::Transient("the invocation's time is up".to_owned()))?
            .map_err(|error| {
                let what = in_words(&error, |_| None);
                sorted(error.code().unwrap_or_default(), what, &self.topic)
            })?;
        let accepted = answer.successful().iter().filter_map(|e| e.id()).map(|id| (id, Ok(())));
        let failed = answer.failed().iter().map(|failed| {
            let what = format!("{}: {}", failed.code(), failed.message().unwrap_or_default());
            (failed.id(), Err(sorted(failed.code(), what, &self.topic)))
        });
        // An entry in both lists has failed.
        Ok(accepted.chain(failed).map(|(id, fate)| (id.to_owned(), fate)).collect())
    }
}

impl Publish for SnsPublisher {
    async fn publish(
        &self,
        messages: &[Message],
        deadline: Timestamp,
    ) -> Vec<Result<(), PublishError>> {
        let mut fates: Vec<Fate> = vec![None; messages.len()];
        for round in 0..ROUNDS {
            if round > 0 {
                let wait = FIRST_WAIT * 2_u32.pow(round - 1);
                let wait = wait.mul_f64(0.5 + 0.5 * fastrand::f64());
                if wait >= time_left(deadline) {
                    break;
                }
                tokio::time::sleep(wait).await;
            }
            self.round(messages, &mut fates, deadline).await;
            if !fates.iter().any(is_open) {
                break;
            }
        }
        let unsent = || Err(PublishError::Transient("there was no time to send it".to_owned()));
        fates.into_iter().map(|fate| fate.unwrap_or_else(unsent)).collect()
    }
}

/// Whether sending again may change the fate.
fn is_open(fate: &Fate) -> bool {
    matches!(fate, None | Some(Err(PublishError::Transient(_))))
}

/// Groups of messages that fit one request each.
fn batches(open: &[usize], messages: &[Message]) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut size = 0;
    for &index in open {
        let own = messages.get(index).map_or(0, Message::size);
        match batches.last_mut() {
            Some(batch) if batch.len() < MOST_ENTRIES && size + own <= LARGEST => {
                batch.push(index);
                size += own;
            }
            _ => {
                batches.push(vec![index]);
                size = own;
            }
        }
    }
    batches
}

fn entry(index: usize, message: &Message) -> Result<PublishBatchRequestEntry, BuildError> {
    let mut entry = PublishBatchRequestEntry::builder()
        .id(entry_id(index))
        .subject(&message.subject)
        .message(&message.structure)
        .message_structure("json");
    for attribute in &message.attributes {
        let value = MessageAttributeValue::builder()
            .data_type(attribute.data_type)
            .string_value(&attribute.value)
            .build()?;
        entry = entry.message_attributes(attribute.name, value);
    }
    entry.build()
}

fn entry_id(index: usize) -> String {
    format!("m{index}")
}

/// Sorts an error by what must happen next. What SNS does not know to be our fault may pass.
fn sorted(code: &str, what: String, topic: &Topic) -> PublishError {
    /// Parts of error codes that no retry mends (SNS API Reference, "Publish", errors; IAM's and
    /// Signature Version 4's common errors).
    const PERMANENT: &[&str] = &[
        "AuthorizationError",
        "AccessDenied",
        "NotFound",
        "InvalidParameter",
        "InvalidSecurity",
        "Validation",
        "EndpointDisabled",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "SignatureDoesNotMatch",
        "OptInRequired",
        "BatchRequestTooLong",
    ];
    if let Some(hint) = kms_hint(code) {
        return PublishError::Permanent(format!("{} refuses: {what}; {hint}", topic.arn));
    }
    if PERMANENT.iter().any(|part| code.contains(part)) {
        return PublishError::Permanent(format!("{} refuses: {what}", topic.arn));
    }
    PublishError::Transient(format!("{}: {what}", topic.arn))
}

/// The likely cause where the key that encrypts the topic refuses (SNS API Reference, "Publish",
/// errors). `None` for other errors, and for throttling, which passes.
fn kms_hint(code: &str) -> Option<&'static str> {
    if !code.starts_with("KMS") || code.contains("Throttling") {
        return None;
    }
    Some(match code {
        "KMSAccessDenied" => {
            "the topic is encrypted with a KMS key, whose policy and the function's role must allow \
             kms:GenerateDataKey and kms:Decrypt"
        }
        "KMSDisabled" => "the KMS key that encrypts the topic is disabled: enable it",
        "KMSInvalidState" => {
            "the KMS key that encrypts the topic is waiting for its deletion or import, or is disabled"
        }
        "KMSNotFound" => "the KMS key that encrypts the topic is gone: give the topic another",
        "KMSOptInRequired" => "the account needs a subscription for KMS, which encrypts the topic",
        _ => "see to the KMS key that encrypts the topic",
    })
}

#[expect(clippy::disallowed_methods, reason = "only this side of the traits has a clock")]
fn time_left(deadline: Timestamp) -> Duration {
    let left = Duration::try_from(deadline.duration_since(Timestamp::now()));
    left.unwrap_or_default().saturating_sub(RESERVE)
}
