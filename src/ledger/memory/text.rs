//! What is remembered of an incident as a text, for stores that know nothing of it.
//!
//! JSON, so that people can read an item where it is stored; one text, so that a store can neither
//! keep a part of it nor mix two. A text that cannot be read is no memory: nothing counts as told.

use serde::{Deserialize, Serialize};

use super::Memory;

/// The form of the text. Another form is another number, and is not read.
const FORM: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Form<M> {
    form: u32,
    #[serde(flatten)]
    memory: M,
}

impl Memory {
    /// What was remembered, or `None` where the text does not say.
    pub fn from_text(text: &str) -> Option<Self> {
        let read: Form<Memory> = serde_json::from_str(text).ok()?;
        (read.form == FORM).then_some(read.memory)
    }

    /// The text; less than 400 KB, which a DynamoDB item may have (DynamoDB guide, "Quotas").
    pub fn to_text(&self) -> String {
        // Made of strings and numbers, which always have a JSON form.
        serde_json::to_string(&Form { form: FORM, memory: self }).unwrap_or_default()
    }
}

/// A severity as the word that policies and alerts have for it.
pub mod severity {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::policy::Severity;

    pub fn serialize<S: Serializer>(severity: &Severity, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(severity.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Severity, D::Error> {
        let word = String::deserialize(from)?;
        let known = Severity::ALL.into_iter().find(|severity| severity.as_str() == word);
        known.ok_or_else(|| D::Error::custom("no severity"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::memory::{MOST_BATCHES, MOST_CALL_BYTES};
    use crate::ledger::{Decision, Share, Sighting};
    use crate::policy::Severity;

    fn sighting(shares: Vec<Share>) -> Sighting {
        let (now, record_by, confirm_by) = (Timestamp::UNIX_EPOCH, Timestamp::MAX, Timestamp::MAX);
        Sighting { incident: "incident".to_owned(), shares, now, record_by, confirm_by }
    }

    /// Sightings that are told or not, with names of any characters.
    fn memory() -> impl Strategy<Value = Memory> {
        let names = || prop::collection::btree_set(any::<String>(), 0..4);
        let counts = prop::collection::btree_map(any::<String>(), any::<u64>(), 0..4);
        let seen = (0..9_u8, any::<u64>(), 0..4_usize, names(), counts, 0..200_i64);
        prop::collection::vec((seen, any::<bool>()), 0..12).prop_map(|seen| {
            let mut memory = Memory::new(Timestamp::UNIX_EPOCH);
            for ((payload, count, severity, watches, calls, second), accepted) in seen {
                let now = Timestamp::from_second(second).unwrap();
                memory.turn(now, SignedDuration::from_secs(100));
                let decision = memory.record(Sighting {
                    shares: vec![Share {
                        batch: payload.to_string(),
                        count,
                        severity: Severity::ALL[severity],
                        watches,
                        calls,
                    }],
                    now,
                    ..sighting(vec![])
                });
                if let (Decision::Tell(telling), true) = (decision, accepted) {
                    memory.confirm(&telling);
                }
            }
            memory
        })
    }

    proptest! {
        #[test]
        fn a_memory_comes_back_from_its_text_as_it_was(memory in memory()) {
            prop_assert_eq!(Memory::from_text(&memory.to_text()), Some(memory));
        }
    }

    #[test]
    fn the_text_is_one_that_people_can_read() {
        let mut memory = Memory::new(Timestamp::UNIX_EPOCH);
        let share = Share {
            batch: "payload".to_owned(),
            count: 3,
            severity: Severity::High,
            watches: ["trail-change".to_owned()].into(),
            calls: [("ec2:RunInstances".to_owned(), 3)].into(),
        };
        let Decision::Tell(telling) = memory.record(sighting(vec![share])) else { panic!("held") };
        memory.confirm(&telling);
        let expected = r#"{"form":2,"began":"1970-01-01T00:00:00Z","carried":0,"total":3,"untold":{},"payloads":[{"id":"payload","told":"f8f6d078"}],"before":[],"told":{"total":3,"severity":"high","watches":["trail-change"],"calls":["ec2:RunInstances"],"for_new_calls":0}}"#;
        assert_eq!(memory.to_text(), expected);
    }

    #[test]
    fn what_cannot_be_read_is_no_memory() {
        let text = Memory::new(Timestamp::UNIX_EPOCH).to_text();
        assert!(Memory::from_text(&text).is_some());
        let negative = text.replace(r#""total":0"#, r#""total":-1"#);
        let next_form = text.replace(r#""form":2"#, r#""form":3"#);
        let cut = text.strip_suffix('}').unwrap();
        for text in ["", "null", "[]", "{}", cut, &negative, &next_form] {
            assert_eq!(Memory::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn the_fullest_memory_fits_an_item() {
        // Control characters take the most room in JSON: six bytes each.
        let names = |prefix: &str| {
            (0..30_000).map(|n| format!("{prefix}\u{1}\u{1}\u{1}\u{1}{n}")).collect::<BTreeSet<_>>()
        };
        let mut memory = Memory::new(Timestamp::UNIX_EPOCH);
        for payload in 0..=MOST_BATCHES {
            let calls = names(&payload.to_string()).into_iter().map(|name| (name, u64::MAX));
            let decision = memory.record(sighting(vec![Share {
                batch: format!("{payload:032x}"),
                count: u64::MAX,
                severity: Severity::Critical,
                watches: names("w"),
                calls: calls.collect(),
            }]));
            if let Decision::Tell(telling) = decision {
                memory.confirm(&telling);
            }
        }
        let all: String = memory.told.as_ref().unwrap().calls.iter().cloned().collect();
        assert!(all.len() > MOST_CALL_BYTES / 2, "what was told is remembered");
        let size = memory.to_text().len();
        assert!((100_000..400_000).contains(&size), "{size}");
    }
}
