//! What the commands read: policies, and files by path.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use regionwatch::alert::text::clean;
use regionwatch::policy::{Keys, Patterns, Policy, PolicyFaults, PolicyFile};
use regionwatch::record::{Record, is_account};
use regionwatch::source::{self, Item};
use toml_writer::ToTomlValue as _;
use walkdir::WalkDir;

use crate::output::{complain, plural};

/// Which policy judges.
#[derive(Args)]
pub struct PolicyArgs {
    /// A policy file; without it the default policy judges
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Approved regions, overriding the policy's: codes or globs such as us-east-1,eu-*
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    approved_regions: Vec<String>,
}

impl PolicyArgs {
    /// A policy file and nothing else; without one the default policy.
    pub fn of(policy: Option<PathBuf>) -> Self {
        PolicyArgs { policy, approved_regions: Vec::new() }
    }

    /// Reads the policy, once: what is named may be a pipe, or may be about to change.
    pub fn load(&self) -> Result<Loaded, String> {
        let mut files = vec![in_words(PolicyFile::embedded())?];
        if let Some(path) = &self.policy {
            let name = name(path);
            let bytes = std::fs::read(path).map_err(|error| format!("{name}: {error}"))?;
            let text = String::from_utf8(bytes).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                format!("{name}: byte {at} is no UTF-8: a policy is a text in TOML")
            })?;
            files.push(in_words(PolicyFile::parse(&name, &text))?);
        }
        Loaded::new(files, self.approved()?)
    }

    /// The regions that stand in the place of what a policy says.
    pub fn approved(&self) -> Result<Option<Patterns>, String> {
        match self.approved_regions.as_slice() {
            [] => Ok(None),
            codes => {
                let approved = Patterns::regions(codes);
                approved.map(Some).map_err(|fault| format!("--approved-regions: {fault}"))
            }
        }
    }
}

/// A policy that was read, and what it is made of.
pub struct Loaded {
    /// What judges.
    pub policy: Policy,
    /// What it says key by key, and where.
    pub keys: Keys,
    /// `--approved-regions` stands in the place of what a file says.
    pub overrides_regions: bool,
    /// The default policy, then the user's file.
    files: Vec<PolicyFile>,
    /// `--approved-regions`, as a file above the others.
    above: Option<PolicyFile>,
}

impl Loaded {
    fn new(files: Vec<PolicyFile>, approved: Option<Patterns>) -> Result<Self, String> {
        let policy = in_words(Policy::compile(&files.iter().collect::<Vec<_>>()))?;
        let above = approved.as_ref().map(|codes| {
            let codes: Vec<String> = codes.iter().map(|code| code.as_str().to_owned()).collect();
            let text = format!("approved_regions = {}", codes.to_toml_value());
            in_words(PolicyFile::parse("--approved-regions", &text))
        });
        let above = above.transpose()?;
        let keys = in_words(Keys::in_force(&files.iter().chain(&above).collect::<Vec<_>>()))?;
        let overrides_regions = approved.is_some();
        let policy = match approved {
            Some(approved) => policy.with_approved_regions(approved),
            None => policy,
        };
        Ok(Loaded { policy, keys, overrides_regions, files, above })
    }

    /// The policy after one more change.
    pub fn changed(&self, toml: &str) -> Result<Policy, String> {
        let change = in_words(PolicyFile::parse("the change", toml))?;
        let files = self.files.iter().chain(&self.above).chain([&change]);
        in_words(Policy::compile(&files.collect::<Vec<_>>()))
    }

    /// The user's file, else the default policy.
    pub fn last(&self) -> Option<&PolicyFile> {
        self.files.last()
    }
}

fn in_words<T>(policy: Result<T, PolicyFaults>) -> Result<T, String> {
    policy.map_err(|faults| format!("the policy cannot be used:\n{faults}"))
}

/// An account, as an argument names it.
pub fn account(text: &str) -> Result<String, String> {
    let id = text.trim();
    match is_account(id) {
        true => Ok(id.to_owned()),
        false => Err("an account is 12 digits, such as 111122223333".to_owned()),
    }
}

/// Something to read records from.
#[derive(Clone)]
pub enum Input {
    /// `-`.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// Which files are taken from a folder; one that is named itself is always taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// Those that end as CloudTrail's do.
    Records,
    /// All but hidden ones and journals: what Lambda keeps has no ending.
    Undelivered,
}

const ENDINGS: &[&str] = &[".json", ".json.gz", ".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz"];

