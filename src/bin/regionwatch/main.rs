//! The command line: the Lambda's code path on files.

#![cfg_attr(feature = "aws", recursion_limit = "256")] // the SDK's futures nest deep

mod changes;
mod diff;
mod explain;
mod input;
mod invoke;
mod output;
mod pack;
mod policy;
mod redrive;
mod scan;
mod suggest;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jiff::Timestamp;

/// Alerts on AWS activity in regions that nobody approved, read-only calls excepted.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Handle payloads as the Lambda function does; alerts go to stdout
    Invoke(invoke::Args),
    /// Handle again what the on-failure destination kept: a dry run, unless told to publish
    Redrive(redrive::Args),
    /// Judge history: CloudTrail files, folders of them, or - for standard input
    Scan(scan::Args),
    /// Say of each record, question by question, why it is judged as it is
    Explain(explain::Args),
    /// Check a policy, or show the one in force
    #[command(subcommand)]
    Policy(policy::Command),
    /// Say of history which verdicts differ between two policies
    Diff(diff::Args),
    /// Print a policy to begin with, suggested from history
    Suggest(suggest::Args),
    /// Make a payload from records, for local invokes
    Pack(pack::Args),
}

/// How a command ended well.
enum Done {
    /// Nothing to say by exit code.
    Fine,
    /// There is something that the caller wants to know of by exit code: alerts, or differences.
    Found,
    /// Some of the input was bad; it was said on stderr, and the rest was done.
    BadInput,
    /// Somebody broke it off; what was done until then was said.
    Interrupted,
}

impl Done {
    /// Bad input matters more than what was found: it may hide some.
    fn after(faults: usize, found: bool) -> Self {
        match (faults, found) {
            (0, false) => Done::Fine,
            (0, true) => Done::Found,
            _ => Done::BadInput,
        }
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Invoke(args) => invoke::run(args),
        Command::Redrive(args) => redrive::run(&args),
        Command::Scan(args) => scan::run(args),
        Command::Explain(args) => explain::run(&args),
        Command::Policy(command) => policy::run(&command),
        Command::Diff(args) => diff::run(&args),
        Command::Suggest(args) => suggest::run(&args),
        Command::Pack(args) => pack::run(args),
    };
    match done {
        Ok(Done::Fine) => ExitCode::SUCCESS,
        Ok(Done::Found) => ExitCode::from(1),
        Ok(Done::BadInput) => ExitCode::from(2),
        // As the signal would end it.
        Ok(Done::Interrupted) => ExitCode::from(128 + 2),
        Err(fault) => {
            output::complain(&fault);
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the binary owns the clock")]
fn now() -> Timestamp {
    Timestamp::now()
}
