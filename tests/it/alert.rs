//! Alerts as receivers see them: golden texts, the contract, the limits, the way to silence one.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jiff::Timestamp;
use proptest::prelude::*;
use regionwatch::alert::message::LARGEST;
use regionwatch::alert::{
    Alert, Context, FollowUp, Formats, HttpsFormat, Incident, IncidentKey, Message,
};
use regionwatch::policy::{Policy, Reason, Severity, Verdict, Version};
use regionwatch::record::Record;
use regionwatch::triage::Triage;
use serde_json::{Value, json};

use crate::digest::digest_of;
use crate::samples::{names, triaged};

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// The policy that the alerts of these tests name.
pub fn judge() -> &'static Version {
    static JUDGE: OnceLock<Version> = OnceLock::new();
    JUDGE.get_or_init(|| Version { digest: "3f2a9c01d4e5".to_owned(), parameter: Some(7) })
}

/// What the alerts of these tests know of the world.
pub fn context() -> Context<'static> {
    Context {
        now: now(),
        policy: judge(),
        account_name: Some("production"),
        owner: "111122223333",
        log_group: "trail",
        log_stream: "stream",
    }
}

/// The messages of a sample, one an incident.
pub fn messages(name: &str) -> Vec<Message> {
    let triaged = triaged(name, &Policy::embedded().unwrap());
    let alerts = triaged.incidents.iter().map(|i| Alert::of_incident(i, None, &context()));
    let rejects =
        (triaged.rejects.count > 0).then(|| Alert::of_rejects(&triaged.rejects, None, &context()));
    alerts.chain(rejects).map(Message::new).collect()
}

/// The texts by protocol.
pub fn texts(message: &Message) -> Value {
    serde_json::from_str(&message.structure).unwrap()
}

/// Subject, SMS and mail of a message.
fn readable(message: &Message) -> String {
    let texts = texts(message);
    let sms = texts["sms"].as_str().unwrap();
    format!("Subject: {}\nSMS: {sms}\n\n{}", message.subject, texts["default"].as_str().unwrap())
}

#[test]
fn mails_read_as_they_should() {
    let mut silent = Vec::new();
    // The sample of a stream is made of other samples.
    for name in names().into_iter().filter(|name| name != "kinesis") {
        let all: Vec<String> = messages(&name).iter().map(readable).collect();
        if all.is_empty() {
            silent.push(name);
        } else {
            insta::assert_snapshot!(format!("mail-{name}"), all.join("\n\n---\n\n"));
        }
    }
    let expected = [
        "approved-region",
        "aws-service-event",
        "console-sign-in",
        "control-message",
        "global-service",
        "insight",
        "read-only-unapproved-region",
    ];
    assert_eq!(silent, expected);
}

#[test]
fn a_chat_reads_as_it_should() {
    let policy = Policy::embedded().unwrap();
    let root = triaged("root", &policy);
    let digest = digest_of(&root.incidents);
    let region_enabled = messages("region-enabled").remove(0).alert;
    let unreadable = messages("unreadable").remove(1).alert;
    let all = [("region-enabled", region_enabled), ("digest", digest), ("unreadable", unreadable)];
    for (name, alert) in all {
        let chat = serde_json::to_string_pretty(&chat(&alert)).unwrap();
        insta::assert_snapshot!(format!("chat-{name}"), chat);
    }
}

/// What a chat gets of an alert.
pub fn chat(alert: &Alert) -> Value {
    let message = Message::in_formats(alert.clone(), AMAZON_Q);
    let texts = texts(&message);
    assert_eq!(texts["sqs"], message.json());
    assert_ne!(texts["https"], texts["http"]);
    serde_json::from_str(texts["https"].as_str().unwrap()).unwrap()
}

/// With a notification for chats under `https`.
pub const AMAZON_Q: Formats = Formats { https: HttpsFormat::AmazonQ };

#[test]
fn what_is_told_of_one_incident_stands_in_one_thread() {
    let root = triaged("root", &Policy::embedded().unwrap());
    let told = |follow_up| chat(&Alert::of_incident(&root.incidents[0], follow_up, &context()));
    let first = told(None);
    let causes = vec!["10 calls".to_owned()];
    let again = told(Some(FollowUp::new(causes, 7, &BTreeMap::new(), 10)));
    assert_eq!(first["metadata"]["threadId"], root.incidents[0].id);
    assert_eq!(first["metadata"]["threadId"], again["metadata"]["threadId"]);
    assert_ne!(first["id"], again["id"]);
    assert_eq!(first["id"], told(None)["id"], "a message that is sent again is the same");
    let description = again["content"]["description"].as_str().unwrap();
    assert!(description.contains("told now for: 10 calls"), "{description}");
}

