//! What a history comes to, before anybody is told: the other rooms do that.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::alert::{Counted, Rejects};
use crate::policy::{Policy, Reason};
use crate::record::region;

use super::History;
use super::counts::{Activity, Cells, Hidden, Who};
use super::deliveries::Pace;
use super::messages::Messages;

/// What was read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sources {
    /// Sources that were read to their end.
    pub files: usize,
    /// Those that could not be.
    pub damaged: Vec<Damaged>,
    /// CloudTrail's digests and whatever else is known to hold no records.
    pub digests: u64,
    /// Whether reading was broken off.
    pub interrupted: bool,
}

/// A source that could not be read to its end. What was read of it counts.
#[derive(Debug, Clone, Serialize)]
pub struct Damaged {
    /// Which one.
    pub path: String,
    /// Why.
    pub fault: String,
}

/// What a history comes to.
pub struct Report<'p> {
    pub(super) policy: &'p Policy,
    pub(super) sources: Sources,
    pub(super) entries: u64,
    pub(super) unwanted: u64,
    pub(super) alerted: BTreeMap<Reason, u64>,
    pub(super) ignored: BTreeMap<Reason, u64>,
    pub(super) rejects: Rejects,
    pub(super) all: Activity,
    pub(super) regions: Vec<Region>,
    pub(super) accounts: Vec<Account>,
    pub(super) principals: Vec<Principal>,
    pub(super) principals_in_all: usize,
    pub(super) rules: Vec<Rule>,
    pub(super) days: Vec<Day>,
    pub(super) messages: Messages,
}

/// What was done in a region.
#[derive(Debug, Serialize)]
pub struct Region {
    /// Its code.
    pub region: String,
    /// What people call it.
    pub name: Option<&'static str>,
    /// Whether it is approved for the accounts that were active there.
    pub approved: Approved,
    /// What was done.
    #[serde(flatten)]
    pub activity: Activity,
}

/// Whether a region is approved for the accounts that were active there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Approved {
    /// For all of them.
    All,
    /// For some of them.
    Some,
    /// For none of them.
    None,
}

/// What was done in an account.
#[derive(Debug, Serialize)]
pub struct Account {
    /// Its number; empty where none is known.
    pub account: String,
    /// What the policy calls it.
    pub name: Option<String>,
    /// What was done.
    #[serde(flatten)]
    pub activity: Activity,
}

/// What a principal did.
#[derive(Debug, Serialize)]
pub struct Principal {
    /// Who.
    #[serde(flatten)]
    pub who: Who,
    /// Where.
    pub regions: BTreeSet<String>,
    /// In which accounts.
    pub accounts: BTreeSet<String>,
    /// What was done.
    #[serde(flatten)]
    pub activity: Activity,
}

/// How often a rule decided.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// `watch` or `exempt`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// How often.
    pub hits: u64,
    /// Of an exemption, the calls that it hid, the most frequent first.
    pub calls: Vec<Counted>,
    /// Of an exemption, when it last hid one.
    pub last: Option<Timestamp>,
}

/// What was done in a region on a day, in UTC.
#[derive(Debug, Serialize)]
pub struct Day {
    /// The day; none for what tells no time.
    pub day: Option<Date>,
    /// The region's code.
    pub region: String,
    /// What was done.
    #[serde(flatten)]
    pub activity: Activity,
}

/// Principals that are listed.
const MOST_PRINCIPALS: usize = 1_000;

/// Calls that are listed of an exemption.
const MOST_CALLS: usize = 20;

impl<'p> Report<'p> {
    pub(super) fn of(history: History<'p>, sources: Sources, pace: Pace) -> Self {
        let History { policy, mut cells, rejects, hidden, .. } = history;
        // Of some, all calls were counted elsewhere: they came again.
        cells.list.retain(|cell| cell.activity.calls > 0);
        let (principals, principals_in_all) = principals(&cells);
        let mut all = Activity::default();
        cells.list.iter().for_each(|cell| all.join(&cell.activity));
        Report {
            policy,
            sources,
            entries: history.entries,
            unwanted: history.unwanted,
            all,
            regions: regions(&cells, policy),
            accounts: accounts(&cells, policy),
            principals,
            principals_in_all,
            rules: rules(policy, &history.alerted, &history.ignored, &hidden),
            days: days(&cells),
            messages: Messages::of(history.deliveries.finish(), rejects.clone(), pace),
            alerted: history.alerted,
            ignored: history.ignored,
            rejects,
        }
    }

    /// How many records alert.
    pub fn alerts(&self) -> u64 {
        self.alerted.values().sum()
    }

    /// How many were ignored.
    pub fn ignored(&self) -> u64 {
        self.ignored.values().sum()
    }

    /// How many are unreadable.
    pub fn rejected(&self) -> u64 {
        self.rejects.count
    }

    /// What was ignored, by reason.
    pub fn ignored_by(&self) -> BTreeMap<String, u64> {
        by_word(&self.ignored)
    }

