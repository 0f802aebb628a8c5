//! SNS that takes a part of a batch, or nothing, or does not answer: every entry's fate is checked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::function::Function;
use super::http::{self, Request, Response};
use crate::handler::pack;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:alerts";

/// SNS as it answers one request after the other; the ids in each request can be received.
fn sns(answer: fn(usize, &[String]) -> Response) -> (String, Receiver<Vec<String>>) {
    sns_or_none(move |number, ids| Some(answer(number, ids)))
}

/// The same; where it has no answer it closes the connection.
fn sns_or_none(
    answer: impl Fn(usize, &[String]) -> Option<Response> + Send + Sync + 'static,
) -> (String, Receiver<Vec<String>>) {
    let (seen, requests) = channel();
    let count = AtomicUsize::new(0);
    let address = http::serve(move |request| {
        let ids = entry_ids(&request);
        let number = count.fetch_add(1, Ordering::SeqCst);
        seen.send(ids.clone()).ok();
        answer(number, &ids)
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
    answer_of("400 Bad Request", code)
}

fn answer_of(status: &'static str, code: &str) -> Response {
    Response::new(
        status,
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

/// SNS API Reference, "PublishBatch": at most ten messages, and 256 KiB of all of them.
#[test]
fn batches_keep_to_the_limits_of_sns() {
    let (sizes, seen) = channel();
    let address = http::serve(move |request| {
        let ids = entry_ids(&request);
        sizes.send((ids.len(), size(&request))).ok();
        Some(fates(&ids, &[]))
    });
    let Some(mut function) = function(&format!("http://{address}")) else { return };
    let wordy = |user: u32| {
        let names =
            (0..40).map(|n| format!("arn:aws:ec2:eu-west-3::{user}-{n}-{}", "x".repeat(200)));
        let names: Vec<String> = names.collect();
        json!({"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
            "awsRegion": "eu-west-3", "userIdentity": {"arn": format!("arn:{user}")},
            "resources": names.iter().map(|arn| json!({"ARN": arn})).collect::<Vec<_>>()})
        .to_string()
    };
    let brief = |user: u32| wordy(user).replace(&"x".repeat(200), "");
    let calls: Vec<String> = (0..8).map(wordy).chain((8..24).map(brief)).collect();
    assert_eq!(function.invoke(&pack(&calls)).outcome.unwrap()["messages"], 24);
    let batches: Vec<(usize, usize)> = seen.try_iter().collect();
    assert_eq!(batches.iter().map(|(messages, _)| messages).sum::<usize>(), 24);
    assert!(batches.iter().all(|(messages, bytes)| *messages <= 10 && *bytes <= 256 * 1024));
    let fullest = |limit: usize, of: fn(&(usize, usize)) -> usize| {
        batches.iter().map(of).max().is_some_and(|most| most * 10 > limit * 7)
    };
    assert!(fullest(256 * 1024, |batch| batch.1), "{batches:?}: no batch comes near 256 KiB");
    assert!(fullest(10, |batch| batch.0), "{batches:?}: no batch comes near ten messages");
}

/// Bytes of the messages and their attributes in a request of the query protocol.
fn size(request: &Request) -> usize {
    let form = String::from_utf8(request.body.clone()).unwrap();
    let counts = |key: &str| {
        [".Message", ".StringValue", ".DataType", ".Name"].iter().any(|end| key.ends_with(end))
    };
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let values = pairs.filter(|(key, _)| counts(key)).map(|(_, value)| value);
    values.map(|value| value.len() - 2 * value.matches('%').count()).sum()
}

/// What goes wrong with a whole request.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// HTTP 400, as the query protocol has it.
    Throttled,
    /// HTTP 500 or 503.
    Broken(&'static str),
    /// The connection ends without an answer.
    Reset,
    /// HTTP 200 that names no entry at all.
    NothingNamed,
    /// HTTP 200 that says of every entry that it failed.
    EveryEntryFailed,
}

impl Fault {
    fn answer(self, ids: &[String]) -> Option<Response> {
        match self {
            Fault::Throttled => Some(answer_of("400 Bad Request", "Throttling")),
            Fault::Broken(status) => Some(answer_of(status, "InternalFailure")),
            Fault::Reset => None,
            Fault::NothingNamed => Some(fates(&[], &[])),
            Fault::EveryEntryFailed => {
                let failed: Vec<_> = ids.iter().map(|id| (id.as_str(), "InternalError")).collect();
                Some(fates(&[], &failed))
            }
        }
    }
}

const PASSING: [Fault; 6] = [
    Fault::Throttled,
    Fault::Broken("500 Internal Server Error"),
    Fault::Broken("503 Service Unavailable"),
    Fault::Reset,
    Fault::NothingNamed,
    Fault::EveryEntryFailed,
];

#[test]
fn what_passes_is_tried_again_within_the_invocation() {
    thread::scope(|threads| {
        for fault in PASSING {
            threads.spawn(move || {
                let (endpoint, requests) = sns_or_none(move |number, ids| match number {
                    0 => fault.answer(ids),
                    _ => Some(fates(ids, &[])),
                });
                let Some(mut function) = function(&endpoint) else { return };
                let summary = function.invoke(&three_incidents()).outcome.unwrap();
                assert_eq!((&summary["told"], &summary["messages_failed"]), (&json!(3), &json!(0)));
                assert_eq!(requests.try_iter().count(), 2, "{fault:?}");
            });
        }
    });
}

#[test]
fn what_does_not_pass_fails_the_invocation_and_the_replay_tells_everything() {
    thread::scope(|threads| {
        for fault in PASSING {
            threads.spawn(move || {
                let mends = std::sync::Arc::new(AtomicUsize::new(usize::MAX));
                let mended = std::sync::Arc::clone(&mends);
                let (endpoint, requests) = sns_or_none(move |number, ids| {
                    let is_mended = number >= mended.load(Ordering::SeqCst);
                    if is_mended { Some(fates(ids, &[])) } else { fault.answer(ids) }
                });
                let Some(mut function) = function(&endpoint) else { return };
                let failed = function.invoke(&three_incidents());
                let error = failed.outcome.unwrap_err();
                assert_eq!(error.kind, "PublishFailed", "{fault:?}");
                assert!(error.message.contains("3 of 3 messages"), "{fault:?}: {}", error.message);
                let line = &failed.line;
                assert_eq!((&line["told"], &line["messages_failed"]), (&json!(0), &json!(3)));
                let tried = requests.try_iter().count();
                assert!((3..=9).contains(&tried), "{fault:?}: {tried} requests");

                mends.store(0, Ordering::SeqCst);
                let replay = function.invoke(&three_incidents());
                assert_eq!(replay.line["told"], 3, "{fault:?}: {}", replay.line);
            });
        }
    });
}

#[test]
fn a_topic_that_does_not_answer_fails_the_invocation_in_time() {
    // Nothing is ever sent through it: who waits for it waits until the test is over.
    let (hold, held) = channel::<()>();
    let held = Mutex::new(held);
    let (endpoint, _requests) = sns_or_none(move |_, _| {
        held.lock().unwrap().recv().unwrap_err();
        None
    });
    let Some(mut function) = function(&endpoint) else { return };
    let invoked = function.invoke_within(Duration::from_secs(3), &three_incidents());
    let error = invoked.outcome.unwrap_err();
    assert_eq!(error.kind, "PublishFailed");
    assert!(error.message.contains("the invocation's time is up"), "{}", error.message);
    assert_eq!(invoked.line["messages_failed"], 3);
    drop(hold);
}

#[test]
fn what_no_retry_mends_fails_at_once() {
    for (code, cause) in [
        ("AuthorizationError", ""),
        ("NotFound", ""),
        ("InvalidParameter", ""),
        ("KMSAccessDenied", "must allow kms:GenerateDataKey and kms:Decrypt"),
        ("KMSDisabled", "enable it"),
        ("KMSNotFound", "is gone"),
    ] {
        let (endpoint, requests) = sns_or_none(move |_, _| Some(refusal(code)));
        let Some(mut function) = function(&endpoint) else { return };
        let invoked = function.invoke(&three_incidents());
        let error = invoked.outcome.unwrap_err();
        assert_eq!(error.kind, "PublishRefused", "{code}");
        for part in [code, cause, TOPIC] {
            assert!(error.message.contains(part), "{part}: {}", error.message);
        }
        assert_eq!(requests.try_iter().count(), 1, "{code}");
    }
}
