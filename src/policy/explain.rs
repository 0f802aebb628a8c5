//! A verdict, question by question: what was asked, what was seen, and which answer decided.
//!
//! The walk asks the judge's own questions in the judge's order, so that an explanation cannot
//! part from the verdict; here is only the wording. Texts hold parts of the record as they stand:
//! whoever shows them makes them harmless.

use serde::Serialize;

use crate::record::{Access, Record, region};

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
    /// The answer; `None` where it makes no difference, so that nobody asked.
    pub answer: Option<bool>,
    /// Whether this is the answer that the verdict's reason names: it is for one step.
    pub decides: bool,
    /// What was seen.
    pub seen: Vec<String>,
}

impl Policy {
    /// Why a record is judged as it is. `keys` is what this policy was made of.
    pub fn explain(&self, keys: &Keys, record: &Record<'_>, batch_owner: &str) -> Explanation {
        let verdict = self.judge(record, batch_owner);
        let mut walk = Walk { policy: self, keys, verdict: &verdict, steps: Vec::new() };
        let mut severity_because = String::new();
        if walk.is_call(record) {
            let call = Call::of(record, batch_owner);
            walk.call(&call);
            severity_because = self.severity_in_words(&call, &verdict);
        }
        let steps = walk.steps;
        Explanation { because: self.because(record, &verdict), steps, severity_because }
    }

    /// Whether neither the policy nor CloudTrail nor the name says what a call does.
    pub fn is_guess(&self, record: &Record<'_>, batch_owner: &str) -> bool {
        self.access_and_source(&Call::of(record, batch_owner)).1 == Source::Nothing
    }

    fn because(&self, record: &Record<'_>, verdict: &Verdict) -> String {
        let (Verdict::Alert(reason, _) | Verdict::Ignore(reason)) = verdict else {
            return "nobody can tell what call this is, so a human is told to look".to_owned();
        };
        let (service, region) = (record.service(), record.region());
        let call = format!("{service}:{}", record.name());
        let unapproved = match region.as_ref() {
            region::UNKNOWN => "the record tells no region, which nothing approves".to_owned(),
            region => format!("{region} is not approved"),
        };
        match reason {
            Reason::Watched(id) => format!("the watch {id} tells of this call in every region"),
            Reason::MutatingCall => match self.access_and_source(&Call::of(record, "")).1 {
                Source::Table => format!("{unapproved}, and the policy counts {call} as mutating"),
                Source::Field => format!("{unapproved}, and CloudTrail records {call} as a write"),
                _ => format!("{unapproved}, and nothing says that {call} only looks"),
            },
            Reason::SensitiveRead => {
                format!("{unapproved}, and {call} hands out secrets or credentials")
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
            Reason::ReadOnly => format!("{unapproved}, but {call} only looks"),
            Reason::Exempt(id) => format!("the exemption {id} silences it"),
            Reason::Duplicate => "the same record was told before".to_owned(),
        }
    }

    /// `low, since the outcome is denied (AccessDenied); a mutating call is high`.
    fn severity_in_words(&self, call: &Call<'_>, verdict: &Verdict) -> String {
        let Verdict::Alert(reason, severity) = verdict else { return String::new() };
        let watch = self.watches().find(|watch| *reason == Reason::Watched(watch.id.clone()));
        let (rule, start) = match (watch, reason) {
            (Some(watch), _) => (format!("the watch {} says", watch.id), watch.severity),
            (None, Reason::SensitiveRead) => ("a sensitive read is".to_owned(), Severity::Medium),
            (None, _) => ("a mutating call is".to_owned(), Severity::High),
        };
        let mut causes = Vec::new();
        if severity_without_root(call, start, watch.is_some()) != start {
            let code = call.record.error_code.as_deref().unwrap_or_default();
            causes.push(format!("since the outcome is {} ({code})", call.outcome));
        }
        if call.record.user_identity.is("Root") {
            causes.push("raised because root acts".to_owned());
        }
        match causes.is_empty() {
            true => format!("{severity}, as {rule}"),
            false => format!("{severity}, {}; {rule} {start}", causes.join(" and ")),
        }
    }
}

struct Walk<'p> {
    policy: &'p Policy,
    keys: &'p Keys,
    verdict: &'p Verdict,
    steps: Vec<Step>,
}

