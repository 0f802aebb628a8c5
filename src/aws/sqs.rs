//! Messages of a queue, as Lambda keeps what a function did not handle.
//!
//! A queue cannot be listed: its messages are received, which hides them from others for a while and
//! counts (a queue with a redrive policy of its own moves those away that were received too often).
//! So they are hidden shortly, and what was not deleted is shown again at the end. What others hide,
//! such as a run that was killed, nobody can receive; [`SqsMessages::unseen`] counts it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Region;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry as Visibility,
    QueueAttributeName,
};

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
    deleted: u64,
    /// Whether the end was given up looking for.
    is_cut_short: bool,
}

/// Messages that are in a queue and were not received, by the queue's own count, which may be a minute
/// old (SQS API Reference, "GetQueueAttributes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unseen {
    /// All of them.
    pub messages: u64,
    /// How many are hidden, at most: somebody else received them.
    pub hidden: u64,
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

/// Receives in a row that bring nothing but what was seen, beyond those that it takes to hide all of
/// that again: then it comes round again.
const MOST_STALE: usize = 10;

/// One attempt of a request.
const ATTEMPT: Duration = Duration::from_secs(30);

/// Attempts of one request.
const ATTEMPTS: u32 = 3;

impl SqsMessages {
    /// The messages, with the credentials that the environment gives, and in the region that the
    /// URL names, if it does. `slowly`: each is published before the next one is asked for.
    ///
    /// # Errors
    /// Neither the URL nor the environment says where the queue is.
    pub async fn new(url: &str, slowly: bool) -> Result<Self, DestinationError> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(ATTEMPT)
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let mut config = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts);
        if let Some(Place { region, is_fips }) = Place::of(url) {
            config = config.region(Region::new(region.to_owned()));
            config = if is_fips { config.use_fips(true) } else { config };
        }
        let config = config.load().await;
        if config.region().is_none() {
            let what = "its URL names no region that is known here: set AWS_REGION, or write \
                        https://sqs.REGION.amazonaws.com/ACCOUNT/NAME";
            return Err(DestinationError(format!("queue {url}: {what}")));
        }
        Ok(SqsMessages {
            client: Client::new(&config),
            url: url.to_owned(),
            most: if slowly { 1 } else { MOST },
            batch: VecDeque::new(),
            seen: HashSet::new(),
            hidden: HashMap::new(),
            deleted: 0,
            is_cut_short: false,
        })
    }

    /// The queue's URL.
    pub fn url(&self) -> &str {
        &self.url
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
        while self.batch.is_empty() && self.receive().await? {
            stale += 1;
            if self.batch.is_empty() && stale > self.hidden.len() + MOST_STALE {
                self.is_cut_short = true;
                break;
            }
        }
        Ok(self.batch.pop_front())
    }

    /// Whether the end was never reached: the queue went on to hand out what was seen.
    pub fn is_cut_short(&self) -> bool {
        self.is_cut_short
    }

    /// What is in the queue and was never handed out here.
    ///
    /// # Errors
    /// The queue does not say.
    pub async fn unseen(&self) -> Result<Unseen, DestinationError> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible,
        };
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let request = request.attribute_names(ApproximateNumberOfMessages);
        let request = request.attribute_names(ApproximateNumberOfMessagesNotVisible);
        let answer = request.send().await;
        let answer = answer.map_err(|error| self.in_words(&in_words(&error, count_hint)))?;
        let counts = answer.attributes.unwrap_or_default();
        let count = |name| counts.get(&name).and_then(|count| count.parse::<u64>().ok());
        let in_sight = count(ApproximateNumberOfMessages);
        let not_visible = count(ApproximateNumberOfMessagesNotVisible);
        let (Some(in_sight), Some(not_visible)) = (in_sight, not_visible) else {
            return Err(self.in_words("it does not say how many messages it has"));
        };
        let left = self.known().saturating_sub(self.deleted);
        let messages = in_sight.saturating_add(not_visible).saturating_sub(left);
        Ok(Unseen { messages, hidden: messages.min(not_visible) })
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
        self.deleted += 1;
        Ok(())
    }

    /// Shows again what was received and not deleted.
    ///
    /// # Errors
    /// Some of it comes into sight by itself, within two minutes.
    pub async fn release(&mut self) -> Result<(), DestinationError> {
        let receipts: Vec<String> = self.hidden.drain().map(|(_, receipt)| receipt).collect();
        let (mut failed, mut first) = (0, None);
        for some in receipts.chunks(MOST.unsigned_abs() as usize) {
            if let Some((count, what)) = self.show(some).await? {
                failed += count;
                first.get_or_insert(what);
            }
        }
        let Some(what) = first else { return Ok(()) };
        let hidden = "messages that were received stay hidden for up to";
        Err(self.in_words(&format!("{hidden} {HIDDEN} s ({failed} of them): {what}")))
    }

    /// One request for a few of them; what could not be shown.
    async fn show(&self, receipts: &[String]) -> Result<Option<(usize, String)>, DestinationError> {
        let entries = receipts.iter().enumerate().map(|(number, receipt)| {
            let entry = Visibility::builder().id(format!("m{number}")).receipt_handle(receipt);
            entry.visibility_timeout(0).build()
        });
        let entries = entries.collect::<Result<Vec<_>, BuildError>>();
        let entries = entries.map_err(|error| self.in_words(&error.to_string()))?;
        let request = self.client.change_message_visibility_batch().queue_url(&self.url);
        match request.set_entries(Some(entries)).send().await {
            Ok(answer) => Ok(answer.failed.first().map(|first| (answer.failed.len(), said(first)))),
            Err(error) => Ok(Some((receipts.len(), in_words(&error, release_hint)))),
        }
    }

    fn in_words(&self, fault: &str) -> DestinationError {
        DestinationError(format!("queue {}: {fault}", self.url))
    }
}

