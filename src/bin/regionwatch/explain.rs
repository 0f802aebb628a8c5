//! `regionwatch explain`: why a record is judged as it is, and what would change that.

use std::path::PathBuf;

use jiff::Timestamp;
use regionwatch::alert::text::clean;
use regionwatch::alert::{Incident, IncidentKey, prose};
use regionwatch::policy::explain::{Explanation, Step};
use regionwatch::policy::{Reason, Severity, Verdict};
use regionwatch::record::Record;
use regionwatch::source::{self, Item};
use serde::Serialize;

use crate::changes::{Change, Changes};
use crate::input::{Folder, Input, Listed, Loaded, PolicyArgs};
use crate::output::{Format, complain, print};
use crate::{Done, now};

/// Arguments of `explain`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// One line for each record: the verdict and its ground
    #[arg(long, conflicts_with = "format")]
    brief: bool,
    /// Explain the record with this eventID and no other
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// The account that owns the log group, for records that name no account
    #[arg(long, value_name = "ACCOUNT", default_value = "")]
    owner: String,
    /// Files with records, in any form that `scan` reads, or -
    #[arg(required = true, value_name = "RECORD.json")]
    records: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Done, String> {
    let judge = Judge { args, loaded: args.policy.load()? };
    let Listed { inputs, mut faults, .. } = Input::list(&args.records, Folder::Records);
    let mut explained = 0;
    for input in &inputs {
        match judge.explain_all(input, &mut explained) {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Empty) => {
                complain(&format!("{}: no records in it", input.name()));
                faults += 1;
            }
            Ok(Outcome::Unreadable(fault)) => {
                complain(&format!("{}: {fault}", input.name()));
                faults += 1;
            }
            Err(broken) => return Err(broken),
        }
    }
    match &args.event_id {
        Some(id) if explained == 0 => Err(format!("there is no record with the eventID {id}")),
        _ => Ok(Done::after(faults, false)),
    }
}

/// What became of an input.
enum Outcome {
    Done,
    Empty,
    Unreadable(String),
}

struct Judge<'a> {
    args: &'a Args,
    loaded: Loaded,
}

impl Judge<'_> {
    /// `Err` when stdout takes no more.
    fn explain_all(&self, input: &Input, explained: &mut u64) -> Result<Outcome, String> {
        let name = input.name();
        let opened = match input.open() {
            Ok(opened) => opened,
            Err(fault) => return Ok(Outcome::Unreadable(fault.to_string())),
        };
        let (mut records, mut broken) = (0_u64, None);
        let read = source::read(opened, |item| {
            records += 1;
            if broken.is_none() && self.is_wanted(&item) {
                let place = format!("record {records} of {name}");
                broken = self.explain(&item, place, *explained > 0).err();
                *explained += 1;
            }
        });
        match (broken, read) {
            (Some(broken), _) => Err(broken),
            (None, Err(fault)) => Ok(Outcome::Unreadable(fault.to_string())),
            (None, Ok(_)) if records == 0 => Ok(Outcome::Empty),
            (None, Ok(_)) => Ok(Outcome::Done),
        }
    }

    fn is_wanted(&self, item: &Item<'_>) -> bool {
        let Some(wanted) = &self.args.event_id else { return true };
        match item {
            Item::Record { record, .. } => {
                record.as_ref().is_ok_and(|r| r.event_id.as_deref() == Some(wanted))
            }
            Item::Unreadable { .. } => false,
        }
    }

    fn explain(&self, item: &Item<'_>, place: String, follows: bool) -> Result<(), String> {
        let mut explained = match item {
            Item::Unreadable { reject, .. } => Explained::unreadable(reject.fault),
            Item::Record { record, owner, .. } => match record {
                Ok(record) => {
                    let owner = if owner.is_empty() { self.args.owner.as_str() } else { owner };
                    self.explain_record(record, owner)
                }
                Err(error) => Explained::unreadable(error.what()),
            },
        };
        explained.place = place;
        let separator = if follows { "\n" } else { "" };
        match self.args.format {
            Format::Text if self.args.brief => print(&explained.line()),
            Format::Text => print(&format!("{separator}{}", explained.text())),
            Format::Json => print(&serde_json::to_string(&explained).map_err(|e| e.to_string())?),
        }
    }

    fn explain_record(&self, record: &Record<'_>, owner: &str) -> Explained {
        let Loaded { policy, keys, .. } = &self.loaded;
        let verdict = policy.judge(record, owner);
        let mut incident = incident(record, owner, &verdict);
        incident.add_watches(&policy.watches_on(record, owner));
        let changes = match self.args.brief {
            true => Vec::new(),
            false => Changes(&self.loaded).that_turn(record, owner, &verdict, &incident, now()),
        };
        Explained {
            title: match verdict {
                Verdict::Reject => NO_RECORD.to_owned(),
                Verdict::Ignore(Reason::NotAnApiCall) => {
                    format!("CloudTrail, in {}", incident.region)
                }
                _ => prose::incident_title(&incident),
            },
            place: String::new(),
            source_ip: incident.source_ips.words.first().cloned(),
            user_agent: incident.user_agents.words.first().cloned(),
            account_name: policy.account_name(&incident.account).map(harmless),
            account: incident.account,
            time: incident.first,
            event_id: record.event_id.as_deref().map(harmless),
            policy: policy.version().to_string(),
            verdict: verdict.as_str(),
            reason: verdict.reason(),
            severity: severity(&verdict).map(Severity::as_str),
            explanation: policy.explain(keys, record, owner),
            changes,
        }
        .made_harmless()
    }
}

