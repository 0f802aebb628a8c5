//! One alert for many incidents: what a flood has beyond the messages that one invocation may send.
//!
//! It names the gravest and counts the rest, and carries the values of all of them, so that whoever
//! filters for one incident gets the digest that it is in.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::{Severity, Version};

use super::incident::id_of;
use super::{
    Alert, Body, Counted, Covers, DigestBody, DigestLine, FollowUp, Incident, SHORTEST_LIST,
    VERSION, counted, cut_list, prose, title_of,
};

impl Alert {
    /// One alert for several incidents, given the gravest first, each with what is new where it was
    /// told before.
    pub fn digest(
        told: &[(&Incident, Option<&FollowUp>)],
        invocation: &str,
        policy: &Version,
    ) -> Self {
        let line = |(incident, follow_up): &(&Incident, Option<&FollowUp>)| DigestLine {
            id: incident.id.clone(),
            title: title_of(incident, *follow_up),
        };
        let list: Vec<DigestLine> = told.iter().map(line).collect();
        let incidents: Vec<&Incident> = told.iter().map(|(incident, _)| *incident).collect();
        let covers = Covers::of(&incidents);
        let only = |words: &[String]| match words {
            [only] => only.clone(),
            _ => String::new(),
        };
        // Of several digests of one invocation, each begins with another incident.
        let first = list.first();
        let id = id_of(&["digest", invocation, first.map_or("", |line| line.id.as_str())]);
        let mut digest = Alert {
            version: VERSION,
            id,
            title: first.map(|line| line.title.clone()).unwrap_or_default(),
            severity: incidents.first().map_or(Severity::Low, |gravest| gravest.severity),
            reason: "digest".to_owned(),
            account: only(&covers.accounts),
            region: only(&covers.regions),
            body: Body::Digest(DigestBody {
                incidents: incidents.len() as u64,
                count: incidents.iter().map(|incident| incident.count).sum(),
                list,
                by_region: by_region(&incidents),
                covers,
            }),
            policy: policy.digest.clone(),
            policy_version: policy.parameter,
            truncated: false,
        };
        let end = prose::title_end(&digest);
        digest.title.push_str(&end);
        digest
    }

    /// How many incidents a digest lists.
    pub fn listed(&self) -> usize {
        match &self.body {
            Body::Digest(body) => body.list.len(),
            Body::Incident(_) | Body::Unreadable(_) => 0,
        }
    }
}

/// How many incidents there were where, the most first.
fn by_region(incidents: &[&Incident]) -> Vec<Counted> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for incident in incidents {
        *counts.entry(format!("{} {}", incident.account, incident.region)).or_default() += 1;
    }
    let mut places: Vec<_> = counts.iter().map(|(place, count)| counted(place, *count)).collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.count));
    cut_places(&mut places, MOST_PLACES);
    places
}

/// What is cut is counted as `elsewhere`.
fn cut_places(places: &mut Vec<Counted>, to: usize) -> bool {
    if places.len() <= to + 1 {
        return false;
    }
    let elsewhere = places.drain(to..).map(|place| place.count).sum();
    places.push(counted("elsewhere", elsewhere));
    true
}

/// Pairs of account and region that a digest names.
const MOST_PLACES: usize = 200;

impl DigestBody {
    pub(super) fn shrink(&mut self) -> bool {
        // Half of the list at a time: most of it fits.
        let half = self.list.len() / 2;
        cut_list(&mut self.list, half) || cut_places(&mut self.by_region, SHORTEST_LIST)
    }
}

impl Covers {
    fn of(incidents: &[&Incident]) -> Self {
        let different = |word: &dyn Fn(&Incident) -> String| {
            let words: BTreeSet<String> = incidents.iter().map(|one| word(one)).collect();
            words.into_iter().filter(|word| !word.is_empty()).collect()
        };
        Covers {
            severities: different(&|incident| incident.severity.to_string()),
            reasons: different(&|incident| incident.reason.to_string()),
            accounts: different(&|incident| incident.account.clone()),
            regions: different(&|incident| incident.region.clone()),
            principal_types: different(&|incident| incident.who.kind.clone()),
            outcomes: different(&|incident| incident.outcome.to_string()),
        }
    }
}
