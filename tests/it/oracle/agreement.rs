//! The judge and its oracle say the same of every record there is, and of many there are not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use regionwatch::policy::{Policy, Verdict};
use regionwatch::record::Record;
use serde_json::{Value, json};

use super::random::{policy_text, records};
use super::{OraclePolicy, judge};
use crate::corpus::corpus;

const OWNER: &str = "444455556666";
const IRELAND: &str = "approved_regions = [\"eu-west-1\"]";
const EUROPE: &str = "approved_regions = [\"eu-*\"]";
const STRICT: &str = "sensitive_reads = \"ignore\"\n[access]\ntrust_read_only_field = false";
const LOUD: &str = "aws_service_calls = \"alert\"\nsign_ins = \"alert\"";
/// Something of all that a policy can say.
const EVERYTHING: &str = r#"
approved_regions = ["us-east-1", " EU-Central-? "]
drop_rules = ["ssm-agent"]

[accounts."111111111111"]
name = "lab"
approved_regions = ["us-west-2", "ap-*"]

[accounts."111122223333"]
name = "has no list of its own"

[access.calls]
"ec2:DescribeInstances" = "sensitive"
"s3:GetBucketLocation" = "by-field"
"ssm:GetParameters" = "read-only"
"lambda:Invoke" = "read-only"
"ssm:SendCommand" = { access = "sensitive", when = { documentName = ["AWS-RunShellScript", "x"] } }

[[global]]
id = "aws"
homes = ["us-east-1", "eu-west-1"]
services = ["iam", "sts", "ses"]

[[global]]
id = "directory"
homes = ["ca-southwest-3r"]
services = ["sso", "apigateway"]

[[watch]]
id = "trail-change"
reason = "replaced"
severity = "medium"
calls = ["cloudtrail:Put*", "cloudtrail:Update*"]

[[watch]]
id = "root"
reason = "nobody should be root"
principals = ["*:root"]
regions = ["us-*"]

[[watch]]
id = "denied-secrets"
reason = "somebody tries"
severity = "low"
services = ["ssm", "s3"]
outcomes = ["denied", "failed"]

[[exempt]]
id = "watched"
reason = "the watch is named"
calls = ["cloudtrail:*"]
watches = ["trail-tampering", "root"]
accounts = ["1*", "444455556666"]

[[exempt]]
id = "drill"
reason = "over by August"
principals = ["*:user/*"]
until = 2024-07-31

[[exempt]]
id = "office"
reason = "addresses"
source_ips = ["251.0.0.0/8", "192.0.2.0/25", "203.0.113.0/24", "2001:db8::/32"]
services = ["ec2", "elastic*"]

[[exempt]]
id = "sdk"
reason = "who and what came of it"
principals = ["*:assumed-role/*/aws-go-sdk-*"]
outcomes = ["denied", "dry-run"]

[[exempt]]
id = "place"
reason = "regions"
regions = ["me-*", "??-west-?r"]

[[exempt]]
id = "request"
reason = "a member of the request"
request = { attribute = ["userData", "disableApiTermination"] }
"#;

const POLICIES: [&str; 6] = ["", IRELAND, EUROPE, STRICT, LOUD, EVERYTHING];
const CORPUS: [&str; 3] = ["traildiscover.ndjson", "stratus-red-team.ndjson", "oddities.ndjson"];

fn policies(user: &str) -> (OraclePolicy, Policy) {
    let policy = Policy::with_user_file("test.toml", user);
    (OraclePolicy::with_user_file(user), policy.unwrap_or_else(|faults| panic!("{user}\n{faults}")))
}

fn judges_words(policy: &Policy, record: &str) -> String {
    match Record::parse(record).map(|record| policy.judge(&record, OWNER)) {
        Ok(Verdict::Alert(reason, severity)) => format!("{reason} {severity}"),
        Ok(Verdict::Ignore(reason)) => format!("ignored: {reason}"),
        Ok(Verdict::Reject) | Err(_) => "rejected".to_owned(),
    }
}

/// Where the two differ: the record, what the judge says, what the oracle says.
fn disagreements<'a>(user: &str, records: &'a [String]) -> Vec<(&'a str, String, String)> {
    let (oracle, policy) = policies(user);
    let both = |record: &'a String| {
        (record.as_str(), judges_words(&policy, record), judge(&oracle, record, OWNER))
    };
    records.iter().map(both).filter(|(_, judge, oracle)| judge != oracle).collect()
}

#[track_caller]
fn assert_agreed(user: &str, records: &[String]) {
    let found = disagreements(user, records);
    assert!(found.is_empty(), "{} of {} under\n{user}\n{found:#?}", found.len(), records.len());
}

