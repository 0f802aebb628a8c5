//! Bad input and bad settings: a clear error, nothing lost, and the function lives on.

use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::function::{Function, command};
use super::moto::{Delivery, Moto};
use super::tools::bootstrap;
use crate::samples::payload;

#[test]
fn a_topic_that_does_not_exist_fails_every_attempt_and_confirms_nothing() {
    let Some(moto) = Moto::shared() else { return };
    let topic = "arn:aws:sns:us-east-1:123456789012:no-such-topic";
    let Some(mut function) = Function::start(&moto.settings(topic)) else { return };

    for attempt in 1..=2 {
        let invoked = function.invoke(&payload("root"));
        let fault = invoked.outcome.unwrap_err();
        assert_eq!(fault.kind, "PublishRefused", "attempt {attempt}");
        assert!(fault.message.contains(topic), "{}", fault.message);
        assert!(fault.message.contains("NotFound"), "{}", fault.message);
        let (told, held, failed) = ("told", "held", "messages_failed");
        let line = &invoked.line;
        assert_eq!((&line[told], &line[held], &line[failed]), (&json!(0), &json!(0), &json!(1)));
        assert_eq!((&line["level"], &line["error_type"]), (&json!("ERROR"), &json!(fault.kind)));
        assert_eq!(invoked.metrics["PublishFailures"], 1);
    }
}

#[test]
fn damaged_and_foreign_payloads_are_refused_and_the_next_good_one_is_told() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("damaged", Delivery::Raw);
    let Some(mut function) = Function::start(&moto.settings(&topic.arn)) else { return };

    let bucket = json!({"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": "b"}}}]});
    let cases = [
        (truncated(), "DamagedPayload", "the gzip data ends"),
        (json!({"awslogs": {"data": "*"}}), "DamagedPayload", "is not base64"),
        (wrong_crc(), "DamagedPayload", "incorrect data check"),
        (bucket, "NotASubscription", "S3"),
        (json!({"key1": "value1"}), "NotASubscription", "no `awslogs.data`"),
    ];
    for (payload, kind, part) in &cases {
        let invoked = function.invoke(payload.to_string().as_bytes());
        let fault = invoked.outcome.unwrap_err();
        assert_eq!(fault.kind, *kind, "{}", fault.message);
        assert!(fault.message.contains(part), "{} for {part}", fault.message);
        assert_eq!(invoked.line["error"], fault.message);
        assert_eq!(invoked.line["error_type"], fault.kind);
        assert_eq!(invoked.metrics["Entries"], 0);
    }
    assert!(topic.take().is_empty());

    function.invoke(&payload("root")).outcome.unwrap();
    assert_eq!(topic.take().len(), 1);
}

/// A good payload's data without its last characters.
fn truncated() -> Value {
    let mut data = data();
    data.truncate(data.len() - 8);
    json!({"awslogs": {"data": data}})
}

/// A good payload's data, whose check sum is another's.
fn wrong_crc() -> Value {
    let mut bytes = STANDARD.decode(data()).unwrap();
    let crc = bytes.len() - 8;
    bytes[crc] ^= 1;
    json!({"awslogs": {"data": STANDARD.encode(bytes)}})
}

fn data() -> String {
    let payload: Value = serde_json::from_slice(&payload("root")).unwrap();
    payload["awslogs"]["data"].as_str().unwrap().to_owned()
}

#[test]
fn a_function_with_bad_settings_names_them_all_and_takes_no_invocation() {
    let Some(bootstrap) = bootstrap() else { return };
    let runtime_api = TcpListener::bind("127.0.0.1:0").unwrap();
    runtime_api.set_nonblocking(true).unwrap();
    let address = runtime_api.local_addr().unwrap().to_string();
    let settings = [("APPROVED_REGIONS", "*"), ("MAX_MESSAGES", "x")];

    let output = command(&bootstrap, &address, &settings).output().unwrap();

    assert!(!output.status.success());
    assert!(runtime_api.accept().is_err(), "the function asked for an invocation");
    let log = String::from_utf8(output.stdout).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    let line: Value = serde_json::from_str(&log).unwrap();
    assert_eq!(line["level"], "ERROR");
    for name in ["TOPIC_ARN", "APPROVED_REGIONS", "MAX_MESSAGES"] {
        assert!(line["fault"].as_str().unwrap().contains(name), "{name} in {line}");
    }
}
