//! `policy athena`: its statements are run on DuckDB by `athena.py`, and compared with the judge.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use jiff::civil::date;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use regionwatch::export::Export;
use regionwatch::export::athena::{self, Trail};
use regionwatch::policy::Verdict;
use serde_json::{Value, json};

use super::{POLICIES, history, judge, policy};
use crate::e2e::{absent, tool};
use crate::oracle::random::{policy_text, records};

fn trail(accounts: &[&str], organization: Option<&str>) -> Trail {
    let accounts: Vec<String> = accounts.iter().map(|id| (*id).to_owned()).collect();
    let from = date(2026, 1, 1);
    Trail::new("s3://trail/logs/", organization, &accounts, &[], from, "cloudtrail").unwrap()
}

fn export(user: &str) -> Export {
    athena::of(&policy(user), &trail(&["111122223333"], None))
}

/// How `athena.py` ends where the environment is older than its need of DuckDB.
const NO_DUCKDB: i32 = 77;

/// A policy and the records that it judges.
type Case = (String, Vec<String>);

/// What the statements return of the records of each case; `None` where the tools are not there.
fn returned(cases: &[Case]) -> Option<Vec<BTreeMap<usize, String>>> {
    let python = tool("python")?;
    let folder = tempfile::tempdir().unwrap();
    for (at, (user, records)) in cases.iter().enumerate() {
        let file = folder.path().join(at.to_string());
        fs::write(file.with_extension("sql"), export(user).text).unwrap();
        let lines = records.iter().map(|record| {
            let record: Value = serde_json::from_str(record).unwrap();
            format!("{record}\n")
        });
        fs::write(file.with_extension("ndjson"), lines.collect::<String>()).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/export/athena.py");
    let run = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    if run.status.code() == Some(NO_DUCKDB) {
        absent("DuckDB in .venv");
        return None;
    }
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let lines = String::from_utf8(run.stdout).unwrap();
    Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// What the judge tells of, by the number of the record.
fn told((user, records): &Case) -> BTreeMap<usize, String> {
    let policy = policy(user);
    let told = records.iter().enumerate().filter_map(|(at, record)| {
        let verdict = judge(&policy, record);
        (!matches!(verdict, Verdict::Ignore(_))).then(|| (at, verdict.reason()))
    });
    told.collect()
}

/// Where the two differ, record by record.
fn differences((user, records): &Case, returned: &BTreeMap<usize, String>) -> Vec<String> {
    let told = told(&(user.clone(), records.clone()));
    let all = records.iter().enumerate();
    let differ = all.filter(|(at, _)| returned.get(at) != told.get(at));
    let said = differ.map(|(at, record)| {
        format!("{user}\n{record}\nreturned {:?}, told {:?}", returned.get(&at), told.get(&at))
    });
    said.collect()
}

#[test]
fn the_query_returns_what_the_policy_alerts_on() {
    let history: Vec<String> = history().iter().filter_map(|record| as_written(record)).collect();
    let cases: Vec<Case> =
        POLICIES.iter().map(|user| ((*user).to_owned(), history.clone())).collect();
    let Some(returned) = returned(&cases) else { return };
    for (case, returned) in cases.iter().zip(returned) {
        assert!(returned.len() > 20, "{} of {}", returned.len(), history.len());
        let differ = differences(case, &returned);
        assert!(differ.is_empty(), "{}", differ.join("\n\n"));
    }
}

/// The record as a trail's file would have it: CloudTrail writes no other types.
fn as_written(record: &str) -> Option<String> {
    let mut record: Value = serde_json::from_str(record).ok()?;
    for (field, value) in record.as_object_mut()? {
        let is_object = ["userIdentity", "requestParameters"].contains(&&**field);
        let fits = value.is_string() || (field == "readOnly" && value.is_boolean());
        if !is_object && !fits {
            *value = Value::Null;
        }
    }
    strings_only(&mut record["userIdentity"]);
    Some(record.to_string())
}

fn strings_only(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(strings_only),
        Value::String(_) => {}
        other => *other = Value::Null,
    }
}

#[test]
fn of_any_policy_it_returns_what_the_judge_says() {
    let mut runner = TestRunner::deterministic();
    let mut made = || (policy_text(), records()).new_tree(&mut runner).unwrap().current();
    let cases = std::iter::repeat_with(|| {
        let (user, records) = made();
        (user, records.iter().filter_map(|record| as_written(record)).collect::<Vec<_>>())
    });
    let cases: Vec<Case> = cases.take(30).collect();
    let Some(returned) = returned(&cases) else { return };
    let mut all = 0;
    for (case, mut returned) in cases.iter().zip(returned) {
        let told = told(case);
        all += told.len();
        // An exemption that ends is one to SQL only where the time is in UTC, as CloudTrail has it.
        returned.retain(|at, _| told.contains_key(at) || has_plain_time(&case.1[*at]));
        let differ = differences(case, &returned);
        assert!(differ.is_empty(), "{}", differ.join("\n\n"));
    }
    assert!(all > 50, "{all}");
}

fn has_plain_time(record: &str) -> bool {
    let record: Value = serde_json::from_str(record).unwrap();
    record["eventTime"].as_str().is_some_and(|time| time.len() == 20 && time.ends_with('Z'))
}

#[test]
fn the_table_is_over_the_files_of_a_trail() {
    let table = |trail: &Trail| {
        let text = athena::of(&policy(""), trail).text;
        text.split_once("-- What").unwrap().0.to_owned()
    };
    let text = table(&trail(&["111122223333", "444455556666"], None));
    for part in [
        "LOCATION 's3://trail/logs/AWSLogs/'",
        "'projection.log_account.values'='111122223333,444455556666'",
        "'storage.location.template'='s3://trail/logs/AWSLogs/${log_account}/CloudTrail/${log_region}/${day}'",
        "'projection.day.range'='2026/01/01,NOW'",
        ",us-west-2'",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("cn-north-1") && !text.contains("us-gov-west-1"));
    let twice = trail(&["444455556666", "111122223333", "444455556666"], None);
    assert_eq!(table(&twice), text);
    let organization = table(&trail(&["111122223333"], Some("o-exampleorgid")));
    assert!(organization.contains("LOCATION 's3://trail/logs/AWSLogs/o-exampleorgid/'"));
    let china = policy("approved_regions = [\"cn-north-1\"]");
    let china = athena::of(&china, &trail(&["111122223333"], None)).text;
    assert!(china.contains("'projection.log_region.values'='cn-north-1,cn-northwest-1'"));
}

#[test]
fn what_would_break_out_of_a_statement_is_refused() {
    let from = date(2026, 1, 1);
    let ids = |id: &str| vec![id.to_owned()];
    let good = ids("111122223333");
    for location in [
        "trail",
        "s3://",
        "s3:///a",
        "s3://a'b",
        "s3://a b",
        "s3://a/AWSLogs",
        "s3://a/AWSLogs/o-x/",
    ] {
        assert!(Trail::new(location, None, &good, &[], from, "t").is_err(), "{location}");
    }
    assert!(Trail::new("s3://a", Some("o-x'"), &good, &[], from, "t").is_err());
    assert!(Trail::new("s3://a", None, &ids("1'"), &[], from, "t").is_err());
    assert!(Trail::new("s3://a", None, &good, &ids("eu-*"), from, "t").is_err());
    assert!(Trail::new("s3://a", None, &good, &[], from, "t;").is_err());
    let watch = "[[watch]]\nid = \"its\"\nreason = \"r\"\nservices = [\"s3\"]\nrequest = { \"a'b\" = \"c'd%_#e*\" }";
    let text = export(watch).text;
    assert!(text.contains("'$[\"a''b\"]'"), "{text}");
    assert!(text.contains("LIKE 'c''d#%#_##e%' ESCAPE '#'"), "{text}");
}

#[test]
fn a_call_that_is_spelled_in_two_ways_is_what_each_spelling_says() {
    let user = "[access.calls]\n\"s3:GetThing\" = \"read-only\"\n\"s3:getThing\" = \"sensitive\"\n\
        \"s3:PutThing\" = \"mutating\"\n\"s3:putThing\" = \"by-field\"";
    let record = |name: &str| {
        json!({"eventSource": "s3.amazonaws.com", "eventName": name, "awsRegion": "eu-west-1",
            "readOnly": true})
        .to_string()
    };
    let names = ["GetThing", "getThing", "getThing20150331", "PutThing", "putThing"];
    let case = (user.to_owned(), names.map(record).to_vec());
    let Some(returned) = returned(std::slice::from_ref(&case)) else { return };
    assert_eq!(returned[0].keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    let differ = differences(&case, &returned[0]);
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
}

/// Whatever its parameters are, it is not what keeps a change from being told.
#[test]
fn a_parameter_that_cannot_be_asked_for_hides_nothing() {
    let record = json!({"eventSource": "s3.amazonaws.com", "eventName": "PutThing",
        "awsRegion": "eu-west-1", "readOnly": false})
    .to_string();
    for member in ["", "a\"b"] {
        for (access, sensitive_reads) in [("sensitive", "ignore"), ("read-only", "alert")] {
            let when = format!("{{ access = \"{access}\", when = {{ '{member}' = true }} }}");
            let user = format!(
                "sensitive_reads = \"{sensitive_reads}\"\n[access.calls]\n\"s3:PutThing\" = {when}"
            );
            let said = "`s3:PutThing` counts as what it says itself, whatever its parameters";
            assert!(export(&user).notes.iter().any(|note| note == said), "{user}");
            let case = (user, vec![record.clone()]);
            let Some(returned) = returned(std::slice::from_ref(&case)) else { return };
            assert_eq!(returned[0].len(), 1, "{}", case.0);
        }
    }
}

/// One engine makes 3 of 2.5, and another makes nothing of it.
#[test]
fn whole_numbers_are_compared_as_such() {
    let watch =
        "[[watch]]\nid = \"n\"\nreason = \"r\"\nservices = [\"s3\"]\nrequest = { n = [3, 2.5] }";
    let record = |n: Value| {
        json!({"eventSource": "s3.amazonaws.com", "eventName": "X", "awsRegion": "us-east-1",
            "requestParameters": {"n": n}})
        .to_string()
    };
    let numbers =
        [json!(3), json!("3"), json!(2.5), json!("2.6"), json!(3.0), json!(30), json!("x")];
    let case = (watch.to_owned(), numbers.map(record).to_vec());
    let Some(returned) = returned(std::slice::from_ref(&case)) else { return };
    assert_eq!(returned[0].keys().copied().collect::<Vec<_>>(), [0, 1, 2, 4]);
    let differ = differences(&case, &returned[0]);
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
}
