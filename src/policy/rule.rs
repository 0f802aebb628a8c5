//! `[[watch]]` and `[[exempt]]`: what a rule asks of a call.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use crate::record::access::without_date;
use crate::record::{Outcome, Record, Text, scalar};

use super::pattern::Pattern;
use super::{Patterns, Severity};

/// What is asked of a record, worked out once.
#[derive(Debug, Clone)]
pub struct Call<'r> {
    /// The record.
    pub record: &'r Record<'r>,
    /// The account it concerns.
    pub account: &'r str,
    /// The region it concerns.
    pub region: Text<'r>,
    /// `ec2`.
    pub service: Text<'r>,
    /// `RunInstances`.
    pub name: &'r str,
    /// The name without the API version behind it, where there is one.
    pub undated_name: Option<&'r str>,
    /// What became of it.
    pub outcome: Outcome,
    /// The address it came from, read when the first rule asks.
    address: OnceCell<Option<IpAddr>>,
}

/// A rule that alerts in every region.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    pub(super) id: Arc<str>,
    pub(super) reason: String,
    pub(super) severity: Severity,
    pub(crate) matcher: Matcher,
}

/// A rule that silences.
#[derive(Debug, Clone, PartialEq)]
pub struct Exempt {
    pub(super) id: Arc<str>,
    pub(super) reason: String,
    pub(super) until: Option<Date>,
    pub(crate) watches: Vec<String>,
    pub(crate) matcher: Matcher,
}

/// What a rule matches: every test has to hold. What a rule does not name is not tested.
#[derive(Debug, Clone, PartialEq)]
pub struct Matcher(pub(crate) Vec<Test>);

/// One matcher of a rule; any of its values will do. In the order of what they cost.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `services`.
    Services(Patterns),
    /// `calls`.
    Calls(Vec<CallPattern>),
    /// `regions`.
    Regions(Patterns),
    /// `accounts`.
    Accounts(Patterns),
    /// `outcomes`.
    Outcomes(Vec<Outcome>),
    /// `principals`.
    Principals(Patterns),
    /// `source_ips`.
    SourceIps(Vec<IpNet>),
    /// `request`.
    Request(Members),
}

/// `ec2:Run*`.
#[derive(Debug, Clone, PartialEq)]
pub struct CallPattern {
    pub(crate) service: Pattern,
    pub(crate) name: Pattern,
}

/// Top-level members of `requestParameters` and the values that each may have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Members(pub(crate) BTreeMap<String, Vec<Value>>);

/// A value that a request parameter is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string, as a pattern.
    Text(Pattern),
    /// A bool, or the string that says it.
    Bool(bool),
    /// A whole number, or the string that says it.
    Integer(i64),
    /// Another number, or the string that says it.
    Float(f64),
}

impl<'r> Call<'r> {
    /// The call in a record.
    pub fn of(record: &'r Record<'r>, batch_owner: &'r str) -> Self {
        Call {
            record,
            account: record.account(batch_owner),
            region: record.region(),
            service: record.service(),
            name: record.name(),
            undated_name: without_date(record.name()),
            outcome: record.outcome(),
            address: OnceCell::new(),
        }
    }

    /// The name as written, and without the API version behind it.
    pub fn names(&self) -> impl Iterator<Item = &'r str> {
        [Some(self.name), self.undated_name].into_iter().flatten()
    }

    /// What `principals` is compared with: the session's or user's ARN, the role's ARN, the
    /// invoking service.
    pub fn principals(&self) -> impl Iterator<Item = &'r str> {
        let identity = &self.record.user_identity;
        let texts = [&identity.arn, &identity.issuer_arn, &identity.invoked_by];
        texts.into_iter().filter_map(|text| text.as_deref())
    }

    /// The UTC date of the record, where it tells a time.
    fn date(&self) -> Option<Date> {
        self.record.time().map(utc_date)
    }

    fn is_from(&self, networks: &[IpNet]) -> bool {
        let text = self.record.source_ip_address.as_deref();
        let address = self.address.get_or_init(|| text.and_then(|text| text.parse().ok()));
        address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
    }
}

/// The day in UTC, by which exemptions end.
pub(super) fn utc_date(time: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(time).date()
}

impl Watch {
    /// Its id in the policy.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// How urgent a call that it matches is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Why it is there.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether it matches a call.
    pub fn matches(&self, call: &Call<'_>) -> bool {
        self.matcher.matches(call)
    }
}

