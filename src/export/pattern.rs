//! A policy as a filter pattern of CloudWatch Logs, for a metric filter or a subscription.
//!
//! The language has no negation, no lists, two wildcards and 1,024 characters ("Filter pattern
//! syntax" and "CloudWatch Logs quotas" in its guide), so the pattern matches more than the policy
//! alerts on, and never less: where something does not fit or cannot be said, what stands in its
//! place matches more. `!=` of a field that is not there is not documented, and `IS NOT` and
//! `EXISTS` alone are no words of it.

mod names;
mod term;

use std::collections::BTreeSet;

use crate::policy::rule::{CallPattern, Test};
use crate::policy::{Pattern, Policy, Watch};
use crate::record::region;

use super::{Export, approved_everywhere, is_told, listed};
use names::Names;
use term::{
    EVERY_CALL, NO_REGION, READ_ONLY_IS_NOT_TRUE, SWITCHES, all, any, in_regions, is_in_aws_case,
    like, name_like, named_any, of_accounts, source, sources,
};

/// Characters that a filter pattern has at most ("CloudWatch Logs quotas").
pub const LONGEST: usize = 1024;

/// Why there is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A watch asks for nothing that a pattern can ask for.
    #[error(
        "watch `{0}` asks only for what no filter pattern can ask for: the one pattern that misses none of its \
         calls is the empty one, which is every record"
    )]
    Watch(String),
    /// It is too long, although all was left out that could be.
    #[error(
        "{0} characters, and a filter pattern has {LONGEST} at most, although all that can be left out is: write \
         regions as globs such as eu-*, or have fewer watches"
    )]
    TooLong(usize),
}

/// The pattern that matches whatever the policy alerts on.
///
/// # Errors
/// Where there is none.
pub fn of(policy: &Policy) -> Result<Export, PatternError> {
    let mut parts = Parts::of(policy)?;
    loop {
        let text = parts.text();
        if text.len() <= LONGEST {
            return Ok(Export { text, notes: parts.notes(policy) });
        }
        if !parts.shorten(policy) {
            return Err(PatternError::TooLong(text.len()));
        }
    }
}

/// What a pattern is made of.
struct Parts {
    /// One for each region that every account may use, of those that can be said.
    regions: Vec<String>,
    /// What a record that tells none looks like.
    no_region: Vec<&'static str>,
    /// Approved, and not among them.
    regions_left_out: Vec<String>,
    /// Without it, reads match too.
    access: Option<Told>,
    /// Names of watched calls.
    watched: Names,
    /// What else is watched, a term each.
    watches: Vec<String>,
    notes: Vec<String>,
}

/// Calls that are told whatever `readOnly` says.
#[derive(Default)]
struct Told {
    names: Names,
    /// Those whose names are too short to be looked for alone, a term each.
    terms: Vec<String>,
}

impl Parts {
    fn of(policy: &Policy) -> Result<Self, PatternError> {
        let mut parts = Parts {
            regions: Vec::new(),
            no_region: NO_REGION.to_vec(),
            regions_left_out: Vec::new(),
            access: policy.trust_read_only_field.then(|| Told::of(policy)),
            watched: Names::default(),
            watches: Vec::new(),
            notes: Vec::new(),
        };
        for approved in approved_everywhere(policy) {
            match like(approved) {
                Some(code) => parts.regions.push(format!("$.awsRegion != \"{code}\"")),
                None => parts.regions_left_out.push(approved.as_str().to_owned()),
            }
        }
        if approved_everywhere(policy).iter().any(|approved| approved.matches(region::UNKNOWN)) {
            parts.no_region.push("$.awsRegion = \"unknown\"");
        }
        for watch in policy.watches() {
            parts.watch(watch)?;
        }
        Ok(parts)
    }

    /// `{ (region && access) || switches || watches }`.
    fn text(&self) -> String {
        let mut regions = Vec::new();
        if !self.regions.is_empty() {
            regions.push(all(self.regions.clone()));
            regions.extend(self.no_region.iter().map(|term| (*term).to_owned()));
        }
        let mut access = Vec::new();
        if let Some(told) = &self.access {
            access.extend(READ_ONLY_IS_NOT_TRUE.map(str::to_owned));
            access.extend(named_any(&told.names).into_iter().chain(told.terms.iter().cloned()));
        }
        let unapproved: Vec<String> =
            [any(regions), any(access)].into_iter().filter(|term| !term.is_empty()).collect();
        let unapproved = match unapproved.as_slice() {
            [] => EVERY_CALL.to_owned(),
            _ => all(unapproved),
        };
        let watched = named_any(&self.watched).into_iter().chain(self.watches.iter().cloned());
        let terms = [unapproved, SWITCHES.to_owned()].into_iter().chain(watched);
        format!("{{ {} }}", terms.collect::<Vec<_>>().join(" || "))
    }

