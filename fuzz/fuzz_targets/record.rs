//! Any text: parsed, judged, explained and told without a panic, and judged twice the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use regionwatch::alert::Alert;
use regionwatch::policy::Verdict;
use regionwatch::record::Record;
use regionwatch_fuzz::record::{check, context, incident};
use regionwatch_fuzz::{JUDGES, OWNER};

fuzz_target!(|text: &str| {
    let Ok(record) = Record::parse(text) else { return };
    for judge in JUDGES.iter() {
        let verdict = judge.policy.judge(&record, OWNER);
        let again = Record::parse(text).unwrap();
        assert_eq!(judge.policy.judge(&again, OWNER), verdict);
        let explanation = judge.policy.explain(&judge.keys, &record, OWNER);
        assert_eq!(explanation.steps.iter().filter(|step| step.decides).count(), 1);
        if let Verdict::Alert(reason, severity) = verdict {
            let mut incident = incident(&record, reason, severity);
            incident.add_watches(&judge.policy.watches_on(&record, OWNER));
            let context = context(judge.policy.version(), "place");
            check(Alert::of_incident(&incident, None, &context));
        }
    }
});
