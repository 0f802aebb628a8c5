//! The line of an invocation, and the one from which CloudWatch makes metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use jiff::Timestamp;
use jsonschema::Validator;
use proptest::prelude::*;
use regionwatch::metrics::Summary;
use serde_json::{Value, json};

/// A document of CloudWatch's embedded metric format, written from its specification (CloudWatch
/// guide, "Specification: Embedded metric format"), which lets no object but the root have other
/// members.
fn schema() -> Value {
    let name = |longest| json!({"type": "string", "minLength": 1, "maxLength": longest});
    let strict = |properties: Value| {
        json!({"type": "object", "additionalProperties": false,
            "required": properties.as_object().unwrap().keys().collect::<Vec<_>>(),
            "properties": properties})
    };
    let units = [
        "Seconds",
        "Microseconds",
        "Milliseconds",
        "Bytes",
        "Kilobytes",
        "Megabytes",
        "Gigabytes",
        "Terabytes",
        "Bits",
        "Kilobits",
        "Megabits",
        "Gigabits",
        "Terabits",
        "Percent",
        "Count",
        "Bytes/Second",
        "Kilobytes/Second",
        "Megabytes/Second",
        "Gigabytes/Second",
        "Terabytes/Second",
        "Bits/Second",
        "Kilobits/Second",
        "Megabits/Second",
        "Gigabits/Second",
        "Terabits/Second",
        "Count/Second",
        "None",
    ];
    // A unit may be left out there. Here each metric says its own.
    let metric = strict(json!({"Name": name(1024), "Unit": {"enum": units}}));
    let dimensions = json!({"type": "array", "minItems": 1, "maxItems": 30, "items": name(250)});
    let directive = strict(json!({
        "Namespace": {"type": "string", "pattern": "^[^:].*$", "minLength": 1, "maxLength": 1024},
        "Dimensions": {"type": "array", "minItems": 1, "items": dimensions},
        "Metrics": {"type": "array", "minItems": 1, "maxItems": 100, "items": metric},
    }));
    let header = strict(json!({
        "Timestamp": {"type": "integer", "minimum": 0},
        "CloudWatchMetrics": {"type": "array", "minItems": 1, "items": directive},
    }));
    json!({"type": "object", "required": ["_aws"], "properties": {"_aws": header}})
}

/// What the format has against a line.
pub fn faults(line: &Value) -> Vec<String> {
    static SCHEMA: OnceLock<Validator> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| jsonschema::draft202012::new(&schema()).unwrap());
    let mut faults: Vec<String> = schema
        .iter_errors(line)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    faults.extend(missing_targets(line));
    if line.to_string().len() > 1_000_000 {
        faults.push("it is longer than an entry of a log".to_owned());
    }
    faults
}

/// What a directive names must stand beside it: metrics as numbers, dimensions as texts. A schema
/// cannot say that.
fn missing_targets(line: &Value) -> Vec<String> {
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten();
    let (mut faults, mut names) = (Vec::new(), BTreeSet::new());
    for directive in directives {
        for metric in directive["Metrics"].as_array().into_iter().flatten() {
            let name = metric["Name"].as_str().unwrap_or_default();
            if !line[name].is_number() {
                faults.push(format!("metric {name} has no value"));
            }
            if !names.insert(name) {
                faults.push(format!("metric {name} is there twice"));
            }
        }
        let dimensions = directive["Dimensions"].as_array().into_iter().flatten();
        for dimension in dimensions.flat_map(|set| set.as_array().into_iter().flatten()) {
            let value = line[dimension.as_str().unwrap_or_default()].as_str().unwrap_or_default();
            if value.is_empty() || value.len() > 1024 || !value.is_ascii() {
                faults.push(format!("dimension {dimension} has no good value"));
            }
        }
    }
    faults
}

/// A summary that has something in every field, so that none is absent.
pub fn full() -> Summary {
    let by = |reason: &str| BTreeMap::from([(reason.to_owned(), 3)]);
    Summary {
        entries: 9,
        alerts: 3,
        ignored: 3,
        rejected: 3,
        alerts_by: by("watched:trail-tampering"),
        ignored_by: by("exempt:ssm-agent"),
        incidents: 4,
        told: 2,
        held: 1,
        messages: 2,
        messages_failed: 1,
        in_short_digest: vec!["0011223344556677".to_owned()],
        in_short_digest_count: 1001,
        ledger_errors: 5,
        ledger_fault: Some("the ledger failed: down".to_owned()),
        policy: "0123456789ab".to_owned(),
        policy_version: Some(7),
        policy_errors: 1,
        expired_exemptions: 6,
        shadow: true,
        control: false,
        kinesis_records: Some(2),
        retry_from: Some("4967".to_owned()),
        payload_bytes: 10,
        inflated_bytes: 100,
        detection_delay_seconds: Some(300),
        duration_ms: 20,
        error_type: Some("PublishFailed"),
        error: Some("1 of 3 messages were not published".to_owned()),
    }
}

