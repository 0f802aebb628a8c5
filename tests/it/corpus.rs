//! Real records, where they are at hand: `../shared/corpus` is not part of the project.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use regionwatch::envelope::Envelope;
use regionwatch::policy::{Policy, Verdict};
use regionwatch::record::Record;
use regionwatch::source::{self, Item};
use regionwatch::triage::{Triage, Triaged};

use crate::handler::pack;

/// A file of the corpus, or `None` (said on stderr) where the corpus is not there.
pub fn corpus(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus").join(name);
    let text = fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: there is no {}", path.display());
    }
    text
}

/// How often each verdict falls on the lines of a file.
fn verdicts(text: &str, policy: &Policy) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let verdict = match Record::parse(line) {
            Ok(record) => policy.judge(&record, ""),
            Err(_) => Verdict::Reject,
        };
        let words = match verdict {
            Verdict::Alert(reason, severity) => format!("{reason} {severity}"),
            Verdict::Ignore(reason) => reason.to_string(),
            Verdict::Reject => "unreadable".to_owned(),
        };
        *counts.entry(words).or_default() += 1;
    }
    counts
}

fn expected(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|(words, count)| ((*words).to_owned(), *count)).collect()
}

#[test]
fn traildiscover_is_judged_as_designed() {
    let Some(text) = corpus("traildiscover.ndjson") else { return };
    let counts = expected(&[
        ("approved-region", 293),
        ("mutating-call high", 9),
        ("mutating-call low", 1),
        ("read-only", 7),
        ("sign-in", 1),
        ("watched:trail-change high", 1),
        ("watched:trail-tampering critical", 2),
    ]);
    assert_eq!(verdicts(&text, &Policy::embedded().unwrap()), counts);
}

#[test]
fn stratus_red_team_is_judged_as_designed() {
    let Some(text) = corpus("stratus-red-team.ndjson") else { return };
    let counts = expected(&[
        ("approved-region", 2),
        ("mutating-call high", 44),
        ("mutating-call low", 3),
        ("read-only", 177),
        ("sensitive-read low", 45),
        ("sensitive-read medium", 32),
        ("sign-in", 1),
        ("watched:trail-change high", 1),
        ("watched:trail-tampering critical", 2),
    ]);
    assert_eq!(verdicts(&text, &Policy::embedded().unwrap()), counts);
}

/// What becomes of a text, and how many things in it are passed over.
fn scanned(text: &str, policy: &Policy) -> (Triaged, u64) {
    let mut triage = Triage::new(policy);
    let read = source::read(text.as_bytes(), |item| match item {
        Item::Record { record, owner, entry_id, .. } => {
            triage.take_record(&record.unwrap(), owner, entry_id);
        }
        Item::Unreadable { reject, .. } => triage.reject(&reject),
    });
    (triage.finish(), read.unwrap())
}

#[test]
fn oddities_are_each_counted_and_crash_nothing() {
    let Some(text) = corpus("oddities.ndjson") else { return };
    let policy = Policy::embedded().unwrap();
    for line in text.lines() {
        let wrapped = line.contains("\"logEvents\"");
        let (triaged, passed_over) = scanned(line, &policy);
        let counted = triaged.entries + passed_over;
        assert!(if wrapped { counted >= 1 } else { counted == 1 }, "{line}");
        assert_eq!(passed_over == 1, line.contains("\"digestStartTime\""), "{line}");
    }
    let (all, _) = scanned(&text, &policy);
    assert_eq!(all.entries, all.alerts() + all.ignored_total() + all.rejects.count);
}

#[test]
fn a_payload_of_the_corpus_is_judged_as_its_records_are() {
    let policy = Policy::embedded().unwrap();
    for file in ["traildiscover.ndjson", "stratus-red-team.ndjson"] {
        let Some(text) = corpus(file) else { return };
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let payload = pack(&lines);
        let mut triage = Triage::new(&policy);
        let envelope = Envelope::open(&payload).unwrap();
        envelope.entries(u64::MAX, &mut triage).unwrap();
        let packed = triage.finish();
        let (plain, _) = scanned(&text, &policy);
        assert_eq!((packed.alerts(), &packed.ignored), (plain.alerts(), &plain.ignored), "{file}");
        assert_eq!(packed.rejects.count, 0, "{file}");
    }
}
