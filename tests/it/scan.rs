//! `regionwatch scan`, as people use it.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::samples::events;
use crate::trail;

fn scan(arguments: &[&str], paths: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.arg("scan").args(arguments).args(paths).current_dir(events()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The report as JSON.
fn report(arguments: &[&str], paths: &[&Path]) -> Value {
    let output = scan(&[&["--format", "json"], arguments].concat(), paths);
    serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)))
}

fn lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn gzip(content: &str, path: &Path) {
    let mut gzip = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
    gzip.write_all(content.as_bytes()).unwrap();
    gzip.finish().unwrap();
}

/// An object of CloudTrail's.
fn object(records: &[String], path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    gzip(&format!("{{\"Records\":[{}]}}", records.join(",")), path);
}

/// A call of a role in a region that is not approved.
fn call(id: &str, role: &str, name: &str, time: &str) -> String {
    let arn = format!("arn:aws:iam::111122223333:role/{role}");
    json!({
        "eventVersion": "1.11", "eventID": id, "eventTime": time, "awsRegion": "eu-west-3",
        "eventSource": "ec2.amazonaws.com", "eventName": name,
        "recipientAccountId": "111122223333",
        "userIdentity": {"type": "AssumedRole", "sessionContext": {"sessionIssuer": {
            "arn": arn, "userName": role}}},
    })
    .to_string()
}

/// A folder with one object of these records.
fn folder(records: &[String]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    object(records, &folder.path().join("a.json.gz"));
    folder
}

#[test]
fn folders_of_gzipped_objects_are_read_in_the_order_of_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let day = folder.path().join("AWSLogs/2026/11/20");
    for (name, region) in [("b", "eu-west-2"), ("a", "eu-west-3"), ("c", "us-east-1")] {
        let record = json!({"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
            "awsRegion": region, "eventID": name});
        object(&[record.to_string()], &day.join(format!("{name}.json.gz")));
    }
    fs::write(folder.path().join("README.txt"), "not a record").unwrap();
    let output = scan(&["--decisions"], &[folder.path()]);
    assert!(output.status.success());
    let decided: Vec<String> = lines(&output)
        .iter()
        .map(|line| {
            let (verdict, reason) = (&line["verdict"], &line["reason"]);
            format!("{} {verdict} {reason} {}", line["event_id"], line["severity"])
        })
        .collect();
    let expected = [
        r#""a" "alert" "mutating-call" "high""#,
        r#""b" "alert" "mutating-call" "high""#,
        r#""c" "ignore" "approved-region" null"#,
    ];
    assert_eq!(decided, expected);
    assert!(stderr(&output).contains("1 other file passed over"), "{}", stderr(&output));
}

/// Whatever the files and whoever reads them.
#[test]
fn the_order_is_the_same_with_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let all = trail::records(3_000);
    // Sizes from one record to many, so that readers overtake each other.
    let (mut rest, mut number) = (all.as_slice(), 0);
    while !rest.is_empty() {
        let (part, behind) = rest.split_at((number * number % 97 + 1).min(rest.len()));
        object(part, &folder.path().join(format!("{number:04}.json.gz")));
        (rest, number) = (behind, number + 1);
    }
    let ids = |output: &Output| -> Vec<String> {
        lines(output).iter().map(|line| line["event_id"].to_string()).collect()
    };
    let one = scan(&["--decisions", "--threads", "1"], &[folder.path()]);
    assert_eq!(ids(&one).len(), 3_000);
    let id =
        |record: &String| serde_json::from_str::<Value>(record).unwrap()["eventID"].to_string();
    assert_eq!(ids(&one), all.iter().map(id).collect::<Vec<_>>());
    let reported = report(&["--threads", "1"], &[folder.path()]);
    for threads in ["2", "7"] {
        let many = scan(&["--decisions", "--threads", threads], &[folder.path()]);
        assert!(one.stdout == many.stdout, "{threads} threads decide in another order");
        assert_eq!(reported, report(&["--threads", threads], &[folder.path()]));
    }
}

