//! `regionwatch invoke`: the Lambda's handler on payloads in files.

use std::path::PathBuf;
use std::sync::Mutex;

use jiff::SignedDuration;
use regionwatch::alert::Formats;
use regionwatch::config::Topic;
use regionwatch::handler::{HandleError, Handler, Invocation, Limits};
use regionwatch::ledger::InMemoryLedger;
use regionwatch::publish::Publish;

use crate::input::{PolicyArgs, name};
use crate::output::{Format, Printer, complain, print_beside, summary_line};
use crate::{Done, now};

/// Arguments of `invoke`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Publish to this SNS topic instead of stdout
    #[arg(long, value_name = "ARN")]
    topic_arn: Option<String>,
    /// How alerts are printed; json prints one alert a line and nothing else on stdout
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Exit with 1 when there are alerts
    #[arg(long)]
    exit_code: bool,
    /// Payloads of a subscription, {"awslogs":{"data":"..."}}, or of a Kinesis stream
    #[arg(required = true, value_name = "EVENT.json")]
    events: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<Done, String> {
    match args.topic_arn.clone() {
        None => pollster::block_on(invoke_all(&args, &Printer::new(args.format))),
        Some(arn) => {
            publish_to(Topic::parse(&arn).map_err(|what| format!("--topic-arn: {what}"))?, &args)
        }
    }
}

#[cfg(feature = "aws")]
fn publish_to(topic: Topic, args: &Args) -> Result<Done, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let publisher =
            regionwatch::aws::SnsPublisher::new(&regionwatch::aws::sdk_config().await, topic);
        invoke_all(args, &publisher).await
    })
}

#[cfg(not(feature = "aws"))]
fn publish_to(_: Topic, _: &Args) -> Result<Done, String> {
    Err("--topic-arn needs the AWS SDK: build with `--features aws`".to_owned())
}

/// How long one payload may take, as the template gives the function.
pub const TIME: SignedDuration = SignedDuration::from_secs(60);

async fn invoke_all<P: Publish>(args: &Args, publish: &P) -> Result<Done, String> {
    let policy = args.policy.load()?.policy;
    let ledger = InMemoryLedger::new(SignedDuration::from_mins(60));
    let handler = Handler {
        policy: &policy,
        seen: &Mutex::default(),
        ledger: &ledger,
        publish,
        formats: Formats::default(),
        limits: Limits::default(),
    };
    let (mut alerts, mut faults) = (0, 0);
    for path in &args.events {
        let name = name(path);
        let payload = match std::fs::read(path) {
            Ok(payload) => payload,
            Err(fault) => {
                complain(&format!("{name}: {fault}"));
                faults += 1;
                continue;
            }
        };
        let now = now();
        let invocation = Invocation { id: &name, now, began: now, deadline: now + TIME };
        let (summary, outcome) = handler.handle(&payload, &invocation).await;
        alerts += summary.alerts + summary.rejected;
        match outcome {
            Ok(()) => print_beside(&summary_line(&name, &summary), args.format)?,
            Err(fault) => {
                complain(&format!("{name}: {fault}{}", begins_again(&fault)));
                faults += 1;
            }
        }
    }
    Ok(Done::after(faults, args.exit_code && alerts > 0))
}

/// What Lambda would do about a stream.
fn begins_again(fault: &HandleError) -> String {
    let with = |from| format!("; Lambda begins again with record {from}");
    fault.retry_from().map(with).unwrap_or_default()
}
