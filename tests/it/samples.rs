//! The sample payloads in `events/`: each equals its records, and each is judged as its name says.

use std::fs;
use std::path::{Path, PathBuf};

use regionwatch::delivery::Delivery;
use regionwatch::envelope::each;
use regionwatch::policy::Policy;
use regionwatch::source::{self, Item};
use regionwatch::triage::{Triage, Triaged};
use serde_json::Value;

/// The project's folder of samples.
pub fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("events")
}

/// The payload of a sample, as it stands in its file.
pub fn payload(name: &str) -> Vec<u8> {
    fs::read(events().join(name).with_extension("json")).unwrap()
}

/// The names of all samples.
pub fn names() -> Vec<String> {
    let files = fs::read_dir(events()).unwrap().map(|entry| entry.unwrap().path());
    let payloads = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut names: Vec<String> =
        payloads.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

/// The messages of a payload, unescaped.
fn messages(payload: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    for parcel in Delivery::open(payload).unwrap().parcels() {
        let read = parcel.entries(
            u64::MAX,
            each(|_, entry| {
                messages.push(entry.read().unwrap().message.unescape().unwrap().into_owned());
            }),
        );
        read.unwrap();
    }
    messages
}

/// The records of a file, as text.
pub fn records(path: &Path) -> Vec<String> {
    let mut records = Vec::new();
    let read = source::read(fs::File::open(path).unwrap(), |item| {
        records.push(match item {
            Item::Record { text, .. } => text.to_owned(),
            Item::Unreadable { raw, .. } => String::from_utf8(raw.to_vec()).unwrap(),
        });
    });
    read.unwrap();
    records
}

/// A sample, judged.
pub fn triaged(name: &str, policy: &Policy) -> Triaged {
    let payload = payload(name);
    let mut triage = Triage::new(policy);
    for (number, parcel) in Delivery::open(&payload).unwrap().parcels().iter().enumerate() {
        triage.turn_to(number);
        parcel.entries(u64::MAX, &mut triage).unwrap();
    }
    triage.finish()
}

/// A sample's judgement in words: reasons for ignoring, then incidents, then unreadable entries.
fn judged(name: &str, policy: &Policy) -> Vec<String> {
    let triaged = triaged(name, policy);
    assert_eq!(triaged.entries, triaged.alerts() + triaged.ignored_total() + triaged.rejects.count);
    let ignored = triaged.ignored.iter().map(|(reason, count)| format!("{count} {reason}"));
    let incidents = triaged.incidents.iter().map(|incident| {
        let (severity, reason, outcome) = (incident.severity, &incident.reason, incident.outcome);
        format!("{severity} {} x {reason} {outcome} by {}", incident.count, incident.who.name)
    });
    let rejects = (triaged.rejects.count > 0).then(|| format!("{} rejects", triaged.rejects.count));
    ignored.chain(incidents).chain(rejects).collect()
}

#[test]
fn payloads_equal_their_records() {
    let mut compared = 0;
    for entry in fs::read_dir(events().join("records")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let json = |text: &String| serde_json::from_str::<Value>(text).map_err(|_| text.clone());
        let packed: Vec<_> = messages(&payload(name)).iter().map(json).collect();
        let plain: Vec<_> = records(&path).iter().map(json).collect();
        assert_eq!(packed, plain, "{name}: run `make events`");
        compared += 1;
    }
    assert!(compared >= 15, "{compared} samples");
}

#[test]
fn the_sample_of_a_stream_equals_its_records() {
    let of = ["mutating-unapproved-region", "approved-region", "sensitive-read", "unreadable"];
    let expected: Vec<String> = of.iter().flat_map(|name| messages(&payload(name))).collect();
    assert_eq!(messages(&payload("kinesis")), expected, "run `make events`");
}

#[test]
fn samples_are_judged_as_their_names_say() {
    let expected: &[(&str, &[&str])] = &[
        ("mutating-unapproved-region", &["high 5 x mutating-call success by platform-admin"]),
        ("read-only-unapproved-region", &["5 read-only"]),
        ("sensitive-read", &["1 read-only", "medium 2 x sensitive-read success by report-bot"]),
        ("approved-region", &["3 approved-region"]),
        ("root", &["critical 1 x mutating-call success by root"]),
        ("denied-by-scp", &["low 2 x mutating-call denied by data-pipeline"]),
        ("console-sign-in", &["2 sign-in"]),
        ("aws-service-event", &["3 aws-service"]),
        ("global-service", &["3 approved-region"]),
        (
            "trail-tampering",
            &[
                "critical 2 x watched:trail-tampering success by Zhang-Wei",
                "critical 1 x watched:trail-tampering denied by Zhang-Wei",
            ],
        ),
        (
            "region-enabled",
            &["high 1 x mutating-call success by mateo@example.com (AdministratorAccess)"],
        ),
        ("storm", &["high 500 x mutating-call success by terraform-ci"]),
        (
            "unreadable",
            &[
                "1 approved-region",
                "1 read-only",
                "high 1 x mutating-call success by platform-admin",
                "3 rejects",
            ],
        ),
        (
            "kinesis",
            &[
                "4 approved-region",
                "2 read-only",
                "high 5 x mutating-call success by platform-admin",
                "high 1 x mutating-call success by platform-admin",
                "medium 2 x sensitive-read success by report-bot",
                "3 rejects",
            ],
        ),
        ("insight", &["1 not-an-api-call"]),
        ("control-message", &[]),
    ];
    let policy = Policy::embedded().unwrap();
    for (name, judgement) in expected {
        assert_eq!(judged(name, &policy), *judgement, "{name}");
    }
    let bedrock = judged("bedrock-abuse", &policy);
    assert!(bedrock[0].starts_with("high 3 x mutating-call success"), "{bedrock:?}");
    assert!(bedrock[1].starts_with("low 1 x mutating-call throttled"), "{bedrock:?}");
}

#[test]
fn global_services_are_known_by_their_home() {
    let policy = Policy::with_user_file("p", "approved_regions = [\"eu-west-1\"]").unwrap();
    assert_eq!(judged("global-service", &policy), ["3 global-service"]);
}
