//! One invocation: open the payload, judge it, ask the ledger, publish, confirm.
//!
//! It is one walk for both triggers. Nothing is published of a batch that could not be read to its
//! end, and nothing is confirmed that was not accepted. After an `Err` Lambda sends the payload again,
//! or the records of a stream from [`HandleError::retry_from`] on; the ledger knows the batches, and
//! keeps the replay from telling anything twice.

mod finding;
mod reading;

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Alert, Context, Formats, Message};
use crate::delivery::Delivery;
use crate::envelope::EnvelopeError;
use crate::inflate::InflateError;
use crate::ledger::{Decision, Ledger};
use crate::metrics::Summary;
use crate::policy::Policy;
use crate::publish::{Publish, PublishError};
use crate::skim::Seen;

use finding::{Finding, Outgoing, Scene, batch_ids, findings};

pub(crate) use finding::follow_up;
use reading::Reading;

/// What an invocation works with.
pub struct Handler<'a, L, P> {
    /// Judges the records.
    pub policy: &'a Policy,
    /// What was seen in the batches before, which makes the next ones cheaper.
    pub seen: &'a Mutex<Seen>,
    /// Remembers what was told.
    pub ledger: &'a L,
    /// Takes the messages.
    pub publish: &'a P,
    /// Which texts the messages hold.
    pub formats: Formats,
    /// Bounds of one invocation.
    pub limits: Limits,
}

/// Bounds of one invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A batch that inflates to more bytes is an error; a record of a stream is then a reject.
    pub max_inflated_bytes: u64,
    /// Messages published, at least [`FEWEST_MESSAGES`].
    pub max_messages: usize,
}

/// A digest and the unreadable entries need a message each.
pub const FEWEST_MESSAGES: usize = 2;

impl Limits {
    /// How many of that many incidents have a message of their own, beside that many messages for
    /// unreadable entries. The others share one.
    pub fn own_messages(&self, incidents: usize, rejects: usize) -> usize {
        let most = self.max_messages.max(FEWEST_MESSAGES);
        if incidents + rejects <= most { incidents } else { most - 1 - rejects }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_inflated_bytes: 512 * 1024 * 1024, max_messages: 25 }
    }
}

/// One call of the Lambda function.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// The request id: the same for a replay.
    pub id: &'a str,
    /// When the payload came: by this incidents, windows and delays go.
    pub now: Timestamp,
    /// When it began, by the clock of whoever runs it; the same, unless the payload is an old one.
    pub began: Timestamp,
    /// When Lambda ends it.
    pub deadline: Timestamp,
}

impl Invocation<'_> {
    /// A sixth of its time is for the ledger to record: a slow one must not cost a flood the time to
    /// be published.
    fn record_by(&self) -> Timestamp {
        self.began + self.time() / 6
    }

    /// Publishing leaves a twentieth of its time to confirm what was accepted.
    fn publish_by(&self) -> Timestamp {
        self.deadline - self.time() / 20
    }

    /// A sixtieth is left for the answer to Lambda.
    fn confirm_by(&self) -> Timestamp {
        self.deadline - self.time() / 60
    }

    fn time(&self) -> SignedDuration {
        self.deadline.duration_since(self.began).max(SignedDuration::ZERO)
    }
}

/// Why an invocation failed. Lambda replays it, and keeps the payload in the end.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The payload could not be read to its end; nothing was published.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Some messages were not accepted.
    #[error("{failed} of {messages} messages were not published: {first}")]
    Publish {
        /// How many were not accepted.
        failed: usize,
        /// How many there were.
        messages: usize,
        /// The first permanent error, else the first.
        first: PublishError,
        /// The record of the stream with which to begin again; `None` for a subscription.
        retry_from: Option<String>,
    },
}

impl HandleError {
    /// The sequence number of the first record of a stream that has to come again; `None` where the
    /// whole payload has to.
    pub fn retry_from(&self) -> Option<&str> {
        match self {
            HandleError::Envelope(_) => None,
            HandleError::Publish { retry_from, .. } => retry_from.as_deref(),
        }
    }