#[track_caller]
fn assert_both_say(user: &str, record: &Value, words: &str) {
    let record = record.to_string();
    assert_eq!(judge(&OraclePolicy::with_user_file(user), &record, OWNER), words);
    assert_agreed(user, &[record]);
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_corpus_is_judged_alike() {
    for file in CORPUS {
        let Some(text) = corpus(file) else { return };
        for user in POLICIES {
            assert_agreed(user, &lines(&text));
        }
    }
}

#[test]
fn the_samples_are_judged_alike() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("events/records");
    let mut records = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "json") {
            let object: Value = serde_json::from_str(&text).unwrap();
            records.extend(object["Records"].as_array().unwrap().iter().map(Value::to_string));
        } else {
            records.extend(lines(&text));
        }
    }
    assert!(records.len() > 20, "{} samples", records.len());
    for user in POLICIES {
        assert_agreed(user, &records);
    }
}

/// How often the oracle gives each verdict, on each file of the corpus.
#[track_caller]
fn assert_counted(user: &str, expected: &[(&str, [usize; 3])]) {
    let oracle = OraclePolicy::with_user_file(user);
    let mut counts = BTreeMap::<String, [usize; 3]>::new();
    for (column, file) in CORPUS.iter().enumerate() {
        let Some(text) = corpus(file) else { return };
        for line in text.lines() {
            counts.entry(judge(&oracle, line, OWNER)).or_default()[column] += 1;
        }
    }
    let expected: BTreeMap<_, _> = expected.iter().map(|(w, n)| ((*w).to_owned(), *n)).collect();
    assert_eq!(counts, expected);
}

#[test]
fn one_approved_region_leaves_these() {
    assert_counted(
        IRELAND,
        &[
            ("ignored: approved-region", [0, 0, 6]),
            ("ignored: aws-service", [0, 0, 1]),
            ("ignored: global-service", [69, 0, 0]),
            ("ignored: read-only", [124, 177, 6]),
            ("ignored: sign-in", [1, 2, 4]),
            ("mutating-call critical", [0, 0, 4]),
            ("mutating-call high", [15, 45, 11]),
            ("mutating-call low", [100, 3, 4]),
            ("rejected", [0, 0, 8]),
            ("sensitive-read low", [2, 45, 0]),
            ("sensitive-read medium", [0, 32, 0]),
            ("watched:trail-change high", [1, 1, 1]),
            ("watched:trail-tampering critical", [2, 2, 3]),
        ],
    );
}

#[test]
fn a_glob_approves_what_is_spelled_like_europe() {
    assert_counted(
        EUROPE,
        &[
            ("ignored: approved-region", [1, 9, 9]),
            ("ignored: aws-service", [0, 0, 1]),
            ("ignored: global-service", [69, 0, 0]),
            ("ignored: read-only", [123, 177, 5]),
            ("ignored: sign-in", [1, 1, 4]),
            ("mutating-call critical", [0, 0, 4]),
            ("mutating-call high", [15, 42, 10]),
            ("mutating-call low", [100, 3, 3]),
            ("rejected", [0, 0, 8]),
            ("sensitive-read low", [2, 45, 0]),
            ("sensitive-read medium", [0, 27, 0]),
            ("watched:trail-change high", [1, 1, 1]),
            ("watched:trail-tampering critical", [2, 2, 3]),
        ],
    );
}

#[test]
fn strict_mode_goes_by_the_verb() {
    assert_counted(
        STRICT,
        &[
            ("ignored: approved-region", [293, 2, 6]),
            ("ignored: aws-service", [0, 0, 2]),
            ("ignored: read-only", [7, 254, 4]),
            ("ignored: sign-in", [1, 1, 2]),
            ("mutating-call critical", [0, 0, 4]),
            ("mutating-call high", [9, 44, 14]),
            ("mutating-call low", [1, 3, 4]),
            ("rejected", [0, 0, 8]),
            ("watched:trail-change high", [1, 1, 1]),
            ("watched:trail-tampering critical", [2, 2, 3]),
        ],
    );
}

/// Two watches match: only what names both of them silences the call, and what is told is the
/// gravest one that nothing names.
const TWICE_WATCHED: &str = r#"
[[watch]]
id = "any-trail"
reason = "also grave, and later"
severity = "critical"
services = ["cloudtrail"]

[[watch]]
id = "root"
reason = "less grave"
severity = "medium"
principals = ["*:root"]
"#;

fn naming(watches: &[&str]) -> String {
    let rule = "reason = \"planned\"\nregions = [\"eu-*\"]\nuntil = 2026-11-20";
    format!("[[exempt]]\nid = \"x-{}\"\n{rule}\nwatches = {watches:?}\n", watches.concat())
}

