//! The policy in the languages of other engines: what they take goes to stdout, and where it
//! differs from the policy to stderr.

use std::path::PathBuf;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use regionwatch::export::athena::Trail;
use regionwatch::export::scp::Reads;
use regionwatch::export::{self, Export};
use regionwatch::policy::{Policy, Reason, Verdict};

use crate::input::{Folder, Input, Listed, PolicyArgs, account};
use crate::output::{complain, print};
use crate::{Done, now};

/// `policy pattern`.
pub fn pattern(args: &PolicyArgs) -> Result<Done, String> {
    let policy = args.load()?.policy;
    print_export(&export::pattern::of(&policy).map_err(|error| error.to_string())?)
}

/// Arguments of `policy athena`.
#[derive(clap::Args)]
pub struct AthenaArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Where the trail writes to, such as s3://bucket or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    location: String,
    /// The organisation whose trail it is, such as o-exampleorgid
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// Accounts whose files are read, separated by commas
    #[arg(long = "account", value_name = "LIST", value_delimiter = ',', required = true, value_parser = account)]
    accounts: Vec<String>,
    /// Regions whose files are read; without it, all that are known
    #[arg(long = "region", value_name = "LIST", value_delimiter = ',')]
    regions: Vec<String>,
    /// The first day that is read, such as 2026-01-01
    #[arg(long, value_name = "DATE")]
    from: Date,
    /// What the table is called
    #[arg(long, value_name = "NAME", default_value = "cloudtrail")]
    table: String,
}

/// `policy athena`.
pub fn athena(args: &AthenaArgs) -> Result<Done, String> {
    let policy = args.policy.load()?.policy;
    let organization = args.organization.as_deref();
    let AthenaArgs { location, accounts, regions, from, table, .. } = args;
    let trail = Trail::new(location, organization, accounts, regions, *from, table);
    print_export(&export::athena::of(&policy, &trail.map_err(|error| error.to_string())?))
}

/// Arguments of `policy scp`.
#[derive(clap::Args)]
pub struct ScpArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// The account that it is for, with the regions that are approved there; without it, all that have
    /// no list of their own
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Option<String>,
    /// History whose read-only calls must pass: files, folders, or -
    #[arg(long, value_name = "PATH")]
    reads: Vec<PathBuf>,
}

/// `policy scp`.
pub fn scp(args: &ScpArgs) -> Result<Done, String> {
    let policy = args.policy.load()?.policy;
    let (reads, faults) = reads(&policy, &args.reads);
    let today = TimeZone::UTC.to_datetime(now()).date();
    let scp = export::scp::of(&policy, args.account.as_deref(), &reads, today);
    print_export(&scp.map_err(|error| error.to_string())?)?;
    Ok(Done::after(faults, false))
}

/// What only looks, outside of the approved regions.
fn reads(policy: &Policy, paths: &[PathBuf]) -> (Reads, usize) {
    let mut reads = Reads::new();
    let Listed { inputs, faults, .. } = Input::list(paths, Folder::Records);
    let unread = Input::read_records(&inputs, |record, owner| {
        if policy.judge(record, owner) == Verdict::Ignore(Reason::ReadOnly) {
            reads.insert((record.service().into_owned(), record.name().to_owned()));
        }
    });
    (reads, faults + unread)
}

fn print_export(export: &Export) -> Result<Done, String> {
    print(&export.text)?;
    export.notes.iter().for_each(|note| complain(note));
    Ok(Done::Fine)
}
