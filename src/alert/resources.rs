//! What a call touched: ARNs, ids and names found in a record, and nothing that looks secret.

use serde_json::Value;

use crate::record::Record;

/// Members looked at in one record; more is noise.
const MOST_MEMBERS: usize = 2000;

/// The ARNs, ids and names in `resources`, `requestParameters` and `responseElements`, in that
/// order, some perhaps more than once.
pub fn of(record: &Record<'_>, mut found: impl FnMut(&str)) {
    let mut left = MOST_MEMBERS;
    for part in [record.resources, record.request_parameters, record.response_elements] {
        let Some(part) = part else { continue };
        // Deeper than serde_json goes, or numbers beyond f64: then nothing is shown of this part.
        let Ok(value) = serde_json::from_str::<Value>(part.get()) else { continue };
        walk("", &value, &mut left, &mut found);
    }
}

fn walk(key: &str, value: &Value, left: &mut usize, found: &mut impl FnMut(&str)) {
    if *left == 0 || is_secret(key) {
        return;
    }
    *left -= 1;
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| walk(key, value, left, found));
        }
        Value::Array(elements) => {
            elements.iter().for_each(|value| walk(key, value, left, found));
        }
        Value::String(text) if is_resource(key, text) => found(text),
        _ => {}
    }
}

/// Whether a value under `key` must not be shown. The id of a secret is none.
pub fn is_secret(key: &str) -> bool {
    const SECRET: &[&str] = &[
        "password",
        "passphrase",
        "secret",
        "token",
        "userdata",
        "privatekey",
        "keymaterial",
        "credential",
    ];
    let lower = key.to_ascii_lowercase();
    SECRET.iter().any(|word| lower.contains(word)) && !is_naming(key)
}

fn is_naming(key: &str) -> bool {
    ["Id", "ID", "Arn", "ARN", "Name"].iter().any(|end| key.ends_with(end)) || key == "name"
}

fn is_resource(key: &str, text: &str) -> bool {
    /// Who, when and how rather than what.
    const NOISE: &[&str] = &[
        "accountId",
        "ownerId",
        "requestId",
        "requesterId",
        "availabilityZoneId",
        "principalId",
        "accessKeyId",
        "dnsName",
        "privateDnsName",
        "publicDnsName",
        "rootDeviceName",
        "deviceName",
    ];
    text.starts_with("arn:")
        || (is_naming(key) && !NOISE.contains(&key) && !text.is_empty() && text.len() <= 256)
        || is_id(text)
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
                "secretId":"prod/db","clientToken":"t-0123456789abcdef0",
                "credentials":{"roleArn":"arn:aws:iam::111122223333:role/hidden"}},
            "responseElements":{"instancesSet":{"items":[{"instanceId":"i-1","x":"sg-01234567"}]}}}"#;
        let record = Record::parse(text).unwrap();
        let mut seen = Vec::new();
        of(&record, |resource| seen.push(resource.to_owned()));
        assert_eq!(seen, ["arn:aws:s3:::bucket", "bucket", "prod/db", "i-1", "sg-01234567"]);
    }
}
