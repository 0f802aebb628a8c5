//! What a clerk notes of some records that follow each other, before anybody knows which of them
//! came before.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::envelope::Reject;
use crate::marks::Mark;
use crate::policy::{Reason, Severity};
use crate::record::Access;

use super::counts::Cell;

/// The notes on some records, in their order.
#[derive(Default)]
pub struct Sheet {
    pub(super) lines: Vec<Line>,
    /// Who did it where, for the lines to name by number.
    pub(super) cells: Vec<Cell>,
    /// Records that nobody asked for; they have no line.
    pub(super) unwanted: u64,
    /// Accounts that were asked for by name, and have records here.
    pub(super) accounts: BTreeSet<String>,
    /// Bytes of texts that are held.
    pub(super) held: usize,
    /// The decisions, a line each, where they are asked for.
    pub decisions: String,
}

/// What is counted of a record.
pub struct Line {
    pub(super) mark: Option<Mark>,
    /// Which of the sheet's cells it counts in; none where there is no call.
    pub(super) cell: Option<usize>,
    pub(super) time: Option<Timestamp>,
    pub(super) access: Access,
    pub(super) fate: Fate,
}

/// How a record was judged.
pub enum Fate {
    /// Nobody needs to hear of it.
    Ignore(Reason),
    /// An exemption hid it.
    Exempt(Box<Exempted>),
    /// It alerts.
    Alert(Box<Alerting>),
    /// It is no record.
    Reject(Box<Reject>),
}

/// What is told of a record that an exemption hid.
pub struct Exempted {
    pub(super) reason: Reason,
    /// `ec2:RunInstances`.
    pub(super) call: String,
}

/// A record that alerts.
pub struct Alerting {
    pub(super) text: Box<str>,
    pub(super) owner: Box<str>,
    pub(super) reason: Reason,
    pub(super) severity: Severity,
}

/// Lines on a sheet that is full.
const MOST_LINES: usize = 1024;

/// Bytes of texts on a sheet that is full.
const MOST_BYTES: usize = 256 * 1024;

impl Sheet {
    /// A sheet with room for its lines.
    pub(super) fn empty() -> Self {
        Sheet { lines: Vec::with_capacity(MOST_LINES), ..Sheet::default() }
    }

    /// Whether it is time for the next one.
    pub fn is_full(&self) -> bool {
        self.lines.len() >= MOST_LINES || self.held + self.decisions.len() >= MOST_BYTES
    }
}
