//! `regionwatch suggest`: a policy to begin with, from history.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use regionwatch::envelope::Reject;
use regionwatch::policy::{DEFAULT_NAME, Policy, PolicyFaults};
use regionwatch::source::Item;
use regionwatch::suggest::Seen;
use regionwatch::triage::{Triage, Triaged};

use crate::input::{Folder, Input, Listed};
use crate::output::{plural, print};
use crate::{Done, now};

/// Arguments of `suggest`.
#[derive(clap::Args)]
pub struct Args {
    /// CloudTrail files, or folders of them; they are read twice
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// How long what is exempted stays so.
const EXEMPT_FOR: SignedDuration = SignedDuration::from_hours(24 * 90);

/// Runs the command.
pub fn run(args: &Args) -> Result<Done, String> {
    if args.paths.iter().any(|path| path == Path::new("-")) {
        return Err("suggest reads history twice: name files or folders".to_owned());
    }
    let Listed { inputs, faults, .. } = Input::list(&args.paths, Folder::Records);
    let mut seen = in_words(Seen::new())?;
    let unread = Input::read_records(&inputs, |record, owner| seen.take(record, owner));
    let until = now().checked_add(EXEMPT_FOR).unwrap_or(Timestamp::MAX);
    let until = TimeZone::UTC.to_datetime(until).date();
    // What it says of itself is a comment, and changes no verdict.
    let policy = in_words(Policy::with_user_file("the suggestion", &seen.to_toml(until, "")))?;
    let said = in_words_of(&tried(&policy, &inputs));
    print(seen.to_toml(until, &said).trim_end())?;
    Ok(Done::after(faults + unread, false))
}

/// What the policy makes of the history, as `scan` counts it.
fn tried(policy: &Policy, inputs: &[Input]) -> Triaged {
    let mut triage = Triage::new(policy);
    for input in inputs {
        let read = input.read(|item| match item {
            Item::Record { record, owner, entry_id, .. } => match record {
                Ok(record) => drop(triage.take_record(&record, owner, entry_id)),
                Err(error) => {
                    triage.reject(&Reject { entry_id: entry_id.to_owned(), fault: error.what() });
                }
            },
            Item::Unreadable { reject, .. } => triage.reject(&reject),
        });
        // What is wrong with it was said at the first reading.
        drop(read);
    }
    triage.finish()
}

fn in_words_of(triaged: &Triaged) -> String {
    let alerts = plural(triaged.alerts(), "alert", "alerts");
    let incidents = plural(triaged.incidents.len() as u64, "incident", "incidents");
    let unreadable = plural(triaged.rejects.count, "unreadable record", "unreadable records");
    format!("With it, the same history has {alerts} in {incidents}, and {unreadable}.")
}

fn in_words<T>(made: Result<T, PolicyFaults>) -> Result<T, String> {
    made.map_err(|faults| format!("what was made of {DEFAULT_NAME} cannot be used:\n{faults}"))
}
