//! The query: the judge's questions in their order, over the rows of the table.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::calls::CallAccess;
use crate::policy::{Patterns, Policy, SOMEBODY};
use crate::record::outcome::{DENIED, THROTTLED};

use super::super::is_told;
use super::Trail;
use super::sql::{
    Unsaid, all_of, any_of, any_rule, exempt, is_dated, matcher, members, one_of, quoted, spelled,
};

pub(super) fn query(policy: &Policy, trail: &Trail) -> (String, Vec<String>) {
    let (verdict, mut notes) = verdict(policy);
    let access = access(policy, &mut notes);
    let (denied, throttled) = (DENIED.join("|"), THROTTLED.join("|"));
    let (table, from) = (&trail.table, trail.from.strftime("%Y/%m/%d"));
    let query = format!(
        "-- What the policy alerts on; version {version}.\n\
         WITH trail AS (
  SELECT *,
    regexp_replace(lower(coalesce(eventsource, '')), '\\.amazonaws\\.com(\\.cn)?$', '') AS service,
    coalesce(eventname, '') AS name,
    coalesce(nullif(recipientaccountid, ''), nullif(useridentity.accountid, ''), '') AS account,
    coalesce(useridentity.type, '') AS principal_type,
    coalesce(useridentity.arn, '') AS principal_arn,
    coalesce(useridentity.sessioncontext.sessionissuer.arn, '') AS role_arn,
    coalesce(useridentity.invokedby, '') AS invoked_by,
    CASE
      WHEN coalesce(errorcode, '') = '' THEN 'success'
      WHEN regexp_like(errorcode, 'DryRunOperation') THEN 'dry-run'
      WHEN regexp_like(errorcode, '{denied}') THEN 'denied'
      WHEN regexp_like(errorcode, '{throttled}') THEN 'throttled'
      ELSE 'failed'
    END AS outcome
  FROM {table}
  WHERE day >= '{from}'
), placed AS (
  SELECT *,
    regexp_replace(name, '20\\d\\d_?\\d\\d_?\\d\\d(v\\d+)?$', '') AS undated,
    service = 'account' AND name IN ('EnableRegion', 'DisableRegion') AS switches_region,
    {said_access} AS said_access,
    coalesce(nullif(lower(regexp_extract(
      CASE
        WHEN service = 'account' AND name IN ('EnableRegion', 'DisableRegion')
        THEN json_extract_scalar(requestparameters, '$.RegionName')
        ELSE awsregion
      END, '^\\s*(.*?)\\s*$', 1)), ''), 'unknown') AS region
  FROM trail
), calls AS (
  SELECT *,
    {access} AS access
  FROM placed
), judged AS (
  SELECT *,
    {verdict} AS reason
  FROM calls
)
SELECT eventtime, reason, account, region, service || ':' || name AS what,
  coalesce(nullif(role_arn, ''), nullif(principal_arn, ''), invoked_by) AS who,
  sourceipaddress, errorcode, eventid
FROM judged
WHERE reason IS NOT NULL
ORDER BY eventtime;",
        version = policy.version(),
        said_access = said_access(policy),
    );
    (query, notes)
}

/// What a call does, by the table of calls; else by what it says itself.
fn access(policy: &Policy, notes: &mut Vec<String>) -> String {
    let entries = policy.calls.entries();
    let known: BTreeSet<(&str, &str)> =
        entries.iter().map(|(service, name, _)| (*service, name.as_str())).collect();
    // A name with its version goes before the one without.
    let (dated, undated): (Vec<_>, Vec<_>) =
        entries.iter().partition(|(_, name, _)| is_dated(name));
    let mut lines = vec!["CASE".to_owned()];
    for entries in [dated, undated] {
        let mut alike: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
        for (service, name, access) in entries {
            let does = does(access).unwrap_or_else(|| {
                let does = whatever_is_asked(policy, access);
                let as_what = if does == SAID { "what it says itself" } else { &does };
                let call = format!("`{service}:{name}`");
                notes.push(format!("{call} counts as {as_what}, whatever its parameters"));
                does
            });
            alike.entry((does, service)).or_default().push(name);
        }
        lines.extend(alike.iter().map(|((does, service), names)| {
            let has = |name: &str| known.contains(&(*service, name));
            format!(
                "      WHEN service = {} AND {} THEN {does}",
                quoted(service),
                spelled(names, has)
            )
        }));
    }
    lines.push("      ELSE said_access\n    END".to_owned());
    lines.join("\n")
}

/// The column of what a call says itself.
const SAID: &str = "said_access";

/// `None` where it depends on what cannot be asked for.
fn does(access: &CallAccess) -> Option<String> {
    Some(match access {
        CallAccess::Always(access) => quoted(access.as_str()),
        CallAccess::When(access, when) => {
            let when = members(when)?;
            format!("CASE WHEN {when} THEN {} ELSE said_access END", quoted(access.as_str()))
        }
        CallAccess::ByField => SAID.to_owned(),
    })
}

