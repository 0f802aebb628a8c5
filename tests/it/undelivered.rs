//! What the on-failure destination kept, unwrapped: every form, forms within forms, and what is none.

use std::io::{self, Read};

use proptest::prelude::*;
use regionwatch::delivery::Delivery;
use regionwatch::undelivered::{Payloads, Undelivered};
use serde_json::{Value, json};

use crate::handler::{Outbox, handle, ledger, pack_entries};
use crate::samples::payload;

/// What Lambda keeps of an invocation that failed (Lambda guide, "Capturing records of Lambda
/// asynchronous invocations").
pub fn invocation_record(payload: &[u8]) -> Value {
    json!({
        "version": "1.0",
        "timestamp": "2026-11-23T12:04:31.221Z",
        "requestContext": {
            "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
            "functionArn": "arn:aws:lambda:us-east-1:111122223333:function:regionwatch:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": serde_json::from_slice::<Value>(payload).unwrap(),
        "responseContext": {
            "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled",
        },
        "responsePayload": {"errorType": "PublishRefused", "errorMessage": "NotFound"},
    })
}

/// The same, of an invocation that was given up at this time.
pub fn given_up_at(time: &str, payload: &[u8]) -> Vec<u8> {
    let mut record = invocation_record(payload);
    record["timestamp"] = json!(time);
    record.to_string().into_bytes()
}

/// As `aws sqs receive-message` prints one.
fn message(body: &Value) -> Value {
    json!({"MessageId": "m-1", "ReceiptHandle": "r", "MD5OfBody": "0", "Body": body.to_string()})
}

fn notification(message: &Value) -> Value {
    json!({"Type": "Notification", "TopicArn": "arn", "Message": message.to_string()})
}

fn found(text: &str) -> Vec<Result<Undelivered, String>> {
    Payloads::new(text.as_bytes()).map(|found| found.map_err(|fault| fault.to_string())).collect()
}

fn only(text: &str) -> Undelivered {
    let mut found = found(text);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).unwrap()
}

fn fault(text: &str) -> String {
    let mut found = found(text);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).unwrap_err()
}

#[test]
fn a_payload_is_found_in_whatever_kept_it() {
    let payload = payload("root");
    let id = Delivery::open(&payload).unwrap().id();
    let bare: Value = serde_json::from_slice(&payload).unwrap();
    let record = invocation_record(&payload);
    for (form, request) in [
        (bare.clone(), false),
        (record.clone(), true),
        (message(&bare), false),
        (message(&record), true),
        (notification(&record), true),
        (message(&notification(&record)), true),
        (json!({"Messages": [message(&notification(&record))]}), true),
    ] {
        for text in [form.to_string(), serde_json::to_string_pretty(&form).unwrap()] {
            let found = only(&text);
            assert_eq!(found.id, id, "{text}");
            assert_eq!(serde_json::from_str::<Value>(&found.payload).unwrap(), bare);
            let expected = request.then_some("e4b46cbf-b738-xmpl-8880-a18cdf61200e");
            assert_eq!(found.request.as_deref(), expected);
        }
    }
}

/// What Lambda keeps of records of a stream (Lambda guide, "Retain discarded batch records for a Kinesis
/// Data Streams event source").
pub fn record_of_stream(payload: &Value) -> Value {
    json!({
        "requestContext": {
            "requestId": "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5",
            "functionArn": "arn:aws:lambda:us-east-1:111122223333:function:regionwatch",
            "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 11,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": ""},
        "version": "1.0",
        "timestamp": "2026-11-23T12:04:31.221Z",
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000000", "startSequenceNumber": "49", "endSequenceNumber": "50",
            "batchSize": 4, "streamArn": "arn:aws:kinesis:us-east-1:111122223333:stream/regionwatch",
        },
        "payload": payload,
    })
}

#[test]
fn records_of_a_stream_are_found_where_they_were_kept_and_are_named_where_not() {
    let payload = payload("kinesis");
    let text = String::from_utf8(payload.clone()).unwrap();
    let bare: Value = serde_json::from_slice(&payload).unwrap();
    let id = Delivery::open(&payload).unwrap().id();
    let kept = record_of_stream(&json!(text));
    for form in [bare.clone(), kept.clone(), record_of_stream(&bare), message(&kept)] {
        let found = only(&form.to_string());
        assert_eq!(found.id, id);
        assert_eq!(serde_json::from_str::<Value>(&found.payload).unwrap(), bare);
    }
    let found = only(&kept.to_string());
    assert_eq!(found.request.as_deref(), Some("c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5"));
    assert_eq!(found.time(1 << 20).unwrap().to_string(), "2026-11-23T12:04:31.221Z");
    // Of the entries in all batches the newest.
    assert_eq!(only(&text).time(1 << 20).unwrap().to_string(), "2026-11-21T18:26:47Z");

    let mut without = record_of_stream(&Value::Null);
    assert!(fault(&message(&without).to_string()).contains("`aws kinesis get-records`"));
    without.as_object_mut().unwrap().remove("payload");
    assert!(fault(&without.to_string()).contains("names records of a stream and holds none"));
}

