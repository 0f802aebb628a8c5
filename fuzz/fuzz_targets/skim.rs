//! Skimming against judging: the judge's verdict with its reason, or nothing.
//!
//! A message is the text of a record (`{...`), a JSON string that holds one (`"...`), or made of
//! pieces by whatever the other bytes are.

#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use regionwatch::envelope::Escaped;
use regionwatch::policy::{Policy, Verdict};
use regionwatch::record::{Record, RecordError};
use regionwatch::skim::{Skim, Skimmer};
use regionwatch_fuzz::message::message;
use regionwatch_fuzz::{JUDGES, OWNER};
use serde_json::value::{RawValue, to_raw_value};

fuzz_target!(|data: &[u8]| {
    let Some(string) = string(data) else { return };
    let escaped = Escaped::of(&string).unwrap();
    for judge in JUDGES.iter() {
        check(escaped, &judge.policy);
    }
});

fn string(data: &[u8]) -> Option<Box<RawValue>> {
    match data.first() {
        Some(b'{') => to_raw_value(std::str::from_utf8(data).ok()?).ok(),
        Some(b'"') => serde_json::from_slice(data).ok(),
        _ => to_raw_value(&message(&mut Unstructured::new(data)).ok()?).ok(),
    }
    .filter(|value: &Box<RawValue>| value.get().starts_with('"'))
}

fn check(message: Escaped<'_>, policy: &Policy) {
    let skimmer = Skimmer::new(policy);
    let (skim, passed) = skimmer.skim_to(message, OWNER);
    assert_eq!(skimmer.skim(message, OWNER), skim);
    let Skim::Ignore(reason) = skim else { return };
    // What was passed is the beginning of a record that the judge ignores for that reason.
    let passed = message.inside().get(..passed).unwrap();
    let passed: String = serde_json::from_str(&format!("\"{passed}\"")).unwrap();
    let is_cut = matches!(Record::parse(&passed), Err(RecordError::NotJson));
    let passed = if is_cut { format!("{passed}}}") } else { passed };
    assert_eq!(judge(&passed, policy), Some(Verdict::Ignore(reason.clone())), "{passed}");
    // And so is the whole of it, where it can be read.
    let whole = message.unescape().and_then(|text| judge(&text, policy));
    assert!(whole.is_none_or(|verdict| verdict == Verdict::Ignore(reason)));
}

fn judge(text: &str, policy: &Policy) -> Option<Verdict> {
    Some(policy.judge(&Record::parse(text).ok()?, OWNER))
}
