//! What holds for every batch.

use proptest::prelude::*;
use regionwatch::envelope::{Envelope, each};
use regionwatch::policy::Policy;
use regionwatch::triage::{Triage, Triaged};
use serde_json::{Value, json};

use crate::handler::pack;

/// A message: mostly a record, sometimes something else.
fn message() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => record().prop_map(|record| record.to_string()),
        1 => record().prop_map(|record| {
            let text = record.to_string();
            text.chars().take(text.chars().count() / 2).collect()
        }),
        1 => any::<String>(),
    ]
}

fn record() -> impl Strategy<Value = Value> {
    let service =
        prop_oneof![Just("ec2"), Just("iam"), Just("cloudtrail"), Just("signin"), Just("kms")];
    let name = prop_oneof![
        Just("RunInstances"),
        Just("DescribeInstances"),
        Just("StopLogging"),
        Just("Decrypt"),
        Just("GetPasswordData"),
    ];
    let region = prop_oneof![
        Just(json!("us-east-1")),
        Just(json!("eu-west-3")),
        Just(json!("ap-south-2")),
        Just(json!(null)),
        Just(json!(7)),
    ];
    let read_only = prop_oneof![Just(json!(true)), Just(json!("false")), Just(json!(null))];
    let principal = prop_oneof![
        Just(json!({"type": "Root", "arn": "arn:aws:iam::111122223333:root"})),
        Just(json!({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/\"<b>\u{202e}"})),
        Just(json!({"type": "AWSService", "invokedBy": "x.amazonaws.com"})),
        Just(json!("nobody")),
    ];
    let error = prop_oneof![3 => Just(json!(null)), 1 => Just(json!("AccessDenied"))];
    let id = prop_oneof![Just(json!(null)), "[a-c]".prop_map(Value::from)];
    (service, name, region, read_only, principal, error, id, any::<String>()).prop_map(
        |(service, name, region, read_only, principal, error, id, text)| {
            json!({
                "eventSource": format!("{service}.amazonaws.com"), "eventName": name,
                "awsRegion": region, "readOnly": read_only, "userIdentity": principal,
                "errorCode": error, "eventID": id, "userAgent": text,
                "requestParameters": {"awsRegion": "us-east-1", "note": text},
            })
        },
    )
}

fn triage(messages: &[String], policy: &Policy) -> Triaged {
    let payload = pack(messages);
    let mut triage = Triage::new(policy);
    let envelope = Envelope::open(&payload).unwrap();
    envelope.entries(u64::MAX, &mut triage).unwrap();
    triage.finish()
}

fn policy(user: &str) -> Policy {
    Policy::with_user_file("test.toml", user).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn opening_what_was_packed_gives_it_back(messages in prop::collection::vec(any::<String>(), 0..20)) {
        let payload = pack(&messages);
        let mut seen = Vec::new();
        let envelope = Envelope::open(&payload).unwrap();
        let batch = envelope.entries(u64::MAX, each(|_, entry| {
            seen.push(entry.read().unwrap().message.unescape().unwrap().into_owned());
        })).unwrap();
        prop_assert_eq!(seen, messages);
        prop_assert_eq!(batch.owner, "111122223333");
    }

    #[test]
    fn every_entry_ends_in_exactly_one_count(messages in prop::collection::vec(message(), 0..30)) {
        let triaged = triage(&messages, &policy(""));
        prop_assert_eq!(triaged.entries, messages.len() as u64);
        prop_assert_eq!(triaged.entries, triaged.alerts() + triaged.ignored_total() + triaged.rejects.count);
        prop_assert_eq!(triaged.alerts(), triaged.incidents.iter().map(|i| i.count).sum::<u64>());
        prop_assert_eq!(triaged.rejects.count, triaged.rejects.faults.values().sum::<u64>());
        prop_assert!(triaged.incidents.is_sorted_by(|a, b| a.severity >= b.severity));
    }

    #[test]
    fn a_batch_is_judged_as_its_parts_are(messages in prop::collection::vec(message(), 0..20), cut in 0_usize..20) {
        // The same eventID is counted once in a batch, and cannot be across batches.
        let messages: Vec<String> = messages.iter().map(|m| m.replace("\"eventID\"", "\"id\"")).collect();
        let (front, back) = messages.split_at(cut.min(messages.len()));
        let policy = policy("");
        let (whole, front, back) = (triage(&messages, &policy), triage(front, &policy), triage(back, &policy));
        prop_assert_eq!(whole.alerts(), front.alerts() + back.alerts());
        prop_assert_eq!(whole.rejects.count, front.rejects.count + back.rejects.count);
        for (reason, count) in &whole.ignored {
            let parts = [&front, &back].map(|part| part.ignored.get(reason).copied().unwrap_or(0));
            prop_assert_eq!(*count, parts.iter().sum::<u64>());
        }
        for incident in &whole.incidents {
            let same = [&front, &back].map(|part| part.incidents.iter().find(|i| i.id == incident.id));
            prop_assert_eq!(incident.count, same.iter().flatten().map(|i| i.count).sum::<u64>());
        }
    }

    #[test]
    fn approving_one_more_region_never_adds_an_alert(messages in prop::collection::vec(message(), 0..20)) {
        let fewer = triage(&messages, &policy("approved_regions = [\"us-east-1\"]"));
        let more = triage(&messages, &policy("approved_regions = [\"us-east-1\", \"eu-west-3\"]"));
        prop_assert!(more.alerts() <= fewer.alerts());
        prop_assert_eq!(more.rejects, fewer.rejects);
    }
}
