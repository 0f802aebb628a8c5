//! The Lambda function: settings, clients and logs wired to the library, and nothing else.

#![recursion_limit = "256"] // the SDK's futures nest deeper than the default

mod function;
mod remembered;
mod shadow;

use std::fmt::Display;
use std::process::ExitCode;

use function::Function;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use regionwatch::aws::{SdkConfig, SnsPublisher, sdk_config};
use regionwatch::config::{Config, Outlet};
use regionwatch::publish::Publish;
use serde_json::value::RawValue;
use shadow::Shadow;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start_logs();
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

/// Reads the settings, and serves with the outlet that they name.
async fn start() -> Result<(), ExitCode> {
    let config = Config::from_vars(environment).map_err(cannot_start)?;
    let sdk = sdk_config().await;
    match config.outlet.clone() {
        Outlet::Topic(topic) => serve(config, &sdk, SnsPublisher::new(&sdk, topic)).await,
        Outlet::Shadow => serve(config, &sdk, Shadow).await,
    }
}

async fn serve<P: Publish>(config: Config, sdk: &SdkConfig, publish: P) -> Result<(), ExitCode> {
    let function = Function::start(config, sdk, publish).await.map_err(cannot_start)?;
    let handler = service_fn(|event: LambdaEvent<Box<RawValue>>| function.handle(event));
    lambda_runtime::run(handler).await.map_err(|error| {
        tracing::error!(%error, "the Lambda runtime ended");
        ExitCode::FAILURE
    })
}

fn cannot_start(fault: impl Display) -> ExitCode {
    tracing::error!(%fault, "the function cannot start");
    ExitCode::FAILURE
}

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
