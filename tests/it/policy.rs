//! Faults of a policy file: all at once, each with its place and what to do.

use std::collections::BTreeSet;

use regionwatch::policy::{ExampleRecords, Keys, Policy, PolicyFile, Verdict};
use regionwatch::record::Record;

fn faults(text: &str) -> String {
    match Policy::with_user_file("my.toml", text) {
        Ok(_) => panic!("no fault in {text}"),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn the_default_policy_is_sound_and_an_empty_file_changes_nothing() {
    Policy::embedded().unwrap();
    Policy::with_user_file("my.toml", "").unwrap();
}

#[test]
fn all_faults_are_told_with_their_places() {
    let text = r#"aproved_regions = ["eu-west-1"]
approved_regions = ["eu-west", "*"]
sign_ins = "maybe"
drop_rules = ["trail-changes"]

[access.calls]
"GetSecretValue" = "sensitive"
"ec2:Run*" = "read-only"

[accounts.prod]
nmae = "production"

[[exempt]]
id = "ci"
reason = "the CI role"
principal = ["*"]
until = "2026-12-31"

[[exempt]]
id = "ci"
source_ips = ["10.0.0.0/99"]
outcomes = ["ok"]
watches = ["trail-tamper"]

[[watch]]
id = "keys"
reason = "all keys"
calls = ["kms"]
regions = []
"#;
    insta::assert_snapshot!(faults(text), @r#"
    my.toml:1:1: unknown key `aproved_regions`; did you mean `approved_regions`?
    my.toml:2:21: `eu-west` is no region: write codes like eu-west-1, or globs like eu-*
    my.toml:2:32: `*` would approve every region, and nothing would ever alert
    my.toml:3:12: `maybe` is unknown here; it is one of alert, ignore
    my.toml:7:1: `GetSecretValue` is no call; write service:Name, such as ec2:RunInstances
    my.toml:8:1: `ec2:Run*` is a glob; name single calls here, for globs belong in rules
    my.toml:10:11: `prod` is no account id; account ids have twelve digits
    my.toml:11:1: unknown key `nmae`; did you mean `name`?
    my.toml:13:1: rule `ci` would match everything; narrow it by at least one of accounts, regions, services, calls, principals, source_ips, outcomes, request
    my.toml:16:1: unknown key `principal`; did you mean `principals`?
    my.toml:17:9: a string stands here; wanted is a date such as 2026-12-31, without quotes
    my.toml:19:1: `reason` is missing; say in a few words why it is there
    my.toml:21:15: `10.0.0.0/99` is no network; write CIDR, such as 192.0.2.0/24 or 2001:db8::/32
    my.toml:22:13: `ok` is unknown here; it is one of success, denied, throttled, failed, dry-run
    my.toml:28:10: `kms` is no call; write service:Name, such as ec2:RunInstances
    my.toml:29:11: `regions` is empty; name something, or leave the key out
    "#);
}

#[test]
fn what_shows_only_between_rules_is_told_too() {
    let text = r#"drop_rules = ["trail-changes"]

[[exempt]]
id = "trail-change"
reason = "r"
services = ["ec2"]

[[exempt]]
id = "ci"
reason = "r"
services = ["ec2"]
watches = ["trail-tamper"]

[[watch]]
id = "ci"
reason = "r"
services = ["ec2"]
"#;
    insta::assert_snapshot!(faults(text), @r#"
    my.toml:1:15: drop_rules names the rule `trail-changes`, which is not there; did you mean `trail-change`?
    my.toml:3:1: `trail-change` is a [[watch]] already; give it another id
    my.toml:8:1: exempt `ci` names the watch `trail-tamper`, which is not there; did you mean `trail-tampering`?
    my.toml:14:1: the id `ci` is used twice; the first is at my.toml:8:1; give each its own id
    "#);
}

#[test]
fn a_list_without_regions_and_a_text_that_is_no_toml() {
    insta::assert_snapshot!(faults("approved_regions = []"), @r#"my.toml:1:20: no region is approved; list the regions you use, such as ["us-east-1", "eu-*"]"#);
    insta::assert_snapshot!(faults("approved_regions = \"eu-west-1\""), @"my.toml:1:20: a string stands here; wanted is a list of region codes");
    insta::assert_snapshot!(faults("approved_regions = [\"eu-west-1\"\nsign_ins = \"alert\"\n"), @"my.toml:2:1: missing comma between array elements, expected `,`");
}

#[test]
fn a_matcher_without_anything_in_it_is_no_matcher() {
    for matcher in ["calls = []", "source_ips = []", "outcomes = []", "request = {}"] {
        let rule = format!("[[exempt]]\nid = \"x\"\nreason = \"r\"\n{matcher}");
        assert!(faults(&rule).contains("is empty"), "{matcher}");
    }
    for matcher in ["principals = [\"*\"]", "calls = [\"*:*\"]\nservices = [\"ec2\", \"**\"]"] {
        let rule = format!("[[exempt]]\nid = \"x\"\nreason = \"r\"\n{matcher}");
        assert!(faults(&rule).contains("would match everything"), "{matcher}");
    }
    assert!(
        faults("[access.calls]\n\"a:B\" = { access = \"read-only\", when = {} }").contains("empty")
    );
    assert!(
        faults("[[watch]]\nid = \"x\"\nreason = \"r\"\nrequest = { a = [] }").contains("empty")
    );
}

#[test]
fn a_service_is_written_without_its_domain() {
    let table = faults("[access.calls]\n\"ec2.amazonaws.com:RunInstances\" = \"read-only\"");
    assert!(table.contains("is no call"), "{table}");
    let rule = "[[watch]]\nid = \"x\"\nreason = \"r\"\nservices = [\"ec2.amazonaws.com\"]";
    assert!(faults(rule).contains("without .amazonaws.com"));
}

#[test]
fn a_date_that_cannot_be_read_makes_no_endless_exemption() {
    let rule = "[[exempt]]\nid = \"x\"\nreason = \"r\"\nservices = [\"ec2\"]\nuntil = 2026-02-30";
    assert!(!faults(rule).is_empty());
}

#[test]
fn patterns_that_no_record_can_match_are_faults() {
    let text = r#"approved_regions = ["us-east-1", "eu west*"]

[[global]]
id = "mine"
homes = ["frankfurt"]
services = ["iam.amazonaws.com"]

[[watch]]
id = "odd"
reason = "r"
regions = ["eu_west_1", "eu-west-*!", "unknown", "eu-west-?"]
accounts = ["prod", "11112222333", "1111222233334*", "1111????3333", "1111*"]
principals = ["alice", "arn:aws:iam:111122223333:user/alice", "*:user/alice", "ec2.amazonaws.com", ""]
services = ["EC2", "ec 2"]
calls = ["ec2:Run Instances", "ec2", "ec2:Run*"]
source_ips = ["10.0.0.0/33", "2001:db8::/32", "::1", "cloudformation.amazonaws.com"]
outcomes = ["denied", "dryrun"]
request = { a = { b = 1 }, c = [nan] }
"#;
    insta::assert_snapshot!(faults(text), @r#"
    my.toml:1:34: `eu west*` is no region: write codes like eu-west-1, or globs like eu-*
    my.toml:5:10: `frankfurt` is no region; write codes like eu-west-1, globs like eu-*, or unknown
    my.toml:6:13: `iam.amazonaws.com` is no service; write it as in ec2, without .amazonaws.com
    my.toml:11:12: `eu_west_1` is no region; write codes like eu-west-1, globs like eu-*, or unknown
    my.toml:11:25: `eu-west-*!` is no region; write codes like eu-west-1, globs like eu-*, or unknown
    my.toml:12:13: `prod` is no account id; account ids have twelve digits, and globs like 1111* stand for such
    my.toml:12:21: `11112222333` is no account id; account ids have twelve digits, and globs like 1111* stand for such
    my.toml:12:36: `1111222233334*` is no account id; account ids have twelve digits, and globs like 1111* stand for such
    my.toml:13:15: `alice` matches no principal; write an ARN, a glob such as *:user/alice, or a service such as cloudtrail.amazonaws.com
    my.toml:13:24: `arn:aws:iam:111122223333:user/alice` matches no principal; write an ARN, a glob such as *:user/alice, or a service such as cloudtrail.amazonaws.com
    my.toml:13:100: `` matches no principal; write an ARN, a glob such as *:user/alice, or a service such as cloudtrail.amazonaws.com
    my.toml:14:20: `ec 2` is no service; write it as in ec2, without .amazonaws.com
    my.toml:15:10: `ec2:Run Instances` is no call; write service:Name, such as ec2:RunInstances
    my.toml:15:31: `ec2` is no call; write service:Name, such as ec2:RunInstances
    my.toml:16:15: `10.0.0.0/33` is no network; write CIDR, such as 192.0.2.0/24 or 2001:db8::/32
    my.toml:16:54: `cloudformation.amazonaws.com` is no network; write CIDR, such as 192.0.2.0/24 or 2001:db8::/32
    my.toml:17:23: `dryrun` is unknown here; did you mean `dry-run`? It is one of success, denied, throttled, failed, dry-run
    my.toml:18:17: a table stands here; wanted is a string, a bool or a number
    my.toml:18:33: this number cannot be compared; whole numbers have 64 bits; write a longer one as a string
    "#);
}

#[test]
fn a_region_that_is_approved_and_watched_for_nothing() {
    let watch = |matchers: &str| format!("\n[[watch]]\nid = \"w\"\nreason = \"r\"\n{matchers}\n");
    insta::assert_snapshot!(faults(&watch("regions = [\"eu-west-1\", \"US-East-1\"]")), @r#"
    my.toml:2:1: watch `w` takes in all of US-East-1, which is approved: every call there would alert; name calls or services in it, or take the region out of one of the two
    "#);
    insta::assert_snapshot!(faults(&watch("regions = [\"us-*\"]")), @r#"
    my.toml:2:1: watch `w` takes in all of us-*, which is approved: every call there would alert; name calls or services in it, or take the region out of one of the two
    "#);
    let own = "[accounts.\"111122223333\"]\napproved_regions = [\"eu-*\"]\n";
    let in_account = "accounts = [\"111122223333\"]\nregions = [\"eu-west-1\"]";
    insta::assert_snapshot!(faults(&format!("{own}{}", watch(in_account))), @r#"
    my.toml:4:1: watch `w` takes in all of eu-west-1, which is approved: every call there would alert; name calls or services in it, or take the region out of one of the two
    "#);
    for matchers in [
        "regions = [\"eu-west-1\"]",
        "regions = [\"us-east-1\"]\ncalls = [\"ec2:RunInstances\"]",
        "regions = [\"us-east-1\"]\nprincipals = [\"*:root\"]",
        in_account,
    ] {
        Policy::with_user_file("my.toml", &watch(matchers)).unwrap();
    }
}

#[test]
fn faults_of_examples() {
    let text = r#"[[example]]
name = "no record"
verdict = "alert"

[[example]]
record = { eventName = "x" }
verdict = "alarm"
severity = "grave"

[[example]]
name = "two"
record = 7
file = "x.json"

[[example]]
name = "odd"
record = [1]
verdict = "alert"
expect = "alert"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    my.toml:1:1: wanted is either `record` or `file`; a record as a table or as JSON text, or the path of a file
    my.toml:5:1: `name` is missing; say in a few words what it shows
    my.toml:7:11: `alarm` is unknown here; it is one of alert, ignore, reject
    my.toml:8:12: `grave` is unknown here; it is one of low, medium, high, critical
    my.toml:10:1: `verdict` is missing; it is one of alert, ignore, reject
    my.toml:10:1: wanted is either `record` or `file`; a record as a table or as JSON text, or the path of a file
    my.toml:17:10: an array stands here; wanted is a table or a string of JSON
    my.toml:19:1: unknown key `expect`; known here: name, record, file, verdict, reason, severity
    "#);
}

#[test]
fn the_same_call_twice() {
    let text = "[access.calls]\n\"ec2:X\" = \"mutating\"\n\"EC2:X\" = \"read-only\"";
    insta::assert_snapshot!(faults(text), @r#"
    my.toml:2:1: `ec2:X` is here twice; the case of a service does not count
    "#);
}

/// Remarks at noon of 2026-11-23.
fn remarks(text: &str) -> String {
    let user = PolicyFile::parse("my.toml", text).unwrap_or_else(|faults| panic!("{faults}"));
    let keys = Keys::in_force(&[&PolicyFile::embedded().unwrap(), &user]).unwrap();
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    keys.remarks(now).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn exemptions_that_do_nothing_any_more_are_spoken_of() {
    let exempt = |id: &str, rest: &str| {
        format!("[[exempt]]\nid = \"{id}\"\nreason = \"r\"\nservices = [\"ec2\"]\n{rest}\n\n")
    };
    let text = [
        exempt("yesterday", "until = 2026-11-22"),
        exempt("today", "until = 2026-11-23"),
        exempt("in-two-weeks", "until = 2026-12-07"),
        exempt("later", "until = 2026-12-08"),
        exempt("idle", "regions = [\"us-east-1\", \"US-WEST-2\"]"),
        exempt("for-watches", "regions = [\"us-east-1\"]\nwatches = [\"trail-change\"]"),
        exempt("busy", "regions = [\"us-east-1\", \"eu-west-1\"]"),
    ];
    insta::assert_snapshot!(remarks(&text.concat()), @r#"
    my.toml:1:1: exempt `yesterday` ended on 2026-11-22: it silences nothing of later days; remove it, or set a later date
    my.toml:7:1: exempt `today` ends on 2026-11-23; what it silences will alert from the day after
    my.toml:13:1: exempt `in-two-weeks` ends on 2026-12-07; what it silences will alert from the day after
    my.toml:25:1: exempt `idle` silences nothing, for these are approved: us-east-1, US-WEST-2; remove it, or name the `watches` that it is meant to silence
    "#);
    let own = "[accounts.\"111122223333\"]\napproved_regions = [\"eu-west-1\"]\n\n";
    assert_eq!(remarks(&format!("{own}{}", exempt("idle", "regions = [\"us-east-1\"]"))), "");
}

#[test]
fn expired_exemptions_are_listed_by_their_last_day_in_utc() {
    let rule = |until: &str| {
        format!("[[exempt]]\nid = \"x\"\nreason = \"r\"\nservices = [\"ec2\"]\nuntil = {until}\n")
    };
    let expired = |until: &str, now: &str| {
        let policy = Policy::with_user_file("my.toml", &rule(until)).unwrap();
        !policy.expired(now.parse().unwrap()).is_empty()
    };
    assert!(!expired("2026-11-23", "2026-11-23T23:59:59Z"));
    assert!(expired("2026-11-23", "2026-11-24T00:00:00Z"));
    assert!(!expired("2026-11-23", "2026-11-24T00:30:00+01:00"));
}

#[test]
fn the_default_policy_has_an_example_for_every_question() {
    let default = PolicyFile::embedded().unwrap();
    let policy = Policy::embedded().unwrap();
    let mut reasons = BTreeSet::new();
    for (place, example) in default.examples() {
        let ExampleRecords::Text(text) = &example.records else { panic!("{place}: a file") };
        let verdict = Record::parse(text).map_or(Verdict::Reject, |r| policy.judge(&r, ""));
        assert!(example.expects(&verdict), "{place}: {} is judged {verdict}", example.name);
        reasons.insert(verdict.reason().split(':').next().unwrap().to_owned());
    }
    let every = [
        "approved-region",
        "aws-service",
        "exempt",
        "global-service",
        "mutating-call",
        "not-an-api-call",
        "read-only",
        "sensitive-read",
        "sign-in",
        "unreadable",
        "watched",
    ];
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), every);
}

#[test]
fn slips_that_toml_invites() {
    let text = r#"sensitive_reads = true

[access.calls]
"ssm:GetParameter" = { access = "by-field", when = { withDecryption = true } }

[accounts."111122223333"]
name = "prod"
sign_ins = "alert"

[[exempt]]
id = "x"
reason = "r"
services = "ec2"

[[example]]
name = "n"
verdict = "ignore"
severity = "low"
reason = "mutating-call"
record = {}
approved_regions = ["eu-west-1"]

[[example]]
name = "n"
verdict = "alert"
reason = "watched:"
record = {}
"#;
    insta::assert_snapshot!(faults(text), @r#"
    my.toml:1:19: a boolean stands here; wanted is one of "alert", "ignore"
    my.toml:4:22: by-field takes no `when`; a call whose `when` does not hold goes by its field anyway
    my.toml:8:1: unknown key `sign_ins`; as a key of the whole policy it stands before the first [header]
    my.toml:13:12: a list is wanted here; write ["ec2"]
    my.toml:18:12: only an alert has a severity; leave it out, or expect an alert
    my.toml:19:10: `mutating-call` is no reason to ignore; it is one of approved-region, aws-service, exempt:ID, global-service, not-an-api-call, read-only, sign-in
    my.toml:21:1: unknown key `approved_regions`; as a key of the whole policy it stands before the first [header]
    my.toml:26:10: `watched:` is no reason to alert; it is one of mutating-call, sensitive-read, watched:ID
    "#);
    insta::assert_snapshot!(faults("sign_ins = \"alert\"\nsign_ins = \"ignore\""), @r#"
    my.toml:2:1: `sign_ins` is here twice; write each key, and the header of each table, once
    "#);
}

#[test]
fn a_watch_that_was_dropped_cannot_be_named() {
    let text = "drop_rules = [\"trail-change\"]\n\n[[exempt]]\nid = \"x\"\nreason = \"r\"\nservices = [\"ec2\"]\nwatches = [\"trail-change\"]";
    insta::assert_snapshot!(faults(text), @r#"
    my.toml:3:1: exempt `x` names the watch `trail-change`, which is not there any more; drop_rules takes it out at my.toml:1:15
    "#);
}

#[test]
fn keys_below_the_header_of_another_table() {
    let text = r#"[[watch]]
id = "w"
reason = "r"
[watch.request]
logGroupName = "x"
calls = ["logs:DeleteLogGroup"]
severity = "critical"

[[example]]
name = "n"
verdict = "alert"
[example.record]
eventName = "x"
reason = "read-only"

[watches]
id = "x"

[access]
calls = "none"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    my.toml:6:1: `calls` stands below the header of another table; write the rule's own keys first, or this table on one line: { ... }
    my.toml:7:1: `severity` stands below the header of another table; write the rule's own keys first, or this table on one line: { ... }
    my.toml:14:1: `reason` stands in the record; write the example's own keys before [example.record]
    my.toml:16:2: unknown key `watches`; did you mean `watch`?
    my.toml:20:9: a string stands here; wanted is a table
    "#);
    let one_table = "[watch]\nid = \"w\"\nreason = \"r\"\ncalls = [\"ec2:X\"]";
    insta::assert_snapshot!(faults(one_table), @r#"
    my.toml:1:1: `watch` is one table here, and wanted are several; write [[watch]]
    "#);
    let inline = "[[watch]]\nid = \"w\"\nreason = \"r\"\nrequest = { calls = \"x\", severity = 1 }";
    Policy::with_user_file("my.toml", inline).unwrap();
}

#[test]
fn rules_that_would_do_nothing_or_everything() {
    let text = r#"drop_rules = ["ssm-agent", "ssm-agent", "mine"]

[access.calls]
"secretsmanager:getSecretValue" = "mutating"

[accounts."111122223333"]
name = "prod\nSubject: x"

[[exempt]]
id = "mine"
reason = "r"
principals = ["arn:aws:sts::111122223333:assumed-role/ci", "arn:aws:iam::1111:role/ci", "arn:aws:sts::111122223333:assumed-role/ci/s"]
accounts = [111122223333]

[[watch]]
id = "all"
reason = "r"
services = ["?*"]
calls = ["*:?*"]
"#;
    insta::assert_snapshot!(faults(text), @r#"
    my.toml:7:8: this is no name; write one line, such as "production"
    my.toml:12:15: `arn:aws:sts::111122223333:assumed-role/ci` matches no principal; write an ARN, a glob such as *:user/alice, or a service such as cloudtrail.amazonaws.com
    my.toml:12:60: `arn:aws:iam::1111:role/ci` matches no principal; write an ARN, a glob such as *:user/alice, or a service such as cloudtrail.amazonaws.com
    my.toml:13:13: a string is wanted here; write "111122223333"
    my.toml:15:1: rule `all` would match everything; narrow it by at least one of accounts, regions, services, calls, principals, source_ips, outcomes, request
    "#);
    insta::assert_snapshot!(faults("\u{FEFF}approved_regions = [1]"), @r#"
    my.toml:1:21: a string is wanted here; write "1"
    "#);
    insta::assert_snapshot!(faults("[[exempt]]\nuntil = 2026-02-30"), @r#"
    my.toml:2:9: invalid date, expected day between 01 and 28 (found is `2026-02-30`)
    "#);
}

#[test]
fn slips_that_show_only_beside_the_default_policy() {
    let text = "drop_rules = [\"ssm-agent\", \"ssm-agent\", \"mine\"]\n\n[access.calls]\n\"secretsmanager:getSecretValue\" = \"mutating\"\n\n\
                [[exempt]]\nid = \"mine\"\nreason = \"r\"\nservices = [\"ec2\"]\n";
    insta::assert_snapshot!(faults(text), @r#"
    my.toml:1:28: drop_rules names `ssm-agent` in vain; it was dropped at my.toml:1:15 already
    my.toml:1:41: drop_rules names `mine` in vain; it is a rule of this very file: take it out there
    my.toml:4:1: `secretsmanager:getSecretValue` is `secretsmanager:GetSecretValue` in another case; the case of a name counts here: write it as it is known
    "#);
}

#[test]
fn a_fault_is_told_on_one_line_whatever_the_text_holds() {
    insta::assert_snapshot!(faults("read_only_verbs = [\"Get\\nmy.toml:9:9: \"]\nsign_ins = \"\\u0000\\u001b[2J\""), @r"
    my.toml:1:20: `Get\nmy.toml:9:9: ` is no verb; a verb is the first word of a call's name, such as Describe
    my.toml:2:12: `\0\u{1b}[2J` is unknown here; it is one of alert, ignore
    ");
}
