//! What looks like a secret, by the name that it stands under or by its own look.
//!
//! CloudTrail leaves out what its services know to be secret. The rest is up to whoever made the
//! call: passwords end up in environments, in names, in user agents. In doubt nothing is shown, for
//! an alert goes to more people than the trail does.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::text::clean;

/// Whether a value under `key` must not be shown. The id of a secret is none.
pub fn is_secret(key: &str) -> bool {
    holds_secret_word(key) && !is_naming(key)
}

/// Whether `name` is that of a secret: `DB_PASSWORD`, `AdminPwd`, `x-auth-token`.
pub fn holds_secret_word(name: &str) -> bool {
    let letters: Vec<u8> = name.bytes().filter(u8::is_ascii_alphanumeric).collect();
    // Without the search there is no telling, and nothing is shown.
    PARTS.as_ref().is_none_or(|parts| parts.is_match(&letters))
        || words(name).any(|word| WORDS.iter().any(|secret| word.eq_ignore_ascii_case(secret)))
}

/// Wherever in the letters of the name.
static PARTS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let parts = [
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "pwd",
        "secret",
        "token",
        "userdata",
        "privatekey",
        "sharedkey",
        "accesskey",
        "apikey",
        "authkey",
        "authorization",
        "keymaterial",
        "plaintext",
        "connectionstring",
        "credential",
        "signature",
        "sessionid",
        "externalid",
    ];
    // Names are short, so that it must be made fast, too.
    let kind = Some(AhoCorasickKind::ContiguousNFA);
    AhoCorasick::builder().kind(kind).ascii_case_insensitive(true).build(parts).ok()
});

/// As a word of the name: in others they stand for something else (`compass`, `creditor`).
const WORDS: &[&str] =
    &["auth", "bearer", "cookie", "cred", "creds", "jwt", "otp", "pass", "pin", "psk", "pw", "sig"];

/// The words of `DB_PWD`, `AdminPwd`, `db-pass2`.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphabetic()).flat_map(|part| {
        let mut rest = part;
        std::iter::from_fn(move || {
            let capitals = rest.bytes().take_while(u8::is_ascii_uppercase).count();
            let small = rest.bytes().skip(capitals).take_while(u8::is_ascii_lowercase).count();
            // In `DBPass` the last capital begins a word, in `DBPASS` and `Pass` none does.
            let length = if capitals > 1 && small > 0 { capitals - 1 } else { capitals + small };
            let (word, behind) = rest.split_at_checked(length)?;
            rest = behind;
            (!word.is_empty()).then_some(word)
        })
    })
}

/// Whether `key` is for what a secret is called, rather than for the secret: `secretId`,
/// `credentialArn`. The ids of tokens and sessions are as good as these.
fn is_naming(key: &str) -> bool {
    let names = ["Id", "ID", "Arn", "ARN", "Name"].iter().any(|end| key.ends_with(end));
    let lower = key.to_ascii_lowercase();
    names
        && ["secret", "credential"].iter().any(|thing| lower.contains(thing))
        && !["token", "session", "external"].iter().any(|thing| lower.contains(thing))
}

/// `text` without marks that hide text, and without what looks like a secret in it; `…` stands where
/// something was cut. Of a URL, user, password and query go; of `token=...` and the like, all that
/// is behind the name. `None` where nothing is left, or where the text is JSON: no name is.
pub fn redacted(text: &str) -> Option<String> {
    let text = clean(text, usize::MAX);
    if is_json(&text) {
        return None;
    }
    let text = without_url_secrets(text);
    // Nearly no text has such a word in it, and then no name in it has.
    let pair = if holds_secret_word(&text) { pair(&text) } else { None };
    match [pair, token(&text)].into_iter().flatten().min() {
        None => Some(text),
        Some(0) => None,
        Some(end) => text.get(..end).map(|kept| format!("{kept}{CUT}")),
    }
}

const CUT: &str = "…";

/// S3 puts its user agents into brackets: these alone make no list.
fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    let inner = text.trim_start_matches('[');
    inner.starts_with('{') || (inner.len() < text.len() && inner.starts_with(['"', '\\']))
}

/// `postgres://user:password@host/db?x=y` as `postgres://…@host/db?…`. Passwords may hold any of the
/// characters that would end them, so the last `@` counts.
fn without_url_secrets(text: String) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let (user, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("…@", rest),
        None => ("", rest),
    };
    match rest.split_once('?') {
        Some((place, _)) => format!("{scheme}://{user}{place}?{CUT}"),
        None => format!("{scheme}://{user}{rest}"),
    }
}

/// Where the value begins of the first `password=...`, `"token": ...`, `--token ...` or
/// `Bearer ...` in a text.
fn pair(text: &str) -> Option<usize> {
    // An ARN is one word of parts with `:` between them, some of which are called `secret`.
    let colons = !text.starts_with("arn:");
    text.char_indices().find_map(|(at, c)| {
        let length = match c {
            '=' | '＝' => c.len_utf8(),
            ':' | '：' if colons => c.len_utf8(),
            '%' if is_escaped_separator(text.get(at..)?) => "%3D".len(),
            ' ' => c.len_utf8(),
            _ => return None,
        };
        let key = key_at_end(text.get(..at)?);
        let takes_it = c != ' ' || key.starts_with('-') || key.eq_ignore_ascii_case("bearer");
        (takes_it && holds_secret_word(key)).then_some(at + length)
    })
}

