//! What people should hear of, and what the ledger wants to know of it.

use std::collections::{BTreeMap, BTreeSet};

use super::Invocation;
use crate::alert::{FollowUp, Incident, Rejects, incident};
use crate::envelope::Batch;
use crate::ledger::{Cause, Share, Sighting, Telling};
use crate::policy::Severity;
use crate::triage::Triaged;

/// What a batch gives people to hear of.
#[derive(Clone, Copy)]
pub enum Finding<'t> {
    Incident(&'t Incident),
    /// All unreadable entries of the batch.
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
    pub batch: &'a Batch,
    /// The same for a replay.
    pub payload_id: String,
    pub invocation: &'a Invocation<'a>,
}

/// The findings of a batch, the gravest first.
pub fn findings(triaged: &Triaged) -> Vec<Finding<'_>> {
    let mut findings: Vec<_> = triaged.incidents.iter().map(Finding::Incident).collect();
    if triaged.rejects.count > 0 {
        findings.push(Finding::Rejects(&triaged.rejects));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
    findings
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

    pub fn sighting(self, scene: &Scene<'_>) -> Sighting {
        let Scene { batch, invocation, .. } = scene;
        let incident = match self {
            Finding::Incident(incident) => incident.id.clone(),
            Finding::Rejects(_) => Rejects::id(&batch.owner, &batch.log_group),
        };
        Sighting {
            incident,
            shares: self.shares(scene),
            now: invocation.now,
            record_by: invocation.record_by(),
            confirm_by: invocation.confirm_by(),
        }
    }

    fn shares(self, scene: &Scene<'_>) -> Vec<Share> {
        let batch = || scene.payload_id.clone();
        match self {
            Finding::Incident(incident) => {
                let share = |share: &incident::Share| Share {
                    batch: batch(),
                    count: share.count,
                    severity: share.severity,
                    watches: share.watches.iter().map(|id| id.to_string()).collect(),
                    calls: share.calls.words.clone(),
                };
                incident.shares.iter().map(share).collect()
            }
            Finding::Rejects(rejects) => {
                let share = |count: &u64| Share {
                    batch: batch(),
                    count: *count,
                    severity: Rejects::SEVERITY,
                    watches: BTreeSet::new(),
                    calls: BTreeMap::new(),
                };
                rejects.batches.values().map(share).collect()
            }
        }
    }
}

pub fn follow_up(telling: &Telling) -> Option<FollowUp> {
    if telling.causes.contains(&Cause::First) {
        return None;
    }
    let causes = telling.causes.iter().map(Cause::to_string).collect();
    Some(FollowUp::new(causes, telling.held, &telling.held_calls, telling.total))
}
