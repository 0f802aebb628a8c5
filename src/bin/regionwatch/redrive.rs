//! `regionwatch redrive`: what the on-failure destination kept, handled again.
//!
//! Nothing is changed anywhere unless `--publish` says so. Then each payload is published, noted in
//! the journal and deleted where it was kept, in this order: whatever is cut short in between is
//! taken up again, and repeats the alerts of one payload at most.

mod journal;
mod place;
mod rounds;
#[cfg(feature = "aws")]
mod sdk;

use std::path::PathBuf;
use std::sync::Mutex;

use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use jiff::SignedDuration;
use regionwatch::alert::{Formats, HttpsFormat};
use regionwatch::config::Topic;
use regionwatch::handler::{Handler, Limits};
use regionwatch::ledger::{InMemoryLedger, Ledger};
use regionwatch::policy::Policy;
use regionwatch::publish::Publish;
use regionwatch::skim::Seen;

use crate::Done;
use crate::input::{PolicyArgs, name};
use crate::output::{Format, Printer};
use journal::Journal;
use place::Place;
use rounds::{Mode, Rounds, bar};

/// Arguments of `redrive`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Judge by the policy in this parameter of the Systems Manager, as the function does
    #[arg(long, value_name = "NAME", conflicts_with = "policy")]
    policy_parameter: Option<String>,
    /// Publish by the default policy, which is the function's only where it has no other
    #[arg(long, conflicts_with_all = ["policy", "policy_parameter"])]
    default_policy: bool,
    /// Publish, note it in the journal and delete what was published; without it nothing is changed.
    /// By which policy has to be said
    #[arg(long, requires = "topic_arn")]
    publish: bool,
    /// The SNS topic
    #[arg(long, value_name = "ARN")]
    topic_arn: Option<String>,
    /// The function's ledger, so that what was told is not told again; a dry run does not ask it
    #[arg(long, value_name = "NAME")]
    ledger_table: Option<String>,
    /// WINDOW_MINUTES of the function
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u16).range(1..=1440))]
    window_minutes: u16,
    /// MAX_MESSAGES of the function, for each payload
    #[arg(long, value_name = "N", default_value = "25", value_parser = clap::value_parser!(u16).range(2..=1000))]
    max_messages: u16,
    /// HTTPS_FORMAT of the function
    #[arg(long, value_enum, default_value = "json")]
    https_format: Https,
    /// Where it is noted what was published, so that the same command goes on after a fault
    #[arg(long, value_name = "FILE", default_value = "regionwatch-redrive.journal")]
    journal: PathBuf,
    /// How alerts are printed; json prints one alert a line and nothing else on stdout
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Redrive the objects of this S3 bucket
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["queue_url", "paths"])]
    bucket: Option<String>,
    /// Only objects whose key begins so; Lambda's own are the default
    #[arg(long, value_name = "KEY", default_value = "aws/lambda/", conflicts_with_all = ["queue_url", "paths"])]
    prefix: String,
    /// Redrive the messages of this SQS queue
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "paths")]
    queue_url: Option<String>,
    /// Delete neither objects nor messages
    #[arg(long)]
    keep: bool,
    /// Files and folders of kept objects or messages, or -; files are never deleted
    #[arg(required_unless_present_any = ["bucket", "queue_url"], value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Https {
    Json,
    AmazonQ,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Done, String> {
    let topic = args.topic_arn.as_deref().map(Topic::parse).transpose();
    let topic = topic.map_err(|what| format!("--topic-arn: {what}"))?;
    if args.publish && args.named_policy().is_none() {
        return Err(NO_POLICY.to_owned());
    }
    match args.flag_for_sdk() {
        None => {
            let policy = args.policy.load()?.policy;
            pollster::block_on(dry_run(args, &policy, Place::files(&args.paths), topic.as_ref()))
        }
        #[cfg(feature = "aws")]
        Some(_) => sdk::run(args, topic),
        #[cfg(not(feature = "aws"))]
        Some(flag) => Err(format!("{flag} needs the AWS SDK: build with `--features aws`")),
    }
}

const NO_POLICY: &str = "--publish needs to know by which policy, for what that ignores is deleted, \
    too: add --policy-parameter NAME (the stack's output PolicyParameter), --policy FILE, or \
    --default-policy";

