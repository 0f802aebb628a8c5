//! The alarms of the template, and its dashboard.

use std::collections::BTreeSet;

use regionwatch::metrics::Summary;
use serde_json::{Value, json};

use super::stack::Stack;
use crate::metrics::{full, lines, units};

/// What rings.
pub struct Alarm {
    /// Behind the stack's name.
    pub name: String,
    pub description: String,
    pub namespace: String,
    pub metric: String,
    properties: Value,
}

/// The alarms of a stack that has all.
pub fn alarms() -> Vec<Alarm> {
    let stack = Stack::with(&[
        ("MetricFilterAlarm", "true"),
        ("ArchiveAlerts", "true"),
        ("OrganizationId", "o-a1b2c3d4e5"),
    ]);
    let alarms = stack.of_type("AWS::CloudWatch::Alarm").into_iter().map(|(_, properties)| {
        let text = |name: &str| properties[name].as_str().unwrap().to_owned();
        let properties = properties.clone();
        Alarm {
            name: text("AlarmName").strip_prefix("region-watch-").unwrap().to_owned(),
            description: text("AlarmDescription"),
            namespace: text("Namespace").replace("region-watch", "STACK"),
            metric: text("MetricName"),
            properties,
        }
    });
    alarms.collect()
}

#[test]
fn alarms_on_the_functions_own_metrics_watch_what_it_writes() {
    let (_, line) = lines(&full());
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "regionwatch");
    let dimension = directive["Dimensions"][0][0].as_str().unwrap();
    let mut own = Vec::new();
    for Alarm { namespace, metric, properties, .. } in alarms() {
        match namespace.as_str() {
            "regionwatch" => {
                assert!(units(&line).contains_key(metric.as_str()), "{metric}");
                own.push(metric.clone());
            }
            "AWS/Lambda" => {}
            "regionwatch/STACK" | "AWS/Firehose" => continue,
            other => panic!("an alarm on {other}"),
        }
        let dimensions = match metric.as_str() {
            "OnFailureDestinationDeliveredEventCount" => {
                json!([{"Name": "EventSourceMappingUUID", "Value": "<StreamMapping>"}])
            }
            _ => json!([{"Name": dimension, "Value": "<Function>"}]),
        };
        assert_eq!(properties["Dimensions"], dimensions);
    }
    own.sort_unstable();
    let expected =
        ["DetectionDelay", "LedgerErrors", "PolicyErrors", "PublishFailures", "Rejected"];
    assert_eq!(own, expected);
    // A metric that is not always written cannot ring by being missing.
    let (_, least) = lines(&Summary::default());
    assert!(!units(&least).contains_key("DetectionDelay"));
}

#[test]
fn every_loss_of_the_function_rings() {
    let lambdas: BTreeSet<String> = alarms()
        .into_iter()
        .filter(|alarm| alarm.namespace == "AWS/Lambda")
        .map(|alarm| alarm.metric)
        .collect();
    let expected = [
        "AsyncEventsDropped",
        "DestinationDeliveryFailures",
        "Errors",
        "Invocations",
        "IteratorAge",
        "OnFailureDestinationDeliveredEventCount",
        "Throttles",
    ];
    assert_eq!(lambdas, expected.map(str::to_owned).into());
}

#[test]
fn silence_alone_rings_when_there_is_no_data() {
    for Alarm { name, properties, .. } in alarms() {
        let missing = if name == "silence" { "breaching" } else { "notBreaching" };
        assert_eq!(properties["TreatMissingData"], missing, "{name}");
        assert_eq!(properties.get("OKActions").is_some(), name == "silence", "{name}");
    }
    let stack = Stack::with(&[("SilenceHours", "3")]);
    let silence = stack.properties("SilenceAlarm");
    let rule = ["Statistic", "Period", "EvaluationPeriods", "Threshold", "ComparisonOperator"];
    let rule: Vec<Value> = rule.iter().map(|part| silence[*part].clone()).collect();
    assert_eq!(json!(rule), json!(["Sum", 3600, "3", 1, "LessThanThreshold"]));
}

/// What does not harm at once must go on before it rings: three periods, or two of an hour's four.
#[test]
fn what_mends_itself_rings_only_when_it_goes_on() {
    for Alarm { name, properties, .. } in alarms() {
        let goes_on = ["throttles", "publish", "rejected", "delay", "archive", "stream"];
        let periods = properties["EvaluationPeriods"].as_i64().unwrap_or(i64::MAX);
        assert_eq!(periods > 1, goes_on.contains(&&*name) || name == "silence", "{name}");
    }
}

#[test]
fn alarms_ring_at_the_topic_that_was_given_and_may_publish_there() {
    const OWN: &str = "arn:aws:sns:eu-central-1:111122223333:AlertTopic";
    const OPERATIONS: &str = "arn:aws:sns:eu-central-1:111122223333:operations";
    let second_path = ("MetricFilterAlarm", "true");
    for (parameters, topic) in [
        (vec![second_path], OWN),
        (vec![second_path, ("AlarmTopicArn", OPERATIONS)], OPERATIONS),
        (vec![second_path, ("TopicArn", OPERATIONS)], OPERATIONS),
    ] {
        let stack = Stack::with(&parameters);
        for (id, alarm) in stack.of_type("AWS::CloudWatch::Alarm") {
            // It tells of calls, as alerts do.
            let is_alert =
                id == "UnapprovedCallsAlarm" && parameters[1..] == [("AlarmTopicArn", OPERATIONS)];
            let expected = if is_alert { OWN } else { topic };
            assert_eq!(alarm["AlarmActions"], json!([expected]), "{id}");
            assert!(alarm["AlarmName"].as_str().unwrap().starts_with("region-watch-"), "{id}");
        }
        let notice = stack.properties("UndeliveredBucket").get("NotificationConfiguration");
        let expected = json!({"TopicConfigurations": [
            {"Event": "s3:ObjectCreated:*", "Topic": OWN}]});
        assert_eq!(notice, (topic == OWN).then_some(&expected));
    }
}

#[test]
fn the_dashboard_shows_every_alarm_and_metrics_that_there_are() {
    let stack = Stack::with(&[]);
    let body = stack.properties("DashboardPage")["DashboardBody"].as_str().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let widgets = body["widgets"].as_array().unwrap();
    let shown = widgets[0]["properties"]["alarms"].as_array().unwrap();
    let shown: BTreeSet<&str> = shown.iter().map(|alarm| alarm.as_str().unwrap()).collect();
    let alarms = stack.of_type("AWS::CloudWatch::Alarm");
    let arns: Vec<String> = alarms.iter().map(|(id, _)| format!("<{id}.Arn>")).collect();
    assert_eq!(shown, arns.iter().map(String::as_str).collect());
    assert_eq!(shown.len(), 10, "see what they cost in docs/deploy.md and the README");

    let (_, line) = lines(&full());
    let (own, mut namespace, mut seen) = (units(&line), String::new(), 0);
    for widget in &widgets[1..] {
        for metric in widget["properties"]["metrics"].as_array().unwrap() {
            let given = metric[0].as_str().unwrap();
            if given == "..." {
                continue;
            }
            if given != "." {
                given.clone_into(&mut namespace);
            }
            let name = metric[1].as_str().unwrap();
            let known = if namespace == "regionwatch" {
                own.contains_key(name)
            } else {
                ["Errors", "Throttles", "AsyncEventsDropped", "Invocations"].contains(&name)
            };
            assert!(known, "{namespace} has no {name}");
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} metrics found");
}