/// Nobody knows how history was cut to files: all that is told must not depend on it.
#[test]
fn the_report_is_the_same_however_history_is_kept() {
    let all = trail::records(2_000);
    let whole = folder(&all);
    let pieces = tempfile::tempdir().unwrap();
    for (number, part) in all.chunks(37).enumerate() {
        // The last first.
        object(part, &pieces.path().join(format!("{:04}.json.gz", 9_999 - number)));
    }
    let line = tempfile::tempdir().unwrap();
    fs::write(line.path().join("all.ndjson"), all.join("\n")).unwrap();
    let told = |folder: &TempDir| {
        let mut report = report(&[], &[folder.path()]);
        report["files"].take();
        // Lists in it are in the order of their first appearance.
        for message in report["messages"].as_array_mut().unwrap() {
            message["alert"].take();
        }
        report
    };
    let expected = told(&whole);
    assert_eq!(expected["entries"], 2_000);
    assert_eq!(expected["alerts"], 20);
    assert_eq!(told(&pieces), expected);
    assert_eq!(told(&line), expected);
}

#[test]
fn a_record_that_comes_again_is_decided_again_and_counted_once() {
    let record = call("46a75ef4-9067-4f8f-8e6d-7d2c32494f7a", "ci", "RunInstances", TIME);
    let other = call("not a uuid", "ci", "RunInstances", TIME);
    let without = record.replace("\"eventID\"", "\"id\"");
    let folder = folder(&[record.clone(), other.clone(), without.clone()]);
    object(&[record, other, without], &folder.path().join("b/copy.json.gz"));
    assert_eq!(lines(&scan(&["--decisions"], &[folder.path()])).len(), 6);
    let report = report(&[], &[folder.path()]);
    assert_eq!(report["entries"], 6);
    // Whatever has no id may be another one.
    assert_eq!(report["alerts"], 4);
    assert_eq!(report["ignored_by"], json!({"duplicate": 2}));
    assert_eq!(report["regions"][0]["calls"], 4);
}

/// Whatever else the second of them says.
#[test]
fn what_came_again_is_nobodys_call() {
    let ignored = |role: &str, region: &str| {
        let record = call("1", role, "DescribeInstances", TIME);
        record.replace("eu-west-3", region)
    };
    let folder = folder(&[ignored("ci", "us-east-1"), ignored("ghost", "us-west-2")]);
    let report = report(&[], &[folder.path()]);
    assert_eq!(report["ignored_by"], json!({"approved-region": 1, "duplicate": 1}));
    for list in ["principals", "regions", "accounts"] {
        assert_eq!(report[list].as_array().unwrap().len(), 1, "{report}");
    }
    assert_eq!(report["principals_in_all"], 1);
}

const TIME: &str = "2026-11-20T10:00:00Z";

#[test]
fn digests_are_passed_over_wherever_they_lie() {
    let folder = folder(&[call("1", "ci", "RunInstances", TIME)]);
    let digest =
        r#"{"awsAccountId":"111122223333","digestStartTime":"2026-11-20T10:00:00Z","logFiles":[]}"#;
    let digests = folder.path().join("AWSLogs/111122223333/CloudTrail-Digest/us-east-1");
    fs::create_dir_all(&digests).unwrap();
    gzip(digest, &digests.join("1.json.gz"));
    gzip(digest, &folder.path().join("1_CloudTrail-Digest_us-east-1_2.json.gz"));
    // One that was moved and renamed is known by what it says.
    gzip(digest, &folder.path().join("renamed.json.gz"));
    let report = report(&[], &[folder.path()]);
    assert_eq!((&report["digests"], &report["entries"]), (&json!(3), &json!(1)));
    assert_eq!(report["rejected"], 0);
    let text = stdout(&scan(&[], &[folder.path()]));
    assert!(text.contains("2 files, 3 passed over without records, 1 entry: 1 alert"), "{text}");
}

#[test]
fn exports_of_cloudwatch_logs_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let task = folder.path().join("exportedlogs/2f1c/111122223333_CloudTrail_us-east-1");
    fs::create_dir_all(&task).unwrap();
    let line =
        |id: &str| format!("2026-11-20T10:00:01.000Z {}\n", call(id, "ci", "RunInstances", TIME));
    let odd = "2026-11-20T10:00:02.000Z START RequestId\n";
    gzip(&format!("{}{}{odd}{}", line("1"), line("2"), line("3")), &task.join("000000.gz"));
    gzip(&line("4"), &task.join("000001.gz"));
    let test = folder.path().join("aws-logs-write-test");
    fs::write(&test, "Permission Check Successful").unwrap();
    let report = report(&[], &[folder.path(), &test]);
    assert_eq!((&report["files"], &report["digests"]), (&json!(3), &json!(1)));
    assert_eq!((&report["alerts"], &report["rejected"]), (&json!(4), &json!(1)));
}

