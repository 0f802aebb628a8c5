//! What is optional, and in which combinations: the trail, the second path, the key, the archive; and what
//! `docs/deploy.md` says of it.

use std::fs;
use std::path::Path;

use regionwatch::ledger::MOST_BATCHES;
use regionwatch::policy::{Policy, Reason, Severity, Verdict};
use regionwatch::record::Record;
use serde_json::{Value, json};

use super::pattern::matches;
use super::stack::{Stack, entries, template};
use super::{KEY, STREAM, TOPIC};

/// Each two choices with each other. A resource that refers to one that is not there fails here.
#[test]
fn every_two_choices_go_together() {
    const CHOICES: [(&str, &str); 15] = [
        ("CreateTrail", "true"),
        ("LogGroupName", "mine"),
        ("MetricFilterAlarm", "true"),
        ("KmsKey", "create"),
        ("KmsKey", KEY),
        ("ArchiveAlerts", "true"),
        ("TopicArn", TOPIC),
        ("AlarmTopicArn", TOPIC),
        ("PolicyParameter", "/security/regions"),
        ("Ledger", "memory"),
        ("Dashboard", "false"),
        ("AlertEmail", "you@example.com"),
        ("AlertPhone", "+14155550123"),
        ("OrganizationId", "o-a1b2c3d4e5"),
        ("KinesisStreamArn", STREAM),
    ];
    // Two streams are one too many.
    let together = |one: &str, other: &str| {
        one != other && (one, other) != ("OrganizationId", "KinesisStreamArn")
    };
    let mut tried = 0;
    for (at, one) in CHOICES.into_iter().enumerate() {
        for other in CHOICES.into_iter().skip(at + 1).filter(|other| together(one.0, other.0)) {
            let stack = Stack::with(&[one, other]);
            let has = |id: &str| stack.resources.contains_key(id);
            let chosen = |name: &str| [one, other].into_iter().find(|given| given.0 == name);
            assert_eq!(has("AlertTopic"), chosen("TopicArn").is_none());
            assert_eq!(has("Trail"), chosen("CreateTrail").is_some());
            assert_eq!(has("Key"), chosen("KmsKey").is_some_and(|key| key.1 == "create"));
            assert_eq!(has("ArchiveStream"), chosen("ArchiveAlerts").is_some());
            assert_eq!(has("LedgerTable"), chosen("Ledger").is_none());
            assert_eq!(has("Stream"), chosen("OrganizationId").is_some());
            assert!(stack.outputs.len() >= 10, "{:?}", stack.outputs.keys());
            tried += 1;
        }
    }
    assert_eq!(tried, 103);
}

#[test]
fn a_created_trail_sees_every_region_and_feeds_the_function() {
    let stack = Stack::of(&[("CreateTrail", "true")]).unwrap();
    let trail = stack.properties("Trail");
    for on in
        ["IsLogging", "IsMultiRegionTrail", "IncludeGlobalServiceEvents", "EnableLogFileValidation"]
    {
        assert_eq!(trail[on], true, "{on}");
    }
    let selectors = json!([{"ReadWriteType": "All", "IncludeManagementEvents": true}]);
    assert_eq!(trail["EventSelectors"], selectors);
    assert_eq!(trail["CloudWatchLogsLogGroupArn"], "<TrailLogGroup.Arn>");
    assert_eq!(trail["S3BucketName"], "<TrailBucket>");
    assert_eq!(stack.resources["Trail"]["DependsOn"], "TrailBucketPolicy");
    let versions = &stack.properties("TrailBucket")["VersioningConfiguration"];
    assert_eq!(*versions, json!({"Status": "Enabled"}));

    let group = "/regionwatch/region-watch/trail";
    assert_eq!(stack.properties("TrailLogGroup")["LogGroupName"], group);
    assert_eq!(stack.properties("SubscriptionFilter")["LogGroupName"], group);
    assert_eq!(stack.outputs["TrailLogGroup"]["Value"], group);
    let policy = stack.properties("Policy")["Value"].as_str().unwrap();
    assert!(policy.contains(&format!("logGroupName = \"{group}\"")), "{policy}");

    let named = Stack::with(&[("CreateTrail", "true"), ("LogGroupName", "mine")]);
    assert_eq!(named.properties("TrailLogGroup")["LogGroupName"], "mine");
    let bucket = &named.properties("TrailBucketPolicy")["PolicyDocument"]["Statement"][1];
    assert_eq!(bucket["Resource"], "<TrailBucket.Arn>/AWSLogs/111122223333/*");
}

