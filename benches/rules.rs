//! What hundreds of rules cost: each policy against the default one, on the same records, in turns.
//!
//! The machine's speed and mood cancel out, since the two of a pair run right after each other and
//! what counts is the median of their ratios. `cargo bench --bench rules` prints them; the records
//! are those of `../shared/corpus` where that folder is at hand, else the samples.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "what a bench prints is its result")]

use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use regionwatch::policy::{Policy, Verdict};
use regionwatch::record::Record;
use regionwatch::source::{self, Item};

/// Rules in each of the policies.
const RULES: usize = 500;

/// Pairs of runs, of which the median counts.
const PAIRS: usize = 101;

fn main() {
    let records = records();
    let default = Policy::embedded().unwrap();
    println!("{} records, {RULES} rules, median of {PAIRS} pairs", records.len());
    for (name, text) in [
        ("the default policy again", String::new()),
        ("a mix, as in a large organisation", rules(mixed)),
        ("watches on calls", rules(watch_on_call)),
        ("watches on calls with a request", rules(watch_on_request)),
        ("watches on regions and outcomes", rules(watch_on_region)),
        ("exemptions of roles by glob", rules(exempt_role)),
        ("exemptions of one service by role", rules(exempt_in_service)),
        ("exemptions of networks", rules(exempt_network)),
    ] {
        let policy = Policy::with_user_file("bench.toml", &text).unwrap();
        println!("{:>6.2} x  {name}", ratio(&records, &default, &policy));
    }
}

/// How much longer one policy takes than the other to parse and judge all records.
fn ratio(records: &[String], base: &Policy, other: &Policy) -> f64 {
    let pair = |n: usize| {
        // Who goes first changes with every pair.
        let (base, other) = if n.is_multiple_of(2) {
            let base = time(records, base);
            (base, time(records, other))
        } else {
            let other = time(records, other);
            (time(records, base), other)
        };
        other.as_secs_f64() / base.as_secs_f64()
    };
    let mut ratios: Vec<f64> = (0..PAIRS).map(pair).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(PAIRS / 2).copied().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a bench owns a clock")]
fn time(records: &[String], policy: &Policy) -> Duration {
    let start = Instant::now();
    for _ in 0..10 {
        for text in records {
            let verdict = match Record::parse(text) {
                Ok(record) => policy.judge(&record, "111122223333"),
                Err(_) => Verdict::Reject,
            };
            black_box(verdict);
        }
    }
    start.elapsed()
}

fn records() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = ["traildiscover.ndjson", "stratus-red-team.ndjson"];
    let corpus = corpus.map(|file| root.join("../shared/corpus").join(file));
    let samples = fs::read_dir(root.join("events/records")).unwrap();
    let mut records = Vec::new();
    let files = match corpus.iter().all(|file| file.exists()) {
        true => corpus.to_vec(),
        false => samples.map(|entry| entry.unwrap().path()).collect(),
    };
    for file in files {
        let read = source::read(fs::File::open(file).unwrap(), |item| {
            if let Item::Record { text, .. } = item {
                records.push(text.to_owned());
            }
        });
        read.unwrap();
    }
    records
}

fn rules(rule: fn(usize) -> String) -> String {
    let mut text = String::new();
    for n in 0..RULES {
        let (kind, matchers) = match rule(n).split_once('\n') {
            Some((kind, matchers)) => (kind.to_owned(), matchers.to_owned()),
            None => continue,
        };
        writeln!(text, "[[{kind}]]\nid = \"r{n}\"\nreason = \"bench\"\n{matchers}\n").unwrap();
    }
    text
}

const REGIONS: [&str; 6] =
    ["eu-west-1", "eu-central-1", "ap-southeast-1", "sa-east-1", "ca-central-1", "eu-north-1"];
const SERVICES: [&str; 8] = ["ec2", "iam", "s3", "lambda", "rds", "kms", "logs", "sts"];

fn one_of<'w>(words: &[&'w str], n: usize) -> &'w str {
    words.get(n % words.len()).copied().unwrap()
}

fn mixed(n: usize) -> String {
    match n % 4 {
        0 => watch_on_call(n),
        1 => exempt_role(n),
        2 => exempt_in_service(n),
        _ => {
            let region = one_of(&REGIONS, n);
            let account = format!("{:012}", n * 7919);
            format!(
                "exempt\naccounts = [\"{account}\"]\nregions = [\"{region}\"]\nuntil = 2027-12-31"
            )
        }
    }
}

fn watch_on_call(n: usize) -> String {
    format!(
        "watch\ncalls = [\"{}:Watched{n}\", \"{}:Delete*{n}\"]",
        one_of(&SERVICES, n),
        one_of(&SERVICES, n / 8)
    )
}

fn watch_on_request(n: usize) -> String {
    format!(
        "watch\ncalls = [\"logs:DeleteLogGroup\"]\nrequest = {{ logGroupName = \"group-{n}\" }}"
    )
}

fn watch_on_region(n: usize) -> String {
    format!(
        "watch\nregions = [\"{}-{n}\"]\noutcomes = [\"denied\"]",
        one_of(&["eu-west", "ap-south"], n)
    )
}

fn exempt_role(n: usize) -> String {
    format!("exempt\nprincipals = [\"arn:aws:iam::*:role/team-{n}-*\", \"*:user/robot-{n}\"]")
}

fn exempt_in_service(n: usize) -> String {
    let (service, region) = (one_of(&SERVICES, n), one_of(&REGIONS, n));
    format!(
        "exempt\nservices = [\"{service}\"]\nregions = [\"{region}\"]\nprincipals = [\"*:assumed-role/ci-{n}/*\"]"
    )
}

fn exempt_network(n: usize) -> String {
    format!("exempt\nsource_ips = [\"10.{}.{}.0/24\"]", n / 256, n % 256)
}