#[test]
fn damaged_files_are_named_at_the_end_and_stop_nothing() {
    let folder = folder(&[call("1", "ci", "RunInstances", TIME)]);
    let bad = folder.path().join("b.json.gz");
    fs::copy(folder.path().join("a.json.gz"), &bad).unwrap();
    let bytes = fs::read(&bad).unwrap();
    fs::write(&bad, &bytes[..bytes.len() - 1]).unwrap();
    let missing = folder.path().join("missing.json");
    let root = events().join("records/root.json");
    let paths = [folder.path(), &missing, &root];
    let output = scan(&[], &paths);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    let said: Vec<&str> = said.lines().collect();
    assert!(said[0].contains("b.json.gz: the gzip data ends after"), "{said:?}");
    assert!(said[1].contains("missing.json: No such file"), "{said:?}");
    assert!(
        stdout(&output).contains("2 files, 2 damaged, 3 entries: 2 alerts"),
        "{}",
        stdout(&output)
    );
    let report = report(&[], &paths);
    assert_eq!(report["damaged"][0]["path"], bad.to_str().unwrap());
    assert_eq!(report["damaged"].as_array().unwrap().len(), 2);
}

/// Whatever it is in: the checksum comes last, when all of it was read.
#[test]
fn what_was_read_before_a_wrong_checksum_counts() {
    let calls: Vec<String> =
        (0..9).map(|n| call(&n.to_string(), "ci", "RunInstances", TIME)).collect();
    let short = r#"{"eventVersion":"1","eventSource":"a","eventName":"B"}"#.to_owned();
    let exported = |record: &String| format!("2026-11-20T10:00:01.000Z {record}");
    let texts = [
        (1, short.clone()),
        (1, exported(&short)),
        (9, calls.join("\n")),
        (9, calls.iter().map(exported).collect::<Vec<_>>().join("\n")),
        (9, format!("{{\"Records\":[{}]}}", calls.join(","))),
        (9, format!("[{}]", calls.join(",\n"))),
    ];
    for (count, text) in texts {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json.gz");
        gzip(&text, &path);
        // The checksum, and the length.
        for behind in [8, 4] {
            let mut bytes = fs::read(&path).unwrap();
            let at = bytes.len() - behind;
            bytes[at] ^= 1;
            fs::write(folder.path().join("b.json.gz"), bytes).unwrap();
            let report = report(&[], &[&folder.path().join("b.json.gz")]);
            assert_eq!((&report["alerts"], &report["entries"]), (&json!(count), &json!(count)));
            let damaged = &report["damaged"][0];
            assert!(damaged["path"].as_str().unwrap().ends_with("b.json.gz"), "{damaged}");
            let fault = damaged["fault"].as_str().unwrap();
            let what = if behind == 8 { "incorrect data check" } else { "incorrect length check" };
            assert!(fault.ends_with(what), "{fault}");
        }
    }
}

