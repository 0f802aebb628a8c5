//! What lives as long as the container, and one invocation of it.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use regionwatch::alert::Formats;
use regionwatch::aws::{SdkConfig, SsmPolicy};
use regionwatch::config::{Config, Outlet};
use regionwatch::handler::{HandleError, Handler, Invocation, Limits};
use regionwatch::metrics::Summary;
use regionwatch::policy::Policy;
use regionwatch::publish::Publish;
use regionwatch::skim::Seen;
use regionwatch::standing::{News, Refusal, Standing};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::remembered::Remembered;
use crate::{environment, now, print_line};

/// What lives as long as the container.
pub struct Function<P> {
    standing: Standing<SsmPolicy>,
    seen: Mutex<Seen>,
    ledger: Remembered,
    publish: P,
    formats: Formats,
    limits: Limits,
    shadow: bool,
    /// The function's own name, for its metrics.
    name: String,
}

impl<P: Publish> Function<P> {
    /// Reads the policy and tells what is new about it.
    pub async fn start(
        config: Config,
        sdk: &SdkConfig,
        publish: P,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let (approved, now) = (config.approved_regions, now());
        let (standing, news) = match config.policy_parameter {
            None => Standing::embedded(approved, now)?,
            Some(parameter) => {
                let source = SsmPolicy::new(sdk, parameter);
                Standing::start(source, config.policy_ttl, approved, now).await?
            }
        };
        news.iter().for_each(|news| tell(news, now));
        Ok(Function {
            standing,
            seen: Mutex::default(),
            ledger: Remembered::new(sdk, config.ledger_table, config.window),
            publish,
            formats: config.formats,
            limits: config.limits,
            shadow: config.outlet == Outlet::Shadow,
            name: environment("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        })
    }

    /// One invocation, and the answer to it.
    pub async fn handle(&self, event: LambdaEvent<Box<RawValue>>) -> Result<Answer, Diagnostic> {
        let id = event.context.request_id.as_str();
        let now = now();
        let deadline = deadline(&event.context, now);
        let in_force = self.standing.current(now).await;
        in_force.news.iter().for_each(|news| tell(news, now));
        let handler = Handler {
            policy: &in_force.policy,
            seen: &self.seen,
            ledger: &self.ledger,
            publish: &self.publish,
            formats: self.formats,
            limits: self.limits,
        };
        let payload = event.payload.get().as_bytes();
        let (mut summary, outcome) =
            handler.handle(payload, &Invocation { id, now, began: now, deadline }).await;
        summary.policy_errors = in_force.errors;
        summary.shadow = self.shadow;
        summary.duration_ms = millis_since(now);
        print_line(&summary.line(id, now));
        print_line(&summary.metrics_line(&self.name, now));
        Answer::to(summary, outcome)
    }
}

/// What Lambda, or whoever invokes the function by hand, is answered.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// What was done: people will want to see it.
    Done(Box<Summary>),
    /// Of a stream, where to begin again (Lambda guide, "Configuring partial batch response with
    /// Kinesis Data Streams and Lambda"): nothing else may stand there.
    Stream {
        #[serde(rename = "batchItemFailures")]
        failures: Vec<ItemFailure>,
    },
}

/// The first record that has to come again; all behind it come, too.
#[derive(Serialize)]
pub struct ItemFailure {
    #[serde(rename = "itemIdentifier")]
    sequence_number: String,
}

impl Answer {
    fn to(summary: Summary, outcome: Result<(), HandleError>) -> Result<Self, Diagnostic> {
        match outcome {
            Ok(()) if summary.kinesis_records.is_some() => {
                Ok(Answer::Stream { failures: Vec::new() })
            }
            Ok(()) => Ok(Answer::Done(Box::new(summary))),
            Err(error) => match error.retry_from() {
                Some(from) => {
                    let failure = ItemFailure { sequence_number: from.to_owned() };
                    Ok(Answer::Stream { failures: vec![failure] })
                }
                None => Err(Diagnostic {
                    error_type: error.kind().to_owned(),
                    error_message: error.to_string(),
                }),
            },
        }
    }
}

/// None, should the clock have been put back.
fn millis_since(then: Timestamp) -> u64 {
    now().duration_since(then).as_millis().try_into().unwrap_or(0)
}

/// One line for each thing that is new about the policy.
fn tell(news: &News, now: Timestamp) {
    match news {
        News::TakenUp(policy) => tell_taken_up(policy, now),
        News::Refused(refusal) => {
            let (name, version) = match refusal {
                Refusal::Unreadable { name, .. } => (name, None),
                Refusal::Invalid { name, version, .. } => (name, Some(*version)),
            };
            tracing::error!(
                parameter = name,
                parameter_version = version,
                fault = %refusal,
                "the newest policy is not in force, the last good one is"
            );
        }
    }
}

fn tell_taken_up(policy: &Policy, now: Timestamp) {
    let version = policy.version();
    let (digest, parameter) = (version.digest.as_str(), version.parameter);
    tracing::info!(policy = digest, policy_version = parameter, "policy in force");
    let expired = policy.expired(now);
    if !expired.is_empty() {
        tracing::warn!(
            policy = digest,
            policy_version = parameter,
            exemptions = expired.join(", "),
            "exemptions have expired and silence nothing any more"
        );
    }
}

/// When Lambda ends the invocation. `cargo lambda watch` names a moment in 1970; then the function
/// has the time that the template gives it.
fn deadline(context: &Context, now: Timestamp) -> Timestamp {
    let deadline = Timestamp::try_from(context.deadline());
    deadline.ok().filter(|deadline| *deadline > now).unwrap_or(now + TIMEOUT)
}

/// The function's timeout in the template.
const TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
