//! The judge once more, written from the specification and not from `src/policy`.
//!
//! It is slow and plain: no policy is compiled, no record is borrowed, each question reads as the
//! design asks it. What it is worth lies in its independence: it shares no line with `src/policy`
//! and `src/record`, and must not. Where the two disagree, the design says which of them is wrong.

use std::fmt;
use std::net::IpAddr;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use toml::Table;

mod agreement;
pub mod random;

const RULES: [&str; 3] = ["global", "watch", "exempt"];
const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
/// Of a field named twice nobody knows which one counts. (`eventID` is asked for after the judge.)
const FIELDS_READ: &str = "awsRegion errorCode eventCategory eventID eventName eventSource eventTime \
    eventType readOnly recipientAccountId requestParameters resources responseElements \
    sessionCredentialFromConsole sourceIPAddress userAgent userIdentity";

/// The default policy with a user's file laid over it, as TOML.
pub struct OraclePolicy(Table);

impl OraclePolicy {
    pub fn with_user_file(user: &str) -> Self {
        let default = include_str!("../../policy.toml").parse().unwrap();
        let mut merged = laid_over(default, user.parse().unwrap());
        let dropped = merged.remove("drop_rules").unwrap_or_else(|| toml::Value::Array(Vec::new()));
        for kind in RULES {
            let rules = merged.get_mut(kind).unwrap().as_array_mut().unwrap();
            rules.retain(|rule| !dropped.as_array().unwrap().contains(&rule["id"]));
        }
        Self(merged)
    }

    fn says(&self, key: &str, word: &str) -> bool {
        self.0[key].as_str() == Some(word)
    }

    fn rules(&self, kind: &str) -> impl Iterator<Item = &Table> {
        self.0[kind].as_array().unwrap().iter().map(|rule| rule.as_table().unwrap())
    }
}

/// A user's file changes the keys it names, at any depth; a list replaces a list, rules add up.
fn laid_over(mut base: Table, user: Table) -> Table {
    for (key, theirs) in user {
        let value = match (base.remove(&key), theirs) {
            // [access.calls]: an entry replaces the entry, and inherits no `when`.
            (Some(toml::Value::Table(mut ours)), toml::Value::Table(theirs)) if key == "calls" => {
                ours.extend(theirs);
                toml::Value::Table(ours)
            }
            (Some(toml::Value::Table(ours)), toml::Value::Table(theirs)) => {
                toml::Value::Table(laid_over(ours, theirs))
            }
            (Some(toml::Value::Array(ours)), toml::Value::Array(theirs))
                if RULES.contains(&key.as_str()) =>
            {
                toml::Value::Array(rules_laid_over(ours, theirs))
            }
            (_, theirs) => theirs,
        };
        base.insert(key, value);
    }
    base
}

/// A rule takes the place of the one with its id, or comes after all that are there.
fn rules_laid_over(mut rules: Vec<toml::Value>, user: Vec<toml::Value>) -> Vec<toml::Value> {
    for theirs in user {
        match rules.iter_mut().find(|ours| ours["id"] == theirs["id"]) {
            Some(ours) => *ours = theirs,
            None => rules.push(theirs),
        }
    }
    rules
}

/// The verdict in words: `mutating-call high`, `ignored: read-only`, `rejected`.
pub fn judge(policy: &OraclePolicy, record: &str, owner: &str) -> String {
    match object(record) {
        Some(record) => Case { policy, record, owner }.verdict(),
        None => "rejected".to_owned(),
    }
}

/// The record, if it is a JSON object that says every field once.
fn object(record: &str) -> Option<Value> {
    let Members(members) = serde_json::from_str(record).ok()?;
    let times = |field| members.iter().filter(|(key, _)| key == field).count();
    if FIELDS_READ.split(' ').any(|field| times(field) > 1) {
        return None;
    }
    Some(Value::Object(members.into_iter().collect()))
}

/// The members of an object as they stand there, repeated ones too.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// One record before one policy.
struct Case<'a> {
    policy: &'a OraclePolicy,
    record: Value,
    owner: &'a str,
}

