//! The policy's question in Athena: a table over the files of a trail, and the query that returns
//! what the policy alerts on.
//!
//! The table is the one of the Athena guide ("Create the table for CloudTrail logs in Athena using
//! partition projection"), with the account and the region as partitions too, for the question is
//! about every region. The query asks as the judge does, question by question; [`super::sql`] has
//! the conditions.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::policy::calls::CallAccess;
use crate::policy::{Policy, SOMEBODY};
use crate::record::outcome::{DENIED, THROTTLED};
use crate::record::{Access, region};

use super::Export;
use super::sql::{
    Unsaid, all_of, any_of, any_rule, is_dated, matcher, members, one_of, quoted, spelled,
};

/// Where a trail's files are, and which of them are read.
#[derive(Debug, Clone)]
pub struct Trail {
    /// The bucket with the prefix of the trail, such as `s3://bucket/prefix`.
    location: String,
    /// The id of the organisation whose trail it is.
    organization: Option<String>,
    accounts: Vec<String>,
    regions: Vec<String>,
    /// The first day that is read.
    from: Date,
    /// What the table is called.
    table: String,
}

/// Why there is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no {wanted}")]
pub struct TrailError {
    found: String,
    wanted: &'static str,
}

impl Trail {
    /// A trail that writes to `location`. Without `regions`, every region that is known.
    ///
    /// # Errors
    /// Where something cannot be what it should: it becomes part of a statement.
    pub fn new(
        location: &str,
        organization: Option<&str>,
        accounts: &[String],
        regions: &[String],
        from: Date,
        table: &str,
    ) -> Result<Self, TrailError> {
        let checked = |found: &str, wanted, holds: bool| {
            if holds {
                Ok(found.to_owned())
            } else {
                Err(TrailError { found: found.to_owned(), wanted })
            }
        };
        let place = location.trim_end_matches('/');
        let location = checked(place, "location such as s3://bucket/prefix", is_location(place));
        let account = |id: &String| {
            let is_id = id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
            checked(id, "account id of twelve digits", is_id)
        };
        let region = |code: &String| checked(code, "region code", region::is_code(code));
        let organization =
            organization.map(|id| checked(id, "organisation id", has_only(id, "o-", b"")));
        Ok(Trail {
            location: location?,
            organization: organization.transpose()?,
            accounts: accounts.iter().map(account).collect::<Result<_, _>>()?,
            regions: regions.iter().map(region).collect::<Result<_, _>>()?,
            from,
            table: checked(table, "name of a table", has_only(table, "", b"_."))?,
        })
    }
}

fn is_location(text: &str) -> bool {
    text.strip_prefix("s3://").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
    })
}

/// Small letters, digits and `others` behind the start.
fn has_only(text: &str, start: &str, others: &[u8]) -> bool {
    text.strip_prefix(start).is_some_and(|rest| {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || others.contains(&b);
        !rest.is_empty() && rest.bytes().all(known)
    })
}

/// The table and the query.
pub fn of(policy: &Policy, trail: &Trail) -> Export {
    let regions = regions(policy, trail);
    let (query, mut notes) = query(policy, trail);
    notes.insert(0, "Athena takes one statement at a time".to_owned());
    notes.push(format!(
        "files are read of these {} regions alone; list a newer one with --region",
        regions.len()
    ));
    if trail.organization.is_some() {
        notes.push(
            "and of the accounts that are named: name a new member with --account".to_owned(),
        );
    }
    let text = format!("{}\n{query}", table(trail, &regions));
    Export { text, notes }
}

/// Those that are named, else all of the partition that is worked in.
fn regions(policy: &Policy, trail: &Trail) -> Vec<String> {
    if !trail.regions.is_empty() {
        return trail.regions.clone();
    }
    let first = policy.approved.iter().next().map_or("", |approved| approved.as_str());
    let partition = region::partition(&first.to_ascii_lowercase());
    region::known().filter(|code| region::partition(code) == partition).map(str::to_owned).collect()
}

