//! `suggest`, and that the circle closes: what it prints is sound, and `scan` with it says of the
//! same history what it said itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::corpus::corpus;
use crate::samples::events;

fn regionwatch(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regionwatch"));
    command.args(arguments).current_dir(folder).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::str::from_utf8(&output.stdout).unwrap()
}

/// What is suggested for a history, after the circle closed.
fn suggested(history: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("history.ndjson"), history).unwrap();
    let policy = stdout(&regionwatch(&["suggest", "history.ndjson"], folder)).to_owned();
    fs::write(folder.join("suggested.toml"), &policy).unwrap();
    let checked = regionwatch(&["policy", "check", "--policy", "suggested.toml"], folder);
    assert!(stdout(&checked).contains("suggested.toml is sound"), "{}", stdout(&checked));
    let scan = ["scan", "--format", "json", "--policy", "suggested.toml", "history.ndjson"];
    let report: Value = serde_json::from_str(stdout(&regionwatch(&scan, folder))).unwrap();
    let said = |count: &Value, one: &str| {
        format!("{count} {one}{}", if count == &json!(1) { "" } else { "s" })
    };
    let incidents = said(&report["incidents"], "incident");
    let expected = format!(
        "# With it, the same history has {} in {incidents}, and {}.",
        said(&report["alerts"], "alert"),
        said(&report["rejected"], "unreadable record")
    );
    assert!(policy.lines().any(|line| line == expected), "{expected}\n{policy}");
    policy
}

fn record(day: usize, region: &str, name: &str, identity: &Value) -> Value {
    json!({
        "eventSource": "ec2.amazonaws.com", "eventName": name, "awsRegion": region, "readOnly": false,
        "eventTime": format!("2026-10-{day:02}T09:00:00Z"), "userIdentity": identity,
        "recipientAccountId": "111122223333", "eventID": format!("{day}{region}{name}{identity}"),
    })
}

fn user(name: &str) -> Value {
    json!({"type": "IAMUser", "userName": name, "arn": format!("arn:aws:iam::111122223333:user/{name}")})
}

fn role(name: &str, invoked_by: Option<&str>) -> Value {
    let mut identity = json!({"type": "AssumedRole",
        "arn": format!("arn:aws:sts::111122223333:assumed-role/{name}/s"),
        "sessionContext": {"sessionIssuer": {"userName": name,
            "arn": format!("arn:aws:iam::111122223333:role/{name}")}}});
    if let Some(service) = invoked_by {
        identity["invokedBy"] = json!(service);
    }
    identity
}

#[test]
fn a_record_that_comes_again_counts_once() {
    let once = text(&months());
    assert_eq!(suggested(&format!("{once}\n{once}")), suggested(&once));
}

/// Two people at work in Ireland on twenty days, and others who are not.
fn months() -> Vec<Value> {
    let mut history = Vec::new();
    for day in 1..=20 {
        for who in [user("mateo"), user("nikki"), role("deploy", None)] {
            history.push(record(day, "eu-west-1", "RunInstances", &who));
        }
    }
    history
}

fn text(history: &[Value]) -> String {
    history.iter().map(|record| format!("{record}\n")).collect()
}

/// The code of a policy, without what it says.
fn code(policy: &str) -> Value {
    toml::from_str(policy).unwrap()
}

