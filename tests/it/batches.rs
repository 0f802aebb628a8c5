//! A batch is read the same however it is cut to pieces, and whatever it is made of.
//!
//! Read from memory, a batch passes through the search by blocks; read byte by byte, it never does.
//! Both must come to the same entries, rejects and errors.

use std::io::{self, Read};

use proptest::prelude::*;
use regionwatch::envelope::{LogEntry, each, read_batch};
use serde_json::{Value, json};

use crate::skim::{Dice, damaged};

/// Hands out so many bytes at a time.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let some = self.0.len().min(self.1).min(out.len());
        self.0.read(&mut out[..some])
    }
}

/// All that reading a batch comes to: every entry or reject, whether its message was found at a
/// glance, and the batch or the error.
fn read(batch: &[u8], drip: usize) -> (Vec<(String, bool)>, String) {
    let mut entries = Vec::new();
    let outcome = read_batch(
        || Drip(batch, drip),
        each(|batch, entry| {
            let read = entry.read();
            let glance = entry.message();
            if let (Ok(read), Some(glance)) = (&read, glance) {
                assert_eq!(read.message, glance);
            }
            entries.push((format!("{} {read:?}", batch.owner), glance.is_some()));
        }),
    );
    (entries, format!("{outcome:?}"))
}

/// The messages of an entry: short, long, odd.
fn message(dice: &mut Dice) -> String {
    let piece = [
        "{\"a\":\"b\"}",
        "\\",
        "\"",
        "\\\"",
        "é",
        "\n",
        "abcdefghijklmnopqrstuvwxyz",
        "\u{1F600}",
        "},{\"id\":\"9\",\"message\":\"",
    ];
    let length = [1, 8, 60, 300][dice.throw(4)];
    (0..dice.throw(length + 1)).map(|_| dice.pick(&piece)).collect()
}

/// An entry in one of the dialects.
fn entry(dice: &mut Dice) -> String {
    let message = Value::from(message(dice));
    let id = dice.throw(1000);
    match dice.throw(12) {
        0 => format!(r#"{{"message":{message},"timestamp":1,"id":"{id}"}}"#),
        1 => format!(r#"{{"id":{id},"timestamp":1,"message":{message}}}"#),
        2 => format!("{{ \"id\": \"{id}\",\n\"timestamp\": 1, \"message\": {message} }}"),
        3 => format!(
            r#"{{"id":"{id}","timestamp":1,"message":{message},"extractedFields":{{"a":"}}"}}}}"#
        ),
        4 => format!(r#"{{"id":"{id}","timestamp":1,"m\u0065ssage":{message}}}"#),
        5 => format!(r#"{{"id":"{id}","timestamp":1,"message":{message},"message":{message}}}"#),
        6 => ["7", "null", "[]", "{}", "\"\"", r#"{"id":"1","timestamp":1,"message":7}"#]
            [dice.throw(6)]
        .to_owned(),
        _ => format!(r#"{{"id":"{id:056}","timestamp":17954352{id},"message":{message}}}"#),
    }
}

fn batch(dice: &mut Dice) -> Vec<u8> {
    let header =
        r#""messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"g","logStream":"s""#;
    let entries: Vec<String> = (0..dice.throw(8)).map(|_| entry(dice)).collect();
    let entries =
        format!("\"logEvents\":[{}]", entries.join(if dice.one_in(5) { " ,\n" } else { "," }));
    match dice.throw(4) {
        0 => format!("{{{entries},{header}}}"),
        _ => format!("{{{header},{entries}}}"),
    }
    .into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_boundary_is_a_boundary_of_nothing(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let batch = batch(&mut dice);
        let whole = read(&batch, usize::MAX);
        for drip in [1, 2, 3, 7, 63, 64, 65, 1 + dice.throw(500)] {
            prop_assert_eq!(&read(&batch, drip), &whole, "{} bytes at a time: {}", drip, String::from_utf8_lossy(&batch));
        }
        for _ in 0..10 {
            let damaged = damaged(&batch, &mut dice);
            let whole = read(&damaged, usize::MAX);
            prop_assert_eq!(&read(&damaged, 1), &whole, "{}", String::from_utf8_lossy(&damaged));
        }
    }

    #[test]
    fn a_batch_is_read_as_a_reader_of_json_reads_it(seed in any::<u64>()) {
        let batch = batch(&mut Dice(seed));
        let json: Value = serde_json::from_slice(&batch).unwrap();
        let mut expected = json["logEvents"].as_array().unwrap().iter();
        read_batch(|| &batch[..], each(|_, entry| {
            let expected = expected.next().unwrap();
            if let Ok(entry) = entry.read() {
                assert_eq!(entry.message.unescape().unwrap(), expected["message"].as_str().unwrap());
                assert_eq!(json!(entry.timestamp), expected["timestamp"]);
            } else {
                // No message, or two; of the latter this reader of JSON takes one.
                assert!(!expected["message"].is_string() || !expected["id"].is_null());
            }
        })).unwrap();
        prop_assert!(expected.next().is_none());
    }
}

#[test]
fn what_cloudwatch_logs_writes_is_read_at_a_glance() {
    let glance = |entry: &str| {
        let batch = format!(
            r#"{{"messageType":"DATA_MESSAGE","owner":"","logGroup":"","logStream":"","logEvents":[{entry}]}}"#
        );
        read(batch.as_bytes(), usize::MAX).0.remove(0).1
    };
    assert!(glance(r#"{"id":"39531066","timestamp":1795435200000,"message":"{\"a\":\"é\\\\\"}"}"#));
    assert!(glance(r#"{"id":"","timestamp":1,"message":""}"#));
    assert!(glance(r#"{"id":7,"timestamp":1,"message":"moto"}"#));
    for deviating in [
        r#"{"id":"1","timestamp":1, "message":"a"}"#,
        r#"{"id":"1x","timestamp":1,"message":"a"}"#,
        r#"{"id":01,"timestamp":1,"message":"a"}"#,
        r#"{"id":"1","timestamp":-1,"message":"a"}"#,
        r#"{"id":"1","timestamp":1,"message":"a","message":"b"}"#,
        r#"{"id":"1","timestamp":1,"message":"a","x":1}"#,
        r#"{"id":"1","timestamp":1,"message":["a"]}"#,
        r#"{"timestamp":1,"id":"1","message":"a"}"#,
    ] {
        assert!(!glance(deviating), "{deviating}");
    }
}

#[test]
fn an_entry_that_is_cut_anywhere_is_rejected() {
    let entry = r#"{"id":"1","timestamp":2,"message":"{\"a\":\"\\u0041\"}"}"#;
    assert!(LogEntry::parse(entry.as_bytes()).is_ok());
    for cut in 0..entry.len() {
        assert!(LogEntry::parse(&entry.as_bytes()[..cut]).is_err(), "{cut}");
    }
}