#[test]
fn only_what_is_wanted_is_judged() {
    let timed = |time: &str| call(time, "ci", "RunInstances", time);
    let mut records: Vec<String> = [
        "2026-11-19T23:59:59Z",
        "2026-11-20T00:00:00Z",
        "2026-11-20T23:59:59Z",
        "2026-11-21T00:00:00Z",
    ]
    .map(timed)
    .to_vec();
    records.push(timed("at some time"));
    records.push(timed("2026-11-20T12:00:00Z").replace("\"111122223333\"", "\"444455556666\""));
    let folder = folder(&records);
    let counted = |arguments: &[&str]| {
        let report = report(arguments, &[folder.path()]);
        (report["entries"].as_u64().unwrap(), report["unwanted"].as_u64().unwrap())
    };
    assert_eq!(counted(&[]), (6, 0));
    // What tells no time may be of that day.
    assert_eq!(counted(&["--since", "2026-11-20", "--until", "2026-11-20"]), (4, 2));
    assert_eq!(counted(&["--since", "2026-11-20T00:00:01Z"]), (4, 2));
    assert_eq!(counted(&["--account", "444455556666"]), (1, 5));
    assert_eq!(counted(&["--account", "444455556666,111122223333"]), (6, 0));
    assert_eq!(counted(&["--since", "1d", "--account", "444455556666"]).0, 0);
    let output = scan(&["--since", "yesterday"], &[folder.path()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--since: `yesterday` is no date"), "{}", stderr(&output));
    assert_eq!(
        lines(&scan(&["--decisions", "--account", "444455556666"], &[folder.path()])).len(),
        1
    );
}

#[test]
fn accounts_are_named_by_their_digits() {
    let folder = folder(&[
        call("1", "ci", "RunInstances", TIME),
        call("2", "ci", "RunInstances", TIME).replace("\"111122223333\"", "\"444455556666\""),
        call("3", "ci", "RunInstances", TIME).replace("\"111122223333\"", "\"777788889999\""),
    ]);
    let both = report(&["--account", "111122223333, 444455556666"], &[folder.path()]);
    assert_eq!((&both["alerts"], &both["unwanted"]), (&json!(2), &json!(1)));
    for wrong in ["zz", "11112222333", "1111-2222-3333", "111122223333,", "", "arn:aws:iam::1:x"] {
        let output = scan(&["--account", wrong], &[folder.path()]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{wrong}: {said}");
        assert!(said.contains("an account is 12 digits, such as 111122223333"), "{wrong}: {said}");
        assert!(output.stdout.is_empty(), "{wrong}");
    }
}

/// Of any time, whatever was asked for.
#[test]
fn an_account_that_nobody_has_heard_of_is_said() {
    let folder = folder(&[call("1", "ci", "RunInstances", TIME)]);
    let accounts = "111122223333,444455556666";
    let output = scan(&["--account", accounts, "--since", "2026-11-21"], &[folder.path()]);
    let expected =
        "regionwatch: --account 444455556666: no record that was read is of this account\n";
    assert_eq!(stderr(&output), expected);
    assert!(output.status.success());
}

#[test]
fn standard_input_is_read_and_reported_as_json() {
    let mut child = child(&["--format", "json", "-"]);
    let records = fs::read(events().join("records/unreadable.ndjson")).unwrap();
    child.stdin.take().unwrap().write_all(&records).unwrap();
    let report = &lines(&child.wait_with_output().unwrap())[0];
    assert_eq!(report["entries"], 6);
    assert_eq!(report["rejected"], 3);
    assert_eq!(report["ignored_by"], json!({"approved-region": 1, "read-only": 1}));
    assert_eq!(report["messages"][1]["alert"]["region"], "ca-west-1");
}

fn child(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.arg("scan").args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn whoever_breaks_off_sees_what_was_seen_so_far() {
    let mut child = child(&["--format", "json", "-"]);
    let mut stdin = child.stdin.take().unwrap();
    // Far more than fits a pipe: once it is written, nearly all of it was read.
    stdin.write_all(trail::records(8_000).join("\n").as_bytes()).unwrap();
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    // It ends though its input does not.
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["interrupted"], &report["files"]), (&json!(true), &json!(0)));
    assert!(report["entries"].as_u64().unwrap() >= 1_000, "{}", report["entries"]);
    assert_eq!(report["damaged"], json!([]));
    assert!(said.contains("interrupted: this is what was seen until then"), "{said}");
}

/// However little that was, and though more of it never comes.
#[test]
fn whoever_breaks_off_a_stalled_input_sees_all_that_came() {
    let mut child = child(&["--format", "json", "-"]);
    let mut stdin = child.stdin.take().unwrap();
    let calls = ["1", "2", "3"].map(|id| call(id, "ci", "RunInstances", TIME));
    stdin.write_all(calls.join("\n").as_bytes()).unwrap();
    // More than a pipe holds, and whoever reads it: once it is written, the calls were read.
    stdin.write_all(&vec![b'\n'; 512 * 1024]).unwrap();
    stdin.write_all(calls[0].split_at(100).0.as_bytes()).unwrap();
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    drop(stdin);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["alerts"], &report["entries"]), (&json!(3), &json!(3)));
    assert_eq!((&report["interrupted"], &report["damaged"]), (&json!(true), &json!([])));
}

