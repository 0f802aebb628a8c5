//! The questions of the policy, one by one and in their order.

use regionwatch::policy::{Policy, Verdict};
use regionwatch::record::Record;
use serde_json::{Value, json};

/// A mutating call in an unapproved region: an alert, unless a test changes something.
fn record() -> Value {
    json!({
        "eventSource": "ec2.amazonaws.com",
        "eventName": "RunInstances",
        "awsRegion": "eu-west-3",
        "eventTime": "2026-11-20T23:59:59Z",
        "eventType": "AwsApiCall",
        "recipientAccountId": "111122223333",
        "sourceIPAddress": "203.0.113.7",
        "userIdentity": {
            "type": "AssumedRole",
            "arn": "arn:aws:sts::111122223333:assumed-role/ci/session",
            "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/ci"}},
        },
    })
}

/// The record with some members changed; `null` takes one out.
fn with(changes: Value) -> Value {
    let mut record = record();
    for (key, value) in changes.as_object().unwrap() {
        record[key] = value.clone();
    }
    record
}

fn judge(policy: &Policy, record: &Value) -> String {
    let text = record.to_string();
    match policy.judge(&Record::parse(&text).unwrap(), "444455556666") {
        Verdict::Alert(reason, severity) => format!("{reason} {severity}"),
        Verdict::Ignore(reason) => format!("ignored: {reason}"),
        Verdict::Reject => "rejected".to_owned(),
    }
}

fn policy(user: &str) -> Policy {
    Policy::with_user_file("test.toml", user).unwrap_or_else(|faults| panic!("{faults}"))
}

#[track_caller]
fn assert_judged(user_policy: &str, changes: Value, expected: &str) {
    assert_eq!(judge(&policy(user_policy), &with(changes)), expected);
}

fn call(service: &str, name: &str) -> Value {
    json!({"eventSource": format!("{service}.amazonaws.com"), "eventName": name})
}

#[test]
fn question_1_a_record_without_a_call() {
    assert_judged("", json!({"eventName": null}), "rejected");
    assert_judged("", json!({"eventSource": ""}), "rejected");
    assert_judged("", json!({"eventName": 7}), "rejected");
    let not_a_call = "ignored: not-an-api-call";
    assert_judged("", json!({"eventName": null, "eventCategory": "Insight"}), not_a_call);
    assert_judged("", json!({"eventName": null, "eventCategory": "Aggregated"}), not_a_call);
    assert_judged(
        "",
        json!({"eventSource": null, "eventType": "AwsCloudTrailInsight"}),
        not_a_call,
    );
    assert_judged("", json!({"eventSource": null, "eventType": "AwsAggregatedEvent"}), not_a_call);
    // With a call in it, it is judged as a call.
    assert_judged("", json!({"eventCategory": "Insight"}), "mutating-call high");
}

#[test]
fn question_2_watched_calls_alert_in_every_region() {
    let mut stop = call("cloudtrail", "StopLogging");
    stop["awsRegion"] = "us-east-1".into();
    assert_judged("", stop.clone(), "watched:trail-tampering critical");
    stop["errorCode"] = "AccessDenied".into();
    assert_judged("", stop.clone(), "watched:trail-tampering critical");
    stop["errorCode"] = "TrailNotFoundException".into();
    assert_judged("", stop, "watched:trail-tampering low");
    assert_judged("", call("cloudtrail", "UpdateTrail"), "watched:trail-change high");
}

#[test]
fn question_2_of_several_watches_the_gravest_then_the_first_counts() {
    let rule = |id: &str, severity: &str| {
        format!(
            "[[watch]]\nid = \"{id}\"\nreason = \"r\"\nseverity = \"{severity}\"\ncalls = [\"cloudtrail:*\"]\n"
        )
    };
    let stop = || call("cloudtrail", "UpdateTrail");
    assert_judged(&rule("mine", "critical"), stop(), "watched:mine critical");
    assert_judged(&rule("mine", "high"), stop(), "watched:trail-change high");
    assert_judged(&rule("mine", "low"), stop(), "watched:trail-change high");
    let replaced = rule("trail-change", "low");
    assert_judged(&replaced, stop(), "watched:trail-change low");
    assert_judged("drop_rules = [\"trail-change\"]", stop(), "mutating-call high");
}

