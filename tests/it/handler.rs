//! One invocation through the handler, with a publisher that fails as it is told to.

use std::future::{Future, ready};
use std::io::Write;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use regionwatch::alert::{Formats, HttpsFormat, Message};
use regionwatch::handler::{HandleError, Handler, Invocation, Limits};
use regionwatch::ledger::{Decision, InMemoryLedger, Ledger, LedgerError, Sighting, Telling};
use regionwatch::metrics::Summary;
use regionwatch::policy::Policy;
use regionwatch::publish::{Publish, PublishError};
use serde_json::{Value, json};

use crate::samples::payload;

/// Keeps what it accepts.
pub struct Outbox {
    fates: fn(usize, &Message) -> Option<Result<(), PublishError>>,
    accepted: Mutex<Vec<Value>>,
}

impl Outbox {
    pub fn new(fates: fn(usize, &Message) -> Option<Result<(), PublishError>>) -> Self {
        Outbox { fates, accepted: Mutex::default() }
    }

    pub fn open() -> Self {
        Outbox::new(|_, _| Some(Ok(())))
    }

    pub fn alerts(&self) -> Vec<Value> {
        self.accepted.lock().unwrap().clone()
    }
}

impl Publish for Outbox {
    fn publish(
        &self,
        messages: &[Message],
        _: Timestamp,
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send {
        let mut fates = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            let Some(fate) = (self.fates)(index, message) else { break };
            if fate.is_ok() {
                let alert = serde_json::from_str(&message.json()).unwrap();
                assert!(message.structure.contains(r#"\"source\":\"custom\""#), "not for a chat");
                self.accepted.lock().unwrap().push(alert);
            }
            fates.push(fate);
        }
        ready(fates)
    }
}

/// A ledger that never answers.
struct Down;

impl Ledger for Down {
    fn record(&self, _: Sighting) -> impl Future<Output = Result<Decision, LedgerError>> + Send {
        ready(Err(LedgerError("down".to_owned())))
    }

    fn confirm(&self, _: &Telling) -> impl Future<Output = Result<(), LedgerError>> + Send {
        ready(Err(LedgerError("down".to_owned())))
    }
}

/// A ledger that answers and cannot be written to.
struct ReadOnly(InMemoryLedger);

impl Ledger for ReadOnly {
    fn record(&self, of: Sighting) -> impl Future<Output = Result<Decision, LedgerError>> + Send {
        self.0.record(of)
    }

    fn confirm(&self, _: &Telling) -> impl Future<Output = Result<(), LedgerError>> + Send {
        ready(Err(LedgerError("read only".to_owned())))
    }
}

/// Not the default, so that a handler that forgets it is seen.
const FORMATS: Formats = Formats { https: HttpsFormat::AmazonQ };

pub fn ledger() -> InMemoryLedger {
    InMemoryLedger::new(SignedDuration::from_mins(60))
}

pub fn handle<L: Ledger>(
    payload: &[u8],
    ledger: &L,
    outbox: &Outbox,
) -> (Summary, Result<(), HandleError>) {
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    handle_by(&Policy::embedded().unwrap(), payload, now, ledger, outbox)
}

fn handle_by<L: Ledger>(
    policy: &Policy,
    payload: &[u8],
    now: Timestamp,
    ledger: &L,
    outbox: &Outbox,
) -> (Summary, Result<(), HandleError>) {
    let limits = Limits { max_messages: 5, ..Limits::default() };
    let handler = Handler {
        policy,
        seen: &Mutex::default(),
        ledger,
        publish: outbox,
        formats: FORMATS,
        limits,
    };
    let deadline = now + SignedDuration::from_secs(60);
    pollster::block_on(
        handler.handle(payload, &Invocation { id: "request", now, began: now, deadline }),
    )
}

/// A payload of messages as they are.
pub fn pack(messages: &[String]) -> Vec<u8> {
    let entry = |(id, message)| json!({"id": format!("{id}"), "timestamp": 1, "message": message});
    pack_entries(&messages.iter().enumerate().map(entry).collect::<Vec<_>>())
}

/// A payload of entries as they are.
pub fn pack_entries(entries: &[Value]) -> Vec<u8> {
    json!({"awslogs": {"data": packed(entries)}}).to_string().into_bytes()
}

/// Entries as CloudWatch Logs packs them.
pub fn packed(entries: &[Value]) -> String {
    let batch = json!({
        "messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "trail",
        "logStream": "stream", "subscriptionFilters": ["f"], "logEvents": entries,
    });
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(batch.to_string().as_bytes()).unwrap();
    STANDARD.encode(gzip.finish().unwrap())
}

pub fn run_instances(user: &str) -> String {
    json!({
        "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances", "awsRegion": "eu-west-3",
        "eventTime": "2026-11-23T11:59:00Z",
        "userIdentity": {"type": "IAMUser", "userName": user,
            "arn": format!("arn:aws:iam::111122223333:user/{user}")},
    })
    .to_string()
}

#[test]
fn one_incident_is_one_message_and_a_replay_is_none() {
    let (outbox, ledger) = (Outbox::open(), ledger());
    let storm = payload("storm");
    let (summary, outcome) = handle(&storm, &ledger, &outbox);
    outcome.unwrap();
    assert_eq!((summary.alerts, summary.incidents, summary.told), (500, 1, 1));
    assert_eq!(outbox.alerts().len(), 1);
    assert_eq!(outbox.alerts()[0]["count"], 500);
    let (summary, _) = handle(&storm, &ledger, &outbox);
    assert_eq!((summary.told, summary.held), (0, 1));
    assert_eq!(outbox.alerts().len(), 1);
}

/// In its checksum, its length, cut within them, or with more behind it: all of it was read by then.
#[test]
fn nothing_is_published_of_a_batch_that_is_damaged_at_its_end() {
    let payload = pack(&[run_instances("mateo")]);
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let data = STANDARD.decode(payload["awslogs"]["data"].as_str().unwrap()).unwrap();
    let end = data.len() - 8;
    let flipped = (end..data.len()).map(|at| {
        let mut data = data.clone();
        data[at] ^= 1;
        data
    });
    let cut = (end..data.len()).map(|at| data[..at].to_vec());
    let longer = [[data.as_slice(), b"x"].concat()];
    for data in flipped.chain(cut).chain(longer) {
        let damaged = json!({"awslogs": {"data": STANDARD.encode(data)}}).to_string();
        let outbox = Outbox::open();
        let (summary, outcome) = handle(damaged.as_bytes(), &ledger(), &outbox);
        assert_eq!(outcome.unwrap_err().kind(), "DamagedPayload");
        assert_eq!((summary.entries, summary.error_type), (0, Some("DamagedPayload")));
        assert!(outbox.alerts().is_empty());
    }
}

#[test]
fn a_message_without_a_fate_has_failed_and_is_told_by_the_replay() {
    let ledger = ledger();
    let two = pack(&[run_instances("mateo"), run_instances("zhang-wei")]);
    let outbox = Outbox::new(|index, _| (index == 0).then_some(Ok(())));
    let (summary, outcome) = handle(&two, &ledger, &outbox);
    assert_eq!(outcome.unwrap_err().kind(), "PublishFailed");
    assert_eq!((summary.messages, summary.messages_failed, summary.told), (1, 1, 1));
    let replay = Outbox::open();
    let (summary, outcome) = handle(&two, &ledger, &replay);
    outcome.unwrap();
    assert_eq!((summary.told, summary.held), (1, 1));
    assert_eq!(replay.alerts()[0]["principal"]["name"], "zhang-wei");
}

#[test]
fn a_refusal_names_the_error_that_somebody_must_mend() {
    let outbox = Outbox::new(|index, _| {
        Some(Err(match index {
            0 => PublishError::Transient("slow".to_owned()),
            _ => PublishError::Permanent("no such topic".to_owned()),
        }))
    });
    let two = pack(&[run_instances("mateo"), run_instances("zhang-wei")]);
    let (summary, outcome) = handle(&two, &ledger(), &outbox);
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), "PublishRefused");
    assert_eq!(error.to_string(), "2 of 2 messages were not published: no such topic");
    assert_eq!(summary.error_type, Some("PublishRefused"));
    assert_eq!(summary.error, Some(error.to_string()));
}

