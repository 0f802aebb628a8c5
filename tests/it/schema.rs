//! The contract of the JSON alerts, `schema/alert.v1.json`: complete, exact, and kept.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use jsonschema::Validator;
use regionwatch::alert::{Message, VERSION};
use regionwatch::policy::Policy;
use serde_json::{Map, Value, json};

use crate::alert::messages;
use crate::digest::digest_of;
use crate::samples::{names, triaged};

fn schema() -> Value {
    let path = format!("schema/alert.v{VERSION}.json");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What the schema has against an alert.
pub fn faults(alert: &Value) -> Vec<String> {
    static SCHEMA: OnceLock<Validator> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        jsonschema::draft202012::options().should_validate_formats(true).build(&schema()).unwrap()
    });
    if schema.is_valid(alert) {
        return Vec::new();
    }
    let evaluated = schema.iter_errors(alert);
    evaluated.map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
}

/// Stops a test at an alert that is not as the schema says.
pub fn assert_valid(alert: &Value) {
    let faults = faults(alert);
    assert!(faults.is_empty(), "{faults:#?}");
}

/// An alert of each kind.
fn one_of_each_kind() -> [Value; 3] {
    let root = triaged("root", &Policy::embedded().unwrap());
    let digest = Message::new(digest_of(&root.incidents));
    [messages("sensitive-read").remove(0), digest, messages("unreadable").remove(1)]
        .map(|message| serde_json::from_str(&message.json()).unwrap())
}

#[test]
fn alerts_of_every_sample_are_as_the_schema_says() {
    let mut seen = 0;
    for message in names().iter().flat_map(|name| messages(name)) {
        assert_valid(&serde_json::from_str(&message.json()).unwrap());
        seen += 1;
    }
    assert!(seen >= 12, "{seen} alerts");
}

#[test]
fn every_kind_is_as_the_schema_says() {
    let kinds = one_of_each_kind().map(|alert| {
        assert_valid(&alert);
        alert["kind"].as_str().unwrap().to_owned()
    });
    assert_eq!(kinds, ["incident", "digest", "unreadable"]);
}

#[test]
fn a_field_that_is_missing_changed_or_new_is_seen() {
    let mut tried = 0;
    for alert in one_of_each_kind() {
        for place in objects(&alert, "") {
            for name in alert.pointer(&place).unwrap().as_object().unwrap().keys() {
                let seen = |what: &str, change: &dyn Fn(&mut Map<String, Value>)| {
                    let mut changed = alert.clone();
                    change(changed.pointer_mut(&place).unwrap().as_object_mut().unwrap());
                    assert!(!faults(&changed).is_empty(), "{place}/{name} {what} goes unseen");
                };
                seen("missing", &|object| assert!(object.remove(name).is_some()));
                seen("changed", &|object| {
                    assert!(object.insert(name.clone(), json!(1.5)).is_some())
                });
                seen("new", &|object| assert!(object.insert("x".into(), json!(name)).is_none()));
                tried += 1;
            }
        }
    }
    assert!(tried > 80, "{tried} fields");
}

/// Pointers to an object and all objects in it.
fn objects(value: &Value, place: &str) -> Vec<String> {
    let inner = |name: String, value: &Value| objects(value, &format!("{place}/{name}"));
    match value {
        Value::Object(members) => {
            let inside = members.iter().flat_map(|(name, value)| inner(name.clone(), value));
            [place.to_owned()].into_iter().chain(inside).collect()
        }
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .flat_map(|(at, value)| inner(at.to_string(), value))
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_schema_describes_and_requires_every_field_and_allows_no_other() {
    let schema = schema();
    let mut fields = 0;
    for (name, shape) in schema["$defs"].as_object().unwrap() {
        assert!(shape["description"].is_string(), "{name} is not described");
        let Some(properties) = shape["properties"].as_object() else { continue };
        let known: Vec<&String> = properties.keys().collect();
        let mut required: Vec<&str> = shape["required"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        required.sort_unstable();
        assert_eq!(known, required, "{name}");
        assert_eq!(shape["additionalProperties"], false, "{name}");
        for (field, is) in properties {
            assert!(is["description"].is_string(), "{name}.{field} is not described");
            fields += 1;
        }
    }
    assert!(fields > 60, "{fields} fields");
}
