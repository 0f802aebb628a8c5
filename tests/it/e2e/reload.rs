//! The policy from a parameter: taken up, refused, out of reach; and the shadow.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::deliver::run_instances;
use super::function::{Function, Invoked, command};
use super::http::{self, Response};
use super::moto::{Delivery, Moto, Topic};
use super::tools::bootstrap;
use crate::handler::pack;

const EUROPE: &str = "approved_regions = [\"eu-west-3\"]";
const AMERICA: &str = "approved_regions = [\"us-east-1\"]";
const BAD: &str = "# a comment\naproved_regions = [\"eu-west-3\"]";

/// The settings of a function that reads this parameter before every invocation.
fn settings<'s>(moto: &'s Moto, topic: &'s Topic<'_>, name: &'s str) -> Vec<(&'s str, &'s str)> {
    let mut settings = moto.settings(&topic.arn).to_vec();
    settings.extend([("POLICY_PARAMETER", name), ("POLICY_TTL_SECONDS", "0")]);
    settings
}

/// A call in eu-west-3.
fn call_by(user: &str) -> Vec<u8> {
    pack(&[run_instances(user, "eu-west-3")])
}

/// How many alerts there were, and the policy's version and errors.
fn judged(invoked: &Invoked) -> (u64, Option<i64>, u64) {
    assert!(invoked.outcome.is_ok(), "{}", invoked.line);
    let count = |key: &str| invoked.line[key].as_u64().unwrap();
    (count("alerts"), invoked.line["policy_version"].as_i64(), count("policy_errors"))
}

fn messages(lines: &[&Value]) -> Vec<String> {
    lines.iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_new_policy_is_taken_up_without_a_restart() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("taken-up", Delivery::Raw);
    assert_eq!(moto.put_parameter("/taken-up", "String", EUROPE), 1);
    let settings = settings(moto, &topic, "/taken-up");
    let Some(mut function) = Function::start(&settings) else { return };

    let europe = function.invoke(&call_by("mateo"));
    assert_eq!(judged(&europe), (0, Some(1), 0));
    assert_eq!(messages(&europe.at_level("INFO")), ["policy in force"]);
    let same = function.invoke(&call_by("mateo"));
    assert_eq!((judged(&same), same.before.len()), ((0, Some(1), 0), 0));

    moto.put_parameter("/taken-up", "String", AMERICA);
    let america = function.invoke(&call_by("mateo"));
    assert_eq!(judged(&america), (1, Some(2), 0));
    assert_eq!(messages(&america.at_level("INFO")), ["policy in force"]);
    assert_eq!(america.before[0]["policy_version"], 2);
    assert_ne!(europe.line["policy"], america.line["policy"]);
    let told = topic.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].body["policy"], america.line["policy"]);
    assert_eq!(told[0].body["policy_version"], 2);

    moto.put_parameter("/taken-up", "String", EUROPE);
    let back = function.invoke(&call_by("nikki"));
    assert_eq!(judged(&back), (0, Some(3), 0));
    assert_eq!(back.line["policy"], europe.line["policy"], "the same text, the same digest");
}

#[test]
fn a_bad_policy_is_refused_with_one_error_line_until_it_is_mended() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("refused", Delivery::Raw);
    moto.put_parameter("/refused", "String", AMERICA);
    let settings = settings(moto, &topic, "/refused");
    let Some(mut function) = Function::start(&settings) else { return };
    assert_eq!(judged(&function.invoke(&call_by("mateo"))), (1, Some(1), 0));

    moto.put_parameter("/refused", "String", BAD);
    let refused = function.invoke(&call_by("nikki"));
    assert_eq!(judged(&refused), (1, Some(1), 1));
    assert_eq!(refused.line["level"], "INFO", "the invocation went well");
    let errors = refused.at_level("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["parameter"], "/refused");
    assert_eq!(errors[0]["parameter_version"], 2);
    assert!(errors[0]["fault"].as_str().unwrap().contains("/refused:2:1: "), "{}", errors[0]);
    for _ in 0..2 {
        let again = function.invoke(&call_by("nikki"));
        assert_eq!((judged(&again), again.before.len()), ((1, Some(1), 1), 0));
    }

    moto.put_parameter("/refused", "String", EUROPE);
    let mended = function.invoke(&call_by("li"));
    assert_eq!(judged(&mended), (0, Some(3), 0));
    assert!(mended.at_level("ERROR").is_empty());
}

#[test]
fn a_secure_string_is_decrypted() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("secure", Delivery::Raw);
    moto.put_parameter("/secure", "SecureString", EUROPE);
    let settings = settings(moto, &topic, "/secure");
    let Some(mut function) = Function::start(&settings) else { return };
    assert_eq!(judged(&function.invoke(&call_by("mateo"))), (0, Some(1), 0));
}

