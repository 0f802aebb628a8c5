//! Records and policies as nobody would write them.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

/// What random policies are made of: of the parts between two `# and`, one or none.
const PARTS: &str = r#"
approved_regions = ["eu-west-1"]
# or
approved_regions = ["u*"]
# or
approved_regions = [" EU-* ", "us-east-1"]
# or
approved_regions = ["??-west-?"]
# and
aws_service_calls = "alert"
# and
sign_ins = "alert"
# and
sensitive_reads = "ignore"
# and
read_only_verbs = ["Get", "BatchGet", "Check"]
# or
read_only_verbs = ["describe", "run"]
# and
drop_rules = ["trail-change", "aws"]
# or
drop_rules = ["cloudtrail-delivery"]
# and
[accounts."111122223333"]
approved_regions = ["AP-*"]
name = "own"
# or
[accounts."444455556666"]
approved_regions = ["us-*-1"]
# or
[accounts."111122223333"]
name = "no list"
# and
[access]
trust_read_only_field = false
# and
[access.calls]
"lambda:UpdateFunction" = "read-only"
"lambda:UpdateFunctionCode20150331v2" = "sensitive"
"lambda:GetThing" = "mutating"
"ec2:RunInstances" = { access = "sensitive", when = { count = 3, attribute = ["x", "y*"] } }
"account:EnableRegion" = "by-field"
"s3:getThing" = "sensitive"
# or
[access.calls]
"ssm:GetParameter" = "by-field"
"kms:Decrypt" = "mutating"
# and
[[global]]
id = "mine"
homes = ["eu-west-3"]
services = ["ec2", "account"]
# or
[[global]]
id = "gov"
homes = ["ap-south-2"]
services = ["iam"]
# and
# Calls under several watches, none of which an exemption names: see TWICE_WATCHED.
[[watch]]
id = "w-trail"
reason = "as grave as an inherited one"
severity = "critical"
services = ["cloudtrail"]
[[watch]]
id = "w-root"
reason = "of no stated severity"
principals = ["*:root"]
regions = ["eu-*"]
[[watch]]
id = "w-low"
reason = "the least"
severity = "low"
accounts = ["444455556666"]
outcomes = ["throttled", "failed", "success"]
source_ips = ["203.0.113.0/24"]
[[watch]]
id = "w-medium"
reason = "by request"
severity = "medium"
request = { withDecryption = true }
# or
# No call is under two of these watches.
[[watch]]
id = "run"
reason = "somebody runs something"
severity = "medium"
calls = ["ec2:Run*"]
[[exempt]]
id = "night"
reason = "planned"
watches = ["run", "trail-tampering"]
regions = ["eu-*", "unknown"]
[[exempt]]
id = "day"
reason = "planned too"
watches = ["trail-tampering"]
accounts = ["111122223333"]
until = 2026-11-20
# or
[[watch]]
id = "trail-tampering"
reason = "replaced"
severity = "low"
calls = ["cloudtrail:Delete*", "cloudtrail:*2020*"]
# and
[[exempt]]
id = "a"
reason = "by account and outcome"
accounts = ["111122223333"]
outcomes = ["denied", "dry-run"]
# and
[[exempt]]
id = "b"
reason = "by service, for a while"
services = ["EC?", "lam*"]
until = 2026-11-20
# or
[[exempt]]
id = "b"
reason = "by call"
calls = ["*:list*", "ec2:RunInstances", "LAMBDA:updatefunction"]
# and
[[exempt]]
id = "c"
reason = "by principal"
principals = ["*:ROLE/ci", "*zoË", "*.amazonaws.com"]
# or
[[exempt]]
id = "c"
reason = "by principal and region"
principals = ["*:assumed-role/ci/?"]
regions = ["eu-*", "ap-south-2"]
# and
[[exempt]]
id = "d"
reason = "by address"
source_ips = ["203.0.113.0/25", "2001:db8::/33", "10.0.0.7/32"]
# and
[[exempt]]
id = "e"
reason = "by request, for a while"
request = { attribute = "user*" }
until = 2026-11-19
# or
[[exempt]]
id = "e"
reason = "by members of the request"
request = { count = [3, 2.5], withDecryption = [true, "no"] }
# or
[[exempt]]
id = "ssm-agent"
reason = "replaced"
request = { count = "3*" }
"#;

