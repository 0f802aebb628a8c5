//! A batch from pieces, cut anywhere: the same entries in any steps, packed, and by serde; and a
//! triage that counts what the judge alone would.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use regionwatch::envelope::{Envelope, each, read_batch};
use regionwatch::policy::{Policy, Reason, Verdict};
use regionwatch::record::Record;
use regionwatch::triage::{Triage, Triaged};
use regionwatch_fuzz::JUDGES;
use regionwatch_fuzz::batch::{Seen, batch, look, pack, read_in_steps, read_whole, unescaped};

fuzz_target!(|data: &[u8]| {
    let _ = check(&mut Unstructured::new(data));
});

fn check(draws: &mut Unstructured<'_>) -> Result<()> {
    let steps: [u8; 4] = draws.arbitrary()?;
    let batch = batch(draws)?;
    let at_once = read_in_steps(&batch, &[]);
    assert_eq!(read_in_steps(&batch, &steps), at_once);
    if let Some(entries) = read_whole(&batch) {
        assert_eq!(at_once.0, entries);
        assert!(at_once.1.is_ok(), "{:?}", at_once.1);
    }
    let payload = pack(&batch);
    let mut packed = Vec::new();
    let opened = Envelope::open(&payload).unwrap();
    let opened = opened.entries(u64::MAX, each(|_, entry| packed.push(look(&entry))));
    assert_eq!((packed, opened.map_err(|error| error.to_string())), at_once);

    let (entries, Ok(header)) = at_once else { return Ok(()) };
    for judge in JUDGES.iter() {
        let mut triage = Triage::new(&judge.policy);
        read_batch(|| &batch[..], &mut triage).unwrap();
        check_counts(&triage.finish(), &entries, &judge.policy, &header.owner);
    }
    Ok(())
}

/// Who is ignored though nobody could read it to its end is one of those whose deciding fields were
/// read.
fn check_counts(triaged: &Triaged, entries: &[Seen], policy: &Policy, owner: &str) {
    assert_eq!(triaged.entries, entries.len() as u64);
    let sum = triaged.alerts() + triaged.ignored_total() + triaged.rejects.count;
    assert_eq!(triaged.entries, sum);
    let mut ignored: BTreeMap<Reason, u64> = BTreeMap::new();
    let mut alerts = 0;
    let mut rejects: u64 = 0;
    for entry in entries {
        match judge(entry, policy, owner) {
            Verdict::Ignore(reason) => *ignored.entry(reason).or_default() += 1,
            Verdict::Alert(..) => alerts += 1,
            Verdict::Reject => rejects += 1,
        }
    }
    let repeated = triaged.ignored.get(&Reason::Duplicate).copied().unwrap_or(0);
    assert_eq!(triaged.alerts() + repeated, alerts);
    let unread = rejects.checked_sub(triaged.rejects.count).unwrap();
    for (reason, count) in &triaged.ignored {
        let judged = ignored.get(reason).copied().unwrap_or(0);
        let may_be_unread = if *reason == Reason::ApprovedRegion { unread } else { 0 };
        assert!(
            (judged..=judged + may_be_unread).contains(count) || *reason == Reason::Duplicate,
            "{reason}: {count}, judged {judged}"
        );
    }
}

fn judge(entry: &Seen, policy: &Policy, owner: &str) -> Verdict {
    let Ok((_, _, message)) = entry else { return Verdict::Reject };
    let Some(text) = unescaped(message.as_bytes()) else { return Verdict::Reject };
    Record::parse(&text).map_or(Verdict::Reject, |record| policy.judge(&record, owner))
}
