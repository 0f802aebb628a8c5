//! `policy pattern`, read by the evaluator that the template's pattern is read by.

use std::collections::BTreeSet;

use proptest::prelude::*;
use regionwatch::export::pattern::{self, LONGEST, PatternError};
use regionwatch::policy::Verdict;
use serde_json::{Value, json};

use super::{POLICIES, alerts, history, policy};
use crate::oracle::random::{policy_text, records};
use crate::template::pattern::matches;

fn pattern(user: &str) -> String {
    pattern::of(&policy(user)).unwrap().text
}

fn notes(user: &str) -> String {
    pattern::of(&policy(user)).unwrap().notes.join("\n")
}

#[test]
fn whatever_the_policy_alerts_on_matches() {
    let history = history();
    for user in POLICIES {
        let (judge, pattern) = (policy(user), pattern(user));
        let mut missed = Vec::new();
        let (mut alerted, mut matched) = (0, 0);
        for record in &history {
            let parsed: Value = serde_json::from_str(record).unwrap();
            let found = matches(&pattern, &parsed).unwrap();
            alerted += usize::from(alerts(&judge, record));
            matched += usize::from(found);
            if alerts(&judge, record) && !found {
                missed.push(record);
            }
        }
        assert!(missed.is_empty(), "{pattern}\nmisses {missed:#?}");
        assert!(alerted > 20 && matched < history.len(), "{alerted} {matched}\n{pattern}");
    }
}

#[test]
fn the_default_policy_as_a_pattern() {
    let text = pattern("");
    assert!(text.len() <= LONGEST, "{}", text.len());
    let start = r#"{ ((($.awsRegion != "us-east-1" && $.awsRegion != "us-west-2") || $.awsRegion NOT EXISTS || $.awsRegion IS NULL) && ($.readOnly IS FALSE || ($.readOnly = "*" && $.readOnly != "true") || $.readOnly NOT EXISTS || $.readOnly IS NULL || $.eventName = %"#;
    assert!(text.starts_with(start), "{text}");
    let rings = |record: Value| matches(&text, &record).unwrap();
    let call = |name: &str, region: &str, read_only: bool| {
        rings(json!({"eventName": name, "awsRegion": region, "readOnly": read_only}))
    };
    assert!(call("RunInstances", "eu-west-1", false) && !call("RunInstances", "us-west-2", false));
    assert!(call("StopLogging", "us-west-2", false) && call("EnableRegion", "us-east-1", false));
    for told in
        ["InvokeModel", "GetSecretValue", "sendRawEmail", "GetParameters", "GetSessionToken"]
    {
        assert!(call(told, "eu-west-1", true), "{told}: {text}");
        assert!(!call(told, "us-west-2", true), "{told}");
    }
    for read in [
        "DescribeInstances",
        "GetObject",
        "ListRoles",
        "AssumeRole",
        "Decrypt",
        "GetCallerIdentity",
    ] {
        assert!(!call(read, "eu-west-1", true), "{read}: {text}");
    }
}

/// What it matches besides is what the notes speak of.
#[test]
fn what_it_matches_besides_is_listed() {
    let (judge, pattern) = (policy(""), pattern(""));
    let besides = history()
        .into_iter()
        .filter(|record| matches(&pattern, &serde_json::from_str(record).unwrap()).unwrap());
    let reasons: BTreeSet<String> = besides
        .map(|record| super::judge(&judge, &record))
        .filter(|verdict| !matches!(verdict, Verdict::Alert(..)))
        .map(|verdict| verdict.reason())
        .collect();
    let listed = ["aws-service", "not-an-api-call", "read-only", "sign-in", "unreadable"];
    assert!(reasons.iter().all(|reason| listed.contains(&&**reason)), "{reasons:?}");
}

