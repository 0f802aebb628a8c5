//! A record of history that is read in one go is what the plain way would have read.
//!
//! Only a record that begins as CloudTrail's do is read so. A space behind its first bracket changes
//! nothing about it, but has it read the plain way.

use regionwatch::record::Record;
use regionwatch::source::{self, Item};

use serde_json::{Value, json};

use crate::corpus::corpus;
use crate::handler::packed;
use crate::skim::{Dice, damaged, record};

/// All that is found in a text, or how it ends.
fn items(text: &[u8]) -> Vec<String> {
    let mut items = Vec::new();
    let read = source::read(text, |item| {
        items.push(match item {
            Item::Record { text, record, owner, .. } => {
                assert_eq!(format!("{record:?}"), format!("{:?}", Record::parse(text)), "{text}");
                format!("{owner} {record:?}")
            }
            Item::Unreadable { raw, .. } => format!("unreadable: {}", plain(raw)),
        });
    });
    items.push(match read {
        Ok(passed_over) => format!("{passed_over} passed over"),
        Err(_) => "damaged".to_owned(),
    });
    items
}

const QUICK: &str = r#"{"eventVersion""#;
const PLAIN: &str = r#"{ "eventVersion""#;

fn plain(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(QUICK, PLAIN)
}

/// How many of the records might be read in one go.
fn compare(records: &[String]) -> usize {
    for text in [format!("{{\"Records\":[{}]}}", records.join(",")), records.join("\n")] {
        assert_eq!(items(text.as_bytes()), items(plain(text.as_bytes()).as_bytes()), "{text}");
    }
    records.iter().filter(|record| record.starts_with(QUICK)).count()
}

#[test]
fn records_odd_and_damaged_are_read_alike() {
    let mut quick = 0;
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let mut records: Vec<String> = (0..8).map(|_| record(&mut dice)).collect();
        if dice.one_in(2) {
            let at = dice.throw(records.len());
            let text = damaged(records[at].as_bytes(), &mut dice);
            records[at] = String::from_utf8_lossy(&text).into_owned();
        }
        quick += compare(&records);
    }
    assert!(quick > 8_000, "only {quick} might be read in one go");
}

/// An object of each dialect with this record in it, as its members.
fn wrapped(record: &Value) -> Vec<Vec<(&'static str, Value)>> {
    let text = record.to_string();
    let entry = json!({"id": "1", "timestamp": 1, "message": text});
    let data = packed(std::slice::from_ref(&entry));
    vec![
        vec![("Records", json!([record])), ("x", json!(1))],
        vec![("Events", json!([{"CloudTrailEvent": text}])), ("NextToken", json!("x"))],
        vec![("events", json!([entry])), ("searchedLogStreams", json!([]))],
        vec![("CloudTrailEvent", json!(text)), ("EventId", json!("1"))],
        vec![("detail-type", json!("x")), ("detail", record.clone()), ("source", json!("aws.ec2"))],
        vec![("awslogs", json!({"data": data})), ("x", json!(null))],
        vec![
            ("kinesis", json!({"data": data, "partitionKey": "1"})),
            ("eventSource", json!("aws:kinesis")),
            ("eventName", json!("aws:kinesis:record")),
            ("awsRegion", json!("us-east-1")),
        ],
        vec![
            ("messageType", json!("DATA_MESSAGE")),
            ("owner", json!("111122223333")),
            ("logGroup", json!("g")),
            ("logStream", json!("s")),
            ("logEvents", json!([entry])),
        ],
        vec![("message", json!(text)), ("id", json!("1")), ("timestamp", json!(1))],
    ]
}

/// Whatever the order of its keys, though it begins as a record does.
#[test]
fn wrappers_are_opened_alike() {
    let record = json!({"eventVersion": "1.11", "eventName": "Wrapped", "eventSource": "s"});
    for seed in 0..200 {
        let mut dice = Dice(seed);
        for mut members in wrapped(&record) {
            for at in (1..members.len()).rev() {
                members.swap(at, dice.throw(at + 1));
            }
            let at = if dice.one_in(2) { 0 } else { dice.throw(members.len() + 1) };
            members.insert(at, ("eventVersion", json!("1.0")));
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            let text = format!("{{{}}}", members.join(","));
            compare(&[text.clone(), text.clone()]);
            let items = items(text.as_bytes());
            assert_eq!(items.len(), 2, "{text}: {items:?}");
            assert!(items[0].contains("\"Wrapped\""), "{text}: {items:?}");
        }
    }
}

#[test]
fn real_records_are_read_alike() {
    for file in ["traildiscover.ndjson", "stratus-red-team.ndjson", "oddities.ndjson"] {
        let Some(text) = corpus(file) else { return };
        for records in text.lines().map(str::to_owned).collect::<Vec<_>>().chunks(50) {
            compare(records);
        }
    }
}

#[test]
fn bytes_that_are_no_text_spoil_only_their_own_record() {
    let sound = br#"{"eventVersion":"1","eventName":"A"}"#;
    let spoiled = b"{\"eventVersion\":\"1\",\"x\":\"\xFF\"}";
    let text = [&b"{\"Records\":["[..], sound, b",", spoiled, b",", sound, b"]}"].concat();
    let items = items(&text);
    assert_eq!(items.len(), 4, "{items:?}");
    assert_eq!(items[0], items[2]);
    assert!(items[1].starts_with("unreadable"), "{items:?}");
}
