//! `policy scp`, held to the grammar of such policies and evaluated as the IAM guide says ("Policy
//! evaluation logic", "Grammar of the IAM JSON policy language"), as far as it goes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, date};
use regionwatch::export::Export;
use regionwatch::export::scp::{self, LONGEST, Reads};
use regionwatch::policy::{Policy, Reason, Verdict};
use regionwatch::record::Record;
use regionwatch::record::access::without_date;
use serde_json::{Map, Value};
use wildmatch::WildMatch;

use super::{POLICIES, history, judge, policy};

const TODAY: Date = date(2026, 11, 24);

fn export(user: &str) -> Export {
    scp::of(&policy(user), None, &Reads::new(), TODAY).unwrap()
}

fn statements(text: &str) -> Vec<Map<String, Value>> {
    assert!(text.len() <= LONGEST, "{} characters", text.len());
    let document: Map<String, Value> = serde_json::from_str(text).unwrap();
    assert!(document.keys().eq(["Statement", "Version"]) && document["Version"] == "2012-10-17");
    let statements = document["Statement"].as_array().unwrap().iter();
    let statements: Vec<_> = statements.map(|one| one.as_object().unwrap().clone()).collect();
    statements.iter().for_each(check);
    let sids: BTreeSet<&str> = statements.iter().filter_map(|one| one["Sid"].as_str()).collect();
    assert_eq!(sids.len(), statements.len(), "{sids:?}");
    statements
}

/// What the grammar asks of a statement that denies.
fn check(statement: &Map<String, Value>) {
    const ELEMENTS: [&str; 6] = ["Sid", "Effect", "Action", "NotAction", "Resource", "Condition"];
    assert!(statement.keys().all(|key| ELEMENTS.contains(&&**key)), "{statement:?}");
    assert_eq!((&statement["Effect"], &statement["Resource"]), (&"Deny".into(), &"*".into()));
    let sid = statement["Sid"].as_str().unwrap();
    assert!(!sid.is_empty() && sid.bytes().all(|b| b.is_ascii_alphanumeric()), "{sid}");
    assert!(statement.contains_key("Action") != statement.contains_key("NotAction"));
    for action in actions(statement) {
        let (prefix, name) = action.split_once(':').unwrap_or(("x", action));
        let is_prefix =
            prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"*?".contains(&b));
        assert!(is_prefix && is_name && !name.is_empty(), "{action}");
        assert!(action.contains(':') || action == "*", "{action}");
    }
}

fn actions(statement: &Map<String, Value>) -> Vec<&str> {
    let list = statement.get("Action").or(statement.get("NotAction")).unwrap();
    list.as_array().unwrap().iter().map(|action| action.as_str().unwrap()).collect()
}

/// A call as IAM sees it.
struct Request {
    action: String,
    keys: BTreeMap<&'static str, String>,
}

impl Request {
    /// `None` for what no service control policy is asked about.
    fn of(record: &Record<'_>) -> Option<Self> {
        let identity = &record.user_identity;
        let unbound = identity.is("AWSService")
            || identity.is_service_linked_role()
            || record.event_type.as_deref() == Some("AwsServiceEvent")
            || record.service() == "signin"
            || record.event_source.is_none()
            // Of other clouds, or of nobody.
            || !record.service().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let service = record.service();
        let prefix = if service == "monitoring" { "cloudwatch" } else { &service };
        let name = without_date(record.name()).unwrap_or(record.name());
        let mut keys = BTreeMap::new();
        let region = record.aws_region.as_deref().unwrap_or("none");
        keys.insert("aws:RequestedRegion", region.to_owned());
        if record.switches_region() {
            keys.insert("account:TargetRegion", record.region().into_owned());
        }
        if let Some(arn) = identity.issuer_arn.as_ref().or(identity.arn.as_ref()) {
            keys.insert("aws:PrincipalArn", arn.to_string());
        }
        keys.insert("aws:PrincipalAccount", record.account("").to_owned());
        (!unbound).then(|| Request { action: format!("{prefix}:{name}"), keys })
    }

