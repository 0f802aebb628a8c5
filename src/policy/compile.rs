//! Files to one policy: what a later file names wins, at any depth; rules add up.

use std::collections::BTreeMap;

use super::calls::CallAccess;
use super::fault::{Place, PolicyFault, PolicyFaults};
use super::file::{Keys, PolicyFile};
use super::index::Index;
use super::reader::{At, nearest};
use super::rule::{Matcher, Test};
use super::{Account, CallTable, Exempt, Global, Pattern, Patterns, Policy, Rules, Version, Watch};

impl Policy {
    /// Lays files over each other, the default policy first, and makes the judge of them.
    ///
    /// # Errors
    /// All faults that show only between rules: ids used twice, rules that are named and not there,
    /// regions that are approved and watched as a whole.
    pub fn compile(files: &[&PolicyFile]) -> Result<Policy, PolicyFaults> {
        let version = Version::of(files.iter().map(|file| file.text.as_str()));
        Ok(Policy::of(&Keys::in_force(files)?, version))
    }

    fn of(keys: &Keys, version: Version) -> Policy {
        let flag = |key: &Option<At<bool>>, default| key.as_ref().map_or(default, |at| at.value);
        let approved = |key: &Option<At<Patterns>>| key.as_ref().map(|at| at.value.clone());
        let accounts = keys.accounts.iter().map(|(id, account)| {
            let name = account.name.as_ref().map(|at| at.value.clone());
            (id.clone(), Account { name, approved: approved(&account.approved_regions) })
        });
        let mut calls = CallTable::default();
        for ((service, name), access) in &keys.calls {
            calls.insert(service, name, access.value.clone());
        }
        let verbs = keys.read_only_verbs.as_ref().map(|at| at.value.clone());
        let mut watches = values(&keys.watches);
        watches.sort_by_key(|watch| std::cmp::Reverse(watch.severity));
        Policy {
            version,
            approved: approved(&keys.approved_regions).unwrap_or_default(),
            accounts: accounts.collect(),
            alert_on_aws_services: flag(&keys.alert_on_aws_services, false),
            alert_on_sign_ins: flag(&keys.alert_on_sign_ins, false),
            alert_on_sensitive_reads: flag(&keys.alert_on_sensitive_reads, true),
            trust_read_only_field: flag(&keys.trust_read_only_field, true),
            read_only_verbs: verbs.unwrap_or_default(),
            calls,
            globals: values(&keys.globals),
            watches: Rules::of(watches, |watch| &watch.matcher),
            exempts: Rules::of(values(&keys.exempts), |exempt| &exempt.matcher),
        }
    }
}

fn values<T: Clone>(rules: &[At<T>]) -> Vec<T> {
    rules.iter().map(|rule| rule.value.clone()).collect()
}

impl<R> Rules<R> {
    fn of(list: Vec<R>, matcher: impl Fn(&R) -> &Matcher) -> Self {
        Rules { index: Index::of(list.iter().map(matcher)), list }
    }
}

impl Keys {
    /// What several files say together, a later one laid over those before it.
    ///
    /// # Errors
    /// As [`Policy::compile`] has them.
    pub fn in_force(files: &[&PolicyFile]) -> Result<Keys, PolicyFaults> {
        let mut faults = Faults::default();
        faults.check_ids(files);
        let mut keys = Keys::default();
        for file in files {
            keys.lay_over(&file.keys, &mut faults);
        }
        faults.check_watches_named(&keys);
        faults.check_watched_regions(&keys);
        PolicyFaults::unless_none(faults.0, keys)
    }

    fn lay_over(&mut self, file: &Keys, faults: &mut Faults) {
        replace(&mut self.approved_regions, &file.approved_regions);
        replace(&mut self.alert_on_aws_services, &file.alert_on_aws_services);
        replace(&mut self.alert_on_sign_ins, &file.alert_on_sign_ins);
        replace(&mut self.alert_on_sensitive_reads, &file.alert_on_sensitive_reads);
        replace(&mut self.read_only_verbs, &file.read_only_verbs);
        replace(&mut self.trust_read_only_field, &file.trust_read_only_field);
        for (id, changed) in &file.accounts {
            let account = self.accounts.entry(id.clone()).or_default();
            replace(&mut account.name, &changed.name);
            replace(&mut account.approved_regions, &changed.approved_regions);
        }
        for (call, access) in &file.calls {
            self.check_case(call, access, faults);
        }
        self.calls.extend(file.calls.clone());
        for dropped in &file.drop_rules {
            if !self.drop_rule(&dropped.value) {
                self.fault_of_drop(dropped, file, faults);
            }
            self.drop_rules.push(dropped.clone());
        }
        replace_or_add(&mut self.globals, &file.globals);
        replace_or_add(&mut self.watches, &file.watches);
        replace_or_add(&mut self.exempts, &file.exempts);
    }

    /// An entry that differs from another by its case alone would stand beside it, and say nothing.
    fn check_case(&self, call: &(String, String), access: &At<CallAccess>, faults: &mut Faults) {
        let (service, name) = call;
        let same = |known: &&(String, String)| {
            known.0 == *service && known.1 != *name && known.1.eq_ignore_ascii_case(name)
        };
        if let Some((_, known)) = self.calls.keys().find(same) {
            let what = format!("`{service}:{name}` is `{service}:{known}` in another case");
            let hint = "the case of a name counts here: write it as it is known";
            faults.add(&access.place, what, Some(hint.to_owned()));
        }
    }

