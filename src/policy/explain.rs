//! A verdict, question by question: what was asked, what was seen, and which answer decided.
//!
//! The walk asks the judge's own questions in the judge's order, so that an explanation cannot
//! part from the verdict; here is only the wording. Texts hold parts of the record as they stand:
//! whoever shows them makes them harmless.

use serde::Serialize;

use crate::record::{Access, Record, region};

use super::reader::At;
use super::rule::{Call, Exempt, Matcher, Watch};
use super::show::call_access;
use super::{
    DEFAULT_NAME, Ground, Keys, Place, Policy, Reason, Severity, Source, Verdict,
    severity_without_root,
};

/// Why a record is judged as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The verdict's ground in a sentence.
    pub because: String,
    /// The questions, in the order in which they are asked.
    pub steps: Vec<Step>,
    /// Why an alert has its severity; empty for what is no alert.
    pub severity_because: String,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The question's number, from 1.
    pub number: u8,
    /// The question.
    pub question: &'static str,
    /// What became of it.
    pub answer: Answer,
    /// What was seen.
    pub seen: Vec<String>,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It decides.
    Decides,
    /// It makes a candidate for an alert.
    Candidate,
    /// It does not apply: the next one is asked.
    No,
    /// The policy or an earlier answer makes it needless.
    NotAsked,
}

impl Policy {
    /// Why a record is judged as it is. `keys` is what this policy was made of.
    pub fn explain(&self, keys: &Keys, record: &Record<'_>, batch_owner: &str) -> Explanation {
        let mut walk = Walk { policy: self, keys, steps: Vec::new() };
        let verdict = self.judge(record, batch_owner);
        let severity_because = match walk.is_call(record) {
            false => String::new(),
            true => {
                let call = Call::of(record, batch_owner);
                walk.call(&call);
                self.severity_in_words(&call, &verdict)
            }
        };
        Explanation { because: self.because(record, &verdict), steps: walk.steps, severity_because }
    }

    fn because(&self, record: &Record<'_>, verdict: &Verdict) -> String {
        let (Verdict::Alert(reason, _) | Verdict::Ignore(reason)) = verdict else {
            return "nobody can tell what call this is, so a human is told to look".to_owned();
        };
        let (service, region) = (record.service(), record.region());
        let call = format!("{service}:{}", record.name());
        match reason {
            Reason::Watched(id) => format!("the watch {id} tells of this call in every region"),
            Reason::MutatingCall => {
                format!("{region} is not approved, and nothing says that {call} only looks")
            }
            Reason::SensitiveRead => {
                format!("{region} is not approved, and {call} hands out secrets or credentials")
            }
            Reason::NotAnApiCall => "this is a report of CloudTrail's own, not a call".to_owned(),
            Reason::ApprovedRegion => format!("{region} is approved"),
            Reason::AwsService => "AWS acted of itself, and nobody through it".to_owned(),
            Reason::SignIn => {
                "where somebody signs in says nothing about where they act".to_owned()
            }
            Reason::GlobalService => {
                format!("{service} acts worldwide and records its calls in {region}")
            }
            Reason::ReadOnly => format!("{region} is not approved, but {call} only looks"),
            Reason::Exempt(id) => format!("the exemption {id} silences it"),
            Reason::Duplicate => "the same record was told before".to_owned(),
        }
    }

    /// `low, since it was denied (a mutating call is high)`.
    fn severity_in_words(&self, call: &Call<'_>, verdict: &Verdict) -> String {
        let Verdict::Alert(reason, severity) = verdict else { return String::new() };
        let (kind, start) = match reason {
            Reason::Watched(id) => {
                let watch = self.watches().find(|watch| watch.id == *id);
                ("what this watch tells", watch.map_or(*severity, Watch::severity))
            }
            Reason::SensitiveRead => ("a sensitive read", Severity::Medium),
            _ => ("a mutating call", Severity::High),
        };
        let mut causes = Vec::new();
        if severity_without_root(call, start, matches!(reason, Reason::Watched(_))) != start {
            causes.push(format!("since the outcome is `{}`", call.outcome));
        }
        if call.record.user_identity.is("Root") {
            causes.push("raised because root acts".to_owned());
        }
        match causes.is_empty() {
            true => format!("{severity}, as {kind} is"),
            false => format!("{severity}, {} ({kind} is {start})", causes.join(" and ")),
        }
    }
}

