//! What a payload can be at its worst: bounded in memory, and every entry counted.
//!
//! The sizes are a fraction of what is legal, for the memory must not depend on them. `e2e/memory.rs`
//! runs the function on the largest batch there can be.

use std::io::{self, Read, Write};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use regionwatch::envelope::{Envelope, EnvelopeError, LARGEST_ENTRY, each, read_batch};
use regionwatch::inflate::{Inflate, InflateError};
use regionwatch::policy::{Policy, Reason};
use regionwatch::triage::{MOST_INCIDENTS, Triage, Triaged};
use serde_json::{Value, json};

use crate::handler::pack;
use crate::samples::payload;

const HEADER: &str = r#"{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"g","logStream":"s","logEvents":["#;

/// A record that an approved region ends.
const APPROVED: &str = r#"{"eventVersion":"1.09","userIdentity":{"type":"Root"},"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"us-east-1"}"#;

/// A payload, without ever holding what is in it.
fn packed(write: impl FnOnce(&mut dyn Write)) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    write(&mut gzip);
    json!({"awslogs": {"data": STANDARD.encode(gzip.finish().unwrap())}}).to_string().into_bytes()
}

fn entry(message: &str) -> String {
    format!(r#"{{"id":"1","timestamp":1,"message":{}}}"#, Value::from(message))
}

/// What triage comes to, and the most memory that it held at a time, in bytes.
fn triaged(payload: &[u8]) -> (Result<Triaged, EnvelopeError>, u64) {
    static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::embedded().unwrap());
    let policy = &*POLICY;
    let mut outcome = None;
    let used = allocation_counter::measure(|| {
        let mut triage = Triage::new(policy);
        let read = Envelope::open(payload)
            .and_then(|envelope| envelope.entries(64 * 1024 * 1024, &mut triage));
        outcome = Some(read.map(|_| triage.finish()));
    });
    (outcome.unwrap(), used.bytes_max)
}

/// Beyond what is held of an entry at most: windows, the inflater, what is remembered.
const CONSTANT: u64 = 1024 * 1024;

#[track_caller]
fn counted(payload: &[u8]) -> Triaged {
    let triaged = triaged(payload).0.unwrap();
    let all = triaged.alerts() + triaged.ignored_total() + triaged.rejects.count;
    assert_eq!(triaged.entries, all);
    triaged
}

#[test]
fn memory_does_not_grow_with_the_batch() {
    let batch = |entries: usize| {
        packed(|out| {
            out.write_all(HEADER.as_bytes()).unwrap();
            let entry = entry(APPROVED);
            for number in 0..entries {
                out.write_all(if number == 0 { b"" } else { b"," }).unwrap();
                out.write_all(entry.as_bytes()).unwrap();
            }
            out.write_all(b"]}").unwrap();
        })
    };
    for entries in [100, 100_000] {
        let (outcome, memory) = triaged(&batch(entries));
        let ignored = outcome.unwrap().ignored;
        assert_eq!(ignored.get(&Reason::ApprovedRegion), Some(&(entries as u64)));
        assert!(memory < CONSTANT, "{memory} bytes for {entries} entries");
    }
}

#[test]
fn neither_long_ids_nor_many_principals_take_memory_without_bound() {
    let launch = |id: &str, user: &str| {
        json!({"eventSource": "ec2.amazonaws.com", "eventName": "RunInstances", "awsRegion": "eu-west-3",
            "userIdentity": {"type": "IAMUser", "arn": format!("arn:aws:iam::111122223333:user/{user}")},
            "eventID": id})
        .to_string()
    };
    let batch = |records: &mut dyn Iterator<Item = String>| {
        packed(|out| {
            out.write_all(HEADER.as_bytes()).unwrap();
            for (number, record) in records.enumerate() {
                out.write_all(if number == 0 { b"" } else { b"," }).unwrap();
                out.write_all(entry(&record).as_bytes()).unwrap();
            }
            out.write_all(b"]}").unwrap();
        })
    };
    let long = "x".repeat(900_000);
    let ids = batch(&mut (0..60).map(|n| launch(&format!("{long}{n}"), "mateo")));
    let users = batch(&mut (0..60).map(|n| launch(&n.to_string(), &format!("{long}{n}"))));
    for payload in [ids, users] {
        let (outcome, memory) = triaged(&payload);
        assert_eq!(outcome.unwrap().alerts(), 60);
        // A window has room for one, which is then unescaped and read.
        assert!(memory < 8 * CONSTANT, "{memory} bytes");
    }
    let many = batch(&mut (0..20_000).map(|n| launch(&n.to_string(), &n.to_string())));
    let (outcome, memory) = triaged(&many);
    let triaged = outcome.unwrap();
    assert_eq!(triaged.alerts(), 20_000);
    assert_eq!(triaged.incidents.iter().map(|incident| incident.count).sum::<u64>(), 20_000);
    assert_eq!(triaged.incidents.len(), MOST_INCIDENTS + 1);
    assert!(memory < 32 * CONSTANT, "{memory} bytes");
}

#[test]
fn a_bomb_is_an_error_and_takes_no_memory() {
    let bomb = packed(|out| {
        out.write_all(HEADER.as_bytes()).unwrap();
        (0..80).for_each(|_| out.write_all(&[b' '; 1024 * 1024]).unwrap());
    });
    let (outcome, memory) = triaged(&bomb);
    let Err(EnvelopeError::Gzip(InflateError::TooLarge { .. })) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(memory < CONSTANT, "{memory} bytes");
}

