//! `explain` and `policy`, as people use them.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::samples::events;

fn regionwatch(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.args(arguments).current_dir(events().join("records")).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A policy file of its own folder, which lasts as long as the first value.
fn policy(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// What is printed, without what depends on today, on the folder of this run, and on every comment
/// of the default policy.
fn lasting(output: &Output, folder: &str) -> String {
    let text = stdout(output).replace(folder, "");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("until = "));
    let lines = lines.map(|line| line.split("by policy ").next().unwrap().trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

fn explained(arguments: &[&str]) -> String {
    lasting(&regionwatch(&[&["explain"], arguments].concat()), "")
}

#[test]
fn explanations_read_as_answers() {
    for name in ["root", "sensitive-read", "denied-by-scp", "aws-service-event", "region-enabled"] {
        insta::assert_snapshot!(format!("explain-{name}"), explained(&[&format!("{name}.json")]));
    }
    insta::assert_snapshot!("explain-unreadable", explained(&["unreadable.ndjson"]));
    let watched = "71490cf0-e747-45f3-a896-edfdee2ad080";
    let one = explained(&["--event-id", watched, "trail-tampering.json"]);
    insta::assert_snapshot!("explain-watched", one);
}

#[test]
fn an_explanation_names_the_rule_and_where_it_stands() {
    let (folder, path) = policy(
        r#"approved_regions = ["eu-west-1"]

[accounts."444455556666"]
approved_regions = ["us-*"]

[[exempt]]
id = "ended"
reason = "The migration"
principals = ["*:user/report-bot"]
until = 2026-11-01

[[exempt]]
id = "elsewhere"
reason = "The migration, in another region"
principals = ["*:user/report-bot"]
regions = ["eu-*"]

[[exempt]]
id = "reports"
reason = "Reports need their password"
calls = ["secretsmanager:GetSecretValue"]
watches = ["trail-change"]
"#,
    );
    let folder = format!("{}/", folder.path().display());
    let arguments = ["explain", "--policy", &path, "sensitive-read.json"];
    insta::assert_snapshot!("explain-my-policy", lasting(&regionwatch(&arguments), &folder));
}

#[test]
fn explain_agrees_with_scan_on_every_sample() {
    let decisions = stdout(&regionwatch(&["scan", "--decisions", "."]));
    let explained = stdout(&regionwatch(&["explain", "--format", "json", "."]));
    let parse = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (decisions, explained) = (parse(&decisions), parse(&explained));
    assert!(decisions.len() > 500);
    assert_eq!(decisions.len(), explained.len());
    for (decision, explained) in decisions.iter().zip(&explained) {
        for key in ["event_id", "verdict", "reason", "severity"] {
            assert_eq!(decision[key], explained[key], "{explained}");
        }
        let turned = !explained["changes"].as_array().unwrap().is_empty();
        let can_be_turned =
            !["unreadable", "not-an-api-call"].contains(&explained["reason"].as_str().unwrap());
        assert_eq!(turned, can_be_turned, "{explained}");
    }
}

#[test]
fn a_change_that_is_proposed_does_what_it_says() {
    let explained =
        stdout(&regionwatch(&["explain", "--format", "json", "global-service.json", "root.json"]));
    let mut tried = 0;
    for line in explained.lines() {
        let explained: Value = serde_json::from_str(line).unwrap();
        let id = explained["event_id"].as_str().unwrap();
        for change in explained["changes"].as_array().unwrap() {
            let (_folder, path) = policy(change["toml"].as_str().unwrap());
            let arguments =
                ["scan", "--decisions", "--policy", &path, "global-service.json", "root.json"];
            let decisions = stdout(&regionwatch(&arguments));
            let decision = decisions.lines().find(|line| line.contains(id)).unwrap();
            let decision: Value = serde_json::from_str(decision).unwrap();
            assert_ne!(decision["verdict"], explained["verdict"], "{change}");
            tried += 1;
        }
    }
    assert!(tried >= 5, "{tried}");
}

#[test]
fn what_cannot_be_explained_is_said() {
    let output = regionwatch(&["explain", "--event-id", "none", "root.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no record with the eventID none"), "{}", stderr(&output));
    assert_eq!(regionwatch(&["explain", "no-such-file"]).status.code(), Some(2));
    assert_eq!(
        regionwatch(&["explain", "--policy", "root.json", "root.json"]).status.code(),
        Some(2)
    );
}

#[test]
fn what_a_record_says_cannot_steer_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.json");
    let evil = "x\u{1b}[2J\u{202e}\n# y";
    let record = serde_json::json!({
        "eventSource": format!("{evil}.amazonaws.com"), "eventName": evil, "awsRegion": evil,
        "eventType": evil, "eventID": evil, "sourceIPAddress": evil, "userAgent": evil,
        "recipientAccountId": evil, "userIdentity": {"type": evil, "arn": evil}, "errorCode": evil,
    });
    fs::write(&path, record.to_string()).unwrap();
    for options in [&[][..], &["--brief"], &["--format", "json"]] {
        let arguments = [&["explain"], options, &[path.to_str().unwrap()]].concat();
        let output = regionwatch(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let steers = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!stdout(&output).contains(steers), "{:?}", stdout(&output));
        assert!(!stdout(&output).lines().any(|line| line.starts_with("# y")));
    }
}

#[test]
fn check_judges_the_examples_of_a_policy() {
    let output = regionwatch(&["policy", "check"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("examples, judged as expected"), "{}", stdout(&output));

    let example = |verdict: &str, region: &str| {
        format!(
            "[[example]]\nname = \"machines in {region}\"\nverdict = \"{verdict}\"\n\
             record = '{{\"eventSource\":\"ec2.amazonaws.com\",\"eventName\":\"RunInstances\",\"awsRegion\":\"{region}\"}}'\n\n"
        )
    };
    let file = "[[example]]\nname = \"a file\"\nverdict = \"alert\"\nseverity = \"low\"\nfile = \"records.ndjson\"\n";
    let text = [&example("alert", "eu-west-3"), &example("ignore", "eu-west-3"), file].concat();
    let (folder, path) = policy(&text);
    let record =
        r#"{"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"eu-west-3"}"#;
    fs::write(folder.path().join("records.ndjson"), format!("{record}\nnonsense\n")).unwrap();
    let output = regionwatch(&["policy", "check", "--policy", &path]);
    assert_eq!(output.status.code(), Some(2));
    let complaints = stderr(&output).replace(&format!("{}/", folder.path().display()), "");
    insta::assert_snapshot!(complaints, @r#"
    regionwatch: my.toml:6:1: example `machines in eu-west-3`: expected `ignore`, judged `alert mutating-call high`
    regionwatch: my.toml:11:1: example `a file`: expected `alert low`, judged `alert mutating-call high` (record 1 of the file)
    regionwatch: my.toml:11:1: example `a file`: expected `alert low`, judged `reject unreadable` (record 2 of the file)
    "#);
    assert!(stdout(&output).contains("3 examples, of which 2 not judged as expected"));
}

#[test]
fn check_speaks_of_exemptions_that_ended() {
    let exempt =
        "[[exempt]]\nid = \"ci\"\nreason = \"r\"\nservices = [\"ec2\"]\nuntil = 2020-12-31\n";
    let (_folder, path) = policy(exempt);
    let output = regionwatch(&["policy", "check", "--policy", &path]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).contains(":1:1: exempt `ci` ended on 2020-12-31"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn what_show_prints_is_a_policy_that_shows_the_same() {
    let mine = "approved_regions = [\"eu-*\"]\ndrop_rules = [\"ssm-agent\"]\n\n[[watch]]\nid = \"keys\"\n\
                reason = \"Keys that go\\nare gone\"\ncalls = [\"kms:ScheduleKeyDeletion\"]\n";
    let (folder, path) = policy(mine);
    let shown = stdout(&regionwatch(&["policy", "show", "--policy", &path]));
    let place = |line: usize| format!(" # {}:{line}\n", path);
    assert!(shown.contains(&format!("approved_regions = [\"eu-*\"]{}", place(1))), "{shown}");
    assert!(shown.contains(&format!("[[watch]]{}id = \"keys\"", place(4))), "{shown}");
    assert!(shown.contains("sign_ins = \"ignore\"\n"), "{shown}");
    assert!(!shown.contains("id = \"ssm-agent\""), "{shown}");

    let again = folder.path().join("shown.toml");
    fs::write(&again, &shown).unwrap();
    let twice = stdout(&regionwatch(&["policy", "show", "--policy", again.to_str().unwrap()]));
    let without_places = |text: &str| -> String {
        let lines = text.lines().filter(|line| !line.starts_with("# "));
        lines.map(|line| line.split(" # ").next().unwrap().to_owned() + "\n").collect()
    };
    assert_eq!(without_places(&twice), without_places(&shown));
}

#[test]
fn a_policy_in_force_has_a_version_of_its_own() {
    let version = |arguments: &[&str]| {
        let shown = stdout(&regionwatch(&[&["policy", "show"], arguments].concat()));
        shown.lines().next().unwrap().to_owned()
    };
    let (_folder, path) = policy("sign_ins = \"alert\"");
    assert_eq!(version(&[]), version(&[]));
    assert_ne!(version(&[]), version(&["--policy", &path]));
    assert_ne!(version(&[]), version(&["--approved-regions", "us-east-1"]));
}

#[test]
fn the_entry_that_is_shown_is_the_one_that_decided() {
    let (_folder, path) = policy(
        "[access.calls]\n\"lambda:ListFunctions\" = \"mutating\"\n\"lambda:ListFunctions20150331\" = \"read-only\"\n",
    );
    let record = r#"{"eventSource":"lambda.amazonaws.com","eventName":"ListFunctions20150331","awsRegion":"eu-west-3","readOnly":false}"#;
    let (_records, file) = policy(record);
    let text = stdout(&regionwatch(&["explain", "--policy", &path, &file]));
    let row = text.lines().find(|line| line.starts_with('>')).unwrap();
    assert!(row.contains("\"lambda:ListFunctions20150331\" = \"read-only\""), "{row}");
    assert!(row.ends_with("it overrules readOnly, which is false"), "{row}");
}

#[test]
fn a_policy_from_a_pipe_is_read_once() {
    let text = "approved_regions = [\"eu-west-1\"]\n[[example]]\nname = \"n\"\nverdict = \"ignore\"\nrecord = { eventName = \"x\" }\n";
    let piped = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
        command.args(arguments).args(["--policy", "/dev/stdin"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.current_dir(events().join("records")).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let checked = piped(&["policy", "check"]);
    assert_eq!(checked.status.code(), Some(2), "{}", stdout(&checked));
    assert!(stdout(&checked).contains("approved: eu-west-1"), "{}", stdout(&checked));
    assert!(stdout(&piped(&["policy", "show"])).contains("[\"eu-west-1\"] # /dev/stdin:1"));
    let explained = stdout(&piped(&["explain", "root.json"]));
    assert!(explained.contains("[\"eu-west-1\", \"eu-north-1\"]"), "{explained}");
}

#[test]
fn what_holds_no_records_is_said() {
    let output = regionwatch(&["explain", "/dev/null"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no records in it"), "{}", stderr(&output));
}