/// The trail's ARN in conditions is written by hand, since the trail needs the bucket's policy.
#[test]
fn the_trail_is_called_what_its_bucket_and_its_key_expect() {
    let stack = Stack::of(&[("CreateTrail", "true"), ("KmsKey", "create")]).unwrap();
    let name = stack.properties("Trail")["TrailName"].as_str().unwrap();
    let arn = format!("arn:aws:cloudtrail:eu-central-1:111122223333:trail/{name}");
    for id in ["TrailBucketPolicy", "Key"] {
        assert!(
            stack.properties(id).to_string().contains(&format!("\"aws:SourceArn\":\"{arn}\"")),
            "{id}"
        );
    }
}

/// Where the key is named, resource by resource.
fn encrypted(stack: &Stack, key: &str) -> Vec<String> {
    let uses = |(id, resource): (&String, &Value)| {
        let names_key = resource["Properties"].to_string().contains(&format!("\"{key}\""));
        (names_key && resource["Type"] != "AWS::IAM::Role").then(|| id.clone())
    };
    stack.resources.iter().filter_map(uses).collect()
}

#[test]
fn one_parameter_encrypts_all_that_is_kept() {
    let all =
        [("CreateTrail", "true"), ("ArchiveAlerts", "true"), ("OrganizationId", "o-a1b2c3d4e5")];
    let kept = [
        "AlertTopic",
        "ArchiveBucket",
        "ArchiveStream",
        "FunctionLogGroup",
        "LedgerTable",
        "Stream",
        "Trail",
        "TrailBucket",
        "TrailLogGroup",
        "UndeliveredBucket",
    ];
    let created = Stack::with(&[&all[..], &[("KmsKey", "create")]].concat());
    assert_eq!(encrypted(&created, "<Key.Arn>"), kept);
    assert_eq!(created.properties("Key")["EnableKeyRotation"], true);
    assert_eq!(created.outputs["KeyArn"]["Value"], "<Key.Arn>");

    let given = Stack::with(&[&all[..], &[("KmsKey", KEY)]].concat());
    assert_eq!(encrypted(&given, KEY), kept);
    assert!(!given.resources.contains_key("Key"));

    let none = Stack::with(&all).resources;
    let without = json!(none).to_string();
    assert!(!without.contains("aws:kms") && !without.contains("Kms") && !without.contains("kms:"));
    // With it CloudWatch alarms would be silent.
    assert!(!without.contains("alias/aws/sns"));
}

#[test]
fn whoever_is_named_is_subscribed_to_whichever_topic() {
    let people = [("AlertEmail", "you@example.com"), ("AlertPhone", "+14155550123")];
    for (given, topic, region) in [
        (vec![], "arn:aws:sns:eu-central-1:111122223333:AlertTopic", "eu-central-1"),
        (vec![("TopicArn", TOPIC)], TOPIC, "us-west-2"),
    ] {
        let stack = Stack::with(&[&people[..], &given].concat());
        for (id, protocol, (_, endpoint)) in
            [("EmailSubscription", "email", people[0]), ("PhoneSubscription", "sms", people[1])]
        {
            let expected = json!({"TopicArn": topic, "Region": region, "Protocol": protocol, "Endpoint": endpoint});
            assert_eq!(*stack.properties(id), expected);
        }
    }
}