#[test]
fn the_contract_is_stable() {
    let alert: Value = serde_json::from_str(&messages("sensitive-read")[0].json()).unwrap();
    insta::assert_snapshot!("contract", serde_json::to_string_pretty(&alert).unwrap());
}

#[test]
fn every_kind_of_alert_names_the_policy_that_judged() {
    let unreadable = messages("unreadable").remove(0);
    let root = triaged("root", &Policy::embedded().unwrap());
    let digest = Message::new(digest_of(&root.incidents));
    for message in [&messages("root")[0], &unreadable, &digest] {
        let alert: Value = serde_json::from_str(&message.json()).unwrap();
        assert_eq!(alert["policy"], "3f2a9c01d4e5", "{alert}");
        assert_eq!(alert["policy_version"], 7, "{alert}");
        let mail = message.mail();
        assert!(
            mail.contains("\nJudged by policy 3f2a9c01d4e5 (parameter version 7).\n"),
            "{mail}"
        );
    }
    let without = Version { parameter: None, ..judge().clone() };
    let told = [(&root.incidents[0], None)];
    let without = Message::new(Alert::digest(&told, "request", &without));
    assert!(without.mail().ends_with("\nJudged by policy 3f2a9c01d4e5.\n"), "{}", without.mail());
}

#[test]
fn what_a_policy_calls_an_account_leaves_the_message_as_it_must_be() {
    let root = triaged("root", &Policy::embedded().unwrap());
    for name in ["pro\u{202E}d".to_owned(), "p".repeat(LARGEST)] {
        let context = Context { account_name: Some(&name), ..context() };
        let message = Message::new(Alert::of_incident(&root.incidents[0], None, &context));
        assert!(!message.structure.contains('\u{202E}'), "{}", message.structure);
        assert!(texts(&message)["sms"].is_string() && !message.alert.truncated);
    }
}

#[test]
fn every_protocol_gets_its_text_and_filters_get_attributes() {
    let message = &messages("root")[0];
    let texts = texts(message);
    assert_eq!(texts["default"], texts["email"]);
    for machine in ["sqs", "lambda", "http", "https", "firehose"] {
        assert_eq!(texts[machine], message.json(), "{machine}");
    }
    let attributes: Vec<String> =
        message.attributes.iter().map(|a| format!("{}={}", a.name, a.value)).collect();
    let expected = [
        "severity=critical",
        "reason=mutating-call",
        "account=444455556666",
        "region=eu-north-1",
        "principal_type=Root",
        "outcome=success",
    ];
    assert_eq!(attributes, expected);
}

#[test]
fn the_proposed_exemption_silences_its_incident_and_nothing_else() {
    for name in ["mutating-unapproved-region", "trail-tampering", "region-enabled", "storm"] {
        let before = triaged(name, &Policy::embedded().unwrap());
        let alert = Alert::of_incident(&before.incidents[0], None, &context());
        let alert: Value = serde_json::from_str(&Message::new(alert).json()).unwrap();
        let rule = alert["exempt"].as_str().unwrap();
        let policy = Policy::with_user_file("mine.toml", rule)
            .unwrap_or_else(|faults| panic!("{faults} in\n{rule}"));
        let after = triaged(name, &policy);
        let silenced: Vec<_> = after
            .ignored
            .iter()
            .filter(|(reason, _)| matches!(reason, Reason::Exempt(_)))
            .collect();
        assert_eq!(silenced.len(), 1, "{name}");
        assert!(*silenced[0].1 >= before.incidents[0].count, "{name}");
        assert!(after.incidents.iter().all(|i| i.id != before.incidents[0].id), "{name}");
        let other = triaged("root", &policy);
        assert_eq!(other.alerts(), 1, "{name} silences root");
    }
}

/// The incident that these records make.
fn incident(records: &[Value]) -> Incident {
    let policy = Policy::embedded().unwrap();
    let mut triage = Triage::new(&policy);
    for record in records {
        triage.take_record(&Record::parse(&record.to_string()).unwrap(), "", "");
    }
    let mut incidents = triage.finish().incidents;
    assert_eq!(incidents.len(), 1);
    incidents.remove(0)
}

