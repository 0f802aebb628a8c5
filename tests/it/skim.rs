//! Skimming says what the judge says, or that it does not know.
//!
//! A case is a record, mostly as CloudTrail writes it, then damaged or disguised. Where skimming
//! ignores it, the judge must, for the same reason; and of a record that is no valid JSON, what
//! was gone through must be the beginning of one that the judge ignores. `PROPTEST_CASES` says how
//! many policies are tried, each with [`RECORDS`] records.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use regionwatch::envelope::{Batch, Escaped, RawEntry, ReadEntries, read_batch};
use regionwatch::policy::{Policy, Reason, Verdict};
use regionwatch::record::Record;
use regionwatch::skim::{Seen, Skimmed, Skimmer};
use serde_json::json;
use serde_json::value::RawValue;

use crate::corpus::corpus;
use crate::oracle::random::{policy_text, records};

const OWNER: &str = "444455556666";

/// Records tried under each policy.
const RECORDS: usize = 100;

/// What a policy with watches on every shape of rule, and lists of single accounts, has to say.
const EVERYTHING: &str = r#"
approved_regions = ["us-east-1", "eu-*"]
[accounts."111122223333"]
approved_regions = ["ap-*"]
[access.calls]
"ec2:DescribeInstances" = { access = "sensitive", when = { attribute = "x" } }
[[watch]]
id = "services"
reason = "shape"
services = ["kms"]
outcomes = ["denied"]
[[watch]]
id = "calls"
reason = "shape"
calls = ["s3:Put*", "ec2:RunInstances", "iam:?reateUser"]
accounts = ["111122223333"]
[[watch]]
id = "regions"
reason = "shape"
regions = ["us-east-1"]
request = { note = "x" }
[[watch]]
id = "principals"
reason = "shape"
principals = ["*:root", "*role/ci", "cloudtrail.amazonaws.com"]
[[watch]]
id = "addresses"
reason = "shape"
accounts = ["7*"]
source_ips = ["203.0.113.0/24"]
"#;

fn policy(user: &str) -> Policy {
    Policy::with_user_file("test.toml", user).unwrap()
}

fn escaped(text: &str) -> Box<RawValue> {
    RawValue::from_string(serde_json::to_string(text).unwrap()).unwrap()
}

/// What stands behind the first quote of a message.
fn ahead(message: Escaped<'_>) -> Vec<u8> {
    [message.inside(), b"\""].concat()
}

fn judged(policy: &Policy, text: &str) -> Result<Verdict, &'static str> {
    Record::parse(text).map(|record| policy.judge(&record, OWNER)).map_err(|error| error.what())
}

/// A policy, and how often skimming came to what.
struct Trial<'p> {
    policy: &'p Policy,
    skimmer: Skimmer<'p>,
    seen: BTreeMap<String, u64>,
}

impl<'p> Trial<'p> {
    fn of(policy: &'p Policy) -> Self {
        Trial { policy, skimmer: Skimmer::new(policy), seen: BTreeMap::new() }
    }

    fn check(&mut self, text: &str) {
        self.check_message(Escaped::of(&escaped(text)).unwrap(), Some(text));
    }

    /// `text`: what the message says, where it is valid.
    #[track_caller]
    fn check_message(&mut self, message: Escaped<'_>, text: Option<&str>) {
        let skimmed = self.skimmer.skim(&ahead(message), OWNER);
        self.check_skimmed(skimmed, message, text);
    }

    #[track_caller]
    fn check_skimmed(
        &mut self,
        skimmed: Option<Skimmed>,
        message: Escaped<'_>,
        text: Option<&str>,
    ) {
        let Some(Skimmed { reason, passed, ascii }) = skimmed else {
            *self.seen.entry("unsure".to_owned()).or_default() += 1;
            return;
        };
        *self.seen.entry(reason.to_string()).or_default() += 1;
        let expected = Ok(Verdict::Ignore(reason));
        let whole = text.map(|text| judged(self.policy, text));
        if let Some(Ok(_)) = whole {
            assert_eq!(whole, Some(expected), "{text:?}");
            return;
        }
        // The judge cannot read it. What was gone through is the beginning of one that it can.
        let inside = message.inside();
        assert_eq!(ascii, inside[..passed].is_ascii());
        let passed = std::str::from_utf8(&inside[..passed]).unwrap();
        let passed: String = serde_json::from_str(&format!("\"{passed}\"")).unwrap();
        assert_eq!(judged(self.policy, &format!("{passed}}}")), expected, "{passed} of {text:?}");
    }

