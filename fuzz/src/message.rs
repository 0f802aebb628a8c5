//! Messages made of the pieces that decide, so that few bytes reach deep: the fields that are read,
//! at the top and nested, twice, with escapes, with values of every kind.

use arbitrary::{Result, Unstructured};

/// Fields of a record with what decides in them: what a policy asks for, and what it does not.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "eventSource",
        &[
            "ec2.amazonaws.com",
            "kms.amazonaws.com",
            "S3.amazonaws.com.cn",
            "iam.amazonaws.com",
            "signin.amazonaws.com",
            "account.amazonaws.com",
            "cloudtrail.amazonaws.com",
            "cloudfront.amazonaws.com",
            "ssm.amazonaws.com",
        ],
    ),
    (
        "eventName",
        &[
            "RunInstances",
            "DescribeInstances",
            "GetObject",
            "CreateUser",
            "ConsoleLogin",
            "EnableRegion",
            "StopLogging",
            "GetParameter",
            "Decrypt",
            "ListFunctions20150331",
        ],
    ),
    (
        "awsRegion",
        &["us-east-1", "eu-west-3", "ap-south-1", "ca-central-1", "eu-north-1", " US-WEST-2", "u"],
    ),
    ("recipientAccountId", &["111122223333", "444455556666"]),
    ("eventType", &["AwsApiCall", "AwsServiceEvent", "AwsCloudTrailInsight"]),
    ("readOnly", &["true", " FALSE "]),
    ("eventCategory", &["Management", "Insight"]),
    ("errorCode", &["AccessDenied", "Client.DryRunOperation", "Throttling"]),
    ("sourceIPAddress", &["192.0.2.7", "198.51.100.1", "x.amazonaws.com"]),
    ("eventTime", &["2026-11-23T11:59:00Z", "2031-01-01T00:00:00Z"]),
    ("eventID", &["1"]),
];

/// Fields of `userIdentity` and of what stands in it.
const IDENTITY: &[(&str, &[&str])] = &[
    ("type", &["Root", "AWSService", "AssumedRole", "IAMUser", "AWSAccount"]),
    ("arn", ARNS),
    ("accountId", &["111122223333", "444455556666"]),
    ("invokedBy", &["x.amazonaws.com", "cloudtrail.amazonaws.com"]),
    ("principalId", &[LONG, LONGER, "AROA"]),
];

/// Identities this long are remembered.
const LONG: &str =
    "AROAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const LONGER: &str =
    "AROAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB";

const ARNS: &[&str] = &[
    "arn:aws:iam::111122223333:root",
    "arn:aws:iam::111122223333:user/admin-1",
    "arn:aws:iam::1:role/aws-service-role/x",
    "arn:aws:sts::1:assumed-role/x/i-01",
];

/// Other keys.
const KEYS: &[&str] = &[
    "userIdentity",
    "sessionContext",
    "sessionIssuer",
    "attributes",
    "userName",
    "requestParameters",
    "responseElements",
    "RegionName",
    "bucketName",
    "dryRun",
    "resources",
    "name",
    "other",
    "",
];

/// Text that is no string.
const LITERALS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-12.5e+3",
    "18446744073709551616",
    "1e999",
    "{}",
    "[]",
    "01",
    "1.",
    "-",
    "tru",
];

/// What may stand inside a string; some of it must not.
const ESCAPES: &[&str] =
    &["\\\"", "\\\\", "\\n", "\\/", "\\u0041", "\\ud83d\\ude00", "\\ud83d", "\\x", "\n", "}", "{"];

const SPACES: &[&str] = &[" ", "\n", "\t\r", "\u{A0}"];

const DEEPEST: usize = 6;

/// A message: an object, as a rule, and mostly one with the fields of a record.
pub fn message(draws: &mut Unstructured<'_>) -> Result<String> {
    let mut text = String::new();
    object(draws, &mut text, 0)?;
    if draws.ratio(1, 32)? {
        text.push_str(draws.choose(SPACES)?);
    }
    Ok(text)
}

fn object(draws: &mut Unstructured<'_>, text: &mut String, depth: usize) -> Result<()> {
    let mut members = Vec::new();
    if depth == 0 && draws.ratio(7, 8)? {
        members = record(draws)?;
    }
    while goes_on(draws)? {
        let at = draws.choose_index(members.len() + 1)?;
        members.insert(at, member(draws, depth)?);
    }
    text.push('{');
    text.push_str(&members.join(","));
    text.push('}');
    Ok(())
}