#[test]
fn a_ledger_that_is_down_silences_nothing() {
    let outbox = Outbox::open();
    let (summary, outcome) = handle(&payload("root"), &Down, &outbox);
    outcome.unwrap();
    assert_eq!((summary.told, summary.ledger_errors), (1, 1));
    assert_eq!(summary.ledger_fault.unwrap(), "the ledger failed: down");
    assert_eq!(outbox.alerts()[0]["severity"], "critical");
}

#[test]
fn a_ledger_that_cannot_confirm_fails_nothing_and_is_counted() {
    let outbox = Outbox::open();
    let (summary, outcome) = handle(&payload("root"), &ReadOnly(ledger()), &outbox);
    outcome.unwrap();
    assert_eq!((summary.told, summary.ledger_errors), (1, 1));
    assert_eq!(summary.ledger_fault.unwrap(), "the ledger failed: read only");
    assert_eq!(outbox.alerts()[0]["follow_up"], Value::Null);
}

#[test]
fn a_flood_becomes_the_gravest_messages_and_one_digest() {
    let mut messages: Vec<String> = (0..30).map(|n| run_instances(&format!("user-{n}"))).collect();
    messages.push("not JSON".to_owned());
    messages.push(run_instances("user-3").replace("RunInstances", "StopInstances"));
    messages.push(
        json!({
            "eventSource": "cloudtrail.amazonaws.com", "eventName": "StopLogging",
            "awsRegion": "us-east-1", "userIdentity": {"type": "IAMUser", "arn": "arn:x"},
        })
        .to_string(),
    );
    let outbox = Outbox::open();
    let (summary, outcome) = handle(&pack(&messages), &ledger(), &outbox);
    outcome.unwrap();
    assert_eq!((summary.incidents, summary.told, summary.messages), (32, 32, 5));
    let alerts = outbox.alerts();
    let kinds: Vec<&str> = alerts.iter().map(|alert| alert["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["incident", "incident", "incident", "unreadable", "digest"]);
    assert_eq!(alerts[0]["reason"], "watched:trail-tampering");
    assert!(summary.in_short_digest.is_empty());
    assert_eq!(alerts[4]["incidents"], 28);
    assert_eq!(alerts[4]["list"].as_array().unwrap().len(), 28);
}

#[test]
fn a_new_call_is_not_hidden_by_many_known_ones() {
    let call = |n: usize| run_instances("mateo").replace("RunInstances", &format!("Run{n}"));
    let mut calls: Vec<String> = (0..150).map(call).collect();
    let (outbox, ledger) = (Outbox::open(), ledger());
    handle(&pack(&calls), &ledger, &outbox).1.unwrap();
    assert_eq!(outbox.alerts()[0]["calls"].as_array().unwrap().len(), 100);
    assert_eq!(outbox.alerts()[0]["other_calls"], 50);
    calls.push(call(150));
    handle(&pack(&calls), &ledger, &outbox).1.unwrap();
    let follow_up = &outbox.alerts()[1]["follow_up"];
    assert_eq!(follow_up["causes"][0], "new calls ec2:Run150");
    assert_eq!(follow_up["total"], 301);
}

#[test]
fn what_a_digest_does_not_say_was_held_the_next_message_does() {
    let (outbox, ledger) = (Outbox::open(), ledger());
    let by_zed =
        |name: &str, times: usize| vec![run_instances("zed").replace("RunInstances", name); times];
    handle(&pack(&by_zed("RunInstances", 1)), &ledger, &outbox).1.unwrap();
    let (summary, _) = handle(&pack(&by_zed("RunInstances", 5)), &ledger, &outbox);
    assert_eq!(summary.held, 1);
    let mut flood: Vec<String> = (0..30).map(|n| run_instances(&format!("user-{n:02}"))).collect();
    flood.extend(by_zed("CreateTags", 1));
    handle(&pack(&flood), &ledger, &outbox).1.unwrap();
    assert_eq!(outbox.alerts().last().unwrap()["kind"], "digest");
    handle(&pack(&by_zed("DeleteVpc", 1)), &ledger, &outbox).1.unwrap();
    let alerts = outbox.alerts();
    let follow_up = &alerts.last().unwrap()["follow_up"];
    assert_eq!((&follow_up["held"], &follow_up["total"]), (&json!(5), &json!(8)));
    assert_eq!(follow_up["held_calls"], json!([{"name": "ec2:RunInstances", "count": 5}]));
}

#[test]
fn an_alert_says_what_the_policy_calls_the_account() {
    let named = "[accounts.\"111122223333\"]\nname = \"production\"";
    let policy = Policy::with_user_file("test.toml", named).unwrap();
    let (outbox, ledger) = (Outbox::open(), ledger());
    let payload = pack(&[run_instances("mateo")]);
    handle_by(&policy, &payload, Timestamp::UNIX_EPOCH, &ledger, &outbox).1.unwrap();
    assert_eq!(outbox.alerts()[0]["account_name"], "production");
}

#[test]
fn a_record_delivered_twice_is_told_once() {
    let record = run_instances("mateo").replacen('{', r#"{"eventID":"e1","#, 1);
    let outbox = Outbox::open();
    let (summary, _) = handle(&pack(&[record.clone(), record]), &ledger(), &outbox);
    assert_eq!(summary.alerts, 1);
    assert_eq!(summary.ignored_by["duplicate"], 1);
    assert_eq!(outbox.alerts()[0]["count"], 1);
}

#[test]
fn nobody_hides_a_call_behind_another_with_its_id() {
    let first = json!({"eventID": "z", "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
        "awsRegion": "eu-west-3", "errorCode": "AccessDenied", "recipientAccountId": "111122223333",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/mateo"}});
    let changed = |key: &str, value: Value| {
        let mut record = first.clone();
        record[key] = value;
        record.to_string()
    };
    for second in [
        changed("eventName", json!("TerminateInstances")),
        changed("eventSource", json!("lightsail.amazonaws.com")),
        changed("awsRegion", json!("eu-west-1")),
        changed("errorCode", Value::Null),
        changed("recipientAccountId", json!("444455556666")),
        changed("userIdentity", json!({"type": "Root", "arn": "arn:aws:iam::111122223333:root"})),
    ] {
        let payload = pack(&[first.to_string(), second.clone()]);
        let (summary, _) = handle(&payload, &ledger(), &Outbox::open());
        assert_eq!((summary.alerts, summary.ignored), (2, 0), "{second}");
    }
}

#[test]
fn the_canonical_line_keeps_its_identities() {
    let (summary, _) = handle(&payload("unreadable"), &ledger(), &Outbox::open());
    let line: Value =
        serde_json::from_str(&summary.line("request", Timestamp::UNIX_EPOCH)).unwrap();
    assert_eq!(line["request_id"], "request");
    assert_eq!(line["level"], "INFO");
    let count = |key: &str| line[key].as_u64().unwrap();
    assert_eq!(count("entries"), count("alerts") + count("ignored") + count("rejected"));
    let by_reason = line["ignored_by"].as_object().unwrap().values();
    assert_eq!(count("ignored"), by_reason.map(|n| n.as_u64().unwrap()).sum::<u64>());
}

#[test]
fn the_line_says_which_policy_judged_and_how_many_exemptions_are_over() {
    let rule = |id: &str, until: &str| {
        format!("[[exempt]]\nid = \"{id}\"\nreason = \"r\"\nservices = [\"x\"]\nuntil = {until}\n")
    };
    let rules = rule("over", "2026-11-22") + &rule("last-day", "2026-11-23");
    let policy = Policy::with_user_file("mine.toml", &rules).unwrap().with_parameter_version(7);
    let line = |now: &str| {
        let now: Timestamp = now.parse().unwrap();
        let (summary, _) = handle_by(&policy, &payload("root"), now, &ledger(), &Outbox::open());
        serde_json::from_str::<Value>(&summary.line("request", now)).unwrap()
    };
    let last_second = line("2026-11-23T23:59:59Z");
    assert_eq!(last_second["policy"], policy.version().digest);
    assert_eq!(last_second["policy_version"], 7);
    assert_eq!((&last_second["policy_errors"], &last_second["shadow"]), (&json!(0), &json!(false)));
    assert_eq!(last_second["expired_exemptions"], 1);
    assert_eq!(line("2026-11-24T00:00:00Z")["expired_exemptions"], 2);
    assert_eq!(policy.expired("2026-11-24T00:00:00Z".parse().unwrap()), ["over", "last-day"]);
    let (default, _) = handle(&payload("root"), &ledger(), &Outbox::open());
    let default = default.line("request", "2026-11-23T12:00:00Z".parse().unwrap());
    assert!(!default.contains("policy_version"), "{default}");
}