    fn is_denied(&self, statements: &[Map<String, Value>]) -> bool {
        statements.iter().any(|statement| self.is_denied_by(statement))
    }

    fn is_named_by(&self, action: &str) -> bool {
        let ((prefix, wanted), (own, name)) =
            (action.split_once(':').unwrap(), self.action.split_once(':').unwrap());
        prefix == own && WildMatch::new_case_insensitive(wanted).matches(name)
    }

    fn is_denied_by(&self, statement: &Map<String, Value>) -> bool {
        let named =
            actions(statement).iter().any(|action| *action == "*" || self.is_named_by(action));
        if named != statement.contains_key("Action") {
            return false;
        }
        let Some(condition) = statement.get("Condition") else { return true };
        condition.as_object().unwrap().iter().all(|(operator, keys)| {
            keys.as_object().unwrap().iter().all(|(key, values)| {
                let found = self.keys.get(key.as_str());
                let values = values.as_array().unwrap().iter().map(|value| value.as_str().unwrap());
                let among = |like: bool| {
                    found.is_some_and(|found| {
                        values.clone().any(|value| match like {
                            true => WildMatch::new(value).matches(found),
                            false => value == found,
                        })
                    })
                };
                match operator.as_str() {
                    "StringLike" => among(true),
                    // A key that is not there is not equal to anything.
                    "StringNotLike" => !among(true),
                    "StringNotEquals" => !among(false),
                    other => panic!("{other}"),
                }
            })
        })
    }
}

fn reads(policy: &Policy, history: &[String]) -> Reads {
    let read = history.iter().filter_map(|text| {
        let record = Record::parse(text).ok()?;
        let is_read = policy.judge(&record, "") == Verdict::Ignore(Reason::ReadOnly);
        is_read.then(|| (record.service().into_owned(), record.name().to_owned()))
    });
    read.collect()
}

/// How many of the alerts are denied, and of how many calls.
fn denied(user: &str, seen: bool) -> (usize, usize) {
    let (policy, history) = (policy(user), history());
    let reads = if seen { reads(&policy, &history) } else { Reads::new() };
    let statements = statements(&scp::of(&policy, None, &reads, TODAY).unwrap().text);
    let (mut denied, mut alerts) = (0, 0);
    for text in &history {
        let Ok(record) = Record::parse(text) else { continue };
        let Some(request) = Request::of(&record) else { continue };
        let verdict = judge(&policy, text);
        let is_denied = request.is_denied(&statements);
        match &verdict {
            Verdict::Alert(..) => {
                alerts += 1;
                denied += usize::from(is_denied);
            }
            // It sees neither addresses nor what becomes of a call.
            Verdict::Ignore(Reason::Exempt(id)) if &**id == "addresses" => {}
            // Nor whether a call only looks, unless it was told of it.
            Verdict::Ignore(Reason::ReadOnly) if !seen => {}
            Verdict::Ignore(_) => {
                assert!(!is_denied, "{user}\n{verdict}: {} {text}", request.action)
            }
            Verdict::Reject => {}
        }
    }
    (denied, alerts)
}

#[test]
fn nothing_is_denied_that_the_policy_lets_pass() {
    for user in POLICIES {
        for seen in [true, false] {
            let (denied, alerts) = denied(user, seen);
            assert!(denied * 2 > alerts && alerts > 20, "{user}: {denied} of {alerts}");
        }
    }
}

/// Whether somebody may make a call, in an account that has no regions of its own.
fn may(user: &str, call: &str, region: &str, arn: &str) -> bool {
    let keys = BTreeMap::from([
        ("aws:RequestedRegion", region.to_owned()),
        ("aws:PrincipalArn", arn.to_owned()),
        ("aws:PrincipalAccount", "111122223333".to_owned()),
    ]);
    !Request { action: call.to_owned(), keys }.is_denied(&statements(&export(user).text))
}

const MATEO: &str = "arn:aws:iam::111122223333:user/mateo";

