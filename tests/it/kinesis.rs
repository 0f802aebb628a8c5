//! A Kinesis stream of batches: the same walk, in which a record that nobody can read fails nothing, and
//! a message that is not accepted fails no more than it must.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use regionwatch::delivery::Delivery;
use regionwatch::handler::HandleError;
use regionwatch::ledger::{InMemoryLedger, Ledger};
use regionwatch::metrics::Summary;
use regionwatch::publish::PublishError;
use serde_json::{Value, json};

use crate::handler::{Outbox, handle, ledger, pack, packed, run_instances};
use crate::schema::assert_valid;

pub const ARN: &str = "arn:aws:kinesis:us-east-1:999988887777:stream/organisation";

/// The payload of records of a shard, by their numbers.
pub fn stream(records: &[(usize, String)]) -> Vec<u8> {
    let record = |(number, data): &(usize, String)| {
        json!({
            "eventID": format!("shardId-000000000003:{}", sequence(*number)),
            "eventSource": "aws:kinesis", "eventName": "aws:kinesis:record",
            "eventSourceARN": ARN, "awsRegion": "us-east-1",
            "kinesis": {"sequenceNumber": sequence(*number), "data": data, "partitionKey": "p"},
        })
    };
    json!({"Records": records.iter().map(record).collect::<Vec<_>>()}).to_string().into_bytes()
}

pub fn sequence(number: usize) -> String {
    format!("4967{number:052}")
}

/// A batch of these messages.
fn batch(messages: &[String]) -> String {
    let entry = |(id, message): (usize, &String)| json!({"id": format!("{id}"), "timestamp": 1, "message": message});
    packed(&messages.iter().enumerate().map(entry).collect::<Vec<_>>())
}

/// A batch in which each of these users runs an instance. The number tells its calls from those of
/// other batches.
fn of(number: usize, users: &[&str]) -> (usize, String) {
    let call = |user: &&str| {
        run_instances(user).replacen('{', &format!(r#"{{"eventID":"{number}-{user}","#), 1)
    };
    (number, batch(&users.iter().map(call).collect::<Vec<_>>()))
}

/// Handles it and holds that it adds up.
fn summed(
    payload: &[u8],
    ledger: &impl Ledger,
    outbox: &Outbox,
) -> (Summary, Result<(), HandleError>) {
    let (summary, outcome) = handle(payload, ledger, outbox);
    assert_eq!(summary.entries, summary.alerts + summary.ignored + summary.rejected);
    outbox.alerts().iter().for_each(assert_valid);
    (summary, outcome)
}

fn names(outbox: &Outbox) -> Vec<String> {
    let name =
        |alert: &Value| alert["principal"]["name"].as_str().unwrap_or("unreadable").to_owned();
    outbox.alerts().iter().map(name).collect()
}

#[test]
fn one_incident_over_several_records_is_one_message() {
    let payload = stream(&[of(1, &["mateo"]), of(2, &["nikki", "mateo"]), of(3, &["mateo"])]);
    let outbox = Outbox::open();
    let (summary, outcome) = summed(&payload, &ledger(), &outbox);
    outcome.unwrap();
    assert_eq!((summary.kinesis_records, summary.entries, summary.incidents), (Some(3), 4, 2));
    let alerts = outbox.alerts();
    assert_eq!((alerts.len(), &alerts[0]["count"]), (2, &json!(3)));
    // The records were read in the log group that their batch names.
    assert_eq!(
        (&alerts[0]["log_group"], &alerts[0]["account"]),
        (&json!("trail"), &json!("111122223333"))
    );
}

#[test]
fn a_call_that_comes_in_two_records_counts_once() {
    let outbox = Outbox::open();
    let (_, same) = of(1, &["mateo"]);
    let (summary, _) = summed(&stream(&[(1, same.clone()), (2, same)]), &ledger(), &outbox);
    assert_eq!((summary.alerts, summary.ignored_by.get("duplicate")), (1, Some(&1)));
    assert_eq!(outbox.alerts()[0]["count"], 1);
}

/// Data that nobody can read, each with what is said of it.
fn damaged() -> Vec<(Value, &'static str)> {
    let good = STANDARD.decode(of(0, &["zed"]).1).unwrap();
    let mut wrong_crc = good.clone();
    let crc = good.len() - 8;
    wrong_crc[crc] ^= 1;
    let gzip = |text: &str| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut out, text.as_bytes()).unwrap();
        json!(STANDARD.encode(out.finish().unwrap()))
    };
    let packed = |bytes: &[u8]| json!(STANDARD.encode(bytes));
    let aggregated =
        [&[0xF3, 0x89, 0x9A, 0xC2][..], b"a record of the Kinesis Producer Library"].concat();
    vec![
        (json!("*"), "the data is not base64"),
        (packed(&good[..good.len() / 2]), "the data is no whole gzip data"),
        (packed(&wrong_crc), "the data is no whole gzip data"),
        (packed(&aggregated), "the data is no whole gzip data"),
        (gzip("no JSON"), "the inflated batch is not JSON"),
        (gzip("{}"), "the inflated batch is not from a subscription filter"),
        (json!(7), "the record has no `kinesis.data` string"),
        (Value::Null, "the record has no `kinesis.data` string"),
    ]
}

