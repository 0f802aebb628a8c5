//! Judges what is read of a source, and notes what is counted.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use crate::envelope::Reject;
use crate::marks::mark;
use crate::policy::{Policy, Reason, Verdict};
use crate::record::{Access, Principal, Record};
use crate::source::Item;

use super::counts::Cell;
use super::decision::Decision;
use super::sheet::{Alerting, Exempted, Fate, Line, Sheet};

/// Which records are wanted. Others are counted and not judged; what is unreadable, and what tells no
/// time, is always wanted: nobody knows what it is about.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Of these accounts, where there are any.
    pub accounts: BTreeSet<String>,
}

/// Judges the items of one source after the other.
pub struct Clerk<'p> {
    policy: &'p Policy,
    wanted: &'p Wanted,
    /// Whether each decision is written down.
    decides: bool,
    sheet: Sheet,
    /// The numbers of the sheet's cells.
    known: HashMap<String, usize>,
    /// What the last record's cell is known by; kept so that none is made anew.
    key: String,
}

impl<'p> Clerk<'p> {
    /// A clerk with an empty sheet.
    pub fn new(policy: &'p Policy, wanted: &'p Wanted, decides: bool) -> Self {
        Clerk {
            policy,
            wanted,
            decides,
            sheet: Sheet::empty(),
            known: HashMap::new(),
            key: String::new(),
        }
    }

    /// Takes one item; says whether the sheet is full.
    pub fn take(&mut self, item: Item<'_>) -> bool {
        match item {
            Item::Record { text, record, owner, entry_id } => match record {
                Ok(record) => self.record(&record, text, owner, entry_id),
                Err(error) => {
                    self.reject(Reject { entry_id: entry_id.to_owned(), fault: error.what() });
                }
            },
            Item::Unreadable { reject, .. } => self.reject(reject),
        }
        self.sheet.is_full()
    }

    /// Hands over the sheet, and begins another.
    pub fn turn(&mut self) -> Sheet {
        self.known.clear();
        std::mem::replace(&mut self.sheet, Sheet::empty())
    }

    fn record(&mut self, record: &Record<'_>, text: &str, owner: &str, entry_id: &str) {
        let time = record.time();
        // Noted of all times: whoever asks for another month did not mistype the account.
        let is_of_account = self.meet(record.account(owner));
        if !(is_of_account && self.wanted.has_time(time)) {
            self.sheet.unwanted += 1;
            return;
        }
        let (verdict, access) = self.policy.judge_and_tell(record, owner);
        if self.decides {
            Decision::of(record, &verdict).write_to(&mut self.sheet.decisions);
        }
        let line = Line {
            mark: mark(record, owner, &verdict),
            cell: access.map(|_| self.cell(record, owner)),
            time,
            access: access.unwrap_or(Access::ReadOnly),
            fate: self.fate(verdict, record, text, owner, entry_id),
        };
        self.sheet.lines.push(line);
    }

    /// Whether records of an account are wanted, which is noted where it is asked for by name.
    fn meet(&mut self, account: &str) -> bool {
        let Some(wanted) = self.wanted.accounts.get(account) else {
            return self.wanted.accounts.is_empty();
        };
        if !self.sheet.accounts.contains(wanted) {
            self.sheet.accounts.insert(wanted.clone());
        }
        true
    }

    fn fate(
        &mut self,
        verdict: Verdict,
        record: &Record<'_>,
        text: &str,
        owner: &str,
        entry_id: &str,
    ) -> Fate {
        match verdict {
            Verdict::Alert(reason, severity) => {
                self.sheet.held += text.len();
                let (text, owner) = (text.into(), owner.into());
                Fate::Alert(Box::new(Alerting { text, owner, reason, severity }))
            }
            Verdict::Ignore(reason @ Reason::Exempt(_)) => {
                let call = format!("{}:{}", record.service(), record.name());
                self.sheet.held += call.len();
                Fate::Exempt(Box::new(Exempted { reason, call }))
            }
            Verdict::Ignore(reason) => Fate::Ignore(reason),
            Verdict::Reject => {
                let fault = "the record has no eventName and eventSource that are strings";
                Fate::Reject(Box::new(Reject { entry_id: entry_id.to_owned(), fault }))
            }
        }
    }

    fn reject(&mut self, reject: Reject) {
        if self.decides {
            Decision::unreadable().write_to(&mut self.sheet.decisions);
        }
        self.sheet.lines.push(Line {
            mark: None,
            cell: None,
            time: None,
            access: Access::ReadOnly,
            fate: Fate::Reject(Box::new(reject)),
        });
    }

    /// The number of the cell that a record counts in.
    fn cell(&mut self, record: &Record<'_>, owner: &str) -> usize {
        let principal = Principal::of(&record.user_identity);
        let (account, region) = (record.account(owner), record.region());
        self.key.clear();
        // The first two are AWS's own words. Sessions of a role may have names of their own.
        let (id, name) = (principal.key(), principal.name());
        for part in [account, "\0", &region, "\0", &id, "\0", &name] {
            self.key.push_str(part);
        }
        if let Some(known) = self.known.get(&self.key) {
            return *known;
        }
        let number = self.sheet.cells.len();
        self.sheet.cells.push(Cell::new(self.key.clone(), account, &region, principal));
        self.known.insert(self.key.clone(), number);
        number
    }
}

impl Wanted {
    fn has_time(&self, time: Option<Timestamp>) -> bool {
        time.is_none_or(|time| {
            self.since.is_none_or(|since| time >= since)
                && self.until.is_none_or(|until| time < until)
        })
    }
}
