//! `regionwatch scan`: the policy on history.

mod page;
mod pipe;
mod progress;
mod readers;
mod span;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use regionwatch::history::{Damaged, History, Pace, Report, Sources, Wanted};

use crate::input::{Folder, Input, Listed, Loaded, PolicyArgs, account};
use crate::output::{Format, complain, counts, plural, print, print_json};
use crate::{Done, now};
use progress::Progress;
use readers::Plan;

/// Arguments of `scan`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Print one JSON line for each record instead: its verdict, and why
    #[arg(long, conflicts_with = "format")]
    decisions: bool,
    /// Only records from then on: a date, a time, or how long ago, such as 30d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only records until then: a date, its whole day included, a time, or how long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only records of these accounts, separated by commas
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = account)]
    account: Vec<String>,
    /// How long the ledger keeps silent about what was told
    #[arg(long, value_name = "MINUTES", default_value = "60", value_parser = clap::value_parser!(u32).range(1..=1440))]
    window_minutes: u32,
    /// Messages that may be sent for what an account did within five minutes
    #[arg(long, value_name = "N", default_value = "25", value_parser = clap::value_parser!(u16).range(2..=1000))]
    max_messages: u16,
    /// Files read at the same time; as many as there are cores if not given
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Write a page to show: one file that needs nothing else
    #[arg(long, value_name = "OUT.html")]
    html: Option<PathBuf>,
    /// Exit with 1 when there are alerts
    #[arg(long)]
    exit_code: bool,
    /// CloudTrail files (.json, .json.gz, NDJSON, lookup-events, EventBridge, exports), folders, or -
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<Done, String> {
    args.html.as_deref().map_or(Ok(()), page::has_folder)?;
    let Loaded { policy, keys, .. } = args.policy.load()?;
    let wanted = args.wanted(now())?;
    let Listed { inputs, faults, digests } = Input::list(&args.paths, Folder::Records);
    let progress = Progress::of(&inputs);
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok());
    let plan = Arc::new(Plan::new(inputs, policy, wanted, args.decisions));
    readers::stop_on_interrupt(&plan);
    let mut history = History::new(&plan.policy);
    let mut sources = Sources { digests, ..Sources::default() };
    let read = readers::read_all(&plan, threads.map_or(1, NonZeroUsize::get), |mut news| {
        for (input, read) in news.ended(&plan) {
            match read {
                Ok(passed_over) => {
                    sources.files += 1;
                    sources.digests += passed_over;
                }
                Err(fault) => {
                    let (path, fault) = (input.name(), fault.clone());
                    sources.damaged.push(Damaged { path, fault });
                }
            }
        }
        let decisions = std::mem::take(&mut news.sheet.decisions);
        history.take(news.sheet);
        progress.show(plan.bytes(), history.entries());
        match decisions.trim_end() {
            "" => Ok(()),
            decisions => progress.beside(|| print(decisions)),
        }
    });
    progress.end();
    read?;
    sources.interrupted = plan.is_stopped();
    for account in history.absent(&plan.wanted) {
        complain(&format!("--account {account}: no record that was read is of this account"));
    }
    let report = history.report(sources, args.pace());
    let page = args
        .html
        .as_deref()
        .map_or(Ok(()), |path| page::write(path, &report.page(&keys.to_toml(), now())));
    // Whatever becomes of the page, what was seen is said.
    if let Err(fault) = &page {
        complain(fault);
    }
    finish(&args, &report, faults + usize::from(page.is_err()))
}

impl Args {
    fn wanted(&self, now: Timestamp) -> Result<Wanted, String> {
        let since = self.since.as_deref().map(|text| span::since(text, now)).transpose();
        let until = self.until.as_deref().map(|text| span::until(text, now)).transpose();
        let since = since.map_err(|what| format!("--since: {what}"))?;
        let until = until.map_err(|what| format!("--until: {what}"))?;
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            let [since, until] =
                [&self.since, &self.until].map(|text| text.as_deref().unwrap_or(""));
            return Err(format!(
                "--since {since} is not before --until {until}: no time is between them"
            ));
        }
        Ok(Wanted { since, until, accounts: self.account.iter().cloned().collect() })
    }

    fn pace(&self) -> Pace {
        Pace {
            window: SignedDuration::from_mins(i64::from(self.window_minutes)),
            max_messages: self.max_messages.into(),
        }
    }
}

/// Says what it comes to.
fn finish(args: &Args, report: &Report<'_>, faults: usize) -> Result<Done, String> {
    match (args.decisions, args.format) {
        (true, _) => {}
        (false, Format::Text) => print(&format!("{report}{}", last_line(report)))?,
        (false, Format::Json) => print_json(report)?,
    }
    let Sources { damaged, interrupted, .. } = report.sources();
    for Damaged { path, fault } in damaged {
        complain(&format!("{path}: {fault}"));
    }
    if *interrupted {
        complain("interrupted: this is what was seen until then");
        return Ok(Done::Interrupted);
    }
    let alerts = report.alerts() + report.rejected();
    Ok(Done::after(faults + damaged.len(), args.exit_code && alerts > 0))
}

/// `12 files, 2 damaged, 3 digests passed over, 542 entries: 519 alerts, ...; 14 messages`.
fn last_line(report: &Report<'_>) -> String {
    let Sources { files, damaged, digests, .. } = report.sources();
    let some = |count: u64, what: &str| match count {
        0 => String::new(),
        count => format!(", {count} {what}"),
    };
    format!(
        "{}{}{}, {}{}; {}",
        plural(*files as u64, "file", "files"),
        some(damaged.len() as u64, "damaged"),
        some(*digests, "passed over without records"),
        counts(report.entries(), report.alerts(), &report.ignored_by(), report.rejected()),
        some(report.unwanted(), "not asked for"),
        plural(report.messages() as u64, "message", "messages"),
    )
}
