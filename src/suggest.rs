//! A policy to begin with, from history: regions where people and roles work, and what services
//! do on and on.
//!
//! An intruder is in the history, too. So little is taken for granted: a region needs several
//! principals who came back over weeks, in that account; root, denied calls, and whoever did what a
//! watch tells of count for nothing; and a rule is proposed only for what a service of AWS does
//! through a role, call by call, for a while. What was refused is written down with the reason.
//! [`Seen`] takes record after record, and writes the policy (`page`).

mod page;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::marks::{Marks, mark};
use crate::policy::{Patterns, Policy, PolicyFaults, Reason, Verdict};
use crate::record::principal::{Principal, UserIdentity};
use crate::record::{Outcome, Record, is_account, region};

/// Days on which somebody has to act in a region to be a regular there.
const REGULAR_DAYS: usize = 3;

/// Days from the first of them to the last.
const REGULAR_SPAN: i32 = 7;

/// Regulars that a region needs.
const REGULARS: usize = 2;

/// Days on which any of them acted.
const REGION_DAYS: usize = 5;

/// Days from the first of these to the last; also of what a service does, before it is exempted.
const REGION_SPAN: i32 = 14;

/// What history has of who acts where.
pub struct Seen {
    /// It approves no region.
    policy: Policy,
    marks: Marks,
    records: u64,
    days: BTreeSet<Date>,
    places: BTreeMap<Place, Activity>,
    /// Who did what a watch tells of.
    watched: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    account: String,
    region: String,
}

/// What was done in a place, approved regions aside.
#[derive(Default)]
struct Activity {
    actors: BTreeMap<String, Actor>,
    root: u64,
    watched: u64,
    sensitive: u64,
}

/// Somebody's mutating calls in a place.
#[derive(Default)]
struct Actor {
    name: String,
    /// A person or a role of the account; else another account, or nobody knows.
    is_own: bool,
    /// The role through which services act, where nobody else used it.
    service_role: Option<String>,
    days: BTreeSet<Date>,
    calls: BTreeSet<String>,
    succeeded: u64,
    others: u64,
}

/// Why a region is not suggested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    NoRegion,
    NoAccount,
    FewRegulars(usize),
    FewDays,
}

impl Seen {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never, as a test makes sure: the default policy has no faults.
    pub fn new() -> Result<Self, PolicyFaults> {
        Ok(Seen {
            policy: Policy::embedded()?.with_approved_regions(Patterns::default()),
            marks: Marks::default(),
            records: 0,
            days: BTreeSet::new(),
            places: BTreeMap::new(),
            watched: BTreeSet::new(),
        })
    }

    /// Takes a record, once. `owner` is the account of the log group that it came from.
    pub fn take(&mut self, record: &Record<'_>, owner: &str) {
        let verdict = self.policy.judge(record, owner);
        if mark(record, owner, &verdict).is_some_and(|mark| !self.marks.set(mark)) {
            return;
        }
        self.records += 1;
        let day = record.time().map(|time| TimeZone::UTC.to_datetime(time).date());
        self.days.extend(day);
        let Verdict::Alert(reason, _) = verdict else { return };
        let account = record.account(owner).to_owned();
        let place = Place { account, region: record.region().into_owned() };
        let who = Principal::of(&record.user_identity);
        let activity = self.places.entry(place).or_default();
        match reason {
            Reason::Watched(_) => {
                activity.watched += 1;
                self.watched.insert(who.key().into_owned());
            }
            Reason::SensitiveRead => activity.sensitive += 1,
            _ if record.user_identity.is("Root") => activity.root += 1,
            _ => {
                let actor = activity.actors.entry(who.key().into_owned());
                actor.or_insert_with(|| Actor::new(record)).take(record, day);
            }
        }
    }

    /// The regions of each account that are suggested: of one in which only root acted, or whose
    /// calls were denied, none.
    fn approved(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut approved: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (place, activity) in &self.places {
            if place.has_account() {
                let regions = approved.entry(&place.account).or_default();
                if self.refusal(place, activity).is_none() {
                    regions.push(&place.region);
                }
            }
        }
        approved
    }

