//! Objects of a bucket, as Lambda keeps what a function did not handle.
//!
//! The keys that Lambda makes begin with the date (Lambda guide, "Capturing records of Lambda
//! asynchronous invocations"), so that their order, which is the order of a list, is that of time.

use std::collections::VecDeque;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{EncodingType, Object as Listed};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::fault::in_words;
use crate::undelivered::{DestinationError, LARGEST_VALUE};

/// An object of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// When it was written.
    pub modified: Option<Timestamp>,
}

/// Objects below a prefix, gone through once. A page of keys is held at a time.
pub struct S3Objects {
    client: Client,
    bucket: String,
    prefix: String,
    /// Objects that were not handed out yet.
    page: VecDeque<Object>,
    /// The last key of the last page; `None` before the first.
    last: Option<String>,
    /// Whether there may be another page.
    more: bool,
    known: u64,
}

/// One attempt of a request; an object is read whole in it.
const ATTEMPT: Duration = Duration::from_secs(30);

/// Attempts of one request.
const ATTEMPTS: u32 = 3;

impl S3Objects {
    /// The objects, with the credentials and the region that the environment gives.
    pub async fn new(bucket: &str, prefix: &str) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(ATTEMPT)
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts)
            .load()
            .await;
        S3Objects {
            client: Client::new(&config),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            page: VecDeque::new(),
            last: None,
            more: true,
            known: 0,
        }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// How many objects the pages so far have.
    pub fn known(&self) -> u64 {
        self.known
    }

    /// The next object; `None` behind the last.
    ///
    /// # Errors
    /// The bucket cannot be listed.
    pub async fn next(&mut self) -> Result<Option<Object>, DestinationError> {
        while self.page.is_empty() && self.more {
            self.turn_page().await?;
        }
        Ok(self.page.pop_front())
    }

    /// Begins behind the last key, so that it does not matter what was deleted meanwhile. Keys are
    /// asked for encoded: a key may have characters that XML cannot hold, and then nobody could read
    /// the list.
    async fn turn_page(&mut self) -> Result<(), DestinationError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix);
        let request = request.encoding_type(EncodingType::Url);
        let answer = request.set_start_after(self.last.clone()).send().await;
        let answer = answer.map_err(|error| self.in_words(&in_words(&error, list_hint)))?;
        self.more = answer.is_truncated().unwrap_or(false);
        let is_encoded = answer.encoding_type == Some(EncodingType::Url);
        let found = answer.contents.unwrap_or_default().into_iter();
        self.page = found.filter_map(|found| object(found, is_encoded)).collect();
        self.known += self.page.len() as u64;
        match self.page.back() {
            Some(last) => self.last = Some(last.key.clone()),
            None => self.more = false,
        }
        Ok(())
    }

    /// What an object holds.
    ///
    /// # Errors
    /// It cannot be read, or has more than [`LARGEST_VALUE`] bytes.
    pub async fn read(&self, key: &str) -> Result<Vec<u8>, DestinationError> {
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let answer = request.send().await;
        let answer = answer.map_err(|error| DestinationError(in_words(&error, read_hint)))?;
        let length = answer.content_length().and_then(|length| usize::try_from(length).ok());
        if length.is_none_or(|length| length > LARGEST_VALUE) {
            let what = "it is larger than anything that Lambda keeps".to_owned();
            return Err(DestinationError(what));
        }
        let content = answer.body.collect().await;
        let content = content.map_err(|error| DestinationError(error.to_string()))?;
        Ok(content.to_vec())
    }

    /// Deletes an object; where the bucket keeps versions, they stay behind a delete marker.
    ///
    /// # Errors
    /// It is still there.
    pub async fn delete(&self, key: &str) -> Result<(), DestinationError> {
        let request = self.client.delete_object().bucket(&self.bucket).key(key);
        let answer = request.send().await;
        answer.map(|_| ()).map_err(|error| DestinationError(in_words(&error, delete_hint)))
    }

    fn in_words(&self, fault: &str) -> DestinationError {
        DestinationError(format!("bucket {}: {fault}", self.bucket))
    }
}

fn object(listed: Listed, is_encoded: bool) -> Option<Object> {
    let key = listed.key?;
    let modified = listed.last_modified.and_then(|time| Timestamp::from_second(time.secs()).ok());
    Some(Object { key: if is_encoded { decoded(&key) } else { key }, modified })
}

/// A key as it was before a form's encoding, in which `+` is a space (S3 API Reference,
/// "ListObjectsV2", encoding-type). One that is no UTF-8 stays as it is; reading it will fail.
fn decoded(key: &str) -> String {
    let spaced = key.replace('+', " ");
    let text = percent_decode_str(&spaced).decode_utf8();
    text.map_or_else(|_| key.to_owned(), |text| text.into_owned())
}

/// What to do about an error (S3 API Reference, "Error responses").
fn list_hint(code: &str) -> Option<&'static str> {
    if code == "NoSuchBucket" {
        return Some("the stack's output UndeliveredBucket is its name");
    }
    hint(code, "you need s3:ListBucket on the bucket")
}

fn read_hint(code: &str) -> Option<&'static str> {
    hint(code, "you need s3:GetObject on it, and kms:Decrypt where a key of your own encrypts it")
}

fn delete_hint(code: &str) -> Option<&'static str> {
    hint(code, "you need s3:DeleteObject on it")
}

fn hint(code: &str, denied: &'static str) -> Option<&'static str> {
    match code {
        "AccessDenied" => Some(denied),
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => Some("set AWS_REGION to the bucket's region"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn a_key_is_what_it_was_before_it_was_encoded() {
        for (encoded, key) in [
            ("aws/lambda/async/f/2026/11/23", "aws/lambda/async/f/2026/11/23"),
            ("a%01b%0A", "a\u{1}b\n"),
            ("one+two%20three%2Bfour", "one two three+four"),
            ("%E2%80%AE%C3%A4%25", "\u{202e}ä%"),
            ("%FF+", "%FF+"),
            ("%", "%"),
        ] {
            assert_eq!(decoded(encoded), key);
        }
    }
}
