//! The policy in force, as a file that says the same: what was inherited and what was changed.
//!
//! Laid over the default policy, the file gives the same policy again; a property holds that.

use toml_writer::{ToTomlKey, ToTomlValue};

use crate::record::Outcome;

use super::Patterns;
use super::calls::CallAccess;
use super::fault::Place;
use super::file::Keys;
use super::pattern::Pattern;
use super::reader::At;
use super::rule::{CallPattern, Matcher, Members, Test, Value};

impl Keys {
    /// The policy as TOML. What does not come from the default policy says behind it where it
    /// stands.
    pub fn to_toml(&self) -> String {
        let mut page = Page::default();
        page.top(self);
        page.access(self);
        page.accounts(self);
        page.rules(self);
        page.0
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn top(&mut self, keys: &Keys) {
        self.regions(keys.approved_regions.as_ref());
        self.alert_or_ignore("aws_service_calls", keys.alert_on_aws_services.as_ref());
        self.alert_or_ignore("sign_ins", keys.alert_on_sign_ins.as_ref());
        self.alert_or_ignore("sensitive_reads", keys.alert_on_sensitive_reads.as_ref());
        if let Some(At { place, value }) = &keys.read_only_verbs {
            self.key("read_only_verbs", &list(value.iter().map(String::as_str)), Some(place));
        }
        if let Some(first) = keys.drop_rules.first() {
            let dropped = list(keys.drop_rules.iter().map(|id| id.value.as_str()));
            self.key("drop_rules", &dropped, Some(&first.place));
        }
    }

    fn access(&mut self, keys: &Keys) {
        if let Some(At { place, value }) = &keys.trust_read_only_field {
            self.header("[access]", None);
            self.key("trust_read_only_field", &value.to_string(), Some(place));
        }
        if !keys.calls.is_empty() {
            self.header("[access.calls]", None);
        }
        for ((service, name), At { place, value }) in &keys.calls {
            let call = format!("{service}:{name}");
            self.key(&call.to_toml_key(), &call_access(value), Some(place));
        }
    }

    fn accounts(&mut self, keys: &Keys) {
        for (id, account) in &keys.accounts {
            self.header(&format!("[accounts.{}]", text(id)), None);
            if let Some(At { place, value }) = &account.name {
                self.key("name", &text(value), Some(place));
            }
            self.regions(account.approved_regions.as_ref());
        }
    }

    fn rules(&mut self, keys: &Keys) {
        for At { place, value: global } in &keys.globals {
            self.header("[[global]]", Some(place));
            self.key("id", &text(&global.id), None);
            self.key("homes", &patterns(&global.homes), None);
            self.key("services", &patterns(&global.services), None);
        }
        for At { place, value: watch } in &keys.watches {
            self.header("[[watch]]", Some(place));
            self.key("id", &text(&watch.id), None);
            self.key("reason", &text(&watch.reason), None);
            self.key("severity", &text(watch.severity.as_str()), None);
            self.matcher(&watch.matcher);
        }
        for At { place, value: exempt } in &keys.exempts {
            self.header("[[exempt]]", Some(place));
            self.key("id", &text(&exempt.id), None);
            self.key("reason", &text(&exempt.reason), None);
            self.matcher(&exempt.matcher);
            if !exempt.watches.is_empty() {
                self.key("watches", &list(exempt.watches.iter().map(String::as_str)), None);
            }
            if let Some(until) = exempt.until {
                self.key("until", &until.to_string(), None);
            }
        }
    }

    fn regions(&mut self, regions: Option<&At<Patterns>>) {
        if let Some(At { place, value }) = regions {
            self.key("approved_regions", &patterns(value), Some(place));
        }
    }

    fn alert_or_ignore(&mut self, key: &str, alert: Option<&At<bool>>) {
        if let Some(At { place, value }) = alert {
            self.key(key, &text(if *value { "alert" } else { "ignore" }), Some(place));
        }
    }

    fn matcher(&mut self, matcher: &Matcher) {
        for test in &matcher.0 {
            self.key(test.key(), &test.to_toml(), None);
        }
    }

    fn header(&mut self, header: &str, place: Option<&Place>) {
        self.0.push('\n');
        self.line(header, place);
    }

    fn key(&mut self, key: &str, value: &str, place: Option<&Place>) {
        self.line(&format!("{key} = {value}"), place);
    }

    fn line(&mut self, line: &str, place: Option<&Place>) {
        self.0.push_str(line);
        if let Some(place) = place.filter(|place| place.is_users()) {
            let file = place.file.escape_debug();
            self.0.push_str(&format!(" # {file}:{}", place.line));
        }
        self.0.push('\n');
    }
}

impl Test {
    /// Its values, as TOML.
    pub(super) fn to_toml(&self) -> String {
        match self {
            Test::Services(list)
            | Test::Regions(list)
            | Test::Accounts(list)
            | Test::Principals(list) => patterns(list),
            Test::Calls(calls) => list(calls.iter().map(CallPattern::to_string)),
            Test::Outcomes(outcomes) => {
                list(outcomes.iter().map(|outcome: &Outcome| outcome.as_str()))
            }
            Test::SourceIps(networks) => list(networks.iter().map(ToString::to_string)),
            Test::Request(members) => inline(members),
        }
    }
}

/// An entry of `[access.calls]`, as TOML.
pub(super) fn call_access(access: &CallAccess) -> String {
    match access {
        CallAccess::Always(access) => text(access.as_str()),
        CallAccess::When(access, members) => {
            format!("{{ access = {}, when = {} }}", text(access.as_str()), inline(members))
        }
        CallAccess::ByField => text("by-field"),
    }
}

fn inline(members: &Members) -> String {
    let members = members.0.iter().map(|(member, values)| {
        let values: Vec<String> = values.iter().map(value).collect();
        let values = match values.as_slice() {
            [only] => only.clone(),
            _ => format!("[{}]", values.join(", ")),
        };
        format!("{} = {values}", member.to_toml_key())
    });
    format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
}

fn value(value: &Value) -> String {
    match value {
        Value::Text(pattern) => text(pattern.as_str()),
        Value::Bool(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_toml_value(),
    }
}

fn patterns(patterns: &Patterns) -> String {
    list(patterns.iter().map(Pattern::as_str))
}

/// A list, over several lines where it is long.
fn list(words: impl Iterator<Item = impl AsRef<str>>) -> String {
    let words: Vec<String> = words.map(|word| text(word.as_ref())).collect();
    let line = words.join(", ");
    if line.len() <= LONGEST_LINE {
        return format!("[{line}]");
    }
    let mut lines = vec![String::new()];
    for word in words {
        if lines.last().is_some_and(|line| line.len() + word.len() > LONGEST_LINE) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(&format!(" {word},"));
        }
    }
    format!("[\n   {}\n]", lines.join("\n   "))
}

const LONGEST_LINE: usize = 80;

fn text(text: &str) -> String {
    text.to_toml_value()
}