#[test]
fn question_3_approved_regions() {
    for region in ["us-east-1", " US-WEST-2 "] {
        assert_judged("", json!({"awsRegion": region}), "ignored: approved-region");
    }
    for region in [json!(null), json!(""), json!(7), json!("us-east-11"), json!("unknown")] {
        assert_judged("", json!({"awsRegion": region}), "mutating-call high");
    }
    let eu = "approved_regions = [\"eu-*\", \"u*\"]";
    assert_judged(eu, json!({"awsRegion": null}), "mutating-call high");
    let eu = "approved_regions = [\"eu-*\"]";
    assert_judged(eu, json!({}), "ignored: approved-region");
    assert_judged(eu, json!({"awsRegion": "us-east-1"}), "mutating-call high");
}

#[test]
fn question_3_an_account_with_regions_of_its_own() {
    let policy = "[accounts.\"111122223333\"]\nname = \"prod\"\napproved_regions = [\"eu-west-3\"]";
    assert_judged(policy, json!({}), "ignored: approved-region");
    assert_judged(policy, json!({"awsRegion": "us-east-1"}), "mutating-call high");
    // Without its own id in the record the acting account counts, then the log group's owner.
    let acting = json!({"recipientAccountId": null, "userIdentity": {"accountId": "111122223333"}});
    assert_judged(policy, acting, "ignored: approved-region");
    assert_judged(policy, json!({"recipientAccountId": null}), "mutating-call high");
    assert_judged(
        &policy.replace("1111", "4444").replace("22223333", "55556666"),
        json!({"recipientAccountId": null}),
        "ignored: approved-region",
    );
}

#[test]
fn question_3_opening_a_region_concerns_that_region() {
    let mut enable = call("account", "EnableRegion");
    enable["awsRegion"] = "us-east-1".into();
    enable["requestParameters"] = json!({"RegionName": "ap-south-2"});
    assert_judged("", enable.clone(), "mutating-call high");
    // No home of a global service hides it.
    enable["requestParameters"] = json!({"RegionName": "us-east-1"});
    assert_judged("approved_regions = [\"eu-west-1\"]", enable.clone(), "mutating-call high");
    enable["requestParameters"] = json!({"RegionName": "us-west-2"});
    assert_judged("", enable, "ignored: approved-region");
}

#[test]
fn question_4_aws_itself() {
    let ignored = "ignored: aws-service";
    assert_judged("", json!({"userIdentity": {"type": "AWSService"}}), ignored);
    let invoked = json!({"eventType": "AwsServiceEvent", "userIdentity": {"invokedBy": "x"}});
    assert_judged("", invoked, ignored);
    assert_judged("", json!({"eventType": "AwsServiceEvent", "userIdentity": {}}), ignored);
    let linked =
        "arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX";
    let linked = json!({"userIdentity": {"sessionContext": {"sessionIssuer": {"arn": linked}}}});
    assert_judged("", linked.clone(), ignored);
    for somebody in ["AWSAccount", "IAMUser", "AssumedRole", "FederatedUser"] {
        let acting = json!({"eventType": "AwsServiceEvent", "userIdentity": {"type": somebody}});
        assert_judged("", acting, "mutating-call high");
    }
    let unknown = json!({"eventType": "AwsServiceEvent", "userIdentity": {"type": "Unknown"}});
    assert_judged("", unknown, ignored);
    assert_judged("aws_service_calls = \"alert\"", linked, "mutating-call high");
}

#[test]
fn question_5_sign_ins() {
    assert_judged("", call("signin", "ConsoleLogin"), "ignored: sign-in");
    assert_judged("sign_ins = \"alert\"", call("signin", "ConsoleLogin"), "mutating-call high");
}

