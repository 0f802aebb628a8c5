//! The policy's question in Athena: a table over the files of a trail, and the query that returns
//! what the policy alerts on.
//!
//! The table is the one of the Athena guide ("Create the table for CloudTrail logs in Athena using
//! partition projection"), with the account and the region as partitions too, for the question is
//! about every region. The query asks as the judge does, question by question.

mod query;
mod sql;

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::policy::Policy;
use crate::record::{is_account, region};

use super::Export;
use query::query;

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
        let location = checked(place, LOCATION, is_location(place));
        let account = |id: &&String| checked(id, "account id of twelve digits", is_account(id));
        let region = |code: &&String| checked(code, "region code", region::is_code(code));
        let organization =
            organization.map(|id| checked(id, "organisation id", has_only(id, "o-", b"")));
        Ok(Trail {
            location: location?,
            organization: organization.transpose()?,
            accounts: each_once(accounts).iter().map(account).collect::<Result<_, _>>()?,
            regions: each_once(regions).iter().map(region).collect::<Result<_, _>>()?,
            from,
            table: checked(table, "name of a table", has_only(table, "", b"_."))?,
        })
    }
}

/// Files of a partition that is named twice would be read twice.
fn each_once(words: &[String]) -> BTreeSet<&String> {
    words.iter().collect()
}

const LOCATION: &str = "location such as s3://bucket/prefix, which ends before AWSLogs/";

/// `AWSLogs/` is put behind it: with that in it, no file would be found, and nobody told.
fn is_location(text: &str) -> bool {
    text.strip_prefix("s3://").is_some_and(|rest| {
        let mut parts = rest.split('/');
        parts.next().is_some_and(|bucket| !bucket.is_empty())
            && parts.all(|part| part != "AWSLogs")
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
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
        "files are read of these regions alone ({}); list a newer one with --region",
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
