//! `regionwatch redrive` on files, without AWS: the dry run.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::e2e::run_instances;
use crate::handler::{pack, pack_entries};
use crate::samples::payload;
use crate::undelivered::{given_up_at, invocation_record, record_of_stream};

/// The command in a folder.
fn redrive(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.arg("redrive").args(arguments).current_dir(folder.path()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with files as Lambda names objects: without an ending, the oldest first.
fn folder(kept: &[Vec<u8>]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let day = folder.path().join("kept/aws/lambda/async/regionwatch/2026/11/23");
    fs::create_dir_all(&day).unwrap();
    for (number, kept) in kept.iter().enumerate() {
        fs::write(day.join(format!("2026-11-23T12.{number:02}.00-{number:032x}")), kept).unwrap();
    }
    folder
}

fn record(payload: &[u8]) -> Vec<u8> {
    invocation_record(payload).to_string().into_bytes()
}

/// All files below a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() {
            let inner = self::files(&path).into_iter();
            files.extend(inner.map(|(inner, content)| (format!("{name}/{inner}"), content)));
        } else {
            files.insert(name, fs::read(path).unwrap());
        }
    }
    files
}

/// Calls of one principal, each another one.
fn calls(first: usize, count: usize) -> Vec<u8> {
    let call = |number| {
        let id = format!(r#"{{"eventID":"{number}","#);
        run_instances("mateo", "eu-west-3").replacen('{', &id, 1)
    };
    pack(&(first..first + count).map(call).collect::<Vec<_>>())
}

#[test]
fn a_dry_run_prints_what_would_be_told_and_changes_nothing() {
    let folder = folder(&[record(&payload("root")), payload("approved-region")]);
    let before = files(folder.path());
    let output = redrive(&folder, &["kept"]);
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(text.matches("Subject: ").count(), 1);
    assert!(text.contains("Subject: [critical] root called ec2:RunInstances"), "{text}");
    let kept = "kept/aws/lambda/async/regionwatch/2026/11/23/2026-11-23T12";
    for line in [
        &format!(
            "{kept}.00.00-{:032x}: 1 entry: 1 alert, 0 ignored, 0 unreadable; 1 incident, 1 told, 0 held back\n",
            0
        ),
        &format!(
            "{kept}.01.00-{:032x}: 3 entries: 0 alerts, 3 ignored (3 approved-region), 0 unreadable\n",
            1
        ),
        "\ndry run: 2 payloads: 2 handled, 0 done before, 0 failed; 1 message; 0 deleted\n",
        "\nnothing was published, noted or deleted; to do it, add --publish --topic-arn ARN \
         --policy-parameter NAME\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(stderr(&output), "", "and no bar where there is no terminal");
    assert_eq!(files(folder.path()), before);
}

#[test]
fn records_of_a_stream_are_redriven_where_they_were_kept_and_are_named_where_not() {
    let kept = record_of_stream(&json!(String::from_utf8(payload("kinesis")).unwrap()));
    let without = record_of_stream(&Value::Null);
    let folder = folder(&[kept.to_string().into_bytes(), without.to_string().into_bytes()]);
    let output = redrive(&folder, &["kept"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    assert_eq!(text.matches("Subject: ").count(), 4, "{text}");
    assert!(text.contains("4 records of a stream, 17 entries: 8 alerts"), "{text}");
    assert!(
        text.contains(
            "dry run: 1 payload: 1 handled, 0 done before, 0 failed; 4 messages; 1 other fault"
        ),
        "{text}"
    );
    let said = stderr(&output);
    assert!(said.contains("names records of a stream and holds none of them"), "{said}");
    assert!(said.contains("`aws kinesis get-records`"), "{said}");
}

#[test]
fn a_storm_over_many_payloads_is_one_message_and_its_milestones() {
    let payloads: Vec<Vec<u8>> = (0..50).map(|n| record(&calls(n * 10, 10))).collect();
    let folder = folder(&payloads);
    let output = redrive(&folder, &["--format", "json", "kept"]);
    let alerts: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(alerts.len(), 2);
    assert_eq!(alerts[0]["count"], 10);
    assert_eq!(alerts[0]["follow_up"], json!(null));
    assert_eq!(alerts[1]["follow_up"]["total"], 100);
    let said = stderr(&output);
    assert!(
        said.contains("dry run: 50 payloads: 50 handled, 0 done before, 0 failed; 2 messages"),
        "{said}"
    );
}

/// Twice a call of the same name by the same user: held where it is one incident.
fn again(number: usize) -> Vec<u8> {
    calls(number, 1)
}

fn alerts(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the function would have told on three days is not one storm because it is redriven in one.
#[test]
fn each_payload_is_told_in_the_window_of_its_own_time() {
    let kept = |times: &[&str]| {
        let kept = times.iter().enumerate();
        folder(&kept.map(|(n, time)| given_up_at(time, &again(n))).collect::<Vec<_>>())
    };
    let told = |folder: &TempDir, more: &[&str]| {
        let output = redrive(folder, &[&["--format", "json", "kept"], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        alerts(&output).len()
    };
    let days = kept(&["2026-11-05T12:00:00Z", "2026-11-12T12:00:00Z", "2026-11-20T12:00:00Z"]);
    assert_eq!(told(&days, &[]), 3);
    let hour = kept(&["2026-11-05T12:00:00Z", "2026-11-05T12:20:00Z", "2026-11-05T12:59:59Z"]);
    assert_eq!(told(&hour, &[]), 1);
    assert_eq!(told(&hour, &["--window-minutes", "20"]), 3);
    let late = kept(&["2026-11-05T12:00:00Z", "2026-11-05T13:00:00Z", "2026-11-05T13:01:00Z"]);
    assert_eq!(told(&late, &[]), 2);
    // A clock that is ahead of ours must not begin a window that lasts for months.
    let ahead = kept(&["9999-01-01T00:00:00Z", "9999-06-01T00:00:00Z"]);
    assert_eq!(told(&ahead, &[]), 1);
}

#[test]
fn a_bare_payload_has_the_time_of_its_newest_entry() {
    let entry = |time: i64| {
        let message = run_instances("mateo", "eu-west-3");
        pack_entries(&[json!({"id": "1", "timestamp": time, "message": message})])
    };
    const HOUR: i64 = 3_600_000;
    let noon = 1_793_880_000_000;
    let output = |times: &[i64]| {
        let folder = folder(&times.iter().map(|time| entry(*time)).collect::<Vec<_>>());
        alerts(&redrive(&folder, &["--format", "json", "kept"])).len()
    };
    assert_eq!(output(&[noon, noon + HOUR / 2]), 1);
    assert_eq!(output(&[noon, noon + HOUR, noon + 200 * HOUR]), 3);
}

#[test]
fn what_is_none_is_named_and_stops_nothing() {
    let damaged = json!({"awslogs": {"data": "H4sIAAAAAAAA/6tW"}}).to_string();
    let folder = folder(&[
        b"<Error/>".to_vec(),
        record(damaged.as_bytes()),
        Vec::new(),
        record(&payload("root")),
    ]);
    fs::write(folder.path().join("kept/.hidden"), "x").unwrap();
    fs::write(folder.path().join("kept/regionwatch-redrive.journal"), "x").unwrap();
    let output = redrive(&folder, &["no-such-file", "kept"]);
    assert_eq!(output.status.code(), Some(2));
    let (text, said) = (stdout(&output), stderr(&output));
    assert!(text.contains("Subject: [critical] root"), "{text}");
    let total = "2 payloads: 1 handled, 0 done before, 1 failed; 1 message; 3 other faults";
    assert!(text.contains(total), "{text}");
    let name = |n: u8| format!("2026-11-23T12.{n:02}.00-{n:032x}");
    for (n, fault) in [
        (0, "no JSON object in 1 line from byte 0 on: it looks like XML or HTML"),
        (1, "the data cannot be inflated: "),
        (2, "it is empty"),
    ] {
        assert!(said.contains(&format!("{}: {fault}", name(n))), "{said}");
    }
    for part in [
        "no-such-file: ",
        "kept: 2 other files passed over",
        "still to be done:\n  no-such-file\n  ",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let (_, left) = said.split_once("still to be done:").unwrap();
    assert!((0..3).all(|n| left.contains(&name(n))) && !left.contains(&name(3)), "{left}");
}

#[test]
fn standard_input_may_hold_many_and_the_same_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.args(["redrive", "-"]).current_dir(folder.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (root, storm) = (record(&payload("root")), payload("storm"));
    let text = [root.as_slice(), &storm, &root].join(&b'\n');
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = stdout(&output);
    assert!(output.status.success());
    assert!(text.contains("standard input: 1 entry: 1 alert"), "{text}");
    assert!(text.contains("standard input, payload 2: 500 entries"), "{text}");
    assert!(text.contains("standard input, payload 3: done before"), "{text}");
    assert!(text.contains("3 payloads: 2 handled, 1 done before, 0 failed; 2 messages"), "{text}");
}

#[test]
fn the_policy_that_is_named_judges() {
    let folder = folder(&[record(&payload("root"))]);
    let output = redrive(&folder, &["--approved-regions", "eu-north-1", "kept"]);
    assert!(stdout(&output).contains("0 alerts, 1 ignored (1 approved-region)"));
    fs::write(folder.path().join("my.toml"), "approved_regions = [\"eu-*\"]\n").unwrap();
    let output = redrive(&folder, &["--policy", "my.toml", "kept"]);
    assert!(stdout(&output).contains("0 alerts, 1 ignored (1 approved-region)"));
}

#[test]
fn the_policy_that_judged_is_named() {
    let folder = folder(&[record(&payload("root"))]);
    fs::write(folder.path().join("my.toml"), "approved_regions = [\"eu-west-1\"]\n").unwrap();
    let says = |arguments: &[&str], parts: &[&str]| {
        let text = stdout(&redrive(&folder, &[arguments, &["kept"]].concat()));
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} in {text}");
    };
    let default = ["\njudged by the default policy, ", ": approved regions us-east-1, us-west-2\n"];
    says(&[], &default);
    let add = "to do it, add --publish --topic-arn ARN\n";
    says(&["--default-policy"], &[&default[..], &[add]].concat());
    let mine = ["\njudged by my.toml, ", ": approved regions eu-west-1\n", add];
    says(&["--policy", "my.toml"], &mine);
    let regions = ["\njudged by my.toml, ", ": approved regions sa-east-1\n"];
    says(&["--policy", "my.toml", "--approved-regions", "sa-east-1"], &regions);
}

/// Else whoever follows an alarm judges by another policy than the function did.
#[test]
fn wherever_the_command_is_shown_the_policy_is_the_functions() {
    let mut shown = 0;
    for page in ["README.md", "docs/operations.md", "template.yaml"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for command in words.split("regionwatch redrive --bucket ").skip(1) {
            let (_, behind) = command.split_once(' ').unwrap();
            assert!(behind.starts_with("--policy-parameter "), "{page}: {command}");
            shown += 1;
        }
    }
    assert!(shown >= 4, "only {shown} found");
}

#[test]
fn a_payload_is_told_in_as_many_messages_as_the_function_would() {
    let call = |user| run_instances(user, "eu-west-3");
    let folder = folder(&[record(&pack(&["anna", "ben", "carl", "dora"].map(call)))]);
    let count = |more: &[&str]| {
        alerts(&redrive(&folder, &[&["--format", "json", "kept"], more].concat())).len()
    };
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&["--max-messages", "2"]), 2);
}

#[test]
fn what_a_dry_run_does_not_do_is_said() {
    let folder = folder(&[record(&payload("root"))]);
    let text = stdout(&redrive(&folder, &["--keep", "kept"]));
    assert!(text.ends_with("\n--keep had no effect without --publish\n"), "{text}");
    assert!(!stdout(&redrive(&folder, &["kept"])).contains("no effect"));
}

#[test]
fn what_needs_the_sdk_or_another_argument_is_said() {
    let folder = folder(&[record(&payload("root"))]);
    let topic = ["--topic-arn", "arn:aws:sns:us-east-1:111122223333:alerts"];
    let refused = |arguments: &[&str], expected: &str| {
        let output = redrive(&folder, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = stderr(&output);
        assert!(said.contains(expected), "{said} for {arguments:?}");
    };
    refused(&[], "required arguments were not provided");
    refused(&["--publish", "kept"], "--topic-arn <ARN>");
    refused(&["--bucket", "b", "kept"], "cannot be used with");
    refused(&["--bucket", "b", "--queue-url", "q"], "cannot be used with");
    refused(&["--prefix", "p", "kept"], "cannot be used with");
    refused(&["--bucket", ""], "a value is required for '--bucket <NAME>'");
    refused(&["--queue-url", ""], "a value is required for '--queue-url <URL>'");
    refused(&["--default-policy", "--policy", "p", "kept"], "cannot be used with");
    refused(&["--max-messages", "1", "kept"], "1 is not in 2..=1000");
    let publish = [&["--publish"], &topic[..], &["kept"]].concat();
    refused(&publish, "--publish needs to know by which policy");
    refused(&publish, "add --policy-parameter NAME (the stack's output PolicyParameter)");
    let regions = ["--approved-regions", "eu-*"];
    refused(&[&publish[..], &regions].concat(), "--policy FILE, or --default-policy");
    refused(&["--topic-arn", "alerts", "kept"], "--topic-arn: `alerts` is no topic");
    if cfg!(not(feature = "aws")) {
        let needs = |flag: &str| format!("{flag} needs the AWS SDK: build with `--features aws`");
        refused(&[&topic[..], &["kept"]].concat(), &needs("--topic-arn"));
        refused(&["--bucket", "b"], &needs("--bucket"));
        refused(&["--queue-url", "q"], &needs("--queue-url"));
        refused(&["--ledger-table", "table", "kept"], &needs("--ledger-table"));
        refused(&["--policy-parameter", "p", "kept"], &needs("--policy-parameter"));
    }
}
