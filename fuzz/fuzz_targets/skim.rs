//! Skimming against judging: the judge's verdict with its reason, or nothing.
//!
//! The lines are messages where the first byte begins one: the text of a record (`{...`), or a JSON
//! string that holds one (`"...`). Else messages are made of pieces by whatever the bytes are.

#![no_main]

use std::cell::RefCell;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use regionwatch::envelope::Escaped;
use regionwatch::policy::{Policy, Verdict};
use regionwatch::record::{Record, RecordError};
use regionwatch::skim::{Skimmed, Skimmer};
use regionwatch_fuzz::batch::unescaped;
use regionwatch_fuzz::message::message;
use regionwatch_fuzz::{JUDGES, OWNER};
use serde_json::value::{RawValue, to_raw_value};

thread_local! {
    /// A skimmer for each judge that has seen the messages of all runs.
    static OLD: RefCell<Vec<Skimmer<'static>>> =
        RefCell::new(JUDGES.iter().map(|judge| Skimmer::new(&judge.policy)).collect());
}

fuzz_target!(|data: &[u8]| {
    let messages = messages(data);
    OLD.with_borrow_mut(|old| {
        for (judge, old) in JUDGES.iter().zip(old) {
            let mut skimmer = Skimmer::new(&judge.policy);
            for message in &messages {
                let message = Escaped::of(message).unwrap();
                let ahead = ahead(message);
                check(message, &judge.policy);
                // What it remembers of one message must not change what it says of the next. Where
                // it is the old one that errs, only the same runs again would repeat it.
                let fresh = Skimmer::new(&judge.policy).skim(&ahead, OWNER);
                assert_eq!(skimmer.skim(&ahead, OWNER), fresh);
                assert_eq!(old.skim(&ahead, OWNER), fresh, "after other runs");
            }
        }
    });
});

fn messages(data: &[u8]) -> Vec<Box<RawValue>> {
    if let Some(b'{' | b'"') = data.first() {
        return data.split(|byte| *byte == b'\n').filter_map(string).collect();
    }
    let mut draws = Unstructured::new(data);
    let made = std::iter::from_fn(|| (!draws.is_empty()).then(|| message(&mut draws).ok())?);
    made.take(16).filter_map(|text| to_raw_value(&text).ok()).collect()
}

fn string(line: &[u8]) -> Option<Box<RawValue>> {
    match line.first() {
        Some(b'"') => serde_json::from_slice(line).ok(),
        _ => to_raw_value(std::str::from_utf8(line).ok()?).ok(),
    }
}

/// What stands behind the first quote of a message.
fn ahead(message: Escaped<'_>) -> Vec<u8> {
    [message.inside(), b"\""].concat()
}

fn check(message: Escaped<'_>, policy: &Policy) {
    let skimmed = Skimmer::new(policy).skim(&ahead(message), OWNER);
    let Some(Skimmed { reason, passed, ascii }) = skimmed else { return };
    assert_eq!(ascii, message.inside()[..passed].is_ascii());
    // What was passed is the beginning of a record that the judge ignores for that reason.
    let passed = unescaped(&message.inside()[..passed]).unwrap();
    let is_cut = matches!(Record::parse(&passed), Err(RecordError::NotJson));
    let passed = if is_cut { format!("{passed}}}") } else { passed };
    assert_eq!(judge(&passed, policy), Some(Verdict::Ignore(reason.clone())), "{passed}");
    // And so is the whole of it, where it can be read.
    let whole = unescaped(message.inside()).and_then(|text| judge(&text, policy));
    assert!(whole.is_none_or(|verdict| verdict == Verdict::Ignore(reason)));
}

fn judge(text: &str, policy: &Policy) -> Option<Verdict> {
    Some(policy.judge(&Record::parse(text).ok()?, OWNER))
}