impl Input {
    /// The inputs behind the arguments, in their order; inside a folder sorted by path.
    /// What cannot be listed is said on stderr, and counted.
    pub fn list(arguments: &[PathBuf], taken: Folder) -> Listed {
        let mut listed = Listed::default();
        for argument in arguments {
            if argument == Path::new("-") {
                listed.stdin();
            } else if argument.is_dir() {
                listed.folder(argument, taken);
            } else {
                listed.inputs.push(Input::File(argument.clone()));
            }
        }
        listed
    }

    /// What to call it.
    pub fn name(&self) -> String {
        match self {
            Input::Stdin => "standard input".to_owned(),
            Input::File(path) => name(path),
        }
    }

    /// Hands over every item of it, as far as it can be read; whether it could to its end.
    pub fn read(&self, on_item: impl FnMut(Item<'_>)) -> Result<(), String> {
        let read = self
            .open()
            .map_err(|fault| fault.to_string())
            .and_then(|opened| source::read(opened, on_item).map_err(|fault| fault.to_string()));
        read.map(drop).map_err(|fault| format!("{}: {fault}", self.name()))
    }

    /// Hands over every record of several inputs. What cannot be read is said on stderr, and
    /// counted.
    pub fn read_records(inputs: &[Input], mut on_record: impl FnMut(&Record<'_>, &str)) -> usize {
        let mut faults = 0;
        for input in inputs {
            let read = input.read(|item| {
                if let Item::Record { record: Ok(record), owner, .. } = item {
                    on_record(&record, owner);
                }
            });
            if let Err(fault) = read {
                complain(&fault);
                faults += 1;
            }
        }
        faults
    }

    /// How many bytes there are to read, where that is known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Input::Stdin => None,
            Input::File(path) => Some(path.metadata().ok().filter(Metadata::is_file)?.len()),
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

/// What is behind the arguments.
#[derive(Default)]
pub struct Listed {
    /// What is read.
    pub inputs: Vec<Input>,
    /// What could not be listed; it was said on stderr.
    pub faults: usize,
    /// CloudTrail's digests, which are not read.
    pub digests: u64,
}

impl Listed {
    fn stdin(&mut self) {
        if self.inputs.iter().any(|input| matches!(input, Input::Stdin)) {
            complain("- is named twice: standard input can be read once");
            self.faults += 1;
        } else {
            self.inputs.push(Input::Stdin);
        }
    }

    fn folder(&mut self, folder: &Path, taken: Folder) {
        let (mut found, mut others) = (0, 0_u64);
        for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
            match entry {
                Ok(entry) if !entry.file_type().is_file() => {}
                Ok(entry) if taken == Folder::Records && is_digest(entry.path()) => {
                    self.digests += 1;
                }
                Ok(entry) if taken.takes(entry.path()) => {
                    found += 1;
                    self.inputs.push(Input::File(entry.into_path()));
                }
                Ok(_) => others += 1,
                Err(fault) => {
                    self.faults += 1;
                    complain(&fault.to_string());
                }
            }
        }
        if found == 0 {
            complain(&format!("{}: no files{}", name(folder), taken.in_words()));
            self.faults += 1;
        } else if others > 0 {
            let others = plural(others, "other file", "other files");
            complain(&format!("{}: {others} passed over", name(folder)));
        }
    }
}

/// CloudTrail keeps digests of its files in a folder beside them (CloudTrail guide, "CloudTrail
/// digest file structure"); they hold no records.
fn is_digest(path: &Path) -> bool {
    let mut parts = path.components().map(|part| part.as_os_str().to_string_lossy());
    parts.any(|part| part == "CloudTrail-Digest" || part.contains("_CloudTrail-Digest_"))
}

/// How an export of CloudWatch Logs names its files: `000000.gz` (CloudWatch Logs guide, "Exporting
/// log data to Amazon S3").
fn is_exported(name: &str) -> bool {
    let number = name.strip_suffix(".gz").unwrap_or(name);
    number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit())
}

impl Folder {
    fn takes(self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        match self {
            Folder::Records => {
                is_exported(&name) || ENDINGS.iter().any(|ending| name.ends_with(ending))
            }
            Folder::Undelivered => !name.starts_with('.') && !name.ends_with(".journal"),
        }
    }

    fn in_words(self) -> String {
        match self {
            Folder::Records => format!(" that end in {} or are 000000.gz", ENDINGS.join(", ")),
            Folder::Undelivered => String::new(),
        }
    }
}
