//! The command line, as people use it.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::samples::events;

fn regionwatch(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.args(arguments).current_dir(events()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn invoke_prints_alerts_and_says_what_was_ignored() {
    let output = regionwatch(&["invoke", "unreadable.json", "control-message.json"]);
    assert!(output.status.success());
    let text = stdout(&output);
    assert!(
        text.contains("Subject: [high] platform-admin called rds:CreateDBInstance in ca-west-1")
    );
    assert!(text.contains("2 ignored (1 approved-region, 1 read-only), 3 unreadable"), "{text}");
    assert!(text.contains("control-message.json: a control message"), "{text}");
}

#[test]
fn invoke_as_json_prints_one_alert_a_line_and_nothing_else() {
    let output = regionwatch(&["invoke", "--format", "json", "trail-tampering.json"]);
    let alerts = lines(&output);
    assert_eq!(alerts.len(), 2);
    assert!(alerts.iter().all(|alert| alert["version"] == "1" && alert["kind"] == "incident"));
    assert!(stderr(&output).contains("3 alerts"));
}

#[test]
fn exit_codes_tell_alerts_from_bad_input() {
    let code = |arguments: &[&str]| regionwatch(arguments).status.code().unwrap();
    assert_eq!(code(&["invoke", "root.json"]), 0);
    assert_eq!(code(&["invoke", "--exit-code", "root.json"]), 1);
    assert_eq!(code(&["invoke", "--exit-code", "approved-region.json"]), 0);
    assert_eq!(code(&["invoke", "--exit-code", "root.json", "no-such-file"]), 2);
    assert_eq!(code(&["invoke", "records/root.json"]), 2);
    assert_eq!(code(&["scan", "--exit-code", "records/root.json"]), 1);
    assert_eq!(code(&["scan", "no-such-file"]), 2);
    assert_eq!(code(&["nonsense"]), 2);
}

#[test]
fn a_topic_needs_the_sdk_and_must_be_one() {
    let topic = "arn:aws:sns:us-east-1:111122223333:alerts";
    let output = regionwatch(&["invoke", "--topic-arn", &format!("{topic}.fifo"), "root.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("FIFO"));
    if cfg!(not(feature = "aws")) {
        let output = regionwatch(&["invoke", "--topic-arn", topic, "root.json"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("--features aws"), "{}", stderr(&output));
    }
}

#[test]
fn bad_payloads_are_named_and_hide_none_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.json");
    let cases = [
        ("{\"awslogs\":{\"data\":\"H4sIAAA", "is not JSON: wrong at line 1"),
        ("{\"awslogs\":{\"data\":\"H4sIAAAAAAAA/6tW\"}}", "the gzip data ends"),
        ("{\"awslogs\":{\"data\":\"*\"}}", "is not base64"),
        ("{\"Records\":[]}", "it looks like an S3"),
    ];
    for (payload, expected) in cases {
        fs::write(&bad, payload).unwrap();
        let output = regionwatch(&["invoke", bad.to_str().unwrap(), "root.json"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(expected), "{} for {payload}", stderr(&output));
        assert!(stdout(&output).contains("Subject: [critical] root"));
    }
}

#[test]
fn a_policy_with_faults_is_refused_with_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    fs::write(&policy, "approved_regions = []\nsing_ins = \"alert\"\n").unwrap();
    let path = policy.to_str().unwrap();
    let output = regionwatch(&["scan", "--policy", path, "records/root.json"]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(told.contains(&format!("{path}:1:20: no region is approved")), "{told}");
    assert!(told.contains(&format!("{path}:2:1: unknown key `sing_ins`; did you mean")), "{told}");
    let output = regionwatch(&["scan", "--approved-regions", "eu-west-1,*", "records/root.json"]);
    assert!(stderr(&output).contains("every region"), "{}", stderr(&output));
}

#[test]
fn a_control_policy_is_for_an_account_that_there_may_be() {
    let output = regionwatch(&["policy", "scp", "--account", "zz"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("an account is 12 digits, such as 111122223333"), "{said}");
    assert!(regionwatch(&["policy", "scp", "--account", "111122223333"]).status.success());
}

#[test]
fn pack_makes_what_invoke_takes() {
    let packed = regionwatch(&["pack", "records/root.json"]);
    assert_eq!(packed.stdout, fs::read(events().join("root.json")).unwrap());
}

#[test]
fn pack_makes_a_stream_whose_records_are_handled_as_one_payload() {
    let of = [
        "mutating-unapproved-region.json",
        "approved-region.json",
        "sensitive-read.json",
        "unreadable.ndjson",
    ];
    let records = of.map(|name| format!("records/{name}"));
    let mut arguments = vec!["pack", "--kinesis"];
    arguments.extend(records.iter().map(String::as_str));
    assert_eq!(regionwatch(&arguments).stdout, fs::read(events().join("kinesis.json")).unwrap());

    let output = regionwatch(&["invoke", "--format", "json", "kinesis.json"]);
    assert_eq!((output.status.code(), lines(&output).len()), (Some(0), 4));
    let line = "kinesis.json: 4 records of a stream, 17 entries: 8 alerts, 6 ignored (4 approved-region, 2 read-only), 3 unreadable";
    assert!(stderr(&output).contains(line), "{}", stderr(&output));
    // History reads them, too.
    let output = regionwatch(&["scan", "kinesis.json"]);
    assert!(stdout(&output).contains("1 file, 17 entries: 8 alerts"), "{}", stdout(&output));
}