    /// Leaves something out, what matters least first; `false` where all is out.
    fn shorten(&mut self, policy: &Policy) -> bool {
        match &mut self.access {
            Some(told) => {
                if !told.names.merge(&policy.read_only_verbs) {
                    self.access = None;
                }
                true
            }
            None => self.watched.merge(&policy.read_only_verbs),
        }
    }

    fn watch(&mut self, watch: &Watch) -> Result<(), PatternError> {
        let tests = &watch.matcher.0;
        let calls = tests.iter().find_map(|test| match test {
            Test::Calls(calls) => Some(calls),
            _ => None,
        });
        let others = tests.iter().filter_map(|test| match test {
            Test::Services(list) if calls.is_none() => Some((test.key(), sources(list)?)),
            Test::Regions(list) => Some((test.key(), in_regions(list)?)),
            Test::Accounts(list) => Some((test.key(), of_accounts(list)?)),
            _ => None,
        });
        let (keys, others): (Vec<&str>, Vec<String>) = others.unzip();
        let mut said = keys;
        if let Some(calls) = calls {
            said.extend(["calls", "services"]);
            self.watch_calls(watch, calls, &others)?;
        } else if others.is_empty() {
            return Err(PatternError::Watch(watch.id().to_string()));
        } else {
            self.watches.push(all(others));
        }
        let unsaid = tests.iter().map(Test::key).filter(|key| !said.contains(key));
        let unsaid: Vec<&str> = unsaid.collect();
        if !unsaid.is_empty() {
            let what =
                format!("watch `{}` matches whatever its {} are", watch.id(), listed(unsaid));
            self.notes.push(what);
        }
        Ok(())
    }

    fn watch_calls(
        &mut self,
        watch: &Watch,
        calls: &[CallPattern],
        others: &[String],
    ) -> Result<(), PatternError> {
        for call in calls {
            let name = call.name.as_str();
            if others.is_empty()
                && is_in_aws_case(name)
                && self.watched.add(name, &call.to_string())
            {
                continue;
            }
            let named = name_like(&call.name);
            if named.is_none() && !call.name.matches_everything() {
                let id = watch.id();
                self.notes.push(format!("watch `{id}` matches other names than `{name}`, too"));
            }
            let terms = [source(&call.service), named].into_iter().flatten();
            let terms: Vec<String> = terms.chain(others.iter().cloned()).collect();
            if terms.is_empty() {
                return Err(PatternError::Watch(watch.id().to_string()));
            }
            self.watches.push(all(terms));
        }
        Ok(())
    }

    fn notes(&self, policy: &Policy) -> Vec<String> {
        let mut notes = vec![
            "it matches more than the policy alerts on: what AWS does itself, sign-ins, global services in their home \
             regions, reads that CloudTrail does not call read-only, what is no call, and the opening of approved regions"
                .to_owned(),
        ];
        let mut note = |what: String| notes.push(what);
        let exempts: Vec<&str> = policy.exempts().map(|exempt| &**exempt.id()).collect();
        if !exempts.is_empty() {
            note(format!("it knows no exemption; the policy has {}", listed(exempts)));
        }
        if policy.accounts.values().any(|account| account.approved.is_some()) {
            note(
                "of the regions of accounts with lists of their own, it approves those that are \
                  approved for every account"
                    .to_owned(),
            );
        }
        if !self.regions_left_out.is_empty() {
            let what = listed(&self.regions_left_out);
            note(format!("it does not approve {what}: it knows a * at the beginning and the end"));
        }
        match &self.access {
            None => {
                note("reads match too: what tells them from other calls is left out".to_owned())
            }
            Some(told) => {
                told.names.shared().for_each(|(piece, calls)| note(stands_for(piece, calls)));
            }
        }
        self.watched.shared().for_each(|(piece, calls)| note(stands_for(piece, calls)));
        notes.extend(self.notes.iter().cloned());
        notes.push(
            "it sees nothing in a message that is no JSON, in an awsRegion or readOnly that is a number, a list or an \
             object, and in names and codes that are not in the case in which AWS writes them, in a record or in a \
             watch with capitals of its own"
                .to_owned(),
        );
        notes
    }
}

impl Told {
    fn of(policy: &Policy) -> Self {
        let mut told = Told::default();
        for (service, name, access) in policy.calls.entries() {
            if is_told(policy, access) && !told.names.add(&name, &format!("{service}:{name}")) {
                let (service, name) = (Pattern::new(service), Pattern::new(&name));
                let terms = [source(&service), name_like(&name)].into_iter().flatten();
                told.terms.push(all(terms.collect()));
            }
        }
        told
    }
}

fn stands_for(piece: &str, calls: &BTreeSet<String>) -> String {
    format!("for want of room, every call with {piece} in its name stands for {}", listed(calls))
}
