//! Batches as a busy trail makes them, the same in every run: for the benches, and for the tests of
//! memory.
//!
//! Of a hundred records, ninety are of an approved region, nine only read in another, and one
//! changes something there. They are of the sizes, the key order and the variety of real ones:
//! 1.2 KB on average, 7 to 1 under gzip. [`long`] makes the largest batch that fits a payload.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};
use serde_json::{Value, json};

/// Who makes the calls that alert, each of them in one region: one incident each.
pub const ALERTING: [&str; 5] = ["deploy", "data-pipeline", "platform-admin", "ci-runner", "ops"];

/// A payload of that many records, as Lambda hands it over.
pub fn payload(count: u64) -> Vec<u8> {
    pack(&batch(&records(count)))
}

/// That many records.
pub fn records(count: u64) -> Vec<String> {
    let mut random = Random(1);
    (0..count).map(|number| record(number, &mut random)).collect()
}

/// The text that a subscription sends, before it is compressed.
pub fn batch(records: &[String]) -> Vec<u8> {
    let mut text = String::from(HEAD);
    for (number, record) in records.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(text, "{comma}{}", entry(7 * number as u64, 0, record)).unwrap();
    }
    text.push_str(TAIL);
    text.into_bytes()
}

/// What stands before the entries of a batch.
const HEAD: &str = r#"{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"organisation-trail","logStream":"111122223333_CloudTrail_us-east-1_3","subscriptionFilters":["regionwatch"],"logEvents":["#;

/// What stands behind them.
const TAIL: &str = "]}";

/// An entry of that millisecond; of those that share it, the number tells them apart.
fn entry(millisecond: u64, number: u64, record: &str) -> String {
    let message = Value::from(record);
    let time = 1_795_435_200_000 + millisecond;
    let of_the_time = Random(time).next();
    format!(
        r#"{{"id":"3953106606966983{of_the_time:020}{number:020}","timestamp":{time},"message":{message}}}"#
    )
}

/// Gzip and base64, in the envelope of Lambda.
pub fn pack(batch: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(batch).unwrap();
    envelope(&gzip.finish().unwrap())
}