struct Walk<'p> {
    policy: &'p Policy,
    keys: &'p Keys,
    steps: Vec<Step>,
}

impl Walk<'_> {
    fn is_call(&mut self, record: &Record<'_>) -> bool {
        let question = "Is it no call at all?";
        let (name, source) = (record.event_name.as_deref(), record.event_source.as_deref());
        if let (Some(_), Some(_)) = (name, source) {
            let seen = format!("{}:{}", record.service(), record.name());
            self.step(1, question, Answer::No, seen);
            return true;
        }
        let field = |name, value: Option<&str>| format!("{name} is {}", quoted(value));
        let seen = [
            field("eventName", name),
            field("eventSource", source),
            field("eventType", record.event_type.as_deref()),
            field("eventCategory", record.event_category.as_deref()),
        ];
        self.step(1, question, Answer::Decides, seen.join(", "));
        false
    }

    fn call(&mut self, call: &Call<'_>) {
        let watches: Vec<&Watch> = self.policy.watches().filter(|w| w.matches(call)).collect();
        self.watched(&watches);
        if !watches.is_empty() {
            self.step(
                3,
                "Questions 3 to 9",
                Answer::NotAsked,
                "a watched call is told in every region".to_owned(),
            );
            return self.exempted_of_watches(call, &watches);
        }
        for (number, ground) in (3..).zip(Ground::IN_ORDER) {
            let decides = self.policy.ignores(ground, call);
            let (answer, seen) = match self.ground(ground, call) {
                Ok(seen) if decides => (Answer::Decides, seen),
                Ok(seen) => (Answer::No, seen),
                Err(why) => (Answer::NotAsked, why),
            };
            self.step(number, question_of(ground), answer, seen);
            if decides {
                return;
            }
        }
        self.candidate(call);
        self.exempted(call);
    }

    fn watched(&mut self, watches: &[&Watch]) {
        let question = "Does a watch match it?";
        if watches.is_empty() {
            let ids: Vec<&str> = self.policy.watches().map(|watch| &**watch.id()).collect();
            let seen = match ids.as_slice() {
                [] => "there is no watch".to_owned(),
                ids => format!("none of {}", few(ids)),
            };
            return self.step(2, question, Answer::No, seen);
        }
        let told = |watch: &&Watch| {
            format!("{} ({}{}): {}", watch.id, watch.severity, self.place(&watch.id), watch.reason)
        };
        self.steps(2, question, Answer::Candidate, watches.iter().map(told).collect());
    }

    /// What was seen, or why nobody asked.
    fn ground(&self, ground: Ground, call: &Call<'_>) -> Result<String, String> {
        let skipped = |key: &str| Err(format!("{key} = \"alert\""));
        match ground {
            Ground::ApprovedRegion => Ok(self.region(call)),
            Ground::AwsService if self.policy.alert_on_aws_services => skipped("aws_service_calls"),
            Ground::AwsService => Ok(identity(call)),
            Ground::SignIn if self.policy.alert_on_sign_ins => skipped("sign_ins"),
            Ground::SignIn => Ok(format!("the service is {}", call.service)),
            Ground::GlobalService if call.record.switches_region() => {
                Err(format!("the call concerns {}, not where it was recorded", call.region))
            }
            Ground::GlobalService => Ok(self.homes(call)),
            Ground::ReadOnly => Ok(self.access(call)),
        }
    }

    fn region(&self, call: &Call<'_>) -> String {
        let own = self.keys.accounts.get(call.account);
        let own = own.and_then(|account| account.approved_regions.as_ref());
        let of_whom = match own {
            Some(_) => format!("those of account {}", call.account),
            None => "approved_regions".to_owned(),
        };
        let approved = self.policy.approved_for(call.account);
        let place = own.or(self.keys.approved_regions.as_ref()).map(|at| origin(&at.place));
        let region = match call.region.as_ref() {
            region::UNKNOWN => "the record tells no region, which nothing approves",
            region => region,
        };
        let region = match call.record.switches_region() {
            true => format!("{region}, the region that is switched"),
            false => region.to_owned(),
        };
        format!("{region}; {of_whom}: {approved}{}", place.unwrap_or_default())
    }

    fn homes(&self, call: &Call<'_>) -> String {
        let offers: Vec<String> = self
            .policy
            .globals
            .iter()
            .filter(|global| global.services.matches(&call.service))
            .map(|global| format!("{} (rule {})", global.homes, global.id))
            .collect();
        match offers.as_slice() {
            [] => format!("{} is no global service", call.service),
            homes => format!(
                "{} is global with its homes in {}; recorded in {}",
                call.service,
                homes.join(" and "),
                call.region
            ),
        }
    }

    fn access(&self, call: &Call<'_>) -> String {
        let (access, source) = self.policy.access_and_source(call);
        let entry = self.table_entry(call);
        let seen = match source {
            Source::Table if access != Access::SensitiveRead => return entry,
            Source::Table if self.policy.alert_on_sensitive_reads => {
                return format!("{entry}; see question 8");
            }
            Source::Table => return format!("{entry}, and sensitive_reads = \"ignore\""),
            Source::Field => format!("readOnly is {}", access == Access::ReadOnly),
            Source::Verb(verb) => format!("{} begins with the verb {verb}", call.name),
            Source::Nothing => format!("{} begins with no read-only verb", call.name),
        };
        let field = match (source, self.policy.trust_read_only_field) {
            (Source::Field, _) => "",
            (_, true) => "the record has no readOnly, and ",
            (_, false) => "readOnly is not trusted, and ",
        };
        match entry.is_empty() {
            true => format!("{field}{seen}"),
            false => format!("{entry} says nothing here; {field}{seen}"),
        }
    }

    fn table_entry(&self, call: &Call<'_>) -> String {
        let entry = self.keys.calls.iter().find(|((service, name), _)| {
            *service == *call.service && call.names().any(|known| known.eq_ignore_ascii_case(name))
        });
        let Some(((service, name), At { place, value })) = entry else { return String::new() };
        let value = call_access(value);
        format!("[access.calls] \"{service}:{name}\" = {value}{}", origin(place))
    }

    fn candidate(&mut self, call: &Call<'_>) {
        let sensitive = self.policy.access(call) == Access::SensitiveRead;
        let question = "Does it hand out secrets or credentials?";
        if sensitive {
            let seen = self.table_entry(call);
            return self.step(8, question, Answer::Candidate, seen);
        }
        self.step(8, question, Answer::No, "nothing says so".to_owned());
        let seen = "nothing says that it only looks".to_owned();
        self.step(9, "Then it counts as mutating", Answer::Candidate, seen);
    }

    fn exempted(&mut self, call: &Call<'_>) {
        let (answer, seen) = match self.policy.exempting(call, None) {
            Some(exempt) => (Answer::Decides, vec![self.exempt(exempt)]),
            None => (Answer::No, self.near_misses(call, None)),
        };
        self.steps(10, "Is it exempt?", answer, seen);
    }

    /// Each watch needs an exemption that names it.
    fn exempted_of_watches(&mut self, call: &Call<'_>, watches: &[&Watch]) {
        let question = "Is it exempt?";
        let silences = |watch: &&Watch| self.policy.exempting(call, Some(watch));
        match watches.iter().find(|watch| silences(watch).is_none()) {
            Some(told) => {
                let seen = self.near_misses(call, Some(told));
                self.steps(10, question, Answer::No, seen);
            }
            None => {
                let by = watches.iter().filter_map(silences).map(|exempt| self.exempt(exempt));
                self.steps(10, question, Answer::Decides, by.collect());
            }
        }
    }

    fn exempt(&self, exempt: &Exempt) -> String {
        let until = exempt.until.map(|until| format!(", until {until}")).unwrap_or_default();
        format!("{}{until}{}: {}", exempt.id, self.place(&exempt.id), exempt.reason)
    }

    /// Exemptions that nearly match: all but one thing of each is right.
    fn near_misses(&self, call: &Call<'_>, watch: Option<&Watch>) -> Vec<String> {
        let miss = |exempt: &Exempt| {
            let misses = misses(exempt, call, watch);
            match misses.as_slice() {
                [only] => Some(format!("{} would match, but {only}", exempt.id)),
                _ => None,
            }
        };
        let near: Vec<String> = self.policy.exempts().filter_map(miss).take(MOST_NAMED).collect();
        let ids: Vec<&str> = self.policy.exempts().map(|exempt| &**exempt.id()).collect();
        match ids.as_slice() {
            _ if !near.is_empty() => near,
            [] => vec!["there is no exemption".to_owned()],
            ids => vec![format!("none of {}", few(ids))],
        }
    }

    fn place(&self, id: &str) -> String {
        self.keys.place_of(id).map(origin).unwrap_or_default()
    }

    fn step(&mut self, number: u8, question: &'static str, answer: Answer, seen: String) {
        self.steps(number, question, answer, vec![seen]);
    }

    fn steps(&mut self, number: u8, question: &'static str, answer: Answer, seen: Vec<String>) {
        self.steps.push(Step { number, question, answer, seen });
    }
}