#[test]
fn the_default_policy_closes_regions_and_guards_the_trail() {
    let may = |call: &str, region: &str| may("", call, region, MATEO);
    assert!(may("ec2:RunInstances", "us-west-2") && !may("ec2:RunInstances", "eu-west-1"));
    assert!(may("ec2:DescribeInstances", "eu-west-1") && may("kms:Decrypt", "eu-west-1"));
    assert!(may("iam:CreateUser", "eu-west-1") && may("sts:AssumeRole", "eu-west-1"));
    for told in ["secretsmanager:GetSecretValue", "sts:GetFederationToken", "bedrock:InvokeModel"] {
        assert!(!may(told, "eu-west-1") && may(told, "us-west-2"), "{told}");
    }
    assert!(!may("cloudtrail:StopLogging", "us-west-2"));
    // Nobody has told of a service.
    assert!(!may("newservice:ListThings", "eu-west-1"));
}

#[test]
fn a_global_service_may_be_called_in_its_home() {
    let user = "approved_regions = [\"eu-*\"]";
    assert!(may(user, "sts:GetFederationToken", "us-east-1", MATEO));
    assert!(!may(user, "sts:GetFederationToken", "us-west-1", MATEO));
    assert!(!may(user, "bedrock:InvokeModel", "us-east-1", MATEO));
}

#[test]
fn opening_a_region_goes_by_the_region_that_is_opened() {
    let statements = statements(&export("approved_regions = [\"us-east-1\", \"ap-*\"]").text);
    let opens = |region: &str| {
        let keys = BTreeMap::from([
            ("aws:RequestedRegion", "us-east-1".to_owned()),
            ("account:TargetRegion", region.to_owned()),
        ]);
        !Request { action: "account:EnableRegion".to_owned(), keys }.is_denied(&statements)
    };
    assert!(opens("ap-south-2") && !opens("eu-south-2"));
}

#[test]
fn who_is_exempt_may_until_the_exemption_ends() {
    let exempt = |until: &str| {
        format!(
            "[[exempt]]\nid = \"builders\"\nreason = \"r\"\nprincipals = [\"arn:aws:iam::*:role/builder\"]\n\
             until = {until}"
        )
    };
    let role = "arn:aws:iam::111122223333:role/builder";
    assert!(may(&exempt("2026-11-24"), "ec2:RunInstances", "eu-west-1", role));
    assert!(!may(&exempt("2026-11-24"), "ec2:RunInstances", "eu-west-1", MATEO));
    assert!(!may(&exempt("2026-11-23"), "ec2:RunInstances", "eu-west-1", role));
    assert!(!may(&exempt("2026-11-24"), "cloudtrail:StopLogging", "us-east-1", role));
    let named = exempt("2026-11-24") + "\nwatches = [\"trail-tampering\"]";
    assert!(may(&named, "cloudtrail:StopLogging", "us-east-1", role));
    assert!(!may(&named, "cloudtrail:UpdateTrail", "us-east-1", role));
}

/// Whoever is asked for by a session is not known, and then what else is asked for passes.
#[test]
fn an_exempt_session_is_not_denied() {
    let role = "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Ops_1";
    let exempt = |principal: &str| {
        format!(
            "[[exempt]]\nid = \"her\"\nreason = \"r\"\nprincipals = [\"{principal}\"]\ncalls = [\"ec2:Run*\"]"
        )
    };
    let sessions = [
        "*/nikki@example.com",
        "*:ASSUMED-ROLE/*/nikki@example.com",
        "*nikki*",
        "*role/Ops/nikki",
        "arn:aws:sts::*:*role/Ops/nikki",
    ];
    for session in sessions {
        let user = exempt(session);
        assert!(may(&user, "ec2:RunInstances", "eu-west-1", role), "{user}");
        let notes = export(&user).notes.join("\n");
        assert!(
            notes.contains("exemption `her`: it knows its calls, and not its principals"),
            "{notes}"
        );
    }
    let user = exempt("*:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Ops_*");
    assert!(may(&user, "ec2:RunInstances", "eu-west-1", role));
    assert!(!may(&user, "ec2:RunInstances", "eu-west-1", MATEO));
}

