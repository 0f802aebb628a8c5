//! What is published: one alert for one incident, as a contract for machines and prose for people.
//!
//! An [`Alert`] is the JSON contract, version [`VERSION`]; every rendering is made from it, so all
//! receivers are told the same. Lists in it are short by construction ([`incident`]), texts are
//! harmless ([`text`]), and [`message`] fits it into what SNS takes.

pub mod advice;
pub mod chat;
pub mod contract;
pub mod digest;
pub mod incident;
pub mod message;
pub mod prose;
pub mod resources;
pub mod secrets;
pub mod text;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::envelope::Reject;
use crate::policy::{Reason, Severity, Version};
use crate::record::region;

pub use contract::{
    Alert, Body, Counted, Covers, DigestBody, DigestLine, EventBody, FollowUp, IncidentBody, Mitre,
    PrincipalBody, UnreadableBody, VERSION,
};
pub use incident::{Incident, IncidentKey};
pub use message::{Formats, HttpsFormat, Message};

use incident::{Few, id_of};

/// Entries of one payload that are no readable records, gathered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejects {
    /// How many.
    pub count: u64,
    /// Ids of the first few.
    pub entry_ids: Vec<String>,
    /// How many had which fault.
    pub faults: BTreeMap<&'static str, u64>,
    /// How many were in which batch of the payload.
    pub batches: BTreeMap<usize, u64>,
}

const MOST_ENTRY_IDS: usize = 20;

/// What an alert says besides the incident itself.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// When the invocation began.
    pub now: Timestamp,
    /// The policy that judged.
    pub policy: &'a Version,
    /// What the policy calls the incident's account.
    pub account_name: Option<&'a str>,
    /// The account that owns the log group, or the stream.
    pub owner: &'a str,
    /// Where the records were read: the log group, or of unreadable ones the stream's ARN.
    pub log_group: &'a str,
    /// Where in the log group, or the shard of the stream.
    pub log_stream: &'a str,
}

impl Alert {
    /// The alert for an incident.
    pub fn of_incident(
        incident: &Incident,
        follow_up: Option<FollowUp>,
        context: &Context<'_>,
    ) -> Self {
        Alert {
            version: VERSION,
            id: incident.id.clone(),
            title: title_of(incident, follow_up.as_ref()),
            severity: incident.severity,
            reason: incident.reason.to_string(),
            account: incident.account.clone(),
            region: incident.region.clone(),
            body: Body::Incident(Box::new(IncidentBody::of(incident, follow_up, context))),
            policy: context.policy.digest.clone(),
            policy_version: context.policy.parameter,
            truncated: false,
        }
    }

    /// The alert for entries that nobody could judge.
    pub fn of_rejects(
        rejects: &Rejects,
        follow_up: Option<FollowUp>,
        context: &Context<'_>,
    ) -> Self {
        let log_group = text::clean(context.log_group, LONGEST_PLACE);
        let again = prose::again(follow_up.as_ref());
        Alert {
            version: VERSION,
            id: Rejects::id(context.owner, context.log_group),
            title: format!(
                "{} in {}{again}",
                prose::unreadable_entries(rejects.count),
                prose::read_in(&log_group)
            ),
            severity: Rejects::SEVERITY,
            reason: "unreadable".to_owned(),
            account: text::clean(context.owner, LONGEST_PLACE),
            region: String::new(),
            body: Body::Unreadable(UnreadableBody {
                count: rejects.count,
                log_group,
                log_stream: text::clean(context.log_stream, LONGEST_PLACE),
                entry_ids: rejects.entry_ids.clone(),
                faults: rejects
                    .faults
                    .iter()
                    .map(|(fault, count)| counted(fault, *count))
                    .collect(),
                follow_up,
            }),
            policy: context.policy.digest.clone(),
            policy_version: context.policy.parameter,
            truncated: false,
        }
    }

    /// Leaves out the least useful part that is still there; `false` where nothing is left to
    /// leave out.
    pub fn shrink(&mut self) -> bool {
        let cut = match &mut self.body {
            Body::Incident(body) => body.shrink(),
            Body::Digest(body) => body.shrink(),
            Body::Unreadable(body) => cut_list(&mut body.entry_ids, 1),
        };
        self.truncated |= cut;
        cut
    }
}

fn title_of(incident: &Incident, follow_up: Option<&FollowUp>) -> String {
    prose::incident_title(incident) + &prose::again(follow_up)
}

/// Characters of a log group's or stream's name, which CloudWatch Logs allows 512, and of what a
/// policy calls an account.
const LONGEST_PLACE: usize = 512;

/// Different calls that an alert lists.
const MOST_CALLS_SHOWN: usize = 100;

/// What is left of a list that was cut.
const SHORTEST_LIST: usize = 3;