#[test]
fn a_record_that_nobody_can_read_is_told_and_stops_nothing() {
    for (data, fault) in damaged() {
        let payload = stream(&[of(1, &["mateo"]), (2, "DATA".to_owned()), of(3, &["nikki"])]);
        let payload = String::from_utf8(payload).unwrap().replace("\"DATA\"", &data.to_string());
        let outbox = Outbox::open();
        let (summary, outcome) = summed(payload.as_bytes(), &ledger(), &outbox);
        outcome.unwrap();
        assert_eq!((summary.entries, summary.alerts, summary.rejected), (3, 2, 1), "{fault}");
        assert_eq!(names(&outbox), ["mateo", "nikki", "unreadable"], "zed is of a damaged batch");
        let alert = &outbox.alerts()[2];
        assert_eq!(alert["faults"], json!([{"name": fault, "count": 1}]));
        assert_eq!(
            (&alert["log_group"], &alert["log_stream"]),
            (&json!(ARN), &json!("shardId-000000000003"))
        );
        assert_eq!(
            (&alert["account"], &alert["entry_ids"]),
            (&json!("999988887777"), &json!([sequence(2)]))
        );
        assert_eq!(alert["title"], "1 unreadable entry in Kinesis stream organisation");
    }
}

#[test]
fn a_first_record_that_is_none_hides_no_other() {
    let good = stream(&[of(1, &["mateo"])]);
    let good = serde_json::from_slice::<Value>(&good).unwrap()["Records"][0].clone();
    for first in [json!(5), json!({"kinesis": null}), json!({"Sns": {}}), Value::Null] {
        let payload = json!({"Records": [first, good]}).to_string().into_bytes();
        let outbox = Outbox::open();
        let (summary, outcome) = summed(&payload, &ledger(), &outbox);
        outcome.unwrap();
        assert_eq!((summary.alerts, summary.rejected), (1, 1), "{first}");
    }
}

#[test]
fn a_bomb_is_told_and_takes_nothing_from_the_others() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..65 {
        std::io::Write::write_all(&mut gzip, &[b' '; 1024 * 1024]).unwrap();
    }
    let bomb = STANDARD.encode(gzip.finish().unwrap());
    let outbox = Outbox::open();
    let payload = stream(&[(0, bomb.clone()), of(1, &["mateo"]), (2, bomb), of(3, &["nikki"])]);
    let (summary, outcome) = summed(&payload, &ledger(), &outbox);
    outcome.unwrap();
    assert_eq!((summary.alerts, summary.rejected), (2, 2));
}

