//! A record of history that is read in one go is what the plain way would have read.
//!
//! Only a record that begins as CloudTrail's do is read so. A space behind its first bracket changes
//! nothing about it, but has it read the plain way.

use regionwatch::record::Record;
use regionwatch::source::{self, Item};

use crate::corpus::corpus;
use crate::skim::{Dice, damaged, record};

/// All that is found in a text, or how it ends.
fn items(text: &[u8]) -> Vec<String> {
    let mut items = Vec::new();
    let read = source::read(text, |item| {
        items.push(match item {
            Item::Record { text, record, owner, .. } => {
                assert_eq!(format!("{record:?}"), format!("{:?}", Record::parse(text)), "{text}");
                format!("{owner} {record:?}")
            }
            Item::Unreadable { raw, .. } => format!("unreadable: {}", plain(raw)),
        });
    });
    items.push(match read {
        Ok(passed_over) => format!("{passed_over} passed over"),
        Err(_) => "damaged".to_owned(),
    });
    items
}

const QUICK: &str = r#"{"eventVersion""#;
const PLAIN: &str = r#"{ "eventVersion""#;

fn plain(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(QUICK, PLAIN)
}

/// How many of the records might be read in one go.
fn compare(records: &[String]) -> usize {
    for text in [format!("{{\"Records\":[{}]}}", records.join(",")), records.join("\n")] {
        assert_eq!(items(text.as_bytes()), items(plain(text.as_bytes()).as_bytes()), "{text}");
    }
    records.iter().filter(|record| record.starts_with(QUICK)).count()
}

#[test]
fn records_odd_and_damaged_are_read_alike() {
    let mut quick = 0;
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let mut records: Vec<String> = (0..8).map(|_| record(&mut dice)).collect();
        if dice.one_in(2) {
            let at = dice.throw(records.len());
            let text = damaged(records[at].as_bytes(), &mut dice);
            records[at] = String::from_utf8_lossy(&text).into_owned();
        }
        quick += compare(&records);
    }
    assert!(quick > 8_000, "only {quick} might be read in one go");
}

#[test]
fn real_records_are_read_alike() {
    for file in ["traildiscover.ndjson", "stratus-red-team.ndjson", "oddities.ndjson"] {
        let Some(text) = corpus(file) else { return };
        for records in text.lines().map(str::to_owned).collect::<Vec<_>>().chunks(50) {
            compare(records);
        }
    }
}

#[test]
fn bytes_that_are_no_text_spoil_only_their_own_record() {
    let sound = br#"{"eventVersion":"1","eventName":"A"}"#;
    let spoiled = b"{\"eventVersion\":\"1\",\"x\":\"\xFF\"}";
    let text = [&b"{\"Records\":["[..], sound, b",", spoiled, b",", sound, b"]}"].concat();
    let items = items(&text);
    assert_eq!(items.len(), 4, "{items:?}");
    assert_eq!(items[0], items[2]);
    assert!(items[1].starts_with("unreadable"), "{items:?}");
}