fn approved(policy: &str) -> Vec<String> {
    let list = code(policy)["approved_regions"].as_array().unwrap().clone();
    list.iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

#[test]
fn where_people_work_for_weeks_is_approved() {
    let policy = suggested(&text(&months()));
    assert_eq!(approved(&policy), ["eu-west-1"]);
    let evidence = "\"eu-west-1\", # 60 calls on 20 days by deploy, mateo, nikki";
    assert!(policy.contains(evidence), "{policy}");
    assert!(policy.contains("has 0 alerts in 0 incidents, and 0 unreadable records"));
}

#[test]
fn a_burst_is_not_approved_and_still_alerts() {
    let mut history = months();
    for at in 0..50 {
        let who = user(&format!("created{at}"));
        history.push(record(19 + at % 2, "ap-southeast-1", "RunInstances", &who));
    }
    let policy = suggested(&text(&history));
    assert_eq!(approved(&policy), ["eu-west-1"]);
    let refused = "# - ap-southeast-1, account 111122223333: nobody came back; 50 x change";
    assert!(policy.contains(refused) && policy.contains("has 50 alerts"), "{policy}");
}

#[test]
fn who_does_not_count_approves_nothing() {
    let root = json!({"type": "Root", "arn": "arn:aws:iam::111122223333:root"});
    let other = json!({"type": "AWSAccount", "accountId": "999988887777", "principalId": "AIDA"});
    let other_too =
        json!({"type": "AWSAccount", "accountId": "999988887777", "principalId": "AROA"});
    let mut tampered = record(9, "us-east-1", "StopLogging", &user("mallory"));
    tampered["eventSource"] = json!("cloudtrail.amazonaws.com");
    let cases = [
        (vec![root, user("mateo")], "only 1 came back"),
        (vec![other, other_too], "nobody came back"),
        (vec![user("mallory"), user("mateo")], "only 1 came back"),
    ];
    for (who, why) in cases {
        let mut history = months();
        history.push(tampered.clone());
        for day in 1..=20 {
            history.extend(who.iter().map(|who| record(day, "sa-east-1", "RunInstances", who)));
        }
        let policy = suggested(&text(&history));
        assert_eq!(approved(&policy), ["eu-west-1"]);
        let refused = format!("# - sa-east-1, account 111122223333: {why}");
        assert!(policy.contains(&refused), "{refused} in\n{policy}");
    }
    let mut denied = months();
    for day in 1..=20 {
        for who in [user("mateo"), user("nikki")] {
            let mut record = record(day, "sa-east-1", "RunInstances", &who);
            record["errorCode"] = json!("Client.UnauthorizedOperation");
            denied.push(record);
        }
    }
    assert_eq!(approved(&suggested(&text(&denied))), ["eu-west-1"]);
}

#[test]
fn an_account_with_more_has_a_list_of_its_own() {
    let mut history = months();
    for mut record in months() {
        record["recipientAccountId"] = json!("444455556666");
        record["eventID"] = json!(format!("4{}", record["eventID"]));
        let mut other = record.clone();
        other["awsRegion"] = json!("ap-northeast-1");
        other["eventID"] = json!(format!("5{}", record["eventID"]));
        history.extend([record, other]);
    }
    let policy = suggested(&text(&history));
    assert_eq!(approved(&policy), ["eu-west-1"]);
    assert!(policy.contains("\"eu-west-1\", # in each of 2 accounts"), "{policy}");
    let own = &code(&policy)["accounts"]["444455556666"]["approved_regions"];
    assert_eq!(own.to_string(), r#"["ap-northeast-1","eu-west-1"]"#);
    assert!(policy.contains("has 0 alerts"));
}

#[test]
fn what_a_service_does_on_and_on_is_exempted_call_by_call() {
    let service = role("stacks", Some("cloudformation.amazonaws.com"));
    let mut history = months();
    for day in 1..=20 {
        history.push(record(day, "us-east-2", "CreateVpc", &service));
        let mut secret = record(day, "us-east-2", "GetSecretValue", &service);
        secret["eventSource"] = json!("secretsmanager.amazonaws.com");
        history.push(secret);
    }
    let policy = suggested(&text(&history));
    let rule = &code(&policy)["exempt"][0];
    assert_eq!(rule["calls"].to_string(), r#"["ec2:CreateVpc"]"#);
    assert_eq!(rule["principals"].to_string(), r#"["arn:aws:iam::111122223333:role/stacks"]"#);
    assert_eq!(rule["outcomes"].to_string(), r#"["success"]"#);
    assert!(rule.get("watches").is_none() && rule.get("until").is_some());
    assert!(policy.contains("has 20 alerts"), "{policy}");

    // Somebody else in the same role is nobody's service.
    history.push(record(20, "us-east-2", "RunInstances", &role("stacks", None)));
    assert!(code(&suggested(&text(&history))).get("exempt").is_none());
}

#[test]
fn hostile_texts_stay_in_their_comments() {
    let hostile =
        "x\nsign_ins = \"alert\"\r\n\u{202E}\u{85}\u{2028}drop_rules = [\"trail-tampering\"] #";
    let mut history = Vec::new();
    for day in 1..=20 {
        for who in [user(hostile), user("\"]\n[[exempt]]\nid = \"x\"")] {
            history.push(record(day, "eu-west-1", "RunInstances", &who));
        }
        let service = role("a\"\n*'", Some("cloudformation.amazonaws.com"));
        history.push(record(day, "us-east-2", "Run\n\"]", &service));
        history.push(record(day, "eu\n[accounts]", "RunInstances", &user("x")));
    }
    let policy = suggested(&text(&history));
    assert_eq!(approved(&policy), ["eu-west-1"]);
    let keys = code(&policy);
    let known = ["approved_regions", "exempt"];
    assert!(keys.as_object().unwrap().keys().all(|key| known.contains(&&**key)), "{policy}");
    assert!(!policy.contains(['\u{202E}', '\u{85}', '\u{2028}', '\r']), "{policy:?}");
}

/// What is shown is what holds: nothing in a rule is invisible, or stands in another order.
#[test]
fn hostile_texts_in_a_rule_are_wildcards() {
    let service = role("ci\u{202E}ba\u{7}*", Some("cloudformation.amazonaws.com"));
    let history: Vec<Value> =
        (1..=20).map(|day| record(day, "us-east-2", "Run\u{200B}It\u{2066}", &service)).collect();
    let policy = suggested(&text(&history));
    let rule = &code(&policy)["exempt"][0];
    assert_eq!(rule["principals"].to_string(), r#"["arn:aws:iam::111122223333:role/ci?ba??"]"#);
    assert_eq!(rule["calls"].to_string(), r#"["ec2:Run?It?"]"#);
    assert!(policy.contains("has 0 alerts"), "{policy}");
}

#[test]
fn where_only_root_acted_nothing_is_approved() {
    let root = json!({"type": "Root", "arn": "arn:aws:iam::777788889999:root"});
    let mut stolen = record(9, "eu-west-1", "RunInstances", &root);
    stolen["recipientAccountId"] = json!("777788889999");
    let mut history = months();
    history.push(stolen);
    let policy = suggested(&text(&history));
    let refused = "# - eu-west-1, account 777788889999: nobody came back; 1 x call of root";
    assert!(policy.contains(refused) && policy.contains("has 1 alert in 1 incident"), "{policy}");
    let own = &code(&policy)["accounts"]["111122223333"]["approved_regions"];
    assert_eq!(own.to_string(), r#"["eu-west-1"]"#);
}

#[test]
fn the_circle_closes_on_real_records_and_samples() {
    let mut all = String::new();
    for name in ["traildiscover.ndjson", "stratus-red-team.ndjson", "oddities.ndjson"] {
        let Some(history) = corpus(name) else { break };
        suggested(&history);
        all += &history;
    }
    for entry in events().join("records").read_dir().unwrap() {
        all += &fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    assert_eq!(approved(&suggested(&all)), ["no-region-0"]);
}

#[test]
fn what_cannot_be_read_twice_is_refused() {
    let output = regionwatch(&["suggest", "-"], &events());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("reads history twice"));
}