/// The payload of a Kinesis stream with these records spread over so many of its own.
pub fn stream(records: &[String], batches: usize) -> Vec<u8> {
    let mut text = String::from(r#"{"Records":["#);
    for (number, records) in records.chunks(records.len().div_ceil(batches)).enumerate() {
        let packed = String::from_utf8(pack(&batch(records))).unwrap();
        let data = packed.trim_start_matches(r#"{"awslogs":{"data":""#).trim_end_matches(r#""}}"#);
        let comma = if number == 0 { "" } else { "," };
        let sequence = format!("4967{number:052}");
        write!(text, r#"{comma}{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"{number:032x}","sequenceNumber":"{sequence}","data":"{data}","approximateArrivalTimestamp":1795435200.123}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000000:{sequence}","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::111122223333:role/regionwatch","awsRegion":"us-east-1","eventSourceARN":"arn:aws:kinesis:us-east-1:111122223333:stream/regionwatch"}}"#).unwrap();
    }
    text.push_str("]}");
    text.into_bytes()
}

/// Data that is compressed already, in the envelope of Lambda.
pub fn envelope(gzip: &[u8]) -> Vec<u8> {
    format!(r#"{{"awslogs":{{"data":"{}"}}}}"#, STANDARD.encode(gzip)).into_bytes()
}

/// A payload of at least `records`, and of one entry again and again until `inflated` bytes are
/// filled; and how many entries there are. It costs hardly more to make than to send: that entry is
/// compressed in blocks that refer to nothing before them, each a copy of the first.
pub fn long(records: &[String], inflated: u64) -> (Vec<u8>, u64) {
    const IN_BLOCK: u64 = 256;
    let mut gzip = Gzip::begin();
    let start = batch(records);
    gzip.block(start.strip_suffix(TAIL.as_bytes()).unwrap(), 1);
    let again = (0..IN_BLOCK).map(|number| format!(",{}", entry(0, number, &records[0])));
    let again = again.collect::<String>().into_bytes();
    let blocks = (inflated - start.len() as u64) / again.len() as u64;
    gzip.block(&again, blocks);
    gzip.block(TAIL.as_bytes(), 1);
    (envelope(&gzip.end()), records.len() as u64 + blocks * IN_BLOCK)
}

/// A gzip member (RFC 1952) of blocks that do not know of each other.
struct Gzip {
    bytes: Vec<u8>,
    crc: Crc,
}

impl Gzip {
    fn begin() -> Self {
        let header = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        Gzip { bytes: header, crc: Crc::new() }
    }

    fn block(&mut self, text: &[u8], times: u64) {
        let mut crc = Crc::new();
        crc.update(text);
        let mut block = Vec::with_capacity(text.len() + 1024);
        let mut compress = Compress::new(Compression::best(), false);
        compress.compress_vec(text, &mut block, FlushCompress::Full).unwrap();
        for _ in 0..times {
            self.bytes.extend_from_slice(&block);
            self.crc.combine(&crc);
        }
    }

    fn end(mut self) -> Vec<u8> {
        // The last block of a stream has to say so; this one is empty.
        self.bytes.extend_from_slice(&[3, 0]);
        self.bytes.extend_from_slice(&self.crc.sum().to_le_bytes());
        self.bytes.extend_from_slice(&self.crc.amount().to_le_bytes());
        self.bytes
    }
}

/// What a record is about.
struct Call {
    source: &'static str,
    name: &'static str,
    read_only: bool,
    request: fn(&mut Random) -> Value,
    response: fn(&mut Random) -> Value,
}

fn record(number: u64, random: &mut Random) -> String {
    let hundred = number % 100;
    let (call, region, who) = match hundred {
        95 => {
            let role = ALERTING[(number / 100) as usize % ALERTING.len()];
            (random.one_of(&CHANGES), "eu-west-3", assumed_role(role, random))
        }
        n if n % 10 == 5 => {
            let region = random.one_of(&["eu-west-1", "ap-southeast-1", "sa-east-1"]);
            (random.one_of(&READS), *region, somebody(random))
        }
        n => {
            let calls = if n % 5 == 0 { &CHANGES[..] } else { &READS[..] };
            let region = random.one_of(&["us-east-1", "us-east-1", "us-east-1", "us-west-2"]);
            let who = if n % 7 == 3 { service(random) } else { somebody(random) };
            (random.one_of(calls), *region, who)
        }
    };
    written(call, region, &who, number, random)
}

/// In the order of CloudTrail's keys.
fn written(call: &Call, region: &str, who: &Who, number: u64, random: &mut Random) -> String {
    let Call { source, name, read_only, .. } = call;
    let (minute, second) = (number / 60 % 60, number % 60);
    let (request, response) = ((call.request)(random), (call.response)(random));
    let (request_id, id) = (random.uuid(), random.uuid());
    let Who { identity, address, agent } = who;
    let additional = match *source {
        "s3" => format!(
            r#""additionalEventData":{{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":0,"x-amz-id-2":"{}"}},"#,
            random.key(76)
        ),
        _ => String::new(),
    };
    let tls = match *source {
        "ec2" => format!(
            r#","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{source}.{region}.amazonaws.com"}}"#
        ),
        _ => String::new(),
    };
    format!(
        r#"{{"eventVersion":"1.11","userIdentity":{identity},"eventTime":"2026-11-23T11:{minute:02}:{second:02}Z","eventSource":"{source}.amazonaws.com","eventName":"{name}","awsRegion":"{region}","sourceIPAddress":"{address}","userAgent":"{agent}","requestParameters":{request},"responseElements":{response},{additional}"requestID":"{request_id}","eventID":"{id}","readOnly":{read_only},"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"{tls}}}"#
    )
}

struct Who {
    /// JSON.
    identity: String,
    address: String,
    agent: &'static str,
}

/// A role two times of three, else a user.
fn somebody(random: &mut Random) -> Who {
    match random.below(3) {
        0 => user(random),
        _ => {
            let role = random.one_of(&ROLES);
            assumed_role(role, random)
        }
    }
}

const ROLES: [&str; 8] = [
    "ecs-task-orders",
    "eks-node-group-blue",
    "AWSReservedSSO_ReadOnlyAccess_5d1f0c9a8b7e6f43",
    "lambda-thumbnailer-execution",
    "terraform-plan",
    "inventory-collector",
    "cost-explorer-export",
    "datadog-integration",
];

fn assumed_role(role: &str, random: &mut Random) -> Who {
    // A session makes many calls, so that its name and key come again and again.
    let mut session = Random(role.len() as u64 * 1000 + random.below(64));
    let (name, key, id) = (session.hex(17), session.key(16), Random(role.len() as u64).key(17));
    let (hour, agent) = (session.below(11), *session.one_of(&AGENTS));
    Who {
        identity: format!(
            r#"{{"type":"AssumedRole","principalId":"AROA{id}:i-{name}","arn":"arn:aws:sts::111122223333:assumed-role/{role}/i-{name}","accountId":"111122223333","accessKeyId":"ASIA{key}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROA{id}","arn":"arn:aws:iam::111122223333:role/{role}","accountId":"111122223333","userName":"{role}"}},"attributes":{{"creationDate":"2026-11-23T{hour:02}:14:07Z","mfaAuthenticated":"false"}}}}}}"#
        ),
        address: format!("198.51.100.{}", session.below(250)),
        agent,
    }
}

fn user(random: &mut Random) -> Who {
    let name = *random.one_of(&["ana.lopez", "backup-robot", "j.smith@example.com"]);
    let mut user = Random(name.len() as u64);
    let (id, key, agent) = (user.key(17), user.key(16), *user.one_of(&AGENTS));
    Who {
        identity: format!(
            r#"{{"type":"IAMUser","principalId":"AIDA{id}","arn":"arn:aws:iam::111122223333:user/{name}","accountId":"111122223333","accessKeyId":"AKIA{key}","userName":"{name}"}}"#
        ),
        address: format!("203.0.113.{}", user.below(250)),
        agent,
    }
}

fn service(random: &mut Random) -> Who {
    let service = *random.one_of(&[
        "ec2.amazonaws.com",
        "autoscaling.amazonaws.com",
        "ecs-tasks.amazonaws.com",
        "config.amazonaws.com",
    ]);
    Who {
        identity: format!(r#"{{"type":"AWSService","invokedBy":"{service}"}}"#),
        address: service.to_owned(),
        agent: service,
    }
}

const AGENTS: [&str; 5] = [
    "aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.25.1 md/GOOS#linux md/GOARCH#amd64 api/ec2#1.251.2 m/E,e",
    "Boto3/1.40.61 md/Botocore#1.40.61 ua/2.1 os/linux#6.1.155-176.282.amzn2023.x86_64 md/arch#x86_64 lang/python#3.13.7",
    "aws-cli/2.31.21 md/awscrt#0.28.2 ua/2.1 os/macos#25.0.0 md/arch#arm64 lang/python#3.13.7",
    "APN/1.0 HashiCorp/1.0 Terraform/1.13.4 (+https://www.terraform.io)",
    r#"Mozilla/5.0 (X11; Linux x86_64) \"console\" AppleWebKit/537.36 Chrome/142.0.0.0"#,
];

const READS: [Call; 7] = [
    Call {
        source: "ec2",
        name: "DescribeInstances",
        read_only: true,
        request: |random| {
            let ids: Vec<_> = (0..1 + random.below(9)).map(|_| random.id("i-")).collect();
            let ids = ids.into_iter().map(|id| json!({"instanceId": id}));
            json!({
                "maxResults": 1000,
                "instancesSet": {"items": ids.collect::<Vec<_>>()},
                "filterSet": {"items": [{
                    "name": "instance-state-name",
                    "valueSet": {"items": [{"value": "running"}, {"value": "pending"}]},
                }]},
            })
        },
        response: |_| Value::Null,
    },
    Call {
        source: "ec2",
        name: "DescribeNetworkInterfaces",
        read_only: true,
        request: |random| {
            json!({
                "networkInterfaceIdSet": {},
                "filterSet": {"items": [
                    {"name": "vpc-id", "valueSet": {"items": [{"value": random.id("vpc-")}]}},
                    {"name": "tag:Name", "valueSet": {"items": [{"value": "\"blue\" *"}]}},
                ]},
            })
        },
        response: |_| Value::Null,
    },
    Call {
        source: "kms",
        name: "Decrypt",
        read_only: true,
        request: |random| {
            let bucket = format!("arn:aws:s3:::orders-archive-{}", random.below(30));
            json!({
                "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
                "encryptionContext": {"aws:s3:arn": format!("{bucket}/{}", random.hex(24))},
            })
        },
        response: |_| Value::Null,
    },
    Call {
        source: "sts",
        name: "AssumeRole",
        read_only: true,
        request: |random| {
            json!({
                "roleArn": format!("arn:aws:iam::111122223333:role/{}", random.one_of(&ROLES)),
                "roleSessionName": random.hex(20),
                "externalId": random.uuid(),
                "durationSeconds": 3600,
            })
        },
        response: |random| {
            json!({
                "credentials": {
                    "accessKeyId": format!("ASIA{}", random.key(16)),
                    "sessionToken": random.key(300),
                    "expiration": "Nov 23, 2026, 12:11:09 PM",
                },
                "assumedRoleUser": {
                    "assumedRoleId": format!("AROA{}:session", random.key(17)),
                    "arn": "arn:aws:sts::111122223333:assumed-role/ecs-task-orders/session",
                },
            })
        },
    },
    Call {
        source: "s3",
        name: "GetBucketAcl",
        read_only: true,
        request: |random| {
            let bucket = format!("orders-archive-{}", random.below(30));
            json!({"acl": "", "bucketName": bucket, "Host": format!("{bucket}.s3.amazonaws.com")})
        },
        response: |_| Value::Null,
    },
    Call {
        source: "monitoring",
        name: "DescribeAlarms",
        read_only: true,
        request: |random| {
            let names = (0..3).map(|_| format!("orders-{}-latency-p99", random.below(200)));
            json!({"alarmNames": names.collect::<Vec<_>>(), "maxRecords": 100})
        },
        response: |_| Value::Null,
    },
    Call {
        source: "logs",
        name: "DescribeLogStreams",
        read_only: true,
        request: |random| {
            json!({
                "logGroupName": format!("/aws/lambda/orders-{}", random.below(60)),
                "orderBy": "LastEventTime",
                "descending": true,
                "limit": 50,
            })
        },
        response: |_| Value::Null,
    },
];

const CHANGES: [Call; 4] = [
    Call {
        source: "ec2",
        name: "RunInstances",
        read_only: false,
        request: |random| {
            json!({
                "instancesSet": {"items": [{"imageId": random.id("ami-"), "minCount": 1, "maxCount": 1}]},
                "userData": "<sensitiveDataRemoved>",
                "instanceType": "m7g.large",
                "subnetId": random.id("subnet-"),
                "monitoring": {"enabled": false},
                "clientToken": random.uuid(),
                "tagSpecificationSet": {"items": [{
                    "resourceType": "instance",
                    "tags": [{"key": "Name", "value": "orders \"blue\"\tpool"}],
                }]},
            })
        },
        response: |random| {
            let instance = random.id("i-");
            json!({
                "requestId": random.uuid(),
                "reservationId": random.id("r-"),
                "ownerId": "111122223333",
                "instancesSet": {"items": [{
                    "instanceId": instance,
                    "instanceState": {"code": 0, "name": "pending"},
                    "privateIpAddress": format!("10.0.{}.{}", random.below(255), random.below(255)),
                }]},
            })
        },
    },
    Call {
        source: "s3",
        name: "PutBucketPolicy",
        read_only: false,
        request: |random| {
            let bucket = format!("orders-archive-{}", random.below(30));
            let text = json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
                    "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }],
            });
            json!({"bucketName": bucket, "policy": text.to_string()})
        },
        response: |_| Value::Null,
    },
    Call {
        source: "ecs",
        name: "RegisterTaskDefinition",
        read_only: false,
        request: |random| {
            let number = random.below(60);
            json!({
                "family": format!("orders-{number}"),
                "networkMode": "awsvpc",
                "containerDefinitions": [{
                    "name": "app",
                    "image": format!("111122223333.dkr.ecr.us-east-1.amazonaws.com/orders@sha256:{}", random.hex(64)),
                    "command": ["sh", "-c", "exec ./serve --log='{\"level\":\"info\"}'\n"],
                    "essential": true,
                    "memory": 512,
                }],
            })
        },
        response: |_| Value::Null,
    },
    Call {
        source: "ec2",
        name: "CreateTags",
        read_only: false,
        request: |random| {
            json!({
                "resourcesSet": {"items": [{"resourceId": random.id("eni-")}]},
                "tagSet": {"items": [{"key": "cluster.k8s.amazonaws.com/name", "value": "blue"}]},
            })
        },
        response: |random| json!({"requestId": random.uuid(), "_return": true}),
    },
];

/// SplitMix64: random, and the same in every run.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<'t, T>(&mut self, things: &'t [T]) -> &'t T {
        &things[self.next() as usize % things.len()]
    }

    fn hex(&mut self, length: usize) -> String {
        let mut digits = String::new();
        while digits.len() < length {
            write!(digits, "{:016x}", self.next()).unwrap();
        }
        digits.truncate(length);
        digits
    }

    fn uuid(&mut self) -> String {
        let parts = [8, 4, 4, 4, 12].map(|length| self.hex(length));
        parts.join("-")
    }

    /// The id of a resource.
    fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{}", self.hex(17))
    }

    /// The random part of an access key or of a principal's id.
    fn key(&mut self, length: usize) -> String {
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        (0..length).map(|_| char::from(*self.one_of(digits))).collect()
    }
}
