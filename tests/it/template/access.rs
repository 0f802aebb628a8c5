//! Who may do what: the roles, action by action, and every policy of a resource.

use std::collections::BTreeSet;

use serde_json::Value;

use super::stack::Stack;

/// A stack that has everything.
pub const ALL: [(&str, &str); 6] = [
    ("CreateTrail", "true"),
    ("MetricFilterAlarm", "true"),
    ("KmsKey", "create"),
    ("ArchiveAlerts", "true"),
    ("PolicyParameter", "/security/regions"),
    ("OrganizationId", "o-a1b2c3d4e5"),
];

fn strings(value: &Value) -> Vec<String> {
    let each = |item: &Value| item.as_str().unwrap().to_owned();
    value.as_array().map_or_else(|| vec![each(value)], |many| many.iter().map(each).collect())
}

/// The statements of a role.
fn statements(role: &Value) -> Vec<&Value> {
    let policies = role["Policies"].as_array().unwrap().iter();
    policies.flat_map(|one| one["PolicyDocument"]["Statement"].as_array().unwrap()).collect()
}

/// Each action with its resource, and whether there is a condition.
fn granted(role: &Value) -> Vec<String> {
    let mut granted = Vec::new();
    for statement in statements(role) {
        assert_eq!(statement["Effect"], "Allow");
        let condition = statement.get("Condition").map_or("", |_| " if");
        for action in strings(&statement["Action"]) {
            for resource in strings(&statement["Resource"]) {
                granted.push(format!("{action} {resource}{condition}"));
            }
        }
    }
    granted.sort_unstable();
    granted
}

#[test]
fn the_function_may_do_this_and_nothing_else() {
    const OWN: &str =
        "arn:aws:ssm:eu-central-1:111122223333:parameter/regionwatch/region-watch/policy";
    let least = Stack::with(&[]);
    assert_eq!(
        granted(least.properties("FunctionRole")),
        [
            "dynamodb:PutItem <LedgerTable.Arn>",
            "logs:CreateLogStream <FunctionLogGroup.Arn>",
            "logs:PutLogEvents <FunctionLogGroup.Arn>",
            "s3:ListBucket <UndeliveredBucket.Arn> if",
            "s3:PutObject <UndeliveredBucket.Arn>/* if",
            "sns:Publish arn:aws:sns:eu-central-1:111122223333:AlertTopic",
            &format!("ssm:GetParameter {OWN}"),
        ]
    );
    let all = Stack::with(&ALL);
    assert_eq!(
        granted(all.properties("FunctionRole")),
        [
            "dynamodb:PutItem <LedgerTable.Arn>",
            "kinesis:DescribeStream <Stream.Arn>",
            "kinesis:DescribeStreamSummary <Stream.Arn>",
            "kinesis:GetRecords <Stream.Arn>",
            "kinesis:GetShardIterator <Stream.Arn>",
            "kinesis:ListShards <Stream.Arn>",
            "kms:Decrypt <Key.Arn> if",
            "kms:Decrypt arn:aws:kms:eu-central-1:*:key/* if",
            "kms:GenerateDataKey <Key.Arn> if",
            "logs:CreateLogStream <FunctionLogGroup.Arn>",
            "logs:PutLogEvents <FunctionLogGroup.Arn>",
            "s3:ListBucket <UndeliveredBucket.Arn> if",
            "s3:PutObject <UndeliveredBucket.Arn>/* if",
            "sns:Publish arn:aws:sns:eu-central-1:111122223333:AlertTopic",
            "ssm:GetParameter arn:aws:ssm:eu-central-1:111122223333:parameter/security/regions",
        ]
    );
}

#[test]
fn the_other_roles_may_do_this_and_nothing_else() {
    let all = Stack::with(&ALL);
    let streams = "arn:aws:logs:eu-central-1:111122223333:log-group:/regionwatch/region-watch/trail:\
                   log-stream:111122223333_CloudTrail_eu-central-1*";
    assert_eq!(
        granted(all.properties("TrailRole")),
        [format!("logs:CreateLogStream {streams}"), format!("logs:PutLogEvents {streams}")]
    );
    assert_eq!(
        granted(all.properties("DestinationRole")),
        ["kinesis:PutRecord <Stream.Arn>", "kms:GenerateDataKey <Key.Arn> if"]
    );
    assert_eq!(
        granted(all.properties("ArchiveSubscriptionRole")),
        [
            "firehose:DescribeDeliveryStream <ArchiveStream.Arn>",
            "firehose:PutRecord <ArchiveStream.Arn>",
            "firehose:PutRecordBatch <ArchiveStream.Arn>",
        ]
    );
    assert_eq!(
        granted(all.properties("ArchiveRole")),
        [
            "kms:Decrypt <Key.Arn> if",
            "kms:GenerateDataKey <Key.Arn> if",
            "s3:AbortMultipartUpload <ArchiveBucket.Arn>/* if",
            "s3:GetBucketLocation <ArchiveBucket.Arn> if",
            "s3:ListBucket <ArchiveBucket.Arn> if",
            "s3:ListBucketMultipartUploads <ArchiveBucket.Arn> if",
            "s3:PutObject <ArchiveBucket.Arn>/* if",
        ]
    );
    assert_eq!(all.of_type("AWS::IAM::Role").len(), 5);
}

#[test]
fn no_role_may_do_anything_to_everything() {
    let all = Stack::with(&ALL);
    for (id, role) in all.of_type("AWS::IAM::Role") {
        for statement in statements(role) {
            for action in strings(&statement["Action"]) {
                assert!(!action.contains('*'), "{id}: {action}");
            }
            for resource in strings(&statement["Resource"]) {
                // The key of a SecureString is not known; the condition names the parameter.
                let context = "kms:EncryptionContext:PARAMETER_ARN";
                let is_bound = statement["Condition"]["StringEquals"].get(context).is_some();
                let begins = resource.starts_with("arn:aws:") || resource.starts_with('<');
                assert!(begins && (!resource.contains(":*:") || is_bound), "{id}: {resource}");
            }
        }
    }
}

