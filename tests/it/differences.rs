//! `diff`, against what `scan` says under either policy.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::corpus::corpus;
use crate::samples::events;

const AFTER: &str = "approved_regions = [\"us-east-1\", \"eu-*\"]\nsensitive_reads = \"ignore\"\n\
    sign_ins = \"alert\"\n[access.calls]\n\"ec2:RunInstances\" = \"read-only\"\n[[watch]]\n\
    id = \"trail-change\"\nreason = \"less grave\"\nseverity = \"low\"\n\
    calls = [\"cloudtrail:UpdateTrail\", \"cloudtrail:PutEventSelectors\"]\n";

fn regionwatch(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.args(arguments).current_dir(folder).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::str::from_utf8(&output.stdout).unwrap()
}

/// A folder with the policy before and after, and a history.
fn folder(history: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("before.toml"), "approved_regions = [\"us-east-1\"]").unwrap();
    fs::write(folder.path().join("after.toml"), AFTER).unwrap();
    fs::write(folder.path().join("history.ndjson"), history).unwrap();
    folder
}

const DIFF: [&str; 5] = ["diff", "--policy", "after.toml", "--against", "before.toml"];

fn diff(folder: &Path, more: &[&str]) -> Output {
    regionwatch(&[&DIFF[..], more, &["history.ndjson"]].concat(), folder)
}

/// The verdicts of `scan`, in the order of the records.
fn verdicts(policy: &str, folder: &Path) -> Vec<Value> {
    let scan = ["scan", "--decisions", "--policy", policy, "history.ndjson"];
    let lines = regionwatch(&scan, folder);
    let decided = stdout(&lines).lines().map(|line| serde_json::from_str(line).unwrap());
    decided.map(|line: Value| judged(&line)).collect()
}

fn judged(line: &Value) -> Value {
    json!([line["verdict"], line["reason"], line["severity"]])
}

fn history() -> String {
    let mut history = String::new();
    for name in ["traildiscover.ndjson", "stratus-red-team.ndjson", "oddities.ndjson"] {
        history += &corpus(name).unwrap_or_default();
    }
    for entry in events().join("records").read_dir().unwrap() {
        history += &fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    history
}

#[test]
fn it_counts_what_scan_judges_otherwise() {
    let folder = folder(&history());
    let folder = folder.path();
    let (before, after) = (verdicts("before.toml", folder), verdicts("after.toml", folder));
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for (before, after) in before.iter().zip(&after).filter(|(before, after)| before != after) {
        *expected.entry(format!("{before} {after}")).or_default() += 1;
    }
    let found = diff(folder, &["--format", "json"]);
    let found: Value = serde_json::from_str(stdout(&found)).unwrap();
    let groups = found["groups"].as_array().unwrap();
    let counted: BTreeMap<String, u64> = groups
        .iter()
        .map(|group| {
            let (before, after) = (judged(&group["before"]), judged(&group["after"]));
            (format!("{before} {after}"), group["count"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(counted, expected);
    assert_eq!(found["differ"], expected.values().sum::<u64>());
    for group in groups {
        let calls = group["calls"].as_array().unwrap().iter();
        let calls: u64 = calls.map(|kind| kind["count"].as_u64().unwrap()).sum();
        assert_eq!(json!(calls + group["others"].as_u64().unwrap()), group["count"], "{group}");
    }
    let order: Vec<&str> = groups.iter().map(|group| group["change"].as_str().unwrap()).collect();
    let mut kinds = order.clone();
    kinds.dedup();
    let all = ["alerts-no-longer", "alerts-now", "alerts-otherwise", "ignored-otherwise"];
    assert_eq!(kinds, all);
}

#[test]
fn people_see_the_gravest_first_with_samples() {
    let record = |id: usize, region: &str, kind: &str| {
        format!(
            "{}\n",
            json!({"eventSource": "ec2.amazonaws.com", "eventName": "StopInstances", "awsRegion": region,
                "eventID": format!("id-{id}"), "recipientAccountId": "111122223333",
                "userIdentity": {"type": kind, "userName": "mateo\u{1B}[31m"}})
        )
    };
    let calls = (0..6).map(|id| record(id, "eu-west-1", "IAMUser"));
    let history: String = calls.chain([record(6, "eu-west-2", "Root")]).collect();
    let folder = folder(&history);
    let expected = "\
alerts no longer
      1 x alert mutating-call critical -> ignore approved-region
           1 x ec2:StopInstances in eu-west-2, account 111122223333, by root
             such as id-6

      6 x alert mutating-call high -> ignore approved-region
           6 x ec2:StopInstances in eu-west-1, account 111122223333, by mateo[31m
             such as id-0, id-1, id-2

7 records: 7 are judged otherwise
";
    assert_eq!(stdout(&diff(folder.path(), &[])), expected);
}

#[test]
fn a_record_that_comes_again_counts_once() {
    let call = |id: &str, region: &str| {
        json!({"eventSource": "ec2.amazonaws.com", "eventName": "StopInstances", "eventID": id,
            "awsRegion": region, "recipientAccountId": "111122223333",
            "userIdentity": {"type": "IAMUser", "userName": "mateo"}})
        .to_string()
    };
    let once = [call("1", "eu-west-1"), call("2", "us-east-1"), call("1", "eu-west-2")];
    let again = [once.as_slice(), &once].concat();
    let found = |history: &[String]| -> Value {
        let folder = folder(&history.join("\n"));
        serde_json::from_str(stdout(&diff(folder.path(), &["--format", "json"]))).unwrap()
    };
    let (once, mut again) = (found(&once), found(&again));
    assert_eq!((&once["records"], &once["differ"]), (&json!(3), &json!(2)));
    assert_eq!(again["repeated"].take(), 3);
    again["repeated"] = json!(0);
    assert_eq!(again, once);
    let folder = folder(&[call("1", "us-east-1"), call("1", "us-east-1")].join("\n"));
    let said = diff(folder.path(), &[]);
    assert_eq!(stdout(&said), "1 record (1 more came again): all are judged alike\n");
}

#[test]
fn exit_codes_tell_differences_from_bad_input() {
    let same =
        json!({"eventSource": "ec2.amazonaws.com", "eventName": "X", "awsRegion": "us-east-1"});
    let other =
        json!({"eventSource": "ec2.amazonaws.com", "eventName": "X", "awsRegion": "eu-west-1"});
    let same = folder(&same.to_string());
    let other = folder(&other.to_string());
    let code = |folder: &Path, more: &[&str]| diff(folder, more).status.code().unwrap();
    assert_eq!(code(same.path(), &["--exit-code"]), 0);
    assert!(stdout(&diff(same.path(), &[])).ends_with("1 record: all are judged alike\n"));
    assert_eq!(code(other.path(), &["--exit-code"]), 1);
    assert_eq!(code(other.path(), &[]), 0);
    assert_eq!(code(other.path(), &["--exit-code", "no-such-file"]), 2);
    fs::write(other.path().join("before.toml"), "nonsense").unwrap();
    assert_eq!(code(other.path(), &[]), 2);
}

#[test]
fn without_another_policy_it_is_compared_with_the_default() {
    let folder = folder(&history());
    let arguments = ["diff", "history.ndjson"];
    let said = regionwatch(&arguments, folder.path());
    assert!(stdout(&said).ends_with("all are judged alike\n"), "{}", stdout(&said));
    let wider = ["diff", "--approved-regions", "us-*", "history.ndjson"];
    assert!(stdout(&regionwatch(&wider, folder.path())).starts_with("alerts no longer\n"));
}
