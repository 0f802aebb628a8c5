//! The function on a Kinesis stream: what it tells, and what it answers Lambda.

use serde_json::{Value, json};

use super::deliver::run_instances;
use super::function::Function;
use super::moto::{Delivery, Moto, Topic};
use crate::handler::packed;
use crate::kinesis::{sequence, stream};
use crate::schema::assert_valid;

const NO_TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:no-such-topic";

fn batch(users: &[&str]) -> String {
    let entry = |user: &&str| json!({"id": "1", "timestamp": 1, "message": run_instances(user, "eu-west-3")});
    packed(&users.iter().map(entry).collect::<Vec<_>>())
}

fn told(topic: &Topic<'_>) -> Vec<String> {
    let received = topic.take();
    received.iter().for_each(|message| assert_valid(&message.body));
    let name = |alert: &Value| alert["principal"]["name"].as_str().unwrap_or("nobody").to_owned();
    received.iter().map(|message| name(&message.body)).collect()
}

#[test]
fn records_of_a_stream_are_told_and_a_damaged_one_holds_up_nothing() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("kinesis", Delivery::Raw);
    let Some(mut function) = Function::start(&moto.settings(&topic.arn)) else { return };
    let records =
        [(1, batch(&["anna", "ben"])), (2, "damaged*".to_owned()), (3, batch(&["ben", "carl"]))];
    let invoked = function.invoke(&stream(&records));
    // Nothing else may stand there.
    assert_eq!(invoked.outcome.unwrap(), json!({"batchItemFailures": []}));
    let line = invoked.line;
    assert_eq!((&line["kinesis_records"], &line["entries"]), (&json!(3), &json!(5)));
    assert_eq!(
        (&line["alerts"], &line["rejected"], &line["messages"]),
        (&json!(4), &json!(1), &json!(4))
    );
    assert_eq!(told(&topic), ["anna", "ben", "carl", "nobody"]);

    // Lambda brings some of them again, and others with them.
    let records = [records[2].clone(), (4, batch(&["dora"]))];
    let line = function.invoke(&stream(&records)).line;
    assert_eq!((&line["told"], &line["held"]), (&json!(1), &json!(2)));
    assert_eq!(told(&topic), ["dora"]);
}

#[test]
fn what_sns_refuses_is_answered_by_the_record_to_begin_again_with() {
    let Some(moto) = Moto::shared() else { return };
    let Some(mut function) = Function::start(&moto.settings(NO_TOPIC)) else { return };
    let harmless =
        packed(&[json!({"id": "1", "timestamp": 1, "message": run_instances("zed", "us-east-1")})]);
    let records = [(6, harmless), (7, batch(&["anna"])), (8, batch(&["ben"]))];
    let invoked = function.invoke(&stream(&records));
    let failures = json!([{"itemIdentifier": sequence(7)}]);
    assert_eq!(invoked.outcome.unwrap(), json!({"batchItemFailures": failures}));
    let line = invoked.line;
    assert_eq!((&line["level"], &line["error_type"]), (&json!("ERROR"), &json!("PublishRefused")));
    assert_eq!((&line["retry_from"], &line["messages_failed"]), (&json!(sequence(7)), &json!(2)));
    assert_eq!(invoked.metrics["PublishFailures"], 2);
}

#[test]
fn containers_that_share_a_table_know_each_record_of_a_retry() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("kinesis-table", Delivery::Raw);
    moto.table("kinesis-table");
    let settings = moto.settings(&topic.arn);
    let settings = [&settings[..], &[("LEDGER_TABLE", "kinesis-table")]].concat();
    let Some(mut one) = Function::start(&settings) else { return };
    let record = |number| (number, batch(&["anna", &format!("user-{number}")]));
    let records: Vec<_> = (1..=4).map(record).collect();
    assert_eq!(one.invoke(&stream(&records)).line["told"], 5);
    assert_eq!(told(&topic).len(), 5);
    let Some(mut two) = Function::start(&settings) else { return };
    let line = two.invoke(&stream(&records[2..])).line;
    assert_eq!(
        (&line["told"], &line["held"], &line["ledger_errors"]),
        (&json!(0), &json!(3), &json!(0))
    );
    assert!(topic.take().is_empty());
}