#[test]
fn what_it_cannot_tell_is_said() {
    let notes = export(POLICIES[5]).notes.join("\n");
    for part in [
        "neither the management account nor",
        "more than the exemption `ssm-agent`: it knows its calls, and not its principals",
        "it knows nothing of the exemption `addresses`",
        "what watch `trail-change` matches: the exemption `trail` lets pass some of it",
        "whatever their parameters: ec2:DescribeInstanceAttribute, ssm:GetParameter",
        "the reads of ec2, s3,",
    ] {
        assert!(notes.contains(part), "{part} in\n{notes}");
    }
    let notes = export(POLICIES[4]).notes.join("\n");
    assert!(notes.contains("what watch `quiet` matches: it asks for its request"), "{notes}");
}

#[test]
fn watches_whose_ids_differ_in_a_hyphen_are_two_statements() {
    let user = "[[watch]]\nid = \"w-1\"\nreason = \"r\"\ncalls = [\"s3:PutObject\"]\n\
        [[watch]]\nid = \"w1\"\nreason = \"r\"\ncalls = [\"s3:DeleteObject\"]";
    for call in ["s3:PutObject", "s3:DeleteObject"] {
        assert!(!may(user, call, "us-east-1", MATEO), "{call}");
    }
}

#[test]
fn what_of_a_watch_is_no_action_is_said() {
    let watch = |what: &str| {
        let user = format!("[[watch]]\nid = \"w\"\nreason = \"r\"\n{what}");
        assert!(!may(&user, "s3:PutObject", "us-east-1", MATEO), "{what}");
        export(&user).notes.join("\n")
    };
    let said = "of watch `w` it does not deny";
    let notes = watch("calls = [\"s3:Put*\", \"*:Delete*\", \"ec2*:Run*\"]");
    assert!(
        notes.contains(&format!("{said} *:Delete* and ec2*:Run*: that is no action")),
        "{notes}"
    );
    let notes = watch("services = [\"s3*\", \"s3\"]");
    assert!(notes.contains(&format!("{said} s3*: that is no action")), "{notes}");
}

#[test]
fn a_sign_in_that_is_ignored_passes_whatever_it_is_called() {
    let user = "[access.calls]\n\"signin:CreateOAuth2Token\" = \"mutating\"\n";
    assert!(may(user, "signin:CreateOAuth2Token", "eu-west-1", MATEO));
    let told = format!("sign_ins = \"alert\"\n{user}");
    assert!(!may(&told, "signin:CreateOAuth2Token", "eu-west-1", MATEO));
}

#[test]
fn an_account_with_regions_of_its_own_has_a_policy_of_its_own() {
    let policy = policy(POLICIES[3]);
    let all = scp::of(&policy, None, &Reads::new(), TODAY).unwrap();
    assert!(
        all.notes.iter().any(|note| note.contains("not hold for 123456789012")),
        "{:?}",
        all.notes
    );
    let own = scp::of(&policy, Some("123456789012"), &Reads::new(), TODAY).unwrap();
    let regions = |export: &Export| {
        let first = &statements(&export.text)[0]["Condition"]["StringNotLike"];
        first["aws:RequestedRegion"].to_string()
    };
    assert_eq!(regions(&all), r#"["us-*","eu-west-1"]"#);
    assert_eq!(regions(&own), r#"["us-east-1","eu-*"]"#);
}

#[test]
fn what_does_not_fit_is_left_out_and_then_refused() {
    let many = |count: usize| {
        (0..count).map(|n| (format!("service{n}"), "DescribeThings".to_owned())).collect::<Reads>()
    };
    let crowded = scp::of(&policy(""), None, &many(80), TODAY).unwrap();
    statements(&crowded.text);
    let last = crowded.notes.last().unwrap();
    assert!(last.contains("the reads of ec2, ") && !last.contains("glue"), "{last}");
    assert!(crowded.text.contains("service79:Describe*"));
    let refused = scp::of(&policy(""), None, &many(200), TODAY).unwrap_err();
    assert!(refused.to_string().contains("5120 at most"), "{refused}");
}