/// What an entry of a batch failed with.
fn said(failed: &BatchResultErrorEntry) -> String {
    match &failed.message {
        Some(message) => format!("{}: {message}", failed.code),
        None => failed.code.clone(),
    }
}

/// Where a queue is, as its URL says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'u> {
    region: &'u str,
    /// By way of an endpoint that is validated by FIPS 140.
    is_fips: bool,
}

impl<'u> Place<'u> {
    /// AWS General Reference, "Amazon SQS endpoints and quotas"; the domains are those of the
    /// partitions aws, aws-us-gov, aws-cn and aws-eusc.
    fn of(url: &'u str) -> Option<Self> {
        let (_, behind) = url.split_once("://")?;
        let (host, _) = behind.split_once('/')?;
        let (service, host) = host.split_once('.')?;
        let (region, domain) = host.split_once('.')?;
        let is_fips = match service {
            "sqs" => false,
            "sqs-fips" => true,
            _ => return None,
        };
        let known = ["amazonaws.com", "amazonaws.com.cn", "amazonaws.eu"];
        known.contains(&domain).then_some(Place { region, is_fips })
    }
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

fn count_hint(code: &str) -> Option<&'static str> {
    hint(code, "you need sqs:GetQueueAttributes on it")
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
    use super::Place;

    #[test]
    fn the_url_of_a_queue_says_where_it_is() {
        let place = |host: &str| {
            let url = format!("https://{host}/111122223333/failed");
            Place::of(&url).map(|place| (place.region.to_owned(), place.is_fips))
        };
        for (host, region, is_fips) in [
            ("sqs.eu-west-1.amazonaws.com", "eu-west-1", false),
            ("sqs.us-gov-west-1.amazonaws.com", "us-gov-west-1", false),
            ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1", false),
            ("sqs.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", false),
            ("sqs-fips.us-east-2.amazonaws.com", "us-east-2", true),
        ] {
            assert_eq!(place(host), Some((region.to_owned(), is_fips)), "{host}");
        }
        for host in [
            "127.0.0.1:5000",
            "sqs.eu-west-1.example.com",
            "sqs.eu-west-1.amazonaws.com.example.com",
            "sns.eu-west-1.amazonaws.com",
            "queue.amazonaws.com",
        ] {
            assert_eq!(place(host), None, "{host}");
        }
        assert_eq!(Place::of("failed"), None);
    }
}