#[test]
fn a_call_watched_twice_is_silenced_twice() {
    let record = |day: &str| {
        json!({
            "eventSource": "cloudtrail.amazonaws.com", "eventName": "StopLogging",
            "awsRegion": "eu-west-3", "eventTime": format!("2026-11-{day}T12:00:00Z"),
            "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:root"},
        })
    };
    let cases: [(&[&[&str]], &str, &str); 8] = [
        (&[], "20", "watched:trail-tampering critical"),
        (&[&["trail-tampering"]], "20", "watched:any-trail critical"),
        (&[&["any-trail", "root"]], "20", "watched:trail-tampering critical"),
        (&[&["trail-tampering", "any-trail"]], "20", "watched:root medium"),
        (&[&["trail-tampering"], &["any-trail"]], "20", "watched:root medium"),
        (&[&["trail-tampering", "root", "any-trail"]], "21", "watched:trail-tampering critical"),
        (
            &[&["root", "any-trail", "trail-tampering"]],
            "20",
            "ignored: exempt:x-rootany-trailtrail-tampering",
        ),
        (
            &[&["root"], &["trail-tampering"], &["any-trail"]],
            "20",
            "ignored: exempt:x-trail-tampering",
        ),
    ];
    for (exemptions, day, words) in cases {
        let exemptions: String = exemptions.iter().map(|watches| naming(watches)).collect();
        assert_both_say(&format!("{TWICE_WATCHED}{exemptions}"), &record(day), words);
    }
}

#[test]
fn a_list_is_no_object() {
    let issuer = "arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/Y";
    let nobody = Value::Null;
    let identities = [
        json!(["AWSService", nobody, nobody, nobody, nobody, nobody, nobody, nobody, nobody]),
        json!({"type": "IAMUser", "sessionContext": {"sessionIssuer": [issuer, nobody]}}),
        json!({"type": "IAMUser", "sessionContext": [{"arn": issuer}, nobody]}),
    ];
    for identity in identities {
        let record = json!({
            "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
            "awsRegion": "eu-west-3", "userIdentity": identity,
        });
        assert_both_say("", &record, "mutating-call high");
    }
    let mut fields = vec![json!("ec2.amazonaws.com"), json!("RunInstances"), json!("eu-west-3")];
    fields.resize(17, nobody);
    assert_both_say("", &Value::Array(fields), "rejected");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_records_are_judged_alike(user in policy_text(), records in records()) {
        let found = disagreements(&user, &records);
        prop_assert!(found.is_empty(), "under\n{}\n{:#?}", user, found);
    }

    #[test]
    fn random_records_watched_twice_are_judged_alike(
        user in policy_text(),
        named in prop::sample::subsequence(vec![&["trail-tampering"][..], &["any-trail", "root"], &["root"], &["any-trail"]], 0..5),
        records in records(),
    ) {
        let exemptions: String = named.iter().map(|watches| naming(watches)).collect();
        let user = format!("{user}\n{TWICE_WATCHED}{exemptions}");
        let found = disagreements(&user, &records);
        prop_assert!(found.is_empty(), "under\n{}\n{:#?}", user, found);
    }
}

/// The random test is worth as much as what it reaches.
#[test]
fn random_records_reach_every_answer() {
    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    for _ in 0..300 {
        let user = policy_text().new_tree(&mut runner).unwrap().current();
        let oracle = OraclePolicy::with_user_file(&user);
        let records = records().new_tree(&mut runner).unwrap().current();
        reached.extend(records.iter().map(|record| judge(&oracle, record, OWNER)));
    }
    let answers = "approved-region aws-service global-service not-an-api-call read-only sign-in";
    let exemptions = "a b c cloudtrail-delivery d day e night ssm-agent";
    let watches = "run trail-change trail-tampering w-low w-medium w-root w-trail";
    let mut missing = vec!["rejected".to_owned()];
    missing.extend(answers.split(' ').map(|answer| format!("ignored: {answer}")));
    missing.extend(exemptions.split(' ').map(|id| format!("ignored: exempt:{id}")));
    missing.extend(["critical", "high", "medium", "low"].map(|s| format!("mutating-call {s}")));
    missing.extend(["high", "medium", "low"].map(|s| format!("sensitive-read {s}")));
    missing.retain(|words| !reached.contains(words));
    let is_told =
        |id: &&str| reached.iter().any(|words| words.starts_with(&format!("watched:{id} ")));
    missing.extend(watches.split(' ').filter(|id| !is_told(id)).map(str::to_owned));
    assert!(missing.is_empty(), "{missing:?} of {reached:#?}");
}