impl Args {
    /// The first argument that asks for something of AWS.
    fn flag_for_sdk(&self) -> Option<&'static str> {
        let flags = [
            ("--topic-arn", self.topic_arn.is_some()),
            ("--ledger-table", self.ledger_table.is_some()),
            ("--policy-parameter", self.policy_parameter.is_some()),
            ("--bucket", self.bucket.is_some()),
            ("--queue-url", self.queue_url.is_some()),
        ];
        flags.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag))
    }

    /// The policy that was asked for.
    fn named_policy(&self) -> Option<String> {
        match (&self.policy_parameter, &self.policy.policy) {
            (Some(parameter), _) => Some(format!("parameter {parameter}")),
            (_, Some(file)) => Some(name(file)),
            _ if self.default_policy => Some(DEFAULT_POLICY.to_owned()),
            _ => None,
        }
    }

    /// What judged, in words.
    fn policy_in_words(&self, policy: &Policy) -> String {
        let named = self.named_policy().unwrap_or_else(|| DEFAULT_POLICY.to_owned());
        // No account: those that have no list of their own.
        let (version, approved) = (policy.version(), policy.approved_for(""));
        format!("judged by {named}, {version}: approved regions {approved}")
    }

    /// How a dry run is done for real.
    fn advice(&self) -> Vec<String> {
        let missing = [
            (true, "--publish"),
            (self.topic_arn.is_none(), "--topic-arn ARN"),
            (self.named_policy().is_none(), "--policy-parameter NAME"),
        ];
        let missing = missing.iter().filter_map(|(is_missing, flag)| is_missing.then_some(*flag));
        let missing = missing.collect::<Vec<_>>().join(" ");
        let mut advice =
            vec![format!("nothing was published, noted or deleted; to do it, add {missing}")];
        let idle = [("--keep", self.keep), ("--ledger-table", self.ledger_table.is_some())];
        let idle = idle.iter().filter_map(|(flag, is_given)| is_given.then_some(*flag));
        advice.extend(idle.map(|flag| format!("{flag} had no effect without --publish")));
        advice
    }

    fn window(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.window_minutes))
    }

    fn handler<'a, L, P>(
        &self,
        policy: &'a Policy,
        seen: &'a Mutex<Seen>,
        ledger: &'a L,
        publish: &'a P,
    ) -> Handler<'a, L, P> {
        let https = match self.https_format {
            Https::Json => HttpsFormat::Json,
            Https::AmazonQ => HttpsFormat::AmazonQ,
        };
        // What was too large for the function is not too large here.
        let limits =
            Limits { max_inflated_bytes: LARGEST_BATCH, max_messages: self.max_messages.into() };
        Handler { policy, seen, ledger, publish, formats: Formats { https }, limits }
    }
}

const DEFAULT_POLICY: &str = "the default policy";

/// The most that the function's `MAX_INFLATED_BYTES` can be.
const LARGEST_BATCH: u64 = 1 << 32;

/// Prints what would be published. The journal of the topic is read, so that what is done already
/// does not count; the ledger is in memory, for a table would have to be written.
async fn dry_run(
    args: &Args,
    policy: &Policy,
    place: Place,
    topic: Option<&Topic>,
) -> Result<Done, String> {
    let ledger = InMemoryLedger::new(args.window());
    let bar = bar();
    let printer = Printer::beside(bar.clone(), args.format);
    let done = match topic {
        Some(topic) => Journal::read(&args.journal, &topic.arn)?,
        None => Default::default(),
    };
    let mode = Mode::Dry { advice: args.advice() };
    let seen = Mutex::default();
    let handler = args.handler(policy, &seen, &ledger, &printer);
    Rounds::new(handler, mode, args.policy_in_words(policy), done, args.format, bar)
        .run(place)
        .await
}

/// Publishes for real.
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "only the SDK publishes"))]
async fn publish<L: Ledger, P: Publish>(
    args: &Args,
    handler: Handler<'_, L, P>,
    place: Place,
    topic: &Topic,
) -> Result<Done, String> {
    let (journal, done) = Journal::open(&args.journal, &topic.arn)?;
    let mode = Mode::Publish { journal, keep: args.keep };
    let policy = args.policy_in_words(handler.policy);
    Rounds::new(handler, mode, policy, done, args.format, bar()).run(place).await
}
