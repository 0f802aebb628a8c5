//! A policy file, read from TOML with the place of everything in it.
//!
//! Plain serde stops at the first fault and knows no places, so the spanned values are walked here
//! and every fault is collected. What the keys mean together is [`super::compile`]'s business.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;

use crate::record::Access;

use super::calls::CallAccess;
use super::example::Example;
use super::fault::{Place, PolicyFaults};
use super::reader::{At, Item, Reader, get};
use super::rule::{Exempt, Watch};
use super::shape;
use super::{DEFAULT_NAME, DEFAULT_POLICY, Global, Patterns, RegionFaults, Severity};

/// One file: what it says, and the records it gives as examples.
#[derive(Debug, Default)]
pub struct PolicyFile {
    pub(super) text: String,
    pub(super) keys: Keys,
    pub(super) examples: Vec<At<Example>>,
}

/// The keys that a file names, or that several files name between them; the others are `None`.
/// Each knows where it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Keys {
    pub(super) approved_regions: Option<At<Patterns>>,
    pub(super) alert_on_aws_services: Option<At<bool>>,
    pub(super) alert_on_sign_ins: Option<At<bool>>,
    pub(super) alert_on_sensitive_reads: Option<At<bool>>,
    pub(super) read_only_verbs: Option<At<Vec<String>>>,
    pub(super) trust_read_only_field: Option<At<bool>>,
    pub(super) accounts: BTreeMap<String, AccountKeys>,
    /// By service, in lower case, and name.
    pub(super) calls: BTreeMap<(String, String), At<CallAccess>>,
    pub(super) globals: Vec<At<Global>>,
    pub(super) watches: Vec<At<Watch>>,
    pub(super) exempts: Vec<At<Exempt>>,
    pub(super) drop_rules: Vec<At<String>>,
}

/// `[accounts."ID"]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccountKeys {
    pub(super) name: Option<At<String>>,
    pub(super) approved_regions: Option<At<Patterns>>,
}

impl PolicyFile {
    /// The default policy.
    ///
    /// # Errors
    /// Never, as a test makes sure.
    pub fn embedded() -> Result<Self, PolicyFaults> {
        PolicyFile::parse(DEFAULT_NAME, DEFAULT_POLICY)
    }

    /// The default policy without its examples, on which no verdict depends: they are half of its
    /// text, and a cold start would read them for nothing.
    ///
    /// # Errors
    /// Never, as a test makes sure.
    pub(super) fn embedded_without_examples() -> Result<Self, PolicyFaults> {
        let (says, _) = DEFAULT_POLICY.split_once("\n[[example]]").unwrap_or((DEFAULT_POLICY, ""));
        let file = PolicyFile::parse(DEFAULT_NAME, says)?;
        Ok(PolicyFile { text: DEFAULT_POLICY.to_owned(), ..file })
    }

    /// Reads a file. `name` names it in faults.
    ///
    /// # Errors
    /// All faults that can be seen in this file alone.
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyFaults> {
        // What some editors put before a text in UTF-8.
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let mut reader = Reader::new(name, text);
        let (table, syntax) = DeTable::parse_recoverable(text);
        // What the parser finds behind the first error mostly follows from it.
        if let Some(error) = syntax.first() {
            let span = error.span().unwrap_or(0..0);
            let mut message = error.message().lines().collect::<Vec<_>>().join(", ");
            let mut hint = None;
            let found = text.get(span.clone()).unwrap_or_default();
            if message == "duplicate key" {
                message = format!("`{found}` is here twice");
                hint = Some("write each key, and the header of each table, once");
            } else if (1..=40).contains(&found.trim().len()) && !found.contains('\n') {
                message = format!("{message} (found is `{}`)", found.trim());
            }
            reader.fault(span, message, hint);
        }
        let mut file = PolicyFile { text: text.to_owned(), ..PolicyFile::default() };
        // Meaning is read only from a text whose grammar holds: guesses would be noise.
        if syntax.is_empty() {
            file.keys = reader.keys(table.get_ref());
            file.examples = reader.tables_of(table.get_ref(), "example", Reader::example);
        }
        PolicyFaults::unless_none(reader.faults, file)
    }

    /// Its `[[example]]`s, each with its place.
    pub fn examples(&self) -> impl Iterator<Item = (&Place, &Example)> {
        self.examples.iter().map(|example| (&example.place, &example.value))
    }
}

pub(super) const POLICY_KEYS: &[&str] = &[
    "approved_regions",
    "aws_service_calls",
    "sign_ins",
    "sensitive_reads",
    "read_only_verbs",
    "access",
    "accounts",
    "global",
    "watch",
    "exempt",
    "drop_rules",
    "example",
];
const ALERT_OR_IGNORE: &[(&str, bool)] = &[("alert", true), ("ignore", false)];

