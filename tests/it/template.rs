//! The template: the starter policy as a stack writes it, and what each parameter changes. [`alarms`],
//! [`access`] and [`options`] hold the rest; [`stack`] works out what CloudFormation would make of it, and
//! [`pattern`] what CloudWatch Logs would make of a filter pattern.

mod access;
mod alarms;
mod options;
pub mod pattern;
mod stack;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use regionwatch::policy::{Policy, Reason, Severity, Verdict};
use regionwatch::record::Record;
use serde_json::json;

pub use alarms::alarms;
use stack::{LEAST, entries, template};

pub use stack::Stack;

/// The text that CloudFormation would make of these parameters of the stack.
fn starter(approved_regions: &str, log_group: &str) -> String {
    let parameters = [("ApprovedRegions", approved_regions), ("LogGroupName", log_group)];
    let stack = Stack::with(&parameters);
    stack.properties("Policy")["Value"].as_str().unwrap().to_owned()
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
    for (name, expected) in [
        ("/regionwatch/region-watch/policy", by("own-policy", Severity::High)),
        ("/regionwatch/other/policy", approved.clone()),
    ] {
        let put = json!({
            "eventSource": "ssm.amazonaws.com", "eventName": "PutParameter", "readOnly": false,
            "awsRegion": "us-east-1", "requestParameters": {"name": name},
        })
        .to_string();
        assert_eq!(policy.judge(&Record::parse(&put).unwrap(), ""), expected, "{name}");
    }
    assert!(stack_names_itself_as_watched());
    assert_eq!(watched("PutRetentionPolicy"), approved);
    for call in ["DeleteLogGroup", "DeleteSubscriptionFilter", "PutSubscriptionFilter"] {
        assert_eq!(verdict(&policy, call, "aws/trail#12"), approved, "{call}");
    }
}

/// The name of the parameter is written twice, since a resource cannot refer to itself.
fn stack_names_itself_as_watched() -> bool {
    let stack = Stack::with(&[]);
    let policy = stack.properties("Policy");
    let watched = format!("request = {{ name = {} }}", policy["Name"]);
    policy["Value"].as_str().unwrap().contains(&watched)
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
    // 4 KB (Systems Manager guide, "Managing parameter tiers"), with the longest name of a group and of
    // a stack.
    let text = starter("us-east-1,us-west-2,eu-central-1,eu-west-1", &"x".repeat(512));
    let text = text.replace("region-watch", &"x".repeat(128));
    assert!(text.len() <= 4096, "{} bytes", text.len());
}

/// Lambda takes the line of the metrics for INFO, since it has no level (Lambda guide, "Log-level
/// filtering").
#[test]
fn no_log_level_keeps_the_metrics_from_the_log() {
    let levels = &template()["Parameters"]["LogLevel"]["AllowedValues"];
    assert_eq!(*levels, json!(["INFO", "DEBUG"]));
}

#[test]
fn the_ledger_has_the_table_that_the_function_writes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = fs::read_to_string(root.join("src/aws/dynamodb.rs")).unwrap();
    let name = |constant: &str| {
        let (_, name) = code.split_once(&format!("const {constant}: &str = \"")).unwrap();
        name.split('"').next().unwrap().to_owned()
    };
    let stack = Stack::with(&[]);
    let table = stack.properties("LedgerTable");
    let (id, expires) = (name("ID"), name("EXPIRES"));
    let attributes = json!([{"AttributeName": id, "AttributeType": "S"}]);
    assert_eq!(table["AttributeDefinitions"], attributes);
    assert_eq!(table["KeySchema"], json!([{"AttributeName": id, "KeyType": "HASH"}]));
    let expiry = json!({"AttributeName": expires, "Enabled": true});
    assert_eq!(table["TimeToLiveSpecification"], expiry);
    assert_eq!(
        stack.properties("Function")["Environment"]["Variables"]["LEDGER_TABLE"],
        "<LedgerTable>"
    );
}

/// A parameter, a value that is not its default, the resources that change with it (of those that
/// all stacks have, or that come or go), and a value that is refused.
type Row = (&'static str, &'static str, &'static str, &'static str);

const TOPIC: &str = "arn:aws:sns:us-west-2:444455556666:security";
const STREAM: &str = "arn:aws:kinesis:eu-central-1:111122223333:stream/trails";
const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