impl Case<'_> {
    /// Questions 1, 2 and 10; those between are `answer`'s.
    fn verdict(&self) -> String {
        if self.text("/eventName").is_none() || self.text("/eventSource").is_none() {
            let words = if self.is_no_call() { "ignored: not-an-api-call" } else { "rejected" };
            return words.to_owned();
        }
        let watches: Vec<&Table> =
            self.policy.rules("watch").filter(|rule| self.matches(rule)).collect();
        if !watches.is_empty() {
            return self.watched(watches);
        }
        let (reason, severity) = match self.answer() {
            Err(reason) => return format!("ignored: {reason}"),
            Ok(candidate) => candidate,
        };
        match self.exemptions().first() {
            Some(rule) => format!("ignored: exempt:{}", word(rule, "id")),
            None => format!("{reason} {}", self.severity(severity, false)),
        }
    }

    fn is_no_call(&self) -> bool {
        matches!(self.text("/eventCategory"), Some("Insight" | "Aggregated"))
            || matches!(
                self.text("/eventType"),
                Some("AwsCloudTrailInsight" | "AwsAggregatedEvent")
            )
    }

    /// What no exemption names is told, the gravest first.
    fn watched(&self, mut watches: Vec<&Table>) -> String {
        // A stable sort: of equally grave ones the first stays the first.
        watches.sort_by_key(|watch| std::cmp::Reverse(rank(severity_of(watch))));
        match watches.iter().find(|watch| self.silencer(watch).is_none()) {
            Some(watch) => {
                let severity = self.severity(severity_of(watch), true);
                format!("watched:{} {severity}", word(watch, "id"))
            }
            None => format!("ignored: exempt:{}", self.silencer(watches[0]).unwrap()),
        }
    }

    /// The first exemption in force that names the watch.
    fn silencer(&self, watch: &Table) -> Option<&str> {
        let named = |rule: &&&Table| {
            let watches = rule.get("watches").and_then(toml::Value::as_array);
            watches.is_some_and(|watches| watches.contains(&watch["id"]))
        };
        self.exemptions().iter().find(named).map(|rule| word(rule, "id"))
    }

    fn exemptions(&self) -> Vec<&Table> {
        let exemptions = self.policy.rules("exempt");
        exemptions.filter(|rule| self.is_active(rule) && self.matches(rule)).collect()
    }

    /// Questions 3 to 9: a reason to ignore, or a candidate with the severity it starts from.
    fn answer(&self) -> Result<(&'static str, &'static str), &'static str> {
        if self.is_region_approved() {
            return Err("approved-region");
        }
        if !self.policy.says("aws_service_calls", "alert") && self.is_aws_acting() {
            return Err("aws-service");
        }
        if !self.policy.says("sign_ins", "alert") && self.service() == "signin" {
            return Err("sign-in");
        }
        if !self.is_about_a_region() && self.is_at_home() {
            return Err("global-service");
        }
        match self.access() {
            "read-only" => Err("read-only"),
            "sensitive" if self.policy.says("sensitive_reads", "ignore") => Err("read-only"),
            "sensitive" => Ok(("sensitive-read", "medium")),
            _ => Ok(("mutating-call", "high")),
        }
    }

    fn is_region_approved(&self) -> bool {
        let accounts = self.policy.0.get("accounts");
        let account = accounts.and_then(|accounts| accounts.get(self.account()));
        let own = account.and_then(|account| account.get("approved_regions"));
        let approved = own.unwrap_or(&self.policy.0["approved_regions"]);
        let region = self.region();
        region != "unknown"
            && approved
                .as_array()
                .unwrap()
                .iter()
                .any(|a| glob(a.as_str().unwrap().trim(), &region))
    }

    fn is_aws_acting(&self) -> bool {
        let who = self.text("/userIdentity/type").unwrap_or_default();
        let theirs = "AWSAccount AssumedRole FederatedUser IAMUser IdentityCenterUser Role Root \
            SAMLUser WebIdentityUser";
        let theirs: Vec<&str> = theirs.split_whitespace().collect();
        let issuer =
            self.text("/userIdentity/sessionContext/sessionIssuer/arn").unwrap_or_default();
        who == "AWSService"
            || issuer.contains(":role/aws-service-role/")
            || self.text("/eventType") == Some("AwsServiceEvent") && !theirs.contains(&who)
    }

    fn is_at_home(&self) -> bool {
        let holds = |list: &toml::Value, text: &str| {
            list.as_array().unwrap().iter().any(|item| item.as_str() == Some(text))
        };
        self.policy.rules("global").any(|rule| {
            holds(&rule["services"], &self.service()) && holds(&rule["homes"], &self.region())
        })
    }

    fn access(&self) -> &str {
        if let Some(access) = self.listed_access().filter(|access| *access != "by-field") {
            return access;
        }
        let trusted = self.policy.0["access"]["trust_read_only_field"].as_bool().unwrap();
        match self.read_only_field().filter(|_| trusted) {
            Some(true) => "read-only",
            Some(false) => "mutating",
            None if self.has_read_only_verb() => "read-only",
            None => "mutating",
        }
    }

    /// What `[access.calls]` says of the call.
    fn listed_access(&self) -> Option<&str> {
        let calls = self.policy.0["access"]["calls"].as_table().unwrap();
        let undated = undated(self.name());
        let names = [self.name().to_owned(), undated.to_owned(), capitalized(undated)];
        match names.iter().find_map(|name| calls.get(&format!("{}:{name}", self.service())))? {
            toml::Value::Table(entry) => {
                let holds = entry.get("when").is_none_or(|when| self.has_parameters(when));
                holds.then(|| word(entry, "access"))
            }
            entry => entry.as_str(),
        }
    }

    fn read_only_field(&self) -> Option<bool> {
        match self.record.get("readOnly")? {
            Value::Bool(value) => Some(*value),
            Value::String(text) => text.trim().to_lowercase().parse().ok(),
            _ => None,
        }
    }

    fn has_read_only_verb(&self) -> bool {
        let name = capitalized(self.name());
        self.policy.0["read_only_verbs"].as_array().unwrap().iter().any(|verb| {
            let rest = name.strip_prefix(&capitalized(verb.as_str().unwrap()));
            rest.is_some_and(|rest| match rest.chars().next() {
                None | Some('A'..='Z' | '0'..='9' | '_') => true,
                Some(_) => false,
            })
        })
    }

    /// All that a rule asks for; what it does not name, it does not ask for.
    fn matches(&self, rule: &Table) -> bool {
        rule.iter().all(|(key, asked)| match key.as_str() {
            "accounts" => any_glob(asked, &[self.account()]),
            "regions" => any_glob(asked, &[&self.region()]),
            "services" => any_glob(asked, &[&self.service()]),
            "calls" => {
                let call = |name| format!("{}:{name}", self.service());
                any_glob(asked, &[&call(self.name()), &call(undated(self.name()))])
            }
            "principals" => any_glob(asked, &self.principals()),
            "source_ips" => self.is_from(asked),
            "outcomes" => any_glob(asked, &[self.outcome()]),
            "request" => self.has_parameters(asked),
            _ => true,
        })
    }

    fn is_active(&self, rule: &Table) -> bool {
        let Some(until) = rule.get("until") else { return true };
        let Some(time) = self.text("/eventTime") else { return false };
        let Ok(time) = time.parse::<jiff::Timestamp>() else { return false };
        // Both are spelled year-month-day, the time in UTC.
        time.to_string()[..10] <= *until.as_datetime().unwrap().to_string()
    }

    fn principals(&self) -> Vec<&str> {
        let issuer = self.text("/userIdentity/sessionContext/sessionIssuer/arn");
        let own = [self.text("/userIdentity/arn"), issuer, self.text("/userIdentity/invokedBy")];
        own.into_iter().flatten().collect()
    }

    fn is_from(&self, cidrs: &toml::Value) -> bool {
        let Some(ip) = self.text("/sourceIPAddress").and_then(|text| text.parse().ok()) else {
            return false;
        };
        cidrs.as_array().unwrap().iter().any(|cidr| is_within(ip, cidr.as_str().unwrap()))
    }

    /// Every member that is asked for is there, with one of the values asked for.
    fn has_parameters(&self, asked: &toml::Value) -> bool {
        asked.as_table().unwrap().iter().all(|(key, asked)| {
            let parameters = self.record.get("requestParameters");
            let Some(value) = parameters.and_then(|all| all.get(key)) else { return false };
            match asked {
                toml::Value::Array(any) => any.iter().any(|asked| is_said(asked, value)),
                one => is_said(one, value),
            }
        })
    }

    fn outcome(&self) -> &'static str {
        let Some(code) = self.text("/errorCode") else { return "success" };
        let has = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
        let denied = [
            "AccessDenied",
            "Unauthorized",
            "NotAuthorized",
            "Forbidden",
            "AuthFailure",
            "OptInRequired",
        ];
        if has(&["DryRunOperation"]) {
            "dry-run"
        } else if has(&denied) {
            "denied"
        } else if has(&["Throttl", "RequestLimitExceeded", "TooManyRequests", "SlowDown"]) {
            "throttled"
        } else {
            "failed"
        }
    }

    /// From where it starts: up by one for the root user, then down by what came of the call.
    fn severity(&self, start: &str, is_watched: bool) -> &'static str {
        let is_root = self.text("/userIdentity/type") == Some("Root");
        match self.outcome() {
            "success" => SEVERITIES[(rank(start) + usize::from(is_root)).min(3)],
            "denied" if is_watched => SEVERITIES[(rank(start) + usize::from(is_root)).min(3)],
            _ if is_root => "medium",
            _ => "low",
        }
    }

    fn name(&self) -> &str {
        self.text("/eventName").unwrap()
    }

    fn service(&self) -> String {
        let source = self.text("/eventSource").unwrap().to_lowercase();
        let ends = [".amazonaws.com", ".amazonaws.com.cn"];
        let service = ends.iter().find_map(|end| source.strip_suffix(end));
        service.unwrap_or(&source).to_owned()
    }

    fn is_about_a_region(&self) -> bool {
        self.service() == "account" && matches!(self.name(), "EnableRegion" | "DisableRegion")
    }

    fn region(&self) -> String {
        let about = self.is_about_a_region();
        let at = if about { "/requestParameters/RegionName" } else { "/awsRegion" };
        let region = self.text(at).unwrap_or_default().trim().to_lowercase();
        if region.is_empty() { "unknown".to_owned() } else { region }
    }

    fn account(&self) -> &str {
        let own = self.text("/recipientAccountId");
        own.or_else(|| self.text("/userIdentity/accountId")).unwrap_or(self.owner)
    }

    /// A string at a place in the record, unless it is empty.
    fn text(&self, place: &str) -> Option<&str> {
        self.record.pointer(place)?.as_str().filter(|text| !text.is_empty())
    }
}

