//! Everything of `redrive` that AWS is asked for.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use regionwatch::aws::{DynamoItems, S3Objects, SnsPublisher, SqsMessages, SsmPolicy, sdk_config};
use regionwatch::config::{LedgerTable, Parameter, Topic};
use regionwatch::ledger::{InMemoryLedger, Items, LedgerError, SharedLedger, Write, Written};
use regionwatch::policy::Policy;
use regionwatch::standing::{News, Standing};

use super::place::Place;
use super::{Args, dry_run, publish};
use crate::output::complain;
use crate::{Done, now};

/// Runs the command.
pub fn run(args: &Args, topic: Option<Topic>) -> Result<Done, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let table = args.ledger_table.as_deref().map(|name| LedgerTable::parse(name, false));
        let table = table.transpose().map_err(|what| format!("--ledger-table: {what}"))?;
        let policy = policy(args).await?;
        let place = place(args).await?;
        match topic {
            Some(topic) if args.publish => told(args, &policy, place, topic, table).await,
            topic => dry_run(args, &policy, place, topic.as_ref()).await,
        }
    })
}

async fn told(
    args: &Args,
    policy: &Policy,
    place: Place,
    topic: Topic,
    table: Option<LedgerTable>,
) -> Result<Done, String> {
    let sns = SnsPublisher::new(&sdk_config().await, topic.clone());
    let seen = Mutex::default();
    match table {
        None => {
            let ledger = InMemoryLedger::new(args.window());
            publish(args, args.handler(policy, &seen, &ledger, &sns), place, &topic).await
        }
        Some(table) => {
            let name = table.name.clone();
            let items = DynamoItems::patient(&sdk_config().await, table);
            // Without it each payload would be told by itself.
            let checked = items.check().await;
            checked
                .map_err(|what| format!("--ledger-table {name}: {what}; nothing was published"))?;
            let ledger = SharedLedger::new(Belated(items), args.window());
            publish(args, args.handler(policy, &seen, &ledger, &sns), place, &topic).await
        }
    }
}

/// The function's items, for payloads whose time is long past.
struct Belated(DynamoItems);

/// How long an item stays at least, from now on: its window may be of last month.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

impl Items for Belated {
    async fn write(&self, write: Write<'_>) -> Result<Written, LedgerError> {
        let expires = write.expires.max(now() + KEPT);
        self.0.write(Write { expires, ..write }).await
    }

    /// Never: no time-out of Lambda waits behind this, and each request has its own.
    fn is_past(&self, _: Timestamp) -> bool {
        false
    }
}

async fn place(args: &Args) -> Result<Place, String> {
    Ok(match (&args.bucket, &args.queue_url) {
        (Some(bucket), _) => Place::Bucket(S3Objects::new(bucket, &args.prefix).await),
        (_, Some(url)) => {
            let messages = SqsMessages::new(url, args.publish).await;
            Place::Queue(messages.map_err(|error| error.to_string())?)
        }
        _ => Place::files(&args.paths),
    })
}

/// The policy that a new container of the function would judge by.
async fn policy(args: &Args) -> Result<Arc<Policy>, String> {
    let Some(name) = &args.policy_parameter else {
        return Ok(Arc::new(args.policy.load()?.policy));
    };
    let fault = |what: String| format!("--policy-parameter: {what}");
    let parameter = Parameter::parse(name).map_err(fault)?;
    let (approved, now) = (args.policy.approved()?, now());
    let source = SsmPolicy::new(&sdk_config().await, parameter);
    let started = Standing::start(source, SignedDuration::MAX, approved, now).await;
    let (standing, news) = started.map_err(|error| fault(error.to_string()))?;
    for news in news {
        if let News::Refused(refusal) = news {
            complain(&format!("{refusal}\nan earlier version judges instead"));
        }
    }
    Ok(standing.current(now).await.policy)
}
