//! Files to one policy: what a later file names wins, at any depth; rules add up.

use std::collections::{BTreeMap, HashMap};

use super::fault::{Place, PolicyFault, PolicyFaults};
use super::file::PolicyFile;
use super::reader::{At, nearest};
use super::{CallTable, Exempt, Global, Policy, Version, Watch};

impl Policy {
    /// Lays files over each other, the default policy first.
    ///
    /// # Errors
    /// All faults that show only between rules: ids used twice, rules that are named and not there.
    pub fn compile(files: &[PolicyFile]) -> Result<Policy, PolicyFaults> {
        let mut faults = Faults::default();
        faults.check_ids(files);
        let mut rules = Rules::default();
        for file in files {
            rules.add(file, &mut faults);
        }
        faults.check_watches_named(&rules);

        let mut policy = Policy {
            version: Version::of(files.iter().map(|file| file.text.as_str())),
            approved: last(files, |file| file.approved.clone()).unwrap_or_default(),
            accounts: HashMap::new(),
            alert_on_aws_services: last(files, |f| f.alert_on_aws_services).unwrap_or(false),
            alert_on_sign_ins: last(files, |f| f.alert_on_sign_ins).unwrap_or(false),
            ignore_sensitive_reads: last(files, |f| f.ignore_sensitive_reads).unwrap_or(false),
            trust_read_only_field: last(files, |f| f.trust_read_only_field).unwrap_or(true),
            read_only_verbs: last(files, |f| f.read_only_verbs.clone()).unwrap_or_default(),
            calls: CallTable::default(),
            globals: values(rules.globals),
            watches: values(rules.watches),
            exempts: values(rules.exempts),
        };
        for file in files {
            for (id, changed) in &file.accounts {
                let account = policy.accounts.entry(id.clone()).or_default();
                account.name = changed.name.clone().or(account.name.take());
                account.approved = changed.approved.clone().or(account.approved.take());
            }
            for (service, name, access) in &file.calls {
                policy.calls.insert(service, name, access.clone());
            }
        }
        PolicyFaults::unless_none(faults.0, policy)
    }
}

fn last<T>(files: &[PolicyFile], key: impl Fn(&PolicyFile) -> Option<T>) -> Option<T> {
    files.iter().rev().find_map(key)
}

fn values<T>(rules: Vec<At<T>>) -> Vec<T> {
    rules.into_iter().map(|rule| rule.value).collect()
}

/// The rules in force so far, in their order; a rule that replaces another takes its place.
#[derive(Default)]
struct Rules {
    globals: Vec<At<Global>>,
    watches: Vec<At<Watch>>,
    exempts: Vec<At<Exempt>>,
}

/// Something with an id.
pub(super) trait Named {
    fn rule_id(&self) -> &str;
}

impl Named for Global {
    fn rule_id(&self) -> &str {
        &self.id
    }
}

impl Named for Watch {
    fn rule_id(&self) -> &str {
        &self.id
    }
}

impl Named for Exempt {
    fn rule_id(&self) -> &str {
        &self.id
    }
}

impl Rules {
    fn add(&mut self, file: &PolicyFile, faults: &mut Faults) {
        for At { place, value: id } in &file.drop_rules {
            if !self.drop(id) {
                let known = self.ids();
                faults.unknown(place, id, &known, "drop_rules names the rule");
            }
        }
        replace_or_add(&mut self.globals, &file.globals);
        replace_or_add(&mut self.watches, &file.watches);
        replace_or_add(&mut self.exempts, &file.exempts);
    }

    fn drop(&mut self, id: &str) -> bool {
        let before = self.ids().len();
        self.globals.retain(|rule| rule.value.rule_id() != id);
        self.watches.retain(|rule| rule.value.rule_id() != id);
        self.exempts.retain(|rule| rule.value.rule_id() != id);
        self.ids().len() < before
    }

    fn ids(&self) -> Vec<&str> {
        let globals = self.globals.iter().map(|rule| rule.value.rule_id());
        let watches = self.watches.iter().map(|rule| rule.value.rule_id());
        let exempts = self.exempts.iter().map(|rule| rule.value.rule_id());
        globals.chain(watches).chain(exempts).collect()
    }
}

fn replace_or_add<T: Named + Clone>(rules: &mut Vec<At<T>>, new: &[At<T>]) {
    for rule in new {
        match rules.iter_mut().find(|old| old.value.rule_id() == rule.value.rule_id()) {
            Some(old) => *old = rule.clone(),
            None => rules.push(rule.clone()),
        }
    }
}

#[derive(Default)]
struct Faults(Vec<PolicyFault>);

impl Faults {
    /// An id is used once in a file, and never for two kinds: a `[[global]]` that replaced a
    /// `[[watch]]` would silence it.
    fn check_ids(&mut self, files: &[PolicyFile]) {
        let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
        for file in files {
            let mut in_file: BTreeMap<&str, &Place> = BTreeMap::new();
            let globals = file.globals.iter().map(|at| ("global", at.value.rule_id(), &at.place));
            let watches = file.watches.iter().map(|at| ("watch", at.value.rule_id(), &at.place));
            let exempts = file.exempts.iter().map(|at| ("exempt", at.value.rule_id(), &at.place));
            let mut rules: Vec<_> = globals.chain(watches).chain(exempts).collect();
            rules.sort_by_key(|(_, _, place)| *place);
            for (kind, id, place) in rules {
                if let Some(first) = in_file.insert(id, place) {
                    let hint = format!("the first is at {first}; give each its own id");
                    self.add(place, format!("the id `{id}` is used twice"), Some(hint));
                } else if let Some(other) = kinds.insert(id, kind).filter(|other| *other != kind) {
                    let hint = "give it another id".to_owned();
                    self.add(place, format!("`{id}` is a [[{other}]] already"), Some(hint));
                }
            }
        }
    }

    fn check_watches_named(&mut self, rules: &Rules) {
        let known: Vec<&str> = rules.watches.iter().map(|watch| watch.value.rule_id()).collect();
        for exempt in &rules.exempts {
            for id in exempt.value.watches.iter().filter(|id| !known.contains(&id.as_str())) {
                let what = format!("exempt `{}` names the watch", exempt.value.rule_id());
                self.unknown(&exempt.place, id, &known, &what);
            }
        }
    }

    fn unknown(&mut self, place: &Place, id: &str, known: &[&str], what: &str) {
        let hint = match nearest(id, known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        self.add(place, format!("{what} `{id}`, which is not there"), Some(hint));
    }

    fn add(&mut self, place: &Place, what: String, hint: Option<String>) {
        self.0.push(PolicyFault { place: place.clone(), what, hint });
    }
}
