//! Digests: what people read first of a flood, that a filter for any of it finds it, and that all of
//! it fits.

use std::collections::BTreeSet;
use std::future::{Future, ready};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use regionwatch::alert::message::LARGEST;
use regionwatch::alert::{Alert, FollowUp, Formats, Incident, IncidentKey, Message};
use regionwatch::handler::{Handler, Invocation, Limits};
use regionwatch::metrics::Summary;
use regionwatch::policy::{Policy, Reason, Severity};
use regionwatch::publish::{Publish, PublishError};
use regionwatch::record::Record;
use serde_json::{Value, json};

use crate::alert::{chat, judge, texts};
use crate::handler::{ledger, pack};
use crate::samples::triaged;
use crate::schema;

/// The digest of incidents that nobody was told of before.
pub fn digest_of<'i>(incidents: impl IntoIterator<Item = &'i Incident>) -> Alert {
    let told: Vec<_> = incidents.into_iter().map(|incident| (incident, None)).collect();
    Alert::digest(&told, "request", judge())
}

/// Somebody launched something there; the first one is the gravest.
fn launches(places: &[(&str, &str)]) -> Vec<Incident> {
    let incident = |(n, (account, region)): (usize, &(&str, &str))| {
        let record = json!({"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
            "awsRegion": region, "recipientAccountId": account,
            "userIdentity": {"type": "IAMUser", "userName": format!("user-{n}"),
                "arn": format!("arn:aws:iam::{account}:user/user-{n}")}})
        .to_string();
        let record = Record::parse(&record).unwrap();
        let severity = if n == 0 { Severity::Critical } else { Severity::High };
        Incident::new(IncidentKey::of(&record, ""), &record, Reason::MutatingCall, severity)
    };
    places.iter().enumerate().map(incident).collect()
}

/// Subject, SMS and the first two lines of the mail.
fn opening(alert: Alert) -> [String; 4] {
    let message = Message::new(alert);
    let texts = texts(&message);
    let mail = message.mail();
    let mut lines = mail.lines().map(str::to_owned);
    let sms = texts["sms"].as_str().unwrap().to_owned();
    [message.subject, sms, lines.next().unwrap(), lines.next().unwrap()]
}

#[test]
fn its_opening_says_who_did_what_where_and_how_much_else_there_is() {
    let here = ("111122223333", "eu-west-3");
    let of_one_place = opening(digest_of(&launches(&[here; 29])));
    assert_eq!(
        of_one_place,
        [
            "[critical] user-0 called ec2:RunI..., and 28 more incidents, all in eu-west-3, account 111122223333",
            "regionwatch CRITICAL: user-0 called ec2:RunInstances in eu-west-3, and 28 more incidents, all in eu-west-3, account 111122223333",
            "user-0 called ec2:RunInstances in eu-west-3, and 28 more incidents, all in eu-west-3, account 111122223333.",
            "29 calls in all, most incidents in 111122223333 eu-west-3 (29). Severity: critical.",
        ]
    );
    let places = [
        here,
        ("444455556666", "sa-east-1"),
        ("444455556666", "sa-east-1"),
        ("444455556666", "us-west-1"),
        ("444455556666", "eu-north-1"),
    ];
    let of_several = opening(digest_of(&launches(&places)));
    assert_eq!(
        of_several[2..],
        [
            "user-0 called ec2:RunInstances in eu-west-3, and 4 more incidents in 4 regions, 2 accounts.",
            "5 calls in all, most incidents in 444455556666 sa-east-1 (2), 111122223333 eu-west-3 (1), \
             444455556666 eu-north-1 (1) and elsewhere. Severity: critical.",
        ]
    );
    let [subject, sms, ..] = of_several;
    assert_eq!(
        subject,
        "[critical] user-0 called ec2:RunInstances in eu-w..., and 4 more incidents in 4 regions, 2 accounts"
    );
    assert!(sms.ends_with("eu-west-3, and 4 more incidents in 4 regions, 2 accounts"), "{sms}");
    let [one, two] = [1, 2].map(|n| opening(digest_of(&launches(&[here; 2][..n])))[2].clone());
    assert_eq!(one, "user-0 called ec2:RunInstances in eu-west-3.");
    assert!(two.contains(", and one more incident, all in eu-west-3"), "{two}");
}

#[test]
fn a_chat_is_told_the_same() {
    let chat = chat(&digest_of(&launches(&[("111122223333", "eu-west-3"); 29])));
    let title = "CRITICAL: user-0 called ec2:RunInstances in eu-west-3, and 28 more incidents, all in \
                 eu-west-3, account 111122223333";
    assert_eq!(chat["content"]["title"], title);
    assert!(chat["content"]["description"].as_str().unwrap().starts_with("user-0 called"));
}

#[test]
fn an_incident_in_it_that_comes_again_says_why() {
    let incidents = launches(&[("111122223333", "eu-west-3"); 2]);
    let again = FollowUp::new(vec!["100 calls reached".to_owned()], 0, &Default::default(), 100);
    let told = [(&incidents[0], None), (&incidents[1], Some(&again))];
    let alert = Message::new(Alert::digest(&told, "request", judge())).json();
    let alert: Value = serde_json::from_str(&alert).unwrap();
    assert_eq!(alert["list"][0]["title"], "user-0 called ec2:RunInstances in eu-west-3");
    let title = "user-1 called ec2:RunInstances in eu-west-3 (again: 100 calls reached)";
    assert_eq!(alert["list"][1]["title"], title);
}

