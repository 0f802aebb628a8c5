//! `regionwatch scan`: the policy on history.

use std::collections::BTreeMap;
use std::path::PathBuf;

use regionwatch::alert::text::clean;
use regionwatch::alert::{Alert, Context, Incident, Rejects};
use regionwatch::envelope::Reject;
use regionwatch::policy::{Policy, Reason, Verdict};
use regionwatch::record::Record;
use regionwatch::source::{self, Item};
use regionwatch::triage::{Triage, Triaged};
use serde::Serialize;

use crate::input::{Folder, Input, PolicyArgs};
use crate::output::{Format, complain, counts, plural, print};
use crate::{Done, now};

/// Arguments of `scan`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    policy: PolicyArgs,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Print one JSON line for each record: its verdict, and why
    #[arg(long)]
    decisions: bool,
    /// Exit with 1 when there are alerts
    #[arg(long)]
    exit_code: bool,
    /// CloudTrail files (.json, .json.gz, NDJSON, lookup-events, EventBridge), folders, or -
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<Done, String> {
    let policy = args.policy.load()?.policy;
    let (inputs, mut faults) = Input::list(&args.paths, Folder::Records);
    let mut scan = Scan { triage: Triage::new(&policy), decisions: args.decisions, broken: None };
    let mut files = 0;
    for input in &inputs {
        let read = input.open().map_err(|fault| fault.to_string()).and_then(|opened| {
            source::read(opened, |item| scan.take(item)).map_err(|fault| fault.to_string())
        });
        match read {
            Ok(()) => files += 1,
            Err(fault) => {
                complain(&format!("{}: {fault}", input.name()));
                faults += 1;
            }
        }
        if let Some(broken) = scan.broken.take() {
            return Err(broken);
        }
    }
    let triaged = scan.triage.finish();
    if !args.decisions {
        report(&triaged, &policy, files, args.format)?;
    }
    let alerts = triaged.alerts() + triaged.rejects.count;
    Ok(Done::after(faults, args.exit_code && alerts > 0))
}

struct Scan<'p> {
    triage: Triage<'p>,
    decisions: bool,
    /// Why stdout takes no more.
    broken: Option<String>,
}

impl Scan<'_> {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Record { text, owner, entry_id } => match Record::parse(text) {
                Ok(record) => {
                    let verdict = self.triage.take_record(&record, owner, entry_id);
                    self.decide(&Decision::of(&record, &verdict));
                }
                Err(error) => {
                    self.reject(&Reject { entry_id: entry_id.to_owned(), fault: error.what() });
                }
            },
            Item::Unreadable { reject, .. } => self.reject(&reject),
        }
    }

    fn reject(&mut self, reject: &Reject) {
        self.triage.reject(reject);
        self.decide(&Decision::unreadable());
    }

    fn decide(&mut self, decision: &Decision) {
        if !self.decisions {
            return;
        }
        let line = serde_json::to_string(decision).map_err(|error| error.to_string());
        if let Err(broken) = line.and_then(|line| print(&line)) {
            self.broken = Some(broken);
        }
    }
}

/// The line that `--decisions` prints for a record.
#[derive(Serialize)]
struct Decision {
    event_id: Option<String>,
    service: Option<String>,
    event_name: Option<String>,
    region: Option<String>,
    verdict: &'static str,
    reason: String,
    severity: Option<&'static str>,
}

impl Decision {
    fn of(record: &Record<'_>, verdict: &Verdict) -> Self {
        let (reason, severity) = match verdict {
            Verdict::Alert(reason, severity) => (reason.to_string(), Some(severity.as_str())),
            Verdict::Ignore(reason) => (reason.to_string(), None),
            Verdict::Reject => ("unreadable".to_owned(), None),
        };
        Decision {
            event_id: record.event_id.as_deref().map(harmless),
            service: record.event_source.is_some().then(|| harmless(&record.service())),
            event_name: record.event_name.as_deref().map(harmless),
            region: Some(harmless(&record.region())),
            verdict: verdict.as_str(),
            reason,
            severity,
        }
    }

    fn unreadable() -> Self {
        Decision {
            event_id: None,
            service: None,
            event_name: None,
            region: None,
            verdict: Verdict::Reject.as_str(),
            reason: "unreadable".to_owned(),
            severity: None,
        }
    }
}

/// Terminals obey more characters than JSON escapes.
fn harmless(text: &str) -> String {
    clean(text, usize::MAX)
}

