//! `regionwatch policy`: check a policy, show the one in force, or say it in other languages.

mod export;

use std::path::{Path, PathBuf};

use regionwatch::policy::{Example, ExampleRecords, Place, Policy, PolicyFile, Verdict};
use regionwatch::record::Record;
use regionwatch::source::{self, Item};

use crate::input::{Input, Loaded, PolicyArgs};
use crate::output::{complain, plural, print};
use crate::{Done, now};

/// What to do with a policy.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Check a policy, and judge its own [[example]]s
    Check(PolicyArgs),
    /// Print the policy in force as TOML, and where each change to the default policy comes from
    Show(PolicyArgs),
    /// Print a filter pattern of CloudWatch Logs that matches whatever the policy alerts on
    Pattern(PolicyArgs),
    /// Print a table over a trail's files and a query, for Athena, that returns what the policy alerts on
    Athena(export::AthenaArgs),
    /// Print a service control policy that denies what the policy alerts on
    Scp(export::ScpArgs),
}

/// Runs the command.
pub fn run(command: &Command) -> Result<Done, String> {
    match command {
        Command::Check(args) => check(args),
        Command::Show(args) => show(args),
        Command::Pattern(args) => export::pattern(args),
        Command::Athena(args) => export::athena(args),
        Command::Scp(args) => export::scp(args),
    }
}

fn show(args: &PolicyArgs) -> Result<Done, String> {
    let Loaded { policy, keys, .. } = args.load()?;
    print(&format!(
        "# The policy in force, version {}. What has no place behind it comes from the\n\
         # default policy.\n{}",
        policy.version(),
        keys.to_toml().trim_end()
    ))?;
    Ok(Done::Fine)
}

/// Says all that is to be said of a policy. Only a fault or an example gone wrong makes it bad.
fn check(args: &PolicyArgs) -> Result<Done, String> {
    let loaded = args.load()?;
    let Loaded { policy, keys, .. } = &loaded;
    for remark in keys.remarks(now()) {
        complain(&remark.to_string());
    }
    let folder = args.policy.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let mut counts = Counts::default();
    for (place, example) in loaded.last().map(PolicyFile::examples).into_iter().flatten() {
        counts.add(try_example(policy, folder, place, example));
    }
    let name = args.policy.as_deref();
    let name = name.map_or_else(|| "the default policy".to_owned(), crate::input::name);
    let judged = if counts.wrong == 0 { "is sound" } else { "can be used, but see its examples" };
    print(&format!("{name} {judged}: version {}; {}", policy.version(), keys.summary()))?;
    print(&counts.in_words())?;
    Ok(if counts.wrong > 0 { Done::BadInput } else { Done::Fine })
}

#[derive(Default)]
struct Counts {
    right: u64,
    wrong: u64,
}

impl Counts {
    fn add(&mut self, outcome: Result<(), Vec<String>>) {
        match outcome {
            Ok(()) => self.right += 1,
            Err(faults) => {
                self.wrong += 1;
                faults.iter().for_each(|fault| complain(fault));
            }
        }
    }

    fn in_words(&self) -> String {
        let all = plural(self.right + self.wrong, "example", "examples");
        match (self.right, self.wrong) {
            (0, 0) => "no examples".to_owned(),
            (_, 0) => format!("{all}, judged as expected"),
            (_, wrong) => format!("{all}, of which {wrong} not judged as expected"),
        }
    }
}

/// Judges an example. `Err` says of each record in it that is judged otherwise how it is judged.
fn try_example(
    policy: &Policy,
    folder: &Path,
    place: &Place,
    example: &Example,
) -> Result<(), Vec<String>> {
    let front = format!("{place}: example `{}`", example.name);
    let mut wrong = Vec::new();
    let mut judge = |verdict: &Verdict, which: &str| {
        if !example.expects(verdict) {
            let expected = example.expected();
            wrong.push(format!("{front}: expected `{expected}`, judged `{verdict}`{which}"));
        }
    };
    match &example.records {
        ExampleRecords::Text(text) => judge(&verdict(policy, text), ""),
        ExampleRecords::File(file) => {
            let path = folder.join(file);
            match judge_file(policy, path, &mut judge) {
                Ok(0) => wrong.push(format!("{front}: {file}: no records in it")),
                Ok(_) => {}
                Err(fault) => wrong.push(format!("{front}: {file}: {fault}")),
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Judges every record of a file; the number of them.
fn judge_file(
    policy: &Policy,
    path: PathBuf,
    judge: &mut impl FnMut(&Verdict, &str),
) -> Result<u64, String> {
    let mut records = 0;
    let opened = Input::File(path).open().map_err(|fault| fault.to_string())?;
    let read = source::read(opened, |item| {
        records += 1;
        let which = format!(" (record {records} of the file)");
        match item {
            Item::Record { record, owner, .. } => {
                let verdict = record.map(|record| policy.judge(&record, owner));
                judge(&verdict.unwrap_or(Verdict::Reject), &which);
            }
            Item::Unreadable { .. } => judge(&Verdict::Reject, &which),
        }
    });
    read.map_err(|fault| fault.to_string())?;
    Ok(records)
}

fn verdict(policy: &Policy, text: &str) -> Verdict {
    Record::parse(text).map_or(Verdict::Reject, |record| policy.judge(&record, ""))
}
