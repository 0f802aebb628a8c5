//! A policy file, read from TOML with the place of everything in it.
//!
//! Plain serde stops at the first fault and knows no places, so the spanned values are walked here
//! and every fault is collected. What the keys mean together is [`super::compile`]'s business.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::civil::Date;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::record::{Access, Outcome};

use super::calls::CallAccess;
use super::fault::{Place, PolicyFault, PolicyFaults};
use super::rule::{CallPattern, Exempt, Matcher, Members, Value, Watch};
use super::{Account, Global, Patterns, RegionFaults, Severity};

/// What one file says; a key that it does not name is `None`, and inherited.
#[derive(Debug, Default)]
pub struct PolicyFile {
    pub(super) approved: Option<Patterns>,
    pub(super) alert_on_aws_services: Option<bool>,
    pub(super) alert_on_sign_ins: Option<bool>,
    pub(super) ignore_sensitive_reads: Option<bool>,
    pub(super) read_only_verbs: Option<Vec<String>>,
    pub(super) trust_read_only_field: Option<bool>,
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) calls: Vec<(String, String, CallAccess)>,
    pub(super) globals: Vec<At<Global>>,
    pub(super) watches: Vec<At<Watch>>,
    pub(super) exempts: Vec<At<Exempt>>,
    pub(super) drop_rules: Vec<At<String>>,
}

/// Something, and where it stands.
#[derive(Debug, Clone)]
pub struct At<T> {
    pub(super) place: Place,
    pub(super) value: T,
}

impl PolicyFile {
    /// Reads a file. `name` names it in faults.
    ///
    /// # Errors
    /// All faults that can be seen in this file alone.
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyFaults> {
        let mut reader = Reader { file: name.into(), text, faults: Vec::new() };
        let (table, syntax) = DeTable::parse_recoverable(text);
        // What the parser finds behind the first error mostly follows from it.
        if let Some(error) = syntax.first() {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            reader.fault(error.span().unwrap_or(0..0), message, None);
        }
        // Meaning is read only from a text whose grammar holds: guesses would be noise.
        let file =
            if syntax.is_empty() { reader.policy(table.get_ref()) } else { PolicyFile::default() };
        PolicyFaults::unless_none(reader.faults, file)
    }
}

struct Reader<'t> {
    file: Arc<str>,
    text: &'t str,
    faults: Vec<PolicyFault>,
}

type Item<'v, 't> = &'v Spanned<DeValue<'t>>;

const POLICY_KEYS: &[&str] = &[
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
];
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
const ALERT_OR_IGNORE: &[(&str, bool)] = &[("alert", true), ("ignore", false)];

impl<'t> Reader<'t> {
    fn policy(&mut self, table: &DeTable<'t>) -> PolicyFile {
        self.known_keys(table, POLICY_KEYS);
        let mut file = PolicyFile {
            approved: get(table, "approved_regions").and_then(|item| self.regions(item)),
            alert_on_aws_services: self.choice_of(table, "aws_service_calls", ALERT_OR_IGNORE),
            alert_on_sign_ins: self.choice_of(table, "sign_ins", ALERT_OR_IGNORE),
            ignore_sensitive_reads: self
                .choice_of(table, "sensitive_reads", ALERT_OR_IGNORE)
                .map(|alert| !alert),
            read_only_verbs: get(table, "read_only_verbs").map(|item| self.verbs(item)),
            ..PolicyFile::default()
        };
        if let Some(access) = self.table_of(table, "access") {
            self.access(access, &mut file);
        }
        if let Some(accounts) = self.table_of(table, "accounts") {
            file.accounts = self.accounts(accounts);
        }
        file.globals = self.tables_of(table, "global", Reader::global);
        file.watches = self.tables_of(table, "watch", Reader::watch);
        file.exempts = self.tables_of(table, "exempt", Reader::exempt);
        file.drop_rules = self.drop_rules(table);
        file
    }