    /// Checks messages as they stand in a batch, escaped by whomever.
    fn check_escaped(&mut self, messages: &[Vec<u8>]) {
        let mut batch = br#"{"messageType":"DATA_MESSAGE","owner":"444455556666","logGroup":"g","logStream":"s","logEvents":["#.to_vec();
        for (at, message) in messages.iter().enumerate() {
            batch.extend_from_slice(if at == 0 { b"" } else { b"," });
            batch.extend_from_slice(br#"{"id":"1","timestamp":1,"message":""#);
            batch.extend_from_slice(message);
            batch.extend_from_slice(b"\"}");
        }
        batch.extend_from_slice(b"]}");
        // A message may end the string, the entry or the batch; then there are other entries.
        let _outcome = read_batch(|| &batch[..], self);
    }
}

/// Skims what is ahead, and looks up then what it was.
impl ReadEntries for &mut Trial<'_> {
    type Foreseen = Skimmed;

    fn look(&mut self, batch: &Batch, ahead: &[u8]) -> Option<(Skimmed, usize)> {
        let skimmed = self.skimmer.skim(ahead, &batch.owner)?;
        let inside = if skimmed.ascii { skimmed.passed } else { 0 };
        Some((skimmed, inside))
    }

    fn take(&mut self, _: &Batch, entry: RawEntry<'_>, skimmed: Option<Skimmed>) {
        let read = entry.read().ok();
        let Some(message) = entry.message() else { return assert_eq!(skimmed, None) };
        if let Some(read) = &read {
            assert_eq!(read.message, message);
        }
        let text = read.and_then(|entry| entry.message.unescape());
        self.check_skimmed(skimmed, message, text.as_deref());
    }
}

/// A source of chance, the same for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn throw(&mut self, below: usize) -> usize {
        // SplitMix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 33) as usize % below
    }

    pub fn one_in(&mut self, many: usize) -> bool {
        self.throw(many) == 0
    }

    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.throw(from.len())]
    }
}