/// The members of a record, from anywhere on in their order.
fn record(draws: &mut Unstructured<'_>) -> Result<Vec<String>> {
    let mut members = fields(draws, FIELDS, 8)?;
    if draws.ratio(3, 4)? {
        let mut identity = fields(draws, IDENTITY, 2)?;
        if draws.ratio(1, 4)? {
            let arn = draws.choose(ARNS)?;
            let issuer = format!(r#""sessionContext":{{"sessionIssuer":{{"arn":"{arn}"}}}}"#);
            identity.push(issuer);
        }
        members.push(format!("\"userIdentity\":{{{}}}", identity.join(",")));
    }
    if !members.is_empty() {
        let start = draws.choose_index(members.len())?;
        members.rotate_left(start);
    }
    Ok(members)
}

/// Most of these fields: all but one in `so_many`.
fn fields(
    draws: &mut Unstructured<'_>,
    fields: &[(&str, &[&str])],
    so_many: u8,
) -> Result<Vec<String>> {
    let mut members = Vec::new();
    for (key, words) in fields {
        if !draws.ratio(1, so_many)? {
            members.push(format!("\"{key}\":\"{}\"", draws.choose(words)?));
        }
    }
    Ok(members)
}

/// A member of any key and any value.
fn member(draws: &mut Unstructured<'_>, depth: usize) -> Result<String> {
    let mut text = String::new();
    space(draws, &mut text)?;
    key(draws, &mut text)?;
    text.push(':');
    space(draws, &mut text)?;
    value(draws, &mut text, depth)?;
    Ok(text)
}

fn array(draws: &mut Unstructured<'_>, text: &mut String, depth: usize) -> Result<()> {
    text.push('[');
    let mut first = true;
    while goes_on(draws)? {
        if !std::mem::replace(&mut first, false) {
            text.push(',');
        }
        value(draws, text, depth)?;
    }
    text.push(']');
    Ok(())
}

fn goes_on(draws: &mut Unstructured<'_>) -> Result<bool> {
    // So few that a message leaves something for the next.
    Ok(!draws.is_empty() && draws.ratio(2, 3)?)
}

fn space(draws: &mut Unstructured<'_>, text: &mut String) -> Result<()> {
    if draws.ratio(1, 100)? {
        text.push_str(draws.choose(SPACES)?);
    }
    Ok(())
}

/// A key; now and then its first letter is escaped, or it is any text.
fn key(draws: &mut Unstructured<'_>, text: &mut String) -> Result<()> {
    let key = match draws.int_in_range(0..=3)? {
        0 | 1 => draws.choose(FIELDS)?.0,
        2 => draws.choose(IDENTITY)?.0,
        _ => draws.choose(KEYS)?,
    };
    text.push('"');
    match key.chars().next() {
        Some(letter) if draws.ratio(1, 40)? => {
            text.push_str(&format!("\\u{:04x}{}", u32::from(letter), &key[letter.len_utf8()..]));
        }
        _ => text.push_str(key),
    }
    text.push('"');
    Ok(())
}

fn value(draws: &mut Unstructured<'_>, text: &mut String, depth: usize) -> Result<()> {
    match draws.int_in_range(0..=15)? {
        0..=8 => string(draws, text),
        9..=11 if depth < DEEPEST => object(draws, text, depth + 1),
        12 if depth < DEEPEST => array(draws, text, depth + 1),
        13 if depth == 0 => {
            // Deeper than anything that is read keeps count of.
            let levels = draws.int_in_range(1..=200)?;
            text.push_str(&"[".repeat(levels));
            value(draws, text, DEEPEST)?;
            text.push_str(&"]".repeat(levels));
            Ok(())
        }
        _ => {
            text.push_str(draws.choose(LITERALS)?);
            Ok(())
        }
    }
}

fn string(draws: &mut Unstructured<'_>, text: &mut String) -> Result<()> {
    text.push('"');
    text.push_str(word(draws)?);
    if draws.ratio(1, 16)? {
        text.push_str(draws.choose(ESCAPES)?);
        text.push_str(word(draws)?);
    }
    text.push('"');
    Ok(())
}

fn word<'w>(draws: &mut Unstructured<'_>) -> Result<&'w str> {
    Ok(match draws.int_in_range(0..=7)? {
        0..=4 => {
            let (_, words) = draws.choose(FIELDS)?;
            draws.choose(words)?
        }
        5 | 6 => draws.choose(ARNS)?,
        _ => draws.choose(&["", "i\u{130}\u{1F600}"])?,
    })
}