    fn refusal(&self, place: &Place, activity: &Activity) -> Option<Refused> {
        let regulars = self.regulars(activity);
        let days = regulars.iter().flat_map(|actor| actor.days.iter()).copied().collect();
        if !region::is_code(&place.region) {
            Some(Refused::NoRegion)
        } else if !place.has_account() {
            Some(Refused::NoAccount)
        } else if regulars.len() < REGULARS {
            Some(Refused::FewRegulars(regulars.len()))
        } else {
            let enough = spread(&days, REGION_DAYS, REGION_SPAN);
            (!enough).then_some(Refused::FewDays)
        }
    }

    /// Who came back, and did nothing that is watched, anywhere.
    fn regulars<'a>(&self, activity: &'a Activity) -> Vec<&'a Actor> {
        let actors = activity.actors.iter().filter(|(key, _)| !self.watched.contains(*key));
        let regular = |actor: &&Actor| {
            actor.is_own
                && actor.succeeded > actor.others
                && spread(&actor.days, REGULAR_DAYS, REGULAR_SPAN)
        };
        actors.map(|(_, actor)| actor).filter(regular).collect()
    }

    /// What services do through roles, on and on, where the region is not suggested.
    fn recurring(&self) -> Vec<(&Place, &Actor, &str)> {
        let places = self.places.iter().filter(|(place, activity)| {
            region::is_code(&place.region)
                && place.has_account()
                && self.refusal(place, activity).is_some()
        });
        let actors = places.flat_map(|(place, activity)| {
            activity.actors.iter().map(move |(key, actor)| (place, key, actor))
        });
        let recurs = actors.filter(|(_, key, actor)| {
            !self.watched.contains(*key) && spread(&actor.days, REGION_DAYS, REGION_SPAN)
        });
        recurs
            .filter_map(|(place, _, actor)| Some((place, actor, actor.service_role.as_deref()?)))
            .collect()
    }
}

/// Enough days, over enough time.
fn spread(days: &BTreeSet<Date>, least: usize, span: i32) -> bool {
    let over = days.first().zip(days.last()).map_or(0, |(first, last)| (*last - *first).get_days());
    days.len() >= least && over >= span
}

impl Place {
    fn has_account(&self) -> bool {
        is_account(&self.account)
    }
}

impl Actor {
    fn new(record: &Record<'_>) -> Self {
        const OWN: &[&str] = &[
            "AssumedRole",
            "FederatedUser",
            "IAMUser",
            "IdentityCenterUser",
            "Role",
            "SAMLUser",
            "WebIdentityUser",
        ];
        let identity = &record.user_identity;
        Actor {
            name: Principal::of(identity).name().into_owned(),
            is_own: OWN.iter().any(|kind| identity.is(kind)),
            service_role: service_role(identity),
            ..Actor::default()
        }
    }

    fn take(&mut self, record: &Record<'_>, day: Option<Date>) {
        if service_role(&record.user_identity) != self.service_role {
            self.service_role = None;
        }
        if record.outcome() == Outcome::Success {
            self.succeeded += 1;
            self.days.extend(day);
            self.calls.insert(format!("{}:{}", record.service(), record.name()));
        } else {
            self.others += 1;
        }
    }
}

/// The role's ARN, where a service of AWS acts through it: it is named in `invokedBy`, which only
/// AWS writes (CloudTrail guide, "CloudTrail userIdentity element").
fn service_role(identity: &UserIdentity<'_>) -> Option<String> {
    let by_service =
        identity.invoked_by.as_deref().is_some_and(|name| name.ends_with(".amazonaws.com"));
    let is_role = identity.is("AssumedRole") && !Principal::of(identity).shares_its_role();
    identity.issuer_arn.as_deref().filter(|_| by_service && is_role).map(str::to_owned)
}