/// Fields in the order of CloudTrail, each with what mostly stands there.
const FIELDS: [(&str, &[&str]); 16] = [
    ("eventVersion", &[r#""1.09""#]),
    ("userIdentity", &[]),
    ("eventTime", &[r#""2026-11-20T10:00:00Z""#]),
    (
        "eventSource",
        &[
            r#""ec2.amazonaws.com""#,
            r#""iam.amazonaws.com""#,
            r#""signin.amazonaws.com""#,
            r#""kms.amazonaws.com""#,
            r#""s3.amazonaws.com.cn""#,
            r#""account.amazonaws.com""#,
            r#""cloudtrail.amazonaws.com""#,
            r#""EC2.amazonaws.com""#,
        ],
    ),
    (
        "eventName",
        &[
            r#""RunInstances""#,
            r#""DescribeInstances""#,
            r#""CreateUser""#,
            r#""StopLogging""#,
            r#""EnableRegion""#,
            r#""PutObject""#,
            r#""ListFunctions20150331""#,
            r#""Decrypt""#,
            r#""getThing""#,
        ],
    ),
    (
        "awsRegion",
        &[
            r#""us-east-1""#,
            r#""us-east-1""#,
            r#""eu-west-1""#,
            r#""eu-west-3""#,
            r#""ap-south-2""#,
            r#"" US-East-1 ""#,
            r#""unknown""#,
            r#""""#,
        ],
    ),
    ("sourceIPAddress", &[r#""203.0.113.7""#]),
    ("userAgent", &[r#""aws-cli/2 \"x\" \\ é""#, r#""Zoë\u00eb\ud800\n""#]),
    ("requestParameters", &[]),
    ("responseElements", &["null", r#"{"awsRegion":"us-east-1"}"#]),
    ("eventID", &[r#""1""#]),
    ("readOnly", &["true", "false", r#""true""#, r#"" False ""#, r#""yes""#]),
    ("eventType", &[r#""AwsApiCall""#, r#""AwsServiceEvent""#, r#""AwsCloudTrailInsight""#]),
    ("recipientAccountId", &[r#""111122223333""#, r#""777788889999""#, "null", r#""""#]),
    ("eventCategory", &[r#""Management""#, r#""Insight""#]),
    ("errorCode", &["null", r#""AccessDenied""#]),
];

/// Members that an attacker may have a word in.
const PLANTED: [&str; 8] = [
    r#"{"awsRegion":"us-east-1","eventSource":"ec2.amazonaws.com","eventName":"DescribeInstances"}"#,
    r#"{"note":"},\"awsRegion\":\"us-east-1\"","b":[1,-2.5e+3,true,false,null,{}],"c":{"d":[[]]}}"#,
    r#"[{"awsRegion":"us-east-1"},"\\","\"",0]"#,
    r#""\",\"awsRegion\":\"us-east-1""#,
    r#"{"policy":"{\"Statement\":[{\"Resource\":\"\\\"\"}]}","é":"\u00e9\/\b"}"#,
    r#"{"":"","a\"b":1,"awsRegion\\":2}"#,
    "null",
    "{}",
];

const IDENTITIES: [&str; 10] = [
    r#"{"type":"Root","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"}"#,
    r#"{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/Zoë","accountId":"777788889999"}"#,
    r#"{"type":"AssumedRole","principalId":"A:b","arn":"arn:aws:sts::1:assumed-role/ci/s","accountId":"777788889999","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::1:role/ci","userName":"ci"},"attributes":{"mfaAuthenticated":"false"}}}"#,
    r#"{"type":"AssumedRole","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::1:role/aws-service-role/x.amazonaws.com/Y"},"sessionIssuer2":{}}}"#,
    r#"{"type":"AWSService","invokedBy":"cloudtrail.amazonaws.com"}"#,
    r#"{"type":"AWSAccount","userName":"a","userName":"b","invokedBy":"AWS Internal"}"#,
    r#"{"type":"AssumedRole","sessionContext":{"sessionIssuer":{"arn":"x","arn":"arn:aws:iam::1:role/aws-service-role/x"}}}"#,
    r#"{"type":"AssumedRole","sessionContext":[{"arn":"arn:aws:iam::1:role/aws-service-role/x"},null]}"#,
    "null",
    r#"["AWSService",null]"#,
];

const ODD: [&str; 12] = [
    "7",
    "-0.5E1",
    "null",
    "true",
    "[]",
    "{}",
    r#""""#,
    r#""\u0061""#,
    r#""\\""#,
    "01",
    "nul",
    r#"{"a":}"#,
];

/// A record that is odd in places.
pub fn record(dice: &mut Dice) -> String {
    let mut members = Vec::new();
    for (key, values) in FIELDS {
        if dice.one_in(12) {
            continue;
        }
        let value = match key {
            _ if dice.one_in(40) => dice.pick(&ODD),
            "userIdentity" => dice.pick(&IDENTITIES),
            "requestParameters" => dice.pick(&PLANTED),
            _ => dice.pick(values),
        };
        let key = match dice.throw(300) {
            0 => key.replace('e', r"\u0065"),
            1 => key.to_uppercase(),
            2 => format!("{key}\\\\"),
            _ => key.to_owned(),
        };
        members.push(format!("\"{key}\":{value}"));
    }
    if dice.one_in(4) {
        members.insert(0, format!("\"extra\":{}", dice.pick(&PLANTED)));
    }
    if dice.one_in(4) && members.len() > 1 {
        let (from, to) = (dice.throw(members.len()), dice.throw(members.len()));
        members.swap(from, to);
    }
    if dice.one_in(20) {
        let again = dice.throw(members.len().max(1));
        members.extend(members.get(again).cloned());
    }
    let comma = if dice.one_in(50) { ", " } else { "," };
    format!("{{{}}}", members.join(comma))
}

/// The text, damaged in a place or two.
pub fn damaged(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    const BYTES: &[u8] = b"\"\\{}[],: \n0-.eEnt\x00\x7F\xC3\xA9u/x";
    let mut text = text.to_vec();
    for _ in 0..=dice.throw(2) {
        let at = dice.throw(text.len() + 1);
        let byte = BYTES[dice.throw(BYTES.len())];
        match dice.throw(6) {
            0 => text.truncate(at),
            1 if at < text.len() => text[at] = byte,
            2 if at < text.len() => drop(text.remove(at)),
            3 => {
                let to = (at + dice.throw(40)).min(text.len());
                let piece = text[at..to].to_vec();
                text.splice(at..at, piece);
            }
            4 => {
                let to = (at + dice.throw(40)).min(text.len());
                drop(text.drain(at..to));
            }
            _ => text.insert(at, byte),
        }
    }
    text
}

/// One record, sound or damaged before or behind the escaping.
fn try_one(trial: &mut Trial<'_>, text: &str, dice: &mut Dice) {
    match dice.throw(4) {
        0 => trial.check(text),
        1 => {
            let damaged = damaged(text.as_bytes(), dice);
            trial.check(&String::from_utf8_lossy(&damaged));
        }
        _ => {
            let message = escaped(text);
            let message = message.get().as_bytes();
            let inside = &message[1..message.len() - 1];
            trial.check_escaped(&[damaged(inside, dice), inside.to_vec(), damaged(inside, dice)]);
        }
    }
}

fn try_many(policy: &Policy, seed: u64) -> BTreeMap<String, u64> {
    let (mut trial, mut dice) = (Trial::of(policy), Dice(seed));
    for _ in 0..RECORDS {
        let text = record(&mut dice);
        try_one(&mut trial, &text, &mut dice);
    }
    trial.seen
}

/// As the random records of the oracle are written, but for the white space.
fn compact(text: &str) -> String {
    text.replace("\": ", "\":").replace(", \"", ",\"")
}

fn every_policy() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(String::new()),
        1 => Just(EVERYTHING.to_owned()),
        1 => Just(EVERYTHING.split("[[watch]]").next().unwrap().to_owned()),
        3 => policy_text(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn skimming_never_contradicts_the_judge(user in every_policy(), seed in any::<u64>()) {
        try_many(&policy(&user), seed);
    }

    #[test]
    fn skimming_never_contradicts_the_judge_on_odd_records(user in every_policy(), records in records(), seed in any::<u64>()) {
        let policy = policy(&user);
        let (mut trial, mut dice) = (Trial::of(&policy), Dice(seed));
        for record in &records {
            trial.check(record);
            let record = compact(record);
            trial.check(&record);
            try_one(&mut trial, &record, &mut dice);
        }
    }
}

#[test]
fn skimming_never_contradicts_the_judge_on_the_corpus() {
    let mut dice = Dice(1);
    for user in ["", EVERYTHING, "approved_regions = [\"eu-*\"]", "sensitive_reads = \"ignore\""] {
        let policy = policy(user);
        let mut trial = Trial::of(&policy);
        for file in ["traildiscover.ndjson", "stratus-red-team.ndjson", "oddities.ndjson"] {
            let Some(text) = corpus(file) else { return };
            for line in text.lines() {
                trial.check(line);
                for _ in 0..5 {
                    try_one(&mut trial, line, &mut dice);
                }
            }
        }
        let ignored: u64 =
            trial.seen.iter().filter(|(reason, _)| *reason != "unsure").map(|(_, n)| n).sum();
        assert!(ignored > 100, "{:?}", trial.seen);
    }
}

#[test]
fn a_record_cut_anywhere_is_not_ignored_for_what_is_missing() {
    let policy = policy("");
    for identity in IDENTITIES {
        let text = format!(
            r#"{{"eventVersion":"1.09","userIdentity":{identity},"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"us-east-1","readOnly":false}}"#
        );
        let mut trial = Trial::of(&policy);
        for cut in (0..=text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            trial.check(&text[..cut]);
        }
        // From the end of the region on, and not before.
        let behind = r#","readOnly":false}"#.len() as u64 + 1;
        assert_eq!(trial.seen.get("approved-region"), Some(&behind), "{text}");
    }
}

/// The random test is worth as much as what it reaches.
#[test]
fn the_cases_reach_every_reason() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::<String, u64>::new();
    let mut everything = 0;
    for seed in 0..60 {
        let user = every_policy().new_tree(&mut runner).unwrap().current();
        for (reason, count) in try_many(&policy(&user), seed) {
            *seen.entry(reason).or_default() += count;
        }
        let found = try_many(&policy(EVERYTHING), seed);
        everything += found.get("approved-region").copied().unwrap_or(0);
    }
    for reason in [
        "approved-region",
        "aws-service",
        "sign-in",
        "global-service",
        "read-only",
        "not-an-api-call",
        "unsure",
    ] {
        assert!(seen.get(reason).is_some_and(|count| *count > 10), "{reason}: {seen:?}");
    }
    assert!(everything > 10, "under a policy that asks for accounts and principals: {everything}");
}

#[test]
fn nine_of_ten_records_are_ignored_without_being_read() {
    let policy = policy("");
    let Some(text) = corpus("traildiscover.ndjson") else { return };
    let mut trial = Trial::of(&policy);
    text.lines().for_each(|line| {
        trial.check(
            &serde_json::from_str::<Box<RawValue>>(line).unwrap().get().replace("\": ", "\":"),
        )
    });
    let unsure = trial.seen.get("unsure").copied().unwrap_or(0);
    assert!(unsure * 8 < text.lines().count() as u64, "{:?}", trial.seen);
}

#[test]
fn nobody_can_plant_a_region_in_what_they_send() {
    let policy = policy("");
    let mut trial = Trial::of(&policy);
    for planted in PLANTED {
        for place in ["requestParameters", "userIdentity", "x"] {
            let text = format!(
                r#"{{"{place}":{planted},"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"eu-west-3","readOnly":false}}"#
            );
            trial.check(&text);
        }
    }
    assert_eq!(trial.seen.get("unsure"), Some(&(3 * PLANTED.len() as u64)), "{:?}", trial.seen);
}

fn skim(skimmer: &mut Skimmer<'_>, message: &RawValue) -> Option<Reason> {
    Some(skimmer.skim(&ahead(Escaped::of(message).unwrap()), OWNER)?.reason)
}

#[test]
fn the_first_of_two_fields_counts_and_the_second_goes_unnoticed() {
    let policy = policy("");
    let call = r#""eventSource":"ec2.amazonaws.com","eventName":"RunInstances""#;
    let mut skimmer = Skimmer::new(&policy);
    let mut skimmed = |text: &str| skim(&mut skimmer, &escaped(text));
    let approved = Some(Reason::ApprovedRegion);
    assert_eq!(
        skimmed(&format!(r#"{{{call},"awsRegion":"us-east-1","awsRegion":"eu-west-3"}}"#)),
        approved
    );
    assert_eq!(skimmed(&format!(r#"{{{call},"awsRegion":"us-east-1","ev"#)), approved);
    assert_eq!(skimmed(&format!(r#"{{"eventName":"X",{call},"awsRegion":"us-east-1"}}"#)), None);
    let twice = json!({"eventTime": 1}).to_string();
    assert_eq!(
        skimmed(&format!(
            r#"{{{},{},{call},"awsRegion":"us-east-1"}}"#,
            &twice[1..14],
            &twice[1..14]
        )),
        None
    );
}

fn field(texts: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(texts)
}

/// What stands before the identity, and the identity.
fn beginnings() -> (impl Strategy<Value = &'static str>, impl Strategy<Value = String>) {
    let version = field(&[
        r#""eventVersion":"1.11","#,
        r#""eventVersion":"1.08","#,
        r#""eventVersion":{"a":1},"#,
        r#""eventVersion":"1.11","eventVersion":"1.11","#,
        r#""eventTime":"2026-11-23T11:00:00Z","#,
        r#""sourceIPAddress":"1","#,
        r#""eventName":"DescribeVolumes","#,
        "",
    ]);
    let identity = field(&["198.51.100.7", "role", "\u{e9}", "a\\u0041", "AWSService"]).prop_map(|text| {
        let long = "x".repeat(200);
        format!(r#""userIdentity":{{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/{long}","sessionContext":{{"sessionIssuer":{{"type":"Role","userName":"{long}","arn":"{text}"}},"attributes":{{"mfaAuthenticated":"{text}"}}}}}},"#)
    });
    (version, identity)
}

/// Records in CloudTrail's order that differ in little, so that much of each was seen before.
fn alike() -> impl Strategy<Value = String> {
    let (version, identity) = beginnings();
    let source = field(&[
        r#""ec2.amazonaws.com""#,
        r#""s3.amazonaws.com""#,
        r#""cloudtrail.amazonaws.com""#,
        "null",
        "7",
    ]);
    let between = field(&[
        "",
        r#""sourceIPAddress":"1","#,
        r#""x":"Zoë","#,
        r#""x":{},"#,
        r#""eventSource":"s3.amazonaws.com","#,
    ]);
    let name = field(&[
        r#""DescribeReservedInstancesModifications""#,
        r#""StopEventDataStoreIngestion""#,
        r#""StopLogging""#,
        "null",
    ]);
    // Behind other keys the same text is another call.
    let keys = proptest::sample::select(vec![
        ["eventSource", "eventName", "awsRegion"],
        ["eventSource", "eventName", "awsRegion"],
        ["eventSource", "awsRegion", "eventName"],
        ["eventName", "eventSource", "awsRegion"],
        ["awsRegion", "eventSource", "eventName"],
        ["eventSource", "eventSource", "awsRegion"],
        ["eventSource", "eventSource", "eventName"],
        ["eventSource", "eventName", "eventName"],
    ]);
    let region = field(&[
        r#""us-east-1""#,
        r#""us-west-2""#,
        r#""us-east-1x""#,
        r#""eu-west-3""#,
        r#""us-east-1"#,
        "null",
        "nul",
    ]);
    let end = field(&[
        r#","readOnly":true}"#,
        r#","sourceIPAddress":"1","readOnly":false}"#,
        r#","awsRegion":"eu-west-3"}"#,
        r#","eventTime":"2026-11-23T11:00:00Z","readOnly":true}"#,
        "}",
        "",
    ]);
    (version, identity, keys, source, between, name, region, end).prop_map(
        |(version, identity, [first, second, third], source, between, name, region, end)| {
            format!(
                r#"{{{version}{identity}"{first}":{source},{between}"{second}":{name},"{third}":{region}{end}"#
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_seen_before_is_judged_as_if_it_came_first(
        messages in proptest::collection::vec((alike(), proptest::bool::weighted(0.03)), 1..200),
    ) {
        let policies = [policy(""), policy("approved_regions = [\"eu-*\"]")];
        let mut seen = Seen::default();
        for (text, other) in messages {
            let policy = &policies[usize::from(other)];
            let mut trial = Trial::of(policy);
            trial.skimmer = Skimmer::with(policy, seen);
            trial.check(&text);
            let message = escaped(&text);
            let message = Escaped::of(&message).unwrap();
            let fresh = Skimmer::new(policy).skim(&ahead(message), OWNER);
            prop_assert_eq!(trial.skimmer.skim(&ahead(message), OWNER), fresh, "{}", text);
            seen = trial.skimmer.into_seen();
        }
    }
}

#[test]
fn a_call_that_was_seen_behind_another_key_is_read_again() {
    let policy = policy("");
    let name = "DescribeReservedInstancesModifications";
    let rest = format!(
        r#":"{name}","eventSource":"ec2.amazonaws.com","awsRegion":"us-east-1","readOnly":true}}"#
    );
    let mut skimmer = Skimmer::new(&policy);
    let mut skimmed = |text: &str| skim(&mut skimmer, &escaped(text));
    let approved = Some(Reason::ApprovedRegion);
    assert_eq!(skimmed(&format!(r#"{{"eventName"{rest}"#)), approved);
    assert_eq!(skimmed(&format!(r#"{{"eventSource"{rest}"#)), None);
}

#[test]
fn a_message_that_ends_early_is_not_completed_by_what_stands_behind_it() {
    let policy = policy("");
    let region = r#"{\"eventSource\":\"ec2.amazonaws.com\",\"eventName\":\"X\",\"awsRegion\":\"us-east-1\"}""#;
    let skim = |ahead: &str| Skimmer::new(&policy).skim(ahead.as_bytes(), OWNER);
    assert!(skim(region).is_some());
    for cut in 0..=region.len() - r#"\"}""#.len() {
        let (kept, lost) = region.split_at(cut);
        assert_eq!(skim(kept), None, "{kept}");
        assert_eq!(skim(&format!("{kept}\"{lost}")), None, "{kept}");
        let next = format!(r#"{kept}"}},{{"id":"2","timestamp":1,"message":"{region}"#);
        assert_eq!(skim(&next), None, "{next}");
    }
}
