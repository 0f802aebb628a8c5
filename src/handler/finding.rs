//! What people should hear of, and what the ledger wants to know of it.

use std::collections::{BTreeMap, BTreeSet};

use super::Invocation;
use super::reading::Place;
use crate::alert::{FollowUp, Incident, Rejects, incident};
use crate::delivery::Delivery;
use crate::ledger::{Cause, Share, Sighting, Telling};
use crate::policy::Severity;
use crate::triage::Triaged;

/// What a payload gives people to hear of.
#[derive(Clone, Copy)]
pub enum Finding<'t> {
    Incident(&'t Incident),
    /// All unreadable entries of the payload.
    Rejects(&'t Rejects),
}

/// A finding that is to be told, and what the ledger wants to hear once it was.
pub struct Outgoing<'t> {
    pub finding: Finding<'t>,
    pub follow_up: Option<FollowUp>,
    /// `None` where the ledger did not answer.
    pub telling: Option<Box<Telling>>,
}

/// What all findings of an invocation share.
pub struct Scene<'a> {
    pub delivery: &'a Delivery<'a>,
    pub place: &'a Place,
    pub invocation: &'a Invocation<'a>,
}

/// The findings of a payload, the gravest first.
pub fn findings(triaged: &Triaged) -> Vec<Finding<'_>> {
    let mut findings: Vec<_> = triaged.incidents.iter().map(Finding::Incident).collect();
    if triaged.rejects.count > 0 {
        findings.push(Finding::Rejects(&triaged.rejects));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
    findings
}

impl Scene<'_> {
    /// Where Lambda has to begin again, with so many findings untold: at the earliest record that has
    /// a share in one. `None` where it knows of no beginning but that of the payload.
    pub fn retry_from(&self, untold: &[&Outgoing<'_>]) -> Option<String> {
        self.delivery.stream()?;
        let earliest = untold.iter().filter_map(|one| one.finding.batches().next()).min();
        let parcel = self.delivery.parcels().get(earliest.unwrap_or(0))?;
        Some(parcel.sequence().to_owned())
    }
}

impl<'t> Outgoing<'t> {
    pub fn in_digest(&self) -> Option<(&'t Incident, Option<&FollowUp>)> {
        Some((self.finding.incident()?, self.follow_up.as_ref()))
    }
}

impl<'t> Finding<'t> {
    pub fn incident(self) -> Option<&'t Incident> {
        match self {
            Finding::Incident(incident) => Some(incident),
            Finding::Rejects(_) => None,
        }
    }

    fn severity(self) -> Severity {
        self.incident().map_or(Rejects::SEVERITY, |incident| incident.severity)
    }

    /// The numbers of the batches that have a share in it, in their order.
    pub fn batches(self) -> impl Iterator<Item = usize> + use<'t> {
        let (of_incident, of_rejects) = match self {
            Finding::Incident(incident) => {
                (Some(incident.shares.iter().map(|share| share.batch)), None)
            }
            Finding::Rejects(rejects) => (None, Some(rejects.batches.keys().copied())),
        };
        of_incident.into_iter().flatten().chain(of_rejects.into_iter().flatten())
    }

    /// What the ledger is shown; `ids` are those of the batches.
    pub fn sighting(self, scene: &Scene<'_>, ids: &BatchIds) -> Sighting {
        let Scene { place, invocation, .. } = scene;
        let incident = match self {
            Finding::Incident(incident) => incident.id.clone(),
            Finding::Rejects(_) => Rejects::id(&place.owner, &place.group),
        };
        let (now, record_by, confirm_by) =
            (invocation.now, invocation.record_by(), invocation.confirm_by());
        Sighting { incident, shares: self.shares(ids), now, record_by, confirm_by }
    }

    fn shares(self, ids: &BatchIds) -> Vec<Share> {
        let batch = |number| ids.get(&number).cloned().unwrap_or_default();
        match self {
            Finding::Incident(incident) => {
                let share = |share: &incident::Share| Share {
                    batch: batch(share.batch),
                    count: share.count,
                    severity: share.severity,
                    watches: share.watches.iter().map(|id| id.to_string()).collect(),
                    calls: share.calls.words.clone(),
                };
                incident.shares.iter().map(share).collect()
            }
            Finding::Rejects(rejects) => {
                let share = |(number, count): (&usize, &u64)| Share {
                    batch: batch(*number),
                    count: *count,
                    severity: Rejects::SEVERITY,
                    watches: BTreeSet::new(),
                    calls: BTreeMap::new(),
                };
                rejects.batches.iter().map(share).collect()
            }
        }
    }
}

/// What the ledger knows batches by, by their number.
pub type BatchIds = BTreeMap<usize, String>;

/// The ids of the batches in which there is something to tell.
pub fn batch_ids(findings: &[Finding<'_>], delivery: &Delivery<'_>) -> BatchIds {
    let mut ids = BatchIds::new();
    for number in findings.iter().flat_map(|finding| finding.batches()) {
        if let Some(parcel) = delivery.parcels().get(number) {
            ids.entry(number).or_insert_with(|| parcel.id());
        }
    }
    ids
}

pub fn follow_up(telling: &Telling) -> Option<FollowUp> {
    if telling.causes.contains(&Cause::First) {
        return None;
    }
    let causes = telling.causes.iter().map(Cause::to_string).collect();
    Some(FollowUp::new(causes, telling.held, &telling.held_calls, telling.total))
}
