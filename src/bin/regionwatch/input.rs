//! What the commands read: policies, and files by path.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use regionwatch::alert::text::clean;
use regionwatch::policy::{Keys, Patterns, Policy, PolicyFaults, PolicyFile};
use walkdir::WalkDir;

use crate::output::complain;

/// Which policy judges.
#[derive(Args, Clone)]
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
        let policy = in_words(Policy::compile(&self.files()?))?;
        Ok(match self.approved()? {
            Some(approved) => policy.with_approved_regions(approved),
            None => policy,
        })
    }

    /// What the policy says key by key, and where it says so.
    pub fn keys(&self) -> Result<Keys, String> {
        let mut files = self.files()?;
        files.extend(self.override_file()?);
        in_words(Keys::in_force(&files))
    }

    /// The policy after one more change.
    pub fn changed(&self, toml: &str) -> Result<Policy, String> {
        let mut files = self.files()?;
        files.extend(self.override_file()?);
        files.push(in_words(PolicyFile::parse("the change", toml))?);
        in_words(Policy::compile(&files))
    }

    /// The default policy, and the user's file where one is named.
    pub fn files(&self) -> Result<Vec<PolicyFile>, String> {
        let mut files = vec![in_words(PolicyFile::embedded())?];
        if let Some(path) = &self.policy {
            let name = name(path);
            let text = std::fs::read_to_string(path).map_err(|e| format!("{name}: {e}"))?;
            files.push(in_words(PolicyFile::parse(&name, &text))?);
        }
        Ok(files)
    }

    /// The user's file.
    pub fn path(&self) -> Option<&Path> {
        self.policy.as_deref()
    }

    /// Whether `--approved-regions` stands in the place of what a file says.
    pub fn overrides_regions(&self) -> bool {
        !self.approved_regions.is_empty()
    }

    fn approved(&self) -> Result<Option<Patterns>, String> {
        if self.approved_regions.is_empty() {
            return Ok(None);
        }
        let approved = Patterns::regions(&self.approved_regions);
        approved.map(Some).map_err(|faults| format!("--approved-regions: {faults}"))
    }

    /// `--approved-regions` as a file that stands above the others.
    fn override_file(&self) -> Result<Option<PolicyFile>, String> {
        let Some(approved) = self.approved()? else { return Ok(None) };
        let codes: Vec<String> =
            approved.iter().map(|code| format!("{:?}", code.as_str())).collect();
        let text = format!("approved_regions = [{}]", codes.join(", "));
        in_words(PolicyFile::parse("--approved-regions", &text)).map(Some)
    }
}

fn in_words<T>(policy: Result<T, PolicyFaults>) -> Result<T, String> {
    policy.map_err(|faults| format!("the policy cannot be used:\n{faults}"))
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
