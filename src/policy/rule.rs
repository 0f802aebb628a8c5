//! `[[watch]]` and `[[exempt]]`: what a rule asks of a call.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use crate::record::access::without_date;
use crate::record::{Outcome, Record, Text, string};

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
}

/// A rule that alerts in every region.
#[derive(Debug, Clone)]
pub struct Watch {
    pub(super) id: Arc<str>,
    pub(super) severity: Severity,
    pub(super) matcher: Matcher,
}

/// A rule that silences.
#[derive(Debug, Clone)]
pub struct Exempt {
    pub(super) id: Arc<str>,
    pub(super) until: Option<Date>,
    pub(super) watches: Vec<String>,
    pub(super) matcher: Matcher,
}

/// What a rule matches; what it does not name matches anything.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    pub(super) accounts: Option<Patterns>,
    pub(super) regions: Option<Patterns>,
    pub(super) services: Option<Patterns>,
    pub(super) calls: Option<Vec<CallPattern>>,
    pub(super) principals: Option<Patterns>,
    pub(super) source_ips: Option<Vec<IpNet>>,
    pub(super) outcomes: Option<Vec<Outcome>>,
    pub(super) request: Members,
}

/// `ec2:Run*`.
#[derive(Debug, Clone)]
pub struct CallPattern {
    pub(super) service: Patterns,
    pub(super) name: Patterns,
}

/// Top-level members of `requestParameters` and the values that each may have.
#[derive(Debug, Clone, Default)]
pub struct Members(pub(super) BTreeMap<String, Vec<Value>>);

/// A value that a request parameter is compared with.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string, as a pattern.
    Text(Patterns),
    /// A bool, or the string that says it.
    Bool(bool),
    /// A number, or the string that says it.
    Number(f64),
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
        }
    }

    /// The UTC date of the record, where it tells a time.
    fn date(&self) -> Option<Date> {
        Some(TimeZone::UTC.to_datetime(self.record.time()?).date())
    }

    fn any_principal(&self, patterns: &Patterns) -> bool {
        let identity = &self.record.user_identity;
        [&identity.arn, &identity.issuer_arn, &identity.invoked_by]
            .into_iter()
            .any(|text| text.as_deref().is_some_and(|text| patterns.matches(text)))
    }

    fn is_from(&self, networks: &[IpNet]) -> bool {
        let address = self.record.source_ip_address.as_deref();
        let Some(Ok(address)) = address.map(str::parse::<IpAddr>) else { return false };
        networks.iter().any(|network| network.contains(&address))
    }
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

    /// Whether it silences a call. A watched call is silenced only by a rule that names the watch,
    /// and none after the rule's last day, which the record's own time decides.
    pub fn exempts(&self, call: &Call<'_>, watch: Option<&Watch>) -> bool {
        let names_watch = |watch: &Watch| self.watches.iter().any(|id| **id == **watch.id());
        watch.is_none_or(names_watch) && self.matcher.matches(call) && self.is_active(call)
    }

    fn is_active(&self, call: &Call<'_>) -> bool {
        self.until.is_none_or(|last| call.date().is_some_and(|date| date <= last))
    }
}

impl Matcher {
    /// Whether there is anything that it does not match.
    pub(super) fn restricts(&self) -> bool {
        let lists = [&self.accounts, &self.regions, &self.services, &self.principals];
        let calls = self.calls.as_ref().is_some_and(|calls| {
            !calls.iter().any(|c| c.service.match_everything() && c.name.match_everything())
        });
        lists.into_iter().flatten().any(|list| !list.match_everything())
            || calls
            || self.source_ips.is_some()
            || self.outcomes.is_some()
            || !self.request.0.is_empty()
    }

    fn matches(&self, call: &Call<'_>) -> bool {
        let named = |list: &Option<Patterns>, text| list.as_ref().is_none_or(|l| l.matches(text));
        named(&self.services, &call.service)
            && self.calls.as_ref().is_none_or(|list| list.iter().any(|c| c.matches(call)))
            && named(&self.regions, &call.region)
            && named(&self.accounts, call.account)
            && self.outcomes.as_ref().is_none_or(|list| list.contains(&call.outcome))
            && self.principals.as_ref().is_none_or(|list| call.any_principal(list))
            && self.source_ips.as_ref().is_none_or(|list| call.is_from(list))
            && self.request.match_all(call)
    }
}

impl CallPattern {
    fn matches(&self, call: &Call<'_>) -> bool {
        self.service.matches(&call.service)
            && (self.name.matches(call.name)
                || call.undated_name.is_some_and(|name| self.name.matches(name)))
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
        let text = string(Some(found)).unwrap_or(found.get().into());
        match self {
            Value::Text(patterns) => patterns.matches(&text),
            Value::Bool(flag) => text.eq_ignore_ascii_case(if *flag { "true" } else { "false" }),
            Value::Number(number) => text.parse() == Ok(*number),
        }
    }
}