#[test]
fn a_cold_start_judges_by_the_last_good_version_as_the_warm_ones_do() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("cold", Delivery::Raw);
    for text in [AMERICA, EUROPE, BAD, BAD] {
        moto.put_parameter("/cold", "String", text);
    }
    let settings = settings(moto, &topic, "/cold");
    let Some(mut function) = Function::start(&settings) else { return };
    let cold = function.invoke(&call_by("mateo"));
    assert_eq!(judged(&cold), (0, Some(2), 1));
    let errors = cold.at_level("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["parameter_version"], 4);
    assert_eq!(messages(&cold.at_level("INFO")), ["policy in force"]);
}

#[test]
fn exemptions_that_are_over_are_named_once_and_counted_each_time() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("over", Delivery::Raw);
    let over = "[[exempt]]\nid = \"over\"\nreason = \"r\"\nuntil = 2026-01-31\nservices = [\"x\"]";
    moto.put_parameter("/over", "String", over);
    let settings = settings(moto, &topic, "/over");
    let Some(mut function) = Function::start(&settings) else { return };
    let first = function.invoke(&call_by("mateo"));
    let warnings = first.at_level("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["exemptions"], "over");
    let second = function.invoke(&call_by("mateo"));
    assert!(second.before.is_empty(), "{:?}", second.before);
    for invoked in [first, second] {
        assert_eq!(invoked.line["expired_exemptions"], 1);
    }
}

/// What a parameter store does with a request.
#[derive(Clone, Copy)]
enum Mood {
    Text(&'static str),
    Fault(&'static str, &'static str),
    HangUp,
    /// Then it gives this text.
    HangUpOnce(&'static str),
    Silence,
}

/// A parameter store whose mood changes.
struct Store {
    endpoint: String,
    mood: Arc<Mutex<Mood>>,
    requests: Arc<AtomicUsize>,
    /// While it lasts, silent requests are held open.
    _hold: Sender<()>,
}

impl Store {
    fn start(mood: Mood) -> Self {
        let mood = Arc::new(Mutex::new(mood));
        let requests = Arc::new(AtomicUsize::new(0));
        let (now, count) = (Arc::clone(&mood), Arc::clone(&requests));
        let (hold, held) = channel();
        let held = Mutex::new(held);
        let address = http::serve(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let mut mood = now.lock().unwrap();
            let this_time = *mood;
            if let Mood::HangUpOnce(text) = this_time {
                *mood = Mood::Text(text);
            }
            drop(mood);
            answer(this_time, &held)
        });
        Store { endpoint: format!("http://{address}"), mood, requests, _hold: hold }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Requests since this was last asked.
    fn requests(&self) -> usize {
        self.requests.swap(0, Ordering::SeqCst)
    }
}

fn answer(mood: Mood, held: &Mutex<Receiver<()>>) -> Option<Response> {
    match mood {
        Mood::Text(text) => {
            let parameter = json!({"Name": "/p", "Type": "String", "Value": text, "Version": 7});
            Some(Response::new("200 OK", &json!({ "Parameter": parameter }).to_string()))
        }
        Mood::Fault(status, code) => {
            let body = json!({"__type": code, "message": "words"});
            Some(Response::new(status, &body.to_string()))
        }
        Mood::HangUp | Mood::HangUpOnce(_) => None,
        Mood::Silence => {
            held.lock().unwrap().recv().unwrap_err();
            None
        }
    }
}

#[test]
fn an_outage_changes_nothing_but_the_count() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("outage", Delivery::Raw);
    let store = Store::start(Mood::Text(EUROPE));
    let mut settings = settings(moto, &topic, "/p");
    settings.push(("AWS_ENDPOINT_URL_SSM", &store.endpoint));
    let Some(mut function) = Function::start(&settings) else { return };
    let payload = call_by("mateo");
    let before = function.invoke(&payload);
    assert_eq!(judged(&before), (0, Some(7), 0));

    for (mood, said) in [
        (Mood::Fault("500 Internal Server Error", "InternalServerError"), "InternalServerError"),
        (Mood::Fault("400 Bad Request", "AccessDeniedException"), "ssm:GetParameter"),
        (Mood::HangUp, ""),
        (Mood::Silence, "no answer in time"),
    ] {
        store.is(mood);
        // The function answers while the store is still silent: it does not wait for it.
        let invoked = function.invoke(&payload);
        assert_eq!(judged(&invoked), (0, Some(7), 1), "{said}");
        assert_eq!(invoked.line["policy"], before.line["policy"]);
        let errors = invoked.at_level("ERROR");
        assert_eq!(errors.len(), 1, "{said}: {errors:?}");
        assert_eq!(errors[0]["parameter"], "/p");
        assert!(errors[0]["fault"].as_str().unwrap().contains(said), "{}", errors[0]);
    }
    let again = function.invoke(&payload);
    assert_eq!((judged(&again), again.before.len()), ((0, Some(7), 1), 0));

    store.is(Mood::Text(EUROPE));
    let after = function.invoke(&payload);
    assert_eq!((judged(&after), after.before.len()), ((0, Some(7), 0), 0));
}

#[test]
fn a_connection_that_died_between_two_invocations_is_no_fault() {
    let store = Store::start(Mood::Text(EUROPE));
    let settings = [
        ("TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:alerts"),
        ("POLICY_PARAMETER", "/p"),
        ("POLICY_TTL_SECONDS", "0"),
        ("AWS_ENDPOINT_URL", store.endpoint.as_str()),
    ];
    let Some(mut function) = Function::start(&settings) else { return };
    function.invoke(&call_by("mateo"));
    store.requests();
    store.is(Mood::HangUpOnce(EUROPE));
    let invoked = function.invoke(&call_by("mateo"));
    assert_eq!((judged(&invoked), invoked.before.len()), ((0, Some(7), 0), 0));
    assert_eq!(store.requests(), 2);
}

#[test]
fn the_policy_is_not_read_again_before_its_time() {
    let store = Store::start(Mood::Text(EUROPE));
    let settings = [
        ("TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:alerts"),
        ("POLICY_PARAMETER", "/p"),
        ("AWS_ENDPOINT_URL", store.endpoint.as_str()),
    ];
    let Some(mut function) = Function::start(&settings) else { return };
    for _ in 0..3 {
        assert_eq!(judged(&function.invoke(&call_by("mateo"))), (0, Some(7), 0));
    }
    assert_eq!(store.requests(), 1);
}

/// The one line of a function that cannot start.
fn fault_at_start(settings: &[(&str, &str)]) -> Option<String> {
    let bootstrap = bootstrap()?;
    let runtime_api = TcpListener::bind("127.0.0.1:0").unwrap();
    runtime_api.set_nonblocking(true).unwrap();
    let address = runtime_api.local_addr().unwrap().to_string();
    let output = command(&bootstrap, &address, settings).output().unwrap();
    assert!(!output.status.success());
    assert!(runtime_api.accept().is_err(), "the function asked for an invocation");
    let log = String::from_utf8(output.stdout).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    let line: Value = serde_json::from_str(&log).unwrap();
    assert_eq!(line["level"], "ERROR");
    Some(line["fault"].as_str().unwrap().to_owned())
}

#[test]
fn a_cold_start_without_a_policy_fails_with_one_clear_line() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("no-policy", Delivery::Raw);
    let Some(fault) = fault_at_start(&settings(moto, &topic, "/no/such")) else { return };
    assert!(fault.contains("/no/such could not be read: ParameterNotFound"), "{fault}");