impl Walk<'_> {
    fn is_call(&mut self, record: &Record<'_>) -> bool {
        let question = "Is there a call to judge?";
        let (name, source) = (record.event_name.as_deref(), record.event_source.as_deref());
        if let (Some(_), Some(_)) = (name, source) {
            let seen = format!("{}:{}", record.service(), record.name());
            self.step(1, question, Some(true), vec![seen]);
            return true;
        }
        let field = |name, value: Option<&str>| format!("{name} is {}", or_absent(value));
        let seen = [
            field("eventName", name),
            field("eventSource", source),
            field("eventType", record.event_type.as_deref()),
            field("eventCategory", record.event_category.as_deref()),
        ];
        self.step(1, question, Some(false), vec![seen.join(", ")]);
        false
    }

    fn call(&mut self, call: &Call<'_>) {
        let watches: Vec<&Watch> = self.policy.watches().filter(|w| w.matches(call)).collect();
        self.watched(&watches);
        if !watches.is_empty() {
            let seen = "not asked: a watch matched";
            self.step(3, "Questions 3 to 9", None, vec![seen.to_owned()]);
            return self.exempted_of_watches(call, &watches);
        }
        for (number, ground) in (3..).zip(Ground::IN_ORDER) {
            let ignores = self.policy.ignores(ground, call);
            match self.ground(ground, call) {
                Ok(seen) => self.step(number, question_of(ground), Some(ignores), vec![seen]),
                Err(why) => self.step(number, question_of(ground), None, vec![why]),
            }
            if ignores {
                return;
            }
        }
        self.candidate(call);
        self.exempted(call);
    }

    fn watched(&mut self, watches: &[&Watch]) {
        let told = |watch: &&Watch| {
            format!("{} ({}){}: {}", watch.id, watch.severity, self.place(&watch.id), watch.reason)
        };
        let seen = match watches.is_empty() {
            true => {
                let ids: Vec<&str> = self.policy.watches().map(|watch| &**watch.id()).collect();
                vec![none_of(&ids, "there is no watch")]
            }
            false => watches.iter().map(told).collect(),
        };
        self.step(2, "Does a watch match it?", Some(!watches.is_empty()), seen);
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
        let place = own.or(self.keys.approved_regions.as_ref()).map(|at| &at.place);
        let place = place.map(|place| match place.is_users() {
            true => origin(place),
            false => format!(" ({DEFAULT_NAME})"),
        });
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
            Source::Table if access != Access::SensitiveRead => {
                let overruled = match (access, call.record.read_only) {
                    (Access::Mutating, Some(true)) => "; it overrules readOnly, which is true",
                    (Access::ReadOnly, Some(false)) => "; it overrules readOnly, which is false",
                    _ => "",
                };
                return format!("{entry}{overruled}");
            }
            Source::Table if self.policy.alert_on_sensitive_reads => {
                return "it hands something out, see question 8".to_owned();
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

    /// The entry of the table for a call; empty where there is none.
    fn table_entry(&self, call: &Call<'_>) -> String {
        let Some(((first, rest), access)) = self.policy.calls.entry(call) else {
            return String::new();
        };
        let call = (call.service.to_string(), format!("{first}{rest}"));
        let place = self.keys.calls.get(&call).map(|at| origin(&at.place)).unwrap_or_default();
        let (service, name) = call;
        format!("[access.calls] \"{service}:{name}\" = {}{place}", call_access(access))
    }

    fn candidate(&mut self, call: &Call<'_>) {
        let sensitive = self.policy.access(call) == Access::SensitiveRead;
        let question = "Does it hand out secrets or credentials?";
        if sensitive {
            let seen = self.table_entry(call);
            return self.step(8, question, Some(true), vec![seen]);
        }
        self.step(8, question, Some(false), vec!["nothing says so".to_owned()]);
        let seen = match self.policy.access_and_source(call).1 {
            Source::Table => "the policy says so",
            Source::Field => "CloudTrail says so",
            _ => "nothing says that it only looks",
        };
        self.step(9, "Then it counts as mutating", Some(true), vec![seen.to_owned()]);
    }

    fn exempted(&mut self, call: &Call<'_>) {
        let exempt = self.policy.exempting(call, None);
        let seen = match exempt {
            Some(exempt) => vec![self.exempt(exempt)],
            None => self.near_misses(call, None),
        };
        self.step(10, "Is it exempt?", Some(exempt.is_some()), seen);
    }

    /// Each watch needs an exemption that names it.
    fn exempted_of_watches(&mut self, call: &Call<'_>, watches: &[&Watch]) {
        let silences = |watch: &&Watch| self.policy.exempting(call, Some(watch));
        let told = watches.iter().find(|watch| silences(watch).is_none());
        let seen = match told {
            Some(told) => self.near_misses(call, Some(told)),
            None => {
                let by = watches.iter().filter_map(silences);
                by.map(|exempt| self.exempt(exempt)).collect()
            }
        };
        self.step(10, "Is it exempt?", Some(told.is_none()), seen);
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
        match near.is_empty() {
            true => vec![none_of(&ids, "there is no exemption")],
            false => near,
        }
    }

    fn place(&self, id: &str) -> String {
        self.keys.place_of(id).map(origin).unwrap_or_default()
    }

    fn step(
        &mut self,
        number: u8,
        question: &'static str,
        answer: Option<bool>,
        seen: Vec<String>,
    ) {
        let decides = number == deciding(self.verdict);
        self.steps.push(Step { number, question, answer, decides, seen });
    }
}

/// The question whose answer the verdict's reason names.
fn deciding(verdict: &Verdict) -> u8 {
    let (Verdict::Alert(reason, _) | Verdict::Ignore(reason)) = verdict else { return 1 };
    match reason {
        Reason::NotAnApiCall => 1,
        Reason::Watched(_) => 2,
        Reason::ApprovedRegion => 3,
        Reason::AwsService => 4,
        Reason::SignIn => 5,
        Reason::GlobalService => 6,
        Reason::ReadOnly => 7,
        Reason::SensitiveRead => 8,
        Reason::MutatingCall => 9,
        Reason::Exempt(_) => 10,
        Reason::Duplicate => 0,
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
    let mut seen = vec![format!("userIdentity.type is {}", or_absent(identity.kind.as_deref()))];
    if identity.is_service_linked_role() {
        seen.push("the role is service-linked".to_owned());
    }
    seen.push(format!("eventType is {}", or_absent(call.record.event_type.as_deref())));
    seen.join(", ")
}

fn or_absent(value: Option<&str>) -> String {
    value.map_or_else(|| "absent".to_owned(), str::to_owned)
}

/// ` (my.toml:3)`; nothing for the default policy.
fn origin(place: &Place) -> String {
    match place.is_users() {
        true => format!(" ({}:{})", place.file, place.line),
        false => String::new(),
    }
}

/// Rules that an answer names before it counts the others.
const MOST_NAMED: usize = 5;

fn none_of(ids: &[&str], there_is_none: &str) -> String {
    let named = ids.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(MOST_NAMED) {
        _ if ids.is_empty() => there_is_none.to_owned(),
        0 => format!("none of {named}"),
        more => format!("none of {named} and {more} more"),
    }
}