#[test]
fn one_huge_message_is_rejected_and_the_others_go_on() {
    for piece in [&b"aaaaaaaa"[..], br#"\\\"[{"#, b"\xC3\xA9\xC3\xA9"] {
        let payload = packed(|out| {
            write!(
                out,
                "{HEADER}{},{{\"id\":\"7\",\"timestamp\":1,\"message\":\"",
                entry(APPROVED)
            )
            .unwrap();
            let megabyte = piece.repeat(1024 * 1024 / piece.len());
            (0..8).for_each(|_| out.write_all(&megabyte).unwrap());
            write!(out, "\"}},{}]}}", entry(APPROVED)).unwrap();
        });
        let (outcome, memory) = triaged(&payload);
        let triaged = outcome.unwrap();
        assert_eq!((triaged.entries, triaged.ignored_total()), (3, 2));
        assert_eq!(triaged.rejects.faults.get("the entry is larger than 1 MiB"), Some(&1));
        // The window doubles until the largest entry has room, the old one beside the new.
        let held = 3 * LARGEST_ENTRY as u64;
        assert!(memory < held + CONSTANT, "{memory} bytes");
    }
}

#[test]
fn a_hundred_thousand_tiny_entries_are_each_counted() {
    for tiny in ["{}", "0", r#"{"id":"","timestamp":1,"message":""}"#] {
        let entries = vec![tiny; 100_000].join(",");
        let payload = packed(|out| write!(out, "{HEADER}{entries}]}}").unwrap());
        assert_eq!(counted(&payload).rejects.count, 100_000, "{tiny}");
    }
}

/// The record behind a message, and how it is judged: by its reason, or `reject`.
fn judged(message: &str) -> String {
    let triaged = counted(&pack(&[message.to_owned()]));
    assert_eq!(triaged.entries, 1);
    let reasons = triaged.alerted.keys().chain(triaged.ignored.keys());
    reasons.map(Reason::to_string).next().unwrap_or("reject".to_owned())
}

#[test]
fn deep_nesting_neither_crashes_nor_hides_anything() {
    for depth in [60, 64, 65, 200, 50_000] {
        let nested = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        for value in [nested, objects] {
            let record = |region: &str| {
                format!(
                    r#"{{"x":{value},"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"{region}","requestParameters":{value}}}"#
                )
            };
            assert_eq!(judged(&record("us-east-1")), "approved-region", "{depth}");
            assert_eq!(judged(&record("eu-west-3")), "mutating-call", "{depth}");
        }
    }
}

#[test]
fn numbers_and_escapes_beyond_all_measure_are_passed_over() {
    for odd in [
        "123456789012345678901234567890",
        "-1e999999",
        "1e-999999",
        r#""\ud800""#,
        r#""\udc00\ud800x""#,
        r#""\u0000""#,
    ] {
        let record = |region: &str| {
            format!(
                r#"{{"x":{odd},"userAgent":{odd},"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"{region}","requestParameters":{{"a":{odd}}}}}"#
            )
        };
        assert_eq!(judged(&record("us-east-1")), "approved-region", "{odd}");
        assert_eq!(judged(&record("eu-west-3")), "mutating-call", "{odd}");
        let twice = record("us-east-1").replacen('{', &format!("{{\"awsRegion\":{odd},"), 1);
        assert_eq!(judged(&twice), "reject", "{odd}");
    }
}

#[test]
fn what_is_no_utf8_is_rejected_and_the_others_go_on() {
    let sound = entry(APPROVED);
    for broken in [&b"\xFF"[..], b"\xC3", b"\xED\xA0\x80", b"\xF5\x80\x80\x80", b"\xC0\xAF"] {
        let at = sound.find("1.09").unwrap();
        let (before, behind) = sound.as_bytes().split_at(at);
        let broken = [before, broken, behind].concat();
        let payload = packed(|out| {
            for part in
                [HEADER.as_bytes(), sound.as_bytes(), b",", &broken, b",", sound.as_bytes(), b"]}"]
            {
                out.write_all(part).unwrap();
            }
        });
        let triaged = counted(&payload);
        assert_eq!((triaged.ignored_total(), triaged.rejects.count), (2, 1));
        assert_eq!(triaged.rejects.faults.get("the entry is not UTF-8"), Some(&1));
    }
}

/// An error, or every entry: nothing between.
#[test]
fn a_sample_cut_anywhere_is_an_error() {
    let payload = payload("mutating-unapproved-region");
    let json: Value = serde_json::from_slice(&payload).unwrap();
    let data = json["awslogs"]["data"].as_str().unwrap();
    let mut batch = Vec::new();
    let gzip = STANDARD.decode(data).unwrap();
    Inflate::new(&gzip[..], u64::MAX).read_to_end(&mut batch).unwrap();
    for cut in 0..payload.trim_ascii_end().len() {
        assert!(triaged(&payload[..cut]).0.is_err(), "the payload at {cut}");
    }
    for cut in 0..data.trim_end_matches('=').len() {
        let cut = json!({"awslogs": {"data": &data[..cut]}}).to_string();
        assert!(triaged(cut.as_bytes()).0.is_err(), "{cut}");
    }
    for cut in 0..batch.trim_ascii_end().len() {
        assert!(read_batch(|| &batch[..cut], each(|_, _| ())).is_err(), "the batch at {cut}");
    }
    assert!(read_batch(|| &batch[..], each(|_, _| ())).is_ok());
}

#[test]
fn a_source_that_fails_is_an_error() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let batch = format!("{HEADER}{}", entry(APPROVED));
            let rest = &batch.as_bytes()[self.0..];
            if rest.is_empty() {
                return Err(io::Error::other("gone"));
            }
            let read = rest.len().min(out.len()).min(10);
            out[..read].copy_from_slice(&rest[..read]);
            self.0 += read;
            Ok(read)
        }
    }
    assert!(read_batch(|| Failing(0), each(|_, _| ())).is_err());
}
