//! One invocation: open the payload, judge it, ask the ledger, publish, confirm.
//!
//! Nothing is published of a batch that could not be read to its end, and nothing is confirmed that
//! was not accepted. An `Err` makes Lambda replay the whole batch; the ledger keeps the replay from
//! telling anything twice.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::alert::incident::id_of;
use crate::alert::{Alert, Context, FollowUp, Formats, Incident, Message, Rejects};
use crate::envelope::{Batch, Envelope, EnvelopeError};
use crate::inflate::InflateError;
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
    /// Which texts the messages hold.
    pub formats: Formats,
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
    },
}

impl HandleError {
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

/// What a batch gives people to hear of.
#[derive(Clone, Copy)]
enum Finding<'t> {
    Incident(&'t Incident),
    /// All unreadable entries of the batch.
    Rejects(&'t Rejects),
}

/// A finding that is to be told, and what the ledger wants to hear once it was.
struct Outgoing<'t> {
    finding: Finding<'t>,
    follow_up: Option<FollowUp>,
    /// `None` where the ledger did not answer.
    telling: Option<Box<Telling>>,
}

/// What all findings of an invocation share.
struct Scene<'a> {
    batch: &'a Batch,
    /// The same for a replay.
    payload_id: String,
    invocation: &'a Invocation<'a>,
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
            summary.failed(error.kind(), error.to_string());
        }
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
        summary.opened(&batch);
        summary.triaged(&triaged, invocation.now);
        let findings = findings(&triaged);
        if findings.is_empty() {
            return Ok(());
        }
        let payload_id = payload_id(&envelope);
        let scene = Scene { batch: &batch, payload_id, invocation };
        let outgoing = self.ask_ledger(findings, &scene, summary).await;
        self.send(outgoing, &scene, summary).await
    }

    /// Which findings are to be told now.
    async fn ask_ledger<'t>(
        &self,
        findings: Vec<Finding<'t>>,
        scene: &Scene<'_>,
        summary: &mut Summary,
    ) -> Vec<Outgoing<'t>> {
        let mut outgoing = Vec::new();
        for finding in findings {
            summary.incidents += 1;
            let telling = match self.ledger.record(finding.sighting(scene)).await {
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
        let mut errors = Vec::new();
        for told in &told_by {
            match fates.next() {
                Some(Ok(())) => self.confirm(told, summary).await,
                Some(Err(error)) => errors.push(error),
                None => errors.push(PublishError::Transient("its fate is unknown".to_owned())),
            }
        }
        summary.messages_failed = errors.len() as u64;
        fail_with(errors, messages.len())
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
        let account = one.finding.incident().map(|incident| incident.account.as_str());
        let context = Context {
            now: scene.invocation.now,
            policy: self.policy.version(),
            account_name: account.and_then(|account| self.policy.account_name(account)),
            owner: &scene.batch.owner,
            log_group: &scene.batch.log_group,
            log_stream: &scene.batch.log_stream,
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

/// What the ledger knows a payload by: the same for a replay, and for a copy that was kept.
pub fn payload_id(envelope: &Envelope<'_>) -> String {
    id_of(&[envelope.data()])
}

/// The findings of a batch, the gravest first.
fn findings(triaged: &Triaged) -> Vec<Finding<'_>> {
    let mut findings: Vec<_> = triaged.incidents.iter().map(Finding::Incident).collect();
    if triaged.rejects.count > 0 {
        findings.push(Finding::Rejects(&triaged.rejects));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
    findings
}

impl<'t> Outgoing<'t> {
    fn in_digest(&self) -> Option<(&'t Incident, Option<&FollowUp>)> {
        Some((self.finding.incident()?, self.follow_up.as_ref()))
    }
}

impl<'t> Finding<'t> {
    fn incident(self) -> Option<&'t Incident> {
        match self {
            Finding::Incident(incident) => Some(incident),
            Finding::Rejects(_) => None,
        }
    }

    fn severity(self) -> Severity {
        self.incident().map_or(Rejects::SEVERITY, |incident| incident.severity)
    }

    fn sighting(self, scene: &Scene<'_>) -> Sighting {
        let Scene { payload_id, invocation, .. } = scene;
        let seen = Sighting {
            incident: String::new(),
            payload: payload_id.clone(),
            now: invocation.now,
            record_by: invocation.record_by(),
            confirm_by: invocation.confirm_by(),
            count: 0,
            severity: self.severity(),
            watches: BTreeSet::new(),
            calls: BTreeMap::new(),
        };
        match self {
            Finding::Incident(incident) => Sighting {
                incident: incident.id.clone(),
                count: incident.count,
                watches: incident.watches().map(str::to_owned).collect(),
                calls: incident.calls.words.clone(),
                ..seen
            },
            Finding::Rejects(rejects) => Sighting {
                incident: Rejects::id(&scene.batch.owner, &scene.batch.log_group),
                count: rejects.count,
                ..seen
            },
        }
    }
}

/// What an alert says of what was told before.
pub(crate) fn follow_up(telling: &Telling) -> Option<FollowUp> {
    if telling.causes.contains(&Cause::First) {
        return None;
    }
    let causes = telling.causes.iter().map(Cause::to_string).collect();
    Some(FollowUp::new(causes, telling.held, &telling.held_calls, telling.total))
}

fn fail_with(errors: Vec<PublishError>, messages: usize) -> Result<(), HandleError> {
    let failed = errors.len();
    let permanent = errors.iter().position(|e| matches!(e, PublishError::Permanent(_)));
    match errors.into_iter().nth(permanent.unwrap_or(0)) {
        Some(first) => Err(HandleError::Publish { failed, messages, first }),
        None => Ok(()),
    }
}