#[test]
fn the_proposed_exemption_names_every_watch_on_the_call() {
    let mine = "[[watch]]\nid = \"mine\"\nreason = \"r\"\nseverity = \"low\"\nservices = [\"cloudtrail\"]\n";
    let before = triaged("trail-tampering", &Policy::with_user_file("mine.toml", mine).unwrap());
    let alert = Alert::of_incident(&before.incidents[0], None, &context());
    let alert: Value = serde_json::from_str(&Message::new(alert).json()).unwrap();
    let with_rule = format!("{mine}\n{}", alert["exempt"].as_str().unwrap());
    let after =
        triaged("trail-tampering", &Policy::with_user_file("mine.toml", &with_rule).unwrap());
    assert!(with_rule.contains("\"mine\", \"trail-change\", \"trail-tampering\""), "{with_rule}");
    assert!(after.incidents.iter().all(|i| i.id != before.incidents[0].id));
}

#[test]
fn an_incident_is_as_grave_as_its_gravest_record() {
    let call = |name: &str, mfa: &str| {
        json!({"eventSource": "cloudtrail.amazonaws.com", "eventName": name, "awsRegion": "us-east-1",
            "userIdentity": {"arn": "arn:aws:iam::111122223333:user/mateo",
                "sessionContext": {"attributes": {"mfaAuthenticated": mfa}}}})
    };
    let incident = incident(&[call("UpdateTrail", "true"), call("StopLogging", "false")]);
    assert_eq!(incident.severity, Severity::Critical);
    assert_eq!(incident.reason.to_string(), "watched:trail-tampering");
    assert_eq!(incident.who.mfa, Some(false));
}

#[test]
fn a_star_in_a_name_does_not_widen_the_exemption() {
    let by = |user: &str| {
        json!({"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances", "awsRegion": "eu-west-3",
            "eventTime": "2026-11-23T11:00:00Z",
            "userIdentity": {"arn": format!("arn:aws:iam::111122223333:user/{user}")}})
    };
    let alert = Message::new(Alert::of_incident(&incident(&[by("a*c")]), None, &context())).json();
    let alert: Value = serde_json::from_str(&alert).unwrap();
    let rule = alert["exempt"].as_str().unwrap();
    let policy = Policy::with_user_file("mine.toml", rule).unwrap();
    let alerts = |user: &str| {
        let text = by(user).to_string();
        matches!(policy.judge(&Record::parse(&text).unwrap(), ""), Verdict::Alert(..))
    };
    assert!(!alerts("a*c"));
    assert!(alerts("abbc"));
}

#[test]
fn a_follow_up_says_what_is_new_and_what_was_held() {
    let root = triaged("root", &Policy::embedded().unwrap());
    let line_of = |held: u64, held_calls: &[(&str, u64)], total| {
        let causes = vec!["new calls ec2:StopInstances".to_owned()];
        let held_calls = held_calls.iter().map(|(name, count)| ((*name).to_owned(), *count));
        let follow_up = FollowUp::new(causes, held, &held_calls.collect(), total);
        let alert = Alert::of_incident(&root.incidents[0], Some(follow_up), &context());
        Message::new(alert).mail().lines().nth(2).unwrap().to_owned()
    };
    let third_line = |held_calls: &[(&str, u64)]| line_of(7, held_calls, 20);
    let one = line_of(1, &[("a:B", 1)], 1);
    assert!(
        one.ends_with("; 1 call in between was counted and not told: 1 x a:B. 1 call so far."),
        "{one}"
    );
    let told = "Seen before; told now for: new calls ec2:StopInstances; 7 calls in between were \
                counted and not told: 4 x ec2:CreateTags, 3 x ec2:CopyImage. 20 calls so far.";
    assert_eq!(third_line(&[("ec2:CopyImage", 3), ("ec2:CreateTags", 4)]), told);
    let told = told.replace(": 4 x ec2:CreateTags, 3 x ec2:CopyImage", "");
    assert_eq!(third_line(&[]), told);
    let names: Vec<String> = (0..23).map(|n| format!("a:B{n}")).collect();
    let many: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    assert!(third_line(&many).contains(" and 3 other names. 20 calls"), "{}", third_line(&many));
}