impl Exempt {
    /// Its id in the policy.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Why it is there.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Its last day, where it has one.
    pub fn until(&self) -> Option<Date> {
        self.until
    }

    /// Whether it silences a call. A watched call is silenced only by a rule that names the watch,
    /// and none after the rule's last day, which the record's own time decides.
    pub fn exempts(&self, call: &Call<'_>, watch: Option<&Watch>) -> bool {
        watch.is_none_or(|watch| self.names(watch))
            && self.matcher.matches(call)
            && self.is_active(call)
    }

    /// Whether its last day is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|last| last < utc_date(now))
    }

    /// Whether it may silence what this watch matches.
    pub(crate) fn names(&self, watch: &Watch) -> bool {
        self.watches.iter().any(|id| **id == *watch.id)
    }

    pub(super) fn is_active(&self, call: &Call<'_>) -> bool {
        self.until.is_none_or(|last| call.date().is_some_and(|date| date <= last))
    }
}

impl Matcher {
    /// Whether there is anything that it does not match.
    pub(super) fn narrows(&self) -> bool {
        self.0.iter().any(Test::narrows)
    }

    /// Whether every test holds.
    pub fn matches(&self, call: &Call<'_>) -> bool {
        self.0.iter().all(|test| test.holds(call))
    }
}

impl Test {
    /// Its key in a rule.
    pub fn key(&self) -> &'static str {
        match self {
            Test::Services(_) => "services",
            Test::Calls(_) => "calls",
            Test::Regions(_) => "regions",
            Test::Accounts(_) => "accounts",
            Test::Outcomes(_) => "outcomes",
            Test::Principals(_) => "principals",
            Test::SourceIps(_) => "source_ips",
            Test::Request(_) => "request",
        }
    }

    /// Whether it holds for a call.
    pub fn holds(&self, call: &Call<'_>) -> bool {
        match self {
            Test::Services(services) => services.matches(&call.service),
            Test::Calls(calls) => calls.iter().any(|pattern| pattern.matches(call)),
            Test::Regions(regions) => regions.matches(&call.region),
            Test::Accounts(accounts) => accounts.matches(call.account),
            Test::Outcomes(outcomes) => outcomes.contains(&call.outcome),
            Test::Principals(patterns) => call.principals().any(|text| patterns.matches(text)),
            Test::SourceIps(networks) => call.is_from(networks),
            Test::Request(members) => members.match_all(call),
        }
    }

    /// Whether there is a call for which it does not hold.
    fn narrows(&self) -> bool {
        match self {
            Test::Services(list)
            | Test::Regions(list)
            | Test::Accounts(list)
            | Test::Principals(list) => !list.match_everything(),
            Test::Calls(calls) => !calls
                .iter()
                .any(|call| call.service.matches_everything() && call.name.matches_everything()),
            Test::Outcomes(outcomes) => !Outcome::ALL.iter().all(|known| outcomes.contains(known)),
            Test::SourceIps(_) => true,
            Test::Request(members) => !members.0.is_empty(),
        }
    }
}

impl CallPattern {
    fn matches(&self, call: &Call<'_>) -> bool {
        self.service.matches(&call.service) && call.names().any(|name| self.name.matches(name))
    }
}

impl fmt::Display for CallPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service.as_str(), self.name.as_str())
    }
}

impl Members {
    /// Whether every member is there with one of its values.
    pub(super) fn match_all(&self, call: &Call<'_>) -> bool {
        self.0.iter().all(|(member, values)| {
            let found = call.record.request(member);
            found.is_some_and(|found| values.iter().any(|value| value.matches(found)))
        })
    }
}

impl Value {
    fn matches(&self, found: &RawValue) -> bool {
        let Some(text) = scalar(found) else { return false };
        match self {
            Value::Text(pattern) => pattern.matches(&text),
            Value::Bool(flag) => text.eq_ignore_ascii_case(if *flag { "true" } else { "false" }),
            // Ids may be longer than a float is exact.
            Value::Integer(number) => match text.parse::<i64>() {
                Ok(found) => found == *number,
                Err(_) if text.contains(['.', 'e', 'E']) => text.parse() == Ok(*number as f64),
                Err(_) => false,
            },
            Value::Float(number) => text.parse() == Ok(*number),
        }
    }
}
