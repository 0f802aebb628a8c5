//! What each kind of subscriber is told, and which messages a filter policy selects.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::deliver::run_instances;
use super::function::Function;
use super::http::{self, Response};
use super::moto::{Delivery, Moto, Topic};
use crate::handler::pack;
use crate::samples::payload;
use crate::schema::assert_valid;

/// A server that subscribes, and the notifications that it is sent. SNS as it is here waits for its
/// answer before it answers the publisher.
fn subscriber() -> (SocketAddr, Receiver<Value>) {
    let (sender, notifications) = channel();
    let address = http::serve(move |request| {
        sender.send(serde_json::from_slice(&request.body).unwrap()).ok();
        Some(Response::new("200 OK", ""))
    });
    (address, notifications)
}

/// The only message that a server was sent.
fn only_message(notifications: &Receiver<Value>) -> Value {
    let notifications: Vec<Value> = notifications.try_iter().collect();
    assert_eq!(notifications.len(), 1, "{notifications:?}");
    assert_eq!(notifications[0]["Type"], "Notification");
    serde_json::from_str(notifications[0]["Message"].as_str().unwrap()).unwrap()
}

#[test]
fn queues_and_servers_get_their_own_renderings() {
    let Some(moto) = Moto::shared() else { return };
    for (https_format, name) in [("json", "servers-json"), ("amazon-q", "servers-amazon-q")] {
        let topic = moto.topic(name, Delivery::Raw);
        let ((http_address, http), (https_address, https)) = (subscriber(), subscriber());
        topic.subscribe_server("http", http_address);
        topic.subscribe_server("https", https_address);
        let mut settings = moto.settings(&topic.arn).to_vec();
        settings.push(("HTTPS_FORMAT", https_format));
        let Some(mut function) = Function::start(&settings) else { return };
        function.invoke(&payload("root")).outcome.unwrap();

        let queued = topic.take().remove(0).body;
        assert_valid(&queued);
        assert_eq!(queued["principal"]["type"], "Root");
        assert_eq!(only_message(&http), queued);
        let https = only_message(&https);
        if https_format == "json" {
            assert_eq!(https, queued);
            continue;
        }
        let (content, metadata) = (&https["content"], &https["metadata"]);
        assert_eq!((&https["version"], &https["source"]), (&json!("1.0"), &json!("custom")));
        assert!(content["title"].as_str().unwrap().starts_with("CRITICAL: root"), "{content}");
        assert_eq!(metadata["threadId"], queued["id"]);
    }
}

/// Who is named in the messages of a queue.
fn names(queue: &Topic<'_>) -> Vec<String> {
    let name = |notification: &Value| -> String {
        let alert: Value = serde_json::from_str(notification["Message"].as_str().unwrap()).unwrap();
        match alert["kind"].as_str().unwrap() {
            "incident" => alert["principal"]["name"].as_str().unwrap().to_owned(),
            kind => kind.to_owned(),
        }
    };
    let mut names: Vec<String> = queue.take().iter().map(|one| name(&one.body)).collect();
    names.sort();
    names
}

#[test]
fn filter_policies_select_by_the_attributes() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("filtered", Delivery::Raw);
    let severe = topic.filtered("filtered-severe", &json!({"severity": ["critical"]}));
    let paris = topic.filtered("filtered-paris", &json!({"region": ["eu-west-3"]}));
    let roots = json!({"principal_type": ["Root"], "outcome": ["success"]});
    let roots = topic.filtered("filtered-roots", &roots);
    let mut settings = moto.settings(&topic.arn).to_vec();
    settings.push(("MAX_MESSAGES", "2"));
    let Some(mut function) = Function::start(&settings) else { return };

    function.invoke(&payload("root")).outcome.unwrap();
    let tokyo = run_instances("tokio", "ap-northeast-1");
    function.invoke(&pack(&[tokyo])).outcome.unwrap();
    let mateo = run_instances("mateo", "eu-west-3");
    function.invoke(&pack(std::slice::from_ref(&mateo))).outcome.unwrap();
    assert_eq!(names(&severe), ["root"]);
    assert_eq!(names(&paris), ["mateo"]);
    assert_eq!(names(&roots), ["root"]);

    // A digest is found by whoever wants any of the incidents in it.
    let regions = ["sa-east-1", "ap-south-1", "eu-west-3"];
    let calls = regions.map(|region| run_instances("nikki", region));
    function.invoke(&pack(&calls)).outcome.unwrap();
    assert_eq!(names(&paris), ["digest"]);
    assert!(names(&severe).is_empty() && names(&roots).is_empty());
}
