//! What a rule says that it matches, read from its table.

use std::ops::Range;

use ipnet::IpNet;
use toml::de::DeTable;

use crate::record::Outcome;

use super::fault::Place;
use super::pattern::Pattern;
use super::reader::{At, Item, Reader};
use super::rule::{CallPattern, Matcher, Members, Test, Value};
use super::shape::{self, is_service};

const MATCHER_KEYS: &[&str] = &[
    "accounts",
    "regions",
    "services",
    "calls",
    "principals",
    "source_ips",
    "outcomes",
    "request",
];

impl<'t> Reader<'t> {
    pub(super) fn known_rule_keys(&mut self, table: &DeTable<'t>, own: &[&'static str]) {
        let known = [&["id", "reason"], own, MATCHER_KEYS].concat();
        self.known_keys(table, &known);
    }

    pub(super) fn matcher(
        &mut self,
        table: &DeTable<'t>,
        id: &str,
        span: Range<usize>,
    ) -> Option<Matcher> {
        let tests = [
            self.patterns_of(table, "services", &shape::SERVICE).map(Test::Services),
            self.filled(table, "calls").map(|item| Test::Calls(self.call_patterns(item))),
            self.patterns_of(table, "regions", &shape::REGION).map(Test::Regions),
            self.patterns_of(table, "accounts", &shape::ACCOUNT).map(Test::Accounts),
            self.filled(table, "outcomes").map(|item| Test::Outcomes(self.outcomes(item))),
            self.patterns_of(table, "principals", &shape::PRINCIPAL).map(Test::Principals),
            self.filled(table, "source_ips").map(|item| Test::SourceIps(self.networks(item))),
            self.filled(table, "request").map(|item| Test::Request(self.members(item))),
        ];
        let matcher = Matcher(tests.into_iter().flatten().collect());
        if matcher.narrows() {
            return Some(matcher);
        }
        let hint = format!("narrow it by at least one of {}", MATCHER_KEYS.join(", "));
        self.fault(span, format!("rule `{id}` would match everything"), Some(&hint));
        None
    }

    fn call_patterns(&mut self, item: Item<'_, 't>) -> Vec<CallPattern> {
        let mut patterns = Vec::new();
        for At { value, place } in self.strings(item) {
            if let Some((service, name)) = self.call(&value, place) {
                let (service, name) = (Pattern::new(service), Pattern::new(name));
                patterns.push(CallPattern { service, name });
            }
        }
        patterns
    }

    pub(super) fn call<'c>(&mut self, call: &'c str, place: Place) -> Option<(&'c str, &'c str)> {
        let parts = call.split_once(':').filter(|(service, name)| {
            is_service(service) && !name.is_empty() && !name.contains(char::is_whitespace)
        });
        if parts.is_none() {
            let hint = "write service:Name, such as ec2:RunInstances";
            self.fault_at(place, format!("`{call}` is no call"), Some(hint));
        }
        parts
    }

    fn networks(&mut self, item: Item<'_, 't>) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for At { value, place } in self.strings(item) {
            let address = || value.parse::<std::net::IpAddr>().map(IpNet::from);
            match value.parse::<IpNet>().or_else(|_| address()) {
                Ok(network) => networks.push(network),
                Err(_) => self.fault_at(
                    place,
                    format!("`{value}` is no network"),
                    Some("write CIDR, such as 192.0.2.0/24 or 2001:db8::/32"),
                ),
            }
        }
        networks
    }

    fn outcomes(&mut self, item: Item<'_, 't>) -> Vec<Outcome> {
        let words = Outcome::ALL.map(|outcome| (outcome.as_str(), outcome));
        self.items(item).into_iter().filter_map(|word| self.choice(word, &words)).collect()
    }

    pub(super) fn members(&mut self, item: Item<'_, 't>) -> Members {
        let mut members = Members::default();
        let Some(table) = self.table(item) else { return members };
        self.own_keys_only(item, table);
        for (member, _) in table {
            let Some(item) = self.filled(table, member.get_ref()) else { continue };
            let values = match item.get_ref().as_array() {
                Some(array) => array.iter().filter_map(|item| self.value(item)).collect(),
                None => self.value(item).into_iter().collect(),
            };
            members.0.insert(member.get_ref().to_string(), values);
        }
        members
    }

    /// What is written below the header of a table belongs to that table, a rule's own keys too.
    fn own_keys_only(&mut self, item: Item<'_, 't>, table: &DeTable<'t>) {
        let is_inline = self.text.get(item.span()).is_some_and(|text| text.starts_with('{'));
        let of_a_rule = ["id", "reason", "severity", "until", "watches"];
        for key in table.keys().filter(|_| !is_inline) {
            let name = key.get_ref().as_ref();
            if of_a_rule.contains(&name) || MATCHER_KEYS.contains(&name) {
                let what = format!("`{name}` stands below the header of another table");
                let hint = "write the rule's own keys first, or this table on one line: { ... }";
                self.fault(key.span(), what, Some(hint));
            }
        }
    }

    fn value(&mut self, item: Item<'_, 't>) -> Option<Value> {
        let value = item.get_ref();
        if let Some(text) = value.as_str() {
            return Some(Value::Text(Pattern::new(text)));
        }
        if let Some(flag) = value.as_bool() {
            return Some(Value::Bool(flag));
        }
        let number = match (value.as_integer(), value.as_float()) {
            (Some(number), _) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Integer)
            }
            (_, Some(number)) => {
                number.as_str().parse().ok().filter(|n: &f64| n.is_finite()).map(Value::Float)
            }
            _ => None,
        };
        if number.is_none() && (value.as_integer().is_some() || value.as_float().is_some()) {
            let hint = "whole numbers have 64 bits; write a longer one as a string";
            self.fault(item.span(), "this number cannot be compared".to_owned(), Some(hint));
        } else if number.is_none() {
            self.fault_type(item, "a string, a bool or a number");
        }
        number
    }
}