#[test]
fn question_6_global_services_in_their_homes_only() {
    let eu = "approved_regions = [\"eu-west-1\"]";
    let mut create = call("iam", "CreateUser");
    create["awsRegion"] = "us-east-1".into();
    assert_judged(eu, create.clone(), "ignored: global-service");
    create["awsRegion"] = "us-west-2".into();
    assert_judged(eu, create.clone(), "mutating-call high");
    create["awsRegion"] = "us-gov-west-1".into();
    assert_judged(eu, create.clone(), "ignored: global-service");
    create["eventSource"] = "iam.amazonaws.com.cn".into();
    create["awsRegion"] = "cn-north-1".into();
    assert_judged(eu, create, "ignored: global-service");
    let mut accelerate = call("globalaccelerator", "CreateAccelerator");
    accelerate["awsRegion"] = "us-west-2".into();
    assert_judged(eu, accelerate, "ignored: global-service");
}

#[test]
fn questions_7_to_9_what_a_call_does() {
    let read_only = "ignored: read-only";
    let read = |service: &str, name: &str, field: Value| {
        let mut changes = call(service, name);
        changes["readOnly"] = field;
        changes
    };
    // The field, as a bool or as a text.
    assert_judged("", read("ec2", "RunInstances", json!(true)), read_only);
    assert_judged("", read("ec2", "RunInstances", json!(" True ")), read_only);
    assert_judged("", read("ec2", "DescribeInstances", json!("FALSE")), "mutating-call high");
    // Without it the verb.
    assert_judged("", read("ec2", "DescribeInstances", json!(null)), read_only);
    assert_judged("", read("s3", "headBucket", json!("maybe")), read_only);
    assert_judged(
        "",
        read("license-manager", "CheckoutLicense", json!(null)),
        "mutating-call high",
    );
    // The table knows better than both.
    assert_judged("", read("sts", "GetFederationToken", json!(true)), "mutating-call high");
    assert_judged("", read("bedrock", "InvokeModel", json!(true)), "mutating-call high");
    assert_judged("", read("logs", "StartQuery", json!(false)), read_only);
    assert_judged(
        "",
        read("secretsmanager", "GetSecretValue", json!(true)),
        "sensitive-read medium",
    );
    let small = read("secretsmanager", "getSecretValue", json!(true));
    assert_judged("", small, "sensitive-read medium");
    assert_judged(
        "sensitive_reads = \"ignore\"",
        read("ec2", "GetPasswordData", json!(true)),
        read_only,
    );
    // The name with and without an API version behind it.
    let user = "[access.calls]\n\"lambda:GetFunction\" = \"sensitive\"\n\"lambda:ListFunctions20150331\" = \"mutating\"";
    assert_judged(
        user,
        read("lambda", "GetFunction20150331v2", json!(true)),
        "sensitive-read medium",
    );
    assert_judged(user, read("lambda", "ListFunctions20150331", json!(true)), "mutating-call high");
    assert_judged(user, read("lambda", "ListFunctions20150332", json!(true)), read_only);
}

#[test]
fn questions_7_to_9_what_a_user_changes() {
    let mut get = call("sts", "GetSessionToken");
    get["readOnly"] = json!(true);
    let by_field = "[access.calls]\n\"sts:GetSessionToken\" = \"by-field\"";
    assert_judged(by_field, get.clone(), "ignored: read-only");
    let mut describe = call("ec2", "DescribeInstances");
    describe["readOnly"] = json!(false);
    assert_judged("[access]\ntrust_read_only_field = false", describe, "ignored: read-only");
    let mut run = json!({"readOnly": true});
    assert_judged("[access]\ntrust_read_only_field = false", run.clone(), "mutating-call high");
    run["eventName"] = "PeekAtInstances".into();
    run["readOnly"] = json!(null);
    assert_judged("read_only_verbs = [\"Peek\"]", run.clone(), "ignored: read-only");
    run["eventName"] = "DescribeInstances".into();
    assert_judged("read_only_verbs = [\"Peek\"]", run, "mutating-call high");
}