    /// A stable name for the error's type, as Lambda reports it.
    pub fn kind(&self) -> &'static str {
        match self {
            HandleError::Envelope(EnvelopeError::Gzip(InflateError::TooLarge { .. })) => {
                "OversizeBatch"
            }
            HandleError::Envelope(EnvelopeError::NotASubscription { .. }) => "NotASubscription",
            HandleError::Envelope(_) => "DamagedPayload",
            HandleError::Publish { first: PublishError::Transient(_), .. } => "PublishFailed",
            HandleError::Publish { first: PublishError::Permanent(_), .. } => "PublishRefused",
        }
    }
}

impl<L: Ledger, P: Publish> Handler<'_, L, P> {
    /// Handles one payload. The summary is true whether or not the invocation failed.
    pub async fn handle(
        &self,
        payload: &[u8],
        invocation: &Invocation<'_>,
    ) -> (Summary, Result<(), HandleError>) {
        let mut summary = Summary::begun(payload, self.policy, invocation.now);
        let outcome = self.run(payload, invocation, &mut summary).await;
        if let Err(error) = &outcome {
            summary.failed(error.kind(), error.to_string(), error.retry_from());
        }
        (summary, outcome)
    }

    async fn run(
        &self,
        payload: &[u8],
        invocation: &Invocation<'_>,
        summary: &mut Summary,
    ) -> Result<(), HandleError> {
        let delivery = Delivery::open(payload)?;
        summary.opened(&delivery);
        let limit = self.limits.max_inflated_bytes;
        let reading = Reading::of(&delivery, self.policy, &mut self.seen(), limit)?;
        summary.read(reading.control, reading.inflated_bytes);
        summary.triaged(&reading.triaged, invocation.now);
        let findings = findings(&reading.triaged);
        if findings.is_empty() {
            return Ok(());
        }
        let scene = Scene { delivery: &delivery, place: &reading.place, invocation };
        let outgoing = self.ask_ledger(findings, &scene, summary).await;
        self.send(outgoing, &scene, summary).await
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which findings are to be told now.
    async fn ask_ledger<'t>(
        &self,
        findings: Vec<Finding<'t>>,
        scene: &Scene<'_>,
        summary: &mut Summary,
    ) -> Vec<Outgoing<'t>> {
        let mut outgoing = Vec::new();
        let ids = batch_ids(&findings, scene.delivery);
        for finding in findings {
            summary.incidents += 1;
            let telling = match self.ledger.record(finding.sighting(scene, &ids)).await {
                Ok(Decision::Tell(telling)) => Some(telling),
                Ok(Decision::Hold) => {
                    summary.held += 1;
                    continue;
                }
                // A ledger that is down must not silence anything.
                Err(error) => {
                    summary.ledger_failed(&error);
                    None
                }
            };
            let follow_up = telling.as_deref().and_then(follow_up);
            outgoing.push(Outgoing { finding, follow_up, telling });
        }
        outgoing
    }

    async fn send(
        &self,
        outgoing: Vec<Outgoing<'_>>,
        scene: &Scene<'_>,
        summary: &mut Summary,
    ) -> Result<(), HandleError> {
        let (messages, told_by): (Vec<Message>, Vec<Vec<Outgoing<'_>>>) =
            self.messages(outgoing, scene, summary).into_iter().unzip();
        let fates = self.publish.publish(&messages, scene.invocation.publish_by()).await;
        let mut fates = fates.into_iter();
        let (mut errors, mut untold) = (Vec::new(), Vec::new());
        for told in &told_by {
            let fate = fates.next();
            let unknown = || Err(PublishError::Transient("its fate is unknown".to_owned()));
            match fate.unwrap_or_else(unknown) {
                Ok(()) => self.confirm(told, summary).await,
                Err(error) => {
                    errors.push(error);
                    untold.extend(told);
                }
            }
        }
        summary.messages_failed = errors.len() as u64;
        fail_with(errors, messages.len(), scene.retry_from(&untold))
    }

    /// The messages, each with what is told once it is accepted. Incidents beyond the number of
    /// messages share the last one.
    fn messages<'t>(
        &self,
        outgoing: Vec<Outgoing<'t>>,
        scene: &Scene<'_>,
        summary: &mut Summary,
    ) -> Vec<(Message, Vec<Outgoing<'t>>)> {
        let (own, mut shared) = self.split(outgoing);
        // A digest says of no incident in it what was held before: its next message does.
        for telling in shared.iter_mut().filter_map(|one| one.telling.as_mut()) {
            telling.names_held = false;
        }
        let message = |one: Outgoing<'t>| (self.message(&one, scene), vec![one]);
        let mut messages: Vec<_> = own.into_iter().map(message).collect();
        self.digests(shared, scene, summary, &mut messages);
        messages
    }

    /// One message for all of these, or several where one cannot hold all that subscribers filter by.
    fn digests<'t>(
        &self,
        mut shared: Vec<Outgoing<'t>>,
        scene: &Scene<'_>,
        summary: &mut Summary,
        messages: &mut Vec<(Message, Vec<Outgoing<'t>>)>,
    ) {
        if shared.is_empty() {
            return;
        }
        let told: Vec<_> = shared.iter().filter_map(Outgoing::in_digest).collect();
        let digest = Alert::digest(&told, scene.invocation.id, self.policy.version());
        let digest = match Message::fitting(digest, self.formats) {
            Err(_) if shared.len() > 1 => {
                let less_grave = shared.split_off(shared.len() / 2);
                self.digests(shared, scene, summary, messages);
                return self.digests(less_grave, scene, summary, messages);
            }
            fitting => fitting.unwrap_or_else(Message::in_short),
        };
        let listed = digest.alert.listed();
        summary.told_in_short(told.iter().skip(listed).map(|(incident, _)| incident.id.as_str()));
        messages.push((digest, shared));
    }

    /// What has a message of its own, and what shares one: the least grave incidents. Unreadable
    /// entries never do, for nobody knows what they hide.
    fn split<'t>(&self, outgoing: Vec<Outgoing<'t>>) -> (Vec<Outgoing<'t>>, Vec<Outgoing<'t>>) {
        let rejects = outgoing.iter().filter(|one| one.finding.incident().is_none()).count();
        let mut left = self.limits.own_messages(outgoing.len() - rejects, rejects);
        outgoing.into_iter().partition(|one| {
            let has_its_own = one.finding.incident().is_none() || left > 0;
            if one.finding.incident().is_some() {
                left = left.saturating_sub(1);
            }
            has_its_own
        })
    }

    fn message(&self, one: &Outgoing<'_>, scene: &Scene<'_>) -> Message {
        let incident = one.finding.incident();
        let account = incident.map(|incident| incident.account.as_str());
        let log_group = incident.map_or(&scene.place.group, |incident| &incident.log_group);
        let context = Context {
            now: scene.invocation.now,
            policy: self.policy.version(),
            account_name: account.and_then(|account| self.policy.account_name(account)),
            owner: &scene.place.owner,
            log_group,
            log_stream: &scene.place.part,
        };
        let follow_up = one.follow_up.clone();
        let alert = match one.finding {
            Finding::Incident(incident) => Alert::of_incident(incident, follow_up, &context),
            Finding::Rejects(rejects) => Alert::of_rejects(rejects, follow_up, &context),
        };
        Message::in_formats(alert, self.formats)
    }

    async fn confirm(&self, told: &[Outgoing<'_>], summary: &mut Summary) {
        summary.messages += 1;
        for one in told {
            summary.told += 1;
            if let Some(telling) = &one.telling
                && let Err(error) = self.ledger.confirm(telling).await
            {
                summary.ledger_failed(&error);
            }
        }
    }
}

fn fail_with(
    errors: Vec<PublishError>,
    messages: usize,
    retry_from: Option<String>,
) -> Result<(), HandleError> {
    let failed = errors.len();
    let permanent = errors.iter().position(|e| matches!(e, PublishError::Permanent(_)));
    match errors.into_iter().nth(permanent.unwrap_or(0)) {
        Some(first) => Err(HandleError::Publish { failed, messages, first, retry_from }),
        None => Ok(()),
    }
}
