//! What the commands read: policies, and files by path.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use regionwatch::alert::text::clean;
use regionwatch::policy::{Patterns, Policy};
use walkdir::WalkDir;

use crate::output::complain;

/// Which policy judges.
#[derive(Args)]
pub struct PolicyArgs {
    /// A policy file; without it the default policy judges
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Approved regions, overriding the policy's: codes or globs such as us-east-1,eu-*
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    approved_regions: Vec<String>,
}

impl PolicyArgs {
    /// The policy, or all that is wrong with it.
    pub fn load(&self) -> Result<Policy, String> {
        let policy = match &self.policy {
            None => Policy::embedded(),
            Some(path) => {
                let name = name(path);
                let text = std::fs::read_to_string(path).map_err(|e| format!("{name}: {e}"))?;
                Policy::with_user_file(&name, &text)
            }
        };
        let policy = policy.map_err(|faults| format!("the policy cannot be used:\n{faults}"))?;
        if self.approved_regions.is_empty() {
            return Ok(policy);
        }
        let approved = Patterns::regions(&self.approved_regions);
        let approved = approved.map_err(|faults| format!("--approved-regions: {faults}"))?;
        Ok(policy.with_approved_regions(approved))
    }
}

/// Something to read records from.
pub enum Input {
    /// `-`.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// Endings of the files that are taken from a folder; a file that is named itself may end anyhow.
const ENDINGS: &[&str] = &[".json", ".json.gz", ".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz"];

impl Input {
    /// The inputs behind the arguments, in their order; inside a folder sorted by path.
    /// What cannot be listed is said on stderr, and counted in the second value.
    pub fn list(arguments: &[PathBuf]) -> (Vec<Input>, usize) {
        let mut inputs = Vec::new();
        let mut faults = 0;
        for argument in arguments {
            if argument == Path::new("-") {
                inputs.push(Input::Stdin);
            } else if argument.is_dir() {
                faults += list_folder(argument, &mut inputs);
            } else {
                inputs.push(Input::File(argument.clone()));
            }
        }
        (inputs, faults)
    }

    /// What to call it.
    pub fn name(&self) -> String {
        match self {
            Input::Stdin => "standard input".to_owned(),
            Input::File(path) => name(path),
        }
    }

    /// Opens it.
    pub fn open(&self) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Input::Stdin => Box::new(io::stdin().lock()),
            Input::File(path) => Box::new(File::open(path)?),
        })
    }
}

/// A path as it can be printed: a file may be named to look like anything.
pub fn name(path: &Path) -> String {
    clean(&path.display().to_string(), usize::MAX)
}

fn list_folder(folder: &Path, inputs: &mut Vec<Input>) -> usize {
    let (mut faults, mut found, mut others) = (0, 0, 0);
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
        match entry {
            Ok(entry) if !entry.file_type().is_file() => {}
            Ok(entry) if is_taken(entry.path()) => {
                found += 1;
                inputs.push(Input::File(entry.into_path()));
            }
            Ok(_) => others += 1,
            Err(fault) => {
                faults += 1;
                complain(&fault.to_string());
            }
        }
    }
    if found == 0 {
        let endings = ENDINGS.join(", ");
        complain(&format!("{}: no files that end in {endings}", name(folder)));
        faults += 1;
    } else if others > 0 {
        complain(&format!("{}: {others} other files passed over", name(folder)));
    }
    faults
}

/// CloudTrail keeps digests of its files in a folder beside them (CloudTrail guide, "CloudTrail
/// digest file structure"); they hold no records.
fn is_taken(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
        && !path.components().any(|part| part.as_os_str() == "CloudTrail-Digest")
}