#[test]
fn questions_7_to_9_what_depends_on_parameters() {
    let get = |parameters: Value| {
        let mut changes = call("ssm", "GetParameter");
        changes["readOnly"] = json!(true);
        changes["requestParameters"] = parameters;
        changes
    };
    for decrypting in [json!(true), json!("true"), json!("True")] {
        assert_judged("", get(json!({"withDecryption": decrypting})), "sensitive-read medium");
    }
    for not in [json!({"withDecryption": false}), json!({}), json!(null), json!("x")] {
        assert_judged("", get(not), "ignored: read-only");
    }
    let nested = get(json!({"x": {"withDecryption": true}}));
    assert_judged("", nested, "ignored: read-only");
}

#[test]
fn question_10_exemptions() {
    let rule = |matcher: &str| format!("[[exempt]]\nid = \"x\"\nreason = \"r\"\n{matcher}\n");
    let exempt = "ignored: exempt:x";
    for matcher in [
        "calls = [\"ec2:Run*\"]",
        "services = [\"EC2\"]",
        "regions = [\"eu-*\"]",
        "accounts = [\"111122223333\"]",
        "principals = [\"*:role/ci\"]",
        "principals = [\"*:assumed-role/ci/*\"]",
        "source_ips = [\"203.0.113.0/24\"]",
        "source_ips = [\"203.0.113.7\"]",
        "outcomes = [\"success\"]",
        "request = { imageId = \"ami-?\" }",
        "request = { count = [1, 2], dryRun = false }",
        "until = 2026-11-20\nregions = [\"eu-west-3\"]",
    ] {
        let parameters = json!({"imageId": "ami-1", "count": 2.0, "dryRun": "false"});
        assert_judged(&rule(matcher), json!({"requestParameters": parameters}), exempt);
    }
    for matcher in [
        "calls = [\"ec2:Stop*\"]",
        "calls = [\"ec2:*\"]\nregions = [\"us-*\"]",
        "principals = [\"*:role/c\"]",
        "source_ips = [\"2001:db8::/32\"]",
        "outcomes = [\"denied\"]",
        "request = { imageId = \"ami-1\" }",
        "until = 2026-11-19\nregions = [\"eu-west-3\"]",
    ] {
        assert_judged(&rule(matcher), json!({}), "mutating-call high");
    }
    let large = rule("request = { n = 9007199254740993 }");
    assert_judged(&large, json!({"requestParameters": {"n": 9_007_199_254_740_993_i64}}), exempt);
    for n in [json!(9_007_199_254_740_992_i64), json!(u64::MAX)] {
        assert_judged(&large, json!({"requestParameters": {"n": n}}), "mutating-call high");
    }
    let until = rule("until = 2026-12-31\nservices = [\"ec2\"]");
    assert_judged(&until, json!({"eventTime": "soon"}), "mutating-call high");
    let cloudformation = json!({"sourceIPAddress": "cloudformation.amazonaws.com"});
    assert_judged(&rule("source_ips = [\"0.0.0.0/0\"]"), cloudformation, "mutating-call high");
}

#[test]
fn question_10_a_watched_call_is_exempted_by_name_only() {
    let rule = "[[exempt]]\nid = \"x\"\nreason = \"r\"\nservices = [\"cloudtrail\"]\n";
    let stop = || call("cloudtrail", "StopLogging");
    assert_judged(rule, stop(), "watched:trail-tampering critical");
    let naming = |watch: &str| format!("{rule}watches = [\"{watch}\"]");
    assert_judged(&naming("trail-change"), stop(), "watched:trail-tampering critical");
    assert_judged(&naming("trail-tampering"), stop(), "ignored: exempt:x");
}