#[test]
fn links_go_to_the_partition_and_region_of_the_record() {
    let link = |region: &str, category: &str| {
        let record = json!({"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
            "awsRegion": region, "eventID": "e-1", "eventCategory": category})
        .to_string();
        let record = Record::parse(&record).unwrap();
        let key = IncidentKey::of(&record, "");
        let incident = Incident::new(key, &record, Reason::MutatingCall, Severity::High);
        let alert = Message::new(Alert::of_incident(&incident, None, &context())).json();
        let alert: Value = serde_json::from_str(&alert).unwrap();
        alert["events"][0]["console_url"].as_str().map(str::to_owned)
    };
    let expected = |region: &str, domain: &str| {
        Some(format!("https://{region}.{domain}/cloudtrailv2/home?region={region}#/events/e-1"))
    };
    for (region, domain) in [
        ("eu-west-3", "console.aws.amazon.com"),
        ("cn-north-1", "console.amazonaws.cn"),
        ("us-gov-west-1", "console.amazonaws-us-gov.com"),
        ("eusc-de-east-1", "console.amazonaws-eusc.eu"),
    ] {
        assert_eq!(link(region, "Management"), expected(region, domain));
    }
    assert_eq!(link("eu-west-3", "Data"), None);
    assert_eq!(link("evil.example.com/?", "Management"), None);
}

/// Somebody's call in Paris.
fn call(event_id: usize, source: &str, name: &str) -> Value {
    json!({"eventSource": format!("{source}.amazonaws.com"), "eventName": name,
        "awsRegion": "eu-west-3", "eventID": format!("e-{event_id}"),
        "recipientAccountId": "111122223333", "eventTime": "2026-11-23T11:00:00Z",
        "userIdentity": {"type": "IAMUser", "userName": "mallory",
            "arn": "arn:aws:iam::111122223333:user/mallory"}})
}

#[test]
fn the_gravest_call_is_named_before_the_most_frequent() {
    let mut records: Vec<Value> = (0..40).map(|n| call(n, "ec2", "CreateTags")).collect();
    records.push(call(40, "cloudtrail", "StopLogging"));
    let alert = Alert::of_incident(&incident(&records), None, &context());
    let message = Message::new(alert.clone());
    let title = "mallory called cloudtrail:StopLogging and 1 more in eu-west-3";
    assert_eq!(message.subject, format!("[critical] {title}"));
    let sms = format!("regionwatch CRITICAL: {title}, account 111122223333, 11-23 11:00 UTC");
    assert_eq!(texts(&message)["sms"], sms);
    let mail = message.mail();
    assert!(
        mail.starts_with("mallory called cloudtrail:StopLogging and 40 other calls in"),
        "{mail}"
    );
    assert!(mail.contains("WHAT\n  1 x cloudtrail:StopLogging\n  40 x ec2:CreateTags\n"), "{mail}");
    let json: Value = serde_json::from_str(&message.json()).unwrap();
    assert_eq!(json["calls"][0]["name"], "cloudtrail:StopLogging");
    assert_eq!(json["events"][0]["id"], "e-40");
    assert_eq!(json["events"].as_array().unwrap().len(), 20);
    let chat = chat(&alert);
    assert_eq!(chat["content"]["title"], format!("CRITICAL: {title}"));
    let description = chat["content"]["description"].as_str().unwrap();
    assert!(description.contains("What:\n1 x `cloudtrail:StopLogging`"), "{description}");
}

#[test]
fn of_calls_as_grave_the_watched_the_most_frequent_and_the_first_come_first() {
    let calls = [
        ("sqs", "CreateQueue"),
        ("athena", "CreateWorkGroup"),
        ("ec2", "CreateTags"),
        ("ec2", "CreateTags"),
        ("cloudtrail", "UpdateTrail"),
    ];
    let records = calls.iter().enumerate().map(|(n, (source, name))| call(n, source, name));
    let incident = incident(&records.collect::<Vec<_>>());
    let names: Vec<&str> = incident.calls_by_gravity().iter().map(|(name, _)| *name).collect();
    let expected =
        ["cloudtrail:UpdateTrail", "ec2:CreateTags", "sqs:CreateQueue", "athena:CreateWorkGroup"];
    assert_eq!(names, expected);
}