#[test]
fn the_ledger_knows_the_records_of_a_stream_again() {
    let (payload, ledger, outbox) = (payload("kinesis"), ledger(), Outbox::open());
    let handled = |payload: &[u8]| handle(payload, &ledger, &outbox).0;
    assert_eq!(handled(&payload).told, 4);
    let kept = record_of_stream(&json!(String::from_utf8(payload).unwrap())).to_string();
    let again = handled(only(&kept).payload.as_bytes());
    assert_eq!((again.alerts, again.told, again.held), (8, 0, 4));
}

/// Else the function's ledger would not know that it told a part of it.
#[test]
fn the_ledger_knows_a_payload_again() {
    let (payload, ledger, outbox) = (payload("storm"), ledger(), Outbox::open());
    let handled = |payload: &[u8]| handle(payload, &ledger, &outbox).0;
    assert_eq!(handled(&payload).told, 1);
    // What escapes the same text in another way, as Lambda may.
    let record = invocation_record(&payload).to_string().replace('=', r"\u003d");
    let record = record.replace('/', r"\/");
    let again = handled(only(&record).payload.as_bytes());
    assert_eq!((again.alerts, again.told, again.held), (500, 0, 1));
}

/// Else a run would put a month into one window of the ledger.
#[test]
fn a_payload_has_the_time_at_which_it_was_given_up_or_was_written() {
    const MOST: u64 = 1 << 20;
    let time = |text: &str| only(text).time(MOST).map(|time| time.to_string());
    let given_up = "2026-11-05T12:04:31.221Z";
    let entries = |times: &[Value]| {
        let entry = |time| json!({"id": "1", "timestamp": time, "message": "{}"});
        pack_entries(&times.iter().map(entry).collect::<Vec<_>>())
    };
    // Entries need not be in the order of time.
    let payload = entries(&[json!(1_795_000_000_000_i64), json!(1_795_000_000_001_i64), json!(7)]);
    let (record, bare) = (given_up_at(given_up, &payload), String::from_utf8(payload).unwrap());
    let record: Value = serde_json::from_slice(&record).unwrap();
    for form in [record.clone(), message(&notification(&record))] {
        assert_eq!(time(&form.to_string()).as_deref(), Some(given_up));
    }
    let newest = Some("2026-11-18T11:06:40.001Z".to_owned());
    assert_eq!(time(&bare), newest);
    for odd in [json!(null), json!(1), json!("yesterday")] {
        let mut record = record.clone();
        record["timestamp"] = odd;
        assert_eq!(time(&record.to_string()), newest, "{record}");
    }
    assert_eq!(only(&bare).time(10), None, "it is too large to be read");
    for none in [vec![], vec![json!(null)], vec![json!(i64::MAX)]] {
        assert_eq!(time(std::str::from_utf8(&entries(&none)).unwrap()), None, "{none:?}");
    }
}

#[test]
fn forms_follow_each_other_and_what_is_none_stops_nothing() {
    let payload = payload("root");
    let record = invocation_record(&payload);
    let bare = String::from_utf8(payload.clone()).unwrap();
    let pretty = serde_json::to_string_pretty(&record).unwrap();
    let list = json!({"Messages": [message(&record), {"Body": "gone"}, message(&record)]});
    let cut = &record.to_string()[..100];
    let text = format!("{bare}\n{cut}\n{pretty}\n<p>\n\n{{\n{record}{record}\nend\n{list}\n[");
    let found = found(&text);
    let summary: Vec<&str> = found
        .iter()
        .map(|found| match found {
            Ok(_) => "payload",
            Err(fault) => fault.split(" in ").next().unwrap(),
        })
        .collect();
    let none = "no JSON object";
    let body = "the `Body` of the message is no JSON object";
    assert_eq!(
        summary,
        [
            "payload", none, "payload", none, "payload", "payload", none, "payload", body,
            "payload", none
        ],
        "{found:?}"
    );
}

