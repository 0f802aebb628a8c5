//! The ledger in a table that several processes of the function share, or cannot reach.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::deliver::run_instances;
use super::function::{Function, Invoked};
use super::http::{self, Response};
use super::moto::{Delivery, Moto, Topic};
use crate::handler::pack;
use crate::samples::payload;

/// The settings of a function that keeps its ledger in this table.
fn settings<'s>(moto: &'s Moto, topic: &'s Topic<'_>, table: &'s str) -> Vec<(&'s str, &'s str)> {
    let mut settings = moto.settings(&topic.arn).to_vec();
    settings.push(("LEDGER_TABLE", table));
    settings
}

/// Calls of one principal in one region, told apart by their first id.
fn calls(id: &str, names: &[&str]) -> Vec<u8> {
    let call = |(number, name): (usize, &&str)| {
        let call = run_instances("mateo", "eu-west-3").replace("RunInstances", name);
        let service = if *name == "StopLogging" { "cloudtrail" } else { "ec2" };
        let call = call.replace("ec2.amazonaws", &format!("{service}.amazonaws"));
        call.replacen('{', &format!(r#"{{"eventID":"{id}-{number}","#), 1)
    };
    pack(&names.iter().enumerate().map(call).collect::<Vec<_>>())
}

/// Incidents told and held, and errors of the ledger.
fn went(invoked: &Invoked) -> (u64, u64, u64) {
    assert!(invoked.outcome.is_ok(), "{}", invoked.line);
    assert_eq!(invoked.metrics["LedgerErrors"], invoked.line["ledger_errors"]);
    let count = |key: &str| invoked.line[key].as_u64().unwrap();
    (count("told"), count("held"), count("ledger_errors"))
}

const TOLD: (u64, u64, u64) = (1, 0, 0);
const HELD: (u64, u64, u64) = (0, 1, 0);
const TOLD_WITHOUT_LEDGER: (u64, u64, u64) = (1, 0, 1);

/// The only item of the table, and what it remembers.
fn only_item(moto: &Moto, table: &str) -> (Value, Value) {
    let items = moto.items(table);
    assert_eq!(items.len(), 1, "{items:?}");
    let memory = serde_json::from_str(items[0]["memory"]["S"].as_str().unwrap()).unwrap();
    (items[0].clone(), memory)
}

#[test]
fn what_one_process_told_the_next_one_holds() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("ledger", Delivery::Raw);
    moto.table("ledger");
    let settings = settings(moto, &topic, "ledger");
    let first = calls("first", &["RunInstances", "RunInstances"]);
    {
        let Some(mut function) = Function::start(&settings) else { return };
        assert_eq!(went(&function.invoke(&first)), TOLD);
    }
    let told = topic.take();
    let (item, memory) = only_item(moto, "ledger");
    assert_eq!(item["id"]["S"], told[0].body["id"]);
    assert_eq!((&memory["total"], &memory["told"]["total"]), (&json!(2), &json!(2)));
    let began: Timestamp = memory["began"].as_str().unwrap().parse().unwrap();
    let kept = (began + SignedDuration::from_hours(25)).as_second();
    assert_eq!(item["expires"]["N"], kept.to_string());

    let Some(mut function) = Function::start(&settings) else { return };
    assert_eq!(went(&function.invoke(&first)), HELD, "a replay that meets another process");
    assert_eq!(only_item(moto, "ledger").1, memory, "which adds nothing");
    assert_eq!(went(&function.invoke(&calls("second", &["RunInstances"]))), HELD);
    assert_eq!(only_item(moto, "ledger").1["total"], 3);
    assert!(topic.take().is_empty());
}

#[test]
fn what_is_new_is_told_by_whichever_process_sees_it() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("ledger-new", Delivery::Raw);
    moto.table("ledger-new");
    let settings = settings(moto, &topic, "ledger-new");
    let Some(mut one) = Function::start(&settings) else { return };
    let Some(mut two) = Function::start(&settings) else { return };
    assert_eq!(went(&one.invoke(&calls("1", &["RunInstances"]))), TOLD);
    assert_eq!(went(&two.invoke(&calls("2", &["RunInstances"]))), HELD);
    assert_eq!(went(&two.invoke(&calls("3", &["StopInstances"]))), TOLD);
    assert_eq!(went(&one.invoke(&calls("4", &["StopInstances"]))), HELD);
    assert_eq!(went(&one.invoke(&calls("5", &["StopLogging"]))), TOLD);

    let follow_ups: Vec<Value> = topic.take().iter().map(|m| m.body["follow_up"].clone()).collect();
    let tampering =
        json!(["watch trail-tampering", "new calls cloudtrail:StopLogging", "graver than high"]);
    let expected = [
        Value::Null,
        json!({"causes": ["new calls ec2:StopInstances"], "held": 1, "total": 3,
            "held_calls": [{"name": "ec2:RunInstances", "count": 1}]}),
        json!({"causes": tampering, "held": 1, "total": 5,
            "held_calls": [{"name": "ec2:StopInstances", "count": 1}]}),
    ];
    assert_eq!(follow_ups, expected);
}