/// The lines of a summary: the invocation's, and the metrics'.
pub fn lines(summary: &Summary) -> (Value, Value) {
    let now = "2026-11-23T12:00:00.5Z".parse().unwrap();
    let (line, metrics) = (summary.line("request", now), summary.metrics_line("regionwatch", now));
    assert!(!line.contains('\n') && !metrics.contains('\n'), "{line}\n{metrics}");
    (serde_json::from_str(&line).unwrap(), serde_json::from_str(&metrics).unwrap())
}

/// The names of the metrics in a line, with their units.
pub fn units(line: &Value) -> BTreeMap<&str, &str> {
    let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
    metrics.iter().map(|m| (m["Name"].as_str().unwrap(), m["Unit"].as_str().unwrap())).collect()
}

/// Any counts, whether or not an invocation can have them.
fn summary() -> impl Strategy<Value = Summary> {
    let counts = prop::array::uniform12(any::<u64>());
    let reasons = prop::collection::btree_map(any::<String>(), any::<u64>(), 0..4);
    let text = prop::option::of(any::<String>());
    (counts, reasons, any::<Option<i64>>(), text, any::<bool>()).prop_map(
        |(counts, reasons, delay, text, failed)| Summary {
            entries: counts[0],
            alerts: counts[1],
            ignored: counts[2],
            rejected: counts[3],
            incidents: counts[4],
            told: counts[5],
            held: counts[6],
            messages_failed: counts[7],
            ledger_errors: counts[8],
            policy_errors: counts[9],
            inflated_bytes: counts[10],
            duration_ms: counts[11],
            alerts_by: reasons,
            detection_delay_seconds: delay,
            error_type: failed.then_some("DamagedPayload"),
            error: failed.then(|| text.clone().unwrap_or_default()),
            ledger_fault: text,
            ..full()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_summary_makes_a_line_in_the_embedded_metric_format(
        summary in summary(), function in "[a-zA-Z0-9_-]{1,64}", seconds in 0_i64..=253_402_207_200,
    ) {
        let line = summary.metrics_line(&function, Timestamp::from_second(seconds).unwrap());
        prop_assert!(!line.contains('\n'));
        let line: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(faults(&line), Vec::<String>::new());
        prop_assert_eq!(&line["_aws"]["Timestamp"], seconds * 1000);
        prop_assert_eq!(&line["FunctionName"], &function);
        prop_assert_eq!(&line["Entries"], summary.entries);
        prop_assert_eq!(line["DetectionDelay"].as_i64(), summary.detection_delay_seconds);
        let told_apart = line.get("message").is_none() && line.get("level").is_none();
        prop_assert!(told_apart, "it passes for another line");
    }

    #[test]
    fn a_failed_invocation_is_an_error_and_says_so(summary in summary()) {
        let (line, _) = lines(&summary);
        prop_assert_eq!(&line["message"], "invocation");
        let level = if summary.error.is_some() { "ERROR" } else { "INFO" };
        prop_assert_eq!(&line["level"], level);
        prop_assert_eq!(line["error"].as_str(), summary.error.as_deref());
        prop_assert_eq!(line["error_type"].as_str(), summary.error_type);
        prop_assert_eq!(&line["duration_ms"], summary.duration_ms);
    }
}

#[test]
fn a_flood_keeps_the_line_short_and_is_counted_whole() {
    let ids: Vec<String> = (0..12_000).map(|n| format!("{n:032x}")).collect();
    let mut summary = Summary::default();
    summary.told_in_short(ids.iter().map(String::as_str));
    let (line, _) = lines(&summary);
    assert_eq!(line["in_short_digest_count"], 12_000);
    assert_eq!(line["in_short_digest"].as_array().unwrap().len(), 1000);
    assert_eq!(line["in_short_digest"][999], ids[999].as_str());
    assert!(line.to_string().len() < 40_000);
}

#[test]
fn a_line_that_is_not_in_the_format_is_seen() {
    let (_, good) = lines(&full());
    assert_eq!(faults(&good), Vec::<String>::new());
    let changed = |place: &str, value: Value| {
        let mut line = good.clone();
        *line.pointer_mut(place).unwrap() = value;
        faults(&line)
    };
    let directive = "/_aws/CloudWatchMetrics/0";
    for (place, value) in [
        ("/Entries", json!(null)),
        ("/Entries", json!("9")),
        ("/FunctionName", json!("")),
        ("/_aws/Timestamp", json!("2026-11-23T12:00:00Z")),
        (&format!("{directive}/Namespace"), json!("")),
        (&format!("{directive}/Dimensions"), json!(["FunctionName"])),
        (&format!("{directive}/Dimensions/0/0"), json!("Account")),
        (&format!("{directive}/Metrics/0/Unit"), json!("count")),
        (&format!("{directive}/Metrics/0/Name"), json!("Alerts")),
        (
            &format!("{directive}/Metrics/0"),
            json!({"Name": "Entries", "Unit": "Count", "Value": 1}),
        ),
        (&format!("{directive}/Metrics"), json!(vec![json!({"Name": "Entries"}); 101])),
    ] {
        assert!(!changed(place, value.clone()).is_empty(), "{place} = {value} goes unseen");
    }
}
