//! What holds of the judge under every policy and for every record.

use proptest::prelude::*;
use proptest::sample::select;
use regionwatch::policy::{Keys, Patterns, Policy, PolicyFile, Reason, Verdict};
use regionwatch::record::Record;
use serde_json::{Map, Value, json};

use crate::oracle::random::{policy_text, records};

const OWNER: &str = "444455556666";

fn policy(user: &str) -> Policy {
    Policy::with_user_file("test.toml", user).unwrap_or_else(|faults| panic!("{user}\n{faults}"))
}

fn judge(policy: &Policy, record: &str) -> Verdict {
    Record::parse(record).map_or(Verdict::Reject, |record| policy.judge(&record, OWNER))
}

fn alerts(policy: &Policy, record: &str) -> bool {
    matches!(judge(policy, record), Verdict::Alert(..))
}

/// An exemption that names no watch, of which many match much.
fn exemption() -> impl Strategy<Value = String> {
    let matcher = select(vec![
        "services = [\"*\"]\nregions = [\"*-*\", \"unknown\"]",
        "outcomes = [\"success\", \"denied\", \"failed\", \"throttled\"]",
        "calls = [\"ec2:*\", \"cloudtrail:*\", \"*:Get*\"]",
        "principals = [\"*:user/*\", \"*:root\", \"*:assumed-role/*\"]",
        "accounts = [\"1*\", \"4*\"]",
        "request = { count = \"*\" }",
        "source_ips = [\"0.0.0.0/0\"]",
        "regions = [\"*-*\", \"unknown\"]\nuntil = 2026-11-20",
    ]);
    matcher.prop_map(|matcher| format!("\n[[exempt]]\nid = \"added\"\nreason = \"r\"\n{matcher}\n"))
}

/// The policy in force, key by key.
fn keys(user: &str) -> Keys {
    let user = PolicyFile::parse("test.toml", user).unwrap_or_else(|f| panic!("{user}\n{f}"));
    Keys::in_force(&[&PolicyFile::embedded().unwrap(), &user]).unwrap()
}

/// A TOML string. JSON's escapes are TOML's too, but for a character that JSON leaves as it is.
fn quoted(text: &str) -> String {
    Value::from(text.replace('\u{7F}', "")).to_string()
}