/// One principal, 500 calls of one name in a hundred payloads, which two containers take in turns.
#[test]
fn a_storm_is_told_at_first_and_at_each_milestone() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("ledger-storm", Delivery::Raw);
    moto.table("ledger-storm");
    let settings = settings(moto, &topic, "ledger-storm");
    let Some(mut one) = Function::start(&settings) else { return };
    let Some(mut two) = Function::start(&settings) else { return };
    let payloads: Vec<Vec<u8>> =
        (0..100).map(|n| calls(&format!("storm-{n}"), &["CreateTags"; 5])).collect();
    let mut told = Vec::new();
    for (number, payload) in payloads.iter().enumerate() {
        let function = if number % 2 == 0 { &mut one } else { &mut two };
        if went(&function.invoke(payload)) == TOLD {
            told.push((number + 1) * 5);
        }
    }
    assert_eq!(told, [5, 10, 100]);
    for payload in payloads.iter().rev().take(60) {
        assert_eq!(went(&one.invoke(payload)), HELD, "a replay");
    }
    let messages = topic.take();
    assert_eq!(messages.len(), 3);
    let follow_up = &messages[2].body["follow_up"];
    let expected = json!({"causes": ["100 calls reached"], "held": 85, "total": 100,
        "held_calls": [{"name": "ec2:CreateTags", "count": 85}]});
    assert_eq!(follow_up, &expected);
    assert_eq!(only_item(moto, "ledger-storm").1["total"], 500, "replays add nothing");
}

#[test]
fn every_incident_of_a_flood_is_remembered() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("ledger-flood", Delivery::Raw);
    moto.table("ledger-flood");
    let settings = settings(moto, &topic, "ledger-flood");
    let Some(mut one) = Function::start(&settings) else { return };
    let Some(mut two) = Function::start(&settings) else { return };
    let call = |n: u32| run_instances(&format!("user-{n}"), "eu-west-3");
    let flood = pack(&(0..60).map(call).collect::<Vec<_>>());
    assert_eq!(went(&one.invoke(&flood)), (60, 0, 0));
    assert_eq!(moto.items("ledger-flood").len(), 60);
    assert_eq!(went(&two.invoke(&flood)), (0, 60, 0));
    assert_eq!(topic.take().len(), 25);
}

/// A door to the table at which the first two writes wait for each other. Behind it one write is
/// done after the other, as in DynamoDB. Also the number of writes that were refused.
fn meeting(moto: &'static Moto) -> (String, Arc<AtomicUsize>) {
    let (writes, refused) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let (both, one_by_one, count) = (Barrier::new(2), Mutex::new(()), Arc::clone(&refused));
    let address = http::serve(move |request| {
        if writes.fetch_add(1, Ordering::SeqCst) < 2 {
            both.wait();
        }
        let _alone = one_by_one.lock().unwrap();
        let (succeeded, text) = moto.forward_put_item(&request.body);
        count.fetch_add(usize::from(!succeeded), Ordering::SeqCst);
        Some(Response::new(if succeeded { "200 OK" } else { "400 Bad Request" }, &text))
    });
    (format!("http://{address}"), refused)
}

#[test]
fn two_processes_at_once_lose_no_call_and_tell() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("ledger-at-once", Delivery::Raw);
    moto.table("ledger-at-once");
    let (endpoint, refused) = meeting(moto);
    let mut settings = settings(moto, &topic, "ledger-at-once");
    settings.push(("AWS_ENDPOINT_URL_DYNAMODB", &endpoint));
    let Some(mut one) = Function::start(&settings) else { return };
    let Some(mut two) = Function::start(&settings) else { return };
    one.invoke(&payload("control-message"));
    two.invoke(&payload("control-message"));

    let (one, two) = thread::scope(|threads| {
        let one = threads.spawn(|| went(&one.invoke(&calls("1", &["RunInstances"]))));
        let two = threads.spawn(|| went(&two.invoke(&calls("2", &["RunInstances"; 4]))));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert!(refused.load(Ordering::SeqCst) > 0, "both wrote the item first");
    assert_eq!((one.2, two.2), (0, 0), "no error");
    assert_eq!((one.0 + one.1, two.0 + two.1), (1, 1));
    let told = one.0 + two.0;
    assert!(told >= 1);
    assert_eq!(topic.take().len() as u64, told);
    let memory = only_item(moto, "ledger-at-once").1;
    assert_eq!((&memory["total"], memory["payloads"].as_array().unwrap().len()), (&json!(5), 2));
}

#[test]
fn a_table_that_is_not_there_silences_nothing() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("ledger-missing", Delivery::Raw);
    let settings = settings(moto, &topic, "no-such-table");
    let Some(mut function) = Function::start(&settings) else { return };
    let invoked = function.invoke(&calls("1", &["RunInstances"]));
    assert_eq!(went(&invoked), TOLD_WITHOUT_LEDGER);
    let fault = invoked.line["ledger_fault"].as_str().unwrap();
    for part in ["table no-such-table: ResourceNotFoundException", "create it in the function's"] {
        assert!(fault.contains(part), "{fault}");
    }
    assert_eq!(went(&function.invoke(&calls("1", &["RunInstances"]))), TOLD_WITHOUT_LEDGER);
    assert_eq!(topic.take().len(), 2);
}