impl<'t> Reader<'t> {
    fn keys(&mut self, table: &DeTable<'t>) -> Keys {
        self.known_keys(table, POLICY_KEYS);
        let mut keys = Keys {
            approved_regions: self.regions_of(table, "approved_regions"),
            alert_on_aws_services: self.choice_of(table, "aws_service_calls", ALERT_OR_IGNORE),
            alert_on_sign_ins: self.choice_of(table, "sign_ins", ALERT_OR_IGNORE),
            alert_on_sensitive_reads: self.choice_of(table, "sensitive_reads", ALERT_OR_IGNORE),
            read_only_verbs: get(table, "read_only_verbs").map(|item| self.verbs(item)),
            ..Keys::default()
        };
        if let Some(access) = self.table_of(table, "access") {
            self.access(access, &mut keys);
        }
        if let Some(accounts) = self.table_of(table, "accounts") {
            keys.accounts = self.accounts(accounts);
        }
        keys.globals = self.tables_of(table, "global", Reader::global);
        keys.watches = self.tables_of(table, "watch", Reader::watch);
        keys.exempts = self.tables_of(table, "exempt", Reader::exempt);
        keys.drop_rules = get(table, "drop_rules").map(|i| self.strings(i)).unwrap_or_default();
        keys
    }

    fn access(&mut self, table: &DeTable<'t>, keys: &mut Keys) {
        self.known_keys(table, &["trust_read_only_field", "calls"]);
        if let Some(item) = get(table, "trust_read_only_field") {
            keys.trust_read_only_field = self.bool(item).map(|flag| self.at(item.span(), flag));
        }
        let Some(calls) = self.table_of(table, "calls") else { return };
        for (key, item) in calls {
            let place = self.place(key.span());
            let Some((service, name)) = self.call(key.get_ref(), place.clone()) else { continue };
            if name.contains(['*', '?']) || service.contains(['*', '?']) {
                let hint = "name single calls here, for globs belong in rules";
                self.fault(key.span(), format!("`{}` is a glob", key.get_ref()), Some(hint));
            } else if let Some(value) = self.call_access(item) {
                let call = (service.to_ascii_lowercase(), name.to_owned());
                if keys.calls.insert(call, At { place, value }).is_some() {
                    let what = format!("`{}` is here twice", key.get_ref());
                    self.fault(key.span(), what, Some("the case of a service does not count"));
                }
            }
        }
    }

    fn call_access(&mut self, item: Item<'_, 't>) -> Option<CallAccess> {
        const WORDS: &[(&str, Option<Access>)] = &[
            ("mutating", Some(Access::Mutating)),
            ("sensitive", Some(Access::SensitiveRead)),
            ("read-only", Some(Access::ReadOnly)),
            ("by-field", None),
        ];
        let Some(table) = item.get_ref().as_table() else {
            return self.choice(item, WORDS).map(|word| match word {
                Some(access) => CallAccess::Always(access),
                None => CallAccess::ByField,
            });
        };
        self.known_keys(table, &["access", "when"]);
        let Some(word) = get(table, "access") else {
            let hint = "write { access = \"sensitive\", when = { ... } }";
            self.fault(item.span(), "`access` is missing".to_owned(), Some(hint));
            return None;
        };
        let access = self.choice(word, WORDS)?;
        let when = self.filled(table, "when").map(|item| self.members(item));
        Some(match (access, when) {
            (None, None) => CallAccess::ByField,
            (None, Some(_)) => {
                let hint = "a call whose `when` does not hold goes by its field anyway";
                self.fault(item.span(), "by-field takes no `when`".to_owned(), Some(hint));
                CallAccess::ByField
            }
            (Some(access), None) => CallAccess::Always(access),
            (Some(access), Some(when)) => CallAccess::When(access, when),
        })
    }

    fn accounts(&mut self, table: &DeTable<'t>) -> BTreeMap<String, AccountKeys> {
        let mut accounts = BTreeMap::new();
        for (id, item) in table {
            if id.get_ref().len() != 12 || !id.get_ref().bytes().all(|b| b.is_ascii_digit()) {
                let what = format!("`{}` is no account id", id.get_ref());
                self.fault(id.span(), what, Some("account ids have twelve digits"));
            }
            let Some(table) = self.table(item) else { continue };
            self.known_keys(table, &["name", "approved_regions"]);
            let name = get(table, "name").and_then(|item| self.account_name(item));
            let approved_regions = self.regions_of(table, "approved_regions");
            accounts.insert(id.get_ref().to_string(), AccountKeys { name, approved_regions });
        }
        accounts
    }