#[test]
fn records_that_are_all_damaged_are_one_message_and_each_is_counted() {
    let records: Vec<_> = (0..30).map(|number| (number, format!("*{number}"))).collect();
    let (outbox, ledger) = (Outbox::open(), ledger());
    let (summary, outcome) = summed(&stream(&records), &ledger, &outbox);
    outcome.unwrap();
    assert_eq!((summary.rejected, summary.messages), (30, 1));
    let (summary, _) = summed(&stream(&records[10..]), &ledger, &outbox);
    assert_eq!((summary.rejected, summary.held, outbox.alerts().len()), (20, 1, 1));
}

#[test]
fn an_unreadable_entry_is_found_by_its_account_and_log_group() {
    let outbox = Outbox::open();
    let payload = stream(&[of(1, &["mateo"]), (2, batch(&["{".to_owned()]))]);
    summed(&payload, &ledger(), &outbox).1.unwrap();
    assert_eq!(outbox.alerts()[1]["entry_ids"], json!(["111122223333 trail stream 0"]));
}

/// Refuses every message about nikki.
fn refusing_nikki() -> Outbox {
    Outbox::new(|_, message| {
        let refused = message.json().contains("nikki");
        Some(if refused { Err(PublishError::Transient("slow".to_owned())) } else { Ok(()) })
    })
}

#[test]
fn what_was_not_told_comes_again_from_its_earliest_record_and_nothing_else_is_told_twice() {
    let ledger = ledger();
    let records = [
        of(1, &["mateo"]),
        of(2, &["nikki", "mateo"]),
        of(3, &["zed", "mateo"]),
        of(4, &["nikki"]),
    ];
    let outbox = refusing_nikki();
    let (summary, outcome) = summed(&stream(&records), &ledger, &outbox);
    let error = outcome.unwrap_err();
    assert_eq!((error.retry_from(), error.kind()), (Some(&*sequence(2)), "PublishFailed"));
    assert_eq!((summary.told, summary.messages_failed), (2, 1));
    assert_eq!(summary.retry_from, Some(sequence(2)));

    let again = Outbox::open();
    let (summary, outcome) = summed(&stream(&records[1..]), &ledger, &again);
    outcome.unwrap();
    assert_eq!((summary.incidents, summary.told, summary.held), (3, 1, 2));
    assert_eq!(names(&again), ["nikki"]);
    assert_eq!(again.alerts()[0]["count"], 2);
    assert_eq!((again.alerts()[0]["follow_up"].clone(), summary.retry_from), (Value::Null, None));
}

#[test]
fn a_batch_in_halves_counts_what_it_counted_whole() {
    let ledger = ledger();
    let records: Vec<_> = (1..=8).map(|number| of(number, &["mateo"])).collect();
    // SNS takes nothing; Lambda halves the batch.
    let none = Outbox::new(|_, _| Some(Err(PublishError::Transient("slow".to_owned()))));
    summed(&stream(&records), &ledger, &none).1.unwrap_err();
    let outbox = Outbox::open();
    summed(&stream(&records[..4]), &ledger, &outbox).1.unwrap();
    summed(&stream(&records[4..]), &ledger, &outbox).1.unwrap();
    let rest = [of(9, &["mateo"]), of(10, &["mateo"])];
    summed(&stream(&rest), &ledger, &outbox).1.unwrap();
    let alerts = outbox.alerts();
    assert_eq!(alerts.len(), 2, "{alerts:?}");
    assert_eq!((&alerts[0]["count"], &alerts[0]["follow_up"]["total"]), (&json!(4), &json!(8)));
    let milestone = &alerts[1]["follow_up"];
    assert_eq!(
        (&milestone["causes"], &milestone["total"]),
        (&json!(["10 calls reached"]), &json!(10))
    );
}