fn question_of(ground: Ground) -> &'static str {
    match ground {
        Ground::ApprovedRegion => "Is the region approved?",
        Ground::AwsService => "Does AWS itself act?",
        Ground::SignIn => "Is it a sign-in?",
        Ground::GlobalService => "Is it a global service at home?",
        Ground::ReadOnly => "Does it only look?",
    }
}

/// What keeps an exemption from silencing a call.
fn misses(exempt: &Exempt, call: &Call<'_>, watch: Option<&Watch>) -> Vec<String> {
    let mut misses = exempt.matcher.misses(call);
    if let Some(watch) = watch.filter(|watch| !exempt.names(watch)) {
        misses.push(format!("it does not name the watch {}", watch.id));
    }
    if let Some(until) = exempt.until.filter(|_| !exempt.is_active(call)) {
        misses.push(match call.record.time() {
            Some(_) => format!("it ended on {until}, before this record"),
            None => format!("it ends on {until}, and the record tells no time"),
        });
    }
    misses
}

impl Matcher {
    fn misses(&self, call: &Call<'_>) -> Vec<String> {
        let missed = self.0.iter().filter(|test| !test.holds(call));
        missed.map(|test| format!("{} = {} does not", test.key(), test.to_toml())).collect()
    }
}

fn identity(call: &Call<'_>) -> String {
    let identity = &call.record.user_identity;
    let mut seen = vec![format!("userIdentity.type is {}", quoted(identity.kind.as_deref()))];
    if identity.is_service_linked_role() {
        seen.push("the role is service-linked".to_owned());
    }
    seen.push(format!("eventType is {}", quoted(call.record.event_type.as_deref())));
    seen.join(", ")
}

fn quoted(value: Option<&str>) -> String {
    value.map_or_else(|| "absent".to_owned(), str::to_owned)
}

/// ` (my.toml:3)`; nothing for the default policy.
fn origin(place: &Place) -> String {
    match &*place.file {
        DEFAULT_NAME => String::new(),
        file => format!(" ({file}:{})", place.line),
    }
}

/// Rules that an answer names before it counts the others.
const MOST_NAMED: usize = 5;

fn few(ids: &[&str]) -> String {
    let named = ids.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
