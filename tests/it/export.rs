//! The policy in other languages, against the judge: on the corpora, on the samples, and on records
//! and policies as nobody would write them.

mod athena;
mod pattern;
mod scp;

use regionwatch::policy::{Policy, Verdict};
use regionwatch::record::Record;
use regionwatch::source::{self, Item};
use serde_json::Value;

use crate::corpus::corpus;
use crate::samples::{events, records};

fn policy(user: &str) -> Policy {
    Policy::with_user_file("test.toml", user).unwrap_or_else(|faults| panic!("{user}\n{faults}"))
}

fn judge(policy: &Policy, record: &str) -> Verdict {
    Record::parse(record).map_or(Verdict::Reject, |record| policy.judge(&record, ""))
}

fn alerts(policy: &Policy, record: &str) -> bool {
    matches!(judge(policy, record), Verdict::Alert(..))
}

/// Whatever is a JSON object in the samples, and in the corpora where they are at hand.
fn history() -> Vec<String> {
    let mut texts = Vec::new();
    for entry in events().join("records").read_dir().unwrap() {
        texts.extend(records(&entry.unwrap().path()));
    }
    for name in ["traildiscover.ndjson", "stratus-red-team.ndjson", "oddities.ndjson"] {
        let read = source::read(corpus(name).unwrap_or_default().as_bytes(), |item| {
            if let Item::Record { text, .. } = item {
                texts.push(text.to_owned());
            }
        });
        read.unwrap();
    }
    texts.retain(|text| serde_json::from_str::<Value>(text).is_ok());
    texts
}

/// Policies that differ in what other languages find hard.
const POLICIES: [&str; 6] = [
    "",
    "approved_regions = [\"eu-*\", \"us-*-1\"]\nsensitive_reads = \"ignore\"",
    "approved_regions = [\"us-west-2\"]\n[access]\ntrust_read_only_field = false",
    "approved_regions = [\"us-*\", \"eu-west-1\"]\naws_service_calls = \"alert\"\nsign_ins = \"alert\"\n\
     [accounts.\"123456789012\"]\napproved_regions = [\"us-east-1\", \"eu-*\"]",
    "[[watch]]\nid = \"keys\"\nreason = \"r\"\ncalls = [\"kms:Put*\", \"iam:*Key\", \"sts:Get?allerIdentity\"]\n\
     [[watch]]\nid = \"quiet\"\nreason = \"r\"\nservices = [\"s3\"]\nregions = [\"us-*\"]\n\
     request = { bucketName = \"*\" }\n[[exempt]]\nid = \"hers\"\nreason = \"r\"\nprincipals = [\"*:user/*\"]\n\
     calls = [\"ec2:*\"]\nuntil = 2026-12-31",
    "[[exempt]]\nid = \"trail\"\nreason = \"r\"\nwatches = [\"trail-change\"]\naccounts = [\"1*\"]\n\
     outcomes = [\"success\"]\n[[exempt]]\nid = \"addresses\"\nreason = \"r\"\nsource_ips = [\"0.0.0.0/1\"]\n\
     outcomes = [\"denied\"]",
];
