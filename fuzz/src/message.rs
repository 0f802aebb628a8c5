//! Messages made of the pieces that decide, so that few bytes reach deep: the fields that are read,
//! at the top and nested, twice, with escapes, with values of every kind.

use arbitrary::{Result, Unstructured};

/// Keys at any depth; those that decide come first.
const KEYS: &[&str] = &[
    "eventSource",
    "eventName",
    "awsRegion",
    "userIdentity",
    "recipientAccountId",
    "eventType",
    "readOnly",
    "eventCategory",
    "type",
    "arn",
    "accountId",
    "invokedBy",
    "sessionContext",
    "sessionIssuer",
    "userName",
    "attributes",
    "requestParameters",
    "responseElements",
    "RegionName",
    "bucketName",
    "dryRun",
    "errorCode",
    "sourceIPAddress",
    "eventTime",
    "eventID",
    "resources",
    "name",
    "other",
    "",
];

/// Values that a policy asks for, and some that none does.
const WORDS: &[&str] = &[
    "ec2.amazonaws.com",
    "RunInstances",
    "us-east-1",
    "111122223333",
    "DescribeInstances",
    "eu-west-3",
    "ap-south-1",
    "ca-central-1",
    "eu-north-1",
    "444455556666",
    "AwsApiCall",
    "AwsServiceEvent",
    "Root",
    "AWSService",
    "AssumedRole",
    "arn:aws:iam::111122223333:root",
    "arn:aws:iam::111122223333:user/admin-1",
    "arn:aws:iam::1:role/aws-service-role/x",
    "x.amazonaws.com",
    "true",
    " FALSE ",
    "kms.amazonaws.com",
    "S3.amazonaws.com.cn",
    "GetObject",
    "iam.amazonaws.com",
    "CreateUser",
    "signin.amazonaws.com",
    "ConsoleLogin",
    "account.amazonaws.com",
    "EnableRegion",
    "cloudtrail.amazonaws.com",
    "StopLogging",
    "cloudfront.amazonaws.com",
    "ssm.amazonaws.com",
    "GetParameter",
    "Insight",
    "AccessDenied",
    "192.0.2.7",
    "",
    " us-east-1",
    "US-WEST-2",
    "i\u{130}\u{1F600}",
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

/// A message: an object, as a rule.
pub fn message(draws: &mut Unstructured<'_>) -> Result<String> {
    let mut text = String::new();
    object(draws, &mut text, 0)?;
    if draws.ratio(1, 32)? {
        text.push_str(draws.choose(SPACES)?);
    }
    Ok(text)
}

fn object(draws: &mut Unstructured<'_>, text: &mut String, depth: usize) -> Result<()> {
    text.push('{');
    let mut first = true;
    while goes_on(draws)? {
        if !std::mem::replace(&mut first, false) {
            text.push(',');
        }
        space(draws, text)?;
        key(draws, text)?;
        text.push(':');
        space(draws, text)?;
        value(draws, text, depth)?;
    }
    text.push('}');
    Ok(())
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
    Ok(!draws.is_empty() && !draws.ratio(1, 10)?)
}

fn space(draws: &mut Unstructured<'_>, text: &mut String) -> Result<()> {
    if draws.ratio(1, 100)? {
        text.push_str(draws.choose(SPACES)?);
    }
    Ok(())
}

/// A key; now and then its first letter is escaped, or it is any text.
fn key(draws: &mut Unstructured<'_>, text: &mut String) -> Result<()> {
    let key = *draws.choose(KEYS)?;
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
    text.push_str(draws.choose(WORDS)?);
    if draws.ratio(1, 16)? {
        text.push_str(draws.choose(ESCAPES)?);
        text.push_str(draws.choose(WORDS)?);
    }
    text.push('"');
    Ok(())
}