fn table(trail: &Trail, regions: &[String]) -> String {
    let Trail { location, table, from, .. } = trail;
    let organization = trail.organization.iter().map(|id| format!("{id}/")).collect::<String>();
    let root = format!("{location}/AWSLogs/{organization}");
    let (accounts, regions) = (trail.accounts.join(","), regions.join(","));
    let from = from.strftime("%Y/%m/%d");
    format!(
        "CREATE EXTERNAL TABLE {table} (\n{COLUMNS}\n)\n\
         PARTITIONED BY (log_account STRING, log_region STRING, day STRING)\n\
         ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'\n\
         STORED AS INPUTFORMAT 'com.amazon.emr.cloudtrail.CloudTrailInputFormat'\n\
         OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'\n\
         LOCATION '{root}'\n\
         TBLPROPERTIES (\n  \
           'projection.enabled'='true',\n  \
           'projection.log_account.type'='enum',\n  \
           'projection.log_account.values'='{accounts}',\n  \
           'projection.log_region.type'='enum',\n  \
           'projection.log_region.values'='{regions}',\n  \
           'projection.day.type'='date',\n  \
           'projection.day.format'='yyyy/MM/dd',\n  \
           'projection.day.range'='{from},NOW',\n  \
           'projection.day.interval'='1',\n  \
           'projection.day.interval.unit'='DAYS',\n  \
           'storage.location.template'='{root}${{log_account}}/CloudTrail/${{log_region}}/${{day}}'\n\
         );\n"
    )
}

/// As the guide has them.
const COLUMNS: &str = "  eventversion STRING,
  useridentity STRUCT<
    type: STRING,
    principalid: STRING,
    arn: STRING,
    accountid: STRING,
    invokedby: STRING,
    accesskeyid: STRING,
    username: STRING,
    onbehalfof: STRUCT<userid: STRING, identitystorearn: STRING>,
    sessioncontext: STRUCT<
      attributes: STRUCT<mfaauthenticated: STRING, creationdate: STRING>,
      sessionissuer: STRUCT<type: STRING, principalid: STRING, arn: STRING, accountid: STRING, username: STRING>,
      ec2roledelivery: STRING,
      webidfederationdata: STRUCT<federatedprovider: STRING, attributes: MAP<STRING, STRING>>>>,
  eventtime STRING,
  eventsource STRING,
  eventname STRING,
  awsregion STRING,
  sourceipaddress STRING,
  useragent STRING,
  errorcode STRING,
  errormessage STRING,
  requestparameters STRING,
  responseelements STRING,
  additionaleventdata STRING,
  requestid STRING,
  eventid STRING,
  readonly STRING,
  resources ARRAY<STRUCT<arn: STRING, accountid: STRING, type: STRING>>,
  eventtype STRING,
  apiversion STRING,
  recipientaccountid STRING,
  serviceeventdetails STRING,
  sharedeventid STRING,
  vpcendpointid STRING,
  vpcendpointaccountid STRING,
  eventcategory STRING,
  addendum STRUCT<reason: STRING, updatedfields: STRING, originalrequestid: STRING, originaleventid: STRING>,
  sessioncredentialfromconsole STRING,
  edgedevicedetails STRING,
  tlsdetails STRUCT<tlsversion: STRING, ciphersuite: STRING, clientprovidedhostheader: STRING>";

fn query(policy: &Policy, trail: &Trail) -> (String, Vec<String>) {
    let (verdict, notes) = verdict(policy);
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
        access = access(policy),
    );
    (query, notes)
}

/// What a call does, by the table of calls; else by what it says itself.
fn access(policy: &Policy) -> String {
    let entries = policy.calls.entries();
    // A name with its version goes before the one without.
    let (dated, undated): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(_, name, _)| is_dated(name));
    let mut lines = vec!["CASE".to_owned()];
    for entries in [dated, undated] {
        let mut alike: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
        for (service, name, access) in &entries {
            alike.entry((does(access), service)).or_default().push(name);
        }
        lines.extend(alike.iter().map(|((does, service), names)| {
            format!("      WHEN service = {} AND {} THEN {does}", quoted(service), spelled(names))
        }));
    }
    lines.push("      ELSE said_access\n    END".to_owned());
    lines.join("\n")
}

fn does(access: &CallAccess) -> String {
    match access {
        CallAccess::Always(access) => quoted(access.as_str()),
        CallAccess::When(access, when) => {
            let when = members(when).unwrap_or_else(|| match access {
                Access::ReadOnly => "FALSE".to_owned(),
                Access::SensitiveRead | Access::Mutating => "TRUE".to_owned(),
            });
            format!("CASE WHEN {when} THEN {} ELSE said_access END", quoted(access.as_str()))
        }
        CallAccess::ByField => "said_access".to_owned(),
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
        let silent = super::sql::exempt(exempt, &mut notes);
        lines.push(format!("WHEN {silent} THEN NULL -- exempt"));
    }
    lines.push("WHEN access = 'sensitive' THEN 'sensitive-read'".to_owned());
    lines.push("ELSE 'mutating-call'\n    END".to_owned());
    (lines.join("\n      "), notes)
}

/// Of an account with a list of its own, that list counts.
fn approved(policy: &Policy) -> String {
    let mut own: Vec<(&String, &crate::policy::Patterns)> = policy
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