#[test]
fn what_is_told_again_says_so_and_why_wherever_there_is_a_title() {
    let told = |name: &str, cause: &str| {
        let incident = incident(&[call(0, "elasticloadbalancing", name)]);
        let follow_up = FollowUp::new(vec![cause.to_owned()], 0, &BTreeMap::new(), 100);
        Alert::of_incident(&incident, Some(follow_up), &context())
    };
    let alert = told("CreateLoadBalancer", "100 calls reached");
    let message = Message::new(alert.clone());
    let end = " in eu-west-3 (again: 100 calls reached)";
    assert_eq!(
        message.subject,
        "[high] mallory called elasticloadbalancing:CreateLoadBalancer in eu-w... (again: 100 calls reached)"
    );
    assert!(alert.title.ends_with(end), "{}", alert.title);
    let sms = texts(&message)["sms"].as_str().unwrap().to_owned();
    assert!(sms.contains(" (again: 100 calls reached), account 111122223333"), "{sms}");
    assert!(chat(&alert)["content"]["title"].as_str().unwrap().ends_with(end));
    let long = told(&"X".repeat(200), &format!("new calls ec2:{}", "Y".repeat(200)));
    let cause = format!(" (again: new calls ec2:{}...)", "Y".repeat(23));
    for title in [&long.title, &Message::new(long.clone()).subject] {
        assert!(title.ends_with(&cause), "{title}");
    }
    let title = chat(&long)["content"]["title"].as_str().unwrap().to_owned();
    assert!(title.ends_with(&cause) && title.chars().count() == 150, "{title}");
    let unreadable = triaged("unreadable", &Policy::embedded().unwrap()).rejects;
    let follow_up = FollowUp::new(vec!["10 calls reached".to_owned()], 0, &BTreeMap::new(), 10);
    let unreadable = Alert::of_rejects(&unreadable, Some(follow_up), &context());
    let subject = "[medium] 3 unreadable entries in log group trail (again: 10 calls reached)";
    assert_eq!(Message::new(unreadable).subject, subject);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_records_make_messages_that_sns_takes(
        text in ".{0,300}",
        large in "[\"\\\\a-z\u{1F600}\u{202E}]{0,40}",
        repeat in 1_usize..300,
        count in 1_usize..40,
    ) {
        let large = large.repeat(repeat);
        let record = |n: usize| json!({
            "eventSource": text, "eventName": format!("{text}{n}"), "awsRegion": large,
            "eventID": format!("{large}{n}"), "userAgent": format!("{n}{large}"),
            "errorCode": format!("{n}{large}"), "sourceIPAddress": format!("{n}{text}"),
            "recipientAccountId": text,
            "userIdentity": {"type": text, "arn": large, "accessKeyId": format!("{n}{large}")},
            "requestParameters": {"aId": format!("{n}{text}"), "bName": format!("{n}b{text}"),
                "c": {"dArn": format!("arn:{n}{text}{text}")}},
        }).to_string();
        let first = record(0);
        let first = Record::parse(&first).unwrap();
        let key = IncidentKey::of(&first, "");
        let mut incident = Incident::new(key, &first, Reason::MutatingCall, Severity::High);
        for n in 1..count {
            let text = record(n);
            incident.add(&Record::parse(&text).unwrap(), Reason::MutatingCall, Severity::High);
        }
        let message = Message::new(Alert::of_incident(&incident, None, &context()));
        prop_assert!(message.size() <= LARGEST, "{} bytes", message.size());
        prop_assert!((1..=99).contains(&message.subject.len()));
        prop_assert!(message.subject.bytes().all(|b| (b' '..=b'~').contains(&b)));
        prop_assert!(message.attributes.iter().all(|a| !a.value.is_empty()));
        let texts = texts(&message);
        prop_assert!(texts["sms"].as_str().unwrap().chars().count() <= 160);
        prop_assert!(texts["sms"].as_str().unwrap().is_ascii());
        let mail = texts["default"].as_str().unwrap();
        prop_assert!(!mail.chars().any(|c| c.is_control() && c != '\n'));
        let json: Value = serde_json::from_str(&message.json()).unwrap();
        let rule = json["exempt"].as_str().unwrap();
        prop_assert!(Policy::with_user_file("mine.toml", rule).is_ok(), "{}", rule);
        let reordered = mail.contains('\u{202E}');
        prop_assert!(!reordered);
    }
}
