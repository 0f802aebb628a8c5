//! One invocation: open the payload, judge it, ask the ledger, publish, confirm.
//!
//! Nothing is published of a batch that could not be read to its end, and nothing is confirmed that
//! was not accepted. An `Err` makes Lambda replay the whole batch; the ledger keeps the replay from
//! telling anything twice.

use jiff::Timestamp;

use crate::alert::incident::id_of;
use crate::alert::{Alert, Context, FollowUp, Incident, Message, Rejects};
use crate::envelope::{Batch, Envelope, EnvelopeError};
use crate::ledger::{Cause, Decision, Ledger, Sighting, Telling};
use crate::metrics::Summary;
use crate::policy::{Policy, Severity};
use crate::publish::{Publish, PublishError};
use crate::triage::{Triage, Triaged};

/// What an invocation works with.
pub struct Handler<'a, L, P> {
    /// Judges the records.
    pub policy: &'a Policy,
    /// Remembers what was told.
    pub ledger: &'a L,
    /// Takes the messages.
    pub publish: &'a P,
    /// Bounds of one invocation.
    pub limits: Limits,
}

/// Bounds of one invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A batch that inflates to more bytes is an error.
    pub max_inflated_bytes: u64,
    /// Messages published, at least [`FEWEST_MESSAGES`].
    pub max_messages: usize,
}

/// A digest and the unreadable entries need a message each.
pub const FEWEST_MESSAGES: usize = 2;

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
    /// When it began.
    pub now: Timestamp,
    /// When Lambda ends it.
    pub deadline: Timestamp,
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
    },
}

impl HandleError {
    /// A stable name for the error's type, as Lambda reports it.
    pub fn kind(&self) -> &'static str {
        match self {
            HandleError::Envelope(EnvelopeError::Gzip(
                crate::inflate::InflateError::TooLarge { .. },
            )) => "OversizeBatch",
            HandleError::Envelope(EnvelopeError::NotASubscription { .. }) => "NotASubscription",
            HandleError::Envelope(_) => "DamagedPayload",
            HandleError::Publish { first: PublishError::Transient(_), .. } => "PublishFailed",
            HandleError::Publish { first: PublishError::Permanent(_), .. } => "PublishRefused",
        }
    }
}

/// Something to tell, and what the ledger wants to hear once it was told.
struct Outgoing<'t> {
    severity: Severity,
    incident: Option<&'t Incident>,
    follow_up: Option<FollowUp>,
    telling: Option<Telling>,
}