#[test]
fn a_fault_says_what_something_is_instead() {
    let record = |member: &str, value: Value| {
        let mut record = invocation_record(&payload("root"));
        record[member] = value;
        record.to_string()
    };
    let succeeded = json!({"requestId": "r", "condition": "Success"});
    let deep = (0..5).fold(json!({}), |inner, _| message(&inner));
    let mut without = invocation_record(&payload("root"));
    without.as_object_mut().unwrap().remove("requestPayload");
    let cases = [
        ("\u{1f}\u{8b}", "no JSON object in 1 line from byte 0 on: it is no form that Lambda"),
        (
            "<html>\n</html>\n",
            "no JSON object in 2 lines from byte 0 on: it looks like XML or HTML",
        ),
        (" [\n]", "no JSON object in 2 lines from byte 1 on: it is a list"),
        ("\u{feff}{}", "it begins with a byte order mark, save it without"),
        ("{\"awslogs\":{\"data\":", "it is damaged, too large, or only a part"),
        ("{}", "the payload has no `awslogs.data` string: it is not from a CloudWatch Logs"),
        ("{\"awslogs\":{}}", "`awslogs` is there without it"),
        ("{\"Records\":[]}", "it looks like an S3, SQS or SNS trigger"),
        ("{\"Body\":1,\"Body\":2}", "it is no JSON object, or has a key twice"),
        (&record("requestPayload", json!({"detail": {}})), "it looks like an EventBridge event"),
        (&record("requestPayload", json!("text")), "it is no JSON object"),
        (&record("requestContext", succeeded), "it is an invocation record of an invocation that"),
        (&without.to_string(), "it is an invocation record without a `requestPayload`"),
        ("{\"Messages\":{}}", "its `Messages` are no list"),
        ("{\"Body\":7}", "the `Body` of the message is no JSON object"),
        ("{\"Body\":\"[]\"}", "the `Body` of the message is no JSON object"),
        ("{\"Body\":\"{\"}", "the `Body` of the message is no JSON object"),
        ("{\"Type\":\"Notification\",\"Message\":\"x\"}", "the `Message` of the notification is"),
        (&deep.to_string(), "it is nested more deeply than anybody nests it"),
    ];
    for (text, expected) in cases {
        let fault = fault(text);
        assert!(fault.contains(expected), "{fault} for {text}");
    }
    let gzipped: &[u8] = &[0x1F, 0x8B, 8, 0];
    let fault = Payloads::new(gzipped).next().unwrap().unwrap_err().to_string();
    assert!(fault.ends_with("it is gzip data, unpack it first"), "{fault}");
    assert!(found("").is_empty() && found(" \n\n").is_empty());
}

/// Fails where a disk would.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the disk is gone")),
            read => Ok(read),
        }
    }
}

#[test]
fn what_was_read_before_the_disk_failed_counts() {
    let record = invocation_record(&payload("root")).to_string();
    let mut found = Payloads::new(Broken(record.as_bytes()));
    assert!(found.next().unwrap().is_ok());
    assert_eq!(found.next().unwrap().unwrap_err().to_string(), "the disk is gone");
    assert!(found.next().is_none());
}

proptest! {
    /// Whatever the data is, and however it is wrapped, the payload comes out as it went in.
    #[test]
    fn unwrapping_undoes_wrapping(
        data in any::<String>(),
        wraps in prop::collection::vec((0..3_u8, any::<bool>()), 0..4),
        times in 1..4_usize,
    ) {
        let payload = json!({"awslogs": {"data": data}});
        let id = Delivery::open(payload.to_string().as_bytes()).unwrap().id();
        let mut form = invocation_record(payload.to_string().as_bytes());
        let mut pretty = false;
        for (kind, is_pretty) in wraps {
            form = match kind {
                0 => message(&form),
                1 => notification(&form),
                _ => json!({"Messages": [form]}),
            };
            pretty = is_pretty;
        }
        let text = if pretty { serde_json::to_string_pretty(&form).unwrap() } else { form.to_string() };
        let text = vec![text; times].join("\n");
        let found = found(&text);
        prop_assert_eq!(found.len(), times);
        for found in found {
            let found = found.unwrap();
            prop_assert_eq!(&found.id, &id);
            prop_assert_eq!(serde_json::from_str::<Value>(&found.payload).unwrap(), payload.clone());
        }
    }

    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Payloads::new(bytes.as_slice()).count() <= bytes.len());
    }
}
