//! The past, judged by the policy: what alerts would have said, and where everybody was active.
//!
//! Sources are read side by side, each by a [`Clerk`], who judges record after record as the
//! function does and notes on a [`Sheet`] what is counted of each. [`History`] takes the sheets in
//! the order of the sources and of the records in them, which is the same however many read: only
//! there is it known which records came before. [`Report`] is what it comes to.
//!
//! Records go as they are read. What stays, and so grows with the past: a mark of 16 bytes for each
//! `eventID` ([`crate::marks`]), counts by who, where and day (`counts`), and for what alerted a note for
//! each principal, place and five minutes (`deliveries`). The counts are bounded, and so is what is
//! kept in full.

mod clerk;
mod contract;
mod counts;
mod decision;
mod deliveries;
mod messages;
mod page;
mod report;
mod sheet;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::Rejects;
use crate::marks::Marks;
use crate::policy::{Policy, Reason};
use crate::record::Record;

pub use clerk::{Clerk, Wanted};
pub use counts::{Activity, Who};
pub use deliveries::Pace;
pub use report::{Damaged, Report, Sources};
pub use sheet::Sheet;

use counts::{Cells, Hidden};
use deliveries::Deliveries;
use sheet::{Alerting, Fate, Line};

/// What was read so far.
pub struct History<'p> {
    policy: &'p Policy,
    marks: Marks,
    entries: u64,
    alerted: BTreeMap<Reason, u64>,
    ignored: BTreeMap<Reason, u64>,
    rejects: Rejects,
    /// Records that nobody asked for.
    unwanted: u64,
    /// Accounts that were asked for by name, and have records.
    accounts: BTreeSet<String>,
    cells: Cells,
    hidden: BTreeMap<Reason, Hidden>,
    deliveries: Deliveries,
}

impl<'p> History<'p> {
    /// Nothing yet. The sheets have to be judged by the same policy.
    pub fn new(policy: &'p Policy) -> Self {
        History {
            policy,
            marks: Marks::default(),
            entries: 0,
            alerted: BTreeMap::new(),
            ignored: BTreeMap::new(),
            rejects: Rejects::default(),
            unwanted: 0,
            accounts: BTreeSet::new(),
            cells: Cells::default(),
            hidden: BTreeMap::new(),
            deliveries: Deliveries::default(),
        }
    }

    /// Takes the next sheet.
    pub fn take(&mut self, mut sheet: Sheet) {
        self.unwanted += sheet.unwanted;
        self.accounts.append(&mut sheet.accounts);
        let cells = self.cells.of(sheet.cells);
        for line in sheet.lines {
            self.entries += 1;
            self.line(line, &cells);
        }
    }

    /// Entries so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Accounts that are asked for by name, and of which there is no record of any time.
    pub fn absent<'w>(&self, wanted: &'w Wanted) -> Vec<&'w str> {
        let is_absent = |account: &&String| !self.accounts.contains(*account);
        wanted.accounts.iter().filter(is_absent).map(String::as_str).collect()
    }

    fn line(&mut self, line: Line, cells: &[usize]) {
        let is_repeated = line.mark.is_some_and(|mark| !self.marks.set(mark));
        if is_repeated {
            *self.ignored.entry(Reason::Duplicate).or_default() += 1;
            return;
        }
        if let Some(cell) = line.cell.and_then(|at| cells.get(at)) {
            let alerts = matches!(line.fate, Fate::Alert(_));
            self.cells.count(*cell, line.time, line.access, alerts);
        }
        match line.fate {
            Fate::Ignore(reason) => *self.ignored.entry(reason).or_default() += 1,
            Fate::Exempt(exempted) => {
                let hidden = self.hidden.entry(exempted.reason.clone()).or_default();
                hidden.add(&exempted.call, line.time);
                *self.ignored.entry(exempted.reason).or_default() += 1;
            }
            Fate::Reject(reject) => self.rejects.add(0, &reject),
            Fate::Alert(alerting) => self.alert(&alerting),
        }
    }

    fn alert(&mut self, alerting: &Alerting) {
        // It was parsed before it came here.
        let Ok(record) = Record::parse(&alerting.text) else { return };
        *self.alerted.entry(alerting.reason.clone()).or_default() += 1;
        self.deliveries.take(&record, alerting, self.policy);
    }

    /// What it comes to; alerts are told at the pace of the function.
    pub fn report(self, sources: Sources, pace: Pace) -> Report<'p> {
        Report::of(self, sources, pace)
    }
}
