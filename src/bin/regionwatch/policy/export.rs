//! The policy in the languages of other engines: what they take goes to stdout, and where it
//! differs from the policy to stderr.

use jiff::civil::Date;
use regionwatch::export::athena::Trail;
use regionwatch::export::{self, Export};

use crate::Done;
use crate::input::PolicyArgs;
use crate::output::{complain, print};

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
    #[arg(long = "account", value_name = "LIST", value_delimiter = ',', required = true)]
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

fn print_export(export: &Export) -> Result<Done, String> {
    print(&export.text)?;
    export.notes.iter().for_each(|note| complain(note));
    Ok(Done::Fine)
}
