//! Messages of a queue, as Lambda keeps what a function did not handle.
//!
//! A queue cannot be listed: its messages are received, which hides them from others for a while and
//! counts (a queue with a redrive policy of its own moves those away that were received too often).
//! So they are hidden shortly, and what was not deleted is shown again at the end.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Region;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;

use super::fault::in_words;
use crate::undelivered::DestinationError;

/// A queue, gone through once.
pub struct SqsMessages {
    client: Client,
    url: String,
    /// Messages asked for at once. One, where they are dealt with slowly: none may come into sight
    /// again before its turn.
    most: i32,
    batch: VecDeque<Message>,
    /// What was handed out, by id.
    seen: HashSet<String>,
    /// Receipts of what is hidden, by the message's id.
    hidden: HashMap<String, String>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its body.
    pub body: String,
}

/// How long a message is hidden, in seconds: twice what its handling may take.
const HIDDEN: i32 = 120;

/// Seconds that a receive waits for a message, so that all servers of the queue are asked (SQS
/// guide, "Amazon SQS short and long polling").
const WAIT: i32 = 1;

/// Messages in one request (SQS guide, "Amazon SQS message quotas").
const MOST: i32 = 10;

/// Receives in a row that bring nothing but what was seen: then it comes round again.
const MOST_STALE: u32 = 10;

/// One attempt of a request.
const ATTEMPT: Duration = Duration::from_secs(30);

/// Attempts of one request.
const ATTEMPTS: u32 = 3;

impl SqsMessages {
    /// The messages, with the credentials that the environment gives, and in the region that the
    /// URL names, if it does. `slowly`: each is published before the next one is asked for.
    pub async fn new(url: &str, slowly: bool) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(ATTEMPT)
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let mut config = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts);
        if let Some(region) = region(url) {
            config = config.region(Region::new(region.to_owned()));
        }
        SqsMessages {
            client: Client::new(&config.load().await),
            url: url.to_owned(),
            most: if slowly { 1 } else { MOST },
            batch: VecDeque::new(),
            seen: HashSet::new(),
            hidden: HashMap::new(),
        }
    }

    /// How many messages were received.
    pub fn known(&self) -> u64 {
        self.seen.len() as u64
    }

    /// The next message; `None` where the queue has no other.
    ///
    /// # Errors
    /// Nothing can be received.
    pub async fn next(&mut self) -> Result<Option<Message>, DestinationError> {
        let mut stale = 0;
        while self.batch.is_empty() && stale < MOST_STALE && self.receive().await? {
            stale += 1;
        }
        Ok(self.batch.pop_front())
    }

    /// `false` where nothing was in sight.
    async fn receive(&mut self) -> Result<bool, DestinationError> {
        let request = self.client.receive_message().queue_url(&self.url);
        let request = request.max_number_of_messages(self.most).visibility_timeout(HIDDEN);
        let answer = request.wait_time_seconds(WAIT).send().await;
        let answer = answer.map_err(|error| self.in_words(&in_words(&error, receive_hint)))?;
        let messages = answer.messages.unwrap_or_default();
        let found = !messages.is_empty();
        for message in messages {
            let (Some(id), Some(receipt)) = (message.message_id, message.receipt_handle) else {
                continue;
            };
            self.hidden.insert(id.clone(), receipt);
            if self.seen.insert(id.clone()) {
                self.batch.push_back(Message { id, body: message.body.unwrap_or_default() });
            }
        }
        Ok(found)
    }

    /// Deletes a message.
    ///
    /// # Errors
    /// It is still there.
    pub async fn delete(&mut self, message: &Message) -> Result<(), DestinationError> {
        let request = self.client.delete_message().queue_url(&self.url);
        let request = request.set_receipt_handle(self.hidden.get(&message.id).cloned());
        let answer = request.send().await;
        answer.map_err(|error| DestinationError(in_words(&error, delete_hint)))?;
        self.hidden.remove(&message.id);
        Ok(())
    }

    /// Shows again what was received and not deleted.
    ///
    /// # Errors
    /// It comes into sight by itself, within [`HIDDEN`] seconds.
    pub async fn release(&mut self) -> Result<(), DestinationError> {
        let receipts: Vec<String> = self.hidden.drain().map(|(_, receipt)| receipt).collect();
        for some in receipts.chunks(MOST.unsigned_abs() as usize) {
            let entries = some.iter().enumerate().map(|(number, receipt)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(format!("m{number}"))
                    .receipt_handle(receipt)
                    .visibility_timeout(0)
                    .build()
            });
            let entries = entries.collect::<Result<Vec<_>, BuildError>>();
            let entries = entries.map_err(|error| self.in_words(&error.to_string()))?;
            let request = self.client.change_message_visibility_batch().queue_url(&self.url);
            let answer = request.set_entries(Some(entries)).send().await;
            answer.map_err(|error| {
                let what = in_words(&error, release_hint);
                self.in_words(&format!(
                    "what is still there is hidden for up to {HIDDEN} s: {what}"
                ))
            })?;
        }
        Ok(())
    }

    fn in_words(&self, fault: &str) -> DestinationError {
        DestinationError(format!("queue {}: {fault}", self.url))
    }
}

/// The region in the URL of a queue (AWS General Reference, "Amazon SQS endpoints and quotas").
fn region(url: &str) -> Option<&str> {
    let (_, host) = url.split_once("://sqs.")?;
    let (region, domain) = host.split_once('.')?;
    domain.starts_with("amazonaws.com").then_some(region)
}

/// What to do about an error (SQS API Reference, "ReceiveMessage", errors, and "Common errors").
fn receive_hint(code: &str) -> Option<&'static str> {
    hint(code, "you need sqs:ReceiveMessage on it, and kms:Decrypt where a key of KMS encrypts it")
}

fn delete_hint(code: &str) -> Option<&'static str> {
    hint(code, "you need sqs:DeleteMessage on the queue")
}

fn release_hint(code: &str) -> Option<&'static str> {
    hint(code, "sqs:ChangeMessageVisibility would show it at once")
}

fn hint(code: &str, denied: &'static str) -> Option<&'static str> {
    if code.contains("AccessDenied") {
        return Some(denied);
    }
    if code.contains("QueueDoesNotExist") || code.contains("NonExistentQueue") {
        return Some("write its whole URL, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::region;

    #[test]
    fn the_url_of_a_queue_names_its_region() {
        let url = |host: &str| format!("https://{host}/111122223333/failed");
        assert_eq!(region(&url("sqs.eu-west-1.amazonaws.com")), Some("eu-west-1"));
        assert_eq!(region(&url("sqs.cn-north-1.amazonaws.com.cn")), Some("cn-north-1"));
        assert_eq!(region(&url("127.0.0.1:5000")), None);
        assert_eq!(region(&url("sqs.eu-west-1.example.com")), None);
        assert_eq!(region("failed"), None);
    }
}
