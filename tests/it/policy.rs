//! Faults of a policy file: all at once, each with its place and what to do.

use regionwatch::policy::Policy;

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
    my.toml:3:12: `maybe` is unknown here; one of alert, ignore is meant
    my.toml:7:1: `GetSecretValue` is no call; write service:Name, such as ec2:RunInstances
    my.toml:8:1: `ec2:Run*` is a glob; name single calls here, for globs belong in rules
    my.toml:10:11: `prod` is no account id; account ids have twelve digits, in quotes
    my.toml:11:1: unknown key `nmae`; did you mean `name`?
    my.toml:13:1: rule `ci` would match everything; narrow it by at least one of accounts, regions, services, calls, principals, source_ips, outcomes, request
    my.toml:16:1: unknown key `principal`; did you mean `principals`?
    my.toml:17:9: a string stands here; wanted is a date such as 2026-12-31, without quotes
    my.toml:19:1: `reason` is missing
    my.toml:21:15: `10.0.0.0/99` is no network; write CIDR, such as 192.0.2.0/24 or 2001:db8::/32
    my.toml:22:13: `ok` is unknown here; one of success, denied, throttled, failed, dry-run is meant
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