/// The record with its members in the other order, in other white space, among unknown ones.
fn rewritten(members: &Map<String, Value>) -> String {
    let spaced = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let backwards =
        members.iter().rev().map(|(key, value)| format!("{key:?} :\n {}", spaced(value)));
    let unknown = json!({"eventName": "x", "awsRegion": ["us-east-1"], "readOnly": true});
    let mut members = vec![format!("\"eventname\" : {unknown}")];
    members.extend(backwards);
    members.push(format!("\t\"zzz\": [{unknown}, null]"));
    format!(" {{\n{}\r\n}} ", members.join(" ,\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn approving_a_region_never_adds_an_alert(user in policy_text(), records in records(),
        region in select(vec!["eu-west-3", "eu-*", "ap-south-2", "us-gov-west-1", "*e*"])) {
        let fewer = policy(&user);
        let approved = fewer.approved_for("none").iter().map(|code| code.as_str().to_owned());
        let more = approved.chain([region.to_owned()]).collect::<Vec<_>>();
        let more = policy(&user).with_approved_regions(Patterns::regions(&more).unwrap());
        for record in &records {
            prop_assert!(!alerts(&more, record) || alerts(&fewer, record), "{}", record);
        }
    }

    #[test]
    fn adding_an_exemption_never_adds_an_alert(user in policy_text(), exemption in exemption(), records in records()) {
        let (before, after) = (policy(&user), policy(&format!("{user}{exemption}")));
        for record in &records {
            prop_assert!(!alerts(&after, record) || alerts(&before, record), "{}", record);
        }
    }

    #[test]
    fn no_exemption_without_watches_hides_a_watched_call(user in policy_text(), exemption in exemption(), records in records()) {
        let (before, after) = (policy(&user), policy(&format!("{user}{exemption}")));
        for record in &records {
            let watched = judge(&before, record);
            if matches!(watched, Verdict::Alert(Reason::Watched(_), _)) {
                prop_assert_eq!(&watched, &judge(&after, record), "{}", record);
            }
        }
    }

    #[test]
    fn removing_a_verb_never_removes_an_alert(records in records(), user in policy_text(), at in any::<prop::sample::Index>()) {
        let verbs = ["Describe", "describe", "Get", "List", "Is", "BatchGet", "Check", "Run"];
        let without = verbs.iter().enumerate().filter(|(n, _)| *n != at.index(verbs.len())).map(|(_, verb)| *verb);
        let user: String = user.lines().filter(|l| !l.starts_with("read_only_verbs")).map(|l| format!("{l}\n")).collect();
        let with = |verbs: Vec<&str>| policy(&format!("read_only_verbs = {}\n{user}", json!(verbs)));
        let (more, fewer) = (with(verbs.to_vec()), with(without.collect()));
        for record in &records {
            prop_assert!(!alerts(&more, record) || alerts(&fewer, record), "{}", record);
        }
    }

    #[test]
    fn an_empty_file_changes_nothing(records in records()) {
        let (default, empty) = (Policy::embedded().unwrap(), policy("# nothing\n"));
        for record in &records {
            prop_assert_eq!(judge(&default, record), judge(&empty, record), "{}", record);
        }
    }

    #[test]
    fn what_is_shown_is_the_policy(user in policy_text()) {
        let shown = keys(&user).to_toml();
        prop_assert_eq!(keys(&shown), keys(&user), "{}", shown);
    }

    #[test]
    fn what_is_shown_is_the_policy_whatever_stands_in_its_texts(text in any::<String>(), key in any::<String>(), number in any::<i64>(), float in -1e300..1e300) {
        let name: String = text.chars().filter(|c| !c.is_control()).collect();
        let (text, key, name) = (quoted(&text), quoted(&key), quoted(&format!("n{name}")));
        let value = quoted(&format!("*{key}"));
        let user = format!(
            "[accounts.\"111122223333\"]\nname = {name}\n\n\
             [access.calls]\n\"a:B\" = {{ access = \"sensitive\", when = {{ {key} = {value} }} }}\n\n\
             [[exempt]]\nid = \"x\"\nreason = {value}\nprincipals = [{value}]\nsource_ips = [\"::1\", \"10.0.0.1/8\"]\n\
             until = 2026-02-28\nrequest = {{ {key} = [{text}, {value}, {number}, {float:?}, true, 0x10] }}\n"
        );
        let shown = keys(&user).to_toml();
        prop_assert_eq!(keys(&shown), keys(&user), "{}", shown);
    }

    #[test]
    fn order_white_space_and_unknown_fields_do_not_matter(user in policy_text(), records in records()) {
        let policy = policy(&user);
        for record in &records {
            // Where a field is there twice, order does matter.
            let Ok(Value::Object(members)) = serde_json::from_str(record) else { continue };
            if Record::parse(record).is_ok() {
                let rewritten = rewritten(&members);
                prop_assert_eq!(judge(&policy, record), judge(&policy, &rewritten), "{}\n{}", record, rewritten);
            }
        }
    }

    #[test]
    fn an_explanation_ends_where_the_verdict_does(user in policy_text(), records in records()) {
        let (policy, keys) = (policy(&user), keys(&user));
        for text in &records {
            let Ok(record) = Record::parse(text) else { continue };
            let verdict = policy.judge(&record, OWNER);
            let explanation = policy.explain(&keys, &record, OWNER);
            let (deciding, others): (Vec<_>, Vec<_>) = explanation.steps.iter().partition(|s| s.decides);
            prop_assert_eq!(deciding.len(), 1, "{}\n{:#?}", text, explanation);
            let deciding = deciding[0];
            let expected = match &verdict {
                Verdict::Reject | Verdict::Ignore(Reason::NotAnApiCall) => (1, false),
                Verdict::Alert(Reason::Watched(_), _) => (2, true),
                Verdict::Ignore(Reason::ApprovedRegion) => (3, true),
                Verdict::Ignore(Reason::AwsService) => (4, true),
                Verdict::Ignore(Reason::SignIn) => (5, true),
                Verdict::Ignore(Reason::GlobalService) => (6, true),
                Verdict::Ignore(Reason::ReadOnly) => (7, true),
                Verdict::Alert(Reason::SensitiveRead, _) => (8, true),
                Verdict::Alert(Reason::MutatingCall, _) => (9, true),
                Verdict::Ignore(Reason::Exempt(_)) => (10, true),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!((deciding.number, deciding.answer), (expected.0, Some(expected.1)), "{}\n{:#?}", text, explanation);
            // No other answer would have ended the walk.
            let ending = others.iter().filter(|s| s.answer == Some(true) && ![1, 2, 8, 9].contains(&s.number));
            prop_assert_eq!(ending.count(), 0, "{}\n{:#?}", text, explanation);
            let last = explanation.steps.last().unwrap().number;
            let alert = matches!(verdict, Verdict::Alert(..));
            prop_assert_eq!(last, if alert { 10 } else { deciding.number });
            let graded = matches!(verdict, Verdict::Alert(..));
            prop_assert_eq!(graded, !explanation.severity_because.is_empty());
            if let Verdict::Alert(_, severity) = verdict {
                prop_assert!(explanation.severity_because.starts_with(severity.as_str()), "{}", explanation.severity_because);
            }
        }
    }
}