/// The text of a policy.
pub fn policy_text() -> impl Strategy<Value = String> {
    let choice = |parts: &'static str| {
        let parts: Vec<&str> = parts.split("# or\n").map(str::trim).collect();
        prop::option::weighted(0.4, select(parts))
    };
    let choices: Vec<_> = PARTS.split("# and\n").map(choice).collect();
    choices.prop_map(|parts| parts.into_iter().flatten().collect::<Vec<_>>().join("\n"))
}

/// Calls that the policies speak of.
const CALLS: &str = "account:DisableRegion account:EnableRegion account:enableRegion
    bedrock:InvokeModel cloudtrail:DeleteTrail cloudtrail:StopLogging
    cloudtrail:StopLogging2020_05_31 cloudtrail:UpdateTrail ec2:DescribeInstanceAttribute
    ec2:RunInstances globalaccelerator:CreateAccelerator iam:CreateUser kms:Decrypt
    lambda:UpdateFunction20150331v2 lambda:UpdateFunctionCode20150331v2 lambda:getThing20150331
    logs:CreateLogStream s3:GetThing s3:getThing secretsmanager:GetSecretValue
    secretsmanager:getSecretValue signin:ConsoleLogin ssm:GetParameter ssm:PutInventory
    ssmmessages:OpenDataChannel sts:AssumeRoot";

/// What calls are made up of else.
const SERVICES: &str = "ec2 lambda iam signin kms cloudtrail s3";
const VERBS: &str = "Describe describe List Get GET gEt Check Batch BatchGet BatchCheck Is Run run";
const MIDDLES: &str = "S s 3 _ - É Instances out Thing";
const DATES: &str = "20150331 2020_05_31 2020_0531 202005_31 20150331v2 20150331v 2015033 19991231
    20150331_ 20150331v2x x20150331v20200101";

/// The fields beside who and what, each with what may stand there.
const CIRCUMSTANCES: &str = r#"{
    "awsRegion": ["us-east-1", "eu-west-1", "eu-west-3", "ap-south-2", " EU-West-1 ", "us-gov-west-1",
        "us-west-2", "unknown", "UNKNOWN", "u", "", "  ", null, 7, ["us-east-1"]],
    "readOnly": [true, false, "true", "false", " True ", "FALSE\n", "yes", "", null, null, 1, {"x": true}],
    "errorCode": [null, null, null, "", "AccessDenied", "Client.UnauthorizedOperation", "NotAuthorized",
        "ForbiddenException", "AuthFailure", "OptInRequired", "ThrottlingException", "SlowDown",
        "RequestLimitExceeded", "TooManyRequestsException", "Client.DryRunOperation", "NoSuchBucket",
        "DryRunOperation.AccessDenied", "Throttled.AccessDenied", 403, ["AccessDenied"], true],
    "eventTime": ["2026-11-20T23:59:59Z", "2026-11-21T00:00:00Z", "2026-11-21T00:30:00+02:00", "never",
        "2026-11-20T23:30:00-02:00", "2026-11-19T10:00:00.123Z", "2026-11-20", "2026-11-20T10:00:00",
        "", 1795000000, null],
    "eventType": ["AwsApiCall", "AwsApiCall", "AwsServiceEvent", "AwsConsoleSignIn", "AwsVpceEvent",
        "AwsCloudTrailInsight", "AwsAggregatedEvent", "", null, 7],
    "eventCategory": ["Management", "Insight", "Aggregated", "insight", null, ["Insight"]],
    "recipientAccountId": ["111122223333", "444455556666", "777788889999", "", null, 7],
    "sourceIPAddress": ["203.0.113.7", "203.0.113.200", "2001:db8::1", "2001:db8:8000::1", "10.0.0.7",
        "10.0.0.8", "ec2.amazonaws.com", "AWS Internal", " 203.0.113.7", "203.0.113.07", "", null, 7],
    "eventID": ["1"]
}"#;

