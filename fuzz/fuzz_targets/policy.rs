//! Any text as a policy: each fault has its place in the text, and a policy that is shown is the
//! same policy.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use regionwatch::policy::{Keys, Policy, PolicyFaults, PolicyFile};
use regionwatch::record::Record;
use regionwatch_fuzz::OWNER;

const NAME: &str = "fuzz.toml";
const RECORD: &str = r#"{"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"eu-west-3","recipientAccountId":"111122223333"}"#;

static EMBEDDED: LazyLock<PolicyFile> = LazyLock::new(|| PolicyFile::embedded().unwrap());

fuzz_target!(|text: &str| {
    let file = match PolicyFile::parse(NAME, text) {
        Ok(file) => file,
        Err(faults) => return check_places(text, &faults),
    };
    let keys = match Keys::in_force(&[&EMBEDDED, &file]) {
        Ok(keys) => keys,
        Err(faults) => return check_places(text, &faults),
    };
    let policy = Policy::compile(&[&EMBEDDED, &file]).unwrap();
    let record = Record::parse(RECORD).unwrap();
    let verdict = policy.judge(&record, OWNER);
    assert!(policy.explain(&keys, &record, OWNER).steps.iter().any(|step| step.decides));
    for remark in keys.remarks("2026-11-23T12:00:00Z".parse().unwrap()) {
        assert!(!remark.to_string().contains(char::is_control));
    }
    assert!(!keys.summary().is_empty());

    // What the file says alone is shown faster, and is all that can be new; but a file that counts
    // on the default policy says nothing alone.
    let (below, keys) = match Keys::in_force(&[&file]) {
        Ok(alone) => (None, alone),
        Err(_) => (Some(&*EMBEDDED), keys),
    };
    let shown = keys.to_toml();
    let shown_file = PolicyFile::parse("shown.toml", &shown).expect(&shown);
    let files: Vec<&PolicyFile> = below.into_iter().chain([&shown_file]).collect();
    assert_eq!(Keys::in_force(&files).expect(&shown), keys, "{shown}");
    let policy = Policy::compile(&[&EMBEDDED, &shown_file]).expect(&shown);
    assert_eq!(policy.judge(&record, OWNER), verdict);
});

fn check_places(text: &str, faults: &PolicyFaults) {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let lines: Vec<&str> = text.split('\n').collect();
    assert!(faults.iter().count() > 0);
    for fault in faults.iter() {
        let place = &fault.place;
        assert_eq!(&*place.file, NAME, "{fault}");
        let line = place.line.checked_sub(1).and_then(|at| lines.get(at)).expect("no such line");
        assert!((1..=line.chars().count() + 1).contains(&place.column), "{fault}");
        assert!(
            !fault.what.is_empty() && !fault.to_string().contains(char::is_control),
            "{fault:?}"
        );
    }
}
