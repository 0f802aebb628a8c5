//! What a call touched: ARNs, ids and names found in a record, and nothing that looks secret.

use serde_json::{Map, Value};

use crate::record::Record;

use super::secrets::{holds_secret_word, is_secret, redacted};

/// Members looked at in one record; more is noise.
const MOST_MEMBERS: usize = 2000;

/// The ARNs, ids and names in `resources`, `requestParameters` and `responseElements`, in that
/// order, some perhaps more than once.
pub fn of(record: &Record<'_>, mut found: impl FnMut(&str)) {
    let mut left = MOST_MEMBERS;
    let parts = [
        (record.resources, is_arn as fn(&str, &str) -> bool),
        // What was asked for goes by its name; an answer is full of names that mean nothing.
        (record.request_parameters, |key, text| is_arn(key, text) || is_name(key, text)),
        (record.response_elements, is_arn),
    ];
    for (part, names_a_resource) in parts {
        let Some(part) = part else { continue };
        // Deeper than serde_json goes, or numbers beyond f64: then nothing is shown of this part.
        let Ok(value) = serde_json::from_str::<Value>(part.get()) else { continue };
        walk("", &value, &mut left, &mut |key, text| {
            if names_a_resource(key, text) {
                redacted(text).iter().for_each(|shown| found(shown));
            }
        });
    }
}

fn walk(key: &str, value: &Value, left: &mut usize, found: &mut impl FnMut(&str, &str)) {
    if *left == 0 || is_secret(key) {
        return;
    }
    *left -= 1;
    match value {
        Value::Object(members) => {
            let secret = names_a_secret(members);
            for (key, value) in members {
                if !(secret && is_value(key)) {
                    walk(key, value, left, found);
                }
            }
        }
        Value::Array(elements) => {
            elements.iter().for_each(|value| walk(key, value, left, found));
        }
        Value::String(text) => found(key, text),
        _ => {}
    }
}

/// Whether the object is a pair such as `{"name":"DB_PASSWORD","value":"..."}`, as containers have
/// their environment and stacks their parameters.
fn names_a_secret(members: &Map<String, Value>) -> bool {
    let names = members.iter().filter(|(key, _)| is_key(key));
    names.filter_map(|(_, name)| name.as_str()).any(holds_secret_word)
}

fn is_key(key: &str) -> bool {
    ends_with_word(key, "name") || ends_with_word(key, "key")
}

fn is_value(key: &str) -> bool {
    ends_with_word(key, "value") || ends_with_word(key, "values")
}

/// An ARN, the id in an `...Id` member, or an id as EC2 makes them.
fn is_arn(key: &str, text: &str) -> bool {
    /// Who, when and how rather than what.
    const NOISE: &[&str] = &[
        "accountId",
        "ownerId",
        "requestId",
        "requesterId",
        "availabilityZoneId",
        "principalId",
        "accessKeyId",
        "reservationId",
        "attachmentId",
    ];
    let noise = NOISE.iter().any(|word| ends_with_word(key, word));
    text.starts_with("arn:")
        || (ends_with_word(key, "id") && !noise && (1..=LONGEST).contains(&text.len()))
        || (is_id(text) && !noise)
}

/// The name in a `name` or `...Name` member.
fn is_name(key: &str, text: &str) -> bool {
    (key == "name" || key.ends_with("Name"))
        && key != "deviceName"
        && (1..=LONGEST).contains(&text.len())
}

/// Bytes of an id or a name; what is longer is neither.
const LONGEST: usize = 256;

/// Whether `key` is `word` or ends with it in camel case: `groupOwnerId` ends with `ownerId`.
fn ends_with_word(key: &str, word: &str) -> bool {
    let Some(start) = key.len().checked_sub(word.len()) else { return false };
    let end = key.get(start..).unwrap_or_default();
    end.eq_ignore_ascii_case(word) && (start == 0 || end.starts_with(|c: char| c.is_uppercase()))
}

/// `i-0123456789abcdef0`: a short word and a long hexadecimal number.
fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(word, number)| {
        (1..=12).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_lowercase())
            && matches!(number.len(), 8 | 17)
            && number.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_touched_and_no_secrets() {
        let text = r#"{
            "resources":[{"ARN":"arn:aws:s3:::bucket","accountId":"111122223333"}],
            "requestParameters":{"bucketName":"bucket","masterUserPassword":"hunter2",
                "environment":[{"name":"API_TOKEN","value":"sk-0123456789abcdef0"}],
                "secretId":"prod/db","clientToken":"t-0123456789abcdef0",
                "credentials":{"roleArn":"arn:aws:iam::111122223333:role/hidden"}},
            "responseElements":{"instancesSet":{"items":[{"instanceId":"i-1","x":"sg-01234567"}]}}}"#;
        let record = Record::parse(text).unwrap();
        let mut seen = Vec::new();
        of(&record, |resource| seen.push(resource.to_owned()));
        assert_eq!(
            seen,
            ["arn:aws:s3:::bucket", "bucket", "API_TOKEN", "prod/db", "i-1", "sg-01234567"]
        );
    }
}
