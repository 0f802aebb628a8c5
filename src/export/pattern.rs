//! A policy as a filter pattern of CloudWatch Logs, for a metric filter or a subscription.
//!
//! The language has no negation, no lists, two wildcards and 1,024 characters ("Filter pattern
//! syntax" and "CloudWatch Logs quotas" in its guide), so the pattern matches more than the policy
//! alerts on, and never less: where something does not fit or cannot be said, what stands in its
//! place matches more. `!=` of a field that is not there is not documented, and `IS NOT` and
//! `EXISTS` alone are no words of it.

use crate::policy::rule::{CallPattern, Test};
use crate::policy::{Pattern, Patterns, Policy, Watch};
use crate::record::region;

use super::names::{Names, without_first};
use super::{Export, approved_everywhere, is_told, listed};

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
            if others.is_empty() && self.watched.add(call.name.as_str(), &call.to_string()) {
                continue;
            }
            let terms = [source(&call.service), name_like(&call.name)].into_iter().flatten();
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
             object, and in names and codes that are not in the case in which AWS writes them"
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

const NO_REGION: [&str; 2] = ["$.awsRegion NOT EXISTS", "$.awsRegion IS NULL"];

/// A string that is not `true`, too; `!=` alone would leave open what becomes of a bool.
const READ_ONLY_IS_NOT_TRUE: [&str; 4] = [
    "$.readOnly IS FALSE",
    "($.readOnly = \"*\" && $.readOnly != \"true\")",
    "$.readOnly NOT EXISTS",
    "$.readOnly IS NULL",
];

/// `EnableRegion` and `DisableRegion` concern another region than they are recorded in.
const SWITCHES: &str = "$.eventName = \"*ableRegion\"";

const EVERY_CALL: &str = "$.eventName = \"*\"";

fn stands_for(piece: &str, calls: &std::collections::BTreeSet<String>) -> String {
    format!("for want of room, every call with {piece} in its name stands for {}", listed(calls))
}

/// A regular expression is looked for anywhere in the text. A pattern has two at most, of letters,
/// digits, `|` and a few others ("Supported regular expressions (regex) syntax").
fn named_any(names: &Names) -> Option<String> {
    let pieces: Vec<&str> = names.texts().collect();
    match pieces.as_slice() {
        [] => None,
        [only] => Some(named(only)),
        _ => Some(format!("$.eventName = %{}%", pieces.join("|"))),
    }
}

fn named(piece: &str) -> String {
    format!("$.eventName = \"*{piece}*\"")
}

/// Terms of which one must hold, to stand among terms that must all hold.
fn any(terms: Vec<String>) -> String {
    match terms.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        _ => format!("({})", terms.join(" || ")),
    }
}

/// Terms that must all hold, to stand among terms of which one must.
fn all(terms: Vec<String>) -> String {
    match terms.as_slice() {
        [only] => only.clone(),
        _ => format!("({})", terms.join(" && ")),
    }
}

/// A pattern as the language has it, where it can: with a `*` at the beginning and the end alone.
fn like(pattern: &Pattern) -> Option<String> {
    let text = pattern.as_str().to_ascii_lowercase();
    let inner = text.strip_prefix('*').unwrap_or(&text);
    let inner = inner.strip_suffix('*').unwrap_or(inner);
    (!inner.is_empty() && inner.bytes().all(is_plain)).then_some(text)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// Whatever matches the pattern is like this; `None` where that is everything.
fn at_least_like(pattern: &Pattern) -> Option<String> {
    like(pattern).or_else(|| {
        let text = pattern.as_str().to_ascii_lowercase();
        let longest = text.split(|c| !u8::try_from(c).is_ok_and(is_plain)).max_by_key(|s| s.len());
        longest.filter(|longest| !longest.is_empty()).map(|longest| format!("*{longest}*"))
    })
}

/// Of lists: `None` where a member says nothing.
fn each(list: &Patterns, term: impl Fn(&Pattern) -> Option<String>) -> Option<String> {
    list.iter().map(term).collect::<Option<Vec<String>>>().map(any)
}

fn sources(services: &Patterns) -> Option<String> {
    each(services, source)
}

/// `eventSource` has a domain behind the service.
fn source(service: &Pattern) -> Option<String> {
    let like = at_least_like(service)?;
    Some(format!("$.eventSource = \"{}*\"", like.trim_end_matches('*')))
}

fn in_regions(regions: &Patterns) -> Option<String> {
    each(regions, |pattern| {
        let there = at_least_like(pattern).map(|like| format!("$.awsRegion = \"{like}\""))?;
        let nowhere =
            NO_REGION.map(str::to_owned).into_iter().filter(|_| pattern.matches(region::UNKNOWN));
        Some(any([there].into_iter().chain(nowhere).collect()))
    })
}

/// Where a record names no recipient, it may still be of this account.
fn of_accounts(accounts: &Patterns) -> Option<String> {
    let recipients = each(accounts, |account| {
        Some(format!("$.recipientAccountId = \"{}\"", at_least_like(account)?))
    })?;
    let nobody = ["$.recipientAccountId NOT EXISTS", "$.recipientAccountId IS NULL"];
    Some(any([recipients].into_iter().chain(nobody.map(str::to_owned)).collect()))
}

/// Names have a first letter of either case, and perhaps a version behind them.
fn name_like(name: &Pattern) -> Option<String> {
    let pieces = name.as_str().split(|c| !u8::try_from(c).is_ok_and(is_plain)).enumerate();
    let pieces = pieces.map(|(at, piece)| match at {
        0 => without_first(piece).unwrap_or_default(),
        _ => piece,
    });
    let longest = pieces.max_by_key(|piece| piece.len()).filter(|piece| !piece.is_empty())?;
    Some(named(longest))
}
