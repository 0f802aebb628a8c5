//! SNS that takes a part of a batch, or nothing: every entry's fate is checked.

use std::sync::mpsc::{Receiver, channel};

use serde_json::json;

use super::function::Function;
use super::http::{self, Request, Response};
use crate::handler::pack;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:alerts";

/// SNS as it answers one request after the other; the ids in each request can be received.
fn sns(answer: fn(usize, &[String]) -> Response) -> (String, Receiver<Vec<String>>) {
    let (seen, requests) = channel();
    let count = std::sync::atomic::AtomicUsize::new(0);
    let address = http::serve(move |request| {
        let ids = entry_ids(&request);
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let response = answer(number, &ids);
        seen.send(ids).ok();
        Some(response)
    });
    (format!("http://{address}"), requests)
}

/// The ids of the entries in a request of the query protocol.
fn entry_ids(request: &Request) -> Vec<String> {
    let form = String::from_utf8(request.body.clone()).unwrap();
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| key.ends_with(".Id")).map(|(_, id)| id.to_owned()).collect()
}

/// What `PublishBatch` answers with HTTP 200.
fn fates(accepted: &[String], failed: &[(&str, &str)]) -> Response {
    let accepted: String = accepted
        .iter()
        .map(|id| format!("<member><Id>{id}</Id><MessageId>x</MessageId></member>"))
        .collect();
    let failed: String = failed
        .iter()
        .map(|(id, code)| {
            format!(
                "<member><Id>{id}</Id><Code>{code}</Code><Message>words</Message>\
                 <SenderFault>false</SenderFault></member>"
            )
        })
        .collect();
    Response::new(
        "200 OK",
        &format!(
            "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
             <PublishBatchResult><Successful>{accepted}</Successful><Failed>{failed}</Failed>\
             </PublishBatchResult></PublishBatchResponse>"
        ),
    )
}

fn refusal(code: &str) -> Response {
    Response::new(
        "400 Bad Request",
        &format!(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error>\
             <Type>Sender</Type><Code>{code}</Code><Message>words</Message></Error></ErrorResponse>"
        ),
    )
}

/// A payload with three incidents.
fn three_incidents() -> Vec<u8> {
    let by = |user| {
        json!({"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
            "awsRegion": "eu-west-3", "userIdentity": {"arn": format!("arn:{user}")}})
        .to_string()
    };
    pack(&["a", "b", "c"].map(by))
}

fn function(endpoint: &str) -> Option<Function> {
    Function::start(&[("TOPIC_ARN", TOPIC), ("AWS_ENDPOINT_URL", endpoint)])
}

#[test]
fn what_failed_and_what_is_not_mentioned_is_sent_again() {
    let (endpoint, requests) = sns(|number, ids| match number {
        0 => fates(&ids[..1], &[(&ids[1], "InternalError")]),
        _ => fates(ids, &[]),
    });
    let Some(mut function) = function(&endpoint) else { return };
    let invoked = function.invoke(&three_incidents());
    assert_eq!(invoked.outcome.unwrap()["told"], 3);
    let requests: Vec<_> = requests.try_iter().collect();
    assert_eq!(requests, [vec!["m0", "m1", "m2"], vec!["m1", "m2"]]);
}

#[test]
fn what_fails_again_and_again_fails_the_invocation_and_the_replay_tells_the_rest() {
    let (endpoint, requests) = sns(|number, ids| match number {
        0..3 => fates(&ids[..ids.len() - 1], &[(&ids[ids.len() - 1], "ThrottledException")]),
        _ => fates(ids, &[]),
    });
    let Some(mut function) = function(&endpoint) else { return };
    let invoked = function.invoke(&three_incidents());
    let fault = invoked.outcome.unwrap_err();
    assert_eq!(fault.kind, "PublishFailed");
    assert!(fault.message.contains("1 of 3 messages were not published"), "{}", fault.message);
    assert_eq!((&invoked.line["told"], &invoked.line["messages_failed"]), (&json!(2), &json!(1)));
    assert_eq!(requests.try_iter().count(), 3);

    let replay = function.invoke(&three_incidents());
    assert_eq!((&replay.line["told"], &replay.line["held"]), (&json!(1), &json!(2)));
}

#[test]
fn a_key_that_refuses_is_named_and_not_tried_again() {
    let (endpoint, requests) = sns(|_, _| refusal("KMSAccessDenied"));
    let Some(mut function) = function(&endpoint) else { return };
    let fault = function.invoke(&three_incidents()).outcome.unwrap_err();
    assert_eq!(fault.kind, "PublishRefused");
    assert!(fault.message.contains("kms:GenerateDataKey"), "{}", fault.message);
    assert_eq!(requests.try_iter().count(), 1);
}