#[test]
fn one_more_is_not_several() {
    let calls: Vec<String> = (0..11)
        .map(|n| call(&n.to_string(), &format!("role-{n:02}"), "RunInstances", TIME))
        .collect();
    let text = stdout(&scan(&[], &[folder(&calls).path()]));
    assert!(text.contains("and 1 more principal: --format json has it\n"), "{text}");
}

#[test]
fn standard_input_is_read_once() {
    let mut child = child(&["--format", "json", "-", "-"]);
    let record = call("1", "ci", "RunInstances", TIME);
    child.stdin.take().unwrap().write_all(record.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output), "regionwatch: - is named twice: standard input can be read once\n");
    assert_eq!((&lines(&output)[0]["files"], &lines(&output)[0]["alerts"]), (&json!(1), &json!(1)));
}

#[test]
fn a_time_that_ends_before_it_begins_is_refused() {
    let folder = folder(&[call("1", "ci", "RunInstances", TIME)]);
    let code = |since, until| {
        let output = scan(&["--since", since, "--until", until], &[folder.path()]);
        (output.status.code().unwrap(), stderr(&output))
    };
    for (since, until) in [
        ("2026-11-21", "2026-11-20"),
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
        ("1d", "30d"),
    ] {
        let (code, said) = code(since, until);
        let expected = format!(
            "regionwatch: --since {since} is not before --until {until}: no time is between them\n"
        );
        assert_eq!((code, said), (2, expected));
    }
    assert_eq!(code("2026-11-20", "2026-11-20"), (0, String::new()));
}