#[test]
fn a_stream_is_read_so_that_nothing_stands_still_and_nothing_is_lost() {
    for (given, arn) in [
        (("OrganizationId", "o-a1b2c3d4e5"), "<Stream.Arn>"),
        (("KinesisStreamArn", STREAM), STREAM),
    ] {
        // Nothing of this account needs to be read beside it.
        let stack = Stack::of(&[given]).unwrap();
        let mapping = stack.properties("StreamMapping");
        assert_eq!(
            (&mapping["EventSourceArn"], &stack.outputs["StreamArn"]["Value"]),
            (&json!(arn), &json!(arn))
        );
        assert_eq!(mapping["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
        assert_eq!(mapping["BisectBatchOnFunctionError"], true);
        assert_eq!(mapping["StartingPosition"], "TRIM_HORIZON");
        assert_eq!(
            mapping["DestinationConfig"]["OnFailure"]["Destination"],
            "<UndeliveredBucket.Arn>"
        );
        // The ledger knows each record of a retry.
        assert_eq!(mapping["BatchSize"].as_u64(), Some(MOST_BATCHES as u64));
        let most_tries = mapping["MaximumRetryAttempts"].as_i64().unwrap();
        assert!((1..100).contains(&most_tries), "a shard would stand still for as long");
        // What is tried must still be there.
        let tried = mapping["MaximumRecordAgeInSeconds"].as_i64().unwrap();
        assert!(tried < 24 * 3600);
        for id in ["InvokePermission", "SubscriptionFilter"] {
            assert!(!stack.resources.contains_key(id), "{id}");
        }
        let policy = stack.properties("Policy")["Value"].as_str().unwrap();
        let policy = Policy::with_user_file("starter", policy).unwrap();
        let deleted = json!({
            "eventSource": "logs.amazonaws.com", "eventName": "DeleteLogGroup", "readOnly": false,
            "awsRegion": "us-east-1", "recipientAccountId": "444455556666",
            "requestParameters": {"logGroupName": "aws-cloudtrail-logs-444455556666-0a1b2c3d"},
        })
        .to_string();
        let verdict = policy.judge(&Record::parse(&deleted).unwrap(), "444455556666");
        let watched = Reason::Watched("own-log-group".into());
        assert_eq!(verdict, Verdict::Alert(watched, Severity::Critical));
    }
    let stream = Stack::of(&[("OrganizationId", "o-a1b2c3d4e5")]).unwrap();
    let stream = stream.properties("Stream");
    assert_eq!(stream["StreamEncryption"]["KeyId"], "alias/aws/kinesis");
    assert_eq!(stream["RetentionPeriodHours"], 24);
}

#[test]
fn a_stream_and_what_does_not_go_with_it() {
    let organization = ("OrganizationId", "o-a1b2c3d4e5");
    let said = Stack::of(&[organization, ("KinesisStreamArn", STREAM)]).err().unwrap();
    assert!(said.starts_with("OrganizationId creates a stream"), "{said}");
    let said = Stack::of(&[organization, ("MetricFilterAlarm", "true")]).err().unwrap();
    assert!(said.starts_with("MetricFilterAlarm needs a log group"), "{said}");
    assert!(
        Stack::of(&[organization, ("CreateTrail", "true"), ("MetricFilterAlarm", "true")]).is_ok()
    );
}

#[test]
fn accounts_of_the_organisation_subscribe_and_nobody_else() {
    let stack = Stack::of(&[("OrganizationId", "o-a1b2c3d4e5")]).unwrap();
    let destination = stack.properties("Destination");
    assert_eq!(
        (&destination["TargetArn"], &destination["RoleArn"]),
        (&json!("<Stream.Arn>"), &json!("<DestinationRole.Arn>"))
    );
    let name = destination["DestinationName"].as_str().unwrap();
    let policy: Value =
        serde_json::from_str(destination["DestinationPolicy"].as_str().unwrap()).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0]["Action"], "logs:PutSubscriptionFilter");
    assert_eq!(
        statements[0]["Condition"],
        json!({"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}})
    );
    let arn = format!("arn:aws:logs:eu-central-1:111122223333:destination:{name}");
    assert_eq!(statements[0]["Resource"], arn);
    assert_eq!(stack.outputs["DestinationArn"]["Value"], "<Destination.Arn>");
}

fn pattern(approved_regions: &str) -> String {
    let stack =
        Stack::with(&[("MetricFilterAlarm", "true"), ("ApprovedRegions", approved_regions)]);
    let filter = stack.properties("UnapprovedCallsFilter");
    assert_eq!(filter["LogGroupName"], "aws/trail");
    filter["FilterPattern"].as_str().unwrap().to_owned()
}

#[test]
fn the_second_path_counts_calls_outside_every_approved_region() {
    let regions = "us-east-1, us-west-2 ,eu-*";
    let rings = |record: Value| matches(&pattern(regions), &record).unwrap();
    let call = |region: &str, read_only: Value| {
        rings(json!({"eventName": "RunInstances", "awsRegion": region, "readOnly": read_only}))
    };
    for approved in ["us-east-1", "us-west-2", "eu-central-1"] {
        assert!(!call(approved, json!(false)), "{approved}");
    }
    for other in ["us-west-1", "us-east-2", "ap-southeast-1", "me-eu-1", "US-EAST-1", ""] {
        assert!(call(other, json!(false)), "{other}");
        assert!(!call(other, json!(true)), "{other}");
    }
    // CloudTrail writes a string here and there, and in some records nothing.
    assert!(call("ap-southeast-1", json!("false")));
    assert!(!call("ap-southeast-1", json!("true")));
    assert!(rings(json!({"eventName": "RunInstances", "awsRegion": "ap-southeast-1"})));
    assert!(!rings(json!({"eventName": "RunInstances", "awsRegion": "eu-west-1"})));
    // Doubt is an alert.
    assert!(rings(json!({"eventName": "RunInstances"})));
    assert!(!rings(json!({"eventName": "DescribeInstances", "readOnly": true})));
}

/// What the copies of the classic answer get wrong, seen by the same evaluator.
#[test]
fn the_classic_pattern_rings_in_approved_regions() {
    let classic = r#"{ ($.awsRegion != "us-east-1" || $.awsRegion != "us-west-2") && ($.eventName != "Describe*") }"#;
    let record = json!({"awsRegion": "us-east-1", "eventName": "RunInstances", "readOnly": false});
    assert!(matches(classic, &record).unwrap());
    assert!(!matches(&pattern("us-east-1,us-west-2"), &record).unwrap());
}

#[test]
fn globs_that_a_filter_pattern_does_not_know_approve_nothing() {
    for glob in ["us-*-1", "us-gov-west-?"] {
        let record = json!({"awsRegion": "us-east-1", "readOnly": false});
        assert!(matches(&pattern(glob), &record).unwrap(), "{glob}");
    }
}

#[test]
fn the_pattern_of_twenty_five_regions_fits() {
    let regions = vec!["ap-southeast-1"; 25].join(",");
    let longest = pattern(&regions);
    assert!(longest.len() <= 1024, "{} characters", longest.len());
}

#[test]
fn the_evaluator_follows_the_guide() {
    let record = json!({"a": "x", "b": "y", "flag": false, "list": [1], "null": null});
    for (pattern, expected) in [
        (r#"{ $.a = "x" || $.a = "n" && $.b = "n" }"#, true),
        (r#"{ ($.a = "x" || $.a = "n") && $.b = "n" }"#, false),
        (r#"{ $.list != "x" }"#, false),
        (r#"{ $.none != "x" }"#, false),
        ("{ $.none NOT EXISTS }", true),
        ("{ $.null NOT EXISTS }", false),
        ("{ $.null IS NULL && $.flag IS FALSE }", true),
        ("{ $.none IS NULL }", false),
        (r#"{ $.a = "*" }"#, true),
        ("{ $.a = %n|x% && $.b = %y% }", true),
        ("{ $.none = %x% || $.flag = %x% || $.a = %nx|y% }", false),
        (r#"{ $.a = "x*y" }"#, false),
    ] {
        assert_eq!(matches(pattern, &record), Ok(expected), "{pattern}");
    }
    for wrong in [
        r#"{ $.a ~ "x" }"#,
        r#"{ ($.a = "x" }"#,
        r#"$.a = "x""#,
        r#"{ $.a = "x" ) }"#,
        "{ $.a = %x }",
    ] {
        assert!(matches(wrong, &record).is_err(), "{wrong}");
    }
}

#[test]
fn the_archive_has_a_column_for_what_an_alert_says() {
    let stack = Stack::with(&[("ArchiveAlerts", "true")]);
    let table = &stack.properties("ArchiveTable")["TableInput"];
    let schema: Value =
        serde_json::from_str(include_str!("../../../schema/alert.v1.json")).unwrap();
    for column in table["StorageDescriptor"]["Columns"].as_array().unwrap() {
        let name = column["Name"].as_str().unwrap();
        let kinds = ["incident", "digest", "unreadable"];
        let field = kinds.iter().find_map(|kind| schema["$defs"][*kind]["properties"].get(name));
        let field = field.unwrap_or_else(|| panic!("no alert has {name}"));
        assert_eq!(column["Type"].as_str().unwrap(), hive(field, &schema), "{name}");
    }
    let template = "s3://<ArchiveBucket>/alerts/day=${day}/";
    assert_eq!(table["Parameters"]["storage.location.template"], template);
    let destination = &stack.properties("ArchiveStream")["ExtendedS3DestinationConfiguration"];
    assert_eq!(destination["Prefix"], "alerts/day=!{timestamp:yyyy-MM-dd}/");
    assert_eq!(stack.outputs["ArchiveTable"]["Value"], "<ArchiveDatabase>.<ArchiveTable>");
    assert_eq!(stack.properties("ArchiveDatabase")["DatabaseInput"]["Name"], "region_watch");
}

#[test]
fn the_archive_gets_every_alert_and_no_alarm() {
    let stack = Stack::with(&[("ArchiveAlerts", "true")]);
    let subscription = stack.properties("ArchiveSubscription");
    assert_eq!(subscription["RawMessageDelivery"], true);
    assert_eq!(subscription["FilterPolicy"], json!({"severity": [{"exists": true}]}));
    assert_eq!(subscription["Endpoint"], "<ArchiveStream.Arn>");
}

/// A field of the schema as a type of Hive.
fn hive(field: &Value, schema: &Value) -> String {
    if let Some(path) = field["$ref"].as_str() {
        return hive(&schema["$defs"][path.trim_start_matches("#/$defs/")], schema);
    }
    let kind = field["type"].as_str().or_else(|| field["type"][0].as_str());
    match kind.unwrap_or("string") {
        "integer" => "bigint".to_owned(),
        "array" => format!("array<{}>", hive(&field["items"], schema)),
        "object" => {
            let members = field["properties"].as_object().unwrap().iter();
            let members: Vec<String> =
                members.map(|(name, member)| format!("{name}:{}", hive(member, schema))).collect();
            format!("struct<{}>", members.join(","))
        }
        simple => simple.to_owned(),
    }
}

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy.md")).unwrap()
}

#[test]
fn the_page_describes_every_parameter_with_its_default() {
    let page = page();
    let (_, rows) = page.split_once("| parameter | default | meaning |").unwrap();
    let rows = rows.lines().skip(2).take_while(|line| line.starts_with('|'));
    let described: Vec<Vec<String>> = rows
        .map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect())
        .collect();
    let template = template();
    let declared: Vec<&String> = entries(&template["Parameters"]).map(|(name, _)| name).collect();
    assert_eq!(described.len(), declared.len());
    for row in described {
        let declared = &template["Parameters"][&row[1]]["Default"];
        let default = declared.as_str().map_or_else(|| declared.to_string(), str::to_owned);
        let default = if default.is_empty() { "empty".to_owned() } else { default };
        assert_eq!(row[2], default, "{}", row[1]);
    }
}

#[test]
fn the_page_has_the_policy_that_a_key_needs() {
    let given = [("KmsKey", "create"), ("CreateTrail", "true"), ("LogGroupName", "GROUP")];
    let policy = Stack::with(&given).properties("Key")["KeyPolicy"].to_string();
    let policy = policy.replace("eu-central-1", "REGION").replace("111122223333", "ACCOUNT");
    let policy: Value = serde_json::from_str(&policy.replace("region-watch", "STACK")).unwrap();
    let page = page();
    let (_, shown) = page.split_once("```json\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let shown: Option<Value> = serde_json::from_str(shown).ok();
    assert_eq!(shown.as_ref(), Some(&policy), "{policy:#}");
}

#[test]
fn the_page_has_the_pattern_that_the_second_path_goes_by() {
    assert!(page().contains(&format!("\n{}\n", pattern("us-east-1,eu-*"))));
}

#[test]
fn the_page_asks_the_archive_for_columns_that_it_has() {
    let stack = Stack::with(&[("ArchiveAlerts", "true")]);
    let columns = &stack.properties("ArchiveTable")["TableInput"]["StorageDescriptor"]["Columns"];
    let columns = columns.as_array().unwrap().iter();
    let mut known: Vec<&str> = columns.map(|column| column["Name"].as_str().unwrap()).collect();
    known.push("day");
    let page = page();
    let queries: Vec<&str> = page.split("```sql\n").skip(1).collect();
    assert_eq!(queries.len(), 2);
    for query in queries {
        let (query, _) = query.split_once("```").unwrap();
        let texts_out: String = query.split('\'').step_by(2).collect();
        let words = texts_out.split(|c: char| !(c.is_ascii_lowercase() || "_.".contains(c)));
        let language =
            ["date_format", "current_date", "interval", "sum", "max", "array_join", "transform"];
        let own = ["regionwatch", "alerts", "latest", "call", "what"];
        for word in words.filter(|word| !word.is_empty()) {
            let root = word.split('.').next().unwrap();
            let is_known = [&known[..], &language, &own].iter().any(|some| some.contains(&root));
            assert!(is_known, "{word} in\n{query}");
        }
    }
}
