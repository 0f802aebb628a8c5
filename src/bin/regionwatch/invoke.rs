//! `regionwatch invoke`: the Lambda's handler on subscription payloads in files.

use std::future::{Future, ready};
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use regionwatch::alert::{Formats, Message};
use regionwatch::config::Topic;
use regionwatch::handler::{Handler, Invocation, Limits};
use regionwatch::ledger::InMemoryLedger;
use regionwatch::metrics::Summary;
use regionwatch::publish::{Publish, PublishError};

use crate::input::{PolicyArgs, name};
use crate::output::{Format, complain, counts, plural, print, print_message};
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
    /// Subscription payloads: {"awslogs":{"data":"..."}}
    #[arg(required = true, value_name = "EVENT.json")]
    events: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<Done, String> {
    match args.topic_arn.clone() {
        None => pollster::block_on(invoke_all(&args, &Printer { format: args.format })),
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
        let publisher = regionwatch::aws::SnsPublisher::new(topic).await;
        invoke_all(args, &publisher).await
    })
}

#[cfg(not(feature = "aws"))]
fn publish_to(_: Topic, _: &Args) -> Result<Done, String> {
    Err("--topic-arn needs the AWS SDK: build with `--features aws`".to_owned())
}

/// How long one payload may take, as the template gives the function.
const TIME: SignedDuration = SignedDuration::from_secs(60);

async fn invoke_all<P: Publish>(args: &Args, publish: &P) -> Result<Done, String> {
    let policy = args.policy.load()?.policy;
    let ledger = InMemoryLedger::new(SignedDuration::from_mins(60));
    let handler = Handler {
        policy: &policy,
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
        let invocation = Invocation { id: &name, now, deadline: now + TIME };
        let (summary, outcome) = handler.handle(&payload, &invocation).await;
        alerts += summary.alerts + summary.rejected;
        match outcome {
            Ok(()) => report(&name, &summary, args.format)?,
            Err(fault) => {
                complain(&format!("{name}: {fault}"));
                faults += 1;
            }
        }
    }
    Ok(Done::after(faults, args.exit_code && alerts > 0))
}

/// One line for each payload, so that nothing that was not told goes unmentioned.
fn report(name: &str, summary: &Summary, format: Format) -> Result<(), String> {
    let what = if summary.control {
        "a control message, nothing to judge".to_owned()
    } else {
        counts(summary.entries, summary.alerts, &summary.ignored_by, summary.rejected)
    };
    let told = match summary.incidents {
        0 => String::new(),
        incidents => {
            let incidents = plural(incidents, "incident", "incidents");
            format!("; {incidents}, {} told, {} held back", summary.told, summary.held)
        }
    };
    let line = format!("{name}: {what}{told}");
    match format {
        Format::Text => print(&line),
        Format::Json => {
            complain(&line);
            Ok(())
        }
    }
}

/// Prints what would be sent.
struct Printer {
    format: Format,
}

impl Publish for Printer {
    fn publish(
        &self,
        messages: &[Message],
        _: Timestamp,
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send {
        let print = |message| print_message(message, self.format).map_err(PublishError::Permanent);
        ready(messages.iter().map(print).collect())
    }
}
