//! `regionwatch diff`: a change of policy, tried on history.

use std::path::PathBuf;

use regionwatch::differences::{Change, Comparison, Difference, Differences, Judged, Kind};

use crate::Done;
use crate::input::{Folder, Input, Listed, PolicyArgs};
use crate::output::{Format, plural, print};

/// Arguments of `diff`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    /// The policy file that it is compared with; without it the default policy
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Exit with 1 when a verdict differs
    #[arg(long)]
    exit_code: bool,
    /// CloudTrail files (.json, .json.gz, NDJSON, lookup-events, EventBridge), folders, or -
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Done, String> {
    let after = args.policy.load()?.policy;
    let before = PolicyArgs::of(args.against.clone()).load()?.policy;
    let Listed { inputs, faults, .. } = Input::list(&args.paths, Folder::Records);
    let mut comparison = Comparison::new(&before, &after);
    let unread = Input::read_records(&inputs, |record, owner| comparison.take(record, owner));
    let differences = comparison.finish();
    match args.format {
        Format::Text => print(&text(&differences))?,
        Format::Json => {
            print(&serde_json::to_string(&differences).map_err(|error| error.to_string())?)?;
        }
    }
    Ok(Done::after(faults + unread, args.exit_code && differences.differ > 0))
}

/// Kinds of calls that a group shows to people.
const SHOWN: usize = 5;

fn text(differences: &Differences) -> String {
    let mut page = String::new();
    let mut last = None;
    for group in &differences.groups {
        if last.replace(group.change) != Some(group.change) {
            page.push_str(heading(group.change));
            page.push('\n');
        }
        page.push_str(&in_words(group));
    }
    let records = plural(differences.records, "record", "records");
    let rest = match differences.differ {
        0 => "all are judged alike".to_owned(),
        1 => "1 is judged otherwise".to_owned(),
        many => format!("{many} are judged otherwise"),
    };
    let again = match differences.repeated {
        0 => String::new(),
        repeated => format!(" ({repeated} more came again)"),
    };
    page + &format!("{records}{again}: {rest}")
}

fn heading(change: Change) -> &'static str {
    match change {
        Change::AlertsNoLonger => "alerts no longer",
        Change::AlertsNow => "alerts now",
        Change::AlertsOtherwise => "alerts otherwise",
        Change::IgnoredOtherwise => "ignored for another reason",
    }
}

fn in_words(group: &Difference) -> String {
    let (before, after) = (judged(&group.before), judged(&group.after));
    let mut lines = vec![format!("{:>7} x {before} -> {after}", group.count)];
    let shown = group.calls.iter().take(SHOWN);
    lines.extend(shown.clone().map(|Kind { count, call, region, account, principal }| {
        let account = if account.is_empty() { "unknown" } else { account };
        format!("{count:>12} x {call} in {region}, account {account}, by {principal}")
    }));
    let others = group.count - shown.map(|kind| kind.count).sum::<u64>();
    if others > 0 {
        lines.push(format!("{others:>12} x others"));
    }
    if !group.samples.is_empty() {
        lines.push(format!("             such as {}", group.samples.join(", ")));
    }
    lines.join("\n") + "\n\n"
}

fn judged(judged: &Judged) -> String {
    let severity = judged.severity.map(|severity| format!(" {severity}"));
    format!("{} {}{}", judged.verdict, judged.reason, severity.unwrap_or_default())
}