fn word<'a>(rule: &'a Table, key: &str) -> &'a str {
    rule[key].as_str().unwrap()
}

fn severity_of(watch: &Table) -> &str {
    watch.get("severity").map_or("high", |severity| severity.as_str().unwrap())
}

fn rank(severity: &str) -> usize {
    SEVERITIES.iter().position(|s| *s == severity).unwrap()
}

fn any_glob(globs: &toml::Value, texts: &[&str]) -> bool {
    let globs = globs.as_array().unwrap();
    globs.iter().any(|pattern| texts.iter().any(|text| glob(pattern.as_str().unwrap(), text)))
}

/// `*` is any text, `?` any one character; upper and lower case are the same.
fn glob(pattern: &str, text: &str) -> bool {
    fn fits(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|skipped| fits(rest, &text[skipped..])),
            (['?', rest @ ..], [_, text @ ..]) => fits(rest, text),
            ([p, rest @ ..], [t, text @ ..]) => p == t && fits(rest, text),
            _ => false,
        }
    }
    let lower = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    fits(&lower(pattern), &lower(text))
}

/// Whether an address and a network agree in as many bits as the network says.
fn is_within(ip: IpAddr, cidr: &str) -> bool {
    let (network, bits) = cidr.split_once('/').unwrap();
    let (ip, network) = (binary(ip), binary(network.parse().unwrap()));
    let bits = bits.parse().unwrap();
    ip.len() == network.len() && ip[..bits] == network[..bits]
}

