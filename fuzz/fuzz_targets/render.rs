//! Any incidents, digests and unreadable entries: every message fits what SNS takes.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use regionwatch::alert::text::clean;
use regionwatch::alert::{Alert, FollowUp, Incident, Rejects};
use regionwatch::envelope::Reject;
use regionwatch::policy::{Reason, Severity, Version};
use regionwatch::record::Record;
use regionwatch_fuzz::record::{check, context, incident};
use serde_json::{Value, json};

fuzz_target!(|data: &[u8]| {
    let _ = render(&mut Unstructured::new(data));
});

fn render(draws: &mut Unstructured<'_>) -> Result<()> {
    let version = Version { digest: "3f2a9c01d4e5".to_owned(), parameter: draws.arbitrary()? };
    let place = text(draws)?;
    let context = context(&version, &place);
    let follow_up = follow_up(draws)?;
    let mut incidents = vec![several(draws)?];
    check(Alert::of_incident(&incidents[0], follow_up.clone(), &context));
    if draws.ratio(1, 8)? {
        check(Alert::of_rejects(&rejects(draws)?, follow_up.clone(), &context));
        while !draws.is_empty() && incidents.len() < 30 {
            incidents.push(several(draws)?);
        }
        let incidents: Vec<_> =
            incidents.iter().map(|incident| (incident, follow_up.as_ref())).collect();
        check(Alert::digest(&incidents, "request", &version));
    }
    Ok(())
}

/// An incident of some records, of which all but the first count as the same principal's.
fn several(draws: &mut Unstructured<'_>) -> Result<Incident> {
    let first = record(draws)?;
    let mut incident = incident(&parse(&first), reason(draws)?, severity(draws)?);
    for _ in 0..draws.int_in_range(0..=2)? {
        let (text, reason, severity) = (record(draws)?, reason(draws)?, severity(draws)?);
        // Few bytes make many calls.
        let calls = if draws.ratio(1, 16)? { draws.int_in_range(2..=120)? } else { 1 };
        for number in 0..calls {
            let text = text.replacen("eventName\":\"", &format!("eventName\":\"{number}"), 1);
            incident.add(&parse(&text), reason.clone(), severity);
        }
    }
    if draws.ratio(1, 4)? {
        incident.add_watches(&[&"w-1".into(), &"w.2".into()]);
    }
    Ok(incident)
}

fn parse(text: &str) -> Record<'_> {
    Record::parse(text).unwrap()
}

fn record(draws: &mut Unstructured<'_>) -> Result<String> {
    let member = |draws: &mut Unstructured<'_>| -> Result<Value> {
        Ok(match draws.int_in_range(0..=7)? {
            0..=5 => json!(text(draws)?),
            6 => json!(draws.arbitrary::<Option<bool>>()?),
            _ => json!([draws.arbitrary::<i64>()?, {"arn": format!("arn:{}", text(draws)?)}]),
        })
    };
    Ok(json!({
        "eventSource": member(draws)?, "eventName": member(draws)?, "eventTime": member(draws)?,
        "awsRegion": member(draws)?, "eventID": member(draws)?, "eventCategory": member(draws)?,
        "errorCode": member(draws)?, "userAgent": member(draws)?,
        "sourceIPAddress": member(draws)?, "recipientAccountId": member(draws)?,
        "sessionCredentialFromConsole": member(draws)?,
        "userIdentity": {
            "type": member(draws)?, "arn": member(draws)?, "userName": member(draws)?,
            "principalId": member(draws)?, "accessKeyId": member(draws)?,
            "invokedBy": member(draws)?, "onBehalfOf": member(draws)?,
            "sessionContext": {
                "attributes": {"mfaAuthenticated": member(draws)?},
                "sessionIssuer": {"arn": member(draws)?, "userName": member(draws)?},
            },
        },
        "requestParameters": {"aId": member(draws)?, text(draws)?: member(draws)?},
        "responseElements": {"cArn": member(draws)?, "items": [{"bName": member(draws)?}]},
        "resources": [{"ARN": member(draws)?}],
    })
    .to_string())
}

/// What is known to matter, several times over; or anything.
fn text(draws: &mut Unstructured<'_>) -> Result<String> {
    const WORDS: &[&str] = &[
        "",
        "ec2.amazonaws.com",
        "RunInstances",
        "eu-west-3",
        "us-gov-west-1",
        "111122223333",
        "AssumedRole",
        "Root",
        "IAMUser",
        "arn:aws:iam::111122223333:user/mateo",
        "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_x_0123/me@example.com",
        "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/x",
        "2026-11-23T11:59:00Z",
        "-009999-01-02T01:59:59Z",
        "AccessDenied",
        "<!channel> <https://evil.example|x> *b* `c` ``` [a](b) \\ & @here",
        "\u{202E}\u{200B}\r\n\u{7}\u{E0041}",
        "\u{1F600}\u{65E5}",
        "'''",
        "\"\"\" \\",
        "*",
    ];
    Ok(match draws.int_in_range(0..=63)? {
        0..=39 => (*draws.choose(WORDS)?).to_owned(),
        40..=51 => draws.arbitrary::<&str>()?.to_owned(),
        52..=62 => [*draws.choose(WORDS)?, *draws.choose(WORDS)?].concat(),
        _ => draws.choose(WORDS)?.repeat(draws.int_in_range(0..=300)?),
    })
}

fn reason(draws: &mut Unstructured<'_>) -> Result<Reason> {
    let watched = Reason::Watched("w-1".into());
    Ok(draws.choose(&[Reason::MutatingCall, Reason::SensitiveRead, watched])?.clone())
}

fn severity(draws: &mut Unstructured<'_>) -> Result<Severity> {
    Ok(*draws.choose(&Severity::ALL)?)
}

fn follow_up(draws: &mut Unstructured<'_>) -> Result<Option<FollowUp>> {
    if draws.ratio(1, 2)? {
        return Ok(None);
    }
    let causes = vec![clean(&text(draws)?, 256), "10 calls".to_owned()];
    let name = text(draws)?;
    let held_calls: BTreeMap<String, u64> = (0..draws.int_in_range(0..=150)?)
        .map(|number| (clean(&format!("{number}:{name}"), 256), number))
        .collect();
    Ok(Some(FollowUp::new(causes, draws.arbitrary()?, &held_calls, draws.arbitrary()?)))
}

fn rejects(draws: &mut Unstructured<'_>) -> Result<Rejects> {
    let mut rejects = Rejects::default();
    for _ in 0..=draws.int_in_range(0..=30)? {
        rejects.add(0, &Reject { entry_id: text(draws)?, fault: "the message is no JSON object" });
    }
    Ok(rejects)
}
