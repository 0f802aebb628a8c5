//! The policy in the languages of other engines: what they take goes to stdout, and where it
//! differs from the policy to stderr.

use regionwatch::export::{self, Export};

use crate::Done;
use crate::input::PolicyArgs;
use crate::output::{complain, print};

/// `policy pattern`.
pub fn pattern(args: &PolicyArgs) -> Result<Done, String> {
    let policy = args.load()?.policy;
    print_export(&export::pattern::of(&policy).map_err(|error| error.to_string())?)
}

fn print_export(export: &Export) -> Result<Done, String> {
    print(&export.text)?;
    export.notes.iter().for_each(|note| complain(note));
    Ok(Done::Fine)
}