#[test]
fn a_table_that_refuses_or_does_not_answer_silences_nothing() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("ledger-faults", Delivery::Raw);
    for (answer, said) in [
        (Some(("400 Bad Request", "AccessDeniedException")), "role needs dynamodb:PutItem"),
        (Some(("400 Bad Request", "ThrottlingException")), "on-demand capacity"),
        (Some(("500 Internal Server Error", "InternalServerError")), "InternalServerError"),
        (None, "no answer in time"),
    ] {
        // Nothing is ever sent through it: who waits for it waits until the test is over.
        let (hold, held) = channel::<()>();
        let held = Mutex::new(held);
        let address = http::serve(move |_| {
            let Some((status, code)) = answer else {
                held.lock().unwrap().recv().unwrap_err();
                return None;
            };
            let body = json!({"__type": code, "message": "words"});
            Some(Response::new(status, &body.to_string()))
        });
        let endpoint = format!("http://{address}");
        let mut settings = settings(moto, &topic, "ledger");
        settings.push(("AWS_ENDPOINT_URL_DYNAMODB", &endpoint));
        let Some(mut function) = Function::start(&settings) else { return };
        let invoked = function.invoke(&calls("1", &["RunInstances"]));
        assert_eq!(went(&invoked), TOLD_WITHOUT_LEDGER, "{said}");
        let fault = invoked.line["ledger_fault"].as_str().unwrap();
        assert!(fault.contains(said), "{fault}");
        drop(hold);
    }
    assert_eq!(topic.take().len(), 4);
}

#[test]
fn an_item_that_nobody_can_read_is_told_and_replaced() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("ledger-garbled", Delivery::Raw);
    moto.table("ledger-garbled");
    let settings = settings(moto, &topic, "ledger-garbled");
    let Some(mut function) = Function::start(&settings) else { return };
    let payload = calls("1", &["RunInstances"]);
    assert_eq!(went(&function.invoke(&payload)), TOLD);
    let (good, memory) = only_item(moto, "ledger-garbled");
    let id = &good["id"];
    for garbled in [
        json!({"id": id}),
        json!({"id": id, "version": {"N": "7"}, "memory": good["memory"]}),
        json!({"id": id, "version": {"S": "v"}}),
        json!({"id": id, "version": {"S": "v"}, "memory": {"S": "{}"}}),
        json!({"id": id, "version": {"S": "v"}, "memory": {"BOOL": true}}),
    ] {
        moto.put_item("ledger-garbled", &garbled);
        assert_eq!(went(&function.invoke(&payload)), TOLD, "{garbled}");
        let mended = only_item(moto, "ledger-garbled").1;
        assert_eq!((&mended["total"], &mended["told"]), (&json!(1), &memory["told"]), "{garbled}");
        assert_eq!(went(&function.invoke(&payload)), HELD);
    }
    moto.delete_item("ledger-garbled", id);
    assert_eq!(went(&function.invoke(&payload)), TOLD, "an item that is gone is told anew");
}

#[test]
fn what_the_shadow_saw_counts_as_told_to_nobody() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("ledger-shadow", Delivery::Raw);
    moto.table("ledger-shadow");
    let mut settings = settings(moto, &topic, "ledger-shadow");
    let payload = calls("1", &["RunInstances"]);
    settings.push(("SHADOW", "true"));
    let Some(mut shadow) = Function::start(&settings) else { return };
    assert_eq!(went(&shadow.invoke(&payload)), TOLD);
    assert_eq!(went(&shadow.invoke(&payload)), HELD);
    let (item, _) = only_item(moto, "ledger-shadow");
    assert!(item["id"]["S"].as_str().unwrap().starts_with("shadow#"), "{item}");
    assert!(topic.take().is_empty());

    settings.pop();
    let Some(mut function) = Function::start(&settings) else { return };
    assert_eq!(went(&function.invoke(&payload)), TOLD);
    assert_eq!(topic.take().len(), 1);
}