    /// What was read.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// How many entries there were.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How many more there were that nobody asked for.
    pub fn unwanted(&self) -> u64 {
        self.unwanted
    }

    /// How many messages would have been sent.
    pub fn messages(&self) -> usize {
        self.messages.list.len()
    }
}

pub(super) fn by_word(counts: &BTreeMap<Reason, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(reason, count)| (reason.to_string(), *count)).collect()
}

/// The busiest first: by alerts, then by what they change, then by calls.
fn busiest<T>(list: &mut [T], activity: impl Fn(&T) -> &Activity) {
    list.sort_by_key(|one| {
        let Activity { alerts, mutating, calls, .. } = *activity(one);
        std::cmp::Reverse((alerts, mutating, calls))
    });
}

fn regions(cells: &Cells, policy: &Policy) -> Vec<Region> {
    let mut accounts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for cell in &cells.list {
        accounts.entry(&cell.region).or_default().insert(&cell.account);
    }
    let approved = |region: &str| {
        let accounts = accounts.get(region).into_iter().flatten();
        let is_approved = accounts.map(|account| policy.approved_for(account).matches(region));
        let (yes, no): (Vec<bool>, Vec<bool>) = is_approved.partition(|approved| *approved);
        match (yes.is_empty(), no.is_empty()) {
            (false, true) if region != region::UNKNOWN => Approved::All,
            (false, false) => Approved::Some,
            _ => Approved::None,
        }
    };
    let by_region = cells.by(|cell| cell.region.clone()).into_iter();
    let mut regions: Vec<Region> = by_region
        .map(|(region, activity)| Region {
            name: region::name(&region),
            approved: approved(&region),
            region,
            activity,
        })
        .collect();
    busiest(&mut regions, |region| &region.activity);
    regions
}

fn accounts(cells: &Cells, policy: &Policy) -> Vec<Account> {
    let name = |account: &str| policy.account_name(account).map(harmless);
    let by_account = cells.by(|cell| cell.account.clone()).into_iter();
    let mut accounts: Vec<Account> = by_account
        .map(|(account, activity)| Account { name: name(&account), account, activity })
        .collect();
    busiest(&mut accounts, |account| &account.activity);
    accounts
}

fn harmless(text: &str) -> String {
    crate::alert::text::clean(text, LONGEST_NAME)
}

/// Characters of what a policy calls an account.
const LONGEST_NAME: usize = 256;

/// The busiest principals, and how many there are in all.
fn principals(cells: &Cells) -> (Vec<Principal>, usize) {
    let by_who = cells.by(|cell| cell.who.clone()).into_iter();
    let mut principals: Vec<_> = by_who.collect();
    busiest(&mut principals, |(_, activity)| activity);
    let in_all = principals.len();
    principals.truncate(MOST_PRINCIPALS);
    let mut places: HashMap<&Who, (BTreeSet<String>, BTreeSet<String>)> = HashMap::new();
    for cell in &cells.list {
        let (regions, accounts) = places.entry(&cell.who).or_default();
        regions.insert(cell.region.clone());
        accounts.insert(cell.account.clone());
    }
    let principals = principals.into_iter().map(|(who, activity)| {
        let (regions, accounts) = places.remove(&who).unwrap_or_default();
        Principal { who, regions, accounts, activity }
    });
    let principals = principals.collect();
    (principals, in_all)
}

fn rules(
    policy: &Policy,
    alerted: &BTreeMap<Reason, u64>,
    ignored: &BTreeMap<Reason, u64>,
    hidden: &BTreeMap<Reason, Hidden>,
) -> Vec<Rule> {
    let watches = policy.watches().map(|watch| {
        let hits = alerted.get(&Reason::Watched(watch.id().clone())).copied().unwrap_or(0);
        Rule { kind: "watch", id: watch.id().to_string(), hits, calls: Vec::new(), last: None }
    });
    let exempts = policy.exempts().map(|exempt| {
        let reason = Reason::Exempt(exempt.id().clone());
        let hidden = hidden.get(&reason);
        let calls = hidden.iter().flat_map(|hidden| &hidden.calls);
        let mut calls: Vec<Counted> =
            calls.map(|(name, count)| Counted { name: name.clone(), count: *count }).collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.count));
        calls.truncate(MOST_CALLS);
        Rule {
            kind: "exempt",
            id: exempt.id().to_string(),
            hits: ignored.get(&reason).copied().unwrap_or(0),
            calls,
            last: hidden.and_then(|hidden| hidden.last),
        }
    });
    watches.chain(exempts).collect()
}

fn days(cells: &Cells) -> Vec<Day> {
    let mut days: Vec<Day> = cells
        .by_day()
        .map(|(region, day, activity)| Day { day, region: region.to_owned(), activity })
        .collect();
    days.sort_by(|one, other| (one.day, &one.region).cmp(&(other.day, &other.region)));
    days
}