#[test]
fn question_10_an_exemption_silences_the_watches_that_it_names_and_no_other() {
    let watch = "[[watch]]\nid = \"mine\"\nreason = \"r\"\nseverity = \"low\"\nservices = [\"cloudtrail\"]\n";
    let exempt = |id: &str, watches: &str| {
        format!(
            "[[exempt]]\nid = \"{id}\"\nreason = \"r\"\nservices = [\"cloudtrail\"]\nwatches = [{watches}]\n"
        )
    };
    let stop = || call("cloudtrail", "StopLogging");
    let gravest = format!("{watch}{}", exempt("x", "\"trail-tampering\""));
    assert_judged(&gravest, stop(), "watched:mine low");
    let other = format!("{watch}{}", exempt("x", "\"mine\""));
    assert_judged(&other, stop(), "watched:trail-tampering critical");
    let both = format!("{watch}{}", exempt("x", "\"mine\", \"trail-tampering\""));
    assert_judged(&both, stop(), "ignored: exempt:x");
    let by_two = format!("{gravest}{}", exempt("y", "\"mine\""));
    assert_judged(&by_two, stop(), "ignored: exempt:x");
}

#[test]
fn question_10_the_agents_of_the_default_policy() {
    let mut report = call("ssm", "UpdateInstanceInformation");
    report["userIdentity"] = json!({
        "type": "AssumedRole",
        "arn": "arn:aws:sts::111122223333:assumed-role/node/i-0123456789abcdef0",
    });
    assert_judged("", report.clone(), "ignored: exempt:ssm-agent");
    report["userIdentity"]["arn"] = "arn:aws:sts::111122223333:assumed-role/node/mateo".into();
    assert_judged("", report, "mutating-call high");
}

#[test]
fn severity_follows_root_and_the_outcome() {
    let root = json!({"type": "Root"});
    let cases = [
        (json!({"errorCode": "Client.UnauthorizedOperation"}), "mutating-call low"),
        (json!({"errorCode": "ThrottlingException"}), "mutating-call low"),
        (json!({"errorCode": "Client.DryRunOperation"}), "mutating-call low"),
        (json!({"userIdentity": root}), "mutating-call critical"),
        (json!({"userIdentity": root, "errorCode": "AccessDenied"}), "mutating-call medium"),
    ];
    for (changes, expected) in cases {
        assert_judged("", changes, expected);
    }
    let mut secret = call("ec2", "GetPasswordData");
    secret["userIdentity"] = root.clone();
    assert_judged("", secret, "sensitive-read high");
    let mut stop = call("cloudtrail", "UpdateTrail");
    stop["userIdentity"] = root;
    stop["errorCode"] = "AccessDenied".into();
    assert_judged("", stop, "watched:trail-change critical");
}

#[test]
fn judging_allocates_nothing() {
    let rules = (0..50).map(|n| {
        format!(
            "[[watch]]\nid = \"w{n}\"\nreason = \"r\"\nservices = [\"ec2\"]\nrequest = {{ x = {n} }}\n\
             [[exempt]]\nid = \"e{n}\"\nreason = \"r\"\nprincipals = [\"*:role/team-{n}*\"]\nregions = [\"eu-*\"]\n\
             [[exempt]]\nid = \"s{n}\"\nreason = \"r\"\nsource_ips = [\"10.{n}.0.0/16\"]\nuntil = 2026-12-31\n"
        )
    });
    let policy = policy(&rules.collect::<String>());
    // Objects within are skipped by a parser that keeps track of them in a buffer.
    let parameters = json!({"y": "2", "x": "1000"});
    for changes in [
        json!({"requestParameters": parameters}),
        json!({"awsRegion": "us-east-1"}),
        json!({"eventName": "DescribeInstances20150331", "sourceIPAddress": "10.20.0.1"}),
        json!({"eventSource": "secretsmanager.amazonaws.com", "eventName": "getSecretValue"}),
        json!({"eventSource": "cloudtrail.amazonaws.com", "eventName": "StopLogging"}),
    ] {
        let text = with(changes).to_string();
        let record = Record::parse(&text).unwrap();
        let used = allocation_counter::measure(|| {
            std::hint::black_box(policy.judge(&record, "444455556666"));
        });
        assert_eq!(used.count_total, 0, "{text}");
    }
}