/// The statements of every policy of a resource.
fn of_resources(stack: &Stack) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (kind, document) in [
        ("AWS::SNS::TopicPolicy", "PolicyDocument"),
        ("AWS::S3::BucketPolicy", "PolicyDocument"),
        ("AWS::KMS::Key", "KeyPolicy"),
    ] {
        for (id, properties) in stack.of_type(kind) {
            for statement in properties[document]["Statement"].as_array().unwrap() {
                all.push((
                    format!("{id} {}", statement["Sid"].as_str().unwrap()),
                    statement.clone(),
                ));
            }
        }
    }
    all
}

#[test]
fn a_service_is_let_in_only_for_this_account_and_its_sources() {
    let (mut account, mut sources) = (Vec::new(), Vec::new());
    for (who, statement) in of_resources(&Stack::with(&ALL)) {
        if statement["Effect"] != "Allow" || statement["Principal"].get("Service").is_none() {
            continue;
        }
        let condition = &statement["Condition"];
        let key = |operator: &str, key: &str| condition[operator].get(key).cloned();
        if let Some(context) = key("ArnEquals", "kms:EncryptionContext:aws:logs:arn") {
            assert!(strings(&context).iter().all(|arn| arn.contains(":111122223333:log-group:/")));
            continue;
        }
        assert_eq!(key("StringEquals", "aws:SourceAccount").unwrap(), "111122223333", "{who}");
        let source =
            key("StringEquals", "aws:SourceArn").or_else(|| key("ArnLike", "aws:SourceArn"));
        sources.push(source.unwrap().as_str().unwrap().to_owned());
        account.push(who);
    }
    assert_eq!(account.len(), 8, "{account:?}");
    assert!(sources.iter().all(|arn| arn.starts_with("arn:aws:")), "{sources:?}");

    let stack = Stack::with(&[("CreateTrail", "true")]);
    for (id, permission) in stack.of_type("AWS::Lambda::Permission") {
        assert_eq!(permission["SourceAccount"], "111122223333", "{id}");
        let group =
            "arn:aws:logs:eu-central-1:111122223333:log-group:/regionwatch/region-watch/trail:*";
        assert_eq!(permission["SourceArn"], group, "{id}");
    }
}

#[test]
fn nobody_else_is_let_in_and_nothing_goes_without_tls() {
    let mut denied = BTreeSet::new();
    for (who, statement) in of_resources(&Stack::with(&ALL)) {
        if statement["Effect"] == "Deny" {
            assert_eq!(statement["Condition"]["Bool"]["aws:SecureTransport"], "false", "{who}");
            assert_eq!(statement["Principal"], "*", "{who}");
            denied.insert(who);
        } else {
            assert!(statement["Principal"].is_object(), "{who}");
        }
    }
    let expected = [
        "AlertTopicPolicy TlsOnly",
        "ArchiveBucketPolicy TlsOnly",
        "TrailBucketPolicy TlsOnly",
        "UndeliveredBucketPolicy TlsOnly",
    ];
    assert_eq!(denied, expected.map(str::to_owned).into());
}

#[test]
fn every_bucket_is_closed_encrypted_and_forgets() {
    let all = Stack::with(&ALL);
    let buckets = all.of_type("AWS::S3::Bucket");
    assert_eq!(buckets.len(), 3);
    for (id, bucket) in buckets {
        let blocked = bucket["PublicAccessBlockConfiguration"].as_object().unwrap();
        assert!(blocked.len() == 4 && blocked.values().all(|on| on == true), "{id}");
        let rule = &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
        assert!(rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"].is_string(), "{id}");
        assert_eq!(
            bucket["OwnershipControls"]["Rules"][0]["ObjectOwnership"],
            "BucketOwnerEnforced"
        );
        assert!(
            bucket["LifecycleConfiguration"]["Rules"][0].get("ExpirationInDays").is_some(),
            "{id}"
        );
        assert_eq!(all.resources[id]["DeletionPolicy"], "RetainExceptOnCreate", "{id}");
        let policies = all.of_type("AWS::S3::BucketPolicy");
        assert!(policies.iter().any(|(_, policy)| policy["Bucket"] == format!("<{id}>")), "{id}");
    }
}

/// The usual silent failure: a topic, log group or bucket whose key does not let a service in.
#[test]
fn the_key_lets_in_whoever_writes_what_it_encrypts() {
    let all = Stack::with(&ALL);
    let services: BTreeSet<String> = all.properties("Key")["KeyPolicy"]["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|statement| Some(statement["Principal"].get("Service")?.as_str()?.to_owned()))
        .collect();
    let expected = [
        "cloudtrail.amazonaws.com",
        "cloudwatch.amazonaws.com",
        "logs.eu-central-1.amazonaws.com",
        "s3.amazonaws.com",
        "sns.amazonaws.com",
    ];
    assert_eq!(services, expected.map(str::to_owned).into());
    // Both log groups, by the names that they have.
    let key = all.properties("Key").to_string();
    for group in ["TrailLogGroup", "FunctionLogGroup"] {
        let name = all.properties(group)["LogGroupName"].as_str().unwrap();
        assert!(key.contains(&format!(":log-group:{name}\"")), "{name}");
    }
    let named =
        Stack::with(&[("KmsKey", "create"), ("CreateTrail", "true"), ("LogGroupName", "g")]);
    assert!(named.properties("Key").to_string().contains(":log-group:g\""));
}