#[test]
fn what_does_not_fit_is_left_out_towards_more() {
    let many = |regions: usize| {
        let regions: Vec<String> = (0..regions).map(|n| format!("\"us-east-{n}\"")).collect();
        format!("approved_regions = [{}]", regions.join(", "))
    };
    let fitting = notes(&many(2));
    assert!(
        fitting.contains("for want of room, every call with TemplatedEmail in its name stands for")
    );
    assert!(!fitting.contains("reads match too"), "{fitting}");
    let crowded = pattern(&many(16));
    let read = json!({"eventName": "DescribeX", "awsRegion": "eu-west-1", "readOnly": true});
    assert!(matches(&crowded, &read).unwrap() && crowded.len() <= LONGEST);
    assert!(notes(&many(16)).contains("reads match too"));
    let fault = pattern::of(&policy(&many(40))).unwrap_err();
    assert!(matches!(fault, PatternError::TooLong(1025..)), "{fault}");
}

#[test]
fn what_is_not_said_is_told() {
    let user = POLICIES[3].to_owned()
        + "\n[[watch]]\nid = \"w\"\nreason = \"r\"\ncalls = [\"s3:PutObject\"]\n\
        request = { key = \"x\" }\nsource_ips = [\"10.0.0.0/8\"]";
    let notes = notes(&user);
    assert!(notes.contains("accounts with lists of their own"), "{notes}");
    assert!(notes.contains("watch `w` matches whatever its source_ips and request are"), "{notes}");
    assert!(
        notes.contains("it knows no exemption; the policy has ssm-agent and cloudtrail-delivery")
    );
    assert!(self::notes(POLICIES[1]).contains("it does not approve us-*-1"));
}

/// To the judge the case of a name means nothing, and to the pattern everything.
#[test]
fn a_watch_may_be_written_in_any_case() {
    let calls = [
        ("ec2:runinstances", "RunInstances"),
        ("ec2:run*", "RunInstances"),
        ("ec2:*instances", "RunInstances"),
        ("ec2:Terminate*instances", "TerminateInstances"),
        ("ec2:*Stance*", "RunInstances"),
        ("ec2:runInstances", "RunInstances"),
    ];
    for (call, name) in calls {
        for more in ["", "regions = [\"us-*\"]"] {
            let user =
                format!("[[watch]]\nid = \"w\"\nreason = \"r\"\ncalls = [\"{call}\"]\n{more}");
            let record = json!({"eventSource": "ec2.amazonaws.com", "eventName": name,
                "awsRegion": "us-east-1", "readOnly": false});
            assert!(alerts(&policy(&user), &record.to_string()), "{user}");
            assert!(matches(&pattern(&user), &record).unwrap(), "{user}\n{}", pattern(&user));
        }
    }
    let lower = "[[watch]]\nid = \"w\"\nreason = \"r\"\ncalls = [\"ec2:runinstances\"]";
    assert!(notes(lower).contains("watch `w` matches other names than `runinstances`, too"));
}

#[test]
fn a_watch_that_no_pattern_can_ask_for_is_an_error() {
    let user = "[[watch]]\nid = \"w\"\nreason = \"r\"\nsource_ips = [\"10.0.0.0/8\"]";
    assert_eq!(pattern::of(&policy(user)), Err(PatternError::Watch("w".to_owned())));
}

/// What the notes say that it does not see.
fn is_seen(record: &Value) -> bool {
    let text = |field: &str| {
        record[field].as_str().is_none_or(|text| text.trim() == text && text.to_lowercase() == text)
    };
    let scalar = |field: &str| match &record[field] {
        Value::Null | Value::String(_) => true,
        Value::Bool(_) => field == "readOnly",
        _ => false,
    };
    let recipient = &record["recipientAccountId"];
    text("awsRegion")
        && text("eventSource")
        && scalar("awsRegion")
        && scalar("readOnly")
        && (recipient.is_null() || recipient.as_str().is_some_and(|id| !id.is_empty()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_any_policy_it_misses_nothing_that_it_can_see(user in policy_text(), records in records()) {
        let judge = policy(&user);
        let Ok(export) = pattern::of(&judge) else { return Ok(()) };
        for record in &records {
            let Ok(parsed) = serde_json::from_str::<Value>(record) else { continue };
            if is_seen(&parsed) && alerts(&judge, record) {
                prop_assert!(matches(&export.text, &parsed).unwrap(), "{user}\n{record}\n{}", export.text);
            }
        }
    }
}