fn severity(verdict: &Verdict) -> Option<Severity> {
    match verdict {
        Verdict::Alert(_, severity) => Some(*severity),
        Verdict::Ignore(_) | Verdict::Reject => None,
    }
}

/// The incident that the record alone would be, whatever its verdict: it knows how to tell it.
fn incident(record: &Record<'_>, owner: &str, verdict: &Verdict) -> Incident {
    let reason = match verdict {
        Verdict::Alert(reason, _) | Verdict::Ignore(reason) => reason.clone(),
        Verdict::Reject => Reason::MutatingCall,
    };
    let severity = severity(verdict).unwrap_or(Severity::Low);
    Incident::new(IncidentKey::of(record, owner), record, reason, severity)
}

/// What is said of one record.
#[derive(Serialize)]
struct Explained {
    title: String,
    /// Where it was read.
    place: String,
    account: String,
    account_name: Option<String>,
    time: Option<Timestamp>,
    event_id: Option<String>,
    source_ip: Option<String>,
    user_agent: Option<String>,
    policy: String,
    verdict: &'static str,
    reason: String,
    severity: Option<&'static str>,
    #[serde(flatten)]
    explanation: Explanation,
    changes: Vec<Change>,
}

impl Explained {
    fn unreadable(fault: &str) -> Self {
        let step = Step {
            number: 1,
            question: "Is there a call to judge?",
            answer: Some(false),
            decides: true,
            seen: vec![fault.to_owned()],
        };
        Explained {
            title: NO_RECORD.to_owned(),
            place: String::new(),
            account: String::new(),
            account_name: None,
            time: None,
            event_id: None,
            source_ip: None,
            user_agent: None,
            policy: String::new(),
            verdict: Verdict::Reject.as_str(),
            reason: Verdict::Reject.reason(),
            severity: None,
            explanation: Explanation {
                because: "nobody can tell what call this is, so a human is told to look".to_owned(),
                steps: vec![step],
                severity_because: String::new(),
            },
            changes: Vec::new(),
        }
    }

    /// What was seen is the record's own text.
    fn made_harmless(mut self) -> Self {
        let Explanation { because, severity_because, .. } = &mut self.explanation;
        [because, severity_because].into_iter().for_each(|text| *text = harmless(text));
        for step in &mut self.explanation.steps {
            step.seen.iter_mut().for_each(|seen| *seen = harmless(seen));
        }
        self
    }

    fn text(&self) -> String {
        let mut lines = vec![self.verdict_in_words(), format!("  {}", self.title)];
        lines.extend(self.circumstances().iter().map(|line| format!("  {line}")));
        lines.push(format!("  Because {}.", self.explanation.because));
        lines.push(String::new());
        lines.extend(self.explanation.steps.iter().map(line));
        if !self.explanation.severity_because.is_empty() {
            lines.push(format!("\n  Severity: {}.", self.explanation.severity_because));
        }
        if !self.changes.is_empty() {
            let only = if self.changes.len() > 1 { "any one of these" } else { "this" };
            let turned = match self.verdict {
                "alert" => "If it was meant, it would be ignored with",
                _ => "It would alert with",
            };
            lines.push(format!("\n  {turned} {only} in the policy:"));
        }
        for change in &self.changes {
            lines.push(format!("\n    # {}", change.what));
            lines.extend(change.toml.lines().map(|line| format!("    {line}")));
        }
        lines.join("\n")
    }

    fn verdict_in_words(&self) -> String {
        match (self.verdict, self.severity) {
            ("alert", Some(severity)) => format!("ALERT, {severity}: {}", self.reason),
            ("ignore", _) => format!("IGNORED: {}", self.reason),
            _ => "UNREADABLE: told as an incident of its own".to_owned(),
        }
    }

    /// `ALERT, high: mutating-call; root called ec2:RunInstances in eu-north-1; eu-north-1 is ...`.
    fn line(&self) -> String {
        let (verdict, title) = (self.verdict_in_words(), &self.title);
        format!("{verdict}; {title}; {}; {}", self.explanation.because, self.place)
    }

    /// Where and when, from where, and by which policy, as far as it is known.
    fn circumstances(&self) -> Vec<String> {
        let known = |words: &str, text: Option<&str>| {
            text.filter(|text| !text.is_empty()).map(|text| format!("{words} {text}"))
        };
        let line = |parts: &[Option<String>]| {
            parts.iter().flatten().cloned().collect::<Vec<_>>().join(", ")
        };
        let account = match &self.account_name {
            Some(name) => format!("{} ({name})", self.account),
            None => self.account.clone(),
        };
        let lines = [
            line(&[
                known("account", Some(&account)),
                self.time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
                known("eventID", self.event_id.as_deref()),
            ]),
            line(&[
                known("from", self.source_ip.as_deref()),
                known("with", self.user_agent.as_deref()),
            ]),
            line(&[Some(self.place.clone()), known("judged by policy", Some(&self.policy))]),
        ];
        lines.into_iter().filter(|line| !line.is_empty()).collect()
    }
}

const NO_RECORD: &str = "Something that is no CloudTrail record";

/// Characters of an answer: a record may hold texts without end.
const LONGEST_SEEN: usize = 400;

/// The answer that decides is marked.
fn line(step: &Step) -> String {
    let mark = if step.decides { '>' } else { ' ' };
    let answer = match step.answer {
        Some(true) => "yes",
        Some(false) => "no",
        None => "--",
    };
    let seen = step.seen.join(&format!("\n{:52}", ""));
    format!("{mark} {:>2}  {:<40}  {answer:<3}  {seen}", step.number, step.question)
}

fn harmless(text: &str) -> String {
    clean(text, LONGEST_SEEN)
}