impl<L: Ledger, P: Publish> Handler<'_, L, P> {
    /// Handles one payload. The summary is true whether or not the invocation failed.
    pub async fn handle(
        &self,
        payload: &[u8],
        invocation: &Invocation<'_>,
    ) -> (Summary, Result<(), HandleError>) {
        let mut summary = Summary { payload_bytes: payload.len() as u64, ..Summary::default() };
        let outcome = self.run(payload, invocation, &mut summary).await;
        (summary, outcome)
    }

    async fn run(
        &self,
        payload: &[u8],
        invocation: &Invocation<'_>,
        summary: &mut Summary,
    ) -> Result<(), HandleError> {
        let envelope = Envelope::open(payload)?;
        let mut triage = Triage::new(self.policy);
        let batch = envelope.entries(self.limits.max_inflated_bytes, |batch, entry| {
            triage.take(batch, entry);
        })?;
        let triaged = triage.finish();
        summary.control = batch.control;
        summary.inflated_bytes = batch.inflated_bytes;
        summary.triaged(&triaged, invocation.now);
        if triaged.incidents.is_empty() && triaged.rejects.count == 0 {
            return Ok(());
        }
        let payload_id = id_of(&[envelope.data()]);
        let outgoing =
            self.ask_ledger(&triaged, &batch, &payload_id, invocation.now, summary).await;
        self.send(outgoing, &triaged.rejects, &batch, invocation, summary).await
    }

    /// What of a batch is to be told now, the gravest first.
    async fn ask_ledger<'t>(
        &self,
        triaged: &'t Triaged,
        batch: &Batch,
        payload: &str,
        now: Timestamp,
        summary: &mut Summary,
    ) -> Vec<Outgoing<'t>> {
        let mut outgoing = Vec::new();
        let incidents = triaged.incidents.iter().map(|incident| {
            (sighting_of(incident, payload, now), incident.severity, Some(incident))
        });
        let rejects = (triaged.rejects.count > 0).then(|| {
            (sighting_of_rejects(&triaged.rejects, batch, payload, now), Severity::Medium, None)
        });
        for (sighting, severity, incident) in incidents.chain(rejects) {
            summary.incidents += 1;
            let telling = match self.ledger.record(sighting).await {
                Ok(Decision::Tell(telling)) => Some(telling),
                Ok(Decision::Hold) => {
                    summary.held += 1;
                    continue;
                }
                // A ledger that is down must not silence anything.
                Err(_) => {
                    summary.ledger_errors += 1;
                    None
                }
            };
            let follow_up = telling.as_ref().and_then(follow_up);
            outgoing.push(Outgoing { severity, incident, follow_up, telling });
        }
        outgoing.sort_by_key(|one| std::cmp::Reverse(one.severity));
        outgoing
    }

    async fn send(
        &self,
        mut outgoing: Vec<Outgoing<'_>>,
        rejects: &Rejects,
        batch: &Batch,
        invocation: &Invocation<'_>,
        summary: &mut Summary,
    ) -> Result<(), HandleError> {
        let in_digest = self.split_digest(&mut outgoing);
        let mut messages: Vec<Message> =
            outgoing.iter().map(|one| self.message(one, rejects, batch, invocation.now)).collect();
        let mut tellings: Vec<Vec<Outgoing<'_>>> = outgoing.into_iter().map(|o| vec![o]).collect();
        if !in_digest.is_empty() {
            let incidents: Vec<&Incident> = in_digest.iter().filter_map(|o| o.incident).collect();
            messages.push(Message::new(Alert::digest(&incidents, invocation.id)));
            tellings.push(in_digest);
        }
        let fates = self.publish.publish(&messages, invocation.deadline).await;
        let no_fate = PublishError::Transient("SNS did not say what became of it".to_owned());
        let fates = fates.into_iter().map(Some).chain(std::iter::repeat(None));
        let mut errors = Vec::new();
        for (told, fate) in tellings.iter().zip(fates) {
            match fate {
                Some(Ok(())) => self.confirm(told, summary).await,
                Some(Err(error)) => errors.push(error),
                None => errors.push(no_fate.clone()),
            }
        }
        summary.messages_failed = errors.len() as u64;
        fail_with(errors, messages.len())
    }

    /// Takes what goes beyond the number of messages out of `outgoing`, the least grave first.
    /// Unreadable entries keep a message of their own, for nobody knows what they hide.
    fn split_digest<'t>(&self, outgoing: &mut Vec<Outgoing<'t>>) -> Vec<Outgoing<'t>> {
        let most = self.limits.max_messages.max(FEWEST_MESSAGES);
        if outgoing.len() <= most {
            return Vec::new();
        }
        let unreadable = outgoing.iter().any(|one| one.incident.is_none());
        let mut own_messages = most - 1 - usize::from(unreadable);
        let (mut kept, mut in_digest) = (Vec::new(), Vec::new());
        for one in outgoing.drain(..) {
            match one.incident {
                None => kept.push(one),
                Some(_) if own_messages > 0 => {
                    own_messages -= 1;
                    kept.push(one);
                }
                Some(_) => in_digest.push(one),
            }
        }
        *outgoing = kept;
        in_digest
    }

    fn message(
        &self,
        one: &Outgoing<'_>,
        rejects: &Rejects,
        batch: &Batch,
        now: Timestamp,
    ) -> Message {
        let account = one.incident.map(|incident| incident.account.as_str());
        let context = Context {
            now,
            account_name: account.and_then(|account| self.policy.account_name(account)),
            owner: &batch.owner,
            log_group: &batch.log_group,
            log_stream: &batch.log_stream,
        };
        Message::new(match one.incident {
            Some(incident) => Alert::of_incident(incident, one.follow_up.clone(), &context),
            None => Alert::of_rejects(rejects, one.follow_up.clone(), &context),
        })
    }

    async fn confirm(&self, told: &[Outgoing<'_>], summary: &mut Summary) {
        summary.messages += 1;
        for one in told {
            summary.told += 1;
            if let Some(telling) = &one.telling
                && self.ledger.confirm(telling).await.is_err()
            {
                summary.ledger_errors += 1;
            }
        }
    }
}

fn sighting_of(incident: &Incident, payload: &str, now: Timestamp) -> Sighting {
    Sighting {
        incident: incident.id.clone(),
        payload: payload.to_owned(),
        now,
        count: incident.count,
        severity: incident.severity,
        watches: incident.watches().map(str::to_owned).collect(),
        calls: incident.calls.words.keys().cloned().collect(),
    }
}

fn sighting_of_rejects(
    rejects: &Rejects,
    batch: &Batch,
    payload: &str,
    now: Timestamp,
) -> Sighting {
    Sighting {
        incident: Rejects::id(&batch.owner, &batch.log_group),
        payload: payload.to_owned(),
        now,
        count: rejects.count,
        severity: Severity::Medium,
        watches: Default::default(),
        calls: Default::default(),
    }
}

fn follow_up(telling: &Telling) -> Option<FollowUp> {
    if telling.causes.contains(&Cause::First) {
        return None;
    }
    let causes = telling.causes.iter().map(Cause::to_string).collect();
    Some(FollowUp { causes, held: telling.held, total: telling.total })
}

fn fail_with(errors: Vec<PublishError>, messages: usize) -> Result<(), HandleError> {
    let failed = errors.len();
    let permanent = errors.iter().position(|e| matches!(e, PublishError::Permanent(_)));
    match errors.into_iter().nth(permanent.unwrap_or(0)) {
        Some(first) => Err(HandleError::Publish { failed, messages, first }),
        None => Ok(()),
    }
}