/// As a shell on Windows writes what is redirected, gzipped or not.
#[test]
fn a_text_in_utf_16_is_a_damaged_file() {
    let folder = folder(&[call("1", "ci", "RunInstances", TIME)]);
    let units = call("2", "ci", "RunInstances", TIME).encode_utf16().collect::<Vec<u16>>();
    let little: Vec<u8> = [0xFEFF].iter().chain(&units).flat_map(|u| u.to_le_bytes()).collect();
    let big: Vec<u8> = [0xFEFF].iter().chain(&units).flat_map(|u| u.to_be_bytes()).collect();
    fs::write(folder.path().join("b.json"), &little).unwrap();
    fs::write(folder.path().join("c.json"), big).unwrap();
    let mut gzip = GzEncoder::new(
        fs::File::create(folder.path().join("d.json.gz")).unwrap(),
        Compression::fast(),
    );
    gzip.write_all(&little).unwrap();
    gzip.finish().unwrap();
    let output = scan(&["--format", "json"], &[folder.path()]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert_eq!(said.matches("the file is UTF-16; CloudTrail writes UTF-8").count(), 3, "{said}");
    let report = &lines(&output)[0];
    assert_eq!((&report["entries"], &report["rejected"]), (&json!(1), &json!(0)));
}

/// The lines have one form, and the report is not printed beside them.
#[test]
fn decisions_have_no_other_format() {
    for format in ["json", "text"] {
        let output = scan(&["--decisions", "--format", format], &[Path::new("records")]);
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        assert!(said.contains("'--decisions' cannot be used with '--format <FORMAT>'"), "{said}");
    }
}

#[test]
fn a_page_that_cannot_be_written_takes_nothing_from_the_report() {
    let folder = folder(&[call("1", "ci", "RunInstances", TIME)]);
    let output = scan(&["--html", "/dev/full"], &[folder.path()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("regionwatch: /dev/full: "), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 file, 1 entry: 1 alert"), "{}", stdout(&output));
}

/// A disk may be full when it comes to it.
#[test]
fn a_page_takes_the_place_of_another_whole_or_not_at_all() {
    let history = folder(&[call("1", "ci", "RunInstances", TIME)]);
    let pages = tempfile::tempdir().unwrap();
    let out = pages.path().join("out.html");
    fs::write(&out, "the old page").unwrap();
    fs::set_permissions(&out, Permissions::from_mode(0o640)).unwrap();
    // No file may have more than a kilobyte at most, as `ulimit` counts.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" scan --html \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_regionwatch")]).arg(&out).arg(history.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("out.html: File too large"), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 file, 1 entry: 1 alert"), "{}", stdout(&output));
    assert_eq!(fs::read_to_string(&out).unwrap(), "the old page");
    let link = pages.path().join("link.html");
    std::os::unix::fs::symlink(&out, &link).unwrap();
    assert!(scan(&["--html", link.to_str().unwrap()], &[history.path()]).status.success());
    let page = fs::read_to_string(&out).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    assert!(page.contains("<b>1</b><span>message would have been sent"), "{page}");
    // Nothing is left beside them, and whoever could not read the old one cannot read the new one.
    assert_eq!(fs::read_dir(pages.path()).unwrap().count(), 2);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o640);
    // A link that leads nowhere yet.
    fs::remove_file(&out).unwrap();
    assert!(scan(&["--html", link.to_str().unwrap()], &[history.path()]).status.success());
    assert!(link.is_symlink() && out.is_file());
    let nowhere = scan(&["--html", "nowhere/"], &[history.path()]);
    assert!(stderr(&nowhere).contains("it is a folder, name a file"), "{}", stderr(&nowhere));
    assert_eq!(stdout(&nowhere), "");
}

#[test]
fn a_page_that_has_no_folder_is_refused_before_anything_is_read() {
    let folder = folder(&[call("1", "ci", "RunInstances", TIME)]);
    let missing = folder.path().join("pages/out.html");
    for (path, what) in [(missing.as_path(), "there is no folder"), (folder.path(), "a folder")] {
        let output = scan(&["--html", path.to_str().unwrap()], &[folder.path()]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(what), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

/// 2026-11-20, that many seconds after ten.
fn at(seconds: u32) -> String {
    let (hour, minute, second) = (10 + seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("2026-11-20T{hour:02}:{minute:02}:{second:02}Z")
}

/// Each message: when, and why again.
fn told(report: &Value) -> Vec<String> {
    let messages = report["messages"].as_array().unwrap();
    let told = messages.iter().map(|message| {
        let at = message["at"].as_str().unwrap_or("-");
        let again: Vec<&str> = message["again"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cause| cause.as_str().unwrap())
            .collect();
        format!("{} {} {}", &at[11.min(at.len())..], message["calls"], again.join(", "))
    });
    told.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_storm_is_as_many_messages_as_the_ledger_would_let_out() {
    // A call a minute for two hours and a quarter.
    let storm: Vec<String> =
        (0..135).map(|n| call(&n.to_string(), "ci", "CreateTags", &at(60 * n))).collect();
    let folder = folder(&storm);
    let report = report(&[], &[folder.path()]);
    let expected = [
        "10:05:00Z 5",
        "10:10:00Z 5 10 calls reached",
        "11:05:00Z 5 nothing told yet in this window",
        "11:10:00Z 5 10 calls reached",
        "12:05:00Z 5 nothing told yet in this window",
        "12:10:00Z 5 10 calls reached",
    ];
    assert_eq!(told(&report), expected);
    assert_eq!(report["calls_held"], 135 - 30);
    let day = self::report(&["--window-minutes", "1440"], &[folder.path()]);
    assert_eq!(
        told(&day),
        ["10:05:00Z 5", "10:10:00Z 5 10 calls reached", "11:40:00Z 5 100 calls reached"]
    );
}

#[test]
fn what_is_beyond_the_messages_of_a_delivery_shares_one() {
    let many: Vec<String> =
        (0..40).map(|n| call(&n.to_string(), &format!("role-{n}"), "RunInstances", TIME)).collect();
    let folder = folder(&many);
    let report = report(&["--max-messages", "5"], &[folder.path()]);
    let messages = report["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 5);
    let incidents = |at: usize| messages[at]["incidents"].as_u64().unwrap();
    assert_eq!((0..5).map(incidents).collect::<Vec<_>>(), [1, 1, 1, 1, 36]);
    assert_eq!(messages[4]["alert"]["kind"], "digest");
    let title = messages[4]["title"].as_str().unwrap();
    assert!(title.ends_with(" in eu-west-3, and 35 more incidents"), "{title}");
}

/// What history says of five minutes is what the function would have sent of them.
#[test]
fn a_message_is_the_functions_own() {
    for sample in ["root", "sensitive-read", "region-enabled", "denied-by-scp"] {
        let payload = format!("{sample}.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
        command.args(["invoke", "--format", "json", &payload]).current_dir(events());
        let sent = lines(&command.output().unwrap());
        let report = report(&[], &[Path::new("records").join(&payload).as_path()]);
        let messages = report["messages"].as_array().unwrap();
        assert!(!sent.is_empty());
        let without_place = |alert: &Value| {
            let mut alert = alert.clone();
            // The group is not known any more, and an exemption ends some days from the alert.
            alert["log_group"] = Value::Null;
            alert["exempt"] = Value::Null;
            alert
        };
        let told = messages.iter().map(|message| without_place(&message["alert"]));
        assert_eq!(told.collect::<Vec<_>>(), sent.iter().map(without_place).collect::<Vec<_>>());
    }
}

#[test]
fn what_exemptions_hid_is_told_call_by_call() {
    let folder = folder(&[
        call("1", "ci", "CreateTags", &at(0)),
        call("2", "ci", "CreateTags", &at(60)),
        call("3", "ci", "RunInstances", &at(30)),
    ]);
    let policy = folder.path().join("policy.toml");
    let text = "[[exempt]]\nid = \"ci\"\nreason = \"r\"\nprincipals = [\"*role/ci\"]\n";
    fs::write(&policy, text).unwrap();
    let policy = policy.to_str().unwrap();
    let output = scan(&["--policy", policy], &[folder.path()]);
    let text = stdout(&output);
    let line = "exempt              3  ci: 2 x ec2:CreateTags, 1 x ec2:RunInstances; last 2026-11-20 10:01";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("MESSAGES: none would have been sent"), "{text}");
    let report = report(&["--policy", policy], &[folder.path()]);
    let rules = report["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["id"] == "ci").unwrap();
    assert_eq!(rule["calls"][0], json!({"name": "ec2:CreateTags", "count": 2}));
}

#[test]
fn the_messages_add_up_with_the_unreadable_one() {
    let folder = folder(&[call("1", "ci", "RunInstances", TIME), "7".to_owned()]);
    let text = stdout(&scan(&[], &[folder.path()]));
    assert!(text.contains("MESSAGES: 2 would have been sent, 1 high, 1 medium"), "{text}");
    let line = "1 tell what is new, 0 that it goes on, 1 what is unreadable; calls held back: 0";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("(no time)         1 unreadable entry\n"), "{text}");
}

/// The samples' regions, as a policy with a list for one account sees them.
#[test]
fn regions_are_marked_where_they_are_approved() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    let text = "approved_regions = [\"us-east-1\"]\n[accounts.\"444455556666\"]\napproved_regions = [\"us-west-2\"]\n";
    fs::write(&policy, text).unwrap();
    let report = report(&["--policy", policy.to_str().unwrap()], &[Path::new("records")]);
    let approved = |code: &str| {
        let regions = report["regions"].as_array().unwrap();
        regions.iter().find(|region| region["region"] == code).unwrap()["approved"].clone()
    };
    assert_eq!(approved("us-east-1"), "all");
    assert_eq!(approved("us-west-2"), "none");
    assert_eq!(approved("eu-central-1"), "none");
    let days: BTreeSet<&str> =
        report["days"].as_array().unwrap().iter().filter_map(|day| day["day"].as_str()).collect();
    assert_eq!(days.first(), Some(&"2026-11-18"));
    let sum = |list: &str| -> u64 {
        report[list].as_array().unwrap().iter().map(|one| one["calls"].as_u64().unwrap()).sum()
    };
    let calls = sum("regions");
    assert_eq!([sum("accounts"), sum("principals"), sum("days")], [calls; 3]);
}

#[test]
fn nothing_of_a_record_is_obeyed_by_a_terminal() {
    let name = "\u{1B}[2Jci\u{202E}";
    let record = call("1", name, "RunInstances", TIME);
    let text = stdout(&scan(&[], &[folder(&[record]).path()]));
    assert!(text.contains("[2Jci called ec2:RunInstances"), "{text}");
    assert!(!text.contains(['\u{1B}', '\u{202E}']), "{text}");
}