fn binary(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{:032b}", ip.to_bits()),
        IpAddr::V6(ip) => format!("{:0128b}", ip.to_bits()),
    }
}

/// The name without `20\d\d_?\d\d_?\d\d(v\d+)?` at its end.
fn undated(name: &str) -> &str {
    let mut cuts = name.char_indices().map(|(at, _)| at);
    cuts.find(|at| is_date(&name[*at..])).map_or(name, |at| &name[..at])
}

fn is_date(text: &str) -> bool {
    let (date, version) = text.split_once('v').map_or((text, None), |(d, v)| (d, Some(v)));
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let shapes = ["99999999", "9999_9999", "999999_99", "9999_99_99"];
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    date.starts_with("20") && shapes.contains(&shape.as_str()) && version.is_none_or(is_number)
}

fn capitalized(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

/// Whether a member says what is asked for, as JSON has it or as text: `3` and `"3"` are the same.
fn is_said(asked: &toml::Value, value: &Value) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return false,
    };
    // A number has several spellings: records hold `717.0` and `1.688560107857E9`.
    let is_number = |asked: f64| text.parse() == Ok(asked);
    match asked {
        toml::Value::String(pattern) => glob(pattern, &text),
        toml::Value::Boolean(asked) => text.to_lowercase() == asked.to_string(),
        toml::Value::Integer(asked) => is_number(f64::from(i32::try_from(*asked).unwrap())),
        toml::Value::Float(asked) => is_number(*asked),
        other => panic!("no value of a rule: {other:?}"),
    }
}
