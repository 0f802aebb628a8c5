//! The template: the starter policy as a stack writes it, the alarms, the ledger's table.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use regionwatch::metrics::Summary;
use regionwatch::policy::{Policy, Reason, Severity, Verdict};
use regionwatch::record::Record;
use serde_json::json;

use crate::metrics::{lines, units};

fn template() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("template.yaml")).unwrap()
}

/// The text that CloudFormation would make of these parameters of the stack.
fn starter(approved_regions: &str, log_group: &str) -> String {
    const INDENTATION: &str = "          ";
    let template = template();
    let (_, value) = template.split_once("      Value: !Sub\n        - |\n").unwrap();
    let (value, variables) = value.split_once("        - Regions: ").unwrap();
    assert!(variables.starts_with(r#"!Join ['", "', !Split [",", !Ref ApprovedRegions]]"#));
    let regions = approved_regions.split(',').collect::<Vec<_>>().join("\", \"");
    let line = |line: &str| format!("{}\n", line.strip_prefix(INDENTATION).unwrap_or_default());
    let text: String = value.lines().map(line).collect();
    let text = text.replace("${Regions}", &regions).replace("${LogGroupName}", log_group);
    assert!(!text.contains("${"), "{text}");
    text
}

fn policy(text: &str) -> Policy {
    Policy::with_user_file("starter", text).unwrap_or_else(|faults| panic!("{faults}\nin\n{text}"))
}

fn verdict(policy: &Policy, call: &str, log_group: &str) -> Verdict {
    let record = json!({
        "eventSource": "logs.amazonaws.com", "eventName": call, "awsRegion": "us-east-1",
        "recipientAccountId": "111122223333", "readOnly": false,
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/mateo"},
        "requestParameters": {"logGroupName": log_group},
    });
    policy.judge(&Record::parse(&record.to_string()).unwrap(), "111122223333")
}

#[test]
fn the_starter_policy_watches_the_log_group_of_the_trail() {
    let policy = policy(&starter("us-east-1,us-west-2", "aws/trail#1"));
    let watched = |call: &str| verdict(&policy, call, "aws/trail#1");
    let by = |id: &str, severity| Verdict::Alert(Reason::Watched(id.into()), severity);
    assert_eq!(watched("DeleteLogGroup"), by("own-log-group", Severity::Critical));
    assert_eq!(watched("DeleteSubscriptionFilter"), by("own-log-group", Severity::Critical));
    assert_eq!(watched("PutSubscriptionFilter"), by("own-subscription", Severity::High));

    let denied = json!({
        "eventSource": "logs.amazonaws.com", "eventName": "DeleteLogGroup",
        "awsRegion": "us-east-1", "errorCode": "AccessDenied", "requestParameters": null,
    })
    .to_string();
    let denied = policy.judge(&Record::parse(&denied).unwrap(), "");
    assert_eq!(denied, by("own-log-group-denied", Severity::High));

    let approved = Verdict::Ignore(Reason::ApprovedRegion);
    assert_eq!(watched("PutRetentionPolicy"), approved);
    for call in ["DeleteLogGroup", "DeleteSubscriptionFilter", "PutSubscriptionFilter"] {
        assert_eq!(verdict(&policy, call, "aws/trail#12"), approved, "{call}");
    }
}

#[test]
fn the_starter_policy_approves_the_regions_of_the_stack() {
    for (given, approved) in [
        ("us-east-1", "us-east-1"),
        ("us-east-1,us-west-2", "us-east-1, us-west-2"),
        ("eu-* , us-gov-west-?", "eu-*, us-gov-west-?"),
    ] {
        let policy = policy(&starter(given, "trail"));
        assert_eq!(policy.approved_for("111122223333").to_string(), approved);
    }
}

#[test]
fn the_examples_in_the_starter_policy_are_rules_that_work() {
    let is_example = |line: &str| line.starts_with('[') || line.contains(" = ");
    let uncommented = |line: &str| match line.strip_prefix("# ") {
        Some(example) if is_example(example) => format!("{example}\n"),
        _ => format!("{line}\n"),
    };
    let text: String = starter("us-east-1", "trail").lines().map(uncommented).collect();
    let policy = policy(&text);
    assert_eq!(policy.account_name("111122223333"), Some("production"));
    assert_eq!(policy.approved_for("111122223333").to_string(), "eu-central-1");
    let day_after: Timestamp = "2027-07-01T00:00:00Z".parse().unwrap();
    assert_eq!(policy.expired(day_after), ["backup-copies"]);
}

#[test]
fn the_starter_policy_fits_a_standard_parameter() {
    // 4 KB (Systems Manager guide, "Managing parameter tiers"), with the longest name of a group.
    let text = starter("us-east-1,us-west-2,eu-central-1,eu-west-1", &"x".repeat(512));
    assert!(text.len() <= 4096, "{} bytes", text.len());
}

/// What rings.
pub struct Alarm {
    /// Behind the stack's name.
    pub name: String,
    pub description: String,
    pub namespace: String,
    pub metric: String,
    dimensions: String,
}

/// The alarms of the template.
pub fn alarms() -> Vec<Alarm> {
    let template = template();
    let (_, resources) = template.split_once("\nResources:\n").unwrap();
    let alarms = resources.split("    Type: AWS::CloudWatch::Alarm\n").skip(1).map(|behind| {
        let (alarm, _) = behind.split_once("\n\n").unwrap();
        let setting = |name: &str| {
            let line = alarm.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
            line.trim_start_matches(':').split('#').next().unwrap().trim().to_owned()
        };
        let (_, description) = alarm.split_once("AlarmDescription: !Sub").unwrap();
        let (description, _) = description.split_once("AlarmActions:").unwrap();
        let text = description.lines().filter(|line| !line.trim().starts_with("- Name:"));
        Alarm {
            name: setting("AlarmName").strip_prefix("!Sub ${AWS::StackName}-").unwrap().to_owned(),
            description: text.collect::<Vec<_>>().join("\n").trim().to_owned(),
            namespace: setting("Namespace"),
            metric: setting("MetricName"),
            dimensions: setting("Dimensions"),
        }
    });
    alarms.collect()
}

#[test]
fn alarms_on_the_functions_own_metrics_watch_what_it_writes_of_every_invocation() {
    let (_, line) = lines(&Summary::default());
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "regionwatch");
    let dimension = directive["Dimensions"][0][0].as_str().unwrap();
    let alarms = alarms();
    assert!(alarms.len() >= 5, "only {} alarms found", alarms.len());
    let (own, lambdas): (Vec<_>, Vec<_>) =
        alarms.iter().partition(|alarm| alarm.namespace == "regionwatch");
    for Alarm { metric, dimensions, .. } in &own {
        assert!(units(&line).contains_key(metric.as_str()), "{metric}");
        assert_eq!(*dimensions, format!("[{{ Name: {dimension}, Value: !Ref Function }}]"));
    }
    assert_eq!(own.len(), 2);
    assert!(lambdas.iter().all(|alarm| alarm.namespace == "AWS/Lambda"));
}

/// Lambda takes the line of the metrics for INFO, since it has no level (Lambda guide, "Log-level
/// filtering").
#[test]
fn no_log_level_keeps_the_metrics_from_the_log() {
    let template = template();
    let (_, level) = template.split_once("\n  LogLevel:\n").unwrap();
    let allowed = level.lines().find_map(|line| line.trim().strip_prefix("AllowedValues: "));
    assert_eq!(allowed, Some("[INFO, DEBUG]"));
}

#[test]
fn the_ledger_has_the_table_that_the_function_writes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = fs::read_to_string(root.join("src/aws/dynamodb.rs")).unwrap();
    let name = |constant: &str| {
        let (_, name) = code.split_once(&format!("const {constant}: &str = \"")).unwrap();
        name.split('"').next().unwrap().to_owned()
    };
    let template = template();
    let (_, table) = template.split_once("  LedgerTable:\n    Type:").unwrap();
    let (id, expires) = (name("ID"), name("EXPIRES"));
    for property in [
        format!("AttributeDefinitions: [{{ AttributeName: {id}, AttributeType: S }}]"),
        format!("KeySchema: [{{ AttributeName: {id}, KeyType: HASH }}]"),
        format!("TimeToLiveSpecification: {{ AttributeName: {expires}, Enabled: true }}"),
    ] {
        assert!(table.contains(&property), "{property}");
    }
}