    fn access(&mut self, table: &DeTable<'t>, file: &mut PolicyFile) {
        self.known_keys(table, &["trust_read_only_field", "calls"]);
        if let Some(item) = get(table, "trust_read_only_field") {
            file.trust_read_only_field = self.bool(item);
        }
        let Some(calls) = self.table_of(table, "calls") else { return };
        for (key, item) in calls {
            let place = self.place(key.span());
            let Some((service, name)) = self.call(key.get_ref(), place) else { continue };
            if name.contains(['*', '?']) || service.contains(['*', '?']) {
                let hint = "name single calls here, for globs belong in rules";
                self.fault(key.span(), format!("`{}` is a glob", key.get_ref()), Some(hint));
            } else if let Some(access) = self.call_access(item) {
                file.calls.push((service.to_owned(), name.to_owned(), access));
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
            self.fault(item.span(), "`access` is missing".to_owned(), None);
            return None;
        };
        let access = self.choice(word, WORDS)?;
        let when = get(table, "when").map(|item| self.members(item));
        Some(match (access, when) {
            (None, _) => CallAccess::ByField,
            (Some(access), None) => CallAccess::Always(access),
            (Some(access), Some(when)) => CallAccess::When(access, when),
        })
    }

    fn accounts(&mut self, table: &DeTable<'t>) -> BTreeMap<String, Account> {
        let mut accounts = BTreeMap::new();
        for (id, item) in table {
            if id.get_ref().len() != 12 || !id.get_ref().bytes().all(|b| b.is_ascii_digit()) {
                let what = format!("`{}` is no account id", id.get_ref());
                self.fault(id.span(), what, Some("account ids have twelve digits, in quotes"));
            }
            let Some(table) = self.table(item) else { continue };
            self.known_keys(table, &["name", "approved_regions"]);
            let account = Account {
                name: get(table, "name").and_then(|item| self.string(item)),
                approved: get(table, "approved_regions").and_then(|item| self.regions(item)),
            };
            accounts.insert(id.get_ref().to_string(), account);
        }
        accounts
    }

    fn global(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<Global> {
        self.known_keys(table, &["id", "homes", "services"]);
        let id = self.required(table, "id", span.clone())?;
        let homes = self.patterns_of(table, "homes");
        let services = self.patterns_of(table, "services");
        if homes.is_none() || services.is_none() {
            let what = format!("global `{id}` needs `homes` and `services`");
            self.fault(span, what, None);
        }
        Some(Global { id, homes: homes?, services: services? })
    }

    fn watch(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<Watch> {
        self.known_rule_keys(table, &["severity"]);
        let id = self.rule_id(table, span.clone())?;
        let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
        let severity = self.choice_of(table, "severity", &severities).unwrap_or(Severity::High);
        Some(Watch { matcher: self.matcher(table, &id, span)?, id: id.into(), severity })
    }

    fn exempt(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<Exempt> {
        self.known_rule_keys(table, &["until", "watches"]);
        let id = self.rule_id(table, span.clone())?;
        let until = get(table, "until").map(|item| self.date(item));
        let watches = get(table, "watches").map(|item| self.strings(item)).unwrap_or_default();
        let matcher = self.matcher(table, &id, span)?;
        let watches = watches.into_iter().map(|watch| watch.value).collect();
        // A date that cannot be read must not make an exemption that never ends.
        Some(Exempt {
            matcher,
            id: id.into(),
            until: until.map_or(Some(None), |u| u.map(Some))?,
            watches,
        })
    }

    fn rule_id(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<String> {
        let id = self.required(table, "id", span.clone());
        self.required(table, "reason", span);
        id
    }

    fn matcher(&mut self, table: &DeTable<'t>, id: &str, span: Range<usize>) -> Option<Matcher> {
        let matcher = Matcher {
            accounts: self.patterns_of(table, "accounts"),
            regions: self.patterns_of(table, "regions"),
            services: self.patterns_of(table, "services"),
            calls: get(table, "calls").map(|item| self.call_patterns(item)),
            principals: self.patterns_of(table, "principals"),
            source_ips: get(table, "source_ips").map(|item| self.networks(item)),
            outcomes: get(table, "outcomes").map(|item| self.outcomes(item)),
            request: get(table, "request").map(|item| self.members(item)).unwrap_or_default(),
        };
        if MATCHER_KEYS.iter().any(|key| get(table, key).is_some()) {
            return Some(matcher);
        }
        let hint = format!("give at least one of {}", MATCHER_KEYS.join(", "));
        self.fault(span, format!("rule `{id}` would match everything"), Some(&hint));
        None
    }

    fn call_patterns(&mut self, item: Item<'_, 't>) -> Vec<CallPattern> {
        let mut patterns = Vec::new();
        for At { value, place } in self.strings(item) {
            if let Some((service, name)) = self.call(&value, place) {
                let (service, name) = (Patterns::new([service]), Patterns::new([name]));
                patterns.push(CallPattern { service, name });
            }
        }
        patterns
    }

    fn call<'c>(&mut self, call: &'c str, place: Place) -> Option<(&'c str, &'c str)> {
        match call.split_once(':') {
            Some((service, name)) if !service.is_empty() && !name.is_empty() => {
                Some((service, name))
            }
            _ => {
                let hint = "write service:Name, such as ec2:RunInstances";
                self.fault_at(place, format!("`{call}` is no call"), Some(hint));
                None
            }
        }
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

    fn members(&mut self, item: Item<'_, 't>) -> Members {
        let mut members = Members::default();
        let Some(table) = self.table(item) else { return members };
        for (member, item) in table {
            let values = match item.get_ref().as_array() {
                Some(array) => array.iter().filter_map(|item| self.value(item)).collect(),
                None => self.value(item).into_iter().collect(),
            };
            members.0.insert(member.get_ref().to_string(), values);
        }
        members
    }

    fn value(&mut self, item: Item<'_, 't>) -> Option<Value> {
        let value = item.get_ref();
        if let Some(text) = value.as_str() {
            return Some(Value::Text(Patterns::new([text])));
        }
        if let Some(flag) = value.as_bool() {
            return Some(Value::Bool(flag));
        }
        let number = match (value.as_integer(), value.as_float()) {
            (Some(integer), _) => integer.as_str().parse().ok(),
            (_, Some(float)) => float.as_str().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.fault_type(item, "a string, a bool or a number");
        }
        number.map(Value::Number)
    }

    fn verbs(&mut self, item: Item<'_, 't>) -> Vec<String> {
        let verbs = self.strings(item);
        for At { value, place } in &verbs {
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric()) {
                let hint = "a verb is the first word of a call's name, such as Describe";
                self.fault_at(place.clone(), format!("`{value}` is no verb"), Some(hint));
            }
        }
        verbs.into_iter().map(|verb| verb.value).collect()
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
            Err(empty @ RegionFaults::Empty) => {
                let hint = "list the regions you use, such as [\"us-east-1\", \"eu-*\"]";
                self.fault(item.span(), empty.to_string(), Some(hint));
            }
        }
        None
    }

    fn drop_rules(&mut self, table: &DeTable<'t>) -> Vec<At<String>> {
        get(table, "drop_rules").map(|item| self.strings(item)).unwrap_or_default()
    }
}

/// Values of a kind, with a fault where there is another.
impl<'t> Reader<'t> {
    fn string(&mut self, item: Item<'_, 't>) -> Option<String> {
        let text = item.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.fault_type(item, "a string");
        }
        text
    }

    fn bool(&mut self, item: Item<'_, 't>) -> Option<bool> {
        let flag = item.get_ref().as_bool();
        if flag.is_none() {
            self.fault_type(item, "true or false");
        }
        flag
    }

    fn date(&mut self, item: Item<'_, 't>) -> Option<Date> {
        let date = item.get_ref().as_datetime().and_then(|datetime| match datetime.time {
            None => datetime.date,
            Some(_) => None,
        });
        let date = date.and_then(|date| {
            let (year, month) = (i16::try_from(date.year).ok()?, i8::try_from(date.month).ok()?);
            Date::new(year, month, i8::try_from(date.day).ok()?).ok()
        });
        if date.is_none() {
            self.fault_type(item, "a date such as 2026-12-31, without quotes");
        }
        date
    }

    /// The elements of a list; a single value is not taken for one.
    fn items<'v>(&mut self, item: Item<'v, 't>) -> Vec<Item<'v, 't>> {
        if let Some(array) = item.get_ref().as_array() {
            return array.iter().collect();
        }
        self.fault_type(item, "a list");
        Vec::new()
    }

    fn strings(&mut self, item: Item<'_, 't>) -> Vec<At<String>> {
        let mut strings = Vec::new();
        for element in self.items(item) {
            if let Some(value) = self.string(element) {
                strings.push(At { place: self.place(element.span()), value });
            }
        }
        strings
    }

    fn patterns_of(&mut self, table: &DeTable<'t>, key: &str) -> Option<Patterns> {
        let item = get(table, key)?;
        let strings = self.strings(item);
        if item.get_ref().as_array().is_some_and(|array| array.iter().next().is_none()) {
            let hint = "name something, or leave the key out";
            self.fault(
                item.span(),
                format!("`{key}` is empty and would match nothing"),
                Some(hint),
            );
        }
        Some(Patterns::new(strings.iter().map(|string| &string.value)))
    }

    fn choice<T: Clone>(&mut self, item: Item<'_, 't>, words: &[(&str, T)]) -> Option<T> {
        let word = self.string(item)?;
        if let Some((_, value)) = words.iter().find(|(known, _)| *known == word) {
            return Some(value.clone());
        }
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        let hint = format!("one of {} is meant", known.join(", "));
        self.fault(item.span(), format!("`{word}` is unknown here"), Some(&hint));
        None
    }

    fn choice_of<T: Clone>(
        &mut self,
        table: &DeTable<'t>,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        self.choice(get(table, key)?, words)
    }

    fn required(&mut self, table: &DeTable<'t>, key: &str, span: Range<usize>) -> Option<String> {
        let text = match get(table, key) {
            Some(item) => self.string(item)?,
            None => String::new(),
        };
        if text.trim().is_empty() {
            self.fault(span, format!("`{key}` is missing"), None);
            return None;
        }
        Some(text)
    }

    fn table<'v>(&mut self, item: Item<'v, 't>) -> Option<&'v DeTable<'t>> {
        let table = item.get_ref().as_table();
        if table.is_none() {
            self.fault_type(item, "a table");
        }
        table
    }

