//! What the function publishes, read back from a queue.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::function::Function;
use super::moto::{Delivery, Moto};
use crate::handler::pack;
use crate::samples::payload;
use crate::schema::assert_valid;

#[test]
fn one_incident_is_one_message_with_attributes() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("one-incident", Delivery::Raw);
    let Some(mut function) = Function::start(&moto.settings(&topic.arn)) else { return };

    let summary = function.invoke(&payload("mutating-unapproved-region")).outcome.unwrap();
    assert_eq!((&summary["alerts"], &summary["messages"]), (&json!(5), &json!(1)));

    let received = topic.take();
    assert_eq!(received.len(), 1, "{received:?}");
    let alert = &received[0].body;
    assert_valid(alert);
    assert_eq!(alert["version"], "1");
    assert_eq!(alert["kind"], "incident");
    assert_eq!(alert["severity"], "high");
    assert_eq!(alert["account"], "111122223333");
    assert_eq!(alert["region"], "ap-southeast-1");
    assert_eq!(alert["count"], 5);
    assert_eq!(alert["principal"]["name"], "platform-admin");
    assert_eq!(alert["principal"]["arn"], "arn:aws:iam::111122223333:role/platform-admin");
    assert_eq!(alert["truncated"], false);
    let attributes = json!({
        "severity": "high", "reason": "mutating-call", "account": "111122223333",
        "region": "ap-southeast-1", "principal_type": "AssumedRole", "outcome": "success",
    });
    assert_eq!(json!(received[0].attributes), attributes);
}

#[test]
fn a_queue_without_raw_delivery_gets_the_same_alert_in_a_notification() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("wrapped", Delivery::Wrapped);
    let Some(mut function) = Function::start(&moto.settings(&topic.arn)) else { return };

    function.invoke(&payload("root")).outcome.unwrap();

    let received = topic.take();
    assert_eq!(received.len(), 1, "{received:?}");
    let notification = &received[0].body;
    assert_eq!(notification["Type"], "Notification");
    assert_eq!(notification["TopicArn"], topic.arn);
    assert!(notification["Subject"].as_str().unwrap().starts_with("[critical] root"));
    assert_eq!(notification["MessageAttributes"]["severity"]["Value"], "critical");
    let alert = serde_json::from_str::<Value>(notification["Message"].as_str().unwrap()).unwrap();
    assert_valid(&alert);
    assert_eq!(alert["principal"]["type"], "Root");
}

#[test]
fn what_is_ignored_is_not_told() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("ignored", Delivery::Raw);
    let Some(mut function) = Function::start(&moto.settings(&topic.arn)) else { return };

    let line = function.invoke(&payload("approved-region")).line;
    assert_eq!(line["ignored_by"], json!({"approved-region": 3}));
    let line = function.invoke(&payload("read-only-unapproved-region")).line;
    assert_eq!(line["ignored_by"], json!({"read-only": 5}));
    let line = function.invoke(&payload("control-message")).line;
    assert_eq!((&line["entries"], &line["control"]), (&json!(0), &json!(true)));
    assert!(topic.take().is_empty());
}

#[test]
fn a_payload_that_another_producer_made_is_understood() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("other-producer", Delivery::Raw);
    let Some(mut function) = Function::start(&moto.settings(&topic.arn)) else { return };

    let records = [run_instances("mateo", "eu-west-3"), run_instances("nikki", "us-east-1")];
    let payload = moto.subscription_payload("other-producer", &records);
    let line = function.invoke(&payload).line;
    assert_eq!((&line["entries"], &line["alerts"]), (&json!(2), &json!(1)));

    let received = topic.take();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_valid(&received[0].body);
    assert_eq!(received[0].body["principal"]["name"], "mateo");
    assert_eq!(received[0].body["log_group"], "other-producer");
}

#[test]
fn a_payload_delivered_twice_is_told_once() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("twice", Delivery::Raw);
    let Some(mut function) = Function::start(&moto.settings(&topic.arn)) else { return };

    let storm = payload("storm");
    let line = function.invoke(&storm).line;
    assert_eq!(
        (&line["alerts"], &line["messages"], &line["held"]),
        (&json!(500), &json!(1), &json!(0))
    );
    assert_eq!(topic.take().len(), 1);

    let line = function.invoke(&storm).line;
    assert_eq!(
        (&line["alerts"], &line["messages"], &line["held"]),
        (&json!(500), &json!(0), &json!(1))
    );
    assert!(topic.take().is_empty());
}

#[test]
fn a_flood_is_told_whole_in_25_messages() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("flood", Delivery::Raw);
    let Some(mut function) = Function::start(&moto.settings(&topic.arn)) else { return };

    let names: BTreeSet<String> = (0..60).map(|n| format!("user-{n:02}")).collect();
    let records: Vec<String> = names.iter().map(|name| run_instances(name, "eu-west-3")).collect();
    let line = function.invoke(&pack(&records)).line;
    assert_eq!(
        (&line["incidents"], &line["told"], &line["messages"]),
        (&json!(60), &json!(60), &json!(25))
    );

    let received = topic.take();
    assert_eq!(received.len(), 25);
    let mut told: Vec<String> = Vec::new();
    for message in &received {
        assert_valid(&message.body);
        match message.body["kind"].as_str().unwrap() {
            "incident" => told.push(message.body["principal"]["name"].as_str().unwrap().to_owned()),
            "digest" => told.extend(named_in_digest(&message.body, &names)),
            other => panic!("a message of kind {other}"),
        }
    }
    assert_eq!(told.len(), 60, "{told:?}");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), names);
}

/// Which of the names the titles in a digest hold.
fn named_in_digest(digest: &Value, names: &BTreeSet<String>) -> Vec<String> {
    assert_eq!(digest["incidents"], 36);
    let titles = digest["list"].as_array().unwrap().iter();
    let named = titles.map(|line| {
        let title = line["title"].as_str().unwrap();
        names.iter().find(|name| title.contains(name.as_str())).unwrap().clone()
    });
    named.collect()
}

pub fn run_instances(user: &str, region: &str) -> String {
    json!({
        "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances", "awsRegion": region,
        "eventTime": "2026-11-23T11:59:00Z", "recipientAccountId": "111122223333",
        "userIdentity": {"type": "IAMUser", "userName": user,
            "arn": format!("arn:aws:iam::111122223333:user/{user}")},
    })
    .to_string()
}
