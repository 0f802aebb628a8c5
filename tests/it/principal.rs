//! Everybody who can act: the name, the key that makes an incident of their calls, the first line.
//!
//! The identities are those of the CloudTrail guide, "CloudTrail userIdentity element" and its
//! section on SAML and web identity federation, with the documentation's example accounts.

use regionwatch::alert::{Alert, Incident, IncidentKey, Message};
use regionwatch::policy::{Reason, Severity};
use regionwatch::record::{Principal, Record};
use serde_json::{Value, json};

use crate::alert::context;

struct Case {
    identity: Value,
    kind: &'static str,
    name: &'static str,
    key: &'static str,
}

/// A session of a role, with the issuer that CloudTrail puts beside it.
fn session(role_path: &str, role: &str, session: &str) -> Value {
    json!({
        "type": "AssumedRole", "principalId": format!("AROAIDPPEZS35WEXAMPLE:{session}"),
        "arn": format!("arn:aws:sts::111122223333:assumed-role/{role}/{session}"),
        "accountId": "111122223333", "accessKeyId": "",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role", "principalId": "AROAIDPPEZS35WEXAMPLE",
                "arn": format!("arn:aws:iam::111122223333:role/{role_path}{role}"),
                "accountId": "111122223333", "userName": role,
            },
            "attributes": {"mfaAuthenticated": "false", "creationDate": "2026-11-23T11:00:00Z"},
        },
    })
}

fn federated(issuer: &Value) -> Value {
    json!({
        "type": "FederatedUser", "principalId": "111122223333:nikki", "accountId": "111122223333",
        "arn": "arn:aws:sts::111122223333:federated-user/nikki", "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
        "sessionContext": {"sessionIssuer": issuer},
    })
}

/// Who has a name in the account.
fn users_and_roles() -> Vec<Case> {
    vec![
        Case {
            identity: json!({
                "type": "Root", "principalId": "111122223333", "accountId": "111122223333",
                "arn": "arn:aws:iam::111122223333:root", "accessKeyId": "", "userName": "my-alias",
            }),
            kind: "Root",
            name: "root",
            key: "arn:aws:iam::111122223333:root",
        },
        Case {
            identity: json!({
                "type": "IAMUser", "principalId": "AIDAJ45Q7YFFAREXAMPLE", "accessKeyId": "",
                "arn": "arn:aws:iam::111122223333:user/ops/mateo", "accountId": "111122223333",
                "userName": "mateo",
            }),
            kind: "IAMUser",
            name: "mateo",
            key: "arn:aws:iam::111122223333:user/ops/mateo",
        },
        Case {
            identity: session("ci/", "deploy", "build-17"),
            kind: "AssumedRole",
            name: "deploy",
            key: "arn:aws:iam::111122223333:role/ci/deploy",
        },
        Case {
            identity: session(
                "aws-reserved/sso.amazonaws.com/eu-west-1/",
                "AWSReservedSSO_Power_User_0123456789abcdef",
                "mateo@example.com",
            ),
            kind: "AssumedRole",
            name: "mateo@example.com (Power_User)",
            key: "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-west-1/\
                  AWSReservedSSO_Power_User_0123456789abcdef/mateo@example.com",
        },
    ]
}

/// Who was let in by a user of the account.
fn federated_users() -> Vec<Case> {
    vec![
        Case {
            identity: federated(&json!({
                "type": "IAMUser", "principalId": "AIDAJ45Q7YFFAREXAMPLE", "userName": "mateo",
                "arn": "arn:aws:iam::111122223333:user/ops/mateo", "accountId": "111122223333",
            })),
            kind: "FederatedUser",
            name: "nikki (federated by mateo)",
            key: "arn:aws:sts::111122223333:federated-user/nikki",
        },
        Case {
            identity: federated(&json!({
                "type": "Root", "principalId": "111122223333", "accountId": "111122223333",
                "arn": "arn:aws:iam::111122223333:root",
            })),
            kind: "FederatedUser",
            name: "nikki (federated by root)",
            key: "arn:aws:sts::111122223333:federated-user/nikki",
        },
    ]
}

