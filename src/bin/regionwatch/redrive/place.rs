//! Where payloads are kept: files, a bucket, a queue.

use std::collections::VecDeque;
use std::io::Read;
use std::path::PathBuf;

use jiff::Timestamp;
#[cfg(feature = "aws")]
use regionwatch::alert::text::clean;
#[cfg(feature = "aws")]
use regionwatch::aws::s3::Object as S3Object;
#[cfg(feature = "aws")]
use regionwatch::aws::sqs::{Message, Unseen};
#[cfg(feature = "aws")]
use regionwatch::aws::{S3Objects, SqsMessages};

use crate::input::{Folder, Input, Listed};
#[cfg(feature = "aws")]
use crate::output::plural;

/// A place, gone through once.
pub enum Place {
    /// Files in the order of their paths, which Lambda makes of dates: the oldest first.
    Files {
        /// Those that were not opened yet.
        inputs: VecDeque<Input>,
        /// How many there are.
        known: u64,
        /// How many arguments could not be listed; it was said on stderr.
        faults: u64,
    },
    /// Objects in the order of their keys: the oldest first, too.
    #[cfg(feature = "aws")]
    Bucket(S3Objects),
    /// Messages in the order in which the queue hands them out.
    #[cfg(feature = "aws")]
    Queue(SqsMessages),
}

/// A file, an object or a message.
pub struct Kept {
    /// What to call it.
    pub name: String,
    /// When it was written, where its place says so.
    pub written: Option<Timestamp>,
    /// What it holds, or why that is not known.
    pub content: Result<Box<dyn Read>, String>,
    /// By what it is deleted.
    pub handle: Handle,
}

/// Whether a place has anything that was not shown.
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "files are all listed beforehand"))]
pub enum Rest {
    /// It has not, as far as can be known.
    None,
    /// It has, or seems to; in words.
    Some(String),
    /// Nobody can say, and why.
    Unknown(String),
}

/// What its place knows it by.
pub enum Handle {
    /// Nothing: files stay.
    File,
    /// An object's key.
    #[cfg(feature = "aws")]
    Key(String),
    /// A message.
    #[cfg(feature = "aws")]
    Message(Message),
}

impl Place {
    /// Files, folders of them, and standard input.
    pub fn files(paths: &[PathBuf]) -> Self {
        let Listed { inputs, faults, .. } = Input::list(paths, Folder::Undelivered);
        let known = inputs.len() as u64;
        Place::Files { inputs: inputs.into(), known, faults: faults as u64 }
    }

    /// How many are known of so far.
    pub fn known(&self) -> u64 {
        match self {
            Place::Files { known, .. } => *known,
            #[cfg(feature = "aws")]
            Place::Bucket(objects) => objects.known(),
            #[cfg(feature = "aws")]
            Place::Queue(messages) => messages.known(),
        }
    }

    /// What could not be looked into.
    pub fn faults(&self) -> u64 {
        match self {
            Place::Files { faults, .. } => *faults,
            #[cfg(feature = "aws")]
            Place::Bucket(_) | Place::Queue(_) => 0,
        }
    }

    /// The next one; `Err` where nobody knows what else is there.
    pub async fn next(&mut self) -> Result<Option<Kept>, String> {
        Ok(match self {
            Place::Files { inputs, .. } => inputs.pop_front().map(|input| Kept {
                name: input.name(),
                written: None,
                content: input.open().map_err(|fault| fault.to_string()),
                handle: Handle::File,
            }),
            #[cfg(feature = "aws")]
            Place::Bucket(objects) => match objects.next().await.map_err(|e| e.to_string())? {
                Some(S3Object { key, modified }) => Some(Kept {
                    name: clean(&format!("s3://{}/{key}", objects.bucket()), usize::MAX),
                    written: modified,
                    content: objects.read(&key).await.map(in_memory).map_err(|e| e.to_string()),
                    handle: Handle::Key(key),
                }),
                None => None,
            },
            #[cfg(feature = "aws")]
            Place::Queue(messages) => {
                let message = messages.next().await.map_err(|e| e.to_string())?;
                message.map(|message| Kept {
                    name: clean(&format!("message {}", message.id), usize::MAX),
                    written: None,
                    content: Ok(in_memory(message.body.clone().into_bytes())),
                    handle: Handle::Message(message),
                })
            }
        })
    }

    /// Deletes what was published; `false` where that is not done.
    pub async fn delete(&mut self, handle: &Handle) -> Result<bool, String> {
        match (self, handle) {
            #[cfg(feature = "aws")]
            (Place::Bucket(objects), Handle::Key(key)) => {
                objects.delete(key).await.map(|()| true).map_err(|error| error.to_string())
            }
            #[cfg(feature = "aws")]
            (Place::Queue(messages), Handle::Message(message)) => {
                messages.delete(message).await.map(|()| true).map_err(|error| error.to_string())
            }
            _ => Ok(false),
        }
    }

    /// Lets others have what is still there.
    pub async fn release(&mut self) -> Result<(), String> {
        match self {
            #[cfg(feature = "aws")]
            Place::Queue(messages) => messages.release().await.map_err(|error| error.to_string()),
            _ => Ok(()),
        }
    }

    /// What is still there, and was not handed out, once there is no next one.
    pub async fn rest(&self) -> Rest {
        match self {
            #[cfg(feature = "aws")]
            Place::Queue(messages) => rest_of(messages).await,
            _ => Rest::None,
        }
    }
}

#[cfg(feature = "aws")]
async fn rest_of(messages: &SqsMessages) -> Rest {
    let in_words = |what: &str| format!("queue {}: {what}; {AGAIN}", messages.url());
    let found = messages.unseen().await;
    match found {
        _ if messages.is_cut_short() => Rest::Some(in_words(
            "it went on to hand out what was seen before, and may have messages that were not",
        )),
        Err(fault) => Rest::Unknown(format!("{fault}; messages may be hidden still: {AGAIN}")),
        Ok(Unseen { messages: 0, .. }) => Rest::None,
        Ok(Unseen { messages, hidden }) => {
            let messages = plural(messages, "message is", "messages are");
            let what = format!("about {messages} there besides, {hidden} of them hidden");
            Rest::Some(in_words(&format!("{what} by another receive, as of a run that was killed")))
        }
    }
}

/// Longer than anything is hidden.
#[cfg(feature = "aws")]
const AGAIN: &str = "run this again in two minutes";

#[cfg(feature = "aws")]
fn in_memory(content: Vec<u8>) -> Box<dyn Read> {
    Box::new(std::io::Cursor::new(content))
}