const PARAMETERS: [Row; 29] = [
    (
        "CreateTrail",
        "true",
        "InvokePermission LostAlarm Policy SubscriptionFilter Trail TrailBucket TrailBucketPolicy TrailLogGroup TrailRole",
        "yes",
    ),
    (
        "LogGroupName",
        "other",
        "InvokePermission LostAlarm Policy SubscriptionFilter",
        "arn:aws:logs",
    ),
    ("TrailDays", "90", "TrailBucket", "89"),
    ("FilterPattern", "{ $.readOnly IS FALSE }", "SubscriptionFilter", "\u{fc}"),
    ("ApprovedRegions", "eu-*", "Policy UnapprovedCallsFilter", "*"),
    ("MetricFilterAlarm", "true", "UnapprovedCallsAlarm UnapprovedCallsFilter", "on"),
    (
        "OrganizationId",
        "o-a1b2c3d4e5",
        "Destination DestinationRole FunctionRole Stream StreamAlarm StreamMapping StreamUndeliveredAlarm",
        "a1b2c3d4e5",
    ),
    (
        "KinesisStreamArn",
        STREAM,
        "FunctionRole StreamAlarm StreamMapping StreamUndeliveredAlarm",
        "trails",
    ),
    (
        "PolicyParameter",
        "/security/regions",
        "Function FunctionRole Policy PolicyAlarm UndeliveredAlarm",
        "name:3",
    ),
    ("PolicyTtlSeconds", "0", "Function", "86401"),
    ("Shadow", "true", "Function", "True"),
    ("AlertEmail", "you@example.com", "EmailSubscription", "you"),
    ("AlertPhone", "+14155550123", "PhoneSubscription", "4155550123"),
    ("TopicArn", TOPIC, "", "arn:aws:sns:us-west-2:444455556666:security.fifo"),
    ("HttpsFormat", "amazon-q", "Function", "slack"),
    ("AlarmTopicArn", TOPIC, "", "security"),
    ("WindowMinutes", "5", "Function", "0"),
    ("Ledger", "memory", "Function FunctionRole LedgerTable", "redis"),
    ("MaxMessages", "2", "Function", "1"),
    ("KmsKey", KEY, "", "alias/regionwatch"),
    (
        "ArchiveAlerts",
        "true",
        "ArchiveAlarm ArchiveBucket ArchiveBucketPolicy ArchiveDatabase ArchiveRole ArchiveStream ArchiveSubscription \
         ArchiveSubscriptionRole ArchiveTable",
        "1",
    ),
    ("ArchiveDays", "30", "ArchiveBucket", "0"),
    ("Dashboard", "false", "DashboardPage", "no"),
    ("SilenceHours", "2", "SilenceAlarm", "25"),
    ("Architecture", "arm64", "Function", "arm"),
    ("MemorySize", "512", "Function", "64"),
    ("ReservedConcurrency", "5", "Function", "0"),
    ("LogLevel", "DEBUG", "Function", "WARN"),
    ("LogRetentionDays", "7", "FunctionLogGroup TrailLogGroup", "8"),
];

/// What stands for a parameter to matter, if that is not so in the least stack.
fn beside(name: &str) -> Vec<(&'static str, &'static str)> {
    match name {
        "TrailDays" | "LogRetentionDays" => vec![("CreateTrail", "true")],
        "ApprovedRegions" => vec![("MetricFilterAlarm", "true")],
        "ArchiveDays" => vec![("ArchiveAlerts", "true")],
        _ => vec![],
    }
}

#[test]
fn every_parameter_changes_what_it_is_for_and_nothing_else() {
    let mut seen = BTreeSet::new();
    for (name, value, expected, _) in PARAMETERS {
        seen.insert(name.to_owned());
        let mut given = beside(name);
        let before = Stack::with(&given);
        given.push((name, value));
        let after = Stack::with(&given);
        let ids: BTreeSet<_> = before.resources.keys().chain(after.resources.keys()).collect();
        let differs = |id: &&&String| before.resources.get(**id) != after.resources.get(**id);
        let changed: Vec<&str> = ids.iter().filter(differs).map(|id| id.as_str()).collect();
        assert!(!changed.is_empty(), "{name} changes nothing");
        // Topics and keys are everywhere; `options` says where.
        if !expected.is_empty() {
            assert_eq!(changed.join(" "), expected, "{name}");
        }
    }
    let all = template();
    assert_eq!(seen, entries(&all["Parameters"]).map(|(name, _)| name.clone()).collect());
}

#[test]
fn every_parameter_is_described_and_refuses_what_it_cannot_use() {
    let all = template();
    for (name, value, _, refused) in PARAMETERS {
        let declared = &all["Parameters"][name];
        let description = declared["Description"].as_str().unwrap();
        assert!(description.len() > 30 && description.ends_with('.'), "{name}: {description}");
        let bounds = ["AllowedValues", "AllowedPattern", "MinValue"];
        assert!(bounds.iter().any(|bound| declared.get(bound).is_some()), "{name} has no bounds");
        let with = |value| Stack::of(&[LEAST.as_slice(), &[(name, value)]].concat());
        assert!(name == "LogGroupName" || with(value).is_ok(), "{name}={value}");
        let said = Stack::of(&[(name, refused)]).err().unwrap();
        assert!(said.starts_with(&format!("{name} must be ")), "{name}={refused}: {said}");
    }
}

#[test]
fn the_console_asks_for_every_parameter_in_a_group_and_by_a_name() {
    let all = template();
    let interface = &all["Metadata"]["AWS::CloudFormation::Interface"];
    let declared: BTreeSet<&str> = entries(&all["Parameters"]).map(|(name, _)| &**name).collect();
    let groups = interface["ParameterGroups"].as_array().unwrap().iter();
    let grouped: Vec<&str> = groups
        .flat_map(|group| group["Parameters"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(grouped.len(), declared.len());
    assert_eq!(grouped.into_iter().collect::<BTreeSet<_>>(), declared);
    let labelled: BTreeSet<&str> =
        entries(&interface["ParameterLabels"]).map(|(name, _)| &**name).collect();
    assert_eq!(labelled, declared);
}

#[test]
fn a_stack_without_a_log_group_says_what_is_missing() {
    let said = Stack::of(&[]).err().unwrap();
    assert!(said.starts_with("LogGroupName is needed"), "{said}");
    assert!(Stack::of(&[("CreateTrail", "true")]).is_ok());
}