    moto.put_parameter("/only-bad", "String", BAD);
    let Some(fault) = fault_at_start(&settings(moto, &topic, "/only-bad")) else { return };
    assert!(
        fault.contains("version 1 of /only-bad") && fault.contains("/only-bad:2:1: "),
        "{fault}"
    );

    let store = Store::start(Mood::Fault("500 Internal Server Error", "InternalServerError"));
    let mut settings = settings(moto, &topic, "/p");
    settings.push(("AWS_ENDPOINT_URL_SSM", &store.endpoint));
    let Some(fault) = fault_at_start(&settings) else { return };
    assert!(fault.contains("/p could not be read: InternalServerError"), "{fault}");
    assert_eq!(store.requests(), 3, "it is worth some patience");
}

#[test]
fn a_parameter_named_by_arn_is_asked_for_by_arn() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("by-arn", Delivery::Raw);
    moto.put_parameter("/by-arn", "String", EUROPE);
    let arn = "arn:aws:ssm:us-east-1:123456789012:parameter/by-arn";
    let mut settings = settings(moto, &topic, arn);
    // The ARN's region is the one that counts.
    settings.push(("AWS_REGION", "eu-west-1"));
    let Some(mut function) = Function::start(&settings) else { return };
    assert_eq!(judged(&function.invoke(&call_by("mateo"))), (0, Some(1), 0));
}

#[test]
fn a_shadow_publishes_nothing_and_logs_what_it_would_publish() {
    let sns = Store::start(Mood::HangUp);
    let settings = [("SHADOW", "true"), ("AWS_ENDPOINT_URL", sns.endpoint.as_str())];
    let Some(mut function) = Function::start(&settings) else { return };

    let invoked = function.invoke(&call_by("mateo"));
    let summary = invoked.outcome.as_ref().unwrap();
    assert_eq!((&summary["shadow"], &summary["told"]), (&json!(true), &json!(1)));
    assert_eq!(sns.requests(), 0);
    let logged = invoked.before.iter().filter(|line| line["message"] == "would publish");
    let logged: Vec<&Value> = logged.collect();
    assert_eq!(logged.len(), 1, "{:?}", invoked.before);
    assert_eq!(logged[0]["subject"], "[high] mateo called ec2:RunInstances in eu-west-3");
    assert_eq!(logged[0]["attributes"]["severity"], "high");
    assert_eq!(logged[0]["alert"]["kind"], "incident");
    assert_eq!(logged[0]["alert"]["principal"]["name"], "mateo");
    assert_eq!(logged[0]["alert"]["policy"], invoked.line["policy"]);

    let again = function.invoke(&call_by("mateo"));
    assert_eq!((&again.line["held"], again.before.len()), (&json!(1), 0), "the ledger holds it");
}