/// What is told of counts as that, whatever it says itself; what is not told of may be told of for
/// what it says itself.
fn whatever_is_asked(policy: &Policy, access: &CallAccess) -> String {
    match access {
        CallAccess::When(does, _) if is_told(policy, access) => quoted(does.as_str()),
        _ => SAID.to_owned(),
    }
}

/// CloudTrail's field, else the verb.
fn said_access(policy: &Policy) -> String {
    let mut whens = String::new();
    if policy.trust_read_only_field {
        whens.push_str(
            "      WHEN regexp_like(readonly, '^\\s*(?i:true)\\s*$') THEN 'read-only'\n      \
             WHEN regexp_like(readonly, '^\\s*(?i:false)\\s*$') THEN 'mutating'\n",
        );
    }
    let verbs = policy.read_only_verbs.iter().filter_map(|verb| {
        let mut letters = verb.chars();
        let first = letters.next()?;
        let (upper, lower) = (first.to_ascii_uppercase(), first.to_ascii_lowercase());
        Some(format!("[{upper}{lower}]{}", letters.as_str()))
    });
    let verbs = verbs.collect::<Vec<_>>().join("|");
    if !verbs.is_empty() {
        whens.push_str(&format!(
            "      WHEN regexp_like(name, '^({verbs})([A-Z0-9_]|$)') THEN 'read-only'\n"
        ));
    }
    if whens.is_empty() {
        quoted("mutating")
    } else {
        format!("CASE\n{whens}      ELSE 'mutating'\n    END")
    }
}

/// The questions in their order; the first answer stands. What is told apart by nothing falls
/// through to the alert.
fn verdict(policy: &Policy) -> (String, Vec<String>) {
    let mut notes = Vec::new();
    let mut lines = vec![
        "CASE".to_owned(),
        "WHEN (name = '' OR coalesce(eventsource, '') = '') AND (eventcategory IN ('Insight', 'Aggregated') \
         OR eventtype IN ('AwsCloudTrailInsight', 'AwsAggregatedEvent')) THEN NULL"
            .to_owned(),
        "WHEN name = '' OR coalesce(eventsource, '') = '' THEN 'unreadable'".to_owned(),
    ];
    for watch in policy.watches() {
        let silent =
            policy.exempts().filter(|exempt| exempt.watches.iter().any(|id| **id == **watch.id()));
        let silent = any_rule(silent);
        let watched = matcher(&watch.matcher, Unsaid::Holds, &mut notes, watch.id());
        let loud = if silent.is_empty() { watched } else { format!("{watched} AND NOT {silent}") };
        lines.push(format!("WHEN {loud} THEN {}", quoted(&format!("watched:{}", watch.id()))));
    }
    lines.push(format!("WHEN {} THEN NULL -- approved-region", approved(policy)));
    if !policy.alert_on_aws_services {
        lines.push(format!(
            "WHEN principal_type = 'AWSService' OR role_arn LIKE '%:role/aws-service-role/%' \
             OR (coalesce(eventtype, '') = 'AwsServiceEvent' AND NOT {}) THEN NULL -- aws-service",
            one_of("principal_type", SOMEBODY)
        ));
    }
    if !policy.alert_on_sign_ins {
        lines.push("WHEN service = 'signin' THEN NULL -- sign-in".to_owned());
    }
    for global in &policy.globals {
        lines.push(format!(
            "WHEN NOT switches_region AND {} AND {} THEN NULL -- global-service",
            any_of("region", &global.homes),
            any_of("service", &global.services)
        ));
    }
    let ignored: &[&str] =
        if policy.alert_on_sensitive_reads { &["read-only"] } else { &["read-only", "sensitive"] };
    lines.push(format!("WHEN {} THEN NULL -- read-only", one_of("access", ignored)));
    for exempt in policy.exempts() {
        let silent = self::exempt(exempt, &mut notes);
        lines.push(format!("WHEN {silent} THEN NULL -- exempt"));
    }
    lines.push("WHEN access = 'sensitive' THEN 'sensitive-read'".to_owned());
    lines.push("ELSE 'mutating-call'\n    END".to_owned());
    (lines.join("\n      "), notes)
}

/// Of an account with a list of its own, that list counts.
fn approved(policy: &Policy) -> String {
    let mut own: Vec<(&String, &Patterns)> = policy
        .accounts
        .iter()
        .filter_map(|(id, account)| Some((id, account.approved.as_ref()?)))
        .collect();
    own.sort_unstable_by_key(|(id, _)| *id);
    let ids: Vec<&str> = own.iter().map(|(id, _)| id.as_str()).collect();
    let mut lists = vec![any_of("region", &policy.approved)];
    if !ids.is_empty() {
        lists = vec![all_of([format!("NOT {}", one_of("account", &ids)), lists.concat()])];
        lists.extend(own.iter().map(|(id, list)| {
            all_of([format!("account = {}", quoted(id)), any_of("region", list)])
        }));
    }
    format!("region <> 'unknown' AND ({})", lists.join(" OR "))
}