fn is_escaped_separator(text: &str) -> bool {
    ["%3D", "%3d", "%3A", "%3a"].iter().any(|escape| text.starts_with(escape))
}

/// The name right before a separator, with quotes or white space between them or not.
fn key_at_end(before: &str) -> &str {
    let mut last = before.char_indices().rev().take(LONGEST_KEY);
    let start = last.by_ref().last().map_or(0, |(start, _)| start);
    let before = before.get(start..).unwrap_or(before).trim_end_matches(['"', '\'', '\\', ' ']);
    let is_of_keys = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let (_, key) = before.rsplit_once(|c: char| !is_of_keys(c)).unwrap_or(("", before));
    key
}

/// Characters in which a name is looked for, so that much text takes little time.
const LONGEST_KEY: usize = 100;

/// Where the first word begins that looks like a token itself.
fn token(text: &str) -> Option<usize> {
    let is_of_tokens = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut end = 0;
    text.split_inclusive(|c| !is_of_tokens(c)).find_map(|part| {
        let start = end;
        end += part.len();
        is_token(part.trim_end_matches(|c| !is_of_tokens(c))).then_some(start)
    })
}

/// The beginnings of tokens that their issuers publish so that they can be found (GitHub docs,
/// "Supported secret scanning patterns"); names of people's things may begin alike, but have no such
/// long words with digits.
fn is_token(word: &str) -> bool {
    const BEGIN: &[&str] = &[
        "sk-",
        "sk_",
        "pk_live_",
        "rk_live_",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "xoxa-",
        "xoxb-",
        "xoxp-",
        "xoxr-",
        "xoxs-",
        "xapp-",
        "npm_",
        "pypi-",
        "hf_",
        "AIza",
        "ya29.",
        "SG.",
        "dop_v1_",
        "shpat_",
        "hvs.",
        "eyJ",
    ];
    const SHORTEST: usize = 8;
    let is_random =
        |part: &str| part.len() >= SHORTEST && part.contains(|c: char| c.is_ascii_digit());
    word.len() >= SHORTEST
        && BEGIN.iter().any(|begin| word.starts_with(begin))
        && word.split(|c: char| !c.is_ascii_alphanumeric()).any(is_random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_and_those_of_other_things_are_not() {
        let secret = [
            "DB_PWD",
            "AdminPwd",
            "DbPass",
            "DBPass",
            "DB_PASS",
            "pass",
            "wifiPsk",
            "PSK",
            "masterUserPassword",
            "clientToken",
            "tokenId",
            "authTokenId",
            "sessionId",
            "externalId",
            "X-Amz-Signature",
            "aws_secret_access_key",
            "passwordArn",
            "secretTokenArn",
        ];
        for name in secret {
            assert!(is_secret(name), "{name}");
        }
        let known = ["secretId", "SecretARN", "masterUserSecretArn", "instanceId", "bucketName"];
        for name in known.into_iter().chain(["compassId", "bypassName", "pinpointAppId", "keyName"])
        {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn what_looks_secret_is_cut() {
        for (text, shown) in [
            ("curl/8 token=hunter2 x", "curl/8 token=…"),
            ("curl/8 Authorization: Bearer hunter2", "curl/8 Authorization:…"),
            ("curl/8 bearer hunter2", "curl/8 bearer …"),
            ("tool --api-key hunter2", "tool --api-key …"),
            ("password%3dhunter2", "password%3d…"),
            (r#"tool {\"db_pwd\" : \"hunter2\"}"#, r#"tool {\"db_pwd\" :…"#),
            ("to\u{200B}ken＝hunter2", "token＝…"),
            ("postgres://mateo:hun/ter@2@db.example.com/prod", "postgres://…@db.example.com/prod"),
            ("https://b.example.com/k?X-Amz-Signature=hunter2", "https://b.example.com/k?…"),
            ("k?X-Amz-Signature=hunter2", "k?X-Amz-Signature=…"),
            ("tool/1 (ghp_0123456789abcdef0123)", "tool/1 (…"),
        ] {
            assert_eq!(redacted(text).as_deref(), Some(shown), "{text}");
        }
        let nothing =
            [r#"{"a":"hunter2"}"#, r#" [["hunter2"]]"#, "sk-0123456789abcdef0", "sk_01234567"];
        for text in nothing {
            assert_eq!(redacted(text), None, "{text}");
        }
    }

    #[test]
    fn other_text_stays() {
        for text in [
            "aws-cli/2.15 md/command#secretsmanager.get-secret-value cfg/retry-mode#standard",
            "[S3Console/0.4, aws-internal/3]",
            "APN/1.0 HashiCorp/1.0 Terraform/1.9 (+https://www.terraform.io)",
            "arn:aws:secretsmanager:eu-west-3:111122223333:secret:prod/db-AbCdEf",
            "arn:aws:sts::111122223333:assumed-role/ops/mateo@example.com",
            "vpc-0123456789abcdef0",
            "sk-learn-endpoint-1",
            "reset-password",
        ] {
            assert_eq!(redacted(text).as_deref(), Some(text));
        }
    }
}