/// Whom a provider of identities vouches for.
fn users_from_elsewhere() -> Vec<Case> {
    vec![
        Case {
            identity: json!({
                "type": "WebIdentityUser", "userName": "repo:octo/site:ref:refs/heads/main",
                "principalId": "arn:aws:iam::111122223333:oidc-provider/token.actions.\
                    githubusercontent.com:sts.amazonaws.com:repo:octo/site:ref:refs/heads/main",
                "identityProvider":
                    "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com",
            }),
            kind: "WebIdentityUser",
            name: "repo:octo/site:ref:refs/heads/main (token.actions.githubusercontent.com)",
            key: "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com:\
                  sts.amazonaws.com:repo:octo/site:ref:refs/heads/main",
        },
        Case {
            identity: json!({
                "type": "WebIdentityUser", "userName": "012345678901234567890",
                "principalId": "accounts.google.com:client-id:012345678901234567890",
                "identityProvider": "accounts.google.com",
            }),
            kind: "WebIdentityUser",
            name: "012345678901234567890 (accounts.google.com)",
            key: "accounts.google.com:client-id:012345678901234567890",
        },
        Case {
            identity: json!({
                "type": "SAMLUser", "principalId": "SampleUkh1i4+ExamplexL/jEvs=:mateo",
                "userName": "mateo@example.com", "identityProvider": "SampleUkh1i4+ExamplexL/jEvs=",
            }),
            kind: "SAMLUser",
            name: "mateo@example.com (SAML)",
            key: "SampleUkh1i4+ExamplexL/jEvs=:mateo",
        },
        Case {
            identity: json!({
                "type": "IdentityCenterUser", "accountId": "111122223333",
                "onBehalfOf": {
                    "userId": "544894e8-80c1-707f-60e3-3ba6510dfac1",
                    "identityStoreArn": "arn:aws:identitystore::111122223333:identitystore/d-9067642ac7",
                },
                "credentialId": "EXAMPLEVHULjJdTUdPJfofVa1sufHDoj7aYcOYcxFVllWR_Whr1fEXAMPLE",
            }),
            kind: "IdentityCenterUser",
            name: "Identity Center user 544894e8-80c1-707f-60e3-3ba6510dfac1",
            key: "544894e8-80c1-707f-60e3-3ba6510dfac1",
        },
    ]
}

/// Who is no person, or nobody knows who.
fn others() -> Vec<Case> {
    vec![
        Case {
            identity: json!({"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"}),
            kind: "AWSService",
            name: "autoscaling.amazonaws.com",
            key: "autoscaling.amazonaws.com",
        },
        Case {
            identity: json!({
                "type": "AWSAccount", "principalId": "AIDAQRSTUVWXYZEXAMPLE",
                "accountId": "444455556666",
            }),
            kind: "AWSAccount",
            name: "account 444455556666",
            key: "AIDAQRSTUVWXYZEXAMPLE",
        },
        Case {
            identity: json!({
                "type": "AWSAccount", "principalId": "AROAIDPPEZS35WEXAMPLE:build-17",
                "accountId": "444455556666",
            }),
            kind: "AWSAccount",
            name: "account 444455556666",
            key: "AROAIDPPEZS35WEXAMPLE",
        },
        Case {
            identity: json!({"type": "AWSAccount", "accountId": "444455556666"}),
            kind: "AWSAccount",
            name: "account 444455556666",
            key: "444455556666",
        },
        Case {
            identity: json!({
                "type": "Directory", "principalId": "d-9067642ac7", "userName": "EXAMPLE\\mateo",
                "accountId": "111122223333",
            }),
            kind: "Directory",
            name: "EXAMPLE\\mateo",
            key: "d-9067642ac7",
        },
        Case {
            identity: json!({"type": "Unknown", "accountId": "111122223333", "userName": "mateo"}),
            kind: "Unknown",
            name: "mateo",
            key: "mateo",
        },
        Case {
            identity: json!({"type": "Unknown", "accountId": "111122223333"}),
            kind: "Unknown",
            name: "unknown",
            key: "unknown",
        },
        Case { identity: Value::Null, kind: "unknown", name: "unknown", key: "unknown" },
    ]
}

#[test]
fn everybody_is_named_told_apart_and_told_of() {
    let people = [users_and_roles(), federated_users(), users_from_elsewhere(), others()];
    for Case { identity, kind, name, key } in people.into_iter().flatten() {
        let text = json!({
            "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
            "awsRegion": "eu-west-3", "recipientAccountId": "111122223333",
            "userIdentity": identity,
        })
        .to_string();
        let record = Record::parse(&text).unwrap();
        let principal = Principal::of(&record.user_identity);
        assert_eq!((principal.kind(), &*principal.name(), &*principal.key()), (kind, name, key));
        assert_eq!(
            first_line(&record),
            format!(
                "{name} called ec2:RunInstances in eu-west-3, Europe (Paris), account 111122223333 \
             (production)."
            )
        );
    }
}

fn first_line(record: &Record<'_>) -> String {
    let key = IncidentKey::of(record, "");
    let incident = Incident::new(key, record, Reason::MutatingCall, Severity::High);
    let message = Message::new(Alert::of_incident(&incident, None, &context()));
    message.mail().lines().next().unwrap().to_owned()
}

#[test]
fn sessions_are_one_principal_unless_people_share_the_role() {
    let key = |identity: &Value| {
        let text =
            json!({"eventSource": "s", "eventName": "n", "userIdentity": identity}).to_string();
        let record = Record::parse(&text).unwrap();
        Principal::of(&record.user_identity).key().into_owned()
    };
    assert_eq!(key(&session("", "ci", "one")), key(&session("", "ci", "two")));
    let shared = |who| session("aws-reserved/sso.amazonaws.com/", "AWSReservedSSO_Admin_0123", who);
    assert_ne!(key(&shared("mateo")), key(&shared("nikki")));
}
