//! The largest payload that Lambda takes, and the memory that the function needs for it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::function::Function;
use super::moto::{Delivery, Moto};

const RECORDS: u64 = 20_000;

/// Lambda guide, "Lambda quotas": what a synchronous invocation may carry.
const LARGEST_PAYLOAD: usize = 6 * 1024 * 1024;

const MOST_MEMORY_KIB: u64 = 64 * 1024;

#[cfg(target_os = "linux")]
#[test]
fn the_largest_payload_passes_in_64_mib() {
    let Some(moto) = Moto::shared() else { return };
    let topic = moto.topic("largest", Delivery::Raw);
    let Some(mut function) = Function::start(&moto.settings(&topic.arn)) else { return };
    let payload = payload();
    assert!((5_500_000..LARGEST_PAYLOAD).contains(&payload.len()), "{} bytes", payload.len());

    let start = now();
    let invoked = function.invoke(&payload);
    let (took, peak) = (start.elapsed(), function.peak_memory());

    eprintln!("{RECORDS} records, {} bytes: {took:.2?}, at most {peak} KiB", payload.len());
    let expected = json!({"approved-region": RECORDS * 90 / 100, "read-only": RECORDS * 9 / 100});
    assert_eq!(invoked.line["ignored_by"], expected);
    assert_eq!(invoked.line["alerts"], RECORDS / 100);
    assert_eq!(invoked.line["messages"], PRINCIPALS);
    assert_eq!(invoked.line["payload_bytes"], payload.len());
    assert!(invoked.line["inflated_bytes"].as_u64().unwrap() > 20_000_000, "{}", invoked.line);
    assert_eq!(topic.take().len() as u64, PRINCIPALS);
    assert!(peak < MOST_MEMORY_KIB, "{peak} KiB");
}

#[expect(clippy::disallowed_methods, reason = "said, and never judged: it depends on the machine")]
fn now() -> Instant {
    Instant::now()
}

/// Who makes the calls that alert.
const PRINCIPALS: u64 = 5;

/// A batch as a busy trail makes them: of a hundred records, ninety are of an approved region, nine
/// only read in another, and one changes something there.
fn payload() -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let head = json!({
        "messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "trail",
        "logStream": "111122223333_CloudTrail_us-east-1", "subscriptionFilters": ["regionwatch"],
    });
    let head = head.to_string();
    let head = head.strip_suffix('}').unwrap();
    write!(gzip, "{head},\"logEvents\":[").unwrap();
    let mut digits = Digits(1);
    for number in 0..RECORDS {
        let comma = if number == 0 { "" } else { "," };
        let message = serde_json::to_string(&record(number, &mut digits)).unwrap();
        let time = 1_795_435_200_000 + number;
        write!(
            gzip,
            "{comma}{{\"id\":\"{number:056}\",\"timestamp\":{time},\"message\":{message}}}"
        )
        .unwrap();
    }
    gzip.write_all(b"]}").unwrap();
    let data = STANDARD.encode(gzip.finish().unwrap());
    json!({"awslogs": {"data": data}}).to_string().into_bytes()
}

/// A record of about 1.2 KB, of which what differs from call to call is as random as it is in
/// CloudTrail: ids, keys and addresses.
fn record(number: u64, digits: &mut Digits) -> String {
    let (region, name, read_only) = match number % 100 {
        0 => ("eu-west-3", "RunInstances", false),
        1..=9 => ("ap-southeast-1", "DescribeInstances", true),
        _ => ("us-east-1", "CreateTags", false),
    };
    let role = format!("role-{}", number / 100 % PRINCIPALS);
    let (session, key) = (digits.hex(12), digits.hex(16));
    json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": format!("AROAQ3{role}EXAMPLE:{session}"),
            "arn": format!("arn:aws:sts::111122223333:assumed-role/{role}/{session}"),
            "accountId": "111122223333",
            "accessKeyId": format!("ASIA{key}"),
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": format!("AROAQ3{role}EXAMPLE"),
                    "arn": format!("arn:aws:iam::111122223333:role/{role}"),
                    "accountId": "111122223333",
                    "userName": role,
                },
                "attributes": {"creationDate": "2026-11-23T11:00:00Z", "mfaAuthenticated": "false"},
            },
        },
        "eventTime": format!("2026-11-23T11:{:02}:{:02}Z", number / 60 % 60, number % 60),
        "eventSource": "ec2.amazonaws.com",
        "eventName": name,
        "awsRegion": region,
        "sourceIPAddress": format!("198.51.100.{}", number % 251),
        "userAgent": "aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.25.1 md/GOARCH#amd64 api/ec2",
        "requestParameters": {
            "clientToken": digits.hex(18),
            "resourcesSet": {"items": [{"resourceId": format!("i-{}", digits.hex(17))}]},
        },
        "responseElements": {"requestId": digits.uuid(), "_return": true},
        "requestID": digits.uuid(),
        "eventID": digits.uuid(),
        "readOnly": read_only,
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": "111122223333",
        "eventCategory": "Management",
    })
    .to_string()
}

/// Random digits, the same in every run (SplitMix64).
struct Digits(u64);

impl Digits {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
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
}