    fn drop_rule(&mut self, id: &str) -> bool {
        let before = self.rule_ids().len();
        self.globals.retain(|rule| rule.value.rule_id() != id);
        self.watches.retain(|rule| rule.value.rule_id() != id);
        self.exempts.retain(|rule| rule.value.rule_id() != id);
        self.rule_ids().len() < before
    }

    fn fault_of_drop(&self, dropped: &At<String>, file: &Keys, faults: &mut Faults) {
        let id = dropped.value.as_str();
        let why = match self.drop_rules.iter().find(|before| before.value == id) {
            Some(before) => format!("it was dropped at {} already", before.place),
            None if file.rule_ids().contains(&id) => {
                "it is a rule of this very file: take it out there".to_owned()
            }
            None => {
                let what = "drop_rules names the rule";
                return faults.unknown(&dropped.place, id, &self.rule_ids(), what);
            }
        };
        faults.add(&dropped.place, format!("drop_rules names `{id}` in vain"), Some(why));
    }

    fn rule_ids(&self) -> Vec<&str> {
        self.rules().map(|(_, id, _)| id).collect()
    }

    /// Where a rule stands that is in force.
    pub fn place_of(&self, id: &str) -> Option<&Place> {
        self.rules().find(|(_, known, _)| *known == id).map(|(_, _, place)| place)
    }

    /// Every rule: its kind, its id, its place.
    fn rules(&self) -> impl Iterator<Item = (&'static str, &str, &Place)> {
        let globals = self.globals.iter().map(|at| ("global", at.value.rule_id(), &at.place));
        let watches = self.watches.iter().map(|at| ("watch", at.value.rule_id(), &at.place));
        let exempts = self.exempts.iter().map(|at| ("exempt", at.value.rule_id(), &at.place));
        globals.chain(watches).chain(exempts)
    }
}

fn replace<T: Clone>(key: &mut Option<T>, by: &Option<T>) {
    if by.is_some() {
        key.clone_from(by);
    }
}

/// A rule that replaces another takes its place.
fn replace_or_add<T: Named + Clone>(rules: &mut Vec<At<T>>, new: &[At<T>]) {
    for rule in new {
        match rules.iter_mut().find(|old| old.value.rule_id() == rule.value.rule_id()) {
            Some(old) => *old = rule.clone(),
            None => rules.push(rule.clone()),
        }
    }
}

/// Something with an id.
trait Named {
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

#[derive(Default)]
struct Faults(Vec<PolicyFault>);

impl Faults {
    /// An id is used once in a file, and never for two kinds: a `[[global]]` that replaced a
    /// `[[watch]]` would silence it.
    fn check_ids(&mut self, files: &[&PolicyFile]) {
        let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
        for PolicyFile { keys, .. } in files {
            let mut in_file: BTreeMap<&str, &Place> = BTreeMap::new();
            let mut rules: Vec<_> = keys.rules().collect();
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

    fn check_watches_named(&mut self, keys: &Keys) {
        let known: Vec<&str> = keys.watches.iter().map(|watch| watch.value.rule_id()).collect();
        for exempt in &keys.exempts {
            for id in exempt.value.watches.iter().filter(|id| !known.contains(&id.as_str())) {
                let what = format!("exempt `{}` names the watch", exempt.value.rule_id());
                match keys.drop_rules.iter().find(|dropped| dropped.value == *id) {
                    Some(dropped) => {
                        let what = format!("{what} `{id}`, which is not there any more");
                        let hint = format!("drop_rules takes it out at {}", dropped.place);
                        self.add(&exempt.place, what, Some(hint));
                    }
                    None => self.unknown(&exempt.place, id, &known, &what),
                }
            }
        }
    }

    /// A watch comes before the question for approved regions: one that names nothing but a region
    /// would tell of every call there, reads and all, and the approval would be for nothing.
    fn check_watched_regions(&mut self, keys: &Keys) {
        for At { place, value: watch } in &keys.watches {
            let Some(region) = watch.matcher.whole_region_approved(keys) else { continue };
            let what = format!(
                "watch `{}` takes in all of {region}, which is approved: every call there would \
                 alert",
                watch.id
            );
            let hint = "name calls or services in it, or take the region out of one of the two";
            self.add(place, what, Some(hint.to_owned()));
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

impl Matcher {
    /// A region that is approved and of which this matches every call, at least in some accounts.
    fn whole_region_approved<'k>(&'k self, keys: &'k Keys) -> Option<&'k str> {
        let mut regions = None;
        let mut accounts = None;
        for test in &self.0 {
            match test {
                Test::Regions(list) => regions = Some(list),
                Test::Accounts(list) => accounts = Some(list),
                _ => return None,
            }
        }
        let own = |id: &str| keys.accounts.get(id).and_then(|own| own.approved_regions.as_ref());
        let approved: Vec<_> = match accounts {
            Some(accounts) => accounts.iter().map(|account| own(account.as_str())).collect(),
            None => vec![None],
        };
        let approved =
            approved.into_iter().filter_map(|own| own.or(keys.approved_regions.as_ref()));
        approved.into_iter().find_map(|approved| {
            let watched = regions?.iter().find(|region| {
                let same = |other: &&Pattern| {
                    other.as_str().eq_ignore_ascii_case(region.as_str())
                        || region.matches(other.as_str())
                };
                approved.value.matches(region.as_str()) || approved.value.iter().any(|a| same(&a))
            });
            watched.map(Pattern::as_str)
        })
    }
}