    /// Alerts hold it as it stands.
    fn account_name(&mut self, item: Item<'_, 't>) -> Option<At<String>> {
        let name = self.string(item)?;
        if name.trim().is_empty() || name.contains(char::is_control) {
            let hint = "write one line, such as \"production\"";
            self.fault(item.span(), "this is no name".to_owned(), Some(hint));
        }
        Some(self.at(item.span(), name))
    }

    fn global(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<Global> {
        self.known_keys(table, &["id", "homes", "services"]);
        let id = self.id(table, span.clone())?;
        let homes = self.patterns_of(table, "homes", &shape::REGION);
        let services = self.patterns_of(table, "services", &shape::SERVICE);
        if homes.is_none() || services.is_none() {
            let what = format!("global `{id}` needs `homes` and `services`");
            self.fault(span, what, None);
        }
        Some(Global { id, homes: homes?, services: services? })
    }

    fn watch(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<Watch> {
        self.known_rule_keys(table, &["severity"]);
        let reason = self.required(table, "reason", span.clone());
        let id = self.id(table, span.clone())?;
        let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
        let severity = self.choice_of(table, "severity", &severities);
        let severity = severity.map_or(Severity::High, |severity| severity.value);
        Some(Watch {
            matcher: self.matcher(table, &id, span)?,
            id: id.into(),
            reason: reason?,
            severity,
        })
    }

    fn exempt(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<Exempt> {
        self.known_rule_keys(table, &["until", "watches"]);
        let reason = self.required(table, "reason", span.clone());
        let id = self.id(table, span.clone())?;
        let until = get(table, "until").map(|item| self.date(item));
        let watches = get(table, "watches").map(|item| self.strings(item)).unwrap_or_default();
        let matcher = self.matcher(table, &id, span)?;
        let watches = watches.into_iter().map(|watch| watch.value).collect();
        let until = match until {
            // A date that cannot be read must not make an exemption that never ends.
            Some(date) => Some(date?),
            None => None,
        };
        Some(Exempt { matcher, id: id.into(), reason: reason?, until, watches })
    }

    fn id(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<String> {
        let id = self.required(table, "id", span.clone())?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !id.bytes().all(plain) {
            let hint = "ids have letters, digits and -_. only";
            self.fault(span, format!("`{}` is no id", id.escape_debug()), Some(hint));
        }
        Some(id)
    }

    fn verbs(&mut self, item: Item<'_, 't>) -> At<Vec<String>> {
        let verbs = self.strings(item);
        for At { value, place } in &verbs {
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric()) {
                let hint = "a verb is the first word of a call's name, such as Describe";
                self.fault_at(place.clone(), format!("`{value}` is no verb"), Some(hint));
            }
        }
        self.at(item.span(), verbs.into_iter().map(|verb| verb.value).collect())
    }

    fn regions_of(&mut self, table: &DeTable<'t>, key: &str) -> Option<At<Patterns>> {
        let item = get(table, key)?;
        let regions = self.regions(item)?;
        Some(self.at(item.span(), regions))
    }

    fn regions(&mut self, item: Item<'_, 't>) -> Option<Patterns> {
        item.get_ref().as_array().or_else(|| {
            self.fault_type(item, "a list of region codes");
            None
        })?;
        let codes = self.strings(item);
        let values: Vec<&str> = codes.iter().map(|code| code.value.as_str()).collect();
        match Patterns::regions(&values) {
            Ok(patterns) => return Some(patterns),
            Err(RegionFaults::Members(members)) => {
                for (index, what) in members {
                    let place = codes.get(index).map(|code| code.place.clone());
                    let place = place.unwrap_or_else(|| self.place(item.span()));
                    self.fault_at(place, what, None);
                }
            }
            // Each member of another type was told already.
            Err(RegionFaults::Empty)
                if !item.get_ref().as_array().is_some_and(|a| a.is_empty()) => {}
            Err(empty @ RegionFaults::Empty) => {
                let hint = "list the regions you use, such as [\"us-east-1\", \"eu-*\"]";
                self.fault(item.span(), empty.to_string(), Some(hint));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_default_policy_is_lost_with_its_examples() {
        let (all, read) = (PolicyFile::embedded(), PolicyFile::embedded_without_examples());
        let (all, read) = (all.unwrap(), read.unwrap());
        assert_eq!((read.keys, read.text), (all.keys, all.text));
        assert!(all.examples.len() > 20 && read.examples.is_empty());
    }
}