#[test]
fn a_filter_for_any_of_its_incidents_finds_it() {
    let root = triaged("root", &Policy::embedded().unwrap());
    let denied = triaged("denied-by-scp", &Policy::embedded().unwrap());
    let message = Message::new(digest_of(root.incidents.iter().chain(&denied.incidents)));
    let attributes: Vec<String> = message
        .attributes
        .iter()
        .map(|a| format!("{} {} {}", a.name, a.data_type, a.value))
        .collect();
    let expected = [
        r#"severity String.Array ["critical","low"]"#,
        "reason String mutating-call",
        r#"account String.Array ["111122223333","444455556666"]"#,
        r#"region String.Array ["ap-northeast-1","eu-north-1"]"#,
        r#"principal_type String.Array ["AssumedRole","Root"]"#,
        r#"outcome String.Array ["denied","success"]"#,
    ];
    assert_eq!(attributes, expected);
}

/// Keeps every message.
struct Kept(Mutex<Vec<Message>>);

impl Publish for Kept {
    fn publish(
        &self,
        messages: &[Message],
        _: Timestamp,
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send {
        self.0.lock().unwrap().extend_from_slice(messages);
        ready(messages.iter().map(|_| Ok(())).collect())
    }
}

/// What the function does with so many incidents, each in an account of its own: the digests.
fn flood(incidents: usize, account: impl Fn(usize) -> String) -> (Summary, Vec<Message>) {
    let record = |n: usize| {
        json!({"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
            "awsRegion": "eu-west-3", "recipientAccountId": account(n),
            "userIdentity": {"type": "IAMUser", "arn": format!("arn:aws:iam::{n:012}:user/mateo")}})
        .to_string()
    };
    let records: Vec<String> = (0..incidents).map(record).collect();
    let (policy, kept) = (Policy::embedded().unwrap(), Kept(Mutex::default()));
    let limits = Limits { max_messages: 2, ..Limits::default() };
    let (ledger, formats) = (ledger(), Formats::default());
    let handler = Handler {
        policy: &policy,
        seen: &Mutex::default(),
        ledger: &ledger,
        publish: &kept,
        formats,
        limits,
    };
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let deadline = now + SignedDuration::from_secs(60);
    let invocation = Invocation { id: "request", now, began: now, deadline };
    let (summary, outcome) = pollster::block_on(handler.handle(&pack(&records), &invocation));
    outcome.unwrap();
    assert_eq!(summary.told, incidents as u64);
    let messages = kept.0.into_inner().unwrap().split_off(1);
    for message in &messages {
        assert!(message.size() <= LARGEST, "{}", message.size());
        assert_eq!(texts(message)["sqs"], message.json());
        schema::assert_valid(&serde_json::from_str(&message.json()).unwrap());
    }
    (summary, messages)
}

/// All values of an attribute, over these messages.
fn values(messages: &[Message], name: &str) -> BTreeSet<String> {
    let attributes = messages.iter().flat_map(|message| &message.attributes);
    attributes
        .filter(|attribute| attribute.name == name)
        .flat_map(|attribute| match attribute.data_type {
            "String" => vec![attribute.value.clone()],
            _ => serde_json::from_str(&attribute.value).unwrap(),
        })
        .collect()
}

#[test]
fn thousands_of_incidents_fit_and_every_account_is_found() {
    let (summary, messages) = flood(2001, |n| format!("{n:012}"));
    assert_eq!(messages.len(), 1);
    assert_eq!(values(&messages, "account").len(), 2000);
    let digest: Value = serde_json::from_str(&messages[0].json()).unwrap();
    assert_eq!(digest["truncated"], true);
    assert_eq!(digest["covers"]["accounts"].as_array().unwrap().len(), 100);
    let places = digest["by_region"].as_array().unwrap().iter();
    assert_eq!(places.map(|place| place["count"].as_u64().unwrap()).sum::<u64>(), 2000);
    let listed = digest["list"].as_array().unwrap();
    assert!(listed.len() > 100, "{}", listed.len());
    assert_eq!(messages[0].alert.listed(), listed.len());
    // The log has the next thousand, and says how many there are.
    assert_eq!(summary.in_short_digest_count, 2000 - listed.len() as u64);
    assert_eq!(summary.in_short_digest.len(), 1000);
    let known: Vec<&str> = listed.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert!(!summary.in_short_digest.iter().any(|id| known.contains(&id.as_str())));
    assert!(summary.line("request", Timestamp::UNIX_EPOCH).len() < 40_000);
}

#[test]
fn what_subscribers_filter_by_is_never_cut_but_shared_among_several() {
    let (_, messages) = flood(1501, |n| format!("{n:0200}"));
    assert!((2..9).contains(&messages.len()), "{}", messages.len());
    assert_eq!(values(&messages, "account").len(), 1500);
    let ids: BTreeSet<&str> = messages.iter().map(|message| message.alert.id.as_str()).collect();
    assert_eq!(ids.len(), messages.len());
}
