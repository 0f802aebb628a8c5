//! The Lambda function: settings, clients and logs wired to the library, and nothing else.

#![recursion_limit = "256"] // the SDK's futures nest deeper than the default

use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use regionwatch::aws::SnsPublisher;
use regionwatch::config::Config;
use regionwatch::handler::{Handler, Invocation, Limits};
use regionwatch::ledger::InMemoryLedger;
use regionwatch::metrics::Summary;
use regionwatch::policy::Policy;
use serde_json::value::RawValue;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start_logs();
    let function = match Function::start().await {
        Ok(function) => function,
        Err(fault) => {
            tracing::error!(%fault, "the function cannot start");
            return ExitCode::FAILURE;
        }
    };
    let handler = service_fn(|event: LambdaEvent<Box<RawValue>>| function.handle(event));
    match lambda_runtime::run(handler).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}

/// What lives as long as the container.
struct Function {
    policy: Policy,
    ledger: InMemoryLedger,
    publish: SnsPublisher,
    limits: Limits,
}

impl Function {
    async fn start() -> Result<Self, Box<dyn std::error::Error>> {
        let config = Config::from_vars(environment)?;
        let mut policy = Policy::embedded()?;
        if let Some(approved) = config.approved_regions {
            policy = policy.with_approved_regions(approved);
        }
        Ok(Function {
            policy,
            ledger: InMemoryLedger::new(config.window),
            publish: SnsPublisher::new(config.topic).await,
            limits: config.limits,
        })
    }

    /// Answers with the summary, which whoever invokes the function by hand will want to see.
    async fn handle(&self, event: LambdaEvent<Box<RawValue>>) -> Result<Summary, Diagnostic> {
        let handler = Handler {
            policy: &self.policy,
            ledger: &self.ledger,
            publish: &self.publish,
            limits: self.limits,
        };
        let id = event.context.request_id.as_str();
        let now = now();
        let deadline = deadline(&event.context, now);
        let payload = event.payload.get().as_bytes();
        let invocation = Invocation { id, now, deadline };
        let (summary, outcome) = handler.handle(payload, &invocation).await;
        let fault = outcome.as_ref().err().map(ToString::to_string);
        print_line(&summary.line(id, now, fault.as_deref()));
        match outcome {
            Ok(()) => Ok(summary),
            Err(error) => Err(Diagnostic {
                error_type: error.kind().to_owned(),
                error_message: error.to_string(),
            }),
        }
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

/// JSON lines, as the function's log group wants them; Lambda names the level.
fn start_logs() {
    let level = environment("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok());
    let level = level.unwrap_or(LevelFilter::INFO);
    let targets = Targets::new()
        // Others are kept from saying more: at TRACE the runtime would log the whole payload.
        .with_default(level.min(LevelFilter::WARN))
        .with_target("regionwatch", level)
        .with_target("regionwatch_lambda", level)
        // It repeats every error that the canonical line tells; panics are on stderr anyway.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false);
    tracing_subscriber::registry().with(targets).with(lines).init();
}

#[expect(clippy::print_stdout, reason = "what a function prints is its log")]
fn print_line(line: &str) {
    println!("{line}");
}

#[expect(clippy::disallowed_methods, reason = "the binary feeds the settings to the library")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::disallowed_methods, reason = "the binary owns the clock")]
fn now() -> Timestamp {
    Timestamp::now()
}