const IDENTITY: &str = r#"{
    "type": ["Root", "IAMUser", "AssumedRole", "FederatedUser", "AWSAccount", "AWSService", "Role",
        "WebIdentityUser", "IdentityCenterUser", "Unknown", "root", "", null, 7],
    "arn": ["arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/ZOë", "", null, ["x"],
        "arn:aws:sts::111122223333:assumed-role/ci/s", "arn:aws:sts::111122223333:assumed-role/x/i-0abc"],
    "sessionContext": [null, "text", {"sessionIssuer": 7},
        {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/ci"}},
        {"sessionIssuer": {"arn": ["arn:aws:iam::1:role/aws-service-role/x"]}},
        {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/Y"}},
        {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/Aws-service-role/x/Y"}}],
    "invokedBy": [null, null, "cloudtrail.amazonaws.com", "AWS Internal", "", true],
    "accountId": ["111122223333", "", null, 111122223333]
}"#;

const PARAMETERS: &str = r#"{
    "withDecryption": [true, false, "true", "True", " true", "no", 1, null],
    "attribute": ["userData", "USERDATA", "x", "yy", "", ["userData"], {"x": 1}, null],
    "count": [3, "3", 2.5, "2.5", 30, -3, "03", "3.0", 3.0, null],
    "RegionName": ["eu-west-1", " EU-West-1 ", "us-east-1", "unknown", "", null, 7]
}"#;

/// What stands where an object should.
const NO_OBJECT: &str = r#"[null, "Root", ["Root"], [3], {}, 7]"#;
const ODD_WORDS: &str = r#"["", null, 7, ["x"], true]"#;

fn any_of(values: &str) -> impl Strategy<Value = Value> + use<> {
    select(serde_json::from_str::<Vec<Value>>(values).unwrap())
}

/// An object, each member with any of the values that stand for it; some that are null are left out.
fn object(members: &str) -> impl Strategy<Value = Map<String, Value>> + use<> {
    let members: Map<String, Value> = serde_json::from_str(members).unwrap();
    let member = |(key, values): (String, Value)| {
        let value = select(values.as_array().unwrap().clone());
        (value, any::<bool>()).prop_map(move |(value, named)| {
            (!value.is_null() || named).then(|| (key.clone(), value))
        })
    };
    let members: Vec<_> = members.into_iter().map(member).collect();
    members.prop_map(|members| members.into_iter().flatten().collect())
}

fn word(text: &'static str) -> impl Strategy<Value = &'static str> {
    select(text.split_whitespace().collect::<Vec<_>>())
}

fn perhaps(text: &'static str) -> impl Strategy<Value = &'static str> {
    prop::option::of(word(text)).prop_map(Option::unwrap_or_default)
}

/// A source and a name.
fn call() -> impl Strategy<Value = (Value, Value)> {
    let known = word(CALLS).prop_map(|call| call.split_once(':').unwrap());
    let known = known.prop_map(|(service, name)| (service, name.to_owned()));
    let name = (perhaps(VERBS), perhaps(MIDDLES), perhaps(DATES));
    let name = name.prop_map(|(verb, middle, date)| format!("{verb}{middle}{date}"));
    let call = prop_oneof![known, (word(SERVICES), name)];
    let end = word(". . . . . .amazonaws.com.cn .AMAZONAWS.Com -");
    let call = (call, end).prop_map(|((service, name), end)| match end {
        "." => (json!(format!("{service}.amazonaws.com")), json!(name)),
        "-" => (json!(service), json!(name)),
        end => (json!(format!("{}{end}", service.to_uppercase())), json!(name)),
    });
    let odd = (any_of(ODD_WORDS), any_of(ODD_WORDS), 0..60);
    (call, odd).prop_map(|((source, name), (odd_source, odd_name, odd))| match odd {
        0 => (odd_source, name),
        1 => (source, odd_name),
        2 => (odd_source, odd_name),
        _ => (source, name),
    })
}

/// A record as text: fields missing, of a wrong type or said twice, and now and then no record.
fn record() -> impl Strategy<Value = String> {
    let identity = prop_oneof![9 => object(IDENTITY).prop_map(Value::from), 1 => any_of(NO_OBJECT)];
    let parameters =
        prop_oneof![4 => object(PARAMETERS).prop_map(Value::from), 1 => any_of(NO_OBJECT)];
    let oddity = (0..60, any::<Index>());
    (call(), identity, parameters, object(CIRCUMSTANCES), oddity).prop_map(
        |((source, name), identity, parameters, mut fields, (oddity, at))| {
            fields.insert("eventSource".to_owned(), source);
            fields.insert("eventName".to_owned(), name);
            fields.insert("userIdentity".to_owned(), identity);
            fields.insert("requestParameters".to_owned(), parameters);
            let mut members: Vec<_> =
                fields.iter().map(|(key, value)| format!("{key:?}: {value}")).collect();
            if oddity == 0 {
                members.push(members[at.index(members.len())].clone());
            }
            let text = format!("{{{}}}", members.join(", "));
            match oddity {
                1 => text[..text.floor_char_boundary(text.len() / 2)].to_owned(),
                2 => format!("[{text}]"),
                _ => text,
            }
        },
    )
}

pub fn records() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(record(), 1..40)
}