fn report(triaged: &Triaged, policy: &Policy, files: usize, format: Format) -> Result<(), String> {
    match format {
        Format::Text => print(&text(triaged, policy, files)),
        Format::Json => {
            let report = Report::of(triaged, policy, files);
            print(&serde_json::to_string(&report).map_err(|error| error.to_string())?)
        }
    }
}

fn text(triaged: &Triaged, policy: &Policy, files: usize) -> String {
    let mut lines = Vec::new();
    for incident in &triaged.incidents {
        lines.push(line(incident));
    }
    for (fault, count) in &triaged.rejects.faults {
        lines.push(format!("{:<10} {count:>6} x {fault}", "unreadable"));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.extend(rules_in_words(&RuleHits::of(triaged, policy)));
    let counts =
        counts(triaged.entries, triaged.alerts(), &by_name(triaged), triaged.rejects.count);
    let incidents = plural(triaged.incidents.len() as u64, "incident", "incidents");
    let files = plural(files as u64, "file", "files");
    lines.push(format!("{files}, {counts}; {incidents}"));
    lines.join("\n")
}

/// `critical  1 x 2026-11-20 09:14  root called ec2:RunInstances in eu-north-1, account ...`.
fn line(incident: &Incident) -> String {
    let first = incident.first.map(|time| time.strftime("%Y-%m-%d %H:%M").to_string());
    format!(
        "{:<10} {:>6} x {:<16}  {}, account {} ({})",
        incident.severity.as_str(),
        incident.count,
        first.unwrap_or_default(),
        regionwatch::alert::prose::incident_title(incident),
        if incident.account.is_empty() { "unknown" } else { &incident.account },
        incident.reason,
    )
}

/// `rule hits: 3 x trail-tampering`, and the rules that never decided.
fn rules_in_words(rules: &[RuleHits]) -> Vec<String> {
    let words =
        |rules: Vec<String>| if rules.is_empty() { "none".to_owned() } else { rules.join(", ") };
    let hit = rules.iter().filter(|rule| rule.hits > 0);
    let hit = hit.map(|rule| format!("{} x {} {}", rule.hits, rule.kind, rule.id)).collect();
    let never = rules.iter().filter(|rule| rule.hits == 0);
    let never = never.map(|rule| format!("{} {}", rule.kind, rule.id)).collect();
    vec![format!("rules hit: {}", words(hit)), format!("never hit: {}", words(never))]
}

/// How often a rule decided.
#[derive(Serialize)]
struct RuleHits {
    kind: &'static str,
    id: String,
    hits: u64,
}

impl RuleHits {
    fn of(triaged: &Triaged, policy: &Policy) -> Vec<Self> {
        let watches = policy.watches().map(|watch| {
            let hits = triaged.alerted.get(&Reason::Watched(watch.id().clone()));
            RuleHits { kind: "watch", id: watch.id().to_string(), hits: hits.copied().unwrap_or(0) }
        });
        let exempts = policy.exempts().map(|exempt| {
            let hits = triaged.ignored.get(&Reason::Exempt(exempt.id().clone()));
            RuleHits {
                kind: "exempt",
                id: exempt.id().to_string(),
                hits: hits.copied().unwrap_or(0),
            }
        });
        watches.chain(exempts).collect()
    }
}

fn by_name(triaged: &Triaged) -> BTreeMap<String, u64> {
    triaged.ignored.iter().map(|(reason, count)| (reason.to_string(), *count)).collect()
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    files: usize,
    entries: u64,
    alerts: u64,
    ignored: u64,
    ignored_by: BTreeMap<String, u64>,
    rejected: u64,
    rejected_by: &'a BTreeMap<&'static str, u64>,
    rules: Vec<RuleHits>,
    incidents: Vec<Alert>,
}

impl<'a> Report<'a> {
    fn of(triaged: &'a Triaged, policy: &Policy, files: usize) -> Self {
        let Rejects { count: rejected, faults: rejected_by, .. } = &triaged.rejects;
        let alert = |incident: &Incident| {
            let context = Context {
                now: now(),
                policy: policy.version(),
                account_name: policy.account_name(&incident.account),
                owner: "",
                log_group: "",
                log_stream: "",
            };
            Alert::of_incident(incident, None, &context)
        };
        Report {
            files,
            entries: triaged.entries,
            alerts: triaged.alerts(),
            ignored: triaged.ignored_total(),
            ignored_by: by_name(triaged),
            rejected: *rejected,
            rejected_by,
            rules: RuleHits::of(triaged, policy),
            incidents: triaged.incidents.iter().map(alert).collect(),
        }
    }
}