    fn table_of<'v>(&mut self, table: &'v DeTable<'t>, key: &str) -> Option<&'v DeTable<'t>> {
        self.table(get(table, key)?)
    }

    fn tables_of<T>(
        &mut self,
        table: &DeTable<'t>,
        key: &str,
        read: impl Fn(&mut Self, &DeTable<'t>, Range<usize>) -> Option<T>,
    ) -> Vec<At<T>> {
        let mut read_tables = Vec::new();
        let Some(item) = get(table, key) else { return read_tables };
        for element in self.items(item) {
            let Some(table) = self.table(element) else { continue };
            if let Some(value) = read(self, table, element.span()) {
                read_tables.push(At { place: self.place(element.span()), value });
            }
        }
        read_tables
    }

    fn known_rule_keys(&mut self, table: &DeTable<'t>, own: &[&'static str]) {
        let known = [&["id", "reason"], own, MATCHER_KEYS].concat();
        self.known_keys(table, &known);
    }

    fn known_keys(&mut self, table: &DeTable<'t>, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let hint = match nearest(key.get_ref(), known) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.fault(key.span(), format!("unknown key `{}`", key.get_ref()), Some(&hint));
        }
    }

    fn fault_type(&mut self, item: Item<'_, 't>, wanted: &str) {
        let what = format!("{} stands here", with_article(item.get_ref().type_str()));
        self.fault(item.span(), what, Some(&format!("wanted is {wanted}")));
    }

    fn fault(&mut self, span: Range<usize>, what: String, hint: Option<&str>) {
        self.fault_at(self.place(span), what, hint);
    }

    fn fault_at(&mut self, place: Place, what: String, hint: Option<&str>) {
        self.faults.push(PolicyFault { place, what, hint: hint.map(str::to_owned) });
    }

    fn place(&self, span: Range<usize>) -> Place {
        Place::of(&self.file, self.text, span)
    }
}

fn get<'v, 't>(table: &'v DeTable<'t>, key: &str) -> Option<Item<'v, 't>> {
    table.get(key)
}

/// The known word that was probably meant.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let similar = known.iter().map(|known| (strsim::jaro_winkler(word, known), *known));
    let best = similar.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 > 0.8).then_some(best.1)
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {kind}")
}
