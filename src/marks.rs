//! Which records of history were seen before, known by their `eventID`.
//!
//! CloudTrail may deliver a record twice, and whoever copies trails has some in two places. Marks are
//! the one thing that grows with every record: 16 bytes each, with room to spare in the table up to
//! 40. A UUID, which CloudTrail's ids are, is its own mark; anything else is hashed.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::alert::IncidentKey;
use crate::policy::Verdict;
use crate::record::Record;

/// What stands for an `eventID`.
pub type Mark = u128;

/// The marks of all records so far.
#[derive(Default)]
pub struct Marks(HashSet<Mark>);

impl Marks {
    /// Whether the mark is new.
    pub fn set(&mut self, mark: Mark) -> bool {
        self.0.insert(mark)
    }
}

/// By what a record is known when it comes again; nobody can tell of an unreadable one. One that
/// alerts is known by all that tells it from others, so that no forged id hides it.
pub fn mark(record: &Record<'_>, owner: &str, verdict: &Verdict) -> Option<Mark> {
    match verdict {
        Verdict::Alert(_, severity) => {
            let delivery = IncidentKey::of(record, owner).delivery_of(record, *severity)?;
            Some(mark_of(&delivery))
        }
        Verdict::Ignore(_) => record.event_id.as_deref().map(mark_of),
        Verdict::Reject => None,
    }
}

/// The mark of an id.
fn mark_of(id: &str) -> Mark {
    uuid(id.as_bytes()).unwrap_or_else(|| {
        let hash = Sha256::digest(id);
        hash.iter().take(16).fold(0, |mark, byte| mark << 8 | Mark::from(*byte))
    })
}

/// The number that a UUID is, as CloudTrail writes it: in lower case, with hyphens.
fn uuid(id: &[u8]) -> Option<Mark> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let id: &[u8; 36] = id.try_into().ok()?;
    let (mut mark, mut is_uuid) = (0, true);
    for (at, byte) in id.iter().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => 16,
        };
        if HYPHENS.contains(&at) {
            is_uuid &= *byte == b'-';
        } else {
            is_uuid &= digit < 16;
            mark = mark << 4 | Mark::from(digit);
        }
    }
    is_uuid.then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_its_own_mark_and_no_other_text_shares_it() {
        let uuid = "46a75ef4-9067-4f8f-8e6d-7d2c32494f7a";
        assert_eq!(mark_of(uuid), 0x46a7_5ef4_9067_4f8f_8e6d_7d2c_3249_4f7a);
        let others = [
            uuid.to_uppercase(),
            uuid.replace('-', ""),
            uuid.replacen('4', "+", 1),
            uuid.replacen('-', "0", 1),
            format!("{uuid}0"),
            "event-1".to_owned(),
        ];
        let mut marks = Marks::default();
        assert!(marks.set(mark_of(uuid)));
        assert!(others.iter().all(|other| marks.set(mark_of(other))));
        assert!(!marks.set(mark_of(uuid)));
    }
}