#[test]
fn the_same_batch_is_known_by_whichever_trigger_it_comes() {
    let (outbox, ledger) = (Outbox::open(), ledger());
    let payload = pack(&[run_instances("mateo")]);
    summed(&payload, &ledger, &outbox).1.unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let data = payload["awslogs"]["data"].as_str().unwrap().to_owned();
    let (summary, _) = summed(&stream(&[(1, data)]), &ledger, &outbox);
    assert_eq!((summary.held, outbox.alerts().len()), (1, 1));
}

#[test]
fn a_failure_without_a_sequence_number_is_one_of_the_whole_batch() {
    let payload = String::from_utf8(stream(&[of(1, &["nikki"])])).unwrap();
    let payload = payload.replace("sequenceNumber", "number");
    let error = summed(payload.as_bytes(), &ledger(), &refusing_nikki()).1.unwrap_err();
    // An empty identifier says so (Lambda guide, "Configuring partial batch response").
    assert_eq!(error.retry_from(), Some(""));
}

#[test]
fn control_messages_are_nothing_to_judge() {
    let control = packed_control();
    let only = stream(&[(1, control.clone()), (2, control.clone())]);
    let (summary, _) = summed(&only, &ledger(), &Outbox::open());
    assert_eq!((summary.entries, summary.control), (0, true));
    let (summary, _) =
        summed(&stream(&[(1, control), of(2, &["mateo"])]), &ledger(), &Outbox::open());
    assert_eq!((summary.entries, summary.control), (1, false));
}

fn packed_control() -> String {
    let control = crate::samples::payload("control-message");
    let control: Value = serde_json::from_slice(&control).unwrap();
    control["awslogs"]["data"].as_str().unwrap().to_owned()
}

#[test]
fn what_no_trigger_sends_is_named() {
    let fault =
        |payload: Value| Delivery::open(payload.to_string().as_bytes()).unwrap_err().to_string();
    assert!(fault(json!({"Records": []})).contains("S3, SQS or SNS"));
    assert!(fault(json!({"Records": [{"eventSource": "aws:s3", "s3": {}}]})).contains("S3, SQS"));
    assert!(fault(json!({"Records": [7]})).contains("S3, SQS"));
    assert!(fault(json!({"detail": {}})).contains("EventBridge"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However calls are spread over the records of a stream, and whichever of these are damaged: people
    /// hear of those in the others, as if these had come in one batch.
    #[test]
    fn the_records_of_a_stream_are_judged_as_one_batch_of_them(
        records in prop::collection::vec((prop::collection::vec(0..4_usize, 0..6), any::<bool>()), 1..8),
    ) {
        // With unreadable records, as many messages as there may be without a digest.
        let users = ["mateo", "nikki", "zed", "li"];
        let named = |number: usize, calls: &[usize]| {
            let calls = calls.iter().enumerate();
            calls.map(|(n, user)| run_instances(users[*user]).replacen('{', &format!(r#"{{"eventID":"{number}-{n}","#), 1)).collect::<Vec<_>>()
        };
        let (mut whole, mut parts, mut broken) = (Vec::new(), Vec::new(), 0);
        for (number, (calls, is_whole)) in records.iter().enumerate() {
            let messages = named(number, calls);
            let mut data = batch(&messages);
            if *is_whole {
                whole.extend(messages);
            } else {
                broken += 1;
                data.truncate(data.len() / 8 * 4);
            }
            parts.push((number, data));
        }
        let told = |payload: &[u8]| {
            let (outbox, ledger): (_, InMemoryLedger) = (Outbox::open(), ledger());
            let (summary, outcome) = summed(payload, &ledger, &outbox);
            outcome.unwrap();
            let mut told: BTreeMap<String, Value> = BTreeMap::new();
            for alert in outbox.alerts() {
                if alert["kind"] == "incident" {
                    told.insert(alert["id"].to_string(), alert);
                }
            }
            (told, summary.alerts, summary.rejected)
        };
        let (one, alerts, _) = told(&pack(&whole));
        prop_assert!(told(&stream(&parts)) == (one, alerts, broken));
    }
}