impl IncidentBody {
    fn of(incident: &Incident, follow_up: Option<FollowUp>, context: &Context<'_>) -> Self {
        let who = &incident.who;
        let mut calls = counted_all(incident.calls_by_gravity());
        let not_shown = calls.drain(calls.len().min(MOST_CALLS_SHOWN)..).map(|call| call.count);
        let other_calls = incident.calls.others + not_shown.sum::<u64>();
        IncidentBody {
            account_name: context.account_name.map(|name| text::clean(name, LONGEST_PLACE)),
            region_name: region::name(&incident.region),
            outcome: incident.outcome,
            count: incident.count,
            reasons: incident.reasons.iter().map(|(r, n)| counted(&r.to_string(), *n)).collect(),
            calls,
            other_calls,
            error_codes: counted_all(incident.error_codes.by_count()),
            principal: PrincipalBody {
                kind: who.kind.clone(),
                name: who.name.clone(),
                arn: who.arn.clone(),
                sessions: who.sessions.words.clone(),
                access_key_ids: who.access_keys.words.clone(),
                mfa: who.mfa,
                console: who.console,
            },
            first_time: incident.first,
            last_time: incident.last,
            source_ips: incident.source_ips.words.clone(),
            user_agents: incident.user_agents.words.clone(),
            resources: incident.resources.words.clone(),
            events: incident.events.iter().map(EventBody::of).collect(),
            incomplete: incomplete(incident),
            why: advice::why(incident),
            next_steps: advice::next_steps(incident),
            exempt: advice::exempt(incident, context.now),
            mitre: match incident.reason {
                Reason::Watched(_) => None,
                _ => Some(UNUSED_REGIONS),
            },
            log_group: text::clean(context.log_group, LONGEST_PLACE),
            follow_up,
        }
    }

    fn shrink(&mut self) -> bool {
        cut_list(&mut self.user_agents, 0)
            || cut_list(&mut self.resources, SHORTEST_LIST)
            || cut_list(&mut self.events, SHORTEST_LIST)
            || cut_list(&mut self.source_ips, SHORTEST_LIST)
            || cut_list(&mut self.principal.sessions, SHORTEST_LIST)
            || cut_list(&mut self.principal.access_key_ids, SHORTEST_LIST)
            || cut_list(&mut self.error_codes, SHORTEST_LIST)
            || self.follow_up.as_mut().is_some_and(FollowUp::shrink)
            // A rule without some of its calls would silence something else than it says.
            || !std::mem::take(&mut self.exempt).is_empty()
            || cut_list(&mut self.calls, SHORTEST_LIST)
            || cut_list(&mut self.reasons, SHORTEST_LIST)
            || cut_list(&mut self.resources, 0)
            || cut_list(&mut self.error_codes, 0)
            || cut_list(&mut self.next_steps, 0)
    }
}

const UNUSED_REGIONS: Mitre = Mitre {
    technique: "T1535",
    name: "Unused/Unsupported Cloud Regions",
    url: "https://attack.mitre.org/techniques/T1535/",
};

impl EventBody {
    fn of(event: &incident::EventRef) -> Self {
        let known = event.in_console && region::is_code(&event.recorded_in);
        let plain = event.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let console_url = (known && plain).then(|| {
            let (region, id) = (&event.recorded_in, &event.id);
            let domain = region::console_domain(region);
            format!("https://{region}.{domain}/cloudtrailv2/home?region={region}#/events/{id}")
        });
        EventBody { id: event.id.clone(), console_url }
    }
}

impl Rejects {
    /// Nobody knows what is in them.
    pub const SEVERITY: Severity = Severity::Medium;

    /// Counts one more, in this batch of the payload.
    pub fn add(&mut self, batch: usize, reject: &Reject) {
        self.count += 1;
        *self.batches.entry(batch).or_default() += 1;
        *self.faults.entry(reject.fault).or_default() += 1;
        if self.entry_ids.len() < MOST_ENTRY_IDS && !reject.entry_id.is_empty() {
            self.entry_ids.push(text::clean(&reject.entry_id, LONGEST_PLACE));
        }
    }

    /// The id of the incident that unreadable entries of a log group, or of a stream, are.
    pub fn id(owner: &str, log_group: &str) -> String {
        id_of(&["unreadable", owner, log_group])
    }
}

fn incomplete(incident: &Incident) -> Vec<&'static str> {
    let few = |name, few: &Few| few.more.then_some(name);
    [
        few("source_ips", &incident.source_ips),
        few("user_agents", &incident.user_agents),
        few("resources", &incident.resources),
        few("sessions", &incident.who.sessions),
        few("access_key_ids", &incident.who.access_keys),
        (incident.count > incident.events.len() as u64).then_some("events"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn cut_list<T>(list: &mut Vec<T>, to: usize) -> bool {
    let longer = list.len() > to;
    list.truncate(to);
    longer
}

fn counted(name: &str, count: u64) -> Counted {
    Counted { name: name.to_owned(), count }
}

impl FollowUp {
    /// What happened since the incident was told before; `held_calls` are the names of the `held`
    /// calls, as far as they are known.
    pub fn new(
        causes: Vec<String>,
        held: u64,
        held_calls: &BTreeMap<String, u64>,
        total: u64,
    ) -> Self {
        let mut held_calls: Vec<_> = held_calls.iter().map(|(call, n)| counted(call, *n)).collect();
        held_calls.sort_by_key(|call| std::cmp::Reverse(call.count));
        held_calls.truncate(if held > 0 { MOST_CALLS_SHOWN } else { 0 });
        FollowUp { causes, held, held_calls, total }
    }

    fn shrink(&mut self) -> bool {
        cut_list(&mut self.held_calls, SHORTEST_LIST)
    }
}

fn counted_all(words: Vec<(&str, u64)>) -> Vec<Counted> {
    words.into_iter().map(|(word, count)| counted(word, count)).collect()
}
