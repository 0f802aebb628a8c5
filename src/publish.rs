//! The one door out.

use std::future::Future;

use jiff::Timestamp;

use crate::alert::Message;

/// Takes messages to their receivers.
pub trait Publish: Sync {
    /// Publishes messages, and gives the fate of each in the same order. A message without a fate
    /// counts as failed. May retry what is transient until shortly before `deadline`.
    fn publish(
        &self,
        messages: &[Message],
        deadline: Timestamp,
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send;
}

/// Why a message was not accepted, by what must happen next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// It may be accepted later: the batch is replayed.
    #[error("{0}")]
    Transient(String),
    /// It will not be accepted until somebody mends something.
    #[error("{0}")]
    Permanent(String),
}
